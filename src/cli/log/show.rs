//! Puts lines of the log into shape. Whatever stands in the ledger was
//! written by strangers and is made harmless here.

use crate::ledger::plain;
use crate::ledger::read::{Gap, Line};

use jiff::Timestamp;
use serde::Serialize;
use std::io::{self, Write};

/// What the log is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Table,
    Json,
    Csv,
}

const TABLE: [&str; 9] =
    ["time", "site", "page", "verdict", "purpose", "vendor", "kind", "what", "reason"];

const CSV: [&str; 18] = [
    "time",
    "site",
    "page",
    "verdict",
    "reason",
    "purpose",
    "vendor",
    "vendor_id",
    "kind",
    "what",
    "layer",
    "class",
    "undecided",
    "signal",
    "rule",
    "via",
    "mode",
    "policy_revision",
];

/// What has been shown so far: the heading once, columns that only grow.
pub(super) struct Shown {
    shape: Shape,
    cut_at: Option<usize>,
    widths: [usize; TABLE.len()],
    begun: bool,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    #[serde(flatten)]
    line: &'a Line,
}

#[derive(Serialize)]
struct JsonGap<'a> {
    gap: &'a Gap,
}

impl Shown {
    /// `cut_at` is the width of the terminal, if it is one.
    pub(super) fn new(shape: Shape, cut_at: Option<usize>) -> Self {
        Self { shape, cut_at, widths: TABLE.map(str::len), begun: false }
    }

    pub(super) fn add(
        &mut self,
        lines: &[Line],
        gaps: &[Gap],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        match self.shape {
            Shape::Table => self.add_to_table(lines, gaps, out),
            Shape::Csv => self.add_to_csv(lines, gaps, out),
            Shape::Json => {
                for line in lines {
                    let time = time(line.time_ms, Timestamp::from_millisecond);
                    let line = serde_json::to_string(&JsonLine { time, line })?;
                    writeln!(out, "{}", plain::json(&line))?;
                }
                gaps.iter().try_for_each(|gap| {
                    writeln!(out, "{}", plain::json(&serde_json::to_string(&JsonGap { gap })?))
                })
            }
        }
    }

    fn add_to_table(
        &mut self,
        lines: &[Line],
        gaps: &[Gap],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let rows: Vec<_> = lines.iter().map(row).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if !self.begun && !rows.is_empty() {
            self.begun = true;
            self.write_row(&TABLE.map(str::to_owned), out)?;
        }
        rows.iter().try_for_each(|row| self.write_row(row, out))?;
        gaps.iter().try_for_each(|gap| writeln!(out, "{}", words(gap)))
    }

    fn write_row(&self, row: &[String; TABLE.len()], out: &mut dyn Write) -> io::Result<()> {
        let cells = row.iter().zip(self.widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = line.trim_end();
        match self.cut_at {
            Some(width) if line.chars().count() > width => {
                let head: String = line.chars().take(width.saturating_sub(1)).collect();
                writeln!(out, "{head}…")
            }
            _ => writeln!(out, "{line}"),
        }
    }

    fn add_to_csv(&mut self, lines: &[Line], gaps: &[Gap], out: &mut dyn Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(&mut *out);
        if !self.begun {
            self.begun = true;
            csv.write_record(CSV)?;
        }
        for line in lines {
            csv.write_record(record(line).iter().map(|cell| plain::cell(cell).into_owned()))?;
        }
        csv.flush()?;
        // A table of decisions has no row for what is missing from it.
        gaps.iter().for_each(|gap| super::tell(&words(gap)));
        Ok(())
    }
}

fn row(line: &Line) -> [String; TABLE.len()] {
    // In observe mode nothing is withheld, and nobody should believe it was.
    let verdict = match (line.verdict.as_str(), line.mode.as_str()) {
        ("block", "observe") => "would block",
        (verdict, _) => verdict,
    };
    let text = |text: &str| plain::text(text).into_owned();
    let known = |known: &Option<String>| known.as_deref().map_or_else(|| "-".to_owned(), text);
    [
        time(line.time_ms / 1000, Timestamp::from_second),
        text(&line.site),
        text(&line.page),
        text(verdict),
        known(&line.purpose),
        known(&line.vendor),
        text(&line.kind),
        text(&line.what),
        match &line.via {
            Some(via) => format!("{}, asked by {}", text(&line.reason), text(via)),
            None => text(&line.reason),
        },
    ]
}

fn record(line: &Line) -> [String; CSV.len()] {
    let known = |known: &Option<String>| known.clone().unwrap_or_default();
    [
        time(line.time_ms, Timestamp::from_millisecond),
        line.site.clone(),
        line.page.clone(),
        line.verdict.clone(),
        line.reason.clone(),
        known(&line.purpose),
        known(&line.vendor),
        known(&line.vendor_id),
        line.kind.clone(),
        line.what.clone(),
        line.layer.clone(),
        line.class.clone(),
        line.undecided.to_string(),
        line.signal.clone(),
        known(&line.rule),
        known(&line.via),
        line.mode.clone(),
        line.policy_revision.clone(),
    ]
}

fn words(gap: &Gap) -> String {
    let second = |ms: u64| time(ms / 1000, Timestamp::from_second);
    let (since, until) = (second(gap.since_ms), second(gap.time_ms));
    let why = plain::text(&gap.why);
    let when =
        if since == until { format!("at {since}") } else { format!("between {since} and {until}") };
    match gap.lost {
        1 => format!("1 entry is missing {when}: {why}"),
        lost => format!("{lost} entries are missing {when}: {why}"),
    }
}

fn time(number: u64, unit: fn(i64) -> Result<Timestamp, jiff::Error>) -> String {
    let time = i64::try_from(number).ok().and_then(|number| unit(number).ok());
    time.map_or_else(|| "?".to_owned(), |time| time.to_string())
}
