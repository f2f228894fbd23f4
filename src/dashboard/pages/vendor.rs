//! One vendor: where it was met, who answers for it, and what holds for it.

use crate::dashboard::gate::see_other;
use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::pages::asked::{Asked, figures, site_names};
use crate::dashboard::pages::show::{moment, name, number};
use crate::dashboard::pages::stewards;
use crate::ledger::figures::newcomers::Seen;
use crate::ledger::figures::vendors::{OfKind, OfPage};
use crate::site::Sites;

use axum::extract::RawQuery;
use axum::response::Response;
use maud::{Markup, html};

struct Found {
    sites: Vec<String>,
    pages: Vec<OfPage>,
    kinds: Vec<OfKind>,
    seen: Vec<Seen>,
}

/// More pages than that are better looked for in the block log.
const PAGES: u32 = 200;

/// The page.
pub(in crate::dashboard) async fn page(context: Context, RawQuery(query): RawQuery) -> Response {
    let asked = Asked::read(query.as_deref());
    let Some(id) = asked.value("id").map(ToOwned::to_owned) else {
        return see_other(&asked.link("/vendors", &[]));
    };
    let (period, site, wanted) = (asked.period, asked.site.clone(), id.clone());
    let found = figures(&context, move |figures| {
        let site = site.as_deref();
        Ok(Found {
            sites: site_names(figures, period)?,
            pages: figures.vendor_pages(&wanted, period, site, PAGES)?,
            kinds: figures.vendor_kinds(&wanted, period, site)?,
            seen: figures.seen("vendor", &wanted)?,
        })
    });
    match found.await {
        Ok(found) => {
            let sites = context.sites();
            let title = title(&id, &found, &sites);
            let keep = html! { input type="hidden" name="id" value=(id); };
            let body = html! {
                @if id != "?" {
                    (described(&id, &sites))
                    h2 { "Who answers for it here, and why it is used" }
                    (stewards::of(&context).in_full(&id))
                }
                h2 { "Pages that tried to load it" }
                (asked.form("/vendor", &found.sites, &keep))
                (pages(&asked, &id, &found.pages))
                h2 { "What it was met with" }
                (kinds(&asked, &id, &found.kinds))
                @if !found.seen.is_empty() {
                    h2 { "Met for the first time" }
                    (first(&found.seen))
                }
            };
            layout::page(&context.session, &title, "/vendors", &body)
        }
        Err(response) => response,
    }
}

fn title(id: &str, found: &Found, sites: &Sites) -> String {
    if id == "?" {
        return "What nobody knows".to_owned();
    }
    let known = sites.iter().find_map(|site| site.policy.catalogue().vendor(id));
    let seen = found.seen.first().map(|seen| seen.vendor.clone());
    let title = known.map(|vendor| vendor.name.clone()).or(seen).unwrap_or_else(|| id.to_owned());
    crate::ledger::plain::text(&title).into_owned()
}

/// What the catalogue says of it.
fn described(id: &str, sites: &Sites) -> Markup {
    let known = sites.iter().find_map(|site| {
        let catalogue = site.policy.catalogue();
        let vendor = catalogue.vendor(id)?;
        Some((
            vendor,
            catalogue.hosts_of(vendor).take(12).map(ToOwned::to_owned).collect::<Vec<_>>(),
        ))
    });
    html! {
        @match known {
            Some((vendor, hosts)) => dl {
                dt { "Company" } dd { (vendor.owner) }
                dt { "What it does" } dd { (vendor.about) }
                dt { "Purposes" } dd { (vendor.purposes.iter().map(|purpose| purpose.name()).collect::<Vec<_>>().join(", ")) }
                @if !vendor.reason.is_empty() { dt { "Why it is necessary" } dd { (vendor.reason) } }
                dt { "Hosts" } dd { (hosts.join(", ")) }
                dt { "Where this can be checked" } dd { @if vendor.source.starts_with("https://") { a href=(vendor.source) rel="noreferrer noopener" { (vendor.source) } } @else { (vendor.source) } }
            },
            None => p { "The catalogue that is used now does not know " code { (name(id)) } "; the ledger remembers it from before." },
        }
    }
}

fn pages(asked: &Asked, id: &str, pages: &[OfPage]) -> Markup {
    html! {
        @if pages.is_empty() { p { "No page tried " (asked.in_words()) "." } } @else {
            p { "Requests for a page " (asked.in_words()) ". What the page tried to load although the visitor had not agreed stands under “held back”; why, in each case, is in the block log." }
            div.wide {
                table {
                    thead { tr { th scope="col" { "Page" } th scope="col" { "Site" } th.number scope="col" { "Held back" } th.number scope="col" { "Would have been" } th.number scope="col" { "Let through" } } }
                    tbody {
                        @for of in pages {
                            @let log = |verdict: &str| asked.link("/log", &[("vendor", id), ("page", &of.page), ("verdict", verdict)]);
                            tr {
                                th.what scope="row" { a href=(asked.link("/log", &[("vendor", id), ("page", &of.page)])) { (name(&of.page)) } }
                                td { (name(&of.site)) }
                                td.number { @if of.withheld > 0 { a href=(log("block")) { (number(of.withheld)) } } @else { "0" } }
                                td.number { (number(of.would_withhold)) }
                                td.number { @if of.let_through > 0 { a href=(log("allow")) { (number(of.let_through)) } } @else { "0" } }
                            }
                        }
                    }
                }
            }
            @if pages.len() >= PAGES as usize { p.quiet { "These are the first " (PAGES) "; the " a href=(asked.link("/log", &[("vendor", id)])) { "block log" } " has all." } }
        }
    }
}

fn kinds(asked: &Asked, id: &str, kinds: &[OfKind]) -> Markup {
    html! {
        @if kinds.is_empty() { p { "Nothing in this time." } } @else {
            div.wide {
                table {
                    thead { tr { th scope="col" { "Kind" } th.number scope="col" { "Held back" } th.number scope="col" { "Would have been" } th.number scope="col" { "Let through" } } }
                    tbody {
                        @for of in kinds {
                            tr {
                                th scope="row" { a href=(asked.link("/log", &[("vendor", id), ("kind", &of.kind)])) { (of.kind) } }
                                td.number { (number(of.withheld)) } td.number { (number(of.would_withhold)) } td.number { (number(of.let_through)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn first(seen: &[Seen]) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th scope="col" { "Site" } th scope="col" { "When (UTC)" } th scope="col" { "On page" } th scope="col" { "As" } th scope="col" { "Asked for by" } } }
                tbody {
                    @for each in seen {
                        tr {
                            th scope="row" { (name(&each.site)) }
                            td { (moment(each.first_ms)) }
                            td { (name(&each.page)) }
                            td.what { (name(&each.what)) br; span.quiet { (each.kind) } }
                            td.what { @if each.via.is_empty() { "the page itself" } @else { (name(&each.via)) } }
                        }
                    }
                }
            }
        }
    }
}
