//! The secrets that sign choices: found, or made on the first start.

use crate::config::file::{Consent, Origin};
use crate::config::findings::Findings;
use crate::consent::Keys;
use crate::enforce::StatementKey;
use crate::mistake::Mistake;

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Secrets that work, and whether they outlive the process.
pub(super) enum Found {
    /// They stand in a file, or that file has a mistake and nothing starts.
    Kept(Keys),
    /// There is no such file yet.
    Fresh { file: PathBuf, secret: [u8; 32] },
}

/// The keys file; next to the ledger unless the operator says otherwise.
pub(super) fn path(consent: &Consent, ledger: &Path) -> PathBuf {
    if !consent.keys_file.get_ref().is_empty() {
        return PathBuf::from(consent.keys_file.get_ref());
    }
    let mut name = ledger.as_os_str().to_owned();
    name.push(".keys");
    PathBuf::from(name)
}

/// Reads the keys file. Writes nothing, so that a check leaves no trace.
pub(super) fn find(consent: &Consent, file: PathBuf, findings: &mut Findings<'_>) -> Found {
    let mut secret = [0; 32];
    let shown = file.display().to_string();
    findings.stamps.look_at(&file);
    match fs::read_to_string(&file) {
        Ok(text) => {
            warn_if_open(&file, findings);
            match Keys::parse(&text) {
                Ok(keys) => return Found::Kept(keys),
                Err(error) => findings.mistakes.push(Mistake::in_file(&shown, error.to_string())),
            }
        }
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            if getrandom::fill(&mut secret).is_ok() {
                return Found::Fresh { file, secret };
            }
            findings
                .mistakes
                .push(Mistake::in_file(&shown, "the system gives no random numbers for a key"));
        }
        Err(error) => {
            findings.wrong(
                &consent.keys_file,
                format!("the keys in `{shown}` cannot be read: {error}"),
            );
        }
    }
    Found::Kept(Keys::from_secret(secret))
}

/// The secret that signs what origins are told.
pub(super) fn statement(origin: &Origin, findings: &mut Findings<'_>) -> Option<StatementKey> {
    let written = &origin.statement_key_file;
    if written.get_ref().is_empty() {
        return None;
    }
    match findings.read(written) {
        Ok(text) => {
            warn_if_open(Path::new(written.get_ref()), findings);
            let key = StatementKey::parse(&text);
            if key.is_none() {
                let message = "the key is 64 hexadecimal digits (32 random bytes)";
                let mistake = Mistake::in_file(written.get_ref(), message);
                findings.mistakes.push(mistake.advise("make one with `openssl rand -hex 32`"));
            }
            key
        }
        Err(error) => {
            findings.unreadable(written, &error);
            None
        }
    }
}

/// Warns about a secret that is none.
pub(super) fn warn_if_open(file: &Path, findings: &mut Findings<'_>) {
    if fs::metadata(file).is_ok_and(|file| file.mode() & 0o007 != 0) {
        findings.warnings.push(format!(
            "{}: everybody on this machine can read what is secret in it; run `chmod 600 {0}`",
            file.display()
        ));
    }
}

impl Found {
    pub(super) fn keys(&self) -> Keys {
        match self {
            Self::Kept(keys) => keys.clone(),
            Self::Fresh { secret, .. } => Keys::from_secret(*secret),
        }
    }

    /// Writes fresh keys for the next start. Where that fails the proxy still
    /// works, so it is a warning: a read-only container is a fair way to try.
    pub(super) fn keep(self, findings: &mut Findings<'_>) {
        let Self::Fresh { file, secret } = self else { return };
        match write(&file, &secret) {
            Ok(()) => findings.stamps.wrote(&file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let message = "another process made this file just now";
                findings.mistakes.push(Mistake::in_file(&file.display().to_string(), message).advise("start again"));
            }
            Err(error) => findings.warnings.push(format!(
                "{}: the keys that sign choices cannot be kept ({error}); every start and reload forgets what visitors chose",
                file.display()
            )),
        }
    }
}

fn write(file: &Path, secret: &[u8; 32]) -> io::Result<()> {
    if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut line = String::with_capacity(65);
    for byte in secret {
        let _ = write!(line, "{byte:02x}");
    }
    line.push('\n');
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}
