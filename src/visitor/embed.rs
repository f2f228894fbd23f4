//! Shows one embed that a visitor asked for, in the frame where it was
//! withheld or in a tab of its own.
//!
//! A page's policy names no host that was not agreed to, and cannot be
//! loosened in an open page. So the embed stands in a frame of a page of ours,
//! whose policy names its host alone. Nothing is stored: the next page asks
//! again.

use crate::catalogue::Kind;
use crate::enforce::html::{Embed, Embeds, Placeholders};
use crate::policy::{Decision, Layer, registrable};
use crate::site::day_of;
use crate::visitor::{Refusal, ReturnTo, Visit, choices_url, choose, page, proof};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use url::{Url, form_urlencoded};

const STYLE: &str =
    "html,body{margin:0;height:100%}iframe{display:block;width:100%;height:100%;border:0}";

/// The frame with the embed, and what is to be put on record; or the page that
/// leads to where it comes from, which loads nothing.
///
/// # Errors
/// Says why nothing is shown.
pub(super) fn show(
    headers: &HeaderMap,
    body: &[u8],
    visit: &Visit<'_>,
) -> Result<(Response<Bytes>, Option<Asked>), Refusal> {
    proof::check_in_frame(headers, visit)?;
    if !choose::is_form(headers) {
        return Err(Refusal::NotAForm);
    }
    let field = |wanted: &'static str| {
        let mut values = form_urlencoded::parse(body).filter(move |(name, _)| name == wanted);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    };
    let sealed = field("embed").ok_or(Refusal::Unclear)?;
    let keys = &visit.site.consent.keys;
    let embed = Embed::open(&sealed, keys, visit.cookie.scope).ok_or(Refusal::Unclear)?;
    let url = Url::parse(&embed.url).map_err(|_| Refusal::Unclear)?;
    let path = embed.page.split('?').next().unwrap_or_default();
    let rules = visit.site.rules(path, day_of(visit.now_s), || 0);
    let ruling = rules.policy.decide_asked(&url, visit.cookie.host);
    if ruling.verdict.blocks() {
        return Err(Refusal::NotHere);
    }
    if field("to").is_some() {
        return Ok((provider(&embed, &url, visit), None));
    }
    let decision = Decision::on_url(&ruling, Layer::Response, Kind::Frame, &url);
    let asked = Asked { decision, page: path.to_owned() };
    Ok((frame(&embed, &url, visit), Some(asked)))
}

/// Lets the frame in which an embed was asked for show why it is not there.
pub(super) fn in_frame(mut response: Response<Bytes>) -> Response<Bytes> {
    let fields = response.headers_mut();
    let policy = fields.get(CONTENT_SECURITY_POLICY).and_then(|policy| policy.to_str().ok());
    if let Some(policy) = policy {
        let policy = policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'");
        fields.insert(CONTENT_SECURITY_POLICY, page::value(&policy));
        fields.insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    }
    response
}

/// An embed that a visitor asked for, for the record.
#[derive(Debug)]
pub struct Asked {
    /// What was decided.
    pub decision: Decision,
    /// The path of the page it is on.
    pub page: String,
}

/// What stands in the frames of the page at `page`, a path with its query.
#[must_use]
pub fn placeholders(visit: &Visit<'_>, page: &str) -> Placeholders {
    let here = |name: &str| format!("{}{}", visit.host_prefix(), visit.path(name));
    let page = ReturnTo::read(page, visit);
    Placeholders {
        choices_url: choices_url(visit, page.as_str()),
        texts: Arc::clone(visit.texts),
        embeds: Some(Embeds {
            keys: visit.site.consent.keys.clone(),
            scope: visit.cookie.scope.to_owned(),
            embed_url: here("embed"),
            choices_action: here("choices"),
            notice_revision: visit.site.consent.notice_revision,
            page: page.as_str().to_owned(),
        }),
    }
}

fn frame(embed: &Embed, url: &Url, visit: &Visit<'_>) -> Response<Bytes> {
    let markup = html! {
        (DOCTYPE)
        html lang=(visit.texts().lang) {
            head { meta charset="utf-8"; title { (embed.vendor) } style { (PreEscaped(STYLE)) } }
            body { (inner_frame(embed, url)) }
        }
    };
    let mut response =
        page::filled(StatusCode::OK, "text/html; charset=utf-8", markup.into_string());
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; frame-src {}; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
        sources(url)
    );
    let fields = response.headers_mut();
    fields.insert(CONTENT_SECURITY_POLICY, page::value(&policy));
    fields.insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    response
}

/// The site's frame, with everything it had. maud cannot name attributes at
/// run time, so they are written here; names come from a list of ours.
fn inner_frame(embed: &Embed, url: &Url) -> Markup {
    let mut text = format!("<iframe src=\"{}\"", escaped(url.as_str()));
    for (name, value) in &embed.attributes {
        if name != "loading" {
            text.push_str(&format!(" {name}=\"{}\"", escaped(value)));
        }
    }
    if !embed.attributes.iter().any(|(name, _)| name == "referrerpolicy") {
        // What a page that says nothing about it sends; some players insist.
        text.push_str(" referrerpolicy=\"strict-origin-when-cross-origin\"");
    }
    text.push_str("></iframe>");
    PreEscaped(text)
}

fn escaped(text: &str) -> String {
    html! { (text) }.into_string()
}

