//! Where the shared ledger is, and how to get there. The password goes with
//! it, and comes out nowhere.

use tokio_postgres::config::{Host, SslMode};

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// How a `postgres_url` looks.
pub const EXAMPLE: &str = "postgres://consentry:PASSWORD@db.internal/consentry";

/// How long a connection may take to come about, for each address of a host.
const CONNECT: Duration = Duration::from_secs(5);

/// After how long without an answer the network is given up on.
const UNANSWERED: Duration = Duration::from_secs(15);

/// The address of a PostgreSQL database.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    pub(super) config: tokio_postgres::Config,
    pub(super) ca_file: Option<PathBuf>,
    shown: String,
}

/// Whether a text is meant to be the address of a shared ledger.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

impl Place {
    /// Reads an address, such as [`EXAMPLE`]; certificates are checked against
    /// the authorities in `ca_file`, too.
    ///
    /// # Errors
    /// Says what is wrong with it, without showing any of it.
    pub fn parse(url: &str, ca_file: Option<&Path>) -> Result<Self, String> {
        let url = url.trim();
        if !is_address(url) {
            return Err("it does not begin with `postgres://`".to_owned());
        }
        let asked = tls_asked(url);
        // With TLS a certificate is always checked in full here.
        let url =
            ["verify-ca", "verify-full"].iter().fold(url.to_owned(), |url, &more| match asked {
                Some(mode) if mode == more => {
                    url.replace(&format!("sslmode={more}"), "sslmode=require")
                }
                _ => url,
            });
        let mut config = tokio_postgres::Config::from_str(&url).map_err(|error| words(&error))?;
        let [host, ..] = config.get_hosts() else {
            return Err("it names no host".to_owned());
        };
        if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(name) if name.is_empty()))
        {
            return Err("it names no host".to_owned());
        }
        let all = format!("{:?}{:?}", config.get_hosts(), config.get_dbname());
        if all.contains('@') {
            return Err("an `@` in a password is written `%40`, and a `/` is `%2F`".to_owned());
        }
        let host = match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let is_near = config.get_hosts().iter().all(is_local);
        if asked.is_none() {
            config.ssl_mode(if is_near { SslMode::Disable } else { SslMode::Require });
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNANSWERED);
        }
        config.keepalives_idle(UNANSWERED).keepalives_interval(UNANSWERED / 3);
        if config.get_application_name().is_none() {
            config.application_name("consentry");
        }
        Ok(Self::of(config, &host, ca_file))
    }

    /// The same place, entered with that password unless it has one.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        if self.config.get_password().is_none() {
            self.config.password(password);
        }
        self
    }

    fn of(config: tokio_postgres::Config, host: &str, ca_file: Option<&Path>) -> Self {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let user = config.get_user().map_or(String::new(), |user| format!("{user}@"));
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
        let shown = format!("{user}{host}:{port}/{database}");
        Self { config, ca_file: ca_file.map(Path::to_owned), shown }
    }
}

/// Who, where, and which database; never the password.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.shown).finish()
    }
}

/// The `sslmode` that somebody wrote.
fn tls_asked(url: &str) -> Option<&str> {
    let (_, mode) = url.split_once("?sslmode=").or_else(|| url.split_once("&sslmode="))?;
    mode.split('&').next()
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

/// What is wrong with an address; the library names options, never values.
fn words(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => cause.to_string(),
        None => "it is not complete".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let place = Place::parse("postgres://me:s3cret@db.example:6432/ledger", None).unwrap();
        assert_eq!(place.to_string(), "me@db.example:6432/ledger");
        assert_eq!(place.config.get_password(), Some(b"s3cret".as_slice()));
        assert!(!format!("{place:?}").contains("s3cret"), "{place:?}");
        for wrong in [
            "postgres://me:s3cret",
            "postgres://me:s3cret@",
            "postgres://me:s3cret@/ledger",
            "postgres://me:s3c@s3cret@db.example/ledger",
            "postgres://me:x@db.example:s3cret/ledger",
            "postgres://me:x@db.example/ledger?sslmode=s3cret",
            "postgres://me:x@db.example/ledger?connect_timeout=s3cret",
            "mysql://me:s3cret@db.example/ledger",
            "host=db.example password=s3cret",
            "",
        ] {
            let said = Place::parse(wrong, None).unwrap_err();
            assert!(!said.contains("s3c") && !said.is_empty(), "{wrong}: {said}");
        }
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_somebody_says_otherwise() {
        for (url, mode) in [
            ("postgres://a@db.example/x", SslMode::Require),
            ("postgres://a@10.0.0.1/x", SslMode::Require),
            ("postgres://a@db.example/x?sslmode=verify-full", SslMode::Require),
            ("postgres://a@db.example/x?sslmode=verify-ca&application_name=b", SslMode::Require),
            ("postgres://a@db.example/x?application_name=b&sslmode=disable", SslMode::Disable),
            ("postgres://a@db.example/x?sslmode=prefer", SslMode::Prefer),
            ("postgres://a@127.0.0.1/x", SslMode::Disable),
            ("postgresql://a@localhost/x", SslMode::Disable),
            ("postgres://a@[::1]/x", SslMode::Disable),
            ("postgres://a@%2Frun%2Fpostgresql/x", SslMode::Disable),
            ("postgres://a@localhost,db.example/x", SslMode::Require),
            ("postgres://a@localhost/x?sslmode=require", SslMode::Require),
        ] {
            let place = Place::parse(url, None).unwrap_or_else(|why| panic!("{url}: {why}"));
            assert_eq!(place.config.get_ssl_mode(), mode, "{url}");
        }
    }
}
