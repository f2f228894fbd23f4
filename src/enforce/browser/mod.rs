//! What keeps holding in the browser, where scripts load more than the page
//! they stand in.
//!
//! Two things that know the same: a Content-Security-Policy made for this one
//! page, which a browser enforces whatever runs in it, and the guard, a small
//! script that does quietly what the policy would do with an error. Each holds
//! without the other.
//!
//! Our scripts are plain files without a build step. What is served is the same
//! code without the comments.

mod consent_mode;
mod globals;
mod guard;
mod lacks;
mod memory;
mod named;
mod names;
mod reach;
mod reports;
mod tokens;

pub use consent_mode::{GoogleConsent, signals as google_signals};
pub use globals::{declared_globals, is_defined_in};
pub(crate) use guard::insertion_point;
pub use guard::{Guard, GuardFiles, OwnScript};
pub use memory::Memory;
pub(crate) use names::names_of_vendors;
pub use names::{names_table, stub_names};
pub use reach::BrowserPolicy;
pub(crate) use reach::Reach;
pub use reports::{Held, read_reports};
pub(crate) use tokens::{Reader, Token};

/// Stand-ins for the globals of withheld vendors: defines `stubs(names)`.
pub const STUBS: &str = include_str!("stubs.js");

/// What denied vendors keep on a device: hands the guard their names, and
/// takes what is there off the device.
const KEPT: &str = include_str!("kept.js");

/// Tells Google's tags what the visitor agreed to.
const GOOGLE: &str = include_str!("google.js");

/// Brings a page up to date after a choice: defines `revive(before)`.
pub const REVIVE: &str = include_str!("revive.js");

/// A script of ours as it is served: without indentation and lines that are
/// comments. None of ours has text over several lines, where that would matter.
#[must_use]
pub fn served(source: &str) -> String {
    source
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .fold(String::with_capacity(source.len()), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzipped(text: &str) -> usize {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap().len()
    }

    #[test]
    fn our_scripts_are_small_and_without_comments() {
        for (source, most) in [(STUBS, 3_300), (REVIVE, 2_500)] {
            let script = served(source);
            assert!(gzipped(&script) <= most, "{} bytes of {most}", gzipped(&script));
            assert!(!script.lines().any(|line| line.starts_with("//") || line.starts_with(' ')));
            // Text over several lines would lose its indentation.
            assert!(
                source.lines().all(|line| line.matches('`').count() % 2 == 0
                    || line.trim_start().starts_with("//"))
            );
        }
    }

    #[test]
    fn b6_the_names_fit_into_the_guard() {
        let catalogue =
            crate::catalogue::Catalogue::compile(&crate::catalogue::SourceFile::embedded())
                .unwrap();
        let table = names_table(&catalogue);
        let files = GuardFiles::of(&catalogue);
        let text = |file: &OwnScript| std::str::from_utf8(file.body()).unwrap().to_owned();
        assert!(text(files.kept()).contains(&table));
        assert!(text(files.stand_ins()).contains(&served(STUBS)));
        assert!(gzipped(&table) <= 5 * 1024 + 512, "{} bytes", gzipped(&table));
    }
}
