//! For somebody who reads it.

use crate::audit::show::Outcome;
use crate::audit::{AuditedPage, Finding, Thing, Where};
use crate::ledger::plain;
use crate::purpose::Purpose;

use std::io::{self, Write};

/// No column is padded further than this.
const WIDEST: [usize; 5] = [9, 15, 44, 26, 26];

/// How many places of one finding are shown.
const PLACES: usize = 5;

pub(super) fn write(outcome: &Outcome<'_>, out: &mut dyn Write) -> io::Result<()> {
    let report = outcome.report;
    let pages = counted(report.pages.len(), "page");
    writeln!(out, "{}: {pages}, policy {}", plain::text(&report.target), report.revision)?;
    let states: Vec<_> =
        report.states.iter().map(|state| format!("{} {}", state.mark, state.name)).collect();
    writeln!(out, "states: {}", states.join(", "))?;
    writeln!(out, "        + let through, - withheld, . nothing to decide")?;
    for page in &report.pages {
        writeln!(out)?;
        write_page(outcome, page, out)?;
    }
    leaks(outcome, out)?;
    findings(outcome, out)
}

fn write_page(outcome: &Outcome<'_>, page: &AuditedPage, out: &mut dyn Write) -> io::Result<()> {
    let note = if page.only_observed { "   (the site only observes here)" } else { "" };
    writeln!(out, "{}{note}", plain::text(&page.name))?;
    if let Some(trouble) = &page.trouble {
        writeln!(out, "  could not be looked at: {}", plain::text(trouble))?;
    }
    if page.things.is_empty() {
        if page.trouble.is_none() {
            writeln!(out, "  nothing on it is withheld from anybody, nor loaded from elsewhere")?;
        }
        return Ok(());
    }
    let marks: Vec<_> = outcome.report.states.iter().map(|state| state.mark.to_string()).collect();
    let mut rows =
        vec![["at", "kind", "what", "vendor", "purpose"].map(str::to_owned).into_iter().collect()];
    rows.extend(page.things.iter().map(row));
    let mut columns = std::iter::once(marks.join(" ")).chain(page.things.iter().map(verdicts));
    table(&rows, &mut columns, out)
}

fn row(thing: &Thing) -> Vec<String> {
    let at = match thing.spots.as_slice() {
        [] => "-".to_owned(),
        [spot] => format!("{}:{}", spot.line, spot.column),
        [spot, more @ ..] => format!("{}:{} +{}", spot.line, spot.column, more.len()),
    };
    let vendors: Vec<_> = thing.vendors().map(|vendor| vendor.name.as_str()).collect();
    let vendors = if vendors.is_empty() { "-".to_owned() } else { vendors.join(", ") };
    let purposes: Vec<_> = thing.purposes().iter().map(Purpose::name).collect();
    let purposes = if purposes.is_empty() { "-".to_owned() } else { purposes.join(", ") };
    vec![
        at,
        thing.kind.name().to_owned(),
        plain::text(&thing.what).into_owned(),
        plain::text(&vendors).into_owned(),
        purposes,
    ]
}

fn verdicts(thing: &Thing) -> String {
    let marks = thing.verdicts.iter().map(|verdict| match verdict {
        Some(verdict) if verdict.blocks() => "-",
        Some(_) => "+",
        None => ".",
    });
    marks.collect::<Vec<_>>().join(" ")
}

fn table(
    rows: &[Vec<String>],
    columns: &mut dyn Iterator<Item = String>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut widths = [0; WIDEST.len()];
    for row in rows {
        for ((width, cell), widest) in widths.iter_mut().zip(row).zip(WIDEST) {
            *width = (*width).max(cell.chars().count()).min(widest);
        }
    }
    for (row, verdicts) in rows.iter().zip(columns) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let cells = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "  {verdicts}  {}", cells.trim_end())?;
    }
    Ok(())
}

/// What got through without consent, by vendor.
fn leaks(outcome: &Outcome<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Some(state) = outcome.report.observed_in else { return Ok(()) };
    let state = outcome.report.states.get(state).map_or("undecided", |state| state.name);
    let mut leaks: Vec<_> = outcome.report.leaks().collect();
    writeln!(out)?;
    if leaks.is_empty() {
        return writeln!(out, "nothing leaked: whatever happened is let through when {state}");
    }
    let whose =
        |thing: &Thing| thing.vendor.as_ref().map_or("-", |vendor| vendor.name.as_str()).to_owned();
    leaks.sort_by_key(|(_, thing)| (whose(thing), thing.kind, thing.what.clone()));
    writeln!(out, "leaked, since it happened when {state}:")?;
    let mut last = String::new();
    for (page, thing) in leaks {
        if whose(thing) != last {
            last = whose(thing);
            let purposes: Vec<_> = thing.purposes().iter().map(Purpose::name).collect();
            writeln!(out, "  {} ({})", plain::text(&last), purposes.join(", "))?;
        }
        let via = thing.via.as_ref().map(|via| format!(", asked by {via}")).unwrap_or_default();
        let line = format!("{:9}  {}   on {}{via}", thing.kind.name(), thing.what, page.name);
        writeln!(out, "    {}", plain::text(&line))?;
    }
    Ok(())
}

fn findings(outcome: &Outcome<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    if outcome.findings.is_empty() {
        writeln!(out, "clean: nothing here is against the policy")?;
    } else {
        writeln!(out, "{}:", counted(outcome.findings.len(), "finding"))?;
    }
    for finding in outcome.findings {
        writeln!(out, "  {}", plain::text(&Outcome::sentence(finding)))?;
        for place in finding.places.iter().take(PLACES) {
            writeln!(out, "    at {}", plain::text(&at(place)))?;
        }
        if let Some(more) = finding.places.len().checked_sub(PLACES).filter(|more| *more > 0) {
            writeln!(out, "    and {}", counted(more, "more place"))?;
        }
    }
    let mut advised: Vec<_> = outcome.findings.iter().map(|finding| finding.fault).collect();
    advised.dedup();
    for fault in advised {
        writeln!(out, "  = {fault}: {}", fault.advice())?;
    }
    let Some(gone) = outcome.gone.as_ref().filter(|gone| !gone.is_empty()) else { return Ok(()) };
    writeln!(out)?;
    let entries = if gone.len() == 1 { "1 entry" } else { &format!("{} entries", gone.len()) };
    writeln!(out, "{entries} of the baseline not met any more (--write-baseline takes such off):")?;
    for known in gone {
        writeln!(out, "  {} {}", plain::text(&known.kind), plain::text(&known.what))?;
    }
    Ok(())
}

/// `index.html:3:5`, as editors and terminals understand it.
pub(super) fn at(place: &Where) -> String {
    match place.spot {
        Some(spot) => format!("{}:{}:{}", place.page, spot.line, spot.column),
        None => place.page.clone(),
    }
}

/// `1 page`, `7 pages`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A finding with the first place it stands at, in one line.
pub(super) fn line(finding: &Finding, place: &Where) -> String {
    format!("{} {}", at(place), Outcome::sentence(finding))
}
