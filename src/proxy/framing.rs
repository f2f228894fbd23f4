//! Follows where a visitor's messages begin and end, more strictly than hyper.
//!
//! hyper is kind to what old clients send: lines that end with LF alone, a
//! list of transfer codings whose last is `chunked`, a length beside chunks,
//! anything at all behind a chunk's size. Somebody else on the way may read
//! the same bytes differently, and then one request is two (RFC 9112, 11.2).
//! So each byte is looked at before hyper sees it. What can be read in two
//! ways never gets there: hyper is handed something that nobody takes for a
//! request, and refuses that.

use memchr::memchr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use tokio::io::ReadBuf;

/// What hyper gets in place of something unclear within a head. Whatever came
/// before, this ends a head that is none.
const UNCLEAR: &[u8] = b"\0\r\n\r\n";

/// How much is looked at of a line, in however many pieces it arrives. No line
/// that matters here is longer, unless somebody wants it to be.
const LINE: usize = 256;

/// RFC 9112, 2.2: some old clients send an empty line behind a body.
const EMPTY_LINES: u8 = 4;

/// What the connection must know of the requests on it, and what it tells us.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Whether the last request asks to switch protocols.
    switching: AtomicU8,
    /// Which request was the last to ask for the server as a whole.
    server_wide: AtomicUsize,
}

const STAYS: u8 = 0;
const ASKS: u8 = 1;
/// It asks, and something that is no HTTP may have come already.
const ASKS_AND_SPEAKS: u8 = 2;

impl Signs {
    /// The last request did not switch protocols. Whether something came
    /// behind it that nobody looked at, so that no request may follow.
    pub(super) fn stays(&self) -> bool {
        self.switching.swap(STAYS, Ordering::Relaxed) == ASKS_AND_SPEAKS
    }

    /// Whether this one, counted from 1, asks `OPTIONS http://host` (RFC 9112,
    /// 3.2.4): `http::Uri` does not tell it from `OPTIONS http://host/`.
    pub(super) fn is_server_wide(&self, request: usize) -> bool {
        self.server_wide.load(Ordering::Relaxed) == request
    }
}

/// Follows one connection's bytes.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    /// Its last byte, which may be too far away to be kept.
    last: u8,
    asked: Asked,
    /// How many heads there were.
    heads: usize,
}

#[derive(Debug)]
enum State {
    /// Before a request, after so many empty lines.
    Before(u8),
    Fields,
    /// In a body with so many bytes left.
    Body(u64),
    Size,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// Perhaps this is another protocol already.
    Switching,
    /// Something was unclear; this is what hyper has not got of `UNCLEAR` yet.
    Refused(&'static [u8]),
}

/// What a head says about what follows it.
#[derive(Debug, Default)]
struct Asked {
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

/// It can be read in more than one way.
#[derive(Debug, PartialEq, Eq)]
struct Unclear;

impl Framing {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Before(0),
            begun: Vec::new(),
            last: 0,
            asked: Asked { length: None, chunked: false, upgrade: false },
            heads: 0,
        }
    }

    /// Whether nothing more is read from this visitor; then `into` has what
    /// hyper is to get instead, or nothing.
    pub(super) fn has_refused(&mut self, into: &mut ReadBuf<'_>) -> bool {
        let State::Refused(left) = &mut self.state else { return false };
        let (now, later) = left.split_at(left.len().min(into.remaining()));
        into.put_slice(now);
        *left = later;
        true
    }

    /// Looks at what was read behind the first `before` bytes.
    pub(super) fn read(&mut self, into: &mut ReadBuf<'_>, before: usize, signs: &Signs) {
        let Some(new) = into.filled().get(before..) else { return };
        if let Some(at) = self.unclear_at(new, signs) {
            let in_body = matches!(
                self.state,
                State::Body(_) | State::Size | State::Chunk(_) | State::ChunkEnd | State::Trailers
            );
            into.set_filled(before + at);
            // A body that ends too early is refused for that.
            self.state = State::Refused(if in_body { b"" } else { UNCLEAR });
            self.begun = Vec::new();
            tracing::debug!("a request can be read in more than one way");
            self.has_refused(into);
        }
    }

