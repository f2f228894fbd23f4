//! The way in for who builds a site: they are shown each exchange with its
//! decisions, and switch what counts as chosen.
//!
//! The proxy knows no more than that somebody may be there. Who it is stands
//! in `cli::dev` and is private to that command: no flag, variable or key that
//! `consentry serve` reads can put anybody here.

use crate::consent::Source;
use crate::policy::{Decisions, Mode};
use crate::proxy::body::{self, Body};
use crate::proxy::exchange::Exchange;
use crate::purpose::PurposeSet;
use crate::visitor::Visit;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, Uri, response};
use std::fmt;
use std::sync::Arc;

/// Who builds a site, and looks on.
///
/// Whatever it is asked is on the way of an exchange, so it must not wait.
pub(crate) trait Workbench: Send + Sync + fmt::Debug {
    /// A request is there, and nobody has read it yet; its number.
    fn begins(&self, method: &Method, uri: &Uri, headers: &mut HeaderMap) -> u64;

    /// It is known what the visitor chose: what happens next.
    fn step(&self, number: u64, request: &mut Parts, visit: &Visit<'_>) -> Step;

    /// What goes at the end of the page that a browser is about to show.
    fn tag(&self, number: u64, visit: &Visit<'_>) -> String;

    /// What was decided is complete.
    fn decided(&self, about: About<'_>, judged: &Judged<'_>);

    /// The answer is about to leave, in a word what failed where something
    /// did; another body for it, if that is wanted.
    fn leaves(
        &self,
        number: u64,
        failure: Option<&'static str>,
        head: &mut response::Parts,
    ) -> Option<Bytes>;
}

/// What happens to a request.
pub(crate) enum Step {
    /// What always does.
    GoesOn,
    /// This is the answer.
    Answered(Response<Bytes>),
    /// It is taken as the visitor's choice, sent with this form.
    Chooses(Bytes),
}

/// What decisions are about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About<'a> {
    /// The exchange of that number.
    Exchange(u64),
    /// The page at that path: its browser reported them later.
    Page(&'a str),
}

/// What was decided, and for whom.
#[derive(Debug)]
pub(crate) struct Judged<'a> {
    /// Whose page it is.
    pub(crate) site: &'a str,
    /// What was granted.
    pub(crate) class: PurposeSet,
    /// Whether the visitor has not chosen yet.
    pub(crate) undecided: bool,
    /// Where that is known from.
    pub(crate) signal: Source,
    /// Whether verdicts are carried out.
    pub(crate) mode: Mode,
    /// One by one.
    pub(crate) decisions: &'a Decisions,
}

/// Who looks on at one exchange.
#[derive(Clone)]
pub(super) struct Witness {
    bench: Arc<dyn Workbench>,
    seen: Seen,
}

#[derive(Clone)]
enum Seen {
    Exchange(u64),
    Page(Arc<str>),
}

impl Witness {
    pub(super) fn begin<B>(bench: &Arc<dyn Workbench>, request: &mut Request<B>) -> Self {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let number = bench.begins(&method, &uri, request.headers_mut());
        Self { bench: Arc::clone(bench), seen: Seen::Exchange(number) }
    }

    /// For what a browser says later about a page.
    pub(super) fn of_page(bench: &Arc<dyn Workbench>, path: &str) -> Self {
        Self { bench: Arc::clone(bench), seen: Seen::Page(path.into()) }
    }

    fn number(&self) -> u64 {
        match &self.seen {
            Seen::Exchange(number) => *number,
            Seen::Page(_) => 0,
        }
    }

    pub(super) fn step(&self, request: &mut Parts, visit: &Visit<'_>) -> Step {
        self.bench.step(self.number(), request, visit)
    }

    pub(super) fn tag(&self, visit: &Visit<'_>) -> String {
        self.bench.tag(self.number(), visit)
    }

    pub(super) fn decided(&self, exchange: &Exchange) {
        let about = match &self.seen {
            Seen::Exchange(number) => About::Exchange(*number),
            Seen::Page(path) => About::Page(path),
        };
        let judged = Judged {
            site: &exchange.site.name,
            class: exchange.consent.granted(),
            undecided: exchange.consent.is_undecided(),
            signal: exchange.consent.source(),
            mode: exchange.rules.mode,
            decisions: &exchange.decisions,
        };
        self.bench.decided(about, &judged);
    }

    pub(super) fn leaves(
        &self,
        failure: Option<&'static str>,
        response: Response<Body>,
    ) -> Response<Body> {
        let (mut head, body) = response.into_parts();
        let instead = self.bench.leaves(self.number(), failure, &mut head);
        Response::from_parts(head, instead.map_or(body, body::full))
    }
}
