//! What was decided on the dashboard: whose a host is, who answers for a
//! vendor, exceptions. It lies beside the ledger, in the syntax of catalogue
//! and configuration, and is read like any other file.

mod change;
mod outdated;

pub use change::changed;
pub(super) use outdated::Known;

use crate::catalogue::{Catalogue, SourceFile};
use crate::config::exceptions::{self, OfSite, is_called};
use crate::config::file::default;
use crate::config::findings::Findings;
use crate::config::layers::Sources;
use crate::config::ownership::{self, WrittenOwnership};
use crate::config::written_site;
use crate::dashboard::classified_file;
use crate::mistake::{Mistake, parse};
use crate::policy::Unlisted;
use crate::site::Ownership;

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use toml::Spanned;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    /// Read with the catalogue.
    vendor: Vec<IgnoredAny>,
    /// Read with the catalogue.
    host: Vec<IgnoredAny>,
    ownership: Vec<Spanned<WrittenOwnership>>,
    exception: Vec<Spanned<written_site::Exception>>,
    unlisted: Vec<Spanned<WrittenUnlisted>>,
}

/// What happens on a site to third parties that nobody claims.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "written `[[unlisted]]`")]
struct WrittenUnlisted {
    site: Spanned<String>,
    verdict: Spanned<String>,
}

impl Default for WrittenUnlisted {
    fn default() -> Self {
        Self { site: default(String::new()), verdict: default(String::new()) }
    }
}

/// The file as it was read.
#[derive(Default)]
pub(super) struct Classified {
    name: String,
    text: String,
    written: Written,
}

impl Classified {
    /// Reads it; `candidate` is what would stand in it after a change. What
    /// names a site or a vendor that is gone is not in it.
    pub(super) fn read(
        ledger: &Path,
        candidate: Option<&str>,
        known: &Known<'_>,
        findings: &mut Findings<'_>,
    ) -> Self {
        let path = classified_file(ledger);
        let name = path.display().to_string();
        findings.stamps.look_at(&path);
        let read = classified_text(&path)
            .map_err(|error| Mistake::in_file(&name, format!("cannot be read: {error}")))
            .and_then(|kept| {
                let (text, warnings) =
                    outdated::passed_over(&name, candidate.unwrap_or(&kept), &kept, known);
                findings.warnings.extend(warnings);
                Ok((parse(&name, &text)?, text))
            });
        match read {
            Ok((written, text)) => Self { name, text, written },
            Err(mistake) => {
                findings.mistakes.push(mistake);
                Self::default()
            }
        }
    }

    /// The part that is the catalogue's, each line where it stands.
    pub(super) fn catalogue(&self) -> Option<SourceFile> {
        let is_catalogue = !self.written.vendor.is_empty() || !self.written.host.is_empty();
        is_catalogue
            .then(|| SourceFile { name: self.name.clone(), text: catalogue_part(&self.text) })
    }

    /// Exceptions and ownerships in it, added to those of the configuration,
    /// which count first.
    pub(super) fn add_to(
        &self,
        (exceptions, ownerships): (&mut Vec<OfSite>, &mut Vec<Ownership>),
        sites: &[Spanned<written_site::Site>],
        catalogue: &Catalogue,
        today: Date,
        findings: &mut Findings<'_>,
    ) {
        let sources = self.sources();
        let mut found = Findings::new(&sources, Vec::new());
        let written = &self.written;
        exceptions.extend(exceptions::compile(
            &written.exception,
            sites,
            catalogue,
            today,
            &mut found,
        ));
        for more in ownership::compile(&written.ownership, sites, catalogue, &mut found) {
            let same = |said: &&Ownership| said.vendor == more.vendor && said.site == more.site;
            match ownerships.iter().find(same) {
                Some(first) => found.warnings.push(format!(
                    "{}: who answers for `{}` is said in {}, too, and that counts",
                    more.place, more.vendor, first.place
                )),
                None => ownerships.push(more),
            }
        }
        findings.mistakes.append(&mut found.mistakes);
        findings.warnings.append(&mut found.warnings);
    }

    /// What it says about what nobody claims, put over what the sites say.
    pub(super) fn put_over(
        &self,
        sites: &mut [Spanned<written_site::Site>],
        findings: &mut Findings<'_>,
    ) {
        let sources = self.sources();
        let mut found = Findings::new(&sources, Vec::new());
        for entry in &self.written.unlisted {
            let said = entry.get_ref();
            let unlisted = match said.verdict.get_ref().as_str() {
                "allow" => Unlisted::Allow,
                "observe" => Unlisted::Observe,
                "block" => Unlisted::Block,
                other => {
                    let message = format!("`{other}`: unlisted is `allow`, `observe` or `block`");
                    found.wrong(&said.verdict, message);
                    continue;
                }
            };
            exceptions::known_site(&said.site, sites, &mut found);
            for site in sites.iter_mut().map(Spanned::get_mut) {
                if is_called(site, said.site.get_ref()) {
                    site.unlisted = unlisted;
                }
            }
        }
        findings.mistakes.append(&mut found.mistakes);
    }

