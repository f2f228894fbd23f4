//! Where an exchange stands in a trace: the W3C's `traceparent` field.

use http::{HeaderMap, HeaderValue};
use std::fmt::Write;

/// The field that carries it.
const TRACEPARENT: &str = "traceparent";
/// What tracing systems add to it.
const TRACESTATE: &str = "tracestate";

/// The numbers of a trace and of our two steps in it: ours as a server, and
/// ours as a client of the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The whole trace.
    pub trace: [u8; 16],
    /// The step before ours, if somebody in front of us told it.
    pub parent: Option<[u8; 8]>,
    /// Our step.
    pub server: [u8; 8],
    /// Our question to the origin.
    pub client: [u8; 8],
    /// Whether it is told to a collector.
    pub is_sampled: bool,
}

impl TraceContext {
    /// A trace of its own, told or not as a lot decides that `share` of all are.
    /// Nothing in it says whose it is. `None` when the system gives no random
    /// numbers.
    #[must_use]
    pub fn begin(share: f64) -> Option<Self> {
        let ([trace, server, client], lot) = random()?;
        let mut whole = [0; 16];
        // Of the random numbers one is long.
        whole.copy_from_slice(&trace);
        Some(Self {
            trace: whole,
            parent: None,
            server: short(server)?,
            client: short(client)?,
            is_sampled: lot < share,
        })
    }

    /// The next step of a trace that somebody in front of us began; they say
    /// whether it is told. `None` when the field does not say so in the form of
    /// <https://www.w3.org/TR/trace-context/>.
    #[must_use]
    pub fn follow(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(TRACEPARENT).iter();
        let (field, None) = (fields.next()?, fields.next()) else { return None };
        let mut parts = field.to_str().ok()?.trim().split('-');
        let [version, trace, parent, flags] =
            [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let [version] = bytes::<1>(version)?;
        // A later version may have more parts; this one has none.
        if version == 0xff || version == 0 && parts.next().is_some() {
            return None;
        }
        let [flags] = bytes::<1>(flags)?;
        let (trace, parent) = (bytes::<16>(trace)?, bytes::<8>(parent)?);
        if trace == [0; 16] || parent == [0; 8] {
            return None;
        }
        Some(Self { trace, parent: Some(parent), is_sampled: flags & 1 == 1, ..Self::begin(0.0)? })
    }

    /// Tells the origin. What it says of other systems' traces stays only where
    /// the trace is theirs.
    pub fn put_in(&self, headers: &mut HeaderMap) {
        let flags = u8::from(self.is_sampled);
        let text = format!("00-{}-{}-{flags:02x}", hex(&self.trace), hex(&self.client));
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(TRACEPARENT, value);
        }
        if self.parent.is_none() {
            headers.remove(TRACESTATE);
        }
    }
}

/// Numbers as these fields are written.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Three random numbers, and a lot from 0 to 1.
fn random() -> Option<([[u8; 16]; 3], f64)> {
    let mut bytes = [0; 56];
    getrandom::fill(&mut bytes).ok()?;
    let (numbers, lot) = bytes.split_first_chunk::<48>()?;
    let (chunks, _) = numbers.as_chunks::<16>();
    let lot = u64::from_be_bytes(lot.try_into().ok()?);
    // So many bits are exact.
    Some((chunks.try_into().ok()?, (lot >> 11) as f64 / (1_u64 << 53) as f64))
}

fn short(number: [u8; 16]) -> Option<[u8; 8]> {
    number.first_chunk().copied()
}

/// Exactly so many bytes in lower case.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_lower = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    if text.len() != 2 * N || !text.bytes().all(is_lower) {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn k4_a_trace_is_followed_only_in_the_form_that_the_w3c_wrote_down() {
        const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
        for (text, expected) in [
            (format!("00-{TRACE}-b7ad6b7169203331-01"), Some(true)),
            (format!("00-{TRACE}-b7ad6b7169203331-00"), Some(false)),
            (format!("00-{TRACE}-b7ad6b7169203331-03"), Some(true)),
            (format!("cc-{TRACE}-b7ad6b7169203331-01-what-is-new"), Some(true)),
            (format!("00-{TRACE}-b7ad6b7169203331-01-what-is-new"), None),
            (format!("ff-{TRACE}-b7ad6b7169203331-01"), None),
            (format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()), None),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-0000000000000000-01"), None),
            (format!("00-{TRACE}-b7ad6b7169203331"), None),
            (format!("00-{TRACE}-b7ad6b7169203331-0g"), None),
            (format!("00-{TRACE}--b7ad6b716920333-01"), None),
            (format!("+0-{TRACE}-b7ad6b7169203331-01"), None),
            (format!("00-{TRACE}0-b7ad6b7169203331-01"), None),
            ("\u{e4}".repeat(55), None),
            (String::new(), None),
        ] {
            let found = TraceContext::follow(&fields(&[&text]));
            assert_eq!(found.map(|found| found.is_sampled), expected, "{text}");
            if let Some(found) = found {
                assert_eq!(hex(&found.trace), TRACE);
                assert_eq!(found.parent.map(|parent| hex(&parent)).unwrap(), "b7ad6b7169203331");
            }
        }
        let good = format!("00-{TRACE}-b7ad6b7169203331-01");
        assert_eq!(TraceContext::follow(&fields(&[&good, &good])), None);
        assert_eq!(TraceContext::follow(&fields(&[])), None);
    }

    #[test]
    fn k4_the_origin_is_told_of_our_own_step() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=visitor-7"));
        let own = TraceContext::begin(1.0).unwrap();
        own.put_in(&mut headers);
        let expected = format!("00-{}-{}-01", hex(&own.trace), hex(&own.client));
        assert_eq!(headers[TRACEPARENT], expected);
        assert!(!headers.contains_key(TRACESTATE), "it was a stranger's");
        let told = TraceContext::follow(&headers).unwrap();
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=ours"));
        told.put_in(&mut headers);
        assert_eq!((told.trace, told.parent), (own.trace, Some(own.client)));
        assert!(headers.contains_key(TRACESTATE));
        assert_ne!(told.client, own.client);
    }

    #[test]
    fn k4_as_many_are_told_as_the_operator_wants() {
        let told =
            |share| (0..2000).filter(|_| TraceContext::begin(share).unwrap().is_sampled).count();
        assert_eq!((told(0.0), told(1.0)), (0, 2000));
        assert!((700..1300).contains(&told(0.5)));
    }
}
