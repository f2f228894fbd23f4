//! The block log: every decision, found by what it was about.

use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::pages::asked::{Asked, MAX_VALUE, figures, site_names};
use crate::dashboard::pages::show::{moment, name, vendor, verdict};
use crate::ledger::figures::log::{Cursor, LogPage, Wanted};
use crate::ledger::figures::vendors::OfVendor;
use crate::ledger::read::{Line, VerdictWord};
use crate::purpose::Purpose;

use axum::extract::RawQuery;
use axum::response::Response;
use maud::{Markup, html};

/// How many page views stand on one page of the log.
const ENTRIES: u32 = 25;

/// The kinds that can be asked for.
const KINDS: [&str; 16] = [
    "script",
    "inline",
    "frame",
    "image",
    "style",
    "font",
    "media",
    "object",
    "hint",
    "connect",
    "refresh",
    "cookie",
    "header",
    "response-header",
    "parameter",
    "own-path",
];

/// What an address asks of the block log; what cannot be understood is said.
pub(in crate::dashboard) fn wanted(asked: &mut Asked) -> (Wanted, Option<Cursor>) {
    let text = |asked: &Asked, name: &str| asked.value(name).map(ToOwned::to_owned);
    let mut mistakes = Vec::new();
    let purpose = asked.value("purpose").and_then(|word| {
        let purpose = Purpose::from_name(word);
        if purpose.is_none() {
            mistakes.push(format!("“{word}” is no purpose"));
        }
        purpose
    });
    let verdict = match asked.value("verdict") {
        Some("block") => Some(VerdictWord::Block),
        Some("allow") => Some(VerdictWord::Allow),
        Some("any") | None => None,
        Some(word) => {
            mistakes.push(format!("“{word}” is no verdict: `block` or `allow`"));
            None
        }
    };
    let after = asked.value("after").and_then(|place| {
        let cursor = Cursor::parse(place);
        if cursor.is_none() {
            mistakes.push(format!("“{place}” is no place in the log; this is its beginning"));
        }
        cursor
    });
    let wanted = Wanted {
        period: asked.period,
        site: asked.site.clone(),
        vendor: text(asked, "vendor"),
        purpose,
        verdict,
        kind: text(asked, "kind"),
        page: text(asked, "page"),
        what: text(asked, "what"),
    };
    asked.mistakes.extend(mistakes);
    (wanted, after)
}

/// The page.
pub(in crate::dashboard) async fn page(context: Context, RawQuery(query): RawQuery) -> Response {
    let mut asked = Asked::read(query.as_deref());
    let (wanted, after) = wanted(&mut asked);
    let period = asked.period;
    let found = figures(&context, move |figures| {
        let sites = site_names(figures, period)?;
        let vendors = figures.vendors(period, None)?;
        Ok((sites, vendors, figures.block_log(&wanted, after, ENTRIES)?))
    });
    match found.await {
        Ok((sites, vendors, log)) => {
            let body = html! {
                (asked.form("/log", &sites, &filters(&asked, &vendors)))
                (lines(&asked, &log))
            };
            layout::page(&context.session, "Block log", "/log", &body)
        }
        Err(response) => response,
    }
}

/// A choice among words, and none of them.
fn choice(asked: &Asked, field: &str, label: &str, none: &str, words: &[(&str, &str)]) -> Markup {
    let now = asked.value(field);
    html! {
        div {
            label for=(field) { (label) }
            select id=(field) name=(field) {
                option value="" { (none) }
                @for (value, words) in words {
                    option value=(value) selected[now == Some(value)] { (name(words)) }
                }
                // A value that is not in the list is kept, too.
                @if let Some(now) = now { @if !words.iter().any(|(value, _)| *value == now) { option value=(now) selected { (name(now)) } } }
            }
        }
    }
}

fn filters(asked: &Asked, vendors: &[OfVendor]) -> Markup {
    let mut known: Vec<(&str, &str)> = vendors
        .iter()
        .filter(|of| !of.vendor_id.is_empty())
        .map(|of| (of.vendor_id.as_str(), of.vendor.as_str()))
        .collect();
    known.sort_by_key(|(_, vendor)| vendor.to_lowercase());
    known.push(("?", "Nobody knows"));
    let purposes = Purpose::ALL.map(|purpose| (purpose.name(), purpose.name()));
    let kinds = KINDS.map(|kind| (kind, kind));
    html! {
        (choice(asked, "verdict", "Verdict", "Any", &[("block", "Held back"), ("allow", "Let through")]))
        (choice(asked, "vendor", "Vendor", "Any", &known))
        (choice(asked, "purpose", "Purpose", "Any", &purposes))
        (choice(asked, "kind", "Kind", "Any", &kinds))
        div { label for="page" { "Page" } input #page name="page" value=[asked.value("page")] placeholder="/checkout" maxlength=(MAX_VALUE); }
        div { label for="what" { "Name contains" } input #what name="what" value=[asked.value("what")] placeholder="pixel" maxlength=(MAX_VALUE); }
    }
}

fn lines(asked: &Asked, log: &LogPage) -> Markup {
    html! {
        @if log.lines.is_empty() {
            p { "Nothing on record fits. " a href="/log" { "Show everything of the last days" } "." }
        } @else {
            div.wide {
                table {
                    thead { tr {
                        th scope="col" { "Time (UTC)" } th scope="col" { "Page" } th scope="col" { "Verdict" } th scope="col" { "What" }
                        th scope="col" { "Vendor" } th scope="col" { "Purpose" } th scope="col" { "Why" } th scope="col" { "Rule" }
                    } }
                    tbody { @for line in &log.lines { (row(asked, line)) } }
                }
            }
            @if log.left_out > 0 {
                p.quiet { (log.left_out) " more decisions of these page views are not shown; narrow the filters, or open a page view." }
            }
        }
        nav.pager aria-label="Pages of the log" {
            @if asked.value("after").is_some() { a.button.plain href=(asked.link_with_all("/log", &[])) { "Newest" } }
            @if let Some(next) = log.next {
                @let next = next.to_string();
                a.button.plain rel="next" href=(asked.link_with_all("/log", &[("after", &next)])) { "Older" }
            }
        }
    }
}

fn row(asked: &Asked, line: &Line) -> Markup {
    let entry = format!("/entry?id={}", line.entry);
    html! {
        tr {
            td { a href=(entry) { (moment(line.time_ms.cast_signed())) } }
            td.what { (name(&line.page)) br; span.quiet { (name(&line.site)) } }
            td { (verdict(&line.verdict, &line.mode)) }
            td.what { (name(&line.what)) br; span.quiet { (line.kind) } }
            td {
                @if let Some(id) = &line.vendor_id { a href=(asked.link("/vendor", &[("id", id)])) { (vendor(line.vendor.as_deref().unwrap_or(id))) } }
                @else { (vendor("")) }
            }
            td { (line.purpose.as_deref().unwrap_or("\u{2013}")) }
            td { (name(&line.reason)) }
            td.what { @if let Some(rule) = &line.rule { code { (name(rule)) } } }
        }
    }
}
