//! Has certificates made by an authority, and renewed in time (ACME, RFC 8555).
//!
//! The authority asks over plain http whether a host is really served here
//! (`http-01`, 8.3 there); where visitors are shown the way to https, it is
//! answered. Nobody waits for any of it: until a certificate is there, visitors
//! are shown one that no browser believes.

use crate::proxy::settings::AcmeSettings;
use crate::proxy::tls::{Certificates, TlsError};
use crate::proxy::upstream::{Outside, outside};
use crate::proxy::{TlsFiles, UpstreamError};

use bytes::Bytes;
use http::Request;
use http::uri::Scheme;
use http_body_util::{BodyExt, Full, Limited};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType,
    Error, HttpClient, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the authority asks (RFC 8555, 8.3).
pub(super) const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

/// How long the authority may take for one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most of an answer that is read, in bytes.
const ANSWER_BYTES: usize = 1024 * 1024;
/// How often it is looked whether something is to be renewed.
const LOOK: Duration = Duration::from_secs(60 * 60);
/// How long it is waited after a failure: twice as long each time. Authorities
/// count failures, five an hour with Let's Encrypt.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(12 * 60 * 60);

/// What the authority is to be told when it asks, by token.
#[derive(Debug, Default)]
pub(super) struct Challenges(Mutex<HashMap<String, String>>);

