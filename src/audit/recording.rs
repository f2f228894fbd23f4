//! What an archive keeps of an origin's answers: what verdicts depend on, and
//! as little as possible of whoever asked.

use crate::audit::{AuditedPage, Judge, Paper};
use crate::policy::redact_path;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use url::Url;

/// The version of the archive's shape.
pub const ARCHIVE_VERSION: u32 = 1;

/// Fields whose values verdicts depend on. Of all others only the name is kept.
const READ: [&str; 10] = [
    "content-type",
    "link",
    "location",
    "refresh",
    "content-security-policy",
    "content-security-policy-report-only",
    "referrer-policy",
    "permissions-policy",
    "accept-ch",
    "speculation-rules",
];

/// One answer of the origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The path that was asked for, without ids, and the names of its
    /// parameters.
    pub target: String,
    /// The status.
    pub status: u16,
    /// Its header fields, scrubbed.
    pub headers: Vec<(String, String)>,
    /// What its body is kept under; only pages and scripts have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Whether the body of such an answer is worth keeping.
#[must_use]
pub fn keeps_body(headers: &HeaderMap) -> bool {
    let kind = headers.get("content-type").and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    is_page(&kind) || kind.ends_with("javascript")
}

fn is_page(kind: &str) -> bool {
    matches!(kind, "text/html" | "application/xhtml+xml")
}

impl Recorded {
    /// What is kept of an answer to a request for `target`.
    #[must_use]
    pub fn of(target: &str, status: u16, headers: &HeaderMap, body: Option<String>) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let names: Vec<_> = query
            .split('&')
            .filter_map(|pair| pair.split('=').next())
            .filter(|name| !name.is_empty())
            .map(|name| format!("{name}="))
            .collect();
        let names = names.join("&");
        let separator = if names.is_empty() { "" } else { "?" };
        let target = format!("{}{separator}{names}", redact_path(path));
        let headers = headers.iter().map(|(name, value)| {
            let value = String::from_utf8(value.as_bytes().to_vec()).unwrap_or_default();
            let kept = match name.as_str() {
                "set-cookie" => without_value(&value),
                name if READ.contains(&name) => without_queries(&value),
                _ => String::new(),
            };
            (name.as_str().to_owned(), kept)
        });
        Self { target, status, headers: headers.collect(), body }
    }

    /// Judges it as an answer of the site.
    pub fn judge(&self, body: Option<&[u8]>, judge: &Judge, page: &mut AuditedPage) {
        let Ok(url) = Url::parse(&format!("https://{}{}", judge.host, self.target)) else { return };
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes())
                && let Ok(value) = HeaderValue::from_str(value)
            {
                headers.append(name, value);
            }
        }
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
        let kind = content_type.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        let is_page = is_page(&kind.trim().to_ascii_lowercase());
        judge.response(&url, &headers, is_page, page);
        match body {
            Some(body) if is_page => {
                judge.document(&Paper { url: &url, content_type, body }, page);
            }
            Some(body) => judge.own_script(&url, body, page),
            None => {}
        }
    }
}

/// A `Set-Cookie` field that says which cookie, and not what is in it.
fn without_value(field: &str) -> String {
    let (pair, attributes) = field.split_once(';').unwrap_or((field, ""));
    let name = pair.split('=').next().unwrap_or_default().trim();
    let attributes = attributes.trim();
    let end = if attributes.is_empty() { String::new() } else { format!("; {attributes}") };
    format!("{name}=-{end}")
}

/// A field in which addresses keep the names of their parameters alone.
fn without_queries(field: &str) -> String {
    let (mut kept, mut in_query, mut in_value) = (String::new(), false, false);
    for char in field.chars() {
        match char {
            // Behind a `#`, too, there are tokens.
            '?' | '#' => (in_query, in_value) = (true, false),
            '&' => in_value = false,
            ' ' | '>' | '"' | '\'' | ',' | ';' => (in_query, in_value) = (false, false),
            '=' if in_query && !in_value => {
                kept.push(char);
                in_value = true;
                continue;
            }
            _ => {}
        }
        if !in_value {
            kept.push(char);
        }
    }
    kept
}

/// A page or script without the e-mail addresses in it.
#[must_use]
pub fn without_addresses(text: &[u8]) -> Vec<u8> {
    let is_name = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
    };
    let mut kept: Vec<u8> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'@', rest) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        let behind = behind.get(1..).unwrap_or_default();
        let name = before.iter().rev().take_while(|byte| is_name(byte)).count();
        let host = behind
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
            .count();
        let is_host = behind.get(..host).is_some_and(|host| {
            let end = host.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
            host.contains(&b'.') && end.len() > 1 && end.iter().all(u8::is_ascii_alphabetic)
        });
        if name > 0 && is_host {
            kept.extend(before.get(..before.len() - name).unwrap_or_default());
            kept.extend(b"visitor@mail.invalid");
            rest = behind.get(host..).unwrap_or_default();
        } else {
            kept.extend(before);
            kept.push(b'@');
            rest = behind;
        }
    }
    kept.extend(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h5_an_archive_says_what_was_set_and_not_to_what() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("set-cookie", "sid=secret; Path=/; HttpOnly"),
            ("location", "/next?token=abc&gclid=1#part&access_token=abc"),
            ("link", "<https://a.example/x?id=7>; rel=preload, </y?b>; rel=preload"),
            ("x-user", "Ana"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let recorded = Recorded::of("/orders/8812345678?mail=a@b.example&q", 200, &headers, None);
        assert_eq!(recorded.target, "/orders/:id?mail=&q=");
        let kept: Vec<_> = recorded.headers.iter().map(|(_, value)| value.as_str()).collect();
        assert!(kept.contains(&"sid=-; Path=/; HttpOnly"), "{kept:?}");
        assert!(kept.contains(&"/next?token=&gclid=#part&access_token="), "{kept:?}");
        assert!(kept.contains(&"<https://a.example/x?id=>; rel=preload, </y?b>; rel=preload"));
        assert!(!kept.iter().any(|value| value.contains("Ana")));
    }

    #[test]
    fn h5_mail_addresses_leave_a_body_and_the_rest_stays() {
        for (text, kept) in [
            ("Hello ana.b+c@mail.example.com!", "Hello visitor@mail.invalid!"),
            ("@media print { a@b } x@y.z1 @", "@media print { a@b } x@y.z1 @"),
            ("a@b.example,c@d.example", "visitor@mail.invalid,visitor@mail.invalid"),
        ] {
            assert_eq!(without_addresses(text.as_bytes()), kept.as_bytes());
        }
    }
}
