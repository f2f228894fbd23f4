//! What somebody has to know: what the self-check found, what is wrong now,
//! and what was told.

use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::pages::show::{moment, name};
use crate::watch::alerts::{Alert, Phase, Told};
use crate::watch::self_check::{SiteStatus, StateStatus, Status};

use axum::response::Response;
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) async fn page(context: Context) -> Response {
    let (status, told) = (context.self_check().status(), context.desk().told());
    let body = html! {
        h2 { "Self-check" }
        (self_check(&status))
        h2 { "Wrong at the moment" }
        (open(&told))
        h2 { "Told" }
        (recent(&told))
    };
    layout::page(&context.session, "Alerts", "/alerts", &body)
}

/// The same in one line, for the first page.
pub(super) fn in_short(context: &Context) -> Markup {
    let (status, told) = (context.self_check().status(), context.desk().told());
    html! {
        @match status.is_green() {
            Some(true) if told.open.is_empty() => p { span.tag.allow { "all is well" } " The self-check was green when it last looked" @if let Some(time) = status.last_run_ms { " (" (moment(time.cast_signed())) " UTC)" } ", and nothing else is wrong. " (unseen(&status)) a href="/alerts" { "Alerts" } },
            Some(false) => p.warning role="status" { strong { "The self-check is red: what must be held back passes, or what was agreed to does not." } " " a href="/alerts" { "See what it found" } },
            _ if !told.open.is_empty() => p.warning role="status" { (told.open.len()) @if told.open.len() == 1 { " thing is wrong" } @else { " things are wrong" } " at the moment: " (name(told.open.first().map_or("", |(_, what)| what))) " " a href="/alerts" { "See all" } },
            _ if status.interval_s == 0 => p { span.tag.open { "not looked at" } " The self-check is switched off in the configuration. " a href="/alerts" { "Alerts" } },
            _ if status.last_run_ms.is_some() => p { span.tag.open { "not looked at" } " The self-check has not looked at any site. " (unseen(&status)) a href="/alerts" { "Alerts" } },
            _ => p.quiet { "The self-check has not looked yet. " a href="/alerts" { "Alerts" } },
        }
    }
}

/// How many sites may be broken without anybody knowing, and what to do about
/// the first.
fn unseen(status: &Status) -> Markup {
    let count = status.skipped().count();
    html! {
        @if let Some((site, why)) = status.skipped().next() {
            (count) @if count == 1 { " site is" } @else { " sites are" } " not looked at: " (name(site)) ", because " (name(why)) ". "
        }
    }
}

fn self_check(status: &Status) -> Markup {
    html! {
        p {
            "A synthetic visitor who says nothing, refuses, sends Global Privacy Control, agrees and takes it back "
            @if status.interval_s == 0 { "can look at every site from outside; it is switched off in the configuration." }
            @else { "looks at every site from outside every " (status.interval_s) " seconds." }
            @if let Some(time) = status.last_run_ms { " Last at " (moment(time.cast_signed())) " UTC." }
        }
        @if !status.sites.is_empty() {
            div.wide {
                table {
                    thead { tr { th scope="col" { "Site" } th scope="col" { "Visitor" } th scope="col" { "Result" } th scope="col" { "Since (UTC)" } th scope="col" { "Found" } } }
                    tbody { @for site in &status.sites { (of_site(site)) } }
                }
            }
        }
    }
}

fn of_site(site: &SiteStatus) -> Markup {
    html! {
        @if let Some(why) = &site.skipped {
            tr { th scope="row" { (name(&site.site)) } td { "\u{2013}" } td { span.tag.open { "not looked at" } } td { "\u{2013}" } td { (name(why)) } }
        }
        @for state in &site.states {
            tr {
                th scope="row" { (name(&site.site)) " " span.quiet { (name(&site.path)) } }
                td { (state.state.name()) }
                td { @if state.ok { span.tag.allow { "green" } } @else { span.tag.block { "red" } } }
                td { (moment(state.since_ms.cast_signed())) }
                td.what { (findings(state)) }
            }
        }
    }
}

fn findings(state: &StateStatus) -> Markup {
    html! {
        @if let Some(why) = &state.unseen { p.quiet { "The site's own page could not be looked at: " (name(why)) } }
        @if state.findings.is_empty() { "nothing" } @else {
            ul { @for finding in &state.findings { li { (name(&finding.to_string())) } } }
        }
    }
}

fn open(told: &Told) -> Markup {
    html! {
        @if told.open.is_empty() { p { "Nothing." } } @else {
            ul { @for (since, what) in &told.open { li { (name(what)) " " span.quiet { "since " (moment(since.cast_signed())) " UTC" } } } }
        }
    }
}

fn recent(told: &Told) -> Markup {
    html! {
        @if told.waiting > 0 { p.warning { (told.waiting) " of them wait for their receiver, which does not answer." } }
        @if told.dropped > 0 { p.warning { "Too many waited: " (told.dropped) " will never reach their receiver." } }
        @if told.recent.is_empty() { p { "Nothing yet." } } @else {
            div.wide {
                table {
                    thead { tr { th scope="col" { "Time (UTC)" } th scope="col" { "What" } th scope="col" { "Kind" } th scope="col" { "Site" } } }
                    tbody { @for alert in &told.recent { (row(alert)) } }
                }
            }
        }
    }
}

fn row(alert: &Alert) -> Markup {
    let phase = match alert.phase {
        Phase::Happened => None,
        Phase::Begun => Some(html! { span.tag.block { "begun" } " " }),
        Phase::Over => Some(html! { span.tag.allow { "over" } " " }),
    };
    html! {
        tr {
            td { (moment(alert.time_ms.cast_signed())) }
            td.what {
                @if let Some(phase) = phase { (phase) }
                (name(&alert.summary))
                @if !alert.details.is_empty() { ul { @for detail in &alert.details { li.quiet { (name(detail)) } } } }
            }
            td { (alert.kind.name().replace('_', " ")) }
            td { (name(alert.site.as_deref().unwrap_or("all"))) }
        }
    }
}
