//! Puts a page through the proxy's enforcement, once for each state.

use crate::audit::{AuditedPage, Spot, State, Thing};
use crate::catalogue::{Kind, SCRIPT_LOOK_BYTES};
use crate::enforce::html::{OtherTools, PageContext, Placed, Placeholders, Rewriter};
use crate::enforce::{
    CookiePlaces, RequestContext, ResponseContext, charset_of, clear_request, clear_response,
};
use crate::policy::{Decision, Layer, Verdict};
use crate::site::{Rules, Site};

use encoding_rs::{Encoding, REPLACEMENT, UTF_8};
use http::{HeaderMap, Request, Response};
use jiff::civil::Date;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use url::Url;

/// Memory for one page; more than the proxy gives it by default, so that a
/// large page is looked at to its end.
const MEMORY_BYTES: usize = 64 << 20;

/// Judges by what a site's configuration says.
#[derive(Debug)]
pub struct Judge {
    /// The site.
    pub site: Arc<Site>,
    /// The host whose page everything is taken for.
    pub host: String,
    /// The states, in the order of the verdicts.
    pub states: Vec<State>,
    /// The day, for exceptions.
    pub today: Date,
}

/// A page as it came.
#[derive(Clone, Copy, Debug)]
pub struct Paper<'p> {
    /// Its address, against which others are resolved.
    pub url: &'p Url,
    /// Its `Content-Type`.
    pub content_type: Option<&'p str>,
    /// What it says, without any content coding.
    pub body: &'p [u8],
}

/// What one state decided, and where it stands, if it stands anywhere.
type Said = (Option<usize>, Decision);

impl Judge {
    /// What holds for a page.
    #[must_use]
    pub fn rules(&self, path: &str) -> Rules {
        self.site.rules(path, self.today, || 0)
    }

    /// Puts a page's document in, and adds what is decided about it.
    pub fn document(&self, paper: &Paper<'_>, page: &mut AuditedPage) {
        let encoding = charset_of(paper.content_type, paper.body);
        if encoding == REPLACEMENT {
            page.trouble = Some("no browser can read its charset".to_owned());
            return;
        }
        // As the proxy does: what ASCII is not a part of is read as UTF-8.
        let (body, encoding): (_, &'static Encoding) = if encoding.is_ascii_compatible() {
            (Cow::Borrowed(paper.body), encoding)
        } else {
            let (text, ..) = encoding.decode(paper.body);
            (Cow::Owned(text.into_owned().into_bytes()), UTF_8)
        };
        let rules = self.rules(paper.url.path());
        page.only_observed = !rules.mode.enforces();
        let mut table = Table::new(self.states.len());
        for (index, state) in self.states.iter().enumerate() {
            let context = self.context(paper.url, &rules, state);
            let mut rewriter = Rewriter::new(Arc::new(context), encoding);
            rewriter.note_places();
            let written = rewriter.write(&body).and_then(|_| rewriter.finish());
            if let Err(error) = written {
                page.trouble = Some(format!("{error}, so it would not be passed on"));
            }
            let said = rewriter.take_places().into_iter();
            table.fill(index, said.map(|Placed { at, decision }| (Some(at), decision)));
        }
        let lines = Lines::of(&body, encoding);
        page.add(table.things(Some(&lines)));
    }

    /// Puts a response's fields in.
    pub fn response(&self, url: &Url, headers: &HeaderMap, is_page: bool, page: &mut AuditedPage) {
        let rules = self.rules(url.path());
        let mut table = Table::new(self.states.len());
        for (index, state) in self.states.iter().enumerate() {
            let mut parts = Response::new(()).into_parts().0;
            parts.headers = headers.clone();
            let context = ResponseContext {
                policy: &rules.policy,
                consent: &state.consent,
                host: &self.host,
                url,
                enforcing: true,
                secure: url.scheme() == "https",
                is_page,
                denied_cookies: &[],
                places: &CookiePlaces::default(),
            };
            let decisions = clear_response(&mut parts, &context).decisions;
            table.fill(index, decisions.into_iter().map(|decision| (None, decision)));
        }
        page.add(table.things(None));
    }

    /// Puts a request to the site itself in.
    pub fn request(&self, request: &Request<()>, page: &mut AuditedPage) {
        let rules = self.rules(request.uri().path());
        let mut table = Table::new(self.states.len());
        for (index, state) in self.states.iter().enumerate() {
            let context = RequestContext {
                policy: &rules.policy,
                consent: &state.consent,
                host: &self.host,
                enforcing: true,
                address_truncated: false,
            };
            let (_, outcome) = clear_request(request.clone().into_parts().0, &context);
            table.fill(index, outcome.decisions.into_iter().map(|decision| (None, decision)));
        }
        page.add(table.things(None));
    }

