//! What the ledger says.

use super::{Endpoint, Parameter, answer, reads, shape};
use crate::dashboard::desk::{AuditQuery, Refused, ask_figures, still_waits};
use crate::dashboard::office::Context;
use crate::dashboard::pages::{Asked, wanted};
use crate::dashboard::routes::{OFFICER, Route};
use crate::ledger::Error;
use crate::ledger::figures::Figures;

use axum::extract::{Query, RawQuery};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

const PERIOD: [Parameter; 4] = [
    ("from", "The first day, such as 2026-03-01 (UTC)."),
    ("to", "The last day, included."),
    ("days", "Instead: so many days that end today; 7 if nothing is said."),
    ("site", "The name of a site; all of them if nothing is said."),
];
const OF_PERIOD: &[Parameter] = &PERIOD;
const OF_VENDOR: &[Parameter] = &[
    ("vendor", "The vendor's id; `?` for what nobody claims."),
    PERIOD[0],
    PERIOD[1],
    PERIOD[2],
    PERIOD[3],
];
const OF_LOG: &[Parameter] = &[
    PERIOD[0],
    PERIOD[1],
    PERIOD[2],
    PERIOD[3],
    ("vendor", "The vendor's id; `?` for what nobody claims."),
    ("purpose", "What the data would be used for."),
    ("verdict", "`block` or `allow`."),
    ("kind", "`script`, `cookie` and so on."),
    ("page", "The path of the page."),
    ("what", "Part of the name of what was decided about."),
    ("after", "Where the page before ended: its `next`."),
];
const OF_SITE: &[Parameter] = &[PERIOD[3]];
const OF_AUDITS: &[Parameter] = &[
    ("who", "Who did it."),
    ("act", "What they did."),
    ("about", "What they did it to."),
    PERIOD[0],
    PERIOD[1],
    ("before", "Only those before the one of that number: `next` of the page before."),
];

/// So many at most are in one answer.
const MOST: u32 = 500;

/// So many page views are on one page of the log.
const ENTRIES: u32 = 100;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        reads(
            Route::get("/api/v1/overview", OFFICER, overview),
            "What was held back and let through, in all, by purpose and by day.",
            OF_PERIOD,
            overview_shape(),
        ),
        reads(
            Route::get("/api/v1/decisions", OFFICER, decisions),
            "The block log, the newest first, a page at a time.",
            OF_LOG,
            shape::object(&[
                ("lines", shape::list(&line_shape())),
                ("next", shape::maybe(shape::text())),
                ("left_out", shape::number()),
            ]),
        ),
        reads(
            Route::get("/api/v1/vendors", OFFICER, vendors),
            "Who was met.",
            OF_PERIOD,
            shape::list(&vendor_shape()),
        ),
        reads(
            Route::get("/api/v1/vendors/pages", OFFICER, vendor_pages),
            "On which pages a vendor was met.",
            OF_VENDOR,
            shape::list(&page_shape()),
        ),
        reads(
            Route::get("/api/v1/pages", OFFICER, pages),
            "On which pages most was held back.",
            OF_PERIOD,
            shape::list(&page_shape()),
        ),
        reads(
            Route::get("/api/v1/newcomers", OFFICER, newcomers),
            "Vendors, hosts and cookies that were met for the first time.",
            OF_PERIOD,
            shape::list(&seen_shape()),
        ),
        reads(
            Route::get("/api/v1/unlisted", OFFICER, unlisted),
            "Hosts that nobody in the catalogue knows, waiting for classification.",
            OF_SITE,
            shape::list(&seen_shape()),
        ),
        reads(
            Route::get("/api/v1/choices", OFFICER, choices),
            "What visitors chose, by notice revision.",
            OF_PERIOD,
            shape::list(&choices_shape()),
        ),
        reads(
            Route::get("/api/v1/sites", OFFICER, sites),
            "The sites on record.",
            OF_PERIOD,
            shape::list(&shape::and(
                shape::object(&[("site", shape::text()), ("views", shape::number())]),
                &parts_shape(),
            )),
        ),
        reads(
            Route::get("/api/v1/audits", OFFICER, audits),
            "Who did what, the newest first.",
            OF_AUDITS,
            shape::object(&[
                ("audits", shape::list(&audit_shape())),
                ("next", shape::maybe(shape::number())),
            ]),
        ),
    ]
}

/// What stands in the address; what cannot be understood is refused, for a
/// program would take the figures for an answer.
fn read(query: Option<&str>) -> Result<Asked, Refused> {
    understood(Asked::read(query))
}

fn understood(asked: Asked) -> Result<Asked, Refused> {
    if asked.mistakes.is_empty() {
        return Ok(asked);
    }
    let message = asked.mistakes.join("; ");
    Err(Refused { status: StatusCode::UNPROCESSABLE_ENTITY, message })
}

/// Asks for figures of a period.
async fn of_period<T: Serialize + Send + 'static>(
    context: &Context,
    query: Option<&str>,
    question: impl FnOnce(&Figures, &Asked) -> Result<T, Error> + Send + 'static,
) -> Response {
    let asked = match read(query) {
        Ok(asked) => asked,
        Err(refused) => return super::problem(&refused),
    };
    answer(ask_figures(context, move |figures| question(figures, &asked)).await)
}

async fn overview(context: Context, RawQuery(query): RawQuery) -> Response {
    let question = |figures: &Figures, asked: &Asked| figures.overview(asked.period, asked.site());
    of_period(&context, query.as_deref(), question).await
}

