//! Puts an audit into shape: for somebody who reads it, and for programs.
//!
//! Whatever stands in it was written by strangers, and is made harmless here.

mod json;
mod junit;
mod sarif;
mod text;

use crate::audit::{Finding, Known, Report};

use std::io::{self, Write};

/// What an audit is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For somebody who reads it
    Text,
    /// Everything, in a shape that stays (docs/audit.md)
    Json,
    /// A test case a page, for CI servers
    Junit,
    /// Findings with file and line, for code review (SARIF 2.1.0)
    Sarif,
}

/// An audit that is done.
#[derive(Debug)]
pub struct Outcome<'o> {
    /// What was looked at.
    pub report: &'o Report,
    /// What is not good enough.
    pub findings: &'o [Finding],
    /// What the baseline has and the site has not any more; nothing without a
    /// baseline.
    pub gone: Option<Vec<&'o Known>>,
}

impl Outcome<'_> {
    /// Writes it.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Text => text::write(self, out),
            Format::Json => json::write(self, out),
            Format::Junit => junit::write(self, out),
            Format::Sarif => sarif::write(self, out),
        }
    }

    /// What a finding is about, in a line.
    fn sentence(finding: &Finding) -> String {
        let kind = finding.kind.map_or("page", crate::catalogue::Kind::name);
        let vendor = finding.vendor.as_ref();
        let whose = vendor.map(|vendor| format!(" ({})", vendor.name)).unwrap_or_default();
        format!("{}: {kind} {}{whose}: {}", finding.fault, finding.what, finding.message)
    }
}
