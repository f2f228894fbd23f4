//! Who may enter the dashboard, and what they may do there.

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;

/// What somebody may do, from less to more: whoever may do more may also do
/// everything before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything, says whose something is and who answers for it.
    Officer,
    /// Changes what is withheld, too.
    Operator,
}

impl Role {
    /// The name in the configuration, on pages and on record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Officer => "officer",
            Self::Operator => "operator",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Officer, Self::Operator].into_iter().find(|role| role.name() == name)
    }
}

/// Somebody who signs in with a password.
#[derive(Clone, Debug)]
pub struct User {
    /// What they sign in with, and what stands on record.
    pub name: String,
    /// What their password is checked against.
    pub password: PasswordHash,
    /// What they may do.
    pub role: Role,
}

/// A program that asks with `Authorization: Bearer`.
#[derive(Clone, Debug)]
pub struct ApiToken {
    /// What stands on record.
    pub name: String,
    /// The SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What it may do.
    pub role: Role,
}

/// A password's Argon2id hash in the PHC string format
/// (<https://github.com/P-H-C/phc-string-format>).
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(phc::PasswordHash);

/// The most memory that checking one password may take, in KiB: somebody who
/// is not signed in decides how often that happens.
const MAX_MEMORY_KIB: u32 = 256 * 1024;

/// The least, in KiB: less is quickly tried out on a stolen file
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>).
const MIN_MEMORY_KIB: u32 = 7 * 1024;

/// The most passes over that memory.
const MAX_PASSES: u32 = 16;

impl PasswordHash {
    /// Reads what `consentry hash-password` printed.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let hash = phc::PasswordHash::new(text).map_err(|_| "this is no password hash")?;
        if hash.algorithm.as_str() != "argon2id" || hash.hash.is_none() || hash.salt.is_none() {
            return Err("this is no argon2id hash");
        }
        let params =
            Params::try_from(&hash).map_err(|_| "the parameters of this hash are wrong")?;
        if params.m_cost() < MIN_MEMORY_KIB {
            return Err("this hash is too quickly tried out");
        }
        if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES {
            return Err("checking this hash takes too much memory or time");
        }
        Ok(Self(hash))
    }

    /// Hashes a password, with a salt of its own.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn make(password: &str) -> Result<Self, argon2::password_hash::Error> {
        Argon2::default().hash_password(password.as_bytes()).map(Self)
    }

    /// Whether it is of this password. Takes a while, and memory, on purpose.
    #[must_use]
    pub fn is_of(&self, password: &str) -> bool {
        Argon2::default().verify_password(password.as_bytes(), &self.0).is_ok()
    }

    /// Tells this hash from another one, without giving it away.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.to_string()).into()
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_and_of_no_other() {
        let hash = PasswordHash::make("correct horse").unwrap();
        let read = PasswordHash::read(&hash.to_string()).unwrap();
        assert!(read.is_of("correct horse"));
        assert!(!read.is_of("correct horse ") && !read.is_of(""));
        assert!(!format!("{read:?}").contains('$'));
    }

    #[test]
    fn what_protects_nobody_is_refused() {
        for text in [
            "",
            "secret",
            "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
            "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$V5dhcgDmkNUAFcs6k8zWKwJqQ4fD2VpV5M2n5pDYPNE",
            "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$V5dhcgDmkNUAFcs6k8zWKwJqQ4fD2VpV5M2n5pDYPNE",
            "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHRzYWx0$V5dhcgDmkNUAFcs6k8zWKwJqQ4fD2VpV5M2n5pDYPNE",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0",
        ] {
            assert!(PasswordHash::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_operator_may_do_what_an_officer_may() {
        assert!(Role::Operator > Role::Officer);
        assert_eq!(Role::from_name("operator"), Some(Role::Operator));
        assert_eq!(Role::from_name("Operator"), None);
    }
}
