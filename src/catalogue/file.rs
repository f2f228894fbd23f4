//! Reads catalogue files and compiles them.

use crate::catalogue::hosts::{HostPattern, Hosts};
use crate::catalogue::inline::{Signatures, normalise};
use crate::catalogue::names::Names;
use crate::catalogue::own_paths::OwnPaths;
use crate::catalogue::scripts::Scripts;
use crate::catalogue::{Catalogue, Place, Rule, RuleIndex, Vendor};
use crate::mistake::{Mistake, closest, parse};
use crate::purpose::{Purpose, PurposeSet};

use rustc_hash::FxHashMap;
use serde::Deserialize;
use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;
use toml::Spanned;

/// The text of a catalogue file and the name to call it by.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// As shown in errors, `explain` and the ledger.
    pub name: String,
    /// TOML.
    pub text: String,
}

/// The catalogue built into the binary: name and text of each file.
pub const EMBEDDED: &[(&str, &str)] = &[
    ("catalogue/ads.toml", include_str!("../../config/catalogue/ads.toml")),
    ("catalogue/affiliate-email.toml", include_str!("../../config/catalogue/affiliate-email.toml")),
    ("catalogue/analytics.toml", include_str!("../../config/catalogue/analytics.toml")),
    ("catalogue/chat-support.toml", include_str!("../../config/catalogue/chat-support.toml")),
    ("catalogue/customer-data.toml", include_str!("../../config/catalogue/customer-data.toml")),
    ("catalogue/embeds-fonts.toml", include_str!("../../config/catalogue/embeds-fonts.toml")),
    ("catalogue/identifiers.toml", include_str!("../../config/catalogue/identifiers.toml")),
    ("catalogue/necessary.toml", include_str!("../../config/catalogue/necessary.toml")),
    ("catalogue/session-replay.toml", include_str!("../../config/catalogue/session-replay.toml")),
    ("catalogue/social.toml", include_str!("../../config/catalogue/social.toml")),
    ("catalogue/tag-managers.toml", include_str!("../../config/catalogue/tag-managers.toml")),
    (
        "catalogue/testing-personalization.toml",
        include_str!("../../config/catalogue/testing-personalization.toml"),
    ),
];

impl SourceFile {
    /// The catalogue built into the binary.
    #[must_use]
    pub fn embedded() -> Vec<Self> {
        EMBEDDED
            .iter()
            .map(|(name, text)| Self { name: (*name).to_owned(), text: (*text).to_owned() })
            .collect()
    }

