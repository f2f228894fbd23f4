//! What can be wrong with a shared ledger, in words that say what to do about
//! it and never show a password, nor what a stranger wrote.

use crate::ledger::plain;
use crate::observe::chain;

use tokio_postgres::error::SqlState;

/// Why the shared ledger cannot be used at the moment.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody answers there, or not in a way that works.
    #[error(
        "the shared ledger {place} cannot be reached ({why}); look whether it runs, and whether the address is right"
    )]
    Unreachable {
        /// Where.
        place: String,
        /// What the network says.
        why: String,
    },
    /// The server does not let us in.
    #[error(
        "the shared ledger {place} does not let us in ({why}); check user and password in `postgres_url`, and pg_hba.conf on the server"
    )]
    Refused {
        /// Where.
        place: String,
        /// What the server says.
        why: String,
    },
    /// TLS cannot be set up, or the server's certificate is not to be trusted.
    #[error(
        "no secure connection to the shared ledger {place} ({why}); name the authority that signed the server's certificate in `postgres_ca_file`"
    )]
    Tls {
        /// Where.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// It took longer than anybody should wait.
    #[error("the shared ledger {place} did not answer within {seconds} seconds")]
    TooSlow {
        /// Where.
        place: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The role may not do what is needed.
    #[error(
        "the shared ledger {place} denies what is needed ({why}); docs/fleet.md lists the rights that a proxy needs"
    )]
    Denied {
        /// Where.
        place: String,
        /// What the server says.
        why: String,
    },
    /// The database says no in another way.
    #[error("the shared ledger {place} refuses ({why}); the server's own log tells more")]
    Database {
        /// Where.
        place: String,
        /// What the server says.
        why: String,
    },
    /// Something else is in the database.
    #[error("the database {place} holds something that is no consentry ledger; name an empty one")]
    NotALedger {
        /// Where.
        place: String,
    },
    /// Texts of the web do not fit into it.
    #[error("the database {place} has the encoding {found}; create one with ENCODING 'UTF8'")]
    Encoding {
        /// Where.
        place: String,
        /// The encoding it has.
        found: String,
    },
    /// A later version of consentry made it.
    #[error(
        "the shared ledger {place} has format {found}, and this consentry knows formats up to {known}; update it, entries wait until then"
    )]
    Newer {
        /// Where.
        place: String,
        /// The format it has.
        found: i64,
        /// The last format that is known here.
        known: i64,
    },
    /// No proxy has brought it up to date, or begun it.
    #[error(
        "the shared ledger {place} has format {found}, and this consentry reads {known}; a proxy of this version brings it up to date when it starts"
    )]
    Older {
        /// Where.
        place: String,
        /// The format it has.
        found: i64,
        /// The format that is read here.
        known: i64,
    },
    /// This ledger is not the one that was shipped before.
    #[error(
        "this proxy's own ledger is not the one it sent to the shared ledger {place} before (seal {seal} differs or is gone): was it restored from a backup, or copied to another machine? Move ledger and signing key away, and new ones are begun"
    )]
    Forked {
        /// Where.
        place: String,
        /// The last seal that was sent.
        seal: i64,
    },
    /// The proxy's own ledger lacks something.
    #[error(
        "this proxy's own ledger lacks {what}, so it cannot be sent; `consentry verify` tells more"
    )]
    Incomplete {
        /// What is missing.
        what: String,
    },
    /// The shared ledger says what it cannot say.
    #[error(
        "the shared ledger answers otherwise than it can ({why}); look whether somebody changed its tables by hand"
    )]
    Odd {
        /// What is odd about it.
        why: String,
    },
    /// This proxy's own ledger cannot be read.
    #[error("{why}")]
    Local {
        /// What is wrong with it.
        why: String,
    },
    /// The program is about to end.
    #[error("stopped")]
    Stopped,
}

impl Trouble {
    /// What an error of the connection means.
    pub(super) fn of(place: &str, error: &tokio_postgres::Error) -> Self {
        let place = place.to_owned();
        let Some(said) = error.as_db_error() else {
            let why = in_short(error);
            let is_tls = why.contains("certificate") || why.contains("TLS") || why.contains("tls");
            return if is_tls {
                Self::Tls { place, why }
            } else {
                Self::Unreachable { place, why }
            };
        };
        // The message alone: the detail quotes rows.
        let why = plain::text(said.message()).chars().take(300).collect();
        match said.code() {
            code if *code == SqlState::INSUFFICIENT_PRIVILEGE => Self::Denied { place, why },
            code if code.code().starts_with("28") => Self::Refused { place, why },
            code if code.code().starts_with("57P") || code.code().starts_with("08") => {
                Self::Unreachable { place, why }
            }
            _ => Self::Database { place, why },
        }
    }

    /// A value that is not of a sort that we ever asked for.
    pub(super) fn odd(error: &tokio_postgres::Error) -> Self {
        Self::Odd { why: in_short(error) }
    }
}

/// An error with its causes, as far as a page has room for it.
fn in_short(error: &dyn std::error::Error) -> String {
    plain::text(&chain(error)).chars().take(300).collect()
}
