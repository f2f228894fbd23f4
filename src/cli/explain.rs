//! `consentry explain`: the verdict on one thing, and how to change it.

mod signals;

use crate::catalogue::{Identity, Kind, Subject, Vendor};
use crate::cli::{CONFIGURATION, FINE};
use crate::config::{self, KeyMode, Overrides};
use crate::consent::Consent;
use crate::enforce::html::{PageContext, Rewriter};
use crate::policy::{Basis, Decision, Exception, Grounds, Policy, Ruling, Verdict};
use crate::purpose::{Purpose, PurposeSet};

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

/// What to explain, for whom.
#[derive(clap::Args, Debug)]
pub struct ExplainArgs {
    /// An address, a cookie's name, a header's name, a URL parameter, or HTML;
    /// with --header it may be left out
    #[arg(value_name = "URL | COOKIE | HEADER | HTML", required_unless_present = "header")]
    pub subject: Option<String>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A catalogue file of your own; may be given several times
    #[arg(long, value_name = "PATH")]
    pub catalogue: Vec<PathBuf>,
    /// The site's host, to tell its own addresses from others; by default the
    /// first in the configuration
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Purposes the visitor granted, separated by commas; none by default
    #[arg(long, value_name = "PURPOSES", value_delimiter = ',')]
    pub granted: Vec<String>,
    /// A field that the browser sends, such as "Cookie: ..." or "Sec-GPC: 1";
    /// may be given several times. Then the visitor granted what these say,
    /// and every signal in them is explained
    #[arg(long, value_name = "NAME: VALUE", conflicts_with = "granted")]
    pub header: Vec<String>,
    /// The path of the page it is on, for routes and exceptions
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub page: String,
    /// What an address would be loaded as
    #[arg(long, value_name = "KIND", default_value = "script")]
    pub kind: String,
}

/// How a catalogue file of the operator's gets heard.
const NAME_THE_FILE: &str = "name the file under [catalogue] `files`, or with --catalogue FILE";

/// Explains; the exit code.
///
/// # Errors
/// When writing fails.
pub fn run(args: &ExplainArgs, out: &mut dyn Write) -> io::Result<i32> {
    let granted: Option<PurposeSet> =
        args.granted.iter().map(|name| Purpose::from_name(name)).collect();
    let Some(granted) = granted else {
        writeln!(
            out,
            "unknown purpose; the purposes are functional, analytics, personalization and marketing"
        )?;
        return Ok(CONFIGURATION);
    };
    let Some(kind) = Kind::from_name(&args.kind).filter(|kind| crate::policy::is_load(*kind))
    else {
        writeln!(
            out,
            "unknown kind `{}`; an address is loaded as script, frame, image, style, font, media, object, hint or connect",
            args.kind
        )?;
        return Ok(CONFIGURATION);
    };
    let overrides = Overrides {
        catalogue: args.catalogue.clone(),
        // What is not in front of an origin can be explained all the same.
        origin: args.config.is_none().then(|| "http://127.0.0.1:3000".to_owned()),
        ..Overrides::default()
    };
    let compiled = match config::load(
        args.config.as_deref(),
        config::environment(),
        &overrides,
        KeyMode::CheckOnly,
    ) {
        Ok(compiled) => compiled,
        Err(mistakes) => {
            for mistake in mistakes {
                writeln!(out, "{mistake}")?;
            }
            return Ok(CONFIGURATION);
        }
    };
    let found = match &args.host {
        Some(host) => compiled.sites.find(host),
        None => compiled.sites.iter().next(),
    };
    let Some(site) = found else {
        writeln!(out, "no site in the configuration answers to that host")?;
        return Ok(CONFIGURATION);
    };
    let first = site.hosts.first().map_or("site.invalid", String::as_str);
    let host = args.host.as_deref().unwrap_or(first);
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let rules = site.rules(&args.page, today, || 0);
    let consent = if args.header.is_empty() {
        Consent::chosen(granted)
    } else {
        match signals::explain(&args.header, site, host, out)? {
            Some(consent) => consent,
            None => return Ok(CONFIGURATION),
        }
    };
    let Some(subject) = args.subject.as_deref().map(str::trim) else { return Ok(FINE) };
    if !args.header.is_empty() {
        writeln!(out)?;
    }
    if rules.by_lot {
        writeln!(
            out,
            "share     what follows is carried out for a share of the visitors who say nothing, and only recorded for the others (enforce_share)\n"
        )?;
    }
    let explained = Explained { policy: &rules.policy, consent: &consent, host };
    if subject.starts_with('<') {
        explained.html(subject, out)?;
    } else if let Some(url) =
        read_url(subject).filter(|_| subject.starts_with("//") || !explained.is_name(subject))
    {
        explained.url(&url, kind, out)?;
    } else {
        explained.name(subject, out)?;
    }
    Ok(FINE)
}

