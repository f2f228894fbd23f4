//! The first page: what was held back and let through, in plain words.

use crate::dashboard::chart::{self, Bar};
use crate::dashboard::desk::still_waits;
use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::pages::alerts;
use crate::dashboard::pages::asked::{Asked, figures, site_names};
use crate::dashboard::pages::show::{count, name, number, share, vendor};
use crate::ledger::figures::choices::Choices;
use crate::ledger::figures::overview::{Overview, Parts};
use crate::ledger::figures::vendors::{OfPage, OfVendor};

use axum::extract::RawQuery;
use axum::response::Response;
use maud::{Markup, html};

/// What the page is made from.
struct Found {
    sites: Vec<String>,
    now: Overview,
    before: Parts,
    vendors: Vec<OfVendor>,
    pages: Vec<OfPage>,
    choices: Vec<Choices>,
    new: usize,
    unlisted: usize,
}

/// How many rows of a list are shown here; all of them have a page.
const TOP: usize = 8;

/// More than so many are not counted one by one.
const MANY: u32 = 1000;

/// The page.
pub(in crate::dashboard) async fn page(context: Context, RawQuery(query): RawQuery) -> Response {
    let asked = Asked::read(query.as_deref());
    let (period, site) = (asked.period, asked.site.clone());
    let waits = still_waits(&context);
    let found = figures(&context, move |figures| {
        let site = site.as_deref();
        let top = u32::try_from(TOP).unwrap_or(MANY);
        Ok(Found {
            sites: site_names(figures, period)?,
            now: figures.overview(period, site)?,
            before: figures.overview(period.before(), site)?.parts,
            vendors: figures.vendors(period, site)?,
            pages: figures.pages(period, site, top)?,
            choices: figures.choices(period, site)?,
            new: figures.newcomers(period, site, MANY)?.len(),
            unlisted: figures.unlisted(site, MANY, waits)?.len(),
        })
    })
    .await;
    match found {
        Ok(found) => {
            let body = html! { (alerts::in_short(&context)) (body(&asked, &found)) };
            layout::page(&context.session, "Overview", "/", &body)
        }
        Err(response) => response,
    }
}

fn body(asked: &Asked, found: &Found) -> Markup {
    let Found { now, .. } = found;
    html! {
        (asked.form("/", &found.sites, &html! {}))
        (in_words(asked, found))
        (cards(asked, found))
        @if now.views.all > 0 {
            h2 { "Over time" }
            (over_time(now))
            h2 { "By purpose" }
            (by_purpose(asked, now))
            h2 { "By vendor" }
            (by_vendor(asked, &found.vendors))
            h2 { "By page" }
            (by_page(asked, &found.pages))
        }
        h2 { "What visitors chose" }
        (choices(asked, &found.choices, now))
    }
}

fn in_words(asked: &Asked, found: &Found) -> Markup {
    let Overview { views, parts, .. } = &found.now;
    if views.all == 0 {
        return html! {
            p { "Nothing was put on record " (asked.in_words()) ". Entries appear here seconds after a page was served; if there should be some, look at " a href="/readyz" { "the ledger's health" } "." }
        };
    }
    html! {
        p {
            (count(views.all, "request", "requests")) " to the site, pages above all, " @if views.all == 1 { "was" } @else { "were" } " put on record " (asked.in_words()) ". "
            strong { (count(parts.withheld, "thing was", "things were")) " held back" }
            ", nearly always because the visitor had not agreed, and " (number(parts.let_through)) " were let through because the visitor agreed, the site needs them, or nobody in the catalogue knows them. "
            "Of what was held back, a browser would have fetched " (number(parts.requests_spared)) " from other companies at once. "
            (compared(parts.withheld, found.before.withheld))
        }
        @if parts.would_withhold > 0 {
            p.warning { (count(parts.would_withhold, "more thing was", "more things were")) " let through although the visitor had not agreed, because verdicts are only recorded in the mode " code { "observe" } ", and about vendors that are only observed." }
        }
    }
}

/// How it was before, in words.
fn compared(now: i64, before: i64) -> String {
    match before {
        0 if now == 0 => String::new(),
        0 => "In the same time before that, nothing was.".to_owned(),
        _ if now == before => "It was the same before that.".to_owned(),
        _ => {
            let more = if now > before { "more" } else { "fewer" };
            let change = (now - before).unsigned_abs().cast_signed();
            format!(
                "That is {} {more} than in the same time before that ({}).",
                number(change),
                number(before)
            )
        }
    }
}

fn cards(asked: &Asked, found: &Found) -> Markup {
    let Overview { views, parts, .. } = &found.now;
    let log = |verdict: &str| asked.link("/log", &[("verdict", verdict)]);
    html! {
        ul.cards {
            li.card { p { "Held back" } p.figure { a href=(log("block")) { (number(parts.withheld)) } } p.quiet { (share(parts.withheld, parts.withheld + parts.let_through + parts.would_withhold)) " of what was judged" } }
            li.card { p { "Let through" } p.figure { a href=(log("allow")) { (number(parts.let_through)) } } p.quiet { "each with its reason" } }
            li.card { p { "Requests of undecided visitors" } p.figure { (share(views.undecided, views.all)) } p.quiet { (number(views.undecided)) " of " (number(views.all)) } }
            li.card { p { "With Global Privacy Control" } p.figure { (share(views.gpc, views.all)) } p.quiet { (number(views.gpc)) " requests that it decided about" } }
            li.card { p { "New in this time" } p.figure { a href=(asked.link("/new", &[])) { (many(found.new)) } } p.quiet { "vendors, hosts and cookies never met before" } }
            li.card { p { "Waiting for classification" } p.figure { a href=(asked.link("/new", &[])) { (many(found.unlisted)) } } p.quiet { "third parties that nobody in the catalogue knows" } }
        }
    }
}