async fn decisions(context: Context, RawQuery(query): RawQuery) -> Response {
    let mut asked = Asked::read(query.as_deref());
    let (wanted, after) = wanted(&mut asked);
    if let Err(refused) = understood(asked) {
        return super::problem(&refused);
    }
    let found = ask_figures(&context, move |figures| {
        let page = figures.block_log(&wanted, after, ENTRIES)?;
        let next = page.next.map(|next| next.to_string());
        Ok(json!({ "lines": page.lines, "next": next, "left_out": page.left_out }))
    });
    answer(found.await)
}

async fn vendors(context: Context, RawQuery(query): RawQuery) -> Response {
    let question = |figures: &Figures, asked: &Asked| figures.vendors(asked.period, asked.site());
    of_period(&context, query.as_deref(), question).await
}

async fn vendor_pages(context: Context, RawQuery(query): RawQuery) -> Response {
    let question = |figures: &Figures, asked: &Asked| {
        let vendor = asked.value("vendor").unwrap_or_default();
        figures.vendor_pages(vendor, asked.period, asked.site(), MOST)
    };
    of_period(&context, query.as_deref(), question).await
}

async fn pages(context: Context, RawQuery(query): RawQuery) -> Response {
    let question =
        |figures: &Figures, asked: &Asked| figures.pages(asked.period, asked.site(), MOST);
    of_period(&context, query.as_deref(), question).await
}

async fn newcomers(context: Context, RawQuery(query): RawQuery) -> Response {
    let question =
        |figures: &Figures, asked: &Asked| figures.newcomers(asked.period, asked.site(), MOST);
    of_period(&context, query.as_deref(), question).await
}

async fn unlisted(context: Context, RawQuery(query): RawQuery) -> Response {
    let waits = still_waits(&context);
    let question =
        move |figures: &Figures, asked: &Asked| figures.unlisted(asked.site(), MOST, waits);
    of_period(&context, query.as_deref(), question).await
}

async fn choices(context: Context, RawQuery(query): RawQuery) -> Response {
    let question = |figures: &Figures, asked: &Asked| figures.choices(asked.period, asked.site());
    of_period(&context, query.as_deref(), question).await
}

async fn sites(context: Context, RawQuery(query): RawQuery) -> Response {
    let question = |figures: &Figures, asked: &Asked| figures.sites(asked.period);
    of_period(&context, query.as_deref(), question).await
}

async fn audits(context: Context, Query(asked): Query<AuditQuery>) -> Response {
    let found = asked.find(&context).await.map(|(audits, more)| {
        let next = audits.last().filter(|_| more).map(|last| last.id);
        json!({ "audits": audits, "next": next })
    });
    answer(found)
}

fn parts_shape() -> Value {
    shape::object(&[
        ("withheld", shape::number()),
        ("requests_spared", shape::number()),
        ("would_withhold", shape::number()),
        ("let_through", shape::number()),
    ])
}

fn overview_shape() -> Value {
    let views = ["all", "undecided", "gpc", "granted_nothing", "granted_everything", "observed"];
    let views: Vec<_> = views.into_iter().map(|name| (name, shape::number())).collect();
    let day = shape::object(&[("day", shape::day()), ("views", shape::number())]);
    shape::object(&[
        ("views", shape::object(&views)),
        ("parts", parts_shape()),
        (
            "by_purpose",
            shape::list(&shape::and(shape::object(&[("purpose", shape::text())]), &parts_shape())),
        ),
        ("by_day", shape::list(&shape::and(day, &parts_shape()))),
    ])
}

fn line_shape() -> Value {
    let words = [
        "site",
        "page",
        "class",
        "signal",
        "verdict",
        "reason",
        "layer",
        "kind",
        "what",
        "mode",
        "policy_revision",
    ];
    let mut fields: Vec<_> = words.into_iter().map(|name| (name, shape::text())).collect();
    let maybe = ["vendor", "vendor_id", "purpose", "rule", "via"];
    fields.extend(maybe.into_iter().map(|name| (name, shape::maybe(shape::text()))));
    fields.extend([
        ("entry", shape::number()),
        ("time_ms", shape::number()),
        ("undecided", shape::truth()),
    ]);
    shape::object(&fields)
}

fn vendor_shape() -> Value {
    let own = shape::object(&[
        ("vendor_id", shape::text()),
        ("vendor", shape::text()),
        ("purposes", shape::list(&shape::text())),
        ("first_ms", shape::maybe(shape::number())),
        ("last_ms", shape::maybe(shape::number())),
    ]);
    shape::and(own, &parts_shape())
}

fn page_shape() -> Value {
    shape::object(&[
        ("site", shape::text()),
        ("page", shape::text()),
        ("withheld", shape::number()),
        ("would_withhold", shape::number()),
        ("let_through", shape::number()),
    ])
}

fn seen_shape() -> Value {
    let words = [
        "site",
        "name",
        "page",
        "kind",
        "what",
        "via",
        "vendor_id",
        "vendor",
        "purpose",
        "verdict",
    ];
    let mut fields: Vec<_> = words.into_iter().map(|name| (name, shape::text())).collect();
    let numbers = ["id", "first_ms", "last_ms", "views"];
    fields.extend(numbers.into_iter().map(|name| (name, shape::number())));
    fields.push(("sort", shape::word(&["vendor", "host", "cookie"])));
    shape::object(&fields)
}

fn choices_shape() -> Value {
    let counts =
        ["notice_revision", "all", "accept", "refuse", "partial", "withdraw", "vendor", "gpc"];
    let mut fields: Vec<_> = counts.into_iter().map(|name| (name, shape::number())).collect();
    fields.push(("site", shape::text()));
    shape::object(&fields)
}

fn audit_shape() -> Value {
    shape::object(&[
        ("id", shape::number()),
        ("time_ms", shape::number()),
        ("who", shape::text()),
        ("role", shape::text()),
        ("act", shape::text()),
        ("about", shape::text()),
        ("detail", shape::anything()),
    ])
}
