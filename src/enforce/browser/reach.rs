//! What one page's browser may load from, and the policy that says so.
//!
//! A Content-Security-Policy can only name what may load. A list for the whole
//! web would be useless and a bare `'self'` breaks pages, so every page gets
//! its own: the addresses in it that were let through, the hosts that its code
//! and data name and nobody objects to, the other hosts of the vendors it
//! uses, and what the site's earlier pages taught us. It is one more policy
//! beside the site's own, and browsers enforce all of them, so it never
//! loosens anything.

use crate::catalogue::{Kind, Subject, Vendor};
use crate::enforce::browser::consent_mode;
use crate::enforce::browser::lacks::Lacks;
use crate::enforce::browser::memory::Memory;
use crate::enforce::browser::named::authorities;
use crate::enforce::html::PageContext;
use crate::policy::{is_first_party, registrable};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use url::{Position, Url};

/// The directives that say what may load, and the kind each is about
/// (Content Security Policy Level 3, section 6.1).
const DIRECTIVES: [(&str, Kind); 8] = [
    ("script-src", Kind::Script),
    ("style-src", Kind::Style),
    ("img-src", Kind::Image),
    ("font-src", Kind::Font),
    ("media-src", Kind::Media),
    ("connect-src", Kind::Connect),
    ("frame-src", Kind::Frame),
    ("object-src", Kind::Object),
];

/// What every directive allows: the site itself and what carries no address
/// of anybody else. What runs in the page was judged where it stands, so
/// inline code is not this policy's business.
const ALWAYS: &str = "'self' 'unsafe-inline' 'unsafe-eval' data: blob: filesystem: mediastream:";

/// Servers in front of us take heads of 8 KiB, so one field may not fill it.
const MAX_HEADER_BYTES: usize = 5 * 1024;

/// How many of a vendor's hosts, and of its owner's other vendors, come along
/// with the one a page names: a tag manager loads its owner's analytics.
const MAX_VENDOR_HOSTS: usize = 60;

/// How many addresses of one page are kept.
const MAX_LOADS: usize = 600;

/// What may be loaded from a host: one bit a directive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Uses(u8);

impl Uses {
    const ALL: Self = Self(u8::MAX);

    fn of(kind: Kind) -> Self {
        let at = DIRECTIVES.iter().position(|(_, directive)| *directive == kind);
        Self(at.map_or(0, |at| 1 << at))
    }

    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a page was seen to load, while it was rewritten.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// By authority and directory; whether once as `http:`.
    loads: BTreeMap<(String, String), (Uses, bool)>,
    vendors: BTreeMap<String, (Arc<Vendor>, Option<u16>)>,
    /// Whether a script is left that runs.
    pub(crate) runs: bool,
    /// What it does without.
    pub(crate) lacks: Lacks,
    /// What was taken down last, which is often the same: an address up to its
    /// last slash.
    last: (String, Uses),
}

impl Reach {
    /// Takes down that an address may load.
    pub(crate) fn allow(&mut self, kind: Kind, url: &Url, vendor: Option<&Arc<Vendor>>) {
        let uses = Uses::of(kind);
        if self.loads.len() >= MAX_LOADS {
            return;
        }
        if uses == Uses::default() {
            // A hint does not say what it is for: the host is named.
            return self.note(url);
        }
        let address = &url[..Position::AfterPath];
        let place = address.rfind('/').and_then(|end| address.get(..=end)).unwrap_or_default();
        let (last, last_uses) = &mut self.last;
        if vendor.is_none() && last == place && last_uses.has(uses) {
            return;
        }
        let Some(authority) = authority(url) else { return };
        place.clone_into(last);
        *last_uses = uses;
        let path = url.path();
        let directory = path.rfind('/').and_then(|end| path.get(..=end)).unwrap_or("/");
        let known = self.loads.entry((authority, directory.to_owned())).or_default();
        *known = (known.0.with(uses), known.1 || matches!(url.scheme(), "http" | "ws"));
        if let Some(vendor) = vendor {
            let with_port = || (Arc::clone(vendor), url.port());
            self.vendors.entry(vendor.id.clone()).or_insert_with(with_port);
        }
    }

