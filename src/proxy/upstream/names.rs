//! Looks up origins' names, again for every new connection: an origin that
//! moves is followed.

use domain::base::Name;
use domain::resolv::StubResolver;
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// How many addresses of one name are tried.
const MOST: usize = 8;

/// Who is asked.
pub(super) struct Names {
    /// `None` for the system, which also reads its own files.
    asked: Option<StubResolver>,
}

impl Names {
    pub(super) fn new(server: Option<SocketAddr>) -> Self {
        let asked = server.map(|server| {
            let mut conf = ResolvConf::new();
            conf.servers.push(ServerConf::new(server, Transport::UdpTcp));
            conf.finalize();
            StubResolver::from_conf(conf)
        });
        Self { asked }
    }

    /// The addresses of a host: IPv6 and IPv4 in turn, as RFC 8305 (section 4)
    /// asks for, so that a network without one of them costs little time.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found: Vec<SocketAddr> = match &self.asked {
            None => tokio::net::lookup_host((host, port)).await?.collect(),
            Some(resolver) => {
                let name: Name<Vec<u8>> = host.parse().map_err(io::Error::other)?;
                resolver.lookup_host(&name).await?.port_iter(port).collect()
            }
        };
        Ok(in_turn(found))
    }
}

fn in_turn(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first_kind = found.first().map(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| Some(address.is_ipv6()) == is_first_kind);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    while all.len() < MOST {
        let before = all.len();
        all.extend(first.next());
        all.extend(second.next());
        if all.len() == before {
            break;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k3_addresses_of_both_kinds_are_tried_in_turn() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let found = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"]);
        let expected = addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(in_turn(found), expected);
        assert!(in_turn(Vec::new()).is_empty());
        let many: Vec<_> = (1..100).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        assert_eq!(in_turn(many).len(), MOST);
    }
}
