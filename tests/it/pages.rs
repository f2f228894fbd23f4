//! Runs every `tests/pages/*.page`: what a visitor sees of a page, and what the
//! ledger says about it.
//!
//! A page file is a promise in words, up to the first empty line, and sections
//! that each begin with a line of their own:
//!
//! ```text
//! An ad script is withheld until the visitor agrees to marketing.
//!
//! == consent
//! nothing
//! == page
//! <p>Hello</p><script src="https://ads.acme.example/p.js"></script>
//! == visitor sees
//! <p>Hello</p><script type="text/plain" ...></script>
//! == ledger
//! block marketing Acme Ads script ads.acme.example/p.js
//! ```
//!
//! `consent` is `nothing`, `refused` or `granted: analytics, marketing`. `url`
//! (otherwise `https://shop.example/page`) and `charset` (otherwise UTF-8; the
//! page is written here in UTF-8 and encoded on the way) may be left out. Where
//! nothing changes, `visitor sees the page as it is` stands without text.
//!
//! A section's text is the lines between two headings: line feeds between them
//! belong to it, the one before the next heading (or at the end of the file)
//! does not. A page that ends with a line feed has an empty line at its end.
//!
//! Every page runs in every chunk size (a long one in some), and each must give
//! the same bytes and decisions. `UPDATE=1 cargo test --test it pages` rewrites
//! the expectations; the diff is the review.

use crate::harness::CATALOGUE;

use consentry::catalogue::{Catalogue, SourceFile};
use consentry::consent::Consent;
use consentry::enforce::html::{PageContext, Rewriter};
use consentry::policy::{Basis, Decision, Grounds, Policy, Unlisted, Verdict};
use consentry::purpose::{Purpose, PurposeSet};
use encoding_rs::{Encoding, UTF_8};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use url::Url;

/// Up to here a page runs in every chunk size.
const SHORT_BYTES: usize = 300;

/// The chunk sizes of longer pages, besides the whole.
const SIZES: [usize; 6] = [1, 2, 3, 7, 64, 1000];

/// The vendors of the tests on top of the embedded ones.
pub(crate) static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let mut files = SourceFile::embedded();
    files.push(SourceFile { name: "vendors.toml".to_owned(), text: CATALOGUE.to_owned() });
    Policy::new(Arc::new(Catalogue::compile(&files).unwrap()), Unlisted::Observe, &[])
});

/// What a page of `url` is judged by.
pub(crate) fn context(url: &Url, consent: Consent, enforcing: bool) -> Arc<PageContext> {
    Arc::new(PageContext {
        policy: POLICY.clone().into(),
        consent,
        before: None,
        host: url.host_str().unwrap_or_default().to_owned(),
        url: url.clone(),
        enforcing,
        guarded: false,
        placeholders: consentry::enforce::html::Placeholders::plain("/.consentry/choices"),
        appended: String::new(),
        opening: None,
        memory_bytes: 8 * 1024 * 1024,
        others: consentry::enforce::html::OtherTools::default(),
    })
}

/// What comes of a page that arrives in chunks of `size`: the bytes, and the
/// decisions in the order they were taken.
pub(crate) fn rewrite(
    context: &Arc<PageContext>,
    encoding: &'static Encoding,
    page: &[u8],
    size: usize,
) -> (Vec<u8>, Vec<Decision>) {
    let mut rewriter = Rewriter::new(Arc::clone(context), encoding);
    let mut out = Vec::new();
    for chunk in page.chunks(size.max(1)) {
        out.extend(rewriter.write(chunk).unwrap());
    }
    out.extend(rewriter.finish().unwrap());
    (out, rewriter.take_decisions().iter().cloned().collect())
}

/// A decision as the tests write it down.
pub(crate) fn line(decision: &Decision) -> String {
    let purpose = match decision.verdict {
        Verdict::Allow(Basis::Granted(purpose)) | Verdict::Block(Grounds::NotGranted(purpose)) => {
            Some(purpose)
        }
        Verdict::Allow(_) | Verdict::Block(_) => {
            decision.vendor.as_ref().map(|vendor| vendor.purpose)
        }
    };
    format!(
        "{} {} {} {} {}",
        decision.verdict.word(),
        purpose.map_or("-", Purpose::name),
        decision.vendor.as_ref().map_or("-", |vendor| &vendor.name),
        decision.kind.name(),
        decision.what
    )
}

