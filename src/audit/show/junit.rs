//! A test case a page, as CI servers read it.

use crate::audit::Finding;
use crate::audit::show::{Outcome, text};
use crate::ledger::plain;

use std::io::{self, Write};

pub(super) fn write(outcome: &Outcome<'_>, out: &mut dyn Write) -> io::Result<()> {
    let report = outcome.report;
    let failed: Vec<Vec<&Finding>> = report
        .pages
        .iter()
        .map(|page| {
            let on_it =
                |finding: &&Finding| finding.places.iter().any(|place| place.page == page.name);
            outcome.findings.iter().filter(on_it).collect()
        })
        .collect();
    let failures = failed.iter().filter(|findings| !findings.is_empty()).count();
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\"", report.pages.len());
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"consentry audit\" {counts}>")?;
    writeln!(out, "  <testsuite name=\"{}\" {counts}>", xml(&report.target))?;
    for (page, findings) in report.pages.iter().zip(failed) {
        let name = xml(&page.name);
        let file = if page.is_file { format!(" file=\"{name}\"") } else { String::new() };
        let case = format!("<testcase classname=\"consentry.audit\" name=\"{name}\"{file}");
        let Some(first) = findings.first() else {
            writeln!(out, "    {case}/>")?;
            continue;
        };
        writeln!(out, "    {case}>")?;
        let message = text::counted(findings.len(), "finding");
        writeln!(out, "      <failure type=\"{}\" message=\"{message}\">", first.fault)?;
        for finding in &findings {
            for place in finding.places.iter().filter(|place| place.page == page.name) {
                writeln!(out, "{}", xml(&text::line(finding, place)))?;
            }
        }
        writeln!(out, "</failure>")?;
        writeln!(out, "    </testcase>")?;
    }
    writeln!(out, "  </testsuite>")?;
    writeln!(out, "</testsuites>")
}

/// Text for XML 1.0, in which most control characters cannot even be escaped.
fn xml(text: &str) -> String {
    let mut safe = String::new();
    for char in plain::text(text).chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            char => safe.push(char),
        }
    }
    safe
}