    /// Where the piece begins that is unclear.
    fn unclear_at(&mut self, bytes: &[u8], signs: &Signs) -> Option<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = bytes.len() - rest.len();
            match self.piece(rest, signs) {
                Ok(after) => rest = after,
                Err(Unclear) => return Some(at),
            }
        }
        None
    }

    /// Takes the next piece: a line, some of a body, or what there is.
    fn piece<'b>(&mut self, bytes: &'b [u8], signs: &Signs) -> Result<&'b [u8], Unclear> {
        match &mut self.state {
            State::Body(left) => {
                let rest = skip(bytes, left);
                if *left == 0 {
                    self.state = State::Before(0);
                }
                Ok(rest)
            }
            State::Chunk(left) => {
                let rest = skip(bytes, left);
                if *left == 0 {
                    self.state = State::ChunkEnd;
                }
                Ok(rest)
            }
            State::Switching => {
                if signs.switching.load(Ordering::Relaxed) == STAYS {
                    self.state = State::Before(0);
                    return Ok(bytes);
                }
                signs.switching.store(ASKS_AND_SPEAKS, Ordering::Relaxed);
                Ok(b"")
            }
            State::Refused(_) => Ok(b""),
            State::Before(_) | State::Fields | State::Size | State::ChunkEnd | State::Trailers => {
                self.piece_of_line(bytes, signs)
            }
        }
    }

    fn piece_of_line<'b>(&mut self, bytes: &'b [u8], signs: &Signs) -> Result<&'b [u8], Unclear> {
        let end = memchr(b'\n', bytes);
        let (piece, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        if matches!(self.state, State::Before(_)) && !piece.iter().all(is_of_target) {
            return Err(Unclear);
        }
        if end.is_some() && self.begun.is_empty() && piece.len() <= LINE {
            self.line(piece, signs)?;
            return Ok(rest);
        }
        let room = LINE.saturating_sub(self.begun.len());
        self.begun.extend(piece.iter().take(room));
        if end.is_none() {
            self.last = piece.last().copied().unwrap_or(self.last);
            return Ok(rest);
        }
        let mut begun = std::mem::take(&mut self.begun);
        if !begun.ends_with(b"\n") {
            let before_last = piece.iter().rev().nth(1).copied().unwrap_or(self.last);
            begun.extend([before_last, b'\n']);
        }
        self.line(&begun, signs)?;
        Ok(rest)
    }

    /// Takes a line with its end, and without its middle if it is very long.
    fn line(&mut self, line: &[u8], signs: &Signs) -> Result<(), Unclear> {
        let line = line.strip_suffix(b"\r\n").ok_or(Unclear)?;
        let is_whole = line.len() < LINE;
        match (&self.state, line) {
            (State::Before(empty), []) if *empty < EMPTY_LINES => {
                self.state = State::Before(empty + 1);
            }
            (State::Before(_), []) => return Err(Unclear),
            (State::Before(_), _) => {
                self.asked = Asked::default();
                self.heads = self.heads.wrapping_add(1);
                if is_whole && is_server_wide(line) {
                    signs.server_wide.store(self.heads, Ordering::Relaxed);
                }
                self.state = State::Fields;
            }
            (State::Fields, []) => self.state = self.asked.what_follows(signs)?,
            (State::Fields, _) => self.asked.field(line, is_whole)?,
            (State::Size, _) => {
                self.state = match size(line)? {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                }
            }
            (State::ChunkEnd, []) => self.state = State::Size,
            (State::ChunkEnd, _) => return Err(Unclear),
            (State::Trailers, []) => self.state = State::Before(0),
            // hyper reads them, within limits, and nobody gets them.
            (State::Trailers, _) => {}
            (State::Body(_) | State::Chunk(_) | State::Switching | State::Refused(_), _) => {}
        }
        Ok(())
    }
}

