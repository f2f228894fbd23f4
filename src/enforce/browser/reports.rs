//! Reads what browsers report: what the page's policy refused, and what the
//! guard held.
//!
//! Anybody can send a report, so nothing in one is believed: it only says what
//! to judge. Three forms are read: `application/csp-report`, the Reporting
//! API's list, and the guard's own.

use crate::catalogue::Kind;

use serde_json::Value;
use url::Url;

/// How many things one report may be about.
const MAX_HELD: usize = 50;

/// The longest address or name that is read.
const MAX_CHARS: usize = 2048;

/// One thing a browser did not load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it would have been.
    pub kind: Kind,
    /// Its address.
    pub url: Url,
    /// The script that asked for it: an address without its query, or
    /// `inline`; empty when the browser does not say.
    pub via: String,
    /// The page's address.
    pub page: Option<Url>,
}

/// The things a report is about; what cannot be read is left out.
#[must_use]
pub fn read_reports(body: &[u8]) -> Vec<Held> {
    let Ok(json) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let held: Vec<Held> = match &json {
        Value::Array(reports) => reports
            .iter()
            .take(MAX_HELD)
            .filter_map(|report| refused(report.get("body")?))
            .collect(),
        Value::Object(report) => match (report.get("csp-report"), report.get("held")) {
            (Some(report), _) => refused(report).into_iter().collect(),
            (None, Some(Value::Array(held))) => {
                held.iter().take(MAX_HELD).filter_map(guarded).collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    held
}

/// What a policy refused; the Reporting API writes names its own way.
fn refused(report: &Value) -> Option<Held> {
    let text = |names: [&str; 2]| names.iter().find_map(|name| short(report.get(*name)?));
    let directive = text(["effective-directive", "effectiveDirective"])
        .or_else(|| text(["violated-directive", "violatedDirective"]))?;
    Some(Held {
        kind: kind_of(directive.split(' ').next().unwrap_or_default())?,
        url: address(text(["blocked-uri", "blockedURL"])?)?,
        via: via(text(["source-file", "sourceFile"]).unwrap_or_default()),
        page: text(["document-uri", "documentURL"]).and_then(address),
    })
}

fn guarded(held: &Value) -> Option<Held> {
    let text = |name| short(held.get(name)?);
    Some(Held {
        kind: kind_of(text("kind")?)?,
        url: address(text("url")?)?,
        via: via(text("via").unwrap_or_default()),
        page: None,
    })
}

fn short(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| text.len() <= MAX_CHARS)
}

fn address(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https" | "ws" | "wss") && url.host_str().is_some()
    })
}

/// The container that a tag manager's script was asked for, such as `GTM-AB12`:
/// it says whose tag it is and nothing about a visitor.
fn container(url: &Url) -> Option<String> {
    let (_, id) = url.query_pairs().find(|(name, _)| name == "id")?;
    let (kind, rest) = id.split_once('-')?;
    let is_id = matches!(kind, "GTM" | "G" | "AW" | "DC" | "UA")
        && (1..=16).contains(&rest.len())
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-');
    is_id.then(|| id.into_owned())
}

/// Host and path of a script, or the word for one without an address.
fn via(text: &str) -> String {
    match address(text) {
        Some(url) => {
            let container = container(&url).map(|id| format!("?id={id}")).unwrap_or_default();
            format!("{}{}{container}", url.host_str().unwrap_or_default(), url.path())
        }
        None if text == "inline" => "inline".to_owned(),
        None => String::new(),
    }
}

/// The kind of load that a directive, or the guard's word, is about.
fn kind_of(directive: &str) -> Option<Kind> {
    Some(match directive.strip_suffix("-src").unwrap_or(directive) {
        "script" | "script-src-elem" | "script-src-attr" | "worker" => Kind::Script,
        "style" | "style-src-elem" | "style-src-attr" => Kind::Style,
        "img" => Kind::Image,
        "font" => Kind::Font,
        "media" => Kind::Media,
        "connect" => Kind::Connect,
        "frame" | "child" | "fenced-frame" => Kind::Frame,
        "object" => Kind::Object,
        "default" | "manifest" | "prefetch" => Kind::Hint,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: &[(Kind, &str, &str)]) {
        let read = read_reports(body.as_bytes());
        let found: Vec<_> =
            read.iter().map(|held| (held.kind, held.url.as_str(), held.via.as_str())).collect();
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn b11_every_form_of_report_names_what_was_held_and_who_asked() {
        check(
            r#"{"csp-report":{"document-uri":"https://shop.example/?q=1","effective-directive":"script-src-elem",
                "blocked-uri":"https://t.example/x.js","source-file":"https://gtm.example/gtm.js?id=GTM-1"}}"#,
            &[(Kind::Script, "https://t.example/x.js", "gtm.example/gtm.js?id=GTM-1")],
        );
        check(
            r#"[{"type":"csp-violation","body":{"documentURL":"https://shop.example/","effectiveDirective":"img-src",
                "blockedURL":"https://t.example/p.gif"}},{"type":"other"}]"#,
            &[(Kind::Image, "https://t.example/p.gif", "")],
        );
        check(
            r#"{"held":[{"kind":"connect","url":"wss://t.example/s","via":"inline"},{"kind":"cookie","url":"_ga"}]}"#,
            &[(Kind::Connect, "wss://t.example/s", "inline")],
        );
    }

    #[test]
    fn a_query_that_is_no_container_stays_out() {
        for query in
            ["id=visitor-77", "id=GTM-abc", "uid=GTM-1", "id=GTM-", "id=GTM-ABCDEFGHIJKLMNOPQ"]
        {
            assert_eq!(via(&format!("https://gtm.example/gtm.js?{query}")), "gtm.example/gtm.js");
        }
    }

    #[test]
    fn what_is_no_report_says_nothing() {
        let long = "a".repeat(3000);
        let long = format!(r#"{{"held":[{{"kind":"img","url":"https://t.example/{long}"}}]}}"#);
        for body in [
            "",
            "{",
            "[]",
            "{}",
            "null",
            "[null]",
            r#"{"csp-report":null}"#,
            r#"{"held":{}}"#,
            r#"{"csp-report":{"effective-directive":"script-src","blocked-uri":"inline"}}"#,
            r#"{"csp-report":{"effective-directive":"frame-ancestors","blocked-uri":"https://x.example/"}}"#,
            r#"{"held":[{"kind":1,"url":2}]}"#,
            &long,
        ] {
            check(body, &[]);
        }
        let many: Vec<_> = (0..200)
            .map(|n| format!(r#"{{"kind":"img","url":"https://h{n}.example/"}}"#))
            .collect();
        let body = format!(r#"{{"held":[{}]}}"#, many.join(","));
        assert_eq!(read_reports(body.as_bytes()).len(), MAX_HELD);
    }
}