    /// Takes down that a host was named.
    fn note(&mut self, url: &Url) {
        if let Some(authority) = authority(url) {
            self.loads.entry((authority, "/".to_owned())).or_default();
        }
    }

    /// Takes over what another part of the page was seen to load.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (place, (uses, plain)) in other.loads {
            let known = self.loads.entry(place).or_default();
            *known = (known.0.with(uses), known.1 || plain);
        }
        self.vendors.extend(other.vendors);
        self.runs |= other.runs;
        self.lacks.absorb(other.lacks);
    }
}

/// The policy for one page, in text: for the header and for the guard.
#[derive(Debug)]
pub struct BrowserPolicy {
    directives: String,
    /// What is denied on hosts that the directives allow: `kinds host/path`.
    pub(super) exclusions: Vec<String>,
    /// Whether one of Google's tags may run on the page.
    pub(super) google_tag: bool,
}

impl BrowserPolicy {
    /// The policy for the page that `context` describes. `html` is what the
    /// visitor gets of it, as far as it is known.
    pub(crate) fn of(context: &PageContext, memory: &Memory, reach: &Reach, html: &[u8]) -> Self {
        let mut named = authorities(html);
        let mut families: BTreeSet<(&str, Option<u16>)> = BTreeSet::new();
        for authority in memory.learned(&context.host) {
            named.entry(authority).or_default();
        }
        for (vendor, port) in reach.vendors.values() {
            let hosts = context.policy.catalogue().hosts_of_family(vendor);
            // An owner's other vendors may be many, and most of them denied.
            let open = hosts.filter(|host| {
                uses_of(host.trim_start_matches("*."), "/", context, memory) != Uses::default()
            });
            families.extend(open.take(MAX_VENDOR_HOSTS).map(|host| (host, *port)));
        }
        for ((authority, directory), (_, plain)) in &reach.loads {
            let mentions = named.entry(authority.clone()).or_default();
            mentions.paths.insert(directory.clone());
            mentions.plain |= plain;
        }
        memory.note_named(&context.host, named.keys());
        let mut sources = Sources::default();
        let mut own_is_whole = true;
        for (authority, mentions) in &named {
            let uses = uses_of(authority, "/", context, memory);
            let is_own = is_own(authority, context);
            own_is_whole &= !is_own || uses == Uses::ALL;
            // A host that the page names for denied paths alone is not named.
            let asked = mentions
                .paths
                .iter()
                .map(|path| uses_of(authority, path, context, memory))
                .reduce(Uses::with)
                .unwrap_or(Uses::ALL);
            let source = match mentions.plain && context.url.scheme() == "https" {
                true => format!("http://{authority}"),
                false => authority.clone(),
            };
            sources.allow(source, uses.both(asked));
        }
        for (host, port) in families {
            let uses = uses_of(host.trim_start_matches("*."), "/", context, memory);
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            sources.allow(format!("{host}{port}"), uses);
        }
        for ((authority, directory), (uses, _)) in &reach.loads {
            let whole = uses_of(authority, "/", context, memory);
            if !whole.has(*uses) {
                sources.allow(format!("{authority}{}", as_source_path(directory)), *uses);
            }
        }
        if own_is_whole && let Some(domain) = registrable(&context.host) {
            sources.allow(domain.to_owned(), Uses::ALL);
            sources.allow(format!("*.{domain}"), Uses::ALL);
        }
        let exclusions = exclusions(&sources, context);
        let google_tag = reach.vendors.keys().any(|vendor| consent_mode::listens(vendor))
            || named.keys().any(|authority| serves_google_tag(authority, context));
        Self { directives: sources.text(), exclusions, google_tag }
    }