impl Asked {
    /// Takes notice of the fields that say where a message ends (RFC 9112, 6).
    fn field(&mut self, line: &[u8], is_whole: bool) -> Result<(), Unclear> {
        match line.first() {
            Some(b'c' | b'C' | b't' | b'T' | b'u' | b'U') => {}
            // Folded onto the line before, for some.
            Some(b' ' | b'\t') => return Err(Unclear),
            _ => return Ok(()),
        }
        let colon = memchr(b':', line).ok_or(Unclear)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() || self.chunked || !is_whole {
                return Err(Unclear);
            }
            self.length = Some(number(value, 10)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // RFC 9112, 6.1: chunks beside a length are an attack more often
            // than a mistake.
            let is_chunked = is_whole && value.eq_ignore_ascii_case(b"chunked");
            if self.length.is_some() || self.chunked || !is_chunked {
                return Err(Unclear);
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        }
        Ok(())
    }

    fn what_follows(&self, signs: &Signs) -> Result<State, Unclear> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Unclear),
            (None, true) => Ok(State::Size),
            (Some(left @ 1..), false) => Ok(State::Body(left)),
            (Some(0) | None, false) if self.upgrade => {
                signs.switching.store(ASKS, Ordering::Relaxed);
                Ok(State::Switching)
            }
            (Some(0) | None, false) => Ok(State::Before(0)),
        }
    }
}

/// What may stand in a request's first line: no fragment, which `http::Uri`
/// would drop in silence, and nothing beyond ASCII.
fn is_of_target(byte: &u8) -> bool {
    byte.is_ascii() && *byte != b'#'
}

fn is_server_wide(line: &[u8]) -> bool {
    let Some(target) = line.strip_prefix(b"OPTIONS ") else { return false };
    let target = target.split(|byte| *byte == b' ').next().unwrap_or_default();
    let mut parts = target.split(|byte| matches!(byte, b'/' | b'?'));
    // `http:`, nothing between the slashes, and the host with nothing behind.
    let is_absolute = parts.next().is_some_and(|scheme| scheme.ends_with(b":"));
    is_absolute
        && parts.next().is_some_and(<[u8]>::is_empty)
        && parts.next().is_some()
        && parts.next().is_none()
}

/// Skips what is left of a body.
fn skip<'b>(bytes: &'b [u8], left: &mut u64) -> &'b [u8] {
    let part = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= part as u64;
    bytes.get(part..).unwrap_or_default()
}

/// Digits and nothing else, and not so many that some lose count.
fn number(digits: &[u8], radix: u32) -> Result<u64, Unclear> {
    if digits.is_empty() || digits.len() > 15 {
        return Err(Unclear);
    }
    digits.iter().try_fold(0, |number: u64, digit| {
        let digit = char::from(*digit).to_digit(radix).ok_or(Unclear)?;
        Ok(number * u64::from(radix) + u64::from(digit))
    })
}

/// A chunk's size, and behind it extensions that nobody reads (RFC 9112,
/// 7.1.1): but their form is looked at, for a quote may hide a line's end.
fn size(line: &[u8]) -> Result<u64, Unclear> {
    if line.len() >= LINE - 2 {
        return Err(Unclear);
    }
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, mut rest) = line.split_at_checked(digits).ok_or(Unclear)?;
    while !rest.is_empty() {
        rest = extension(rest)?;
    }
    number(digits, 16)
}

/// Takes `;name`, `;name=value` or `;name="value"`.
fn extension(bytes: &[u8]) -> Result<&[u8], Unclear> {
    let rest = bytes.trim_ascii_start().strip_prefix(b";").ok_or(Unclear)?;
    let rest = token(rest.trim_ascii_start())?;
    let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") else { return Ok(rest) };
    let value = value.trim_ascii_start();
    match value.strip_prefix(b"\"") {
        Some(quoted) => quoted_string(quoted),
        None => token(value),
    }
}

fn token(bytes: &[u8]) -> Result<&[u8], Unclear> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    match bytes.iter().take_while(|byte| is_token(byte)).count() {
        0 => Err(Unclear),
        length => bytes.get(length..).ok_or(Unclear),
    }
}

fn quoted_string(mut bytes: &[u8]) -> Result<&[u8], Unclear> {
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', b'\t' | b' '..=b'~', rest @ ..] => rest,
            [b'\t' | b' '..=b'[' | b']'..=b'~', rest @ ..] => rest,
            _ => return Err(Unclear),
        }
    }
}

