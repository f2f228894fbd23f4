//! Reads whose connection it is where a balancer passes on connections, not
//! requests, and says so in front of each: the PROXY protocol, versions 1 and 2
//! (HAProxy's proxy-protocol.txt).

use crate::proxy::head::Peer;

use ppp::{HeaderResult, v1, v2};
use std::io;
use std::net::SocketAddr;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The shortest header of version 1 has 15 bytes, so both can be told apart by
/// what is there of any.
const FIRST: usize = 12;
/// The longest header of version 1 (2.1 there).
const LONGEST_TEXT: usize = 107;
/// The rest of a header's fixed part in version 2 (2.2 there).
const REST: usize = 4;
/// The longest header of version 2 that is taken, in bytes; two kilobytes are
/// what balancers send at most.
const LONGEST: usize = 4096;
/// Says that the visitor came over TLS (2.2.5 there), in the first bit.
const SSL: u8 = 0x20;

/// Why a connection was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It broke off.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// What came is no such header.
    #[error("it does not begin with a PROXY header")]
    NoHeader,
}

/// Reads the header in front of everything else. A connection of the balancer
/// itself, such as a look at our health, keeps its own address.
pub(super) async fn read(socket: &mut TcpStream, own: SocketAddr) -> Result<Peer, Refused> {
    let mut header = vec![0; FIRST];
    socket.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        let mut rest = [0; REST];
        socket.read_exact(&mut rest).await?;
        let [.., high, low] = rest;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > LONGEST {
            return Err(Refused::NoHeader);
        }
        header.extend(rest);
        let fixed = header.len();
        header.resize(fixed + length, 0);
        socket.read_exact(header.get_mut(fixed..).unwrap_or_default()).await?;
    } else if header.starts_with(b"PROXY ") {
        while !header.ends_with(b"\r\n") {
            if header.len() >= LONGEST_TEXT {
                return Err(Refused::NoHeader);
            }
            header.push(socket.read_u8().await?);
        }
    }
    peer(&header, own).ok_or(Refused::NoHeader)
}

fn peer(header: &[u8], own: SocketAddr) -> Option<Peer> {
    let address = match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => match header.addresses {
            v1::Addresses::Tcp4(ip) => SocketAddr::new(ip.source_address.into(), ip.source_port),
            v1::Addresses::Tcp6(ip) => SocketAddr::new(ip.source_address.into(), ip.source_port),
            v1::Addresses::Unknown => own,
        },
        HeaderResult::V2(Ok(header)) => {
            let address = match (header.command, header.addresses) {
                (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
                    SocketAddr::new(ip.source_address.into(), ip.source_port)
                }
                (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
                    SocketAddr::new(ip.source_address.into(), ip.source_port)
                }
                _ => own,
            };
            let tls = header.tlvs().flatten().any(|field| {
                field.kind == SSL && field.value.first().is_some_and(|client| client & 1 == 1)
            });
            return Some(Peer { address, tls });
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => return None,
    };
    Some(Peer { address, tls: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_whose_connection_it_is() {
        let own: SocketAddr = "10.0.0.1:5".parse().unwrap();
        let binary = |rest: &[u8]| [v2::PROTOCOL_PREFIX, rest].concat();
        let ip4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x30, 0x39, 1, 187];
        let ip6 = [&[0x20, 1, 13, 184][..], &[0; 11], &[7], &[0; 16], &[0x30, 0x39, 1, 187]];
        let with_tls = [&[0x21, 0x11, 0, 20][..], &ip4, &[SSL, 0, 5, 1, 0, 0, 0, 0]].concat();
        let not_tls = [&[0x21, 0x11, 0, 20][..], &ip4, &[SSL, 0, 5, 0, 0, 0, 0, 0]].concat();
        for (header, expected) in [
            (
                b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 443\r\n".to_vec(),
                Some(("203.0.113.7:12345", false)),
            ),
            (
                b"PROXY TCP6 2001:db8::7 ::1 12345 443\r\n".to_vec(),
                Some(("[2001:db8::7]:12345", false)),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), Some(("10.0.0.1:5", false))),
            (
                binary(&[&[0x21, 0x11, 0, 12][..], &ip4].concat()),
                Some(("203.0.113.7:12345", false)),
            ),
            (
                binary(&[&[0x21, 0x21, 0, 36][..], &ip6.concat()].concat()),
                Some(("[2001:db8::7]:12345", false)),
            ),
            (binary(&with_tls), Some(("203.0.113.7:12345", true))),
            (binary(&not_tls), Some(("203.0.113.7:12345", false))),
            // LOCAL: the balancer looks whether we are there.
            (binary(&[&[0x20, 0x11, 0, 12][..], &ip4].concat()), Some(("10.0.0.1:5", false))),
            (binary(&[0x21, 0x00, 0, 0]), Some(("10.0.0.1:5", false))),
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 12345\r\n".to_vec(), None),
            (b"PROXY TCP4 203.0.113.777 10.0.0.1 1 2\r\n".to_vec(), None),
            (b"GET / HTTP/1.1\r\n".to_vec(), None),
            (binary(&[0x31, 0x11, 0, 0]), None),
            (binary(&[0x21, 0x11, 0, 3, 1, 2, 3]), None),
        ] {
            let found = peer(&header, own).map(|peer| (peer.address.to_string(), peer.tls));
            let expected = expected.map(|(address, tls)| (address.to_owned(), tls));
            assert_eq!(found, expected, "{}", header.escape_ascii());
        }
    }
}