    fn sources(&self) -> Sources<'_> {
        Sources { file: &self.name, text: &self.text, settings: &[] }
    }
}

/// The text with everything blanked but vendors and hosts.
fn catalogue_part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    let mut ours = true;
    for line in text.split_inclusive('\n') {
        let header = line.trim_start().strip_prefix("[[").and_then(|rest| rest.split_once("]]"));
        if let Some((section, _)) = header {
            ours = matches!(section.trim(), "vendor" | "host");
        }
        match (ours, line.ends_with('\n')) {
            (true, _) => part.push_str(line),
            (false, true) => part.push('\n'),
            (false, false) => {}
        }
    }
    part
}

/// What stands in the file; nothing where there is none.
///
/// # Errors
/// When it cannot be read.
pub fn classified_text(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        // What is wrong with the ledger's own place is the ledger's to say.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(String::new())
        }
        other => other,
    }
}

/// Keeps it, whole or not at all.
///
/// # Errors
/// When it cannot be written; then the file of before is there.
pub fn keep_classified(path: &Path, text: &str) -> io::Result<()> {
    let mut fresh = OsString::from(path);
    fresh.push(".new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Compiled, KeyMode, Overrides, load_classified};

    const VENDOR: &str = "[[vendor]]\nid = 'acme'\nname = 'Acme'\nowner = 'Acme'\nabout = 'Ads.'\nsource = 'https://acme.example'\npurposes = ['marketing']\nhosts = ['px.acme.example']\n";
    const OWNED: &str =
        "[[ownership]]\nvendor = 'acme'\nowner = 'ana'\nreason = 'orders'\nreview = 2027-01-31\n";

    /// As if `candidate` were wanted by somebody.
    fn load(config: &str, candidate: &str) -> Result<Compiled, String> {
        load_beside(config, "", Some(candidate))
    }

    fn load_beside(config: &str, kept: &str, wanted: Option<&str>) -> Result<Compiled, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        std::fs::write(&file, format!("[[site]]\norigin = 'http://127.0.0.1:1'\n{config}"))
            .unwrap();
        let ledger = directory.path().join("ledger.db");
        std::fs::write(classified_file(&ledger), kept).unwrap();
        let flags = Overrides { ledger: Some(ledger), ..Overrides::default() };
        let variables = std::iter::empty();
        let loaded = load_classified(Some(&file), variables, &flags, KeyMode::CheckOnly, wanted);
        loaded.map_err(|mistakes| mistakes.iter().map(|mistake| format!("{mistake}\n")).collect())
    }

    #[test]
    fn what_was_decided_holds_as_if_it_stood_in_the_configuration() {
        let exception = "[[exception]]\nvendor = 'acme'\nverdict = 'allow'\nowner = 'ben'\nreason = 'x'\nexpires = 2099-12-31\n";
        let unlisted = "[[unlisted]]\nsite = 'default'\nverdict = 'block'\n";
        let text = format!("{OWNED}{exception}{VENDOR}{unlisted}");
        let compiled = load("", &text).unwrap();
        let site = compiled.sites.find("any.example").unwrap();
        let owned = site.ownership("acme").unwrap();
        assert_eq!((owned.owner.as_str(), owned.place.line), ("ana", 1));
        assert!(owned.place.file.ends_with("ledger.db.classified.toml"));
        let excepted = &site.policy.exceptions()[0];
        assert_eq!((excepted.owner.as_str(), excepted.place.line), ("ben", 6));
        assert_eq!(site.policy.unlisted(), Unlisted::Block);
        let url = url::Url::parse("https://px.acme.example/").unwrap();
        let kind = crate::catalogue::Kind::Script;
        let subject = crate::catalogue::Subject::Load { kind, url: &url };
        let found = compiled.catalogue.identify(subject).unwrap();
        assert_eq!((found.vendor.id.as_str(), found.place.line), ("acme", 19));
    }

    #[test]
    fn a_mistake_in_it_is_shown_where_it_stands() {
        for (text, expected) in [
            ("[[vendr]]\nid = 'x'", "ledger.db.classified.toml:1:3: unknown field `vendr`"),
            ("[[ownership]]\nvendor = 'acme'", "an ownership without `owner`"),
            (
                "[[unlisted]]\nsite = 'shop'\nverdict = 'block'",
                ".toml:2:8: no site is called `shop`",
            ),
            ("[[unlisted]]\nsite = 'default'\nverdict = 'maybe'", ".toml:3:11: `maybe`"),
            ("[[exception]]\nvendor = 'acme'", ".toml:1:1: an exception without `owner`"),
            ("\n[[vendor]]\nid = 'x'", "classified.toml:2:1: missing field"),
            (&format!("{OWNED}{OWNED}{VENDOR}"), ".toml:6:1: who answers for `acme` is said in"),
            (&OWNED.replace("acme", "acmee"), "no vendor in the catalogue has the id `acmee`"),
            (&OWNED.replace("2027-01-31", "'soon'"), "`soon` is not a day"),
        ] {
            let shown = load("", text).unwrap_err();
            assert!(shown.contains(expected), "{text}\n{shown}");
        }
    }

    #[test]
    fn the_configuration_says_who_answers_before_the_dashboard_does() {
        let config = OWNED.replace("acme", "hotjar").replace("ana", "ben");
        let compiled = load(&config, &OWNED.replace("acme", "hotjar")).unwrap();
        let site = compiled.sites.find("any.example").unwrap();
        assert_eq!(site.ownership("hotjar").unwrap().owner, "ben");
        assert_eq!(compiled.warnings.len(), 1, "{:?}", compiled.warnings);
        let elsewhere =
            OWNED.replace("acme", "hotjar").replace("owner =", "site = 'shop'\nowner =");
        assert!(load(&elsewhere, "").unwrap_err().contains("no site is called `shop`"));
    }

    #[test]
    fn what_names_a_site_or_vendor_that_is_gone_is_passed_over_and_said() {
        let gone = [
            "[[unlisted]]\nsite = 'shop'\nverdict = 'block'\n",
            &OWNED.replace("vendor =", "site = 'shop'\nvendor ="),
            &OWNED.replace("acme", "vanished"),
            "[[exception]]\nvendor = 'vanished'\nverdict = 'allow'\nowner = 'ä\n[[host]]'\nreason = 'x'\nexpires = 2099-12-31\n",
            "[[exception]]\nsite = 'shop'\nhost = 'a.example'\nverdict = 'block'\nowner = 'b'\nreason = 'x'\nexpires = 2099-12-31\n",
            "[[host]]\nname = 'px.vanished.example'\nvendor = 'vanished'\n",
        ]
        .map(|entry| entry.replace("'ä\n[[host]]'", "'''ä\n[[host]]'''"));
        let kept = format!("{}{VENDOR}{OWNED}", gone.concat());
        let check = |wanted: Option<&str>| {
            let compiled = load_beside("", &kept, wanted).unwrap();
            let site = compiled.sites.find("any.example").unwrap();
            assert_eq!(site.policy.unlisted(), Unlisted::Observe);
            assert!(site.policy.exceptions().is_empty());
            let lines = kept.lines().count();
            let owned = usize::try_from(site.ownership("acme").unwrap().place.line).unwrap();
            assert_eq!(owned, lines - 4, "every line keeps its number");
            compiled.warnings
        };
        let warnings = check(None);
        assert_eq!(warnings.len(), gone.len(), "{warnings:#?}");
        let mut line = 1;
        for (warning, entry) in warnings.iter().zip(&gone) {
            let place = format!("ledger.db.classified.toml:{line}: ");
            assert!(warning.contains(&place), "{place} {warning}");
            let names = if entry.contains("shop") { "`shop`" } else { "`vanished`" };
            assert!(warning.contains(names), "{warning}");
            line += entry.lines().count();
        }
        // It keeps nobody from changing something else, and is not lost by that.
        let fresh = changed(&kept, &[]).unwrap();
        assert_eq!(fresh.matches("vanished").count(), kept.matches("vanished").count());
        let compiled = load_beside("", &kept, Some(&fresh)).unwrap();
        assert_eq!(compiled.warnings.len(), gone.len());
        // Who names such a thing anew is told.
        for entry in &gone {
            let others = kept.replace(entry, "");
            let shown = load_beside("", &others, Some(&kept)).unwrap_err();
            assert!(shown.contains("shop") || shown.contains("vanished"), "{shown}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.toml");
        assert_eq!(classified_text(&path).unwrap(), "");
        keep_classified(&path, "a = 1").unwrap();
        keep_classified(&path, "b").unwrap();
        assert_eq!(classified_text(&path).unwrap(), "b");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(keep_classified(&directory.path().join("no/c.toml"), "a").is_err());
    }
}
