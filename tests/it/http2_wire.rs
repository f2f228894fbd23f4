//! Speaks HTTP/2 in frames: what a well-behaved client library would not send.

use crate::harness::Proxy;
use crate::tls::Authority;

use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(30);

/// One frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A final answer.
    Status(u16),
    /// The stream was reset, or the connection ended.
    Refused,
    /// Nothing came within a while.
    Silence,
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field section, every line a literal that is never indexed (RFC 7541, 6.2.3).
pub(crate) fn fields(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        for text in [name, value] {
            whole(&mut block, text.len(), 7);
            block.extend_from_slice(text);
        }
    }
    block
}

/// An integer (RFC 7541, 5.1).
fn whole(block: &mut Vec<u8>, number: usize, prefix: u32) {
    let most = (1 << prefix) - 1;
    if number < most {
        block.push(u8::try_from(number).unwrap());
        return;
    }
    block.push(u8::try_from(most).unwrap());
    let mut rest = number - most;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The pseudo-fields of a GET, and more.
pub(crate) fn get(path: &str, more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut all: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", path.as_bytes()),
        (b":authority", b"shop.example"),
    ];
    all.extend_from_slice(more);
    fields(&all)
}

/// One connection.
pub(crate) struct Frames {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// A connection over TLS on which HTTP/2 was agreed, with nothing sent.
pub(crate) async fn connect(authority: &Authority, address: SocketAddr) -> TlsStream<TcpStream> {
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("shop.example").unwrap();
    let stream = authority.connector_for(&[b"h2"]).connect(name, socket).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream
}

impl Frames {
    /// A connection with the preface and our settings sent: no dynamic table,
    /// so that statuses can be read without state.
    pub(crate) async fn to(authority: &Authority, proxy: &Proxy) -> Self {
        let mut frames = Self::silent(authority, proxy).await;
        frames.says(PREFACE).await;
        frames.says(&frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])).await;
        frames
    }

    /// A connection with nothing sent.
    pub(crate) async fn silent(authority: &Authority, proxy: &Proxy) -> Self {
        Self { stream: connect(authority, proxy.address).await, buffer: Vec::new() }
    }

    /// Writes; that the other side does not listen any more is no mistake.
    /// Whether all of it was taken within a while.
    pub(crate) async fn says(&mut self, bytes: &[u8]) -> bool {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        matches!(tokio::time::timeout(PATIENCE, write).await, Ok(Ok(())))
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut piece = vec![0; 16 * 1024];
            match self.stream.read(&mut piece).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.buffer.extend_from_slice(&piece[..length]),
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.buffer.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.buffer.get(9..9 + length)?.to_vec();
        self.buffer.drain(..9 + length);
        Some(Frame { kind, flags, stream, payload })
    }

    /// What becomes of the request on a stream.
    pub(crate) async fn outcome(&mut self, stream: u32, patience: Duration) -> Outcome {
        let wait = async {
            while let Some(frame) = self.next().await {
                match frame.kind {
                    SETTINGS if frame.flags & ACK == 0 => {
                        self.says(&super::http2_wire::frame(SETTINGS, ACK, 0, &[])).await;
                    }
                    GOAWAY if frame.payload[4..8] != [0; 4] => return Outcome::Refused,
                    RST_STREAM if frame.stream == stream => return Outcome::Refused,
                    HEADERS if frame.stream == stream => {
                        return Outcome::Status(status(&frame.payload));
                    }
                    _ => {}
                }
            }
            Outcome::Refused
        };
        tokio::time::timeout(patience, wait).await.unwrap_or(Outcome::Silence)
    }

    /// Reads until the connection ends; whether it does within a while.
    pub(crate) async fn ends(&mut self, patience: Duration) -> bool {
        let wait = async { while self.next().await.is_some() {} };
        tokio::time::timeout(patience, wait).await.is_ok()
    }
}

/// The status that begins an answer's fields (RFC 7541, 6 and appendices A, B).
fn status(block: &[u8]) -> u16 {
    let mut bytes = block.iter().copied().skip_while(|byte| byte & 0xe0 == 0x20);
    match bytes.next().unwrap() {
        indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed) - 0x88],
        0x48 | 0x08 | 0x18 => {
            let length = bytes.next().unwrap();
            let text: Vec<u8> = bytes.take(usize::from(length & 0x7f)).collect();
            if length & 0x80 == 0 {
                return std::str::from_utf8(&text).unwrap().parse().unwrap();
            }
            digits(&text)
        }
        other => panic!("a status was expected, and there is {other:x}"),
    }
}

/// Three digits in Huffman's code: 0 to 2 have five bits, the others six.
fn digits(text: &[u8]) -> u16 {
    let mut bits = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| (byte >> bit) & 1));
    let mut number = 0;
    for _ in 0..3 {
        let mut code = 0;
        for _ in 0..5 {
            code = code << 1 | u16::from(bits.next().unwrap());
        }
        let digit = match code {
            0..=2 => code,
            _ => (code << 1 | u16::from(bits.next().unwrap())) - 0b01_1001 + 3,
        };
        number = number * 10 + digit;
    }
    number
}
