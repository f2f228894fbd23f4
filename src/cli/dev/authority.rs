//! A certificate authority of this machine alone, and how it becomes trusted.

use crate::proxy::TlsFiles;

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What its certificate is called in a list of authorities.
const NAME: &str = "consentry dev";

/// The names that always are this machine's.
const NAMES: [&str; 4] = ["localhost", "*.localhost", "127.0.0.1", "::1"];

/// How long a certificate of a run is good; browsers want less than 398 days.
const LEAF_DAYS: i64 = 90;

/// The authority, as it is kept.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) certificate: PathBuf,
    key: PathBuf,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("there is no place for the certificate authority: set XDG_DATA_HOME or HOME")]
    NoPlace,
    #[error("{}: {why}; the certificate authority of `consentry dev` is kept there", file.display())]
    File { file: PathBuf, why: io::Error },
    #[error("{}: {why}; remove it and dev-ca.pem beside it, and trust the new one", file.display())]
    Key { file: PathBuf, why: rcgen::Error },
    #[error("no certificate can be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl Authority {
    /// The one of this user, made if there is none yet.
    pub(super) fn of_user() -> Result<Self, Error> {
        let directory = directory(std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME"));
        Self::in_directory(&directory.ok_or(Error::NoPlace)?)
    }

    fn in_directory(directory: &Path) -> Result<Self, Error> {
        let authority =
            Self { certificate: directory.join("dev-ca.pem"), key: directory.join("dev-ca.key") };
        if !authority.certificate.exists() || !authority.key.exists() {
            let failed = |file: &Path| {
                let file = file.to_owned();
                move |why| Error::File { file, why }
            };
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(failed(directory))?;
            let key = KeyPair::generate()?;
            let certificate = params()?.self_signed(&key)?;
            write(&authority.key, &key.serialize_pem(), 0o600).map_err(failed(&authority.key))?;
            write(&authority.certificate, &certificate.pem(), 0o644)
                .map_err(failed(&authority.certificate))?;
        }
        Ok(authority)
    }

    /// A certificate for this machine's names and `hosts`, in `directory`.
    pub(super) fn certify(&self, hosts: &[String], directory: &Path) -> Result<TlsFiles, Error> {
        let failed = |file: &Path| {
            let file = file.to_owned();
            move |why| Error::File { file, why }
        };
        let text = std::fs::read_to_string(&self.key).map_err(failed(&self.key))?;
        let key =
            KeyPair::from_pem(&text).map_err(|why| Error::Key { file: self.key.clone(), why })?;
        let issuer = Issuer::new(params()?, key);
        let names: Vec<String> =
            NAMES.iter().map(|name| (*name).to_owned()).chain(hosts.iter().cloned()).collect();
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name = named("consentry dev on this machine");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let ((y, m, d), (until_y, until_m, until_d)) = (day(-1), day(LEAF_DAYS));
        leaf.not_before = date_time_ymd(y, m, d);
        leaf.not_after = date_time_ymd(until_y, until_m, until_d);
        let leaf_key = KeyPair::generate()?;
        let leaf = leaf.signed_by(&leaf_key, &issuer)?;
        let files = TlsFiles {
            cert: directory.join("dev.pem"),
            key: directory.join("dev.key"),
            ocsp: None,
        };
        write(&files.key, &leaf_key.serialize_pem(), 0o600).map_err(failed(&files.key))?;
        write(&files.cert, &leaf.pem(), 0o600).map_err(failed(&files.cert))?;
        Ok(files)
    }
}

fn directory(data: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    // Only an absolute path counts (XDG Base Directory Specification).
    let data = data.map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || home.filter(|home| !home.is_empty()).map(PathBuf::from);
    let data = data.or_else(|| home().map(|home| home.join(".local/share")))?;
    Some(data.join("consentry"))
}

/// The same each time, so that the key alone has to be kept.
fn params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = named(NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ((y, m, d), (until_y, until_m, until_d)) = (day(-1), day(3650));
    params.not_before = date_time_ymd(y, m, d);
    params.not_after = date_time_ymd(until_y, until_m, until_d);
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// Year, month and day as far from today as that.
fn day(from_today: i64) -> (i32, u8, u8) {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let day = today.saturating_add(from_today.days());
    (day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}

/// How the authority becomes trusted, system by system.
pub(super) fn instructions(certificate: &Path) -> String {
    let file = certificate.display().to_string();
    // For a shell, whatever the name is.
    let quoted = format!("'{}'", file.replace('\'', r"'\''"));
    format!(
        "The certificate authority of `consentry dev --tls` on this machine is\n\
         \x20   {file}\n\
         Its key lies beside it and is readable by you alone: whoever has it can pose as any\n\
         site to who trusts it, so trust it on this machine only.\n\n\
         Debian, Ubuntu\n\
         \x20   sudo cp {quoted} /usr/local/share/ca-certificates/consentry-dev.crt\n\
         \x20   sudo update-ca-certificates\n\n\
         Fedora, RHEL\n\
         \x20   sudo cp {quoted} /etc/pki/ca-trust/source/anchors/consentry-dev.pem\n\
         \x20   sudo update-ca-trust\n\n\
         macOS (Safari, Chrome)\n\
         \x20   sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {quoted}\n\n\
         Windows (Edge, Chrome; in a terminal of an administrator)\n\
         \x20   certutil -addstore -f ROOT \"{file}\"\n\n\
         Chromium, Chrome on Linux (package libnss3-tools; restart the browser)\n\
         \x20   mkdir -p ~/.pki/nssdb\n\
         \x20   certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n consentry-dev -i {quoted}\n\n\
         Firefox\n\
         \x20   Settings, Privacy & Security, Certificates, View Certificates, Authorities, Import\n\n\
         curl, Node.js, Python, without trusting it anywhere\n\
         \x20   curl --cacert {quoted} https://localhost:8080/\n\
         \x20   NODE_EXTRA_CA_CERTS={quoted} node ...\n\
         \x20   REQUESTS_CA_BUNDLE={quoted} python ...\n\n\
         `consentry dev trust --print` prints the certificate itself.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn h3_the_authority_stays_the_same_and_its_key_is_its_owners_alone() {
        let directory = tempfile::TempDir::new().unwrap();
        let place = directory.path().join("data/consentry");
        let first = Authority::in_directory(&place).unwrap();
        let text = std::fs::read_to_string(&first.certificate).unwrap();
        let mode = std::fs::metadata(&first.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Authority::in_directory(&place).unwrap();
        assert_eq!(std::fs::read_to_string(&again.certificate).unwrap(), text);
        let files = again.certify(&["shop.test".to_owned()], directory.path()).unwrap();
        let mode = std::fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn h3_the_authority_is_kept_where_the_system_says() {
        let of = |data: Option<&str>, home: Option<&str>| {
            directory(data.map(OsString::from), home.map(OsString::from))
        };
        assert_eq!(of(Some("/d"), Some("/h")), Some("/d/consentry".into()));
        assert_eq!(of(Some("d"), Some("/h")), Some("/h/.local/share/consentry".into()));
        assert_eq!(of(None, Some("/h")), Some("/h/.local/share/consentry".into()));
        assert_eq!(of(None, Some("")), None);
    }

    #[test]
    fn h3_the_commands_survive_any_name_of_a_directory() {
        let text = instructions(Path::new("/home/o'neill/my data/dev-ca.pem"));
        assert!(
            text.contains(r"sudo cp '/home/o'\''neill/my data/dev-ca.pem' /usr/local"),
            "{text}"
        );
    }
}
