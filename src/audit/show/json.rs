//! Everything, in a shape that stays: what is documented in docs/audit.md is
//! neither renamed nor taken away without another number in `consentry_audit`.

use crate::audit::show::Outcome;
use crate::audit::{AuditedPage, Finding, Known, Spot, Thing, Where};
use crate::catalogue::Vendor;
use crate::ledger::plain;
use crate::purpose::Purpose;

use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'o> {
    consentry_audit: u32,
    consentry: &'static str,
    target: &'o str,
    policy_revision: &'o str,
    states: Vec<StateWords>,
    pages: Vec<Page<'o>>,
    leaks: Vec<Leak<'o>>,
    findings: Vec<Problem<'o>>,
    baseline_gone: Option<&'o [&'o Known]>,
    summary: Summary,
}

#[derive(Serialize)]
struct StateWords {
    name: &'static str,
    granted: Vec<&'static str>,
}

#[derive(Serialize)]
struct Page<'o> {
    page: &'o str,
    is_file: bool,
    only_observed: bool,
    trouble: Option<&'o str>,
    things: Vec<Item<'o>>,
}

#[derive(Serialize)]
struct Item<'o> {
    kind: &'static str,
    what: &'o str,
    layer: &'static str,
    vendor: Option<Whose<'o>>,
    also: Vec<Whose<'o>>,
    purposes: Vec<&'static str>,
    rule: Option<String>,
    via: Option<&'o str>,
    observed: bool,
    spots: Vec<Point>,
    verdicts: BTreeMap<&'static str, Option<Word>>,
}

#[derive(Serialize)]
struct Whose<'o> {
    id: &'o str,
    name: &'o str,
    owner: &'o str,
}

#[derive(Serialize)]
struct Point {
    line: usize,
    column: usize,
}

#[derive(Serialize)]
struct Word {
    verdict: &'static str,
    reason: &'static str,
}

#[derive(Serialize)]
struct Leak<'o> {
    page: &'o str,
    kind: &'static str,
    what: &'o str,
    vendor: Option<Whose<'o>>,
    purposes: Vec<&'static str>,
    via: Option<&'o str>,
    state: &'static str,
}

#[derive(Serialize)]
struct Problem<'o> {
    fault: &'static str,
    kind: Option<&'static str>,
    what: &'o str,
    vendor: Option<Whose<'o>>,
    message: &'o str,
    advice: &'static str,
    places: Vec<Position<'o>>,
}

#[derive(Serialize)]
struct Position<'o> {
    page: &'o str,
    line: Option<usize>,
    column: Option<usize>,
}

#[derive(Serialize)]
struct Summary {
    pages: usize,
    things: usize,
    withheld: BTreeMap<&'static str, usize>,
    leaks: usize,
    findings: usize,
}

pub(super) fn write(outcome: &Outcome<'_>, out: &mut dyn Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(&document(outcome))?;
    // Line ends are the document's own; nothing in it may look like one.
    for line in text.lines() {
        writeln!(out, "{}", plain::json(line))?;
    }
    Ok(())
}

fn document<'o>(outcome: &'o Outcome<'_>) -> Document<'o> {
    let report = outcome.report;
    let things = || report.pages.iter().flat_map(|page| &page.things);
    let withheld = |index| things().filter(|thing| thing.is_withheld(index)).count();
    let leaks: Vec<_> = leaks(outcome);
    Document {
        consentry_audit: VERSION,
        consentry: env!("CARGO_PKG_VERSION"),
        target: &report.target,
        policy_revision: &report.revision,
        states: report
            .states
            .iter()
            .map(|state| StateWords {
                name: state.name,
                granted: state.consent.granted().iter().map(Purpose::name).collect(),
            })
            .collect(),
        pages: report.pages.iter().map(|page| self::page(outcome, page)).collect(),
        summary: Summary {
            pages: report.pages.len(),
            things: things().count(),
            withheld: report
                .states
                .iter()
                .enumerate()
                .map(|(index, state)| (state.name, withheld(index)))
                .collect(),
            leaks: leaks.len(),
            findings: outcome.findings.len(),
        },
        leaks,
        findings: outcome.findings.iter().map(problem).collect(),
        baseline_gone: outcome.gone.as_deref(),
    }
}

fn page<'o>(outcome: &'o Outcome<'_>, page: &'o AuditedPage) -> Page<'o> {
    Page {
        page: &page.name,
        is_file: page.is_file,
        only_observed: page.only_observed,
        trouble: page.trouble.as_deref(),
        things: page.things.iter().map(|thing| item(outcome, thing)).collect(),
    }
}

fn item<'o>(outcome: &'o Outcome<'_>, thing: &'o Thing) -> Item<'o> {
    let word = |verdict: &Option<crate::policy::Verdict>| {
        verdict.map(|verdict| Word { verdict: verdict.word(), reason: verdict.reason() })
    };
    let states = outcome.report.states.iter().map(|state| state.name);
    Item {
        kind: thing.kind.name(),
        what: &thing.what,
        layer: thing.layer.name(),
        vendor: thing.vendor.as_deref().map(whose),
        also: thing.also.iter().map(|vendor| whose(vendor)).collect(),
        purposes: thing.purposes().iter().map(Purpose::name).collect(),
        rule: thing.rule.as_ref().map(ToString::to_string),
        via: thing.via.as_deref(),
        observed: thing.observed,
        spots: thing.spots.iter().map(point).collect(),
        verdicts: states.zip(thing.verdicts.iter().map(word)).collect(),
    }
}

fn leaks<'o>(outcome: &'o Outcome<'_>) -> Vec<Leak<'o>> {
    let state = outcome.report.observed_in.and_then(|state| outcome.report.states.get(state));
    let leak = |(page, thing): (&'o AuditedPage, &'o Thing)| Leak {
        page: &page.name,
        kind: thing.kind.name(),
        what: &thing.what,
        vendor: thing.vendor.as_deref().map(whose),
        purposes: thing.purposes().iter().map(Purpose::name).collect(),
        via: thing.via.as_deref(),
        state: state.map_or("undecided", |state| state.name),
    };
    outcome.report.leaks().map(leak).collect()
}

fn problem(finding: &Finding) -> Problem<'_> {
    Problem {
        fault: finding.fault.name(),
        kind: finding.kind.map(crate::catalogue::Kind::name),
        what: &finding.what,
        vendor: finding.vendor.as_deref().map(whose),
        message: &finding.message,
        advice: finding.fault.advice(),
        places: finding.places.iter().map(position).collect(),
    }
}

fn position(place: &Where) -> Position<'_> {
    Position {
        page: &place.page,
        line: place.spot.map(|spot| spot.line),
        column: place.spot.map(|spot| spot.column),
    }
}

fn whose(vendor: &Vendor) -> Whose<'_> {
    Whose { id: &vendor.id, name: &vendor.name, owner: &vendor.owner }
}

const fn point(spot: &Spot) -> Point {
    Point { line: spot.line, column: spot.column }
}
