//! Our consent cookie: `v1.<payload>.<mac>`, both base64url; `v2`, with a longer
//! payload, when something was decided about single vendors.
//!
//! It holds a choice and nothing about the person who made it. The receipt id
//! in it is drawn anew for every choice, so it links no two choices. The MAC
//! binds the value to the site, so a cookie of one site is worth nothing on
//! another.

use crate::consent::VendorChoices;
use crate::purpose::{Purpose, PurposeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

const PAYLOAD_BYTES: usize = 32;
/// The longest value that is looked at; browsers take no longer cookie.
const MAX_VALUE: usize = 4096;
/// Keeps what is sealed from being taken for a choice.
const MARK_CONTEXT: &[u8] = b"consentry mark v1\0";
const MARK_BYTES: usize = 12;
const SEAL_CONTEXT: &[u8] = b"consentry seal v1\0";
const MADE_UNDER_GPC: u8 = 1;
const AFTER_DOUBT: u8 = 2;

/// Every name our cookie can have, the one that is hardest to set first.
pub const COOKIE_NAMES: [&str; 3] = ["__Host-consentry", "__Secure-consentry", "consentry"];

/// The random number a visitor can quote to find their choice again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiptId([u8; 16]);

impl ReceiptId {
    /// The receipt id made of 16 random bytes.
    #[must_use]
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// Stands in a choice whose receipt was deleted.
    pub const NONE: Self = Self([0; 16]);
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One choice, as the cookie keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was granted.
    pub granted: PurposeSet,
    /// What was asked: a purpose outside it is undecided.
    pub decided: PurposeSet,
    /// Whether the browser sent `Sec-GPC: 1` when the choice was made.
    pub made_under_gpc: bool,
    /// Whether there was a choice before it that could not be read any more and
    /// that may have been a "no": then nothing else makes silence a "yes".
    pub after_doubt: bool,
    /// The revision of the notice that was shown.
    pub notice_revision: u32,
    /// When, in seconds since 1970.
    pub time_s: u64,
    /// What the visitor can quote.
    pub receipt: ReceiptId,
    /// What was decided about single vendors.
    pub vendors: VendorChoices,
}

impl Record {
    /// The number under which the choice is on record; nothing when the visitor
    /// deleted that.
    #[must_use]
    pub fn receipt(&self) -> Option<ReceiptId> {
        (self.receipt != ReceiptId::NONE).then_some(self.receipt)
    }

    /// What stays in the visitor's browser when they delete the record of this
    /// choice: what they refused, and no number. Silence may mean "yes" where
    /// they are, and deleting is no "yes".
    #[must_use]
    pub fn refusals(&self) -> Option<Self> {
        let refused = self.decided.minus(self.granted).without(Purpose::Necessary);
        let vendors = self.vendors.only_refused();
        if refused.is_empty() && vendors.is_empty() && !self.after_doubt {
            return None;
        }
        Some(Self {
            granted: PurposeSet::NECESSARY,
            decided: refused.with(Purpose::Necessary),
            // So that the browser's signal counts for the rest.
            made_under_gpc: false,
            receipt: ReceiptId::NONE,
            vendors,
            ..*self
        })
    }
}

/// Why a key file was not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeysError {
    /// A line is no key.
    #[error(
        "line {line}: a key is 64 hexadecimal digits (32 random bytes); make one with `openssl rand -hex 32`"
    )]
    NotAKey {
        /// Counted from 1.
        line: usize,
    },
    /// No line holds a key.
    #[error("the file holds no key; make one with `openssl rand -hex 32`")]
    Empty,
}

/// The secrets that sign choices: the first signs, all of them verify.
///
/// To rotate, put a new key on top and remove the old one when the cookies it
/// signed may expire.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: u8,
    secret: [u8; 32],
}

impl Keys {
    /// One key made of 32 random bytes.
    #[must_use]
    pub fn from_secret(secret: [u8; 32]) -> Self {
        Self(vec![Key::new(secret)])
    }