    /// The ids of the vendors in it; none where it has mistakes, which
    /// [`Catalogue::compile`] tells.
    #[must_use]
    pub fn vendor_ids(&self) -> Vec<String> {
        let written = parse::<Written>(&self.name, &self.text);
        let vendors = written.map(|written| written.vendor).unwrap_or_default();
        vendors.into_iter().map(|vendor| vendor.id.into_inner()).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    vendor: Vec<WrittenVendor>,
    #[serde(default)]
    host: Vec<WrittenHost>,
}

/// One more host of a vendor that stands elsewhere.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHost {
    name: Spanned<String>,
    vendor: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenVendor {
    id: Spanned<String>,
    name: String,
    owner: String,
    purposes: Spanned<Vec<Spanned<String>>>,
    about: Spanned<String>,
    source: String,
    reason: Option<String>,
    #[serde(default)]
    hosts: Vec<Spanned<String>>,
    #[serde(default)]
    inline: Vec<Spanned<String>>,
    #[serde(default)]
    script: Vec<Spanned<String>>,
    #[serde(default)]
    globals: Vec<Spanned<String>>,
    #[serde(default)]
    cookies: Vec<Spanned<String>>,
    #[serde(default)]
    storage: Vec<Spanned<String>>,
    #[serde(default)]
    databases: Vec<Spanned<String>>,
    #[serde(default)]
    caches: Vec<Spanned<String>>,
    #[serde(default)]
    workers: Vec<Spanned<String>>,
    iab: Option<NonZeroU16>,
    #[serde(default)]
    request_headers: Vec<Spanned<String>>,
    #[serde(default)]
    response_headers: Vec<Spanned<String>>,
    #[serde(default)]
    parameters: Vec<Spanned<String>>,
    #[serde(default)]
    own_paths: Vec<Spanned<String>>,
}

/// Compiles files; see [`Catalogue::compile`].
pub(super) fn compile(
    files: &[SourceFile],
    stand_in: Option<&str>,
) -> Result<Catalogue, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut written: Vec<(&SourceFile, WrittenVendor)> = Vec::new();
    let mut hosts: Vec<(&SourceFile, WrittenHost)> = Vec::new();
    let mut seen: HashMap<String, (usize, *const SourceFile)> = HashMap::new();
    for file in files {
        let vendors = match parse::<Written>(&file.name, &file.text) {
            Ok(written) => {
                hosts.extend(written.host.into_iter().map(|host| (file, host)));
                written.vendor
            }
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        for vendor in vendors {
            let id = vendor.id.get_ref().clone();
            match seen.get(&id) {
                Some((_, earlier)) if std::ptr::eq(*earlier, file) => {
                    mistakes.push(
                        at(file, &vendor.id, format!("a second vendor with the id `{id}`"))
                            .advise("give one of them another id, or merge them"),
                    );
                }
                Some((index, _)) => {
                    if let Some(slot) = written.get_mut(*index) {
                        *slot = (file, vendor);
                    }
                }
                None => {
                    seen.insert(id, (written.len(), file));
                    written.push((file, vendor));
                }
            }
        }
    }
    let theirs = files.iter().map(|file| file.name.clone());
    let theirs = theirs.filter(|name| !EMBEDDED.iter().any(|(ours, _)| ours == name)).collect();
    let mut compiler = Compiler { theirs, ..Compiler::default() };
    for (file, vendor) in &written {
        compiler.vendor(file, vendor, stand_in, &mut mistakes);
    }
    for (file, host) in &hosts {
        compiler.host(file, host, stand_in, &mut mistakes);
    }
    if mistakes.is_empty() { compiler.finish() } else { Err(mistakes) }
}

#[derive(Default)]
struct Compiler {
    /// The operator's files, in their order.
    theirs: Vec<String>,
    vendors: Vec<Arc<Vendor>>,
    rules: Vec<Rule>,
    hosts: Hosts,
    own_paths: OwnPaths,
    signatures: Vec<(String, RuleIndex)>,
    scripts: Vec<(String, RuleIndex)>,
    cookies: Names,
    storage: Names,
    request_headers: FxHashMap<String, RuleIndex>,
    response_headers: FxHashMap<String, RuleIndex>,
    parameters: FxHashMap<String, RuleIndex>,
    globals: Vec<(String, RuleIndex)>,
}

impl Compiler {
    fn vendor(
        &mut self,
        file: &SourceFile,
        written: &WrittenVendor,
        stand_in: Option<&str>,
        mistakes: &mut Vec<Mistake>,
    ) {
        let (purposes, purpose) = match read_purposes(file, written) {
            Ok(read) => read,
            Err(mistake) => return mistakes.push(mistake),
        };
        let necessary = purpose == Purpose::Necessary;
        if let Err(mistake) = check_reason(file, written, necessary) {
            mistakes.push(mistake);
        }
        let names =
            |list: &[Spanned<String>]| list.iter().map(|name| name.get_ref().clone()).collect();
        let vendor = self.vendors.len();
        self.vendors.push(Arc::new(Vendor {
            id: written.id.get_ref().clone(),
            name: written.name.clone(),
            owner: written.owner.clone(),
            purposes,
            purpose,
            about: written.about.get_ref().clone(),
            source: written.source.clone(),
            reason: written.reason.clone().unwrap_or_default(),
            cookies: names(&written.cookies),
            storage: names(&written.storage),
            databases: names(&written.databases),
            caches: names(&written.caches),
            workers: names(&written.workers),
            iab: written.iab.map(NonZeroU16::get),
        }));
        let mut lines = Lines::new(file);
        for host in &written.hosts {
            match HostPattern::read(host.get_ref()) {
                Ok(pattern) => {
                    let rule = self.rule(vendor, &mut lines, host);
                    self.host_rule(pattern, stand_in, necessary, rule);
                }
                Err(message) => mistakes.push(at(file, host, message)),
            }
        }
        let inline = written.inline.iter().map(|signature| (signature, true));
        let script = written.script.iter().map(|signature| (signature, false));
        for (signature, is_inline) in inline.chain(script) {
            if signature
                .get_ref()
                .split(" && ")
                .any(|part| part.len() < 4 || normalise(part.as_bytes()) != part.as_bytes())
            {
                mistakes.push(at(file, signature, "this signature can never match").advise(
                    "write it without white space, with single quotes, at least 4 characters a part",
                ));
                continue;
            }
            let rule = self.rule(vendor, &mut lines, signature);
            let list = if is_inline { &mut self.signatures } else { &mut self.scripts };
            list.push((signature.get_ref().clone(), rule));
        }
        for cookie in &written.cookies {
            if !is_pattern(cookie.get_ref()) {
                mistakes.push(at(file, cookie, "a cookie name is exact or holds one `*`"));
                continue;
            }
            let rule = self.rule(vendor, &mut lines, cookie);
            self.cookies.insert(cookie.get_ref(), necessary, rule);
        }
        for path in &written.own_paths {
            let rule = self.rule(vendor, &mut lines, path);
            if let Err(why) = self.own_paths.insert(path.get_ref(), necessary, rule) {
                mistakes.push(at(file, path, why));
            }
        }
        for (list, headers) in
            [(&written.request_headers, true), (&written.response_headers, false)]
        {
            for name in list {
                if http::HeaderName::from_lowercase(name.get_ref().as_bytes()).is_err() {
                    mistakes.push(at(file, name, "this is no header name in lower case"));
                    continue;
                }
                let rule = self.rule(vendor, &mut lines, name);
                let map =
                    if headers { &mut self.request_headers } else { &mut self.response_headers };
                map.entry(name.get_ref().clone()).or_insert(rule);
            }
        }
        for name in &written.parameters {
            let rule = self.rule(vendor, &mut lines, name);
            self.parameters.entry(name.get_ref().clone()).or_insert(rule);
        }
        for name in &written.globals {
            let rule = self.rule(vendor, &mut lines, name);
            self.globals.push((name.get_ref().clone(), rule));
        }
        for key in &written.storage {
            if !is_pattern(key.get_ref()) {
                mistakes.push(at(file, key, "a name is exact or holds one `*`"));
                continue;
            }
            let rule = self.rule(vendor, &mut lines, key);
            self.storage.insert(key.get_ref(), necessary, rule);
        }
        // These are acted on in the browser only; they are kept so that the
        // file is read as a whole.
        for name in written.databases.iter().chain(&written.caches) {
            if !is_pattern(name.get_ref()) {
                mistakes.push(at(file, name, "a name is exact or holds one `*`"));
            }
            let _ = self.rule(vendor, &mut lines, name);
        }
        // A worker's file is the vendor's on the own host, too.
        for name in &written.workers {
            let rule = self.rule(vendor, &mut lines, name);
            let inserted = if is_pattern(name.get_ref()) && !name.get_ref().contains('/') {
                self.own_paths.insert(&format!("*/{}", name.get_ref()), necessary, rule)
            } else {
                Err("")
            };
            if inserted.is_err() {
                let mistake = at(file, name, "a worker is named by its file, without a `*`");
                mistakes.push(mistake.advise("write `worker.js`, whatever directory it is in"));
            }
        }
    }