    /// Puts a script of the site's own in, by what it says.
    pub fn own_script(&self, url: &Url, code: &[u8], page: &mut AuditedPage) {
        let rules = self.rules(url.path());
        let begun = code.get(..SCRIPT_LOOK_BYTES.min(code.len())).unwrap_or_default();
        let size = u64::try_from(code.len()).ok();
        self.each(page, |state| {
            let ruling = rules.policy.decide_script(begun, size, &state.consent);
            let recognised = ruling.identity.is_some();
            recognised.then(|| Decision::on_url(&ruling, Layer::Response, Kind::Script, url))
        });
    }

    /// Adds what `decide` says in each state.
    pub fn each(&self, page: &mut AuditedPage, decide: impl Fn(&State) -> Option<Decision>) {
        let mut table = Table::new(self.states.len());
        for (index, state) in self.states.iter().enumerate() {
            table.fill(index, decide(state).into_iter().map(|decision| (None, decision)));
        }
        page.add(table.things(None));
    }

    fn context(&self, url: &Url, rules: &Rules, state: &State) -> PageContext {
        PageContext {
            policy: Arc::clone(&rules.policy),
            consent: state.consent.clone(),
            before: None,
            host: self.host.clone(),
            url: url.clone(),
            enforcing: true,
            guarded: true,
            placeholders: Placeholders::plain(&format!("{}/choices", self.site.own_prefix)),
            appended: String::new(),
            opening: None,
            memory_bytes: MEMORY_BYTES,
            others: OtherTools { makes_live: self.site.cmp_markup, appended_beside: None },
        }
    }
}

/// The decisions of all states side by side.
struct Table {
    states: usize,
    rows: Vec<(Option<usize>, Thing)>,
    /// The row of each thing, by where it stands, its kind and its name. Inline
    /// code goes by its turn there: whose it is called may be another vendor in
    /// another state.
    known: HashMap<(Option<usize>, Kind, String), usize>,
}

impl Table {
    fn new(states: usize) -> Self {
        Self { states, rows: Vec::new(), known: HashMap::new() }
    }

    fn fill(&mut self, state: usize, said: impl Iterator<Item = Said>) {
        let mut turn = (None, 0);
        for (at, decision) in said {
            let by_place = decision.kind == Kind::Inline && at.is_some();
            if by_place {
                turn = if turn.0 == at { (at, turn.1 + 1) } else { (at, 0) };
            }
            let name = if by_place { turn.1.to_string() } else { decision.what.clone() };
            let (rows, states) = (&mut self.rows, self.states);
            let index = *self.known.entry((at, decision.kind, name)).or_insert_with(|| {
                rows.push((at, thing(&decision, vec![None; states])));
                rows.len() - 1
            });
            let Some((_, row)) = self.rows.get_mut(index) else { continue };
            if let Some(verdict) = row.verdicts.get_mut(state) {
                *verdict = Some(decision.verdict);
            }
            if let Some(vendor) = decision.vendor
                && !row.vendors().any(|known| known.id == vendor.id)
            {
                row.also.push(vendor);
            }
        }
    }

    fn things(self, lines: Option<&Lines<'_>>) -> Vec<Thing> {
        let placed = self.rows.into_iter().map(|(at, mut thing)| {
            thing.spots.extend(at.zip(lines).map(|(at, lines)| lines.spot(at)));
            thing
        });
        placed.collect()
    }
}

fn thing(decision: &Decision, verdicts: Vec<Option<Verdict>>) -> Thing {
    Thing {
        kind: decision.kind,
        what: decision.what.clone(),
        layer: decision.layer,
        vendor: decision.vendor.clone(),
        also: Vec::new(),
        rule: decision.rule.clone(),
        via: decision.via.clone(),
        spots: Vec::new(),
        verdicts,
        observed: false,
    }
}

/// Where the lines of a page begin.
struct Lines<'t> {
    text: &'t [u8],
    encoding: &'static Encoding,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t [u8], encoding: &'static Encoding) -> Self {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text).map(|at| at + 1));
        Self { text, encoding, starts: starts.collect() }
    }

    fn spot(&self, at: usize) -> Spot {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or_default();
        let (before, ..) = self.encoding.decode_without_bom_handling(before);
        Spot { line, column: before.chars().count() + 1 }
    }
}