fn many(counted: usize) -> String {
    if counted >= MANY as usize { format!("{counted} or more") } else { counted.to_string() }
}

fn over_time(now: &Overview) -> Markup {
    let bar = |of: &crate::ledger::figures::overview::OfDay| Bar {
        label: of.day.get(5..).unwrap_or(&of.day).to_owned(),
        withheld: of.parts.withheld,
        would_withhold: of.parts.would_withhold,
        let_through: of.parts.let_through,
    };
    let bars: Vec<Bar> = now.by_day.iter().map(bar).collect();
    html! {
        (chart::over_time("Held back and let through, by day", &bars))
        details {
            summary { "The same as a table" }
            div.wide {
                table {
                    thead { tr { th scope="col" { "Day (UTC)" } th.number scope="col" { "Requests" } th.number scope="col" { "Held back" } th.number scope="col" { "Would have been" } th.number scope="col" { "Let through" } } }
                    tbody {
                        @for of in &now.by_day {
                            tr { th scope="row" { (of.day) } td.number { (number(of.views)) } td.number { (number(of.parts.withheld)) } td.number { (number(of.parts.would_withhold)) } td.number { (number(of.parts.let_through)) } }
                        }
                    }
                }
            }
        }
    }
}

fn row_of(parts: &Parts, label: &str, most: i64) -> Markup {
    let bar = Bar {
        label: label.to_owned(),
        withheld: parts.withheld,
        would_withhold: parts.would_withhold,
        let_through: parts.let_through,
    };
    html! {
        td.number { (number(parts.withheld)) }
        td.number { (number(parts.would_withhold)) }
        td.number { (number(parts.let_through)) }
        td { (chart::in_row(&bar, most)) }
    }
}

const fn all_of(parts: &Parts) -> i64 {
    parts.withheld + parts.would_withhold + parts.let_through
}

fn heads(first: &str) -> Markup {
    html! {
        thead { tr { th scope="col" { (first) } th.number scope="col" { "Held back" } th.number scope="col" { "Would have been" } th.number scope="col" { "Let through" } th scope="col" { "Share" } } }
    }
}

fn by_purpose(asked: &Asked, now: &Overview) -> Markup {
    let most = now.by_purpose.iter().map(|of| all_of(&of.parts)).max().unwrap_or(0);
    html! {
        div.wide {
            table {
                (heads("What data would be used for"))
                tbody {
                    @for of in &now.by_purpose {
                        @let label = if of.purpose.is_empty() { "not known" } else { &of.purpose };
                        tr {
                            th scope="row" {
                                @if of.purpose.is_empty() { a href=(asked.link("/log", &[("vendor", "?")])) { em { "not known" } } }
                                @else { a href=(asked.link("/log", &[("purpose", &of.purpose)])) { (of.purpose) } }
                            }
                            (row_of(&of.parts, label, most))
                        }
                    }
                }
            }
        }
    }
}

fn by_vendor(asked: &Asked, vendors: &[OfVendor]) -> Markup {
    let most = vendors.iter().map(|of| all_of(&of.parts)).max().unwrap_or(0);
    html! {
        div.wide {
            table {
                (heads("Vendor"))
                tbody {
                    @for of in vendors.iter().take(TOP) {
                        @let id = if of.vendor_id.is_empty() { "?" } else { &of.vendor_id };
                        tr {
                            th scope="row" { a href=(asked.link("/vendor", &[("id", id)])) { (vendor(&of.vendor)) } }
                            (row_of(&of.parts, &of.vendor, most))
                        }
                    }
                }
            }
        }
        @if vendors.len() > TOP {
            p { a href=(asked.link("/vendors", &[])) { "All " (vendors.len()) " vendors" } }
        }
    }
}

fn by_page(asked: &Asked, pages: &[OfPage]) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th scope="col" { "Page" } th scope="col" { "Site" } th.number scope="col" { "Requests with something held back" } th.number scope="col" { "with something let through" } } }
                tbody {
                    @for of in pages {
                        tr {
                            th.what scope="row" { a href=(asked.link("/log", &[("page", &of.page)])) { (name(&of.page)) } }
                            td { (name(&of.site)) }
                            td.number { (number(of.withheld + of.would_withhold)) }
                            td.number { (number(of.let_through)) }
                        }
                    }
                }
            }
        }
    }
}

fn choices(asked: &Asked, choices: &[Choices], now: &Overview) -> Markup {
    html! {
        @if choices.is_empty() {
            p { "Nobody made a choice in this time." @if now.views.undecided > 0 { " " (count(now.views.undecided, "request was", "requests were")) " by visitors who had not decided: silence is “no”." } }
        } @else {
            p.quiet { "Plain figures: they say what visitors chose, not which notice “works better”. Requests before a choice: " (number(now.views.undecided)) "." }
            div.wide {
                table {
                    thead { tr {
                        th scope="col" { "Site" } th.number scope="col" { "Notice revision" } th.number scope="col" { "Choices" }
                        th.number scope="col" { "Agreed to all" } th.number scope="col" { "Agreed to some" } th.number scope="col" { "Refused" }
                        th.number scope="col" { "Took back" } th.number scope="col" { "About one vendor" } th.number scope="col" { "With GPC" }
                    } }
                    tbody {
                        @for of in choices {
                            tr {
                                th scope="row" { a href=(asked.link("/log", &[("site", &of.site)])) { (name(&of.site)) } }
                                td.number { (of.notice_revision) }
                                td.number { (number(of.all)) }
                                @for part in [of.accept, of.partial, of.refuse, of.withdraw, of.vendor, of.gpc] {
                                    td.number { (number(part)) " (" (share(part, of.all)) ")" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