    /// Reads a key file: one key a line, 64 hexadecimal digits, the newest
    /// first; empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// When a line is no key, or when there is none.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let secret = from_hex(line).ok_or(KeysError::NotAKey { line: index + 1 })?;
            keys.push(Key::new(secret));
        }
        if keys.is_empty() { Err(KeysError::Empty) } else { Ok(Self(keys)) }
    }

    /// The cookie value that holds `record` on the site `scope`.
    #[must_use]
    pub fn sign(&self, scope: &str, record: &Record) -> String {
        let Some(key) = self.0.first() else { return String::new() };
        let mut payload = Vec::with_capacity(PAYLOAD_BYTES);
        payload.push(key.id);
        payload.push(record.granted.bits());
        payload.push(record.decided.bits());
        payload.push(
            if record.made_under_gpc { MADE_UNDER_GPC } else { 0 }
                | if record.after_doubt { AFTER_DOUBT } else { 0 },
        );
        payload.extend(record.notice_revision.to_be_bytes());
        payload.extend(record.time_s.to_be_bytes());
        payload.extend(record.receipt.0);
        let version = if record.vendors.is_empty() {
            Version::Purposes
        } else {
            record.vendors.write(&mut payload);
            Version::Vendors
        };
        let mac = key.mac(version.context(), scope, &payload).finalize().into_bytes();
        let (payload, mac) = (URL_SAFE_NO_PAD.encode(&payload), URL_SAFE_NO_PAD.encode(mac));
        format!("{}{payload}.{mac}", version.prefix())
    }

    /// A number below a hundred that is the same for the same `text` on every
    /// machine that has these keys, and that tells nothing about the text.
    #[must_use]
    pub fn lot(&self, text: &[u8]) -> u8 {
        let Some(key) = self.0.first() else { return 0 };
        // No site's name holds a NUL, so this signs no choice.
        let mac = key.mac(Version::Purposes.context(), "\0lot", text).finalize().into_bytes();
        let number = mac.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        u8::try_from(number % 100).unwrap_or(0)
    }

    /// A text that only we can have written and that anybody may carry: it
    /// comes back unchanged or not at all. It is no secret.
    #[must_use]
    pub fn seal(&self, scope: &str, text: &[u8]) -> String {
        let Some(key) = self.0.first() else { return String::new() };
        let mac = key.mac(SEAL_CONTEXT, scope, text).finalize().into_bytes();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(mac))
    }

    /// A short text that only we can have written about `text`, and that says
    /// nothing about it.
    #[must_use]
    pub fn mark(&self, scope: &str, text: &[u8]) -> String {
        let Some(key) = self.0.first() else { return String::new() };
        let mac = key.mac(MARK_CONTEXT, scope, text).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode(mac.get(..MARK_BYTES).unwrap_or_default())
    }

    /// Whether [`Keys::mark`] wrote `mark` about `text`, for the same scope.
    #[must_use]
    pub fn is_mark(&self, scope: &str, text: &[u8], mark: &str) -> bool {
        decode::<MARK_BYTES>(mark.as_bytes()).is_some_and(|mark| {
            let signed =
                |key: &Key| key.mac(MARK_CONTEXT, scope, text).verify_truncated_left(&mark);
            self.0.iter().any(|key| signed(key).is_ok())
        })
    }

    /// What [`Keys::seal`] was given for the same scope.
    #[must_use]
    pub fn unseal(&self, scope: &str, sealed: &str) -> Option<Vec<u8>> {
        let (text, mac) = sealed.split_once('.')?;
        let text = URL_SAFE_NO_PAD.decode(text).ok()?;
        let mac = decode::<32>(mac.as_bytes())?;
        let mut keys = self.0.iter();
        keys.any(|key| key.mac(SEAL_CONTEXT, scope, &text).verify_slice(&mac).is_ok())
            .then_some(text)
    }

    /// The choice in a cookie value, if one of our keys signed it for `scope`.
    #[must_use]
    pub fn verify(&self, scope: &str, value: &[u8]) -> Option<Record> {
        if value.len() > MAX_VALUE {
            return None;
        }
        let version = Version::of(value)?;
        let rest = value.strip_prefix(version.prefix().as_bytes())?;
        let dot = rest.iter().position(|byte| *byte == b'.')?;
        let (payload, mac) = rest.split_at_checked(dot)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let mac = decode::<32>(mac.get(1..)?)?;
        let signed = self
            .0
            .iter()
            .filter(|key| payload.first() == Some(&key.id))
            .any(|key| key.mac(version.context(), scope, &payload).verify_slice(&mac).is_ok());
        if !signed {
            return None;
        }
        let (payload, vendors) = payload.split_first_chunk::<PAYLOAD_BYTES>()?;
        let vendors = match version {
            Version::Purposes if vendors.is_empty() => VendorChoices::default(),
            Version::Purposes => return None,
            Version::Vendors => VendorChoices::read(vendors)?,
        };
        let (head, receipt) = payload.split_last_chunk::<16>()?;
        let &[_, granted, decided, flags, r0, r1, r2, r3, ref time @ ..] = head else {
            return None;
        };
        Some(Record {
            granted: PurposeSet::from_bits(granted)?,
            decided: PurposeSet::from_bits(decided)?,
            made_under_gpc: flags & MADE_UNDER_GPC != 0,
            after_doubt: flags & AFTER_DOUBT != 0,
            notice_revision: u32::from_be_bytes([r0, r1, r2, r3]),
            time_s: u64::from_be_bytes(time.try_into().ok()?),
            receipt: ReceiptId(*receipt),
            vendors,
        })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// What a value's payload holds.
#[derive(Clone, Copy)]
enum Version {
    Purposes,
    Vendors,
}

impl Version {
    fn of(value: &[u8]) -> Option<Self> {
        [Self::Purposes, Self::Vendors]
            .into_iter()
            .find(|version| value.starts_with(version.prefix().as_bytes()))
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Purposes => "v1.",
            Self::Vendors => "v2.",
        }
    }

    /// What keeps a signature of one kind from being taken for another's.
    const fn context(self) -> &'static [u8] {
        match self {
            Self::Purposes => b"consentry choice v1\0",
            Self::Vendors => b"consentry choice v2\0",
        }
    }
}