    /// The policy for a script that runs in a worker, which has no page to
    /// name hosts: what the site's pages named lately.
    #[must_use]
    pub fn of_worker(context: &PageContext, memory: &Memory) -> Self {
        let named = memory.named_lately(&context.host);
        let mut reach = Reach::default();
        for authority in &named {
            if let Ok(url) = Url::parse(&format!("https://{authority}/")) {
                reach.note(&url);
            }
        }
        Self::of(context, memory, &reach, &[])
    }

    /// The directives.
    pub(super) fn directives(&self) -> &str {
        &self.directives
    }

    /// The header field; `None` when it would be too long for the servers it
    /// has to pass. The guard holds then.
    #[must_use]
    pub fn header(&self, reports: &str) -> Option<String> {
        let field = format!("{}; report-uri {reports}", self.directives);
        (field.len() <= MAX_HEADER_BYTES).then_some(field)
    }
}

/// Whether code that names this host may load one of Google's tags from it.
fn serves_google_tag(authority: &str, context: &PageContext) -> bool {
    let PageContext { policy, host, consent, .. } = context;
    authority.contains("googletagmanager.com")
        && ["gtm.js", "gtag/js"].iter().any(|file| {
            Url::parse(&format!("https://{authority}/{file}")).is_ok_and(|url| {
                let ruling =
                    policy.decide(Subject::Load { kind: Kind::Script, url: &url }, host, consent);
                ruling.is_known() && !ruling.verdict.blocks()
            })
        })
}

/// Sources and what may be loaded from each.
#[derive(Default)]
struct Sources(BTreeMap<String, Uses>);

impl Sources {
    fn allow(&mut self, source: String, uses: Uses) {
        if uses != Uses::default() {
            let known = self.0.entry(source).or_default();
            *known = known.with(uses);
        }
    }

    /// Drops what a wildcard covers anyway.
    fn without_covered(&self) -> impl Iterator<Item = (&String, Uses)> {
        self.0.iter().filter_map(|(source, uses)| {
            let covered = !source.starts_with("http:")
                && source.match_indices('.').any(|(at, _)| {
                    let parent = source.get(at..).unwrap_or_default();
                    self.0.get(&format!("*{parent}")).is_some_and(|wild| wild.has(*uses))
                });
            (!covered || source.starts_with("*.")).then_some((source, *uses))
        })
    }

    /// `default-src` names every source; a directive of its own follows where
    /// some of them may not be used.
    fn text(&self) -> String {
        let sources: Vec<_> = self.without_covered().collect();
        let mut text = format!("default-src {ALWAYS}");
        for (source, _) in &sources {
            let _ = write!(text, " {source}");
        }
        for (directive, kind) in DIRECTIVES {
            let use_ = Uses::of(kind);
            if sources.iter().all(|(_, uses)| uses.has(use_)) {
                continue;
            }
            let _ = write!(text, "; {directive} {ALWAYS}");
            for (source, _) in sources.iter().filter(|(_, uses)| uses.has(use_)) {
                let _ = write!(text, " {source}");
            }
        }
        text
    }
}

/// What may be loaded from a path on a host; `/` stands for all of it.
fn uses_of(authority: &str, path: &str, context: &PageContext, memory: &Memory) -> Uses {
    let place = format!("{authority}{path}");
    let ask = || {
        let Ok(url) = Url::parse(&format!("https://{place}")) else {
            return Uses::default();
        };
        let allowed = |kind: Kind| {
            let subject = Subject::Load { kind, url: &url };
            !context.policy.decide(subject, &context.host, &context.consent).verdict.blocks()
        };
        DIRECTIVES
            .iter()
            .filter(|(_, kind)| allowed(*kind))
            .fold(Uses::default(), |uses, (_, kind)| uses.with(Uses::of(*kind)))
    };
    // What is remembered is what holds for everybody of the class.
    let is_of_class = context.consent.vendors().is_none() && !context.policy.observed().is_any();
    match is_of_class {
        false => ask(),
        true => memory.uses(&context.host, &place, context.consent.granted().bits(), ask),
    }
}