    fn host_rule(
        &mut self,
        pattern: HostPattern,
        stand_in: Option<&str>,
        necessary: bool,
        rule: RuleIndex,
    ) {
        let stood_in = stand_in.map(|suffix| {
            let host = format!("{}{suffix}", pattern.host);
            HostPattern { host, ..pattern.clone() }
        });
        for pattern in stood_in.into_iter().chain([pattern]) {
            // A later file knows better; ours speak as one.
            let (rules, theirs) = (&self.rules, &self.theirs);
            if let Some(file) = file_of(rules, theirs, rule) {
                self.hosts.correct(&pattern, |other| file_of(rules, theirs, other) < Some(file));
            }
            self.hosts.insert(pattern, necessary, rule);
        }
    }

    /// One more host of a vendor, after all vendors are known.
    fn host(
        &mut self,
        file: &SourceFile,
        written: &WrittenHost,
        stand_in: Option<&str>,
        mistakes: &mut Vec<Mistake>,
    ) {
        let id = written.vendor.get_ref();
        let Some(vendor) = self.vendors.iter().position(|vendor| vendor.id == *id) else {
            let mistake = at(file, &written.vendor, format!("no vendor has the id `{id}`"));
            let ids = self.vendors.iter().map(|vendor| vendor.id.as_str());
            return mistakes.push(match closest(id, ids) {
                Some(meant) => mistake.advise(format!("did you mean `{meant}`?")),
                None => mistake,
            });
        };
        let necessary =
            self.vendors.get(vendor).is_some_and(|vendor| vendor.purpose == Purpose::Necessary);
        match HostPattern::read(written.name.get_ref()) {
            Ok(pattern) => {
                let rule = self.rule(vendor, &mut Lines::new(file), &written.name);
                self.host_rule(pattern, stand_in, necessary, rule);
            }
            Err(message) => mistakes.push(at(file, &written.name, message)),
        }
    }