/// What hyper gets of some bytes that come in pieces of one size, and whether
/// the rest is refused: for whoever looks for bytes that can be read in two
/// ways.
#[must_use]
pub fn read_strictly(bytes: &[u8], size: usize) -> (Vec<u8>, bool) {
    let (mut framing, signs) = (Framing::new(), Signs::default());
    let size = size.clamp(1, bytes.len().max(1));
    let (mut pieces, mut all) = (bytes.chunks(size), Vec::new());
    let mut memory = vec![0; size + UNCLEAR.len()];
    loop {
        let mut into = ReadBuf::new(&mut memory);
        if !framing.has_refused(&mut into) {
            let Some(piece) = pieces.next() else { return (all, false) };
            into.put_slice(piece);
            framing.read(&mut into, 0, &signs);
        }
        if into.filled().is_empty() {
            return (all, true);
        }
        all.extend_from_slice(into.filled());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn whatever_is_said_is_read_the_same_in_pieces_of_any_size(
            said in prop::collection::vec(select(vec![
                "GET / HTTP/1.1\r\n", "POST /a HTTP/1.1\r\n", "GET http://a/ HTTP/1.0\r\n", "Host: a\r\n",
                "Content-Length: 5\r\n", "content-length: 3\r\n", "Content-Length: +5\r\n",
                "Transfer-Encoding: chunked\r\n", "transfer-encoding: gzip, chunked\r\n",
                "Upgrade: websocket\r\n", "Connection: upgrade\r\n", "Expect: 100-continue\r\n",
                " folded\r\n", "x y: z\r\n", "\r\n", "\n", "\r", "\0", ":", " ", "hello", "5\r\n",
                "3;a=b\r\n", "0\r\n", "0\r\n\r\n", "ffffffffffffffff\r\n", "abc\r\n",
            ]), 0..14),
            size in 1..60usize,
        ) {
            let said = said.concat();
            let (whole, refused) = read_strictly(said.as_bytes(), said.len());
            let (pieces, also) = read_strictly(said.as_bytes(), size);
            prop_assert_eq!(refused, also, "{:?} in pieces of {}", said, size);
            for (got, refused) in [(whole, refused), (pieces, also)] {
                let said = said.as_bytes();
                let begun = got.strip_suffix(UNCLEAR).filter(|_| refused).unwrap_or(&got);
                prop_assert!(said.starts_with(begun) && (refused || begun == said));
            }
        }
    }

    /// What hyper gets of some bytes that come in pieces of one size.
    fn passed(bytes: &[u8], size: usize) -> Vec<u8> {
        let (mut framing, signs) = (Framing::new(), Signs::default());
        let mut all = Vec::new();
        let mut pieces = bytes.chunks(size);
        loop {
            let mut memory = [0; 4096];
            let mut into = ReadBuf::new(&mut memory);
            into.put_slice(b"earlier");
            if !framing.has_refused(&mut into) {
                let Some(piece) = pieces.next() else { return all };
                into.put_slice(piece);
                framing.read(&mut into, 7, &signs);
            }
            let Some(new @ [_, ..]) = into.filled().get(7..) else { return all };
            all.extend_from_slice(new);
        }
    }

    #[test]
    fn a_long_line_is_as_clear_as_what_can_be_seen_of_it() {
        let far = " ".repeat(300);
        for field in [
            format!("Transfer-Encoding: chunked{far}, gzip, chunked"),
            format!("Transfer-Encoding:{far}chunked"),
            format!("Content-Length: 5{far}, 6"),
        ] {
            check_unclear(&format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"));
        }
        let field = format!("Cookie: a={}; b", "x".repeat(3000));
        check_clear(&format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"));
    }

    fn check_clear(bytes: &str) {
        for size in [1, 2, 3, 7, 100, 4000] {
            let passed = passed(bytes.as_bytes(), size);
            assert_eq!(passed.escape_ascii().to_string(), bytes.escape_default().to_string());
        }
    }

    fn check_unclear(bytes: &str) {
        for size in [1, 2, 3, 7, 100, 4000] {
            let passed = passed(bytes.as_bytes(), size);
            let shown = passed.escape_ascii();
            let begun =
                passed.strip_suffix(UNCLEAR).unwrap_or_else(|| panic!("{bytes:?}: {shown}"));
            assert!(bytes.as_bytes().starts_with(begun), "{bytes:?}: {shown}");
        }
    }

    const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

    #[test]
    fn what_is_clear_passes_byte_for_byte() {
        let long = "x".repeat(2000);
        for rest in [
            "\r\n",
            "Content-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n",
            "content-length:\t0\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n1;a;b=c ; d = \"e \\\" f\"\r\n\n\r\n0\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            &format!("cookie: {long}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            "upgrade: websocket\r\n\r\nanything # \n\n",
        ] {
            check_clear(&format!("{HEAD}{rest}"));
        }
    }

    #[test]
    fn an_unclear_head_becomes_none() {
        let long = "x".repeat(2000);
        for bytes in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET /# HTTP/1.1\r\n\r\n",
            &format!("GET /{long}# HTTP/1.1\r\n\r\n"),
            &format!("{HEAD}cookie: {long}\n\r\n"),
            &format!("{HEAD}\n"),
            &format!("{HEAD} folded\r\n\r\n"),
            &format!("{HEAD}content-length: 5\r\ncontent-length: 5\r\n\r\n"),
            &format!("{HEAD}content-length: 5, 5\r\n\r\n"),
            &format!("{HEAD}content-length: \r\n\r\n"),
            &format!("{HEAD}content-length: 0x5\r\n\r\n"),
            &format!("{HEAD}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"),
            &format!("{HEAD}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n"),
            &format!("{HEAD}transfer-encoding: gzip, chunked\r\n\r\n"),
            &format!("{HEAD}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n"),
            &format!("{HEAD}content-length: 2\r\n\r\nhiGET / HTTP/1.1\nx: y\r\n\r\n"),
            "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            check_unclear(bytes);
        }
    }

    #[test]
    fn an_unclear_body_ends_early() {
        let head = format!("{HEAD}transfer-encoding: chunked\r\n\r\n");
        for body in [
            "5\nhello\r\n0\r\n\r\n",
            "5;a=\"\r\nhello\r\n0\r\n\r\n",
            "5;\r\nhello\r\n",
            "5;a=\u{e9}\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            ";a\r\n",
            "\r\n",
            "5 5\r\n",
            "0000000000000005\r\n",
        ] {
            for size in [1, 3, 4000] {
                let bytes = format!("{head}{body}");
                let passed = passed(bytes.as_bytes(), size);
                assert!(passed.starts_with(head.as_bytes()), "{body:?}");
                assert!(passed.len() < bytes.len() && bytes.as_bytes().starts_with(&passed));
            }
        }
        for body in ["3\r\nhello\r\n", "0\r\nx: y\nz: a\r\n\r\n"] {
            let bytes = format!("{head}{body}");
            let passed = passed(bytes.as_bytes(), 4000);
            assert!(!passed.ends_with(body.as_bytes()), "{body:?}");
        }
    }

    #[test]
    fn what_follows_a_switch_that_did_not_happen_is_noticed() {
        let (mut framing, signs) = (Framing::new(), Signs::default());
        let head = "GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n";
        assert_eq!(framing.unclear_at(head.as_bytes(), &signs), None);
        assert!(!signs.stays());
        assert_eq!(framing.unclear_at(b"\n", &signs), Some(0), "it is HTTP again");
        let (mut framing, signs) = (Framing::new(), Signs::default());
        assert_eq!(framing.unclear_at(format!("{head}\n\n").as_bytes(), &signs), None);
        assert!(signs.stays());
    }

    #[test]
    fn only_options_for_a_host_alone_is_for_the_server() {
        for (line, expected) in [
            ("OPTIONS http://a HTTP/1.1", true),
            ("OPTIONS https://a:8443 HTTP/1.1", true),
            ("OPTIONS http://a/ HTTP/1.1", false),
            ("OPTIONS http://a?x HTTP/1.1", false),
            ("OPTIONS /x HTTP/1.1", false),
            ("OPTIONS * HTTP/1.1", false),
            ("GET http://a HTTP/1.1", false),
        ] {
            assert_eq!(is_server_wide(line.as_bytes()), expected, "{line}");
        }
    }
}
