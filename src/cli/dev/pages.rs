//! What a developer sees in the browser: the panel's script, the list of
//! exchanges, and a page that waits for an origin that is not up yet.

use super::answers::{change, keep_here};
use super::journal::{Journal, Seen};
use crate::policy::Decision;
use crate::visitor::Visit;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use url::form_urlencoded;

const PANEL: &str = include_str!("panel.js");
const STYLE: &str = include_str!("page.css");

/// For pages with our own style and script in them.
pub(super) const INLINE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
     script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'";

/// How many exchanges stand on the page.
const LAST: usize = 200;

/// Named after what is in it.
static PANEL_NAME: LazyLock<String> = LazyLock::new(|| {
    let hash = Sha256::digest(PANEL.as_bytes());
    let hash: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("panel-{hash}.js")
});

/// The panel's file, below `dev/`.
pub(super) fn panel_name() -> &'static str {
    &PANEL_NAME
}

/// The script of the panel.
pub(super) fn panel() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(PANEL.as_bytes()));
    keep_here(&mut response);
    let kind = HeaderValue::from_static("text/javascript; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    // Of the same name is always the same.
    let kept = HeaderValue::from_static("private, max-age=86400, immutable");
    response.headers_mut().insert(CACHE_CONTROL, kept);
    response
}

/// `?__consent=` with something that is no state.
pub(super) fn unknown_state(value: &str) -> Response<Bytes> {
    let value: String = value.chars().filter(|char| !char.is_control()).take(40).collect();
    let text = format!(
        "`{value}` is no state. ?__consent= takes undecided, refuse, all, gpc, or purposes \
         separated by commas: functional, analytics, personalization, marketing.\n"
    );
    plain(StatusCode::BAD_REQUEST, text)
}

/// `?__consent=` by a browser that fetches ahead of time.
pub(super) fn too_early() -> Response<Bytes> {
    let text = "States are switched when somebody goes there, not ahead of time.\n";
    plain(StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
}

fn plain(status: StatusCode, text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    keep_here(&mut response);
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Shown until the origin is up: then it is the page that was asked for.
pub(super) fn waiting(origin: &str) -> Bytes {
    const LOOK: &str = "const look=async()=>{try{const it=await fetch(location.href,{method:'HEAD',\
        cache:'no-store',headers:{'x-consentry-waiting':'1'}});\
        if(it.headers.get('x-consentry-origin')!=='down')return location.reload()}catch{}\
        setTimeout(look,1000)};setTimeout(look,1000)";
    let main = html! {
        h1 { "Nobody answers at " code { (origin) } " yet" }
        p { "consentry is running. Start your site there; this page becomes yours as soon as it answers." }
        noscript { p { "Without scripts, reload it yourself." } }
        script { (PreEscaped(LOOK)) }
    };
    frame("Waiting for the origin", &main).into_string().into()
}

/// The last exchanges, or one of them.
pub(super) fn exchanges(
    journal: &Journal,
    origin: &str,
    query: Option<&str>,
    visit: &Visit<'_>,
) -> Response<Bytes> {
    let asked = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .find(|(name, _)| name == "exchange")
        .map(|(_, value)| value.into_owned());
    let one = asked.as_deref().map(|number| number.parse().ok().and_then(|it| journal.find(it)));
    let base = format!("{}/dev/", visit.site.own_prefix);
    let main = match one {
        Some(Some(seen)) => one_exchange(seen, &base),
        Some(None) => html! {
            h1 { "This exchange is forgotten" }
            p { a href=(base) { "All exchanges" } }
        },
        None => all_exchanges(journal, origin, &base),
    };
    let mut response = Response::new(frame("Exchanges", &main).into_string().into());
    keep_here(&mut response);
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    fields.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(INLINE_POLICY));
    response
}

fn all_exchanges(journal: &Journal, origin: &str, base: &str) -> Markup {
    html! {
        h1 { "Exchanges with " code { (origin) } }
        p { "The newest first. " a href=(base) { "Reload" } " \u{b7} the same as JSON: " code { "GET /.consentry/decisions" } }
        table {
            thead { tr { th { "#" } th { "Request" } th { "Status" } th { "Held" } th { "Passed" } th { "ms" } th { "State" } } }
            tbody {
                @for seen in journal.shown().take(LAST) {
                    tr {
                        td { a href=(format!("{base}?exchange={}", seen.number)) { (seen.number) } }
                        td.long { (seen.method) " " (seen.target) }
                        td { (seen.status.map_or_else(|| "\u{2026}".to_owned(), |status| status.to_string())) }
                        td.held[seen.held() > 0] { (seen.held()) }
                        td { (seen.passed()) }
                        td { (format!("{:.1}", seen.took.as_secs_f64() * 1000.0)) }
                        td { @if let Some(verdicts) = &seen.verdicts { (verdicts.state()) } }
                    }
                }
            }
        }
    }
}

fn one_exchange(seen: &Seen, base: &str) -> Markup {
    let verdicts = seen.verdicts.as_ref();
    let decisions = verdicts.map(|verdicts| verdicts.decisions.as_slice()).unwrap_or_default();
    let (held, passed): (Vec<_>, Vec<_>) =
        decisions.iter().partition(|decision| decision.verdict.blocks());
    html! {
        p { a href=(base) { "\u{2190} All exchanges" } }
        h1 { (seen.method) " " code { (seen.target) } }
        p {
            "Exchange " (seen.number) ", "
            @match seen.status { Some(status) => { "status " (status) }, None => { "still under way" } }
            @if let Some(failure) = seen.failure { ", failed: " (failure) }
            @if let Some(verdicts) = verdicts {
                ", " (verdicts.state()) ", mode " (verdicts.mode) ", signal " (verdicts.signal)
            }
        }
        (list("Held back", &held))
        (list("Passed", &passed))
    }
}

fn list(title: &str, decisions: &[&Decision]) -> Markup {
    html! {
        h2 { (title) " (" (decisions.len()) ")" }
        @if !decisions.is_empty() {
            table {
                thead { tr { th { "What" } th { "Whose" } th { "Why" } th { "Rule" } th { "What would change it" } } }
                tbody {
                    @for decision in decisions {
                        tr {
                            td.long { (decision.what) br; small { (decision.kind.name()) ", " (decision.layer.name()) } }
                            td { @if let Some(vendor) = &decision.vendor { (vendor.name) br; small { (vendor.purpose.name()) } } }
                            td { (decision.verdict.reason()) }
                            td.long { @if let Some(rule) = &decision.rule { (rule) } }
                            td { (change(decision)) }
                        }
                    }
                }
            }
        }
    }
}

fn frame(title: &str, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " \u{2013} consentry dev" }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (main) } }
        }
    }
}
