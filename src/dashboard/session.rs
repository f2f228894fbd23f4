//! Who is signed in. Kept in memory alone, so a restart ends every session.

use crate::dashboard::settings::Settings;
use crate::dashboard::users::Role;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After so long without a request, whoever comes next may be somebody else.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// After so long everybody signs in again.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);

/// Sessions that are kept at the same time; the one longest unused goes first.
const MOST: usize = 1000;

/// Somebody who is signed in, for as long as one request takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who they are, as it stands on record.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What every form of theirs carries, so that no other page can make one.
    pub csrf: String,
    /// How they came in.
    pub way: Way,
}

/// How somebody came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With a password.
    Password,
    /// With the link that only who may read the ledger can see.
    Link,
    /// A program, with a token in every request.
    Token,
}

/// Who an open session belongs to.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    /// A user of the configuration, as long as their password stays the same.
    User { name: String, password: [u8; 32] },
    /// Whoever may read the ledger, as long as there are no users.
    Local,
}

/// A user's name where there are no users.
pub(super) const LOCAL: &str = "local";

struct Open {
    holder: Holder,
    csrf: String,
    since: Instant,
    used: Instant,
}

/// Every open session, by the hash of its id: what leaks from memory or by the
/// time a look-up takes is of no use.
#[derive(Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<[u8; 32], Open>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    /// Begins a session; its id, or `None` when the system has no random
    /// numbers.
    pub(super) fn begin(&self, holder: Holder, now: Instant) -> Option<String> {
        let (id, csrf) = (secret()?, secret()?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| session.lasts(now));
        if open.len() >= MOST
            && let Some(oldest) = open.iter().min_by_key(|(_, session)| session.used)
        {
            let oldest = *oldest.0;
            open.remove(&oldest);
        }
        open.insert(hash(&id), Open { holder, csrf, since: now, used: now });
        Some(id)
    }

    /// The session with that id, if it still lasts and its holder is still who
    /// the configuration knows.
    pub(super) fn find(&self, id: &str, settings: &Settings, now: Instant) -> Option<Session> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = hash(id);
        let session = open.get_mut(&key)?;
        let holder = session.holder.today(settings).filter(|_| session.lasts(now));
        let Some((name, role, way)) = holder else {
            open.remove(&key);
            return None;
        };
        session.used = now;
        Some(Session { name, role, csrf: session.csrf.clone(), way })
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(id));
    }
}

impl Open {
    fn lasts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < IDLE
            && now.saturating_duration_since(self.since) < LONGEST
    }
}

impl Holder {
    /// Name, role and way in by what the configuration says now.
    fn today(&self, settings: &Settings) -> Option<(String, Role, Way)> {
        match self {
            Self::User { name, password } => {
                let user = settings.user(name)?;
                (user.password.fingerprint() == *password)
                    .then(|| (user.name.clone(), user.role, Way::Password))
            }
            Self::Local => {
                settings.users.is_empty().then(|| (LOCAL.to_owned(), Role::Operator, Way::Link))
            }
        }
    }
}

/// 256 random bits in a form that fits a cookie and an address.
pub(super) fn secret() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

pub(super) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Whether two secrets are the same; how long that takes says nothing of how
/// much of them is.
pub(super) fn same(one: &str, other: &str) -> bool {
    hash(one) == hash(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::users::{PasswordHash, User};

    fn settings(password: &PasswordHash) -> Settings {
        let user = User { name: "ana".into(), password: password.clone(), role: Role::Officer };
        Settings { users: vec![user], ..Settings::default() }
    }

    fn hash_of(password: &str) -> PasswordHash {
        PasswordHash::make(password).unwrap()
    }

    fn ana(password: &PasswordHash) -> Holder {
        Holder::User { name: "ana".into(), password: password.fingerprint() }
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_after_twelve_hours_anyway() {
        let (sessions, password) = (Sessions::default(), hash_of("a"));
        let settings = settings(&password);
        let start = Instant::now();
        let minutes = |count: u64| start + Duration::from_secs(60 * count);
        let id = sessions.begin(ana(&password), start).unwrap();
        assert!(sessions.find(&id, &settings, minutes(29)).is_some());
        assert!(sessions.find(&id, &settings, minutes(58)).is_some());
        assert!(sessions.find(&id, &settings, minutes(89)).is_none());
        assert!(sessions.find(&id, &settings, minutes(58)).is_none(), "it came back");

        let id = sessions.begin(ana(&password), start).unwrap();
        let last = (1..)
            .map(|turn| 20 * turn)
            .find(|&minute| sessions.find(&id, &settings, minutes(minute)).is_none());
        assert_eq!(last, Some(12 * 60));
    }

    #[test]
    fn a_new_password_ends_every_session_of_before_and_nobody_elses() {
        let (sessions, before) = (Sessions::default(), hash_of("a"));
        let now = Instant::now();
        let id = sessions.begin(ana(&before), now).unwrap();
        let found = sessions.find(&id, &settings(&before), now).unwrap();
        assert_eq!((found.name.as_str(), found.role), ("ana", Role::Officer));
        assert!(sessions.find(&id, &settings(&hash_of("b")), now).is_none());
        let id = sessions.begin(ana(&before), now).unwrap();
        assert!(sessions.find(&id, &Settings::default(), now).is_none(), "she has left");
    }

    #[test]
    fn the_first_user_ends_what_came_in_by_the_link() {
        let sessions = Sessions::default();
        let now = Instant::now();
        let id = sessions.begin(Holder::Local, now).unwrap();
        let found = sessions.find(&id, &Settings::default(), now).unwrap();
        assert_eq!((found.role, found.way), (Role::Operator, Way::Link));
        assert!(sessions.find(&id, &settings(&hash_of("a")), now).is_none());
    }

    #[test]
    fn sessions_take_bounded_memory_and_the_unused_one_goes() {
        let sessions = Sessions::default();
        let now = Instant::now();
        let first = sessions.begin(Holder::Local, now).unwrap();
        let later = now + Duration::from_secs(1);
        let second = sessions.begin(Holder::Local, later).unwrap();
        for _ in 0..MOST - 1 {
            sessions.begin(Holder::Local, later).unwrap();
        }
        assert!(sessions.find(&first, &Settings::default(), later).is_none());
        assert!(sessions.find(&second, &Settings::default(), later).is_some());
        assert!(sessions.open.lock().unwrap().len() <= MOST);
        sessions.end(&second);
        assert!(sessions.find(&second, &Settings::default(), later).is_none());
    }
}