#[test]
fn every_page_file_keeps_its_promise() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "page"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let update = std::env::var_os("UPDATE").is_some();
    let (one, other) = files.split_at(files.len() / 2);
    let mut failures: Vec<String> = std::thread::scope(|scope| {
        let threads = [one, other].map(|half| {
            scope.spawn(move || {
                half.iter().filter_map(|file| check(file, update).err()).collect::<Vec<_>>()
            })
        });
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    failures.sort();
    assert!(
        failures.is_empty(),
        "{} of {} page files fail\n\n{}",
        failures.len(),
        files.len(),
        failures.join("\n")
    );
}

fn check(path: &Path, update: bool) -> Result<(), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let wrong = |what: String| format!("--- {name}: {what}");
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let file = PageFile::read(&text).map_err(wrong)?;
    let wrong = |what: String| format!("--- {name}: {}\n{what}", file.promise);

    let context = context(&file.url, file.consent.clone(), true);
    let (page, _, unmappable) = file.charset.encode(&file.page);
    if unmappable {
        return Err(wrong(format!("the page cannot be written in {}\n", file.charset.name())));
    }
    let (whole, decisions) = rewrite(&context, file.charset, &page, page.len());
    let sizes = if page.len() <= SHORT_BYTES { (1..page.len()).collect() } else { SIZES.to_vec() };
    for size in sizes {
        let (bytes, others) = rewrite(&context, file.charset, &page, size);
        if bytes != whole {
            return Err(wrong(format!(
                "in pieces of {size} bytes something else comes out\n{}",
                show(&whole, &bytes)
            )));
        }
        if others != decisions {
            return Err(wrong(format!("in pieces of {size} bytes something else is decided\n")));
        }
    }
    let (seen, _) = file.charset.decode_without_bom_handling(&whole);
    let ledger: Vec<String> = decisions.iter().map(line).collect();
    if update {
        let updated = file.with(&seen, &ledger);
        return std::fs::write(path, updated).map_err(|error| wrong(error.to_string()));
    }
    if file.seen.as_deref().unwrap_or(&file.page) != seen || (file.seen.is_none() && whole != *page)
    {
        let expected = file.seen.as_deref().unwrap_or(&file.page);
        return Err(wrong(show(expected.as_bytes(), seen.as_bytes())));
    }
    if file.ledger != ledger {
        return Err(wrong(show(file.ledger.join("\n").as_bytes(), ledger.join("\n").as_bytes())));
    }
    Ok(())
}

fn show(expected: &[u8], found: &[u8]) -> String {
    format!("expected  {}\nfound     {}\n", expected.escape_ascii(), found.escape_ascii())
}

/// A page file, taken apart.
struct PageFile {
    promise: String,
    /// Everything up to the expectations, as it stands in the file.
    given: String,
    consent: Consent,
    url: Url,
    charset: &'static Encoding,
    page: String,
    /// `None` when the page is to arrive as it is.
    seen: Option<String>,
    ledger: Vec<String>,
}

impl PageFile {
    fn read(text: &str) -> Result<Self, String> {
        let promise = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        if promise.starts_with("==") || !promise.ends_with('.') {
            return Err("it begins with a promise: a sentence and an empty line\n".to_owned());
        }
        let mut file = Self {
            promise,
            given: String::new(),
            consent: Consent::silent(),
            url: Url::parse("https://shop.example/page").map_err(|error| error.to_string())?,
            charset: UTF_8,
            page: String::new(),
            seen: None,
            ledger: Vec::new(),
        };
        let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            match line.strip_prefix("== ").filter(|heading| HEADINGS.contains(heading)) {
                Some(heading) => sections.push((heading, Vec::new())),
                None => sections.last_mut().into_iter().for_each(|(_, lines)| lines.push(line)),
            }
        }
        for (heading, lines) in sections {
            let text = lines.join("\n");
            match heading {
                "consent" => file.consent = read_consent(&text)?,
                "url" => file.url = Url::parse(&text).map_err(|error| error.to_string())?,
                "charset" => {
                    file.charset = Encoding::for_label(text.as_bytes())
                        .ok_or(format!("no charset {text}\n"))?;
                }
                "page" => file.page = text,
                "visitor sees" => file.seen = Some(text),
                "ledger" => file.ledger = lines.iter().map(|line| (*line).to_owned()).collect(),
                _ => {}
            }
        }
        let end = text
            .find("\n== visitor sees")
            .or_else(|| text.find("\n== ledger"))
            .unwrap_or(text.trim_end().len());
        file.given = text.get(..end).unwrap_or_default().to_owned();
        Ok(file)
    }

    fn with(&self, seen: &str, ledger: &[String]) -> String {
        let mut out = format!("{}\n", self.given);
        if seen == self.page {
            out.push_str("== visitor sees the page as it is\n");
        } else {
            let _ = writeln!(out, "== visitor sees\n{seen}");
        }
        if !ledger.is_empty() {
            let _ = writeln!(out, "== ledger\n{}", ledger.join("\n"));
        }
        out
    }
}

const HEADINGS: [&str; 7] = [
    "consent",
    "url",
    "charset",
    "page",
    "visitor sees",
    "visitor sees the page as it is",
    "ledger",
];

fn read_consent(text: &str) -> Result<Consent, String> {
    match text {
        "nothing" => Ok(Consent::silent()),
        "refused" => Ok(Consent::chosen(PurposeSet::EMPTY)),
        _ => {
            let list =
                text.strip_prefix("granted: ").ok_or(format!("no such consent: {text}\n"))?;
            let mut granted = PurposeSet::EMPTY;
            for name in list.split(", ") {
                granted = granted
                    .with(Purpose::from_name(name).ok_or(format!("no such purpose: {name}\n"))?);
            }
            Ok(Consent::chosen(granted))
        }
    }
}