impl Challenges {
    /// The answer to a request for a path, if the authority makes it.
    pub(super) fn answer(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(CHALLENGE_PATH)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    fn expect(&self, token: &str, answer: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(token.to_owned(), answer.to_owned());
    }

    fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Why there is no certificate yet.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Authority(#[from] Error),
    #[error("the authority offers no `http-01` challenge for this host")]
    NoChallenge,
    #[error("the authority did not find what it asked for at http://{0}{CHALLENGE_PATH}")]
    NotReached(String),
    #[error("no key or request can be made: {0}")]
    Key(#[from] rcgen::Error),
    #[error("cannot be kept: {0}")]
    Files(#[from] io::Error),
    #[error(
        "the account in {path} cannot be used: {why}; restore the file from a backup, or remove it \
         to have a new account made"
    )]
    Account { path: PathBuf, why: io::Error },
    #[error("what came cannot be used: {0}")]
    Useless(#[from] TlsError),
    #[error(transparent)]
    Setup(#[from] UpstreamError),
}

impl AcmeSettings {
    /// The files of every host. One that has none yet gets a certificate that
    /// no browser believes, so that everything else can begin.
    pub(super) fn files(&self) -> Result<Vec<TlsFiles>, TlsError> {
        let failed = |why| TlsError::Place { path: self.directory.clone(), why };
        fs::create_dir_all(&self.directory).map_err(failed)?;
        let mut all = Vec::new();
        for host in &self.hosts {
            let files = self.files_of(host);
            if !files.cert.exists() {
                let (certificate, key) =
                    stand_in(host).map_err(io::Error::other).map_err(failed)?;
                keep(&files, &certificate, &key).map_err(failed)?;
            }
            all.push(files);
        }
        Ok(all)
    }

    fn files_of(&self, host: &str) -> TlsFiles {
        // One file for both, so that they fit together at any time.
        let both = self.directory.join(format!("{host}.pem"));
        TlsFiles { cert: both.clone(), key: both, ocsp: None }
    }
}

/// A certificate that is over already, so that it is renewed at once.
fn stand_in(host: &str) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn keep(files: &TlsFiles, certificate: &str, key: &str) -> io::Result<()> {
    write(&files.cert, &format!("{certificate}\n{key}"))
}

/// The file is whole at any time, and nobody else's to read.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("fresh");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

/// Has certificates made and renewed.
pub(super) struct Acme {
    pub(super) settings: AcmeSettings,
    pub(super) challenges: Arc<Challenges>,
    pub(super) certificates: Arc<Certificates>,
}

impl Acme {
    /// Does so until it is dropped.
    pub(super) async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut failed = false;
            for host in self.settings.hosts.iter().filter(|host| self.is_due(host)) {
                match Box::pin(self.renew(host)).await {
                    Ok(()) => tracing::info!(host, "a certificate was made"),
                    Err(why) => {
                        failed = true;
                        let again_s = pause.as_secs();
                        tracing::warn!(host, %why, again_s, "no certificate was made");
                    }
                }
                self.challenges.forget();
            }
            let wait = if failed { pause } else { LOOK };
            pause = if failed { (pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether two thirds of a certificate's time are over. When that began is
    /// when the file was written.
    fn is_due(&self, host: &str) -> bool {
        let path = self.settings.files_of(host).cert;
        let all = self.certificates.expiries();
        let Some((_, expiry)) = all.into_iter().find(|(known, _)| *known == path) else {
            // A reload took this host away: each that is shown has a stand-in at least.
            return false;
        };
        let expiry = UNIX_EPOCH + Duration::from_secs(expiry);
        let written = fs::metadata(&path).and_then(|about| about.modified());
        let Ok(life) = expiry.duration_since(written.unwrap_or(UNIX_EPOCH)) else {
            return true;
        };
        let left = expiry.duration_since(SystemTime::now()).unwrap_or_default();
        left < life / 3
    }

    async fn renew(&self, host: &str) -> Result<(), Failure> {
        let account = self.account().await?;
        let identifiers = [Identifier::Dns(host.to_owned())];
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let mut challenge =
                authorization.challenge(ChallengeType::Http01).ok_or(Failure::NoChallenge)?;
            let answer = challenge.key_authorization();
            let token = answer.as_str().split('.').next().unwrap_or_default().to_owned();
            self.challenges.expect(&token, answer.as_str());
            challenge.set_ready().await?;
        }
        let patience = RetryPolicy::new().timeout(PATIENCE * 4);
        if order.poll_ready(&patience).await? != OrderStatus::Ready {
            return Err(Failure::NotReached(host.to_owned()));
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&patience).await?;
        keep(&self.settings.files_of(host), &chain, &key.serialize_pem())?;
        Ok(self.certificates.read_again()?)
    }

    /// The account of before, or a new one.
    async fn account(&self) -> Result<Account, Failure> {
        let path = self.settings.directory.join("account.json");
        let known = known_account(&path)?;
        let builder = Account::builder_with_http(Box::new(Http::new(&self.settings)?));
        if let Some(known) = known {
            return Ok(builder.from_credentials(known).await?);
        }
        let contact: Vec<&str> = self.settings.contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            // The operator says so, or nothing of this runs.
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let url = self.settings.directory_url.clone();
        let (account, credentials) = builder.create(&wanted, url, None).await?;
        let text = serde_json::to_string(&credentials).map_err(io::Error::other)?;
        write(&path, &text)?;
        Ok(account)
    }
}

/// The account that was made before; `None` where none was. One that cannot be
/// read is no reason to make another: the authority limits how many there are,
/// and what was agreed with it belongs to the first.
fn known_account(path: &Path) -> Result<Option<AccountCredentials>, Failure> {
    let failed = |why| Failure::Account { path: path.to_owned(), why };
    match fs::read(path) {
        Ok(text) => {
            let account = serde_json::from_slice(&text);
            account.map(Some).map_err(|why| failed(io::Error::other(why)))
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(failed(why)),
    }
}

/// How the authority is asked.
struct Http(Outside);

impl Http {
    fn new(settings: &AcmeSettings) -> Result<Self, UpstreamError> {
        outside(settings.ca_file.as_deref(), PATIENCE, 1).map(Self)
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            if request.uri().scheme() != Some(&Scheme::HTTPS) {
                return Err(Error::Str("its address is not https"));
            }
            let answered = async {
                let (parts, body) = request.into_parts();
                let Ok(body) = body.collect().await;
                let body = body.to_bytes();
                let asked = client.request(Request::from_parts(parts, Full::new(body))).await;
                let (parts, body) =
                    asked.map_err(|error| Error::Other(Box::new(error)))?.into_parts();
                let body =
                    Limited::new(body, ANSWER_BYTES).collect().await.map_err(Error::Other)?;
                Ok(BytesResponse { parts, body: Box::new(body.to_bytes()) })
            };
            let answered = tokio::time::timeout(PATIENCE, answered).await;
            answered.unwrap_or(Err(Error::Str("no answer in time")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_cannot_be_read_is_not_taken_for_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("account.json");
        assert!(known_account(&path).unwrap().is_none(), "there is none yet");
        let said = |path: &Path| match known_account(path) {
            Ok(_) => panic!("{path:?} is taken for an account, or for none"),
            Err(failure) => failure.to_string(),
        };
        fs::write(&path, "{\"id\": \"https://authority.exa").unwrap();
        for path in [path.as_path(), directory.path()] {
            let said = said(path);
            let advice = "restore the file from a backup, or remove it";
            assert!(said.contains(advice) && said.contains(path.to_str().unwrap()), "{said}");
        }
    }
}
