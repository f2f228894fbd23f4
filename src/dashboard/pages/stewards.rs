//! Who answers for a vendor and for every exception, and why.

use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::pages::show::name;
use crate::policy::{Effect, Exception};
use crate::site::{Ownership, day_of};

use jiff::civil::Date;
use maud::{Markup, html};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Everything somebody answers for.
pub(super) struct Stewards {
    ownerships: Vec<Ownership>,
    exceptions: Vec<(Vec<String>, Arc<Exception>)>,
    today: Date,
}

/// What holds on the sites that are served now.
pub(super) fn of(context: &Context) -> Stewards {
    let mut exceptions: Vec<(Vec<String>, Arc<Exception>)> = Vec::new();
    for site in context.sites().iter() {
        for exception in site.policy.exceptions() {
            // One that is about all sites is in the policy of each.
            match exceptions.iter_mut().find(|(_, known)| known.place == exception.place) {
                Some((sites, _)) => sites.push(site.name.to_string()),
                None => exceptions.push((vec![site.name.to_string()], Arc::clone(exception))),
            }
        }
    }
    let mut ownerships: Vec<_> =
        context.sites().iter().flat_map(|site| site.ownerships.iter().cloned()).collect();
    ownerships.sort_by(|a, b| (&a.vendor, &a.site).cmp(&(&b.vendor, &b.site)));
    ownerships.dedup();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stewards { ownerships, exceptions, today: day_of(now.as_secs()) }
}

impl Stewards {
    /// The exceptions that name a vendor.
    fn of_vendor(&self, id: &str) -> impl Iterator<Item = &(Vec<String>, Arc<Exception>)> {
        self.exceptions.iter().filter(move |(_, each)| each.scope.vendor.as_deref() == Some(id))
    }

    /// Who answers for a vendor.
    pub(super) fn owned(&self, id: &str) -> impl Iterator<Item = &Ownership> {
        self.ownerships.iter().filter(move |said| said.vendor == id)
    }

    /// The exceptions that let something through today, on one site or any.
    pub(super) fn let_through(&self, site: Option<&str>) -> Vec<&Exception> {
        let holds = |each: &Exception| each.effect == Effect::Allow && each.holds_on(self.today);
        let all = self.exceptions.iter();
        let all =
            all.filter(|(sites, _)| site.is_none_or(|site| sites.iter().any(|of| of == site)));
        all.map(|(_, each)| &**each).filter(|each| holds(each)).collect()
    }

    /// The day it is.
    pub(super) const fn today(&self) -> Date {
        self.today
    }

    /// A cell of a table.
    pub(super) fn in_short(&self, id: &str) -> Markup {
        let said: Vec<_> = self.owned(id).collect();
        let mut owners: Vec<&str> = said.iter().map(|said| said.owner.as_str()).collect();
        owners.dedup();
        let overdue = said.iter().any(|said| said.is_overdue_on(self.today));
        html! {
            @if id.is_empty() { "\u{2013}" }
            @else if owners.is_empty() { a href=(own(id, "")) { span.tag.open { "nobody" } } }
            @else { (name(&owners.join(", "))) @if overdue { " " span.tag.overdue { "review overdue" } } }
        }
    }

    /// Everything about a vendor.
    pub(super) fn in_full(&self, id: &str) -> Markup {
        let exceptions: Vec<_> = self.of_vendor(id).collect();
        let mut said = self.owned(id).peekable();
        html! {
            @if said.peek().is_none() { p { "Nobody answers for it. " a href=(own(id, "")) { "Say who does" } "." } }
            @else {
                dl {
                    @for said in said {
                        dt { "Answers for it" @if !said.site.is_empty() { " on " (name(&said.site)) } }
                        dd {
                            (name(&said.owner)) ": " (name(&said.reason)) br;
                            span.quiet { "To be looked at again on " (said.review) "." }
                            @if said.is_overdue_on(self.today) { " " span.tag.overdue { "overdue" } }
                            " " a href=(own(id, &said.site)) { "Change" }
                        }
                    }
                }
            }
            @if exceptions.is_empty() { p { "No exception is about it: the visitor's choice decides everywhere." } }
            @else { (table(&exceptions, self.today)) }
        }
    }
}

/// Where somebody says who answers for a vendor.
fn own(vendor: &str, site: &str) -> String {
    layout::address("/ownership", &[("vendor", vendor), ("site", site)])
}

fn table(exceptions: &[&(Vec<String>, Arc<Exception>)], today: Date) -> Markup {
    html! {
        div.wide {
            table {
                caption { "Exceptions" }
                thead { tr { th scope="col" { "What" } th scope="col" { "Where" } th scope="col" { "Who answers for it" } th scope="col" { "Why" } th scope="col" { "Until" } th scope="col" { "Written in" } } }
                tbody {
                    @for (sites, each) in exceptions {
                        tr {
                            th scope="row" { @match each.effect { Effect::Allow => span.tag.allow { "let through" }, Effect::Block => span.tag.block { "held back" } } " " (about(each)) }
                            td { @if let Some(page) = &each.scope.on_path { "pages " code { (name(&page.to_string())) } } @else { "every page" } br; span.quiet { (sites.join(", ")) } }
                            td { (name(&each.owner)) }
                            td { (name(&each.reason)) }
                            td { (each.expires) @if !each.holds_on(today) { " " span.tag.overdue { "expired: does not hold" } } }
                            td { code { (name(&each.place.to_string())) } }
                        }
                    }
                }
            }
        }
    }
}

/// What an exception is about, in words.
pub(super) fn about(exception: &Exception) -> Markup {
    let scope = &exception.scope;
    html! {
        @if let Some(host) = &scope.host { "from " code { (name(host)) } " " }
        @if let Some(path) = &scope.path { "at " code { (name(&path.to_string())) } " " }
        @if let Some(cookie) = &scope.cookie { "cookie " code { (name(cookie)) } " " }
        @if let Some(kind) = scope.kind { (kind.name()) }
    }
}
