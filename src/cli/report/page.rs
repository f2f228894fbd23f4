//! The report as a page to read and to print, with nothing from elsewhere.

use crate::cli::report::gather::{OfVendor, Report, stamp};
use crate::ledger::figures::choices::Choices;
use crate::ledger::plain;

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("report.css");

/// The page; `figures` is the hash of the same as JSON.
pub(super) fn page(report: &Report, figures: &str) -> String {
    let title = format!(
        "Consent and tracking from {} to {}{}",
        report.first_day,
        report.last_day,
        report.site.as_ref().map(|site| format!(", {site}")).unwrap_or_default()
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta http-equiv="content-security-policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                h1 { (title) }
                p { "Both days are included; days and times are those of UTC. Shares are of the number in front of them." }
                h2 { "What visitors chose" }
                (choices(&report.choices))
                (views(report))
                h2 { "What was withheld, from whom" }
                (vendors(report))
                h2 { "Who owns what" }
                (owners(report))
                h2 { "What changed" }
                (changes(report))
                h2 { "What is missing" }
                (gaps(report))
                h2 { "What this rests on" }
                (proof(report, figures))
            } }
        }
    }
    .into_string()
}

/// Text of strangers, with nothing invisible in it.
fn said(text: &str) -> String {
    plain::text(text).into_owned()
}

fn share(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return "\u{2013}".to_owned();
    }
    let permille = part.saturating_mul(1000).saturating_add(whole / 2) / whole;
    format!("{}.{} %", permille / 10, permille % 10)
}

fn choices(all: &[Choices]) -> Markup {
    html! {
        @if all.is_empty() { p { "No visitor chose in this period." } } @else {
            table {
                thead { tr {
                    th { "Site" } th { "Notice" } th.n { "Choices" } th.n { "Accepted" } th.n { "Refused" }
                    th.n { "Chose some" } th.n { "Took back" } th.n { "One vendor" } th.n { "With GPC" }
                } }
                tbody { @for row in all { tr {
                    td { (said(&row.site)) } td { "revision " (row.notice_revision) } td.n { (row.all) }
                    @for part in [row.accept, row.refuse, row.partial, row.withdraw, row.vendor, row.gpc] {
                        td.n { (part) " " small { (share(part, row.all)) } }
                    }
                } } }
            }
        }
    }
}

fn views(report: &Report) -> Markup {
    let views = &report.overview.views;
    html! {
        p {
            (views.all) " page views are on record. Of these, " (views.undecided) " ("
            (share(views.undecided, views.all)) ") were of visitors who had not chosen, and "
            (views.gpc) " (" (share(views.gpc, views.all)) ") were decided by Global Privacy Control."
            @if views.observed > 0 {
                " On " (views.observed) " nothing was withheld, because the site or page was only observed."
            }
        }
    }
}

fn name(vendor: &OfVendor) -> String {
    if vendor.id.is_empty() { "Nobody claims these".to_owned() } else { said(&vendor.name) }
}

fn vendors(report: &Report) -> Markup {
    let parts = &report.overview.parts;
    html! {
        p {
            (parts.withheld) " things were withheld, and " (parts.let_through) " were let through. "
            "Visitors were spared " (parts.requests_spared) " requests to others."
        }
        table {
            thead { tr {
                th { "Vendor" } th { "Purposes" } th.n { "Withheld" } th.n { "Let through" }
                th { "Pages, with views on which something was withheld" }
            } }
            tbody { @for vendor in &report.vendors { tr {
                td { (name(vendor)) }
                td { (vendor.purposes.join(", ")) }
                td.n { (vendor.withheld) @if vendor.would_withhold > 0 { " " small { "+" (vendor.would_withhold) " observed" } } }
                td.n { (vendor.let_through) }
                td { ul { @for page in vendor.pages.iter().filter(|page| page.withheld > 0) {
                    li { (said(&page.site)) " " (said(&page.page)) " " small { (page.withheld) } }
                } } }
            } } }
        }
    }
}

