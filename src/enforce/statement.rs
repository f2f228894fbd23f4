//! What the origin is told about a visitor's choice, so that personalization
//! on the server can obey, and the signature by which it knows who says so.

use crate::consent::Consent;
use crate::enforce::Cleared;
use crate::purpose::Purpose;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use std::fmt;

/// The field in which the origin is told.
pub static STATEMENT: HeaderName = HeaderName::from_static("consentry-consent");

/// Tells the origin what may be done with this visitor, so that
/// personalization on the server can obey. Whatever a client sent under our
/// names goes first.
pub(super) fn tell_origin(headers: &mut HeaderMap, consent: &Consent) {
    let forged: Vec<_> = headers
        .keys()
        // Many servers take `_` in a name for `-`.
        .filter(|name| {
            matches!(name.as_str().split_at_checked(10), Some(("consentry-" | "consentry_", _)))
        })
        .cloned()
        .collect();
    for name in forged {
        headers.remove(name);
    }
    let mut said = String::with_capacity(80);
    for purpose in Purpose::OPTIONAL {
        let separator = if said.is_empty() { "" } else { ", " };
        let granted = if consent.grants(purpose) { "=1" } else { "=0" };
        said.extend([separator, purpose.name(), granted]);
    }
    if let Ok(value) = HeaderValue::try_from(said) {
        headers.insert(&STATEMENT, value);
    }
}

/// The secret that an origin shares with us to know our statements from
/// others'.
#[derive(Clone)]
pub struct StatementKey([u8; 32]);

impl StatementKey {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut key = [0; 32];
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        (text.len() == 64).then_some(Self(key))
    }

    /// Signs what the request says about the visitor's choice, together with
    /// its method and path, as an HTTP message signature (RFC 9421, 2 and
    /// 3.3.3: `hmac-sha256`). `now_s` is the time in seconds since 1970.
    pub fn sign(&self, request: &mut Cleared<Parts>, now_s: u64) {
        let parts = &mut request.0;
        let said = parts.headers.get(&STATEMENT).and_then(|value| value.to_str().ok());
        let Some(said) = said else { return };
        let parameters = format!(
            "(\"consentry-consent\" \"@method\" \"@path\");created={now_s};keyid=\"consentry\";alg=\"hmac-sha256\""
        );
        let base = format!(
            "\"consentry-consent\": {said}\n\"@method\": {}\n\"@path\": {}\n\"@signature-params\": {parameters}",
            parts.method,
            parts.uri.path(),
        );
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0) else { return };
        mac.update(base.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        // Others may sign, too; of two with our label, the last one counts
        // (RFC 8941, 4.2.2).
        for (name, value) in [
            ("signature-input", format!("consentry={parameters}")),
            ("signature", format!("consentry=:{signature}:")),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                parts.headers.append(HeaderName::from_static(name), value);
            }
        }
    }
}

impl fmt::Debug for StatementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatementKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purpose::PurposeSet;
    use http::Request;

    #[test]
    fn d11_a_statement_is_signed_with_what_it_is_about() {
        let key = StatementKey::parse(&"0b".repeat(32)).unwrap();
        let signature = |path: &str, granted: PurposeSet| {
            let (mut parts, ()) = Request::builder().uri(path).body(()).unwrap().into_parts();
            parts.headers.insert("signature", HeaderValue::from_static("sig1=:aGk=:"));
            tell_origin(&mut parts.headers, &Consent::chosen(granted));
            let mut cleared = Cleared(parts);
            key.sign(&mut cleared, 1_790_000_000);
            let values = |name: &str| {
                let values = cleared.0.headers.get_all(name).iter();
                values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            (values("signature-input"), values("signature"))
        };
        let (input, signed) = signature("/a?b", PurposeSet::EMPTY);
        assert_eq!(
            input,
            [
                "consentry=(\"consentry-consent\" \"@method\" \"@path\");created=1790000000;keyid=\"consentry\";alg=\"hmac-sha256\""
            ]
        );
        // Computed with Python's hmac module over the same four lines.
        assert_eq!(
            signed,
            ["sig1=:aGk=:", "consentry=:lLQCNMSB4sxk0Mdi1udEk9uo2XuoDFbQiRqaTp/pa3c=:"]
        );
        assert_ne!(signature("/b", PurposeSet::EMPTY).1, signed);
        assert_ne!(signature("/a?b", PurposeSet::ALL).1, signed);
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        for wrong in ["", "0b", &"0b".repeat(33), &"0g".repeat(32), &"+1".repeat(32)] {
            assert!(StatementKey::parse(wrong).is_none(), "{wrong}");
        }
        assert!(StatementKey::parse(&format!("{}\n", "0b".repeat(32))).is_some());
    }
}
