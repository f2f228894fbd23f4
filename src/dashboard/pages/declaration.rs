//! What a site's visitors have to be told, with what they are not told. Made
//! to be looked at before it is linked to, printed, or copied into a privacy
//! policy.

use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::pages::asked::{Asked, figures, site_names};
use crate::dashboard::pages::show::{day, name, vendor};
use crate::dashboard::pages::stewards;
use crate::declaration::{DAYS, Declaration, Evidence, Service};
use crate::ledger::figures::newcomers::Seen;
use crate::policy::Exception;
use crate::purpose::Purpose;
use crate::site::Site;

use axum::extract::RawQuery;
use axum::response::Response;
use maud::{Markup, html};
use std::sync::Arc;

/// The page.
pub(in crate::dashboard) async fn page(context: Context, RawQuery(query): RawQuery) -> Response {
    let asked = Asked::read_or(query.as_deref(), DAYS);
    let (period, site, sites) = (asked.period, asked.site.clone(), context.sites());
    let found = figures(&context, move |figures| {
        let site = site.as_deref();
        let is_other = |known: &&Arc<Site>| site.is_some_and(|name| *known.name != *name);
        let (others, named): (Vec<_>, Vec<_>) = sites.iter().partition(is_other);
        // The ledger knows sites, too, that the configuration has no more.
        let catalogues: Vec<_> =
            named.iter().chain(&others).map(|site| site.policy.catalogue()).collect();
        let found = Declaration::derive(figures, &catalogues, period, site)?;
        Ok((site_names(figures, period)?, found))
    });
    match found.await {
        Ok((names, found)) => {
            let observed = found.is_observed();
            let (stewards, sites) = (stewards::of(&context), context.sites());
            let is_asked = |site: &&Arc<Site>| asked.site().is_none_or(|name| *site.name == *name);
            let served: Vec<_> = sites.iter().filter(is_asked).collect();
            let prefix = asked.site().and(served.first());
            let prefix = prefix.map(|site| format!("{}/declaration", site.own_prefix));
            let excepted = |service: &Service| {
                served.iter().any(|site| service.is_excepted(&site.policy, stewards.today()))
            };
            let gaps = gaps(&served, &stewards.let_through(asked.site()));
            let body = html! {
                (asked.form("/declaration", &names, &html! {}))
                p.quiet { "Visitors read this about the last " (DAYS) " days, in their language, at " code { (prefix.as_deref().unwrap_or("/.consentry/declaration")) } " on the site itself: link to that from the privacy policy." }
                p { "In the " (period.len()) " days up to " (period.last_day()) ", pages of " @if let Some(site) = &asked.site { (name(site)) } @else { "these sites" } " tried to load or set the following." @if gaps.is_empty() && !observed { " Nothing that needs your agreement is loaded or set before you agree." } }
                @if !gaps.is_empty() {
                    div.warning {
                        p { "Do not publish that nothing happens before visitors agree:" }
                        ul { @for gap in &gaps { li { (gap) } } }
                    }
                }
                @if observed { p.warning { "Verdicts were only recorded on some of these pages (mode " code { "observe" } "): there, things passed before anybody agreed, and this must not be published as it is." } }
                h2 { "Companies" }
                (companies(&found.services, excepted))
                h2 { "Cookies" }
                (jar(&found.cookies))
                @if !found.unlisted.is_empty() {
                    h2 { "Not classified yet" }
                    p.quiet { "Nobody has said whose these are. " a href="/new" { "Classify them" } " before you publish this." }
                    ul { @for seen in &found.unlisted { li { (name(&seen.name)) } } }
                }
            };
            layout::page(&context.session, "Declaration", "/sites", &body)
        }
        Err(response) => response,
    }
}

/// What keeps us from saying that nothing passes before somebody agrees.
fn gaps(served: &[&Arc<Site>], let_through: &[&Exception]) -> Vec<Markup> {
    let mut gaps = Vec::new();
    if served.is_empty() {
        gaps.push(html! { "The site is not served now, so nothing can be promised for it." });
    }
    for site in served {
        gaps.extend(open(site).map(|words| html! { (name(&site.name)) ": " (words) "." }));
    }
    gaps.extend(let_through.iter().map(|exception| {
        let scope = &exception.scope;
        html! {
            "An exception lets through "
            @if let Some(vendor) = &scope.vendor { code { (name(vendor)) } " " }
            (stewards::about(exception))
            @if let Some(pages) = &scope.on_path { " on pages " code { (name(&pages.to_string())) } }
            ": " (name(&exception.reason)) " (" (name(&exception.owner)) ", until " (exception.expires) ")."
        }
    }));
    gaps
}

/// The same for what is set for a site.
fn open(site: &Site) -> impl Iterator<Item = &'static str> {
    let all = [
        (
            !site.holds_everywhere(),
            "verdicts are only recorded on some pages, for some visitors, or about some vendors",
        ),
        (!site.holds_unlisted(), "third parties that nobody has classified are let through"),
        (
            site.consent.regions.take_silence_for_yes(),
            "in some regions, silence is taken for a yes",
        ),
        (
            site.policy.google_pings(),
            "hits of Google's tags pass that say that nothing was agreed to",
        ),
        (
            !site.pass_unfilterable.is_empty(),
            "some pages are passed on unfiltered if they cannot be rewritten",
        ),
    ];
    all.into_iter().filter(|(is_open, _)| *is_open).map(|(_, words)| words)
}

fn companies(services: &[Service], excepted: impl Fn(&Service) -> bool) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th scope="col" { "Service" } th scope="col" { "Company" } th scope="col" { "Used for" } th scope="col" { "What it does" } th scope="col" { "When" } th scope="col" { "Seen since" } } }
                tbody {
                    @for service in services {
                        @let known = service.vendor.as_ref();
                        tr {
                            th scope="row" { (vendor(&service.met.vendor)) }
                            td { (known.map_or("\u{2013}", |vendor| vendor.owner.as_str())) }
                            td { (service.met.purposes.join(", ")) }
                            td {
                                (known.map_or("\u{2013}", |vendor| vendor.about.as_str()))
                                @if let Some(doubt) = doubt(service.evidence) { br; span.quiet { (doubt) } }
                            }
                            td { (when(&service.met.purposes, excepted(service))) }
                            td { @if let Some(first_ms) = service.met.first_ms { (day(first_ms)) } }
                        }
                    }
                }
            }
        }
    }
}

/// What an officer has to know of a service before they believe in it.
const fn doubt(evidence: Evidence) -> Option<&'static str> {
    match evidence {
        Evidence::Site => None,
        Evidence::Browsers => Some(
            "Only browsers say so, which anybody can make up. With `vendors` in the configuration of the site, visitors are told of it only if it is among them.",
        ),
        Evidence::BroughtAlong => Some(
            "Visitors brought it along, with a link or a browser; visitors are not told of it.",
        ),
    }
}

fn when(purposes: &[String], excepted: bool) -> &'static str {
    if excepted {
        "by an exception, before you agree"
    } else if purposes.iter().all(|purpose| purpose == Purpose::Necessary.name()) {
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