impl Key {
    fn new(secret: [u8; 32]) -> Self {
        let id = Sha256::digest(secret).first().copied().unwrap_or(0);
        Self { id, secret }
    }

    fn mac(&self, context: &[u8], scope: &str, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&self.secret_block());
        mac.update(context);
        mac.update(&(scope.len() as u64).to_be_bytes());
        mac.update(scope.as_bytes());
        mac.update(payload);
        mac
    }

    /// HMAC takes keys padded with zeros to its block size (RFC 2104, 2).
    fn secret_block(&self) -> hmac::digest::Key<Hmac<Sha256>> {
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (to, from) in block.iter_mut().zip(self.secret) {
            *to = from;
        }
        block
    }
}

fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (length == N).then_some(bytes)
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut digits = text.chars();
    let mut bytes = [0; 32];
    for byte in &mut bytes {
        let high = digits.next()?.to_digit(16)?;
        let low = digits.next()?.to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            granted: PurposeSet::NECESSARY.with(Purpose::Analytics),
            decided: PurposeSet::ALL,
            made_under_gpc: true,
            after_doubt: true,
            notice_revision: 7,
            time_s: 1_790_000_000,
            receipt: ReceiptId([9; 16]),
            vendors: VendorChoices::default(),
        }
    }

    fn with_vendors() -> Record {
        let vendors = VendorChoices::default().with_allowed("youtube").with_refused("acme");
        Record { vendors: vendors.unwrap(), ..record() }
    }

    #[test]
    fn a_choice_comes_back_as_it_was_made() {
        let keys = Keys::from_secret([1; 32]);
        for (record, start) in [(record(), "v1."), (with_vendors(), "v2.")] {
            let value = keys.sign("shop", &record);
            assert!(value.starts_with(start));
            assert_eq!(keys.verify("shop", value.as_bytes()), Some(record));
        }
    }

    #[test]
    fn d1_no_forged_choice_is_believed() {
        let keys = Keys::from_secret([1; 32]);
        for record in [record(), with_vendors()] {
            let value = keys.sign("shop", &record).into_bytes();

            assert_eq!(keys.verify("other shop", &value), None);
            assert_eq!(Keys::from_secret([2; 32]).verify("shop", &value), None);
            for at in 0..value.len() {
                assert_eq!(keys.verify("shop", &value[..at]), None, "cut at {at}");
                for bit in 0..8 {
                    let mut forged = value.clone();
                    forged[at] ^= 1 << bit;
                    // The last digit of base64 has bits that carry nothing; a strict
                    // decoder refuses them, too.
                    assert_eq!(keys.verify("shop", &forged), None, "byte {at}, bit {bit}");
                }
            }
        }
        // Neither kind can be passed off as the other.
        let short = keys.sign("shop", &record()).replacen("v1.", "v2.", 1);
        let long = keys.sign("shop", &with_vendors()).replacen("v2.", "v1.", 1);
        assert!([short, long].iter().all(|value| keys.verify("shop", value.as_bytes()).is_none()));
        for made_up in ["", "v1", "v1..", "v1.AAAA.AAAA", "all", "v0.x.y", "v1.\u{e9}.x", "..."] {
            assert_eq!(keys.verify("shop", made_up.as_bytes()), None, "{made_up}");
        }
    }

    #[test]
    fn a_mark_is_about_one_text_and_one_site() {
        let keys = Keys::from_secret([1; 32]);
        let mark = keys.mark("shop", b"/a");
        assert!(mark.len() == 16 && keys.is_mark("shop", b"/a", &mark));
        assert!(!keys.is_mark("shop", b"/b", &mark) && !keys.is_mark("other", b"/a", &mark));
        assert!(!Keys::from_secret([2; 32]).is_mark("shop", b"/a", &mark));
        for wrong in ["", "AAAAAAAAAAAAAAAA", mark.get(..15).unwrap(), &format!("{mark}A")] {
            assert!(!keys.is_mark("shop", b"/a", wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_sealed_comes_back_or_nothing_does() {
        let keys = Keys::from_secret([1; 32]);
        let sealed = keys.seal("shop", b"a text");
        assert_eq!(keys.unseal("shop", &sealed).as_deref(), Some(&b"a text"[..]));
        assert_eq!(keys.unseal("other", &sealed), None);
        assert_eq!(Keys::from_secret([2; 32]).unseal("shop", &sealed), None);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(keys.unseal("shop", &String::from_utf8(forged).unwrap()), None, "{at}");
            assert_eq!(keys.unseal("shop", sealed.get(..at).unwrap()), None);
        }
    }

    #[test]
    fn an_old_key_still_reads_and_the_new_one_signs() {
        let (old, new) = ("1".repeat(64), "2".repeat(64));
        let before = Keys::parse(&old).unwrap().sign("shop", &record());
        let rotated = Keys::parse(&format!("# newest first\n{new}\n\n{old}\n")).unwrap();
        assert!(rotated.verify("shop", before.as_bytes()).is_some());
        let after = rotated.sign("shop", &record());
        assert!(Keys::parse(&new).unwrap().verify("shop", after.as_bytes()).is_some());
    }

    #[test]
    fn a_bad_key_file_says_which_line() {
        assert_eq!(Keys::parse("# x\nabc").unwrap_err(), KeysError::NotAKey { line: 2 });
        assert_eq!(Keys::parse("\n").unwrap_err(), KeysError::Empty);
    }
}
