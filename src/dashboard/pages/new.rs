//! What was never met before, and what waits for somebody to say whose it is.

use crate::dashboard::desk::still_waits;
use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::pages::asked::{Asked, figures, site_names};
use crate::dashboard::pages::show::{moment, name, number, verdict};
use crate::ledger::figures::newcomers::Seen;

use axum::extract::RawQuery;
use axum::response::Response;
use maud::{Markup, html};

/// So many rows of a list are enough for one page.
const ROWS: u32 = 300;

/// The page.
pub(in crate::dashboard) async fn page(context: Context, RawQuery(query): RawQuery) -> Response {
    let asked = Asked::read(query.as_deref());
    let (period, site) = (asked.period, asked.site.clone());
    let waits = still_waits(&context);
    let found = figures(&context, move |figures| {
        let site = site.as_deref();
        let sites = site_names(figures, period)?;
        let new = figures.newcomers(period, site, ROWS)?;
        Ok((sites, new, figures.unlisted(site, ROWS, waits)?))
    });
    match found.await {
        Ok((sites, new, unlisted)) => {
            let of = |sort: &str| -> Vec<&Seen> {
                new.iter().filter(|each| each.sort == sort).collect()
            };
            let body = html! {
                (asked.form("/new", &sites, &html! {}))
                h2 { "Waiting for classification" }
                (waiting(&unlisted))
                h2 { "Vendors met for the first time" }
                (table(&asked, &of("vendor"), "Vendor"))
                h2 { "Hosts met for the first time" }
                (table(&asked, &of("host"), "Host"))
                h2 { "Cookies met for the first time" }
                (table(&asked, &of("cookie"), "Cookie"))
                @if new.len() >= ROWS as usize { p.quiet { "These are the newest " (ROWS) "; choose a shorter time to see the others." } }
            };
            layout::page(&context.session, "New", "/new", &body)
        }
        Err(response) => response,
    }
}

fn waiting(unlisted: &[Seen]) -> Markup {
    html! {
        @if unlisted.len() >= ROWS as usize { p.quiet { "These are the newest " (ROWS) "; there are more." } }
        @if unlisted.is_empty() { p { "No third party is without a name: everything that was met is in the catalogue." } } @else {
            p { "Nobody in the catalogue knows these hosts. Say whose one is and what it does, and the next page view is decided by that." }
            div.wide {
                table {
                    thead { tr { th scope="col" { "Host" } th scope="col" { "Site" } th.number scope="col" { "Requests" } th scope="col" { "Now" } th scope="col" { "First met (UTC)" } th scope="col" { "On page" } th scope="col" { "Asked for by" } th scope="col" { "Last met (UTC)" } th scope="col" { "Whose is it?" } } }
                    tbody {
                        @for each in unlisted {
                            tr {
                                th.what scope="row" { (name(&each.name)) br; span.quiet { (name(&each.what)) ", " (each.kind) } }
                                td { (name(&each.site)) }
                                td.number { (number(each.views)) }
                                td { (verdict(&each.verdict, "")) }
                                td { (moment(each.first_ms)) }
                                td.what { (name(&each.page)) }
                                td.what { (asker(each)) }
                                td { (moment(each.last_ms)) }
                                td { a.button href=(layout::address("/classify", &[("host", &each.name)])) { "Classify" span.skip { " " (name(&each.name)) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn asker(each: &Seen) -> Markup {
    html! { @if each.via.is_empty() { "the page itself" } @else { (name(&each.via)) } }
}

fn table(asked: &Asked, new: &[&Seen], what: &str) -> Markup {
    html! {
        @if new.is_empty() { p { "None " (asked.in_words()) "." } } @else {
            div.wide {
                table {
                    thead { tr { th scope="col" { (what) } th scope="col" { "Site" } th scope="col" { "Whose" } th scope="col" { "First met (UTC)" } th scope="col" { "On page" } th scope="col" { "Asked for by" } th scope="col" { "Now" } } }
                    tbody {
                        @for each in new {
                            tr {
                                th.what scope="row" { (name(if what == "Vendor" { &each.vendor } else { &each.name })) br; span.quiet { (name(&each.what)) ", " (each.kind) } }
                                td { (name(&each.site)) }
                                td { @if each.vendor_id.is_empty() { em { "nobody known" } } @else { a href=(asked.link("/vendor", &[("id", &each.vendor_id)])) { (name(&each.vendor)) } br; span.quiet { (each.purpose) } } }
                                td { (moment(each.first_ms)) }
                                td { a href=(asked.link("/log", &[("page", &each.page)])) { (name(&each.page)) } }
                                td.what { (asker(each)) }
                                td { (verdict(&each.verdict, "")) }
                            }
                        }
                    }
                }
            }
        }
    }
}