/// The embed's host and what belongs to the same owner's domain, since players
/// move visitors between their own hosts.
fn sources(url: &Url) -> String {
    let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    match registrable(host) {
        Some(domain) => {
            format!("{scheme}://{host}{port} {scheme}://{domain}{port} {scheme}://*.{domain}{port}")
        }
        None => format!("{scheme}://{host}{port}"),
    }
}

fn provider(embed: &Embed, url: &Url, visit: &Visit<'_>) -> Response<Bytes> {
    let texts = visit.texts();
    let title = texts.embed_leaving.replace("{vendor}", &embed.vendor);
    let main = html! {
        p { (texts.embed_leaving_note) }
        p { a href=(url) rel="noreferrer noopener nofollow" { (url) } }
    };
    page::html(StatusCode::OK, &title, &main, visit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::trial::{self, Trial};
    use http::Method;

    const OURS: [(&str, &str); 3] = [
        ("origin", "http://shop.example"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("sec-fetch-dest", "iframe"),
    ];

    fn embed() -> Embed {
        let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Embed {
            url: "https://www.tube.example/embed/1?a=b&c=\"d".into(),
            vendor: "Tube".into(),
            page: "/video".into(),
            attributes: vec![
                attribute("allow", "autoplay \"x\""),
                attribute("sandbox", "allow-scripts"),
                attribute("loading", "lazy"),
            ],
        }
    }

    fn sealed(trial: &Trial, embed: &Embed) -> String {
        let sealed = embed.seal(&trial.site.consent.keys, "shop");
        form_urlencoded::Serializer::new(String::new()).append_pair("embed", &sealed).finish()
    }

    #[test]
    fn e7_one_embed_is_shown_and_nothing_is_stored() {
        let trial = Trial::new();
        let body = sealed(&trial, &embed());
        let answer = trial.ask(Method::POST, "/.consentry/embed", &OURS, &body);
        assert_eq!(answer.response.status(), 200);
        assert_eq!(answer.chosen, None);
        assert!(answer.response.headers().get("set-cookie").is_none());
        let asked = answer.asked.unwrap();
        assert_eq!(
            (asked.decision.what.as_str(), asked.decision.verdict.reason(), &*asked.page),
            ("www.tube.example/embed/1", "asked for once", "/video")
        );
        let frame = trial::tags(answer.response.body(), "iframe").pop().unwrap();
        assert_eq!(frame.attribute("src"), Some("https://www.tube.example/embed/1?a=b&c=%22d"));
        assert_eq!(frame.attribute("allow"), Some("autoplay \"x\""));
        assert_eq!(frame.attribute("sandbox"), Some("allow-scripts"));
        assert_eq!(frame.attribute("loading"), None, "it was asked for");
        let policy = answer.response.headers()["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains(
                "frame-src https://www.tube.example https://tube.example https://*.tube.example;"
            ),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'self'"), "{policy}");
        assert_eq!(answer.response.headers()["x-frame-options"], "SAMEORIGIN");
    }

    #[test]
    fn e7_without_a_frame_a_link_leads_to_the_provider() {
        let trial = Trial::new();
        let body = format!("{}&to=provider", sealed(&trial, &embed()));
        let answer = trial.ask(Method::POST, "/.consentry/embed", &OURS[..2], &body);
        assert!(trial::tags(answer.response.body(), "iframe").is_empty());
        let link = trial::tags(answer.response.body(), "a").remove(0);
        assert_eq!(link.attribute("href"), Some("https://www.tube.example/embed/1?a=b&c=%22d"));
        assert_eq!(link.attribute("rel"), Some("noreferrer noopener nofollow"));
        assert!(answer.asked.is_none(), "the visitor goes there by themselves");
    }

    #[test]
    fn e7_nobody_else_has_us_show_anything() {
        let trial = Trial::new();
        let good = sealed(&trial, &embed());
        let other = embed().seal(&trial.site.consent.keys, "other shop");
        let script = Embed { url: "not an address".into(), ..embed() };
        for (fields, body) in [
            (vec![("origin", "https://evil.example"), OURS[1]], good.clone()),
            (vec![OURS[0], OURS[1], ("sec-purpose", "prefetch")], good.clone()),
            (vec![OURS[1]], good.clone()),
            (vec![OURS[0]], good.clone()),
            (vec![OURS[0], ("content-type", "text/plain")], good.clone()),
            (vec![OURS[0], ("content-type", "multipart/form-data; boundary=x")], good.clone()),
            (OURS.to_vec(), format!("embed={other}")),
            (OURS.to_vec(), format!("{good}&{good}")),
            (OURS.to_vec(), format!("{good}x")),
            (OURS.to_vec(), sealed(&trial, &script)),
            (OURS.to_vec(), "embed=https%3A%2F%2Fevil.example".to_owned()),
            (OURS.to_vec(), String::new()),
        ] {
            let answer = trial.ask(Method::POST, "/.consentry/embed", &fields, &body);
            assert!(answer.response.status().is_client_error(), "{fields:?} {body}");
            assert!(answer.asked.is_none());
            assert!(trial::tags(answer.response.body(), "iframe").is_empty());
        }
        let get = trial.ask(Method::GET, &format!("/.consentry/embed?{good}"), &OURS, "");
        assert_eq!(get.response.status(), 405);
    }
}