    fn rule(
        &mut self,
        vendor: usize,
        lines: &mut Lines<'_>,
        written: &Spanned<String>,
    ) -> RuleIndex {
        let index = RuleIndex::try_from(self.rules.len()).unwrap_or(RuleIndex::MAX);
        let place = lines.place(written.span().start);
        self.rules.push(Rule { vendor, place, text: written.get_ref().clone() });
        index
    }

    fn finish(self) -> Result<Catalogue, Vec<Mistake>> {
        let vendors = self.rules.iter().map(|rule| rule.vendor).collect();
        let Some(inline) = Signatures::compile(&self.signatures, &self.hosts, vendors) else {
            return Err(vec![Mistake::in_file(
                "catalogue",
                "too many inline signatures to compile",
            )]);
        };
        let Some(scripts) = Scripts::compile(&self.scripts) else {
            return Err(vec![Mistake::in_file(
                "catalogue",
                "too many script signatures to compile",
            )]);
        };
        let mut vendor_hosts: HashMap<usize, Vec<String>> = HashMap::new();
        for (pattern, rule) in self.hosts.rules().filter(|(pattern, _)| pattern.path.is_empty()) {
            if let Some(rule) = self.rules.get(rule as usize) {
                let hosts = vendor_hosts.entry(rule.vendor).or_default();
                hosts.push(pattern.host.clone());
                if !pattern.exact {
                    hosts.push(format!("*.{}", pattern.host));
                }
            }
        }
        for hosts in vendor_hosts.values_mut() {
            hosts.sort();
            hosts.dedup();
        }
        let ids = self.vendors.iter().enumerate().rev();
        Ok(Catalogue {
            vendor_hosts,
            by_id: ids.map(|(at, vendor)| (vendor.id.clone(), at)).collect(),
            vendors: self.vendors,
            rules: self.rules,
            hosts: self.hosts,
            own_paths: self.own_paths,
            inline,
            scripts,
            cookies: self.cookies,
            storage: self.storage,
            request_headers: self.request_headers,
            response_headers: self.response_headers,
            parameters: self.parameters,
            globals: self.globals,
            lists: None,
        })
    }
}

/// Which of the operator's files a rule stands in; none for ours.
fn file_of(rules: &[Rule], theirs: &[String], rule: RuleIndex) -> Option<usize> {
    let file = &rules.get(rule as usize)?.place.file;
    theirs.iter().position(|name| **name == **file)
}

/// Turns byte offsets into lines; offsets mostly come in rising order.
struct Lines<'f> {
    file: Arc<str>,
    text: &'f str,
    offset: usize,
    line: u32,
}

impl<'f> Lines<'f> {
    fn new(file: &'f SourceFile) -> Self {
        Self { file: Arc::from(file.name.as_str()), text: &file.text, offset: 0, line: 1 }
    }

    fn place(&mut self, offset: usize) -> Place {
        if offset < self.offset {
            (self.offset, self.line) = (0, 1);
        }
        let between = self.text.get(self.offset..offset).unwrap_or_default();
        self.line +=
            u32::try_from(memchr::memchr_iter(b'\n', between.as_bytes()).count()).unwrap_or(0);
        self.offset = offset;
        Place { file: Arc::clone(&self.file), line: self.line }
    }
}

fn at<T>(file: &SourceFile, written: &Spanned<T>, message: impl Into<String>) -> Mistake {
    Mistake::at(&file.name, &file.text, written.span().start, message)
}

fn read_purposes(
    file: &SourceFile,
    written: &WrittenVendor,
) -> Result<(PurposeSet, Purpose), Mistake> {
    let mut purposes = PurposeSet::EMPTY;
    let mut main = None;
    for name in written.purposes.get_ref() {
        let Some(purpose) = Purpose::from_name(name.get_ref()) else {
            let known = Purpose::ALL.map(Purpose::name);
            let mistake = at(file, name, format!("unknown purpose `{}`", name.get_ref()));
            return Err(match closest(name.get_ref(), known.into_iter()) {
                Some(meant) => mistake.advise(format!("did you mean `{meant}`?")),
                None => mistake.advise(format!("the purposes are {}", known.join(", "))),
            });
        };
        main.get_or_insert(purpose);
        purposes = purposes.with(purpose);
    }
    let Some(main) = main else {
        return Err(at(file, &written.purposes, "a vendor has at least one purpose"));
    };
    if purposes.contains(Purpose::Necessary) && purposes != PurposeSet::NECESSARY {
        return Err(at(file, &written.purposes, "what is necessary has no other purpose")
            .advise("leave out `necessary`, or split the vendor in two"));
    }
    Ok((purposes, main))
}

