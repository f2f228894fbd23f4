//! The sites in our care, as they are configured and as they are visited.

use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::pages::asked::{Asked, figures};
use crate::dashboard::pages::show::{name, number};
use crate::ledger::figures::sites::OfSite;
use crate::policy::{Mode, Observed, Unlisted};
use crate::site::Site;

use axum::extract::RawQuery;
use axum::response::Response;
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) async fn page(context: Context, RawQuery(query): RawQuery) -> Response {
    let asked = Asked::read(query.as_deref());
    let period = asked.period;
    match figures(&context, move |figures| figures.sites(period)).await {
        Ok(figures) => {
            let sites = context.sites();
            let body = html! {
                (asked.form("/sites", &[], &html! {}))
                @for site in sites.iter() {
                    (card(&asked, site, figures.iter().find(|of| *of.site == *site.name)))
                }
                @let gone = figures.iter().filter(|of| !sites.iter().any(|site| *site.name == *of.site)).collect::<Vec<_>>();
                @if !gone.is_empty() {
                    h2 { "In the ledger, not in the configuration" }
                    ul { @for of in gone { li { a href=(asked.link("/log", &[("site", &of.site)])) { (name(&of.site)) } } } }
                }
            };
            layout::page(&context.session, "Sites", "/sites", &body)
        }
        Err(response) => response,
    }
}

fn card(asked: &Asked, site: &Site, of: Option<&OfSite>) -> Markup {
    let asked = asked.about_site(&site.name);
    let unlisted = match site.policy.unlisted() {
        Unlisted::Allow => "they pass, on record",
        Unlisted::Observe => "they pass, on record, and are raised here",
        Unlisted::Block => "they are held back until somebody classifies them",
    };
    html! {
        section.card {
            h2 { (name(&site.name)) }
            dl {
                dt { "Hosts" } dd { @if site.hosts.is_empty() { "any" } @else { (site.hosts.join(", ")) } }
                dt { "Verdicts" } dd { @match site.mode { Mode::Enforce => "are carried out", Mode::Observe => strong { "are only recorded: nothing is held back" }, Mode::Safe => "are carried out for what the catalogue knows" } (parts_of(site)) }
                dt { "Third parties nobody knows" } dd { (unlisted) }
                dt { "Policy" } dd { code { (site.policy.revision()) } " with " (site.policy.exceptions().len()) " exceptions" }
                dt { "Declaration" } dd { a href=(asked.link("/declaration", &[])) { "What was met here, for the privacy policy" } }
                dt { "Visits " (asked.in_words()) } dd {
                    @match of {
                        Some(of) => { a href=(asked.link("/", &[])) { (number(of.views)) " requests" } ", " (number(of.parts.withheld)) " things held back, " (number(of.parts.let_through)) " let through" },
                        None => "nothing on record",
                    }
                }
            }
        }
    }
}

/// For whom they are carried out, and about whom, where that is not everybody.
fn parts_of(site: &Site) -> Markup {
    let vendors = match site.policy.observed() {
        Observed::Nobody => None,
        Observed::These(ids) => Some(("only recorded about ", ids)),
        Observed::AllBut(ids) => Some(("only about ", ids)),
    };
    let names = |ids: &std::collections::BTreeSet<String>| {
        ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    html! {
        @if site.mode.enforces() && site.enforce_share < 100 {
            ", for " (site.enforce_share) " of a hundred visitors who say nothing"
        }
        @if let Some((what, ids)) = vendors { ", " (what) (name(&names(ids))) }
    }
}
