//! Runs tables of hostile requests: each goes to the proxy byte for byte, and
//! an origin that believes nothing says what came through.

use crate::harness::{Proxy, consentry, origin};
use crate::strict::{Strict, StrictOrigin, requests};
use crate::wire::{PATIENCE, Wire};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What must become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// It is refused with a status, and the origin gets nothing complete.
    Refuse,
    /// The connection is ended, and the origin gets nothing: what was said is
    /// no HTTP of a version that could be answered in.
    Close,
    /// It is refused like that, or the origin gets one well-formed request.
    Clean,
    /// It is answered, and the origin gets one well-formed request.
    Answer,
}

/// One hostile request.
pub(crate) struct Case {
    name: String,
    bytes: Vec<u8>,
    expect: Expect,
}

pub(crate) fn refuse(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name: name.into(), bytes: bytes.into(), expect: Expect::Refuse }
}

pub(crate) fn close(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name: name.into(), bytes: bytes.into(), expect: Expect::Close }
}

pub(crate) fn clean(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name: name.into(), bytes: bytes.into(), expect: Expect::Clean }
}

pub(crate) fn answer(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name: name.into(), bytes: bytes.into(), expect: Expect::Answer }
}

/// Some bytes in a row.
pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A connection ends soon after all that was said on it is answered.
const SETTINGS: &str = "[listener]\nworkers = 1\n[timeouts]\nrequest_head_s = 1\n\
    request_body_s = 1\nvisitor_idle_s = 0.01\n[limits]\nrequests_per_second = 0";

/// Runs a table, and says all that went wrong at once.
pub(crate) async fn run(cases: Vec<Case>) {
    let strict = StrictOrigin::start().await;
    // The harness wants one of its own; this one is never asked.
    let unused = origin().start().await;
    let proxy = consentry(&unused)
        .origin(&format!("http://{}", strict.address))
        .config(SETTINGS)
        .start()
        .await;
    let count = cases.len();
    let mut failures = Vec::new();
    for Case { name, bytes, expect } in cases {
        let heard = says(&proxy, &bytes).await;
        // Whatever comes of it is on its way to the origin before this is.
        let others = Wire::to(proxy.address).await.asks("GET", "/others", "").await;
        if (others.status, others.text()) != (200, "fine") {
            failures.push(format!("{name}: others get {} {}", others.status, others.text()));
        }
        let mut got = strict.takes().await;
        let asked = got.iter().position(|bytes| bytes.starts_with(b"GET /others "));
        got.remove(asked.unwrap_or_else(|| panic!("{name}: the others' request is gone: {got:?}")));
        if let Err(why) = judge(expect, &heard, &got) {
            failures.push(format!("{name}: {why}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {count} went wrong:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Says something and listens until the proxy ends the connection.
async fn says(proxy: &Proxy, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(proxy.address).await.unwrap();
    let (mut reading, mut writing) = socket.split();
    let mut heard = Vec::new();
    let listening = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = reading.read(&mut buffer).await {
            heard.extend_from_slice(&buffer[..length]);
        }
    };
    // Who is refused is not read to the end.
    let both = async { tokio::join!(writing.write_all(bytes), listening) };
    let ended = tokio::time::timeout(PATIENCE, both).await;
    assert!(ended.is_ok(), "the connection goes on after {}", heard.escape_ascii());
    heard
}

fn judge(expect: Expect, heard: &[u8], got: &[Vec<u8>]) -> Result<(), String> {
    let statuses = statuses(heard);
    let mut complete: Vec<Strict> = Vec::new();
    for bytes in got {
        let read = requests(bytes).map_err(|why| {
            let shown: Vec<u8> = bytes.iter().take(600).copied().collect();
            format!("malformed at the origin: {why} in {}", shown.escape_ascii())
        })?;
        complete.extend(read);
    }
    // Silence is no answer: whoever is not told asks again.
    let refused =
        !statuses.is_empty() && statuses.iter().all(|status| (400..=505).contains(status));
    match (expect, complete.len()) {
        (Expect::Refuse | Expect::Clean, 0) if refused => Ok(()),
        (Expect::Close, 0) if refused || heard.is_empty() => Ok(()),
        (Expect::Clean | Expect::Answer, 1) if statuses.first() == Some(&200) => Ok(()),
        (_, 1..) => Err(format!("the origin got {complete:?}; answers {statuses:?}")),
        _ => Err(format!("answers {statuses:?}, at the origin {got:?}")),
    }
}

fn statuses(heard: &[u8]) -> Vec<u16> {
    let text: String = heard.escape_ascii().to_string();
    text.split("HTTP/1.").skip(1).filter_map(|answer| answer.get(2..5)?.parse().ok()).collect()
}

#[test]
fn what_must_not_come_through_is_noticed() {
    let one = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
    let two = one.repeat(2);
    let fine: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let bad: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    for (expect, heard, got, right) in [
        (Expect::Refuse, bad, vec![], true),
        (Expect::Refuse, bad, vec![b"GET / HTTP".to_vec()], true),
        (Expect::Refuse, b"", vec![b"GET / HTTP".to_vec()], false),
        (Expect::Refuse, b"", vec![], false),
        (Expect::Close, b"", vec![], true),
        (Expect::Close, fine, vec![], false),
        (Expect::Close, b"", vec![one.clone()], false),
        (Expect::Refuse, fine, vec![one.clone()], false),
        (Expect::Refuse, fine, vec![], false),
        (Expect::Clean, fine, vec![one.clone()], true),
        (Expect::Clean, fine, vec![two], false),
        (Expect::Clean, fine, vec![one.clone(), one.clone()], false),
        (Expect::Clean, fine, vec![b"GET /\r\n\r\n".to_vec()], false),
        (Expect::Answer, bad, vec![], false),
        (Expect::Answer, fine, vec![one], true),
    ] {
        assert_eq!(judge(expect, heard, &got).is_ok(), right, "{expect:?} {got:?}");
    }
}