/// An address, also without a scheme; a bare word is none.
fn read_url(text: &str) -> Option<Url> {
    if text.contains("://") {
        return Url::parse(text).ok();
    }
    if let Some(rest) = text.strip_prefix("//") {
        return Url::parse(&format!("https://{rest}")).ok();
    }
    let host = text.split(['/', '?']).next().unwrap_or_default();
    let looks_like_host = host.contains('.')
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'))
        && host
            .rsplit('.')
            .next()
            .is_some_and(|top| top.bytes().all(|b| b.is_ascii_alphabetic()) && top.len() > 1);
    looks_like_host.then(|| Url::parse(&format!("https://{text}")).ok()).flatten()
}

/// Everything a bare word may name; `lower` is the same in lower case.
fn names<'n>(name: &'n str, lower: &'n str) -> [(&'static str, Subject<'n>); 5] {
    [
        ("the cookie", Subject::Cookie(name)),
        ("the request header", Subject::RequestHeader(lower)),
        ("the response header", Subject::ResponseHeader(lower)),
        ("the URL parameter", Subject::Parameter(name)),
        ("the path on the site's own host", Subject::OwnPath(name)),
    ]
}

struct Explained<'a> {
    policy: &'a Arc<Policy>,
    consent: &'a Consent,
    host: &'a str,
}