fn check_reason(
    file: &SourceFile,
    written: &WrittenVendor,
    necessary: bool,
) -> Result<(), Mistake> {
    let has_reason = written.reason.as_deref().is_some_and(|reason| !reason.trim().is_empty());
    match (necessary, has_reason) {
        (true, false) => Err(at(file, &written.id, "a necessary vendor needs a `reason`")
            .advise("say why the site cannot do what the visitor asked for without it")),
        (false, true) => Err(at(file, &written.id, "`reason` is for what is necessary only")),
        (true, true) | (false, false) => Ok(()),
    }
}

fn is_pattern(text: &str) -> bool {
    !text.is_empty() && text != "*" && text.matches('*').count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> String {
        let file = SourceFile { name: "own.toml".into(), text: text.into() };
        Catalogue::compile(&[file]).unwrap_err().iter().map(|m| m.to_string() + "\n").collect()
    }

    const HEAD: &str = "[[vendor]]\nid = 'acme'\nname = 'Acme'\nowner = 'Acme'\nabout = 'Ads.'\nsource = 'https://acme.example'\n";

    #[test]
    fn every_mistake_is_shown_where_it_stands() {
        for (rest, expected) in [
            ("purposes = ['marketting']", "own.toml:7:13: unknown purpose `marketting`"),
            ("purposes = []", "own.toml:7:12: a vendor has at least one purpose"),
            ("purposes = ['necessary']", "own.toml:2:6: a necessary vendor needs a `reason`"),
            (
                "purposes = ['marketing']\nhosts = ['https://acme.example']",
                "own.toml:8:10: `https:` is no host name",
            ),
            (
                "purposes = ['marketing']\nhosts = ['acme.example as skript']",
                "unknown kind `skript`",
            ),
            (
                "purposes = ['marketing']\ninline = ['acme( \"x\")']",
                "own.toml:8:11: this signature can never match",
            ),
            ("purposes = ['marketing']\nhost = ['acme.example']", "did you mean `hosts`?"),
        ] {
            let shown = mistakes(&format!("{HEAD}{rest}\n"));
            assert!(shown.contains(expected), "{rest}: {shown}");
        }
    }

    #[test]
    fn an_operators_file_corrects_ours() {
        let ours = SourceFile {
            name: "a".into(),
            text: format!("{HEAD}purposes = ['marketing']\ncookies = ['a']\n"),
        };
        let theirs = SourceFile {
            name: "b".into(),
            text: format!("{HEAD}purposes = ['analytics']\ncookies = ['b']\n"),
        };
        let catalogue = Catalogue::compile(&[ours, theirs]).unwrap();
        assert_eq!(catalogue.vendors().count(), 1);
        assert_eq!(catalogue.vendor("acme").unwrap().purpose, Purpose::Analytics);
    }

    #[test]
    fn a_host_that_was_found_later_is_its_vendors() {
        let ours =
            SourceFile { name: "a".into(), text: format!("{HEAD}purposes = ['marketing']\n") };
        let theirs = SourceFile {
            name: "b".into(),
            text: "[[host]]\nname = 'px.acme.example'\nvendor = 'acme'\n".into(),
        };
        let catalogue = Catalogue::compile(&[theirs, ours]).unwrap();
        let url = url::Url::parse("https://a.px.acme.example/p.js").unwrap();
        let subject =
            crate::catalogue::Subject::Load { kind: crate::catalogue::Kind::Script, url: &url };
        let found = catalogue.identify(subject).unwrap();
        assert_eq!((found.vendor.id.as_str(), found.place.to_string().as_str()), ("acme", "b:2"));
        for (text, expected) in [
            (
                "[[host]]\nname = 'px.acme.example'\nvendor = 'acmee'",
                "own.toml:10:10: no vendor has the id `acmee`",
            ),
            (
                "[[host]]\nname = 'https://x'\nvendor = 'acme'",
                "own.toml:9:8: `https:` is no host name",
            ),
        ] {
            let shown = mistakes(&format!("{HEAD}purposes = ['marketing']\n{text}"));
            assert!(shown.contains(expected), "{shown}");
        }
    }
}
