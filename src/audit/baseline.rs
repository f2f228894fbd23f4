//! What was on the site when somebody began to look: an old project is not
//! clean on its first day, and what is added to it can be stopped all the same.

use crate::audit::{Fault, Gate, Report};
use crate::catalogue::Kind;
use crate::ledger::plain;
use crate::mistake::Mistake;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the file's shape.
const VERSION: u32 = 1;

/// One thing that was there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// What kind of thing it is.
    pub kind: String,
    /// Its name.
    pub what: String,
    /// What was wrong with it then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

impl Known {
    /// Whether that was wrong with it then.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.iter().any(|known| known == fault.name())
    }
}

/// Everything that was there.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    known: BTreeMap<(String, String), Known>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    consentry_baseline: u32,
    things: Vec<Known>,
}

impl Baseline {
    /// Reads a baseline file.
    ///
    /// # Errors
    /// When it is none, or one of another version.
    pub fn read(file: &str, text: &str) -> Result<Self, Mistake> {
        let advice = "make it anew with --write-baseline";
        let written: Written = serde_json::from_str(text).map_err(|error| {
            let offset = text.split_inclusive('\n').take(error.line().saturating_sub(1));
            let offset = offset.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
            Mistake::at(file, text, offset, format!("it is no baseline: {error}")).advise(advice)
        })?;
        if written.consentry_baseline != VERSION {
            let version = written.consentry_baseline;
            let message = format!("it is a baseline of version {version}, and not of {VERSION}");
            return Err(Mistake::in_file(file, message).advise(advice));
        }
        Ok(Self::of(written.things))
    }

    fn of(things: impl IntoIterator<Item = Known>) -> Self {
        let mut known: BTreeMap<(String, String), Known> = BTreeMap::new();
        for thing in things {
            let key = (thing.kind.clone(), thing.what.clone());
            let entry =
                known.entry(key).or_insert_with(|| Known { faults: Vec::new(), ..thing.clone() });
            entry.faults.extend(thing.faults);
            entry.faults.sort();
            entry.faults.dedup();
        }
        Self { known }
    }

    /// Everything that is there now, with what is wrong with it.
    #[must_use]
    pub fn taken_of(report: &Report, gate: &Gate<'_>) -> Self {
        let leaks = |thing: &crate::audit::Thing| {
            thing.observed && report.observed_in.is_some_and(|state| thing.is_withheld(state))
        };
        Self::of(report.pages.iter().flat_map(|page| &page.things).map(|thing| {
            Known {
                kind: thing.kind.name().to_owned(),
                what: thing.what.clone(),
                faults: gate
                    .all_faults(thing, leaks(thing))
                    .into_iter()
                    .map(|(fault, _)| fault.name().to_owned())
                    .collect(),
            }
        }))
    }

    /// The file's text: a line a thing, in order, so that a change is a change
    /// of lines.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn text(&self) -> serde_json::Result<String> {
        let mut lines = Vec::new();
        for known in self.known.values() {
            let line = serde_json::to_string(known)?;
            lines.push(format!("\n    {}", plain::json(&line)));
        }
        let end = if lines.is_empty() { "" } else { "\n  " };
        let things = lines.join(",");
        Ok(format!("{{\n  \"consentry_baseline\": {VERSION},\n  \"things\": [{things}{end}]\n}}\n"))
    }

    /// The thing of that kind and name, if it was there.
    #[must_use]
    pub fn find(&self, kind: Kind, what: &str) -> Option<&Known> {
        self.known.get(&(kind.name().to_owned(), what.to_owned()))
    }

    /// What was there and is not any more.
    pub fn gone<'b>(&'b self, report: &'b Report) -> impl Iterator<Item = &'b Known> {
        self.known.values().filter(|known| {
            !report
                .pages
                .iter()
                .flat_map(|page| &page.things)
                .any(|thing| thing.kind.name() == known.kind && thing.what == known.what)
        })
    }

    /// How many things it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}
