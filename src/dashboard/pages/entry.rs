//! One page view on record: every decision on it, down to the element and the
//! rule.

use crate::dashboard::gate::see_other;
use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::pages::asked::{Asked, figures};
use crate::dashboard::pages::show::{class, moment, name, vendor, verdict};
use crate::ledger::read::Line;

use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) async fn page(context: Context, RawQuery(query): RawQuery) -> Response {
    let asked = Asked::read(query.as_deref());
    let Some(id) = asked.value("id") else { return see_other("/log") };
    let Ok(id) = id.parse::<i64>() else { return gone("An entry has a number") };
    match figures(&context, move |figures| figures.entry(id)).await {
        Ok(lines) => match lines.first() {
            Some(first) => {
                let body = body(first, &lines);
                layout::page(&context.session, &format!("Page view {id}"), "/log", &body)
            }
            None => gone("There is no entry of that number"),
        },
        Err(response) => response,
    }
}

fn gone(title: &str) -> Response {
    let detail = "It may have been pruned: how long entries are kept is in the configuration.";
    layout::refusal(false, StatusCode::NOT_FOUND, title, detail)
}

fn body(first: &Line, lines: &[Line]) -> Markup {
    let withheld = lines.iter().filter(|line| line.verdict == "block").count();
    let signal = match first.signal.as_str() {
        "silence" => "nothing: the visitor had said nothing, and silence is “no”".to_owned(),
        "choice" => "the visitor's own choice on this site".to_owned(),
        "gpc" => "Global Privacy Control, which their browser sent".to_owned(),
        other => format!("a signal: {other}"),
    };
    html! {
        dl {
            dt { "Time" } dd { (moment(first.time_ms.cast_signed())) " UTC" }
            dt { "Page" } dd { (name(&first.page)) " on " (name(&first.site)) }
            dt { "Agreed to" } dd { (class(&first.class)) @if first.undecided { " (still undecided about something)" } }
            dt { "Decided by" } dd { (signal) }
            dt { "Mode" } dd { (first.mode) @if first.mode == "observe" { ": verdicts were recorded, not carried out" } }
            dt { "Policy" } dd { code { (first.policy_revision) } }
            dt { "Held back" } dd { (withheld) " of " (lines.len()) }
        }
        p.quiet { "Nothing about the visitor is on record but what they agreed to: no address, no browser, no cookie's value, no number." }
        div.wide {
            table {
                thead { tr {
                    th scope="col" { "Verdict" } th scope="col" { "What" } th scope="col" { "Kind" } th scope="col" { "Vendor" } th scope="col" { "Purpose" }
                    th scope="col" { "Why" } th scope="col" { "Rule" } th scope="col" { "Asked for by" } th scope="col" { "Carried out in" }
                } }
                tbody {
                    @for line in lines {
                        tr {
                            td { (verdict(&line.verdict, &line.mode)) }
                            td.what { (name(&line.what)) }
                            td { (line.kind) }
                            td { @if let Some(id) = &line.vendor_id { a href=(Asked::read(None).link("/vendor", &[("id", id)])) { (vendor(line.vendor.as_deref().unwrap_or(id))) } } @else { (vendor("")) } }
                            td { (line.purpose.as_deref().unwrap_or("\u{2013}")) }
                            td { (name(&line.reason)) }
                            td { @if let Some(rule) = &line.rule { code { (name(rule)) } } }
                            td.what { (name(line.via.as_deref().unwrap_or("\u{2013}"))) }
                            td { (line.layer) }
                        }
                    }
                }
            }
        }
    }
}
