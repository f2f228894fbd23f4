//! Sockets that the service manager opened before it started us, as systemd
//! does for a `.socket` unit: nobody is refused while we start again.

use super::Failure;
use crate::cli::CONFIGURATION;
use crate::proxy::Listening;

use listenfd::ListenFd;
use std::env;
use std::net::TcpListener;

/// What the sockets are for, by the names that `FileDescriptorName=` gives.
const NAMES: [&str; 3] = ["http", "admin", "redirect"];

/// The sockets for visitors, for the operator and for visitors who come without
/// TLS, as far as there are any.
#[derive(Debug, Default)]
pub struct Handed {
    /// Where visitors connect.
    pub public: Option<TcpListener>,
    /// Where the operator and the privacy officer connect.
    pub admin: Option<TcpListener>,
    /// Where plain http is answered with the way to https.
    pub redirect: Option<TcpListener>,
}

impl Handed {
    /// Takes what was handed to this process. It is done once, and before there
    /// is a second thread, for it takes variables out of the environment.
    ///
    /// # Errors
    /// When there is one that we do not know what to do with.
    pub(super) fn take() -> Result<Self, Failure> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut sockets = ListenFd::from_env();
        let places = places(&names, sockets.len()).map_err(refused)?;
        let mut handed = Self::default();
        for (index, place) in places.into_iter().enumerate() {
            let socket = sockets.take_tcp_listener(index).map_err(|error| {
                refused(format!("socket {} is not one to listen on: {error}", index + 1))
            })?;
            match place {
                Place::Public => handed.public = socket,
                Place::Admin => handed.admin = socket,
                Place::Redirect => handed.redirect = socket,
            }
        }
        Ok(handed)
    }

    /// How the sockets are opened: those that are not here as `otherwise` says.
    pub(super) fn listening(
        self,
        otherwise: fn() -> Listening,
    ) -> (Listening, Listening, Listening) {
        let each = |socket: Option<TcpListener>| socket.map_or_else(otherwise, Listening::Handed);
        (each(self.public), each(self.admin), each(self.redirect))
    }
}

fn refused(why: String) -> Failure {
    Failure::new(CONFIGURATION, format!("the sockets that this program was started with: {why}"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Public,
    Admin,
    Redirect,
}

/// What each of `count` sockets is for: as their names say, or else in the
/// order of our names. A socket unit's own name tells nothing.
fn places(names: &str, count: usize) -> Result<Vec<Place>, String> {
    let names: Vec<_> = names.split(':').take(count).collect();
    let named = names.iter().any(|name| NAMES.contains(name));
    let mut places = Vec::new();
    for index in 0..count {
        let name = names.get(index).copied().unwrap_or_default();
        let place = match (named, index) {
            (true, _) if name == "http" => Place::Public,
            (true, _) if name == "admin" => Place::Admin,
            (true, _) if name == "redirect" => Place::Redirect,
            (true, _) => {
                return Err(format!(
                    "`{name}` is no name of ours; they are `http`, `admin` and `redirect`"
                ));
            }
            (false, 0) => Place::Public,
            (false, 1) => Place::Admin,
            (false, 2) => Place::Redirect,
            (false, _) => {
                return Err(format!(
                    "there are {count}; there is one for visitors, one for the operator and one for plain http"
                ));
            }
        };
        if places.contains(&place) {
            return Err(format!("there are two called `{name}`"));
        }
        places.push(place);
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Place::{Admin, Public, Redirect};

    #[test]
    fn k2_sockets_are_told_apart_by_name_or_by_order() {
        for (names, count, expected) in [
            ("", 0, Ok(vec![])),
            ("http:admin", 0, Ok(vec![])),
            ("", 1, Ok(vec![Public])),
            ("", 2, Ok(vec![Public, Admin])),
            ("consentry.socket:consentry.socket", 2, Ok(vec![Public, Admin])),
            ("http", 1, Ok(vec![Public])),
            ("admin", 1, Ok(vec![Admin])),
            ("admin:http", 2, Ok(vec![Admin, Public])),
            ("", 3, Ok(vec![Public, Admin, Redirect])),
            ("redirect:http", 2, Ok(vec![Redirect, Public])),
            ("", 4, Err("there are 4")),
            ("http:http", 2, Err("two called `http`")),
            ("http:metrics", 2, Err("`metrics` is no name")),
            ("http", 2, Err("`` is no name")),
        ] {
            match (places(names, count), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{names} {count}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{names} {count}: {why}"),
                (found, expected) => panic!("{names} {count}: {found:?}, not {expected:?}"),
            }
        }
    }
}
