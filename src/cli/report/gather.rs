//! Takes the figures of a report out of the ledger.

use crate::ledger::Error;
use crate::ledger::audit::{AuditFilter, Audited};
use crate::ledger::figures::choices::Choices;
use crate::ledger::figures::overview::Overview;
use crate::ledger::figures::revisions::OfRevision;
use crate::ledger::figures::{Figures, NOBODY, Period};
use crate::ledger::read::{Filter, Gap, Reader};
use crate::ledger::verify::verify;
use crate::ledger::{Checkpoint, plain};
use crate::site::Sites;

use serde::Serialize;
use std::path::Path;

/// How many pages are named of each vendor; the export has all.
const PAGES: u32 = 10;

/// How many newcomers are named, and how many changes.
const MOST: u32 = 2000;

/// How many newcomers are read at most to find the first; a page can make up
/// any number.
const READ: u32 = 100_000;

/// What a report is asked for.
pub(super) struct Asked<'a> {
    pub(super) ledger: &'a Path,
    pub(super) period: Period,
    pub(super) site: Option<&'a str>,
    pub(super) sites: Option<&'a Sites>,
}

/// A report on a period.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) format: &'static str,
    /// The first and the last day, both included (UTC).
    pub(super) first_day: String,
    pub(super) last_day: String,
    pub(super) site: Option<String>,
    pub(super) rests_on: RestsOn,
    pub(super) overview: Overview,
    pub(super) choices: Vec<Choices>,
    pub(super) vendors: Vec<OfVendor>,
    /// The first of them, and how many came after these.
    pub(super) newcomers: Vec<Newcomer>,
    pub(super) newcomers_left_out: u64,
    pub(super) policies: Vec<OfRevision>,
    /// The last of them, and how many came before these.
    pub(super) audits: Vec<Audited>,
    pub(super) audits_left_out: u64,
    pub(super) exceptions: Vec<Excepted>,
    pub(super) gaps: Vec<Gap>,
    /// Whether a configuration said who owns what.
    pub(super) owners_known: bool,
}

/// What proves the figures.
#[derive(Debug, Default, Serialize)]
pub(super) struct RestsOn {
    /// The first checkpoint that was signed after the period, or the newest.
    pub(super) checkpoint: Option<String>,
    /// Whether it was signed after the period was over.
    pub(super) covers_all: bool,
    /// When it was signed.
    pub(super) signed: Option<String>,
    /// Whether the ledger verified when the report was made.
    pub(super) holds: bool,
    /// What did not.
    pub(super) faults: Vec<String>,
}

/// A vendor in the period, and who answers for it.
#[derive(Debug, Serialize)]
pub(super) struct OfVendor {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) purposes: Vec<String>,
    pub(super) withheld: i64,
    pub(super) would_withhold: i64,
    pub(super) let_through: i64,
    pub(super) pages: Vec<OfPage>,
    pub(super) owner: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) review: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct OfPage {
    pub(super) site: String,
    pub(super) page: String,
    pub(super) withheld: i64,
    pub(super) would_withhold: i64,
    pub(super) let_through: i64,
}

/// A vendor, host or cookie that was met for the first time.
#[derive(Debug, Serialize)]
pub(super) struct Newcomer {
    pub(super) first_seen: String,
    pub(super) sort: String,
    pub(super) name: String,
    pub(super) vendor: String,
    pub(super) site: String,
    pub(super) page: String,
    pub(super) script: String,
}

/// An exception that is configured.
#[derive(Debug, Serialize)]
pub(super) struct Excepted {
    pub(super) site: String,
    pub(super) what: String,
    pub(super) owner: String,
    pub(super) reason: String,
    pub(super) expires: String,
}

