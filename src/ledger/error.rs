//! What can be wrong with a ledger, in words that say what to do about it.

use crate::ledger::fleet::Trouble;

use std::io;
use std::path::PathBuf;

/// Why a ledger cannot be opened, read, or brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory it should lie in is not there.
    #[error("the ledger's directory `{}` does not exist; create it, or name another place for the ledger", .dir.display())]
    NoDirectory {
        /// The directory.
        dir: PathBuf,
    },
    /// The path names a directory.
    #[error("`{}` is a directory; the ledger is a file, such as `{}`", .path.display(), .path.join("ledger.db").display())]
    IsDirectory {
        /// The path.
        path: PathBuf,
    },
    /// A file or directory of the ledger cannot be read or written.
    #[error("the ledger cannot use `{}`: {source}; give the user consentry runs as write access to it and its directory", .path.display())]
    NotWritable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is there and may only be read.
    #[error("the ledger `{}` is read-only; give the user consentry runs as write access to the file and its directory", .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// There is no ledger to read.
    #[error("there is no ledger at `{}`; name the one your proxy writes with --ledger (`consentry serve` creates it when it starts)", .path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("`{}` is not a consentry ledger; name another file, or move this one away and a new ledger is begun", .path.display())]
    NotALedger {
        /// The file.
        path: PathBuf,
    },
    /// The file was a ledger once and is damaged.
    #[error("the ledger `{}` is damaged ({detail}); keep a copy, restore it from a backup (or rescue it with `sqlite3 {} .recover`), or move it away and a new ledger is begun", .path.display(), .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the check found.
        detail: String,
    },
    /// A file that should hold the key of checkpoints holds something else.
    #[error("`{}` holds no key for checkpoints (32 bytes in base64); restore it, or move it away and a new key is made: checkpoints kept elsewhere are then of another key", .path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// A later version of consentry wrote it.
    #[error("the ledger `{}` has format {found}, this consentry knows formats up to {known}; run the version that wrote it or a later one", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: i64,
        /// The last format that is known here.
        known: i64,
    },
    /// It was written by an older version and nothing brought it up to date.
    #[error("the ledger `{}` has format {found}, and this consentry reads {known}; `consentry serve` brings it up to date when it starts with it", .path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: i64,
        /// The format that is read here.
        known: i64,
    },
    /// The database says no in a way that has no words of its own here.
    #[error("the ledger `{}`: {source}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Something is wrong with the ledger that many proxies share.
    #[error(transparent)]
    Fleet(Trouble),
    /// An answer is not what was asked for.
    #[error(
        "the ledger's database answers with {found} in column {column}, where {expected} should be; look whether somebody changed its tables by hand"
    )]
    Misread {
        /// Which column, from 0.
        column: usize,
        /// What should be there.
        expected: &'static str,
        /// What is.
        found: &'static str,
    },
    /// What somebody did could not be put on record, so it must not be done.
    #[error(
        "this cannot be put on record: {source}; it was not done, try again when the ledger's disk has room and can be written"
    )]
    Unrecorded {
        /// What the system says.
        source: io::Error,
    },
    /// Not everything was stored in time. Nothing is lost by that: what is
    /// left stays in the spool and is stored later, by whoever writes next.
    #[error(
        "{queued_bytes} bytes are still in the ledger's spool ({why}); the next start stores them"
    )]
    Unfinished {
        /// How much is left.
        queued_bytes: u64,
        /// What stands in the way.
        why: String,
    },
}