fn owners(report: &Report) -> Markup {
    if !report.owners_known {
        return html! {
            p { "No configuration was read for this report, so it does not know who owns what. Make it with " code { "--config" } "." }
        };
    }
    let met = || report.vendors.iter().filter(|vendor| !vendor.id.is_empty());
    let (owned, nobodys): (Vec<_>, Vec<_>) = met().partition(|vendor| vendor.owner.is_some());
    html! {
        @if owned.is_empty() { p { "Nobody owns any of the vendors that were met." } } @else {
            table {
                thead { tr { th { "Vendor" } th { "Owner" } th { "Why it is used" } th { "Looked at again by" } } }
                tbody { @for vendor in &owned { tr {
                    td { (name(vendor)) }
                    @for said_of in [&vendor.owner, &vendor.reason, &vendor.review] {
                        td { (said_of.as_deref().map(said).unwrap_or_default()) }
                    }
                } } }
            }
        }
        @if !nobodys.is_empty() {
            p { strong { "Nobody owns: " } (nobodys.iter().map(|vendor| name(vendor)).collect::<Vec<_>>().join(", ")) "." }
        }
        @if !report.exceptions.is_empty() {
            h3 { "Exceptions" }
            table {
                thead { tr { th { "Site" } th { "It" } th { "Owner" } th { "Why" } th { "Until" } } }
                tbody { @for exception in &report.exceptions { tr {
                    @for text in [&exception.site, &exception.what, &exception.owner, &exception.reason, &exception.expires] {
                        td { (said(text)) }
                    }
                } } }
            }
        }
    }
}

fn changes(report: &Report) -> Markup {
    html! {
        @if report.newcomers.is_empty() { p { "No new vendor, host or cookie was met." } } @else {
            table {
                thead { tr { th { "Since" } th { "New" } th { "Vendor" } th { "First on" } th { "Asked for by" } } }
                tbody { @for new in &report.newcomers { tr {
                    td { (new.first_seen) }
                    td { (new.sort) " " (said(&new.name)) }
                    td { (said(&new.vendor)) }
                    td { (said(&new.site)) " " (said(&new.page)) }
                    td { (said(&new.script)) }
                } } }
            }
        }
        @if report.newcomers_left_out > 0 {
            p { strong { (report.newcomers_left_out) " more are not named here" } ": these are the first of the period. The page New of the dashboard has the last." }
        }
        @if !report.policies.is_empty() {
            h3 { "Policies that decided" }
            table {
                thead { tr { th { "Site" } th { "Revision" } th { "Since" } th.n { "Views" } } }
                tbody { @for policy in &report.policies { tr {
                    td { (said(&policy.site)) } td { code { (said(&policy.revision)) } }
                    td { (stamp(policy.first_ms)) } td.n { (policy.views) }
                } } }
            }
        }
        @if !report.audits.is_empty() {
            h3 { "What people did" }
            table {
                thead { tr { th { "When" } th { "Who" } th { "What" } th { "About" } } }
                tbody { @for audited in &report.audits { tr {
                    td { (stamp(audited.audit.time_ms.cast_signed())) }
                    td { (said(&audited.audit.who)) } td { (said(&audited.audit.act)) }
                    td { (said(&audited.audit.about)) }
                } } }
            }
            @if report.audits_left_out > 0 {
                p { strong { (report.audits_left_out) " more are not named here" } ": these are the last of the period. An export has all." }
            }
        }
    }
}

fn gaps(report: &Report) -> Markup {
    html! {
        @if report.gaps.is_empty() { p { "No entry of the period is known to be missing." } } @else {
            table {
                thead { tr { th { "From" } th { "Until" } th.n { "Entries lost" } th { "Why" } } }
                tbody { @for gap in &report.gaps { tr {
                    td { (stamp(gap.since_ms.cast_signed())) } td { (stamp(gap.time_ms.cast_signed())) }
                    td.n { (gap.lost) } td { (said(&gap.why)) }
                } } }
            }
        }
    }
}

fn proof(report: &Report, figures: &str) -> Markup {
    let proof = &report.rests_on;
    html! {
        @if proof.holds {
            p { "The ledger was checked when this was made (" code { "consentry verify" } "): all of it is as it was stored." }
        } @else {
            p { strong { "The ledger was checked when this was made, and is not as it was stored:" } }
            ul { @for fault in &proof.faults { li { (fault) } } }
        }
        @match (&proof.checkpoint, &proof.signed) {
            (Some(checkpoint), Some(signed)) => {
                p {
                    "The figures rest on the checkpoint signed on " (signed)
                    @if proof.covers_all { ", the first after the period." } @else { ", the newest; it was signed before the period was over, so what came later is under none yet." }
                }
                pre { (checkpoint) }
            }
            _ => { p { "No checkpoint was signed yet." } }
        }
        p { "SHA-256 of the same figures as JSON: " code { (figures) } }
        p { "The same ledger, period and configuration give this page again, byte for byte; the command prints its hash." }
    }
}
