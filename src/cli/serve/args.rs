//! What is said on the command line of `consentry serve`.

use crate::config::Overrides;
use crate::policy::Mode;

use std::net::SocketAddr;
use std::path::PathBuf;

/// What can be said on the command line; it wins over the environment, which
/// wins over the file.
#[derive(clap::Args, Debug, Default)]
pub struct ServeArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where visitors connect
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// The server behind: http://127.0.0.1:3000
    #[arg(long, value_name = "URL")]
    pub origin: Option<String>,
    /// Where health and metrics are served
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// The ledger's database file
    #[arg(long, value_name = "PATH")]
    pub ledger: Option<PathBuf>,
    /// A filter list in adblock syntax; may be given several times
    #[arg(long, value_name = "PATH|URL")]
    pub lists: Vec<PathBuf>,
    /// A catalogue file of your own; may be given several times
    #[arg(long, value_name = "PATH")]
    pub catalogue: Vec<PathBuf>,
    /// enforce: carry verdicts out; observe: only record them
    #[arg(long, value_name = "MODE", value_parser = read_mode)]
    pub mode: Option<Mode>,
    /// Certificate chain (PEM): serve https
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Where the file has mistakes, start with the one that worked last
    #[arg(long, requires = "config")]
    pub last_good: bool,
    /// A file that says which process serves, and that one serves at all
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Start beside the consentry that holds the pid file, which leaves when this one serves
    #[arg(long, requires = "pid_file")]
    pub take_over: bool,
}

fn read_mode(text: &str) -> Result<Mode, String> {
    [Mode::Enforce, Mode::Observe, Mode::Safe]
        .into_iter()
        .find(|mode| mode.name() == text)
        .ok_or_else(|| "the modes are `enforce`, `observe` and `safe`".to_owned())
}

impl ServeArgs {
    /// What these flags override.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen,
            admin: self.admin,
            origin: self.origin.clone(),
            ledger: self.ledger.clone(),
            lists: self.lists.clone(),
            catalogue: self.catalogue.clone(),
            mode: self.mode,
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
        }
    }
}