impl Explained<'_> {
    fn url(&self, url: &Url, kind: Kind, out: &mut dyn Write) -> io::Result<()> {
        let ruling = self.ruling(Subject::Load { kind, url });
        self.show(&format!("the address {url}, loaded as {}", kind.name()), &ruling, out)?;
        for (name, _) in url.query_pairs() {
            let ruling = self.ruling(Subject::Parameter(&name));
            if ruling.is_known() {
                writeln!(out)?;
                self.show(&format!("the URL parameter {name}"), &ruling, out)?;
            }
        }
        Ok(())
    }

    /// Whether somebody claims `text` as a name: `rack.session` could be read
    /// as an address, too.
    fn is_name(&self, text: &str) -> bool {
        let lower = text.to_ascii_lowercase();
        names(text, &lower).into_iter().any(|(_, subject)| self.ruling(subject).is_known())
    }

    fn ruling(&self, subject: Subject<'_>) -> Ruling<'_> {
        self.policy.decide(subject, self.host, self.consent)
    }

    /// A bare word may name several things; each one that anybody claims is
    /// shown.
    fn name(&self, name: &str, out: &mut dyn Write) -> io::Result<()> {
        let lower = name.to_ascii_lowercase();
        let mut shown = false;
        for (what, subject) in names(name, &lower) {
            let ruling = self.ruling(subject);
            if ruling.is_known() {
                if shown {
                    writeln!(out)?;
                }
                shown = true;
                self.show(&format!("{what} {name}"), &ruling, out)?;
            }
        }
        if !shown {
            let ruling = Ruling {
                verdict: Verdict::Allow(Basis::FirstParty),
                identity: None,
                exception: None,
            };
            self.show(&format!("the cookie, header or parameter {name}"), &ruling, out)?;
        }
        Ok(())
    }

    fn html(&self, html: &str, out: &mut dyn Write) -> io::Result<()> {
        let Ok(url) = Url::parse(&format!("https://{}/", self.host)) else { return Ok(()) };
        let context = PageContext {
            policy: Arc::clone(self.policy),
            consent: self.consent.clone(),
            before: None,
            host: self.host.to_owned(),
            url,
            enforcing: true,
            guarded: false,
            placeholders: crate::enforce::html::Placeholders::plain("/.consentry/choices"),
            appended: String::new(),
            opening: None,
            memory_bytes: 8 * 1024 * 1024,
            others: crate::enforce::html::OtherTools::default(),
        };
        let mut rewriter = Rewriter::new(Arc::new(context), encoding_rs::UTF_8);
        let rewritten = rewriter.write(html.as_bytes()).and_then(|mut bytes| {
            bytes.extend(rewriter.finish()?);
            Ok(bytes)
        });
        let decisions = rewriter.take_decisions();
        if decisions.is_empty() {
            writeln!(
                out,
                "nothing in it belongs to anybody in the catalogue, and nothing in it loads from another site: it passes byte for byte"
            )?;
        }
        for decision in decisions.iter() {
            self.decision(decision, out)?;
            writeln!(out)?;
        }
        match rewritten {
            Ok(bytes) if rewriter.changed() => {
                writeln!(out, "what the visitor gets:")?;
                out.write_all(&bytes)?;
                writeln!(out)
            }
            Ok(_) => Ok(()),
            Err(error) => {
                writeln!(out, "it cannot be rewritten, so it would not be passed on: {error}")
            }
        }
    }

    fn decision(&self, decision: &Decision, out: &mut dyn Write) -> io::Result<()> {
        match decision.kind {
            Kind::Inline => {
                writeln!(out, "subject   an inline script, known by {}", decision.what)?
            }
            kind => writeln!(out, "subject   the {} {}", kind.name(), decision.what)?,
        }
        writeln!(out, "verdict   {}", decision.verdict.word())?;
        writeln!(out, "why       {}", self.why(decision.verdict))?;
        if let Some(exception) = &decision.exception {
            Self::exception(exception, out)?;
        }
        let place = decision.rule.as_ref().map(ToString::to_string).unwrap_or_default();
        match &decision.vendor {
            Some(vendor) => Self::vendor(vendor, &place, out),
            None => {
                writeln!(out, "change    describe it in a [[vendor]] of your own; {NAME_THE_FILE}")
            }
        }
    }

    fn show(&self, what: &str, ruling: &Ruling<'_>, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "subject   {what}")?;
        writeln!(out, "verdict   {}", ruling.verdict.word())?;
        writeln!(out, "why       {}", self.why(ruling.verdict))?;
        if let Some(exception) = ruling.exception {
            Self::exception(exception, out)?;
        }
        match &ruling.identity {
            Some(Identity { vendor, place, rule }) => {
                let silent = self.policy.decide_vendor(vendor, &Consent::silent());
                if matches!(silent, Verdict::Allow(basis) if basis.is_observed()) {
                    writeln!(out, "silence   {}", self.why(silent))?;
                }
                Self::vendor(vendor, &format!("{rule} at {place}"), out)
            }
            None => {
                writeln!(out, "change    describe it in a [[vendor]] of your own; {NAME_THE_FILE}")
            }
        }
    }

    fn exception(exception: &Exception, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "exception {} at {}", exception.reason, exception.place)?;
        writeln!(out, "owner     {}", exception.owner)?;
        writeln!(out, "expires   {}, at the end of the day (UTC)", exception.expires)
    }

    fn vendor(vendor: &Vendor, rule: &str, out: &mut dyn Write) -> io::Result<()> {
        let purposes: Vec<_> = vendor.purposes.iter().map(Purpose::name).collect();
        writeln!(out, "vendor    {} ({}), id {}", vendor.name, vendor.owner, vendor.id)?;
        writeln!(out, "purpose   {}", purposes.join(", "))?;
        writeln!(out, "what for  {}", vendor.about)?;
        if !vendor.reason.is_empty() {
            writeln!(out, "reason    {}", vendor.reason)?;
        }
        writeln!(out, "rule      {rule}")?;
        writeln!(out, "source    {}", vendor.source)?;
        writeln!(
            out,
            "change    a [[vendor]] with id = \"{}\" in a file of your own replaces this one; {NAME_THE_FILE}",
            vendor.id
        )
    }

    fn why(&self, verdict: Verdict) -> String {
        let granted = self.consent.granted();
        match verdict {
            Verdict::Allow(Basis::Necessary) => "the site cannot work without it".to_owned(),
            Verdict::Allow(Basis::Granted(purpose)) => format!("the visitor granted {purpose}"),
            Verdict::Allow(Basis::FirstParty) => "nobody in the catalogue claims it, and it belongs to the site itself".to_owned(),
            Verdict::Allow(Basis::Unlisted) => "nobody in the catalogue claims it, and the site lets unlisted third parties pass (site.unlisted)".to_owned(),
            Verdict::Block(Grounds::NotGranted(purpose)) => format!("the visitor did not grant {purpose} (granted class: {})", granted.class()),
            Verdict::Block(Grounds::Unlisted) => "nobody in the catalogue claims it, and the site withholds unlisted third parties (site.unlisted)".to_owned(),
            Verdict::Allow(Basis::VendorAllowed) => "the visitor agreed to this very vendor".to_owned(),
            Verdict::Allow(Basis::AskedFor) => "the visitor asked for it, this once".to_owned(),
            Verdict::Block(Grounds::VendorRefused(_)) => "the visitor refused this very vendor".to_owned(),
            Verdict::Allow(Basis::Observed(purpose)) => format!("the visitor said nothing about {purpose}, and verdicts on this vendor are only recorded (site.observe_vendors, site.enforce_vendors)"),
            Verdict::Allow(Basis::SafeMode) => "only a filter list knows it, and the page is in safe mode".to_owned(),
            Verdict::Allow(Basis::Unfiltered) => "it could not be read, and danger.pass_unfilterable lets such pages pass".to_owned(),
            Verdict::Allow(Basis::Exception) | Verdict::Block(Grounds::Exception) => "an exception says so".to_owned(),
            Verdict::Block(Grounds::Unreadable) => "it cannot be judged, so it is not let through".to_owned(),
        }
    }
}
