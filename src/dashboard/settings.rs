//! What an operator can set about the dashboard.

use crate::dashboard::users::{ApiToken, User};

use http::uri::Authority;
use ipnet::IpNet;
use std::net::IpAddr;

/// Who may enter, and by which names the dashboard is asked for.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Names it answers to beside its own address and those of this machine,
    /// in lower case.
    pub hosts: Vec<String>,
    /// Who signs in with a password; with none, whoever may read the ledger
    /// enters by a link.
    pub users: Vec<User>,
    /// Programs that ask.
    pub tokens: Vec<ApiToken>,
    /// Peers whose `X-Forwarded-*` fields are believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Settings {
    /// The user of that name.
    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Whether a request for `authority`, that arrived at `local`, is meant
    /// for us.
    ///
    /// A page of a stranger can have its own name lead to this address (DNS
    /// rebinding) and then talk to us as if it were ours; a name that we do
    /// not know is how that shows.
    pub(super) fn answers_to(&self, authority: &Authority, local: IpAddr) -> bool {
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            Ok(address) => {
                address.is_loopback()
                    || address == local.to_canonical()
                    || self.hosts.contains(&host)
            }
            Err(_) => host == "localhost" || self.hosts.contains(&host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_name_for_our_address_is_not_ours() {
        let settings =
            Settings { hosts: vec!["office.shop.example".into()], ..Settings::default() };
        let local: IpAddr = "192.0.2.7".parse().unwrap();
        for (host, ours) in [
            ("127.0.0.1:9180", true),
            ("localhost:9180", true),
            ("LOCALHOST", true),
            ("[::1]:9180", true),
            ("192.0.2.7:9180", true),
            ("192.0.2.8:9180", false),
            ("office.shop.example", true),
            ("Office.Shop.Example.:443", true),
            ("evil.office.shop.example", false),
            ("localhost.evil.example", false),
            ("rebound.example:9180", false),
        ] {
            assert_eq!(settings.answers_to(&host.parse().unwrap(), local), ours, "{host}");
        }
    }
}