fn is_own(authority: &str, context: &PageContext) -> bool {
    Url::parse(&format!("https://{authority}/"))
        .is_ok_and(|url| is_first_party(&url, &context.host))
}

/// The paths that are denied on hosts that are allowed: a policy cannot say
/// it, the guard can.
fn exclusions(sources: &Sources, context: &PageContext) -> Vec<String> {
    let mut found = BTreeSet::new();
    let whole = |source: &&String| !source.trim_start_matches("http://").contains('/');
    for source in sources.0.keys().filter(whole) {
        let host = source.trim_start_matches("http://").trim_start_matches("*.");
        let host = host.split(':').next().unwrap_or(host);
        for (kinds, place) in context.policy.denied_paths(host, &context.consent) {
            let words: Vec<&str> = DIRECTIVES
                .iter()
                .filter(|(_, kind)| kinds.contains(*kind))
                .filter_map(|(directive, _)| directive.strip_suffix("-src"))
                .collect();
            let words =
                if words.len() == DIRECTIVES.len() { "*".to_owned() } else { words.join(",") };
            if !words.is_empty() {
                found.insert(format!("{words} {place}"));
            }
        }
    }
    found.into_iter().collect()
}

/// Host and port of an address, as a policy writes them.
fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let host = host.strip_suffix('.').unwrap_or(host);
    // Addresses in brackets are no host sources.
    if host.is_empty() || host.starts_with('[') {
        return None;
    }
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// A path as a source: `;` and `,` end a source and a policy.
fn as_source_path(path: &str) -> String {
    path.replace(';', "%3B").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, SourceFile};
    use crate::policy::{Policy, Unlisted};

    fn context(unlisted: Unlisted) -> PageContext {
        let text = "
            [[vendor]]
            id = 'acme'
            name = 'Acme Ads'
            owner = 'Acme'
            purposes = ['marketing']
            about = 'Ads.'
            source = 'https://acme.example'
            hosts = ['ads.acme.example', 'img.acme.example as script', 'cdn.example/acme']
            [[vendor]]
            id = 'pay'
            name = 'Pay'
            owner = 'Pay'
            purposes = ['necessary']
            reason = 'Takes the money.'
            about = 'Takes the money.'
            source = 'https://pay.example'
            hosts = ['js.pay.example', 'frames.paynetwork.example', 'ads.acme.example/pay']
        ";
        let file = SourceFile { name: "test".into(), text: text.into() };
        let catalogue = Catalogue::compile(&[file]).unwrap();
        PageContext {
            host: "www.shop.example".into(),
            url: Url::parse("https://www.shop.example/").unwrap(),
            ..PageContext::of_shop(Policy::new(Arc::new(catalogue), unlisted, &[text]))
        }
    }

    fn policy(unlisted: Unlisted, loads: &[(Kind, &str)], html: &str) -> BrowserPolicy {
        let context = context(unlisted);
        let mut reach = Reach::default();
        for (kind, url) in loads {
            let url = Url::parse(url).unwrap();
            let subject = Subject::Load { kind: *kind, url: &url };
            let ruling = context.policy.decide(subject, &context.host, &context.consent);
            assert!(!ruling.verdict.blocks(), "{url}");
            reach.allow(*kind, &url, ruling.identity.as_ref().map(|identity| identity.vendor));
        }
        BrowserPolicy::of(&context, &Memory::default(), &reach, html.as_bytes())
    }

    fn sources<'p>(policy: &'p BrowserPolicy, directive: &str) -> Vec<&'p str> {
        let find = |name: &str| {
            policy.directives.split("; ").find_map(|text| text.strip_prefix(&format!("{name} ")))
        };
        find(directive)
            .or_else(|| find("default-src"))
            .unwrap()
            .split(' ')
            .filter(|source| source.contains('.'))
            .collect()
    }

    #[test]
    fn b1_a_page_may_load_what_it_names_and_no_tracker() {
        let policy = policy(
            Unlisted::Observe,
            &[(Kind::Script, "https://widget.example:8443/w.js")],
            r#"<script>a="//api.widget.example/";b="https://ads.acme.example/p.js"</script>"#,
        );
        let expected =
            ["*.shop.example", "api.widget.example", "shop.example", "widget.example:8443"];
        assert_eq!(sources(&policy, "script-src"), expected);
        assert!(!policy.directives.contains("ads.acme"), "{}", policy.directives);
    }

    #[test]
    fn a_host_may_be_used_for_one_thing_and_not_for_another() {
        let policy =
            policy(Unlisted::Observe, &[(Kind::Image, "https://img.acme.example/logo.png")], "");
        assert!(sources(&policy, "img-src").contains(&"img.acme.example"));
        assert!(!sources(&policy, "script-src").contains(&"img.acme.example"));
    }

    #[test]
    fn a_vendor_that_is_needed_comes_with_all_its_hosts() {
        let policy = policy(
            Unlisted::Block,
            &[(Kind::Script, "https://js.pay.example/v3/")],
            r#"<script>x="//stranger.example/"</script>"#,
        );
        let scripts = sources(&policy, "script-src");
        assert!(scripts.contains(&"frames.paynetwork.example"), "{scripts:?}");
        assert!(!scripts.contains(&"stranger.example"), "{scripts:?}");
    }

    #[test]
    fn an_allowed_path_on_a_denied_host_is_allowed_alone() {
        let policy = policy(
            Unlisted::Observe,
            &[(Kind::Script, "https://ads.acme.example/pay/a,b;c/v3.js")],
            "",
        );
        let expected = ["*.shop.example", "ads.acme.example/pay/a%2Cb%3Bc/", "shop.example"];
        let scripts: Vec<_> = sources(&policy, "script-src")
            .into_iter()
            .filter(|source| !source.contains("pay.example") && !source.contains("paynetwork"))
            .collect();
        assert_eq!(scripts.len(), 3, "{scripts:?}");
        assert!(expected.iter().all(|source| scripts.contains(source)), "{scripts:?}");
    }

    #[test]
    fn a_denied_path_on_an_allowed_host_is_told_to_the_guard() {
        let policy = policy(Unlisted::Observe, &[(Kind::Script, "https://cdn.example/lib.js")], "");
        assert!(sources(&policy, "script-src").contains(&"cdn.example"));
        assert_eq!(policy.exclusions, ["* cdn.example/acme"]);
    }

    #[test]
    fn a_host_that_is_named_for_a_denied_path_alone_is_not_allowed() {
        let html = "<script>x='https://cdn.example/acme/p.gif'</script>";
        let policy = policy(Unlisted::Observe, &[], html);
        assert!(!policy.directives.contains("cdn.example"), "{}", policy.directives);
    }

    #[test]
    fn what_is_loaded_ahead_may_load() {
        let policy =
            policy(Unlisted::Observe, &[(Kind::Hint, "https://cdn.widget.example/a.js")], "");
        assert!(sources(&policy, "script-src").contains(&"cdn.widget.example"));
    }

    #[test]
    fn an_address_without_tls_on_a_page_with_it_is_named_as_such() {
        let policy = policy(
            Unlisted::Observe,
            &[(Kind::Image, "http://www.shop.example/old.gif")],
            "<script>x='http://plain.example/a'; y='https://tls.example/'</script>",
        );
        let text = &policy.directives;
        for source in [" http://www.shop.example", " http://plain.example", " tls.example"] {
            assert!(text.contains(source), "{source}: {text}");
        }
    }

    #[test]
    fn a_policy_longer_than_a_head_may_be_is_left_to_the_guard() {
        let html: String = (0..300)
            .map(|n| format!("<script>'//host-{n}.of-the-page.example/'</script>"))
            .collect();
        let policy = policy(Unlisted::Observe, &[], &html);
        assert_eq!(policy.header("/.consentry/reports"), None);
        let short = self::policy(Unlisted::Observe, &[], "");
        let field = short.header("/.consentry/reports").unwrap();
        assert!(field.ends_with("; report-uri /.consentry/reports"), "{field}");
    }
}