/// A time to read.
pub(super) fn stamp(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms)
        .map_or_else(|_| String::new(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

pub(super) fn gather(asked: &Asked<'_>) -> Result<Report, Error> {
    let Asked { ledger, period, site, sites } = *asked;
    let reader = Reader::open(ledger)?;
    let rests_on = rests_on(&reader, ledger, period)?;
    let times = (period.from_ms().cast_unsigned(), period.until_ms().cast_unsigned());
    let filter = Filter { since_ms: Some(times.0), until_ms: Some(times.1), ..Filter::default() };
    let changes =
        AuditFilter { since_ms: Some(times.0), until_ms: Some(times.1), ..AuditFilter::default() };
    let figures = Figures::open(ledger)?;
    let newcomers = newcomers(&figures, period, site)?;
    let audits = reader.audits(&changes, MOST as usize)?;
    let mut audits_in_all = 0_u64;
    reader.each_audit(&changes, |_| {
        audits_in_all += 1;
        true
    })?;
    Ok(Report {
        format: "consentry report 1",
        first_day: period.first().to_string(),
        last_day: period.last_day().to_string(),
        site: site.map(ToOwned::to_owned),
        rests_on,
        overview: figures.overview(period, site)?,
        choices: figures.choices(period, site)?,
        vendors: vendors(&figures, asked)?,
        newcomers_left_out: left_out(figures.newcomers_in_all(period, site)?, &newcomers),
        newcomers,
        policies: figures.revisions(period, site)?,
        audits_left_out: left_out(audits_in_all, &audits),
        audits,
        exceptions: sites.map(|sites| exceptions(sites, site)).unwrap_or_default(),
        gaps: reader.gaps(&filter)?,
        owners_known: sites.is_some(),
    })
}

fn left_out<T>(in_all: u64, named: &[T]) -> u64 {
    in_all.saturating_sub(named.len() as u64)
}

fn rests_on(reader: &Reader, ledger: &Path, period: Period) -> Result<RestsOn, Error> {
    let after = reader.checkpoint_after(period.until_ms().cast_unsigned())?;
    let covers_all = after.is_some();
    let note = match after {
        Some(note) => Some(note),
        None => reader.checkpoint()?,
    };
    let read = note.as_deref().and_then(|note| Checkpoint::parse(note).ok());
    let found = verify(ledger, &[], None, |_, _| {})?;
    Ok(RestsOn {
        checkpoint: note,
        covers_all,
        signed: read.map(|read| stamp(read.time_ms.cast_signed())),
        holds: found.faults.is_empty(),
        faults: found.faults.iter().map(|fault| plain::text(&fault.words).into_owned()).collect(),
    })
}

fn vendors(figures: &Figures, asked: &Asked<'_>) -> Result<Vec<OfVendor>, Error> {
    let mut all = Vec::new();
    for vendor in figures.vendors(asked.period, asked.site)? {
        let id = if vendor.vendor_id.is_empty() { NOBODY } else { vendor.vendor_id.as_str() };
        let pages = figures.vendor_pages(id, asked.period, asked.site, PAGES)?;
        let owned = asked.sites.and_then(|sites| {
            let mut wanted =
                sites.iter().filter(|site| asked.site.is_none_or(|name| name == &*site.name));
            wanted.find_map(|site| site.ownership(&vendor.vendor_id))
        });
        all.push(OfVendor {
            id: vendor.vendor_id.clone(),
            name: vendor.vendor,
            purposes: vendor.purposes,
            withheld: vendor.parts.withheld,
            would_withhold: vendor.parts.would_withhold,
            let_through: vendor.parts.let_through,
            pages: pages
                .into_iter()
                .map(|page| OfPage {
                    site: page.site,
                    page: page.page,
                    withheld: page.withheld,
                    would_withhold: page.would_withhold,
                    let_through: page.let_through,
                })
                .collect(),
            owner: owned.map(|owned| owned.owner.clone()),
            reason: owned.map(|owned| owned.reason.clone()),
            review: owned.map(|owned| owned.review.to_string()),
        });
    }
    Ok(all)
}

fn newcomers(
    figures: &Figures,
    period: Period,
    site: Option<&str>,
) -> Result<Vec<Newcomer>, Error> {
    let mut found = figures.newcomers(period, site, READ)?;
    found.sort_by_key(|seen| (seen.first_ms, seen.id));
    found.truncate(MOST as usize);
    let newcomer = |seen: crate::ledger::figures::newcomers::Seen| Newcomer {
        first_seen: stamp(seen.first_ms),
        sort: seen.sort,
        name: seen.name,
        vendor: seen.vendor,
        site: seen.site,
        page: seen.page,
        script: seen.via,
    };
    Ok(found.into_iter().map(newcomer).collect())
}

fn exceptions(sites: &Sites, wanted: Option<&str>) -> Vec<Excepted> {
    let sites = sites.iter().filter(|site| wanted.is_none_or(|name| name == &*site.name));
    sites
        .flat_map(|site| {
            site.policy.exceptions().iter().map(|exception| {
                let scope = &exception.scope;
                let about = [
                    scope.vendor.as_ref().map(|vendor| format!("vendor {vendor}")),
                    scope.host.as_ref().map(|host| format!("host {host}")),
                    scope.cookie.as_ref().map(|cookie| format!("cookie {cookie}")),
                    scope.kind.map(|kind| format!("kind {}", kind.name())),
                    scope.path.as_ref().map(|path| format!("path {path}")),
                    scope.on_path.as_ref().map(|path| format!("on pages {path}")),
                ];
                let about = about.into_iter().flatten().collect::<Vec<_>>().join(", ");
                Excepted {
                    site: site.name.to_string(),
                    what: match exception.effect {
                        crate::policy::Effect::Allow => format!("lets pass: {about}"),
                        crate::policy::Effect::Block => format!("withholds: {about}"),
                    },
                    owner: exception.owner.clone(),
                    reason: exception.reason.clone(),
                    expires: exception.expires.to_string(),
                }
            })
        })
        .collect()
}
