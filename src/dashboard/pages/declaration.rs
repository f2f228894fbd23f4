//! What a site's visitors have to be told: the vendors and cookies that were
//! really met, not those that somebody once wrote down. Made to be printed, or
//! copied into a privacy policy.

use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::pages::asked::{Asked, figures, site_names};
use crate::dashboard::pages::show::{name, vendor};
use crate::ledger::figures::Period;
use crate::ledger::figures::newcomers::Seen;
use crate::ledger::figures::vendors::OfVendor;
use crate::purpose::Purpose;
use crate::site::Sites;

use axum::extract::RawQuery;
use axum::response::Response;
use maud::{Markup, html};
use std::time::{SystemTime, UNIX_EPOCH};

/// How far back it looks unless somebody asks for another time.
const DAYS: u32 = 30;

/// More than anybody would read.
const MOST: u32 = 2000;

/// The page.
pub(in crate::dashboard) async fn page(context: Context, RawQuery(query): RawQuery) -> Response {
    let mut asked = Asked::read(query.as_deref());
    if query
        .as_deref()
        .is_none_or(|query| !["days=", "from=", "to="].iter().any(|word| query.contains(word)))
    {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        asked.period = Period::last(DAYS, u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    }
    let (period, site) = (asked.period, asked.site.clone());
    let found = figures(&context, move |figures| {
        let site = site.as_deref();
        Ok((
            site_names(figures, period)?,
            figures.vendors(period, site)?,
            figures.met("cookie", period, site, MOST)?,
            figures.unlisted(site, MOST, |_| true)?,
        ))
    });
    match found.await {
        Ok((names, vendors, cookies, unlisted)) => {
            let sites = context.sites();
            let met = |seen: &&Seen| {
                seen.last_ms >= period.from_ms() && seen.first_ms < period.until_ms()
            };
            let unlisted: Vec<&Seen> = unlisted.iter().filter(met).collect();
            let observed = vendors.iter().any(|of| of.parts.would_withhold > 0);
            let body = html! {
                (asked.form("/declaration", &names, &html! {}))
                p { "In the " (period.len()) " days up to " (period.last_day()) ", pages of " @if let Some(site) = &asked.site { (name(site)) } @else { "these sites" } " tried to load or set the following." @if !observed { " Nothing that needs your agreement is loaded or set before you agree." } }
                @if observed { p.warning { "Verdicts were only recorded on some of these pages (mode " code { "observe" } "): there, things passed before anybody agreed, and this must not be published as it is." } }
                h2 { "Companies" }
                (companies(&vendors, &sites))
                h2 { "Cookies" }
                (jar(&cookies))
                @if !unlisted.is_empty() {
                    h2 { "Not classified yet" }
                    p.quiet { "Nobody has said whose these are. " a href="/new" { "Classify them" } " before you publish this." }
                    ul { @for seen in unlisted { li { (name(&seen.name)) } } }
                }
            };
            layout::page(&context.session, "Declaration", "/sites", &body)
        }
        Err(response) => response,
    }
}

fn companies(vendors: &[OfVendor], sites: &Sites) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th scope="col" { "Service" } th scope="col" { "Company" } th scope="col" { "Used for" } th scope="col" { "What it does" } th scope="col" { "When" } } }
                tbody {
                    @for of in vendors.iter().filter(|of| !of.vendor_id.is_empty()) {
                        @let known = sites.iter().find_map(|site| site.policy.catalogue().vendor(&of.vendor_id));
                        tr {
                            th scope="row" { (vendor(&of.vendor)) }
                            td { (known.map_or("\u{2013}", |vendor| vendor.owner.as_str())) }
                            td { (of.purposes.join(", ")) }
                            td { (known.map_or("\u{2013}", |vendor| vendor.about.as_str())) }
                            td { (when(&of.purposes)) }
                        }
                    }
                }
            }
        }
    }
}

fn when(purposes: &[String]) -> &'static str {
    if purposes.iter().all(|purpose| purpose == Purpose::Necessary.name()) {
        "always: the site needs it"
    } else {
        "only after you agree"
    }
}

fn jar(cookies: &[Seen]) -> Markup {
    html! {
        @if cookies.is_empty() { p { "None." } } @else {
            div.wide {
                table {
                    thead { tr { th scope="col" { "Cookie" } th scope="col" { "Set by" } th scope="col" { "Used for" } } }
                    tbody {
                        @for cookie in cookies {
                            tr {
                                th.what scope="row" { (name(&cookie.name)) }
                                td { @if cookie.vendor_id.is_empty() { "the site itself" } @else { (vendor(&cookie.vendor)) } }
                                td { @if cookie.purpose.is_empty() { "not classified" } @else { (cookie.purpose) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
