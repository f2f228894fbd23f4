//! Sends a page through the rewriter, on its way from origin to visitor.

mod first_look;
mod held;
mod streamed;
mod watched;

pub(super) use held::Held;
pub(super) use watched::watch;

use crate::enforce::browser::Guard;
use crate::enforce::codec::Coding;
use crate::enforce::html::PageContext;
use crate::enforce::{Pipeline, PipelineError, Start};
use crate::policy::Decisions;
use crate::proxy::body::{Body, PassedBody, Patience, Prefixed, Source};
use crate::proxy::browser::{self, Browser};
use crate::proxy::error::Error;
use crate::proxy::exchange::Exchange;
use crate::proxy::memo::{Key, Left, Memo, Remembered};
use crate::proxy::revisit::ToKeep;
use crate::proxy::variant::{Variant, mark_page, mark_variant};
use crate::proxy::{Limits, Timeouts};
use first_look::{FirstLook, Next, joined};
use streamed::{RewrittenBody, State};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY,
};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How much of a page is looked at before its head leaves: a page that ends
/// within it and holds nothing to block leaves exactly as it came.
const FIRST_LOOK_BYTES: usize = 16 * 1024;

/// How much of a page that gets a policy of its own: the policy names what the
/// page loads, and its head leaves first.
const WHOLE_BYTES: usize = 2 * 1024 * 1024;

/// How long a page's head waits for that. A slow origin's first bytes must not.
const FIRST_LOOK: Duration = Duration::from_millis(25);

/// How many steps of a page may be taken until others have a turn: what is
/// compressed well is much work that comes in little and leaves as little.
const STEPS: usize = 2;

/// What happens to a page. `draft` makes what it is judged by out of its header
/// fields; a page that is remembered needs none of it.
pub(super) struct Plan<F> {
    pub(super) draft: F,
    pub(super) variant: Variant,
    /// Nothing can be blocked: only `context.appended` is added.
    pub(super) append_only: bool,
    /// What goes along to hold in the browser.
    pub(super) browser: Option<Browser>,
    /// Where the page may be remembered.
    pub(super) recall: Option<Recall>,
    /// Where it is kept as it came, to ask about it the next time.
    pub(super) to_keep: Option<ToKeep>,
    /// What large pages hold.
    pub(super) held: Arc<Held>,
}

/// Where a page may be remembered, and what it depends on.
pub(super) struct Recall {
    pub(super) memo: Arc<Memo>,
    pub(super) key: Key,
    /// What is known about the hosts that the site's pages load.
    pub(super) taught: u64,
}

impl Recall {
    /// The same, with what the origin's answer adds.
    fn about(mut self, headers: &HeaderMap, send: Coding) -> Self {
        self.key.add(send.name().as_bytes());
        self.key.add_fields(headers, &[CONTENT_TYPE, CONTENT_ENCODING, CONTENT_SECURITY_POLICY]);
        self
    }

    fn find(&self) -> Option<Arc<Remembered>> {
        self.memo.find(&self.key, self.taught)
    }

    fn keep(self, original: &Bytes, left: &Left, decisions: Decisions, exchange: &Exchange) {
        if self.memo.takes(original.len()) {
            let (original, left) = (original.clone(), left.clone());
            let decisions = decisions.keep();
            let page = Remembered::new(&exchange.site, self.taught, original, left, decisions);
            self.memo.keep(self.key, page);
        }
    }
}

/// The codings of a page, and the one to send it in.
pub(super) fn codings(
    request: &HeaderMap,
    response: &Parts,
) -> Result<(Vec<Coding>, Coding), Error> {
    let applied: Vec<&str> = response
        .headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .collect();
    let codings = Coding::parse_list(&applied.join(","))
        .map_err(|error| Error::Unfilterable(error.to_string()))?;
    let accept: Vec<&str> =
        request.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok()).collect();
    let accept = (!accept.is_empty()).then(|| accept.join(", "));
    let send = codings.last().copied().filter(|coding| coding.is_accepted_by(accept.as_deref()));
    let send = send.unwrap_or(Coding::Identity);
    Ok((codings, send))
}

/// Rewrites a page, or gives back what became of it before.
///
/// # Errors
/// When it turns out before its head has left that the page cannot be passed
/// on. Later, the connection is cut.
pub(super) async fn rewrite<F: FnOnce(&HeaderMap) -> PageContext>(
    parts: Parts,
    mut source: Source,
    request: &HeaderMap,
    plan: Plan<F>,
    mut exchange: Exchange,
    limits: &Limits,
    timeouts: &Timeouts,
) -> Result<Response<Body>, Error> {
    let mut first = FirstLook::new(plan.held.share());
    let codings = match codings(request, &parts) {
        Ok((applied, send)) => Codings { applied, send },
        Err(Error::Unfilterable(why)) if exchange.rules.pass_unfilterable => {
            return Ok(unfiltered(parts, source, first, &plan.variant, exchange, &why, timeouts));
        }
        Err(error) => return Err(error),
    };
    let Plan { draft, variant, append_only, browser, recall, to_keep, held } = plan;
    let recall = recall.map(|recall| recall.about(&parts.headers, codings.send));
    let page = Page { parts, variant, append_only, browser, held };
    let deadline = Instant::now() + FIRST_LOOK;
    if let Some(recall) = &recall {
        let found = match recall.find() {
            Some(found) if first.is(&found, &mut source, deadline).await? => Some(found),
            Some(_) | None => None,
        };
        exchange.recalled(found.is_some());
        if let Some(found) = found {
            exchange.decisions.repeat(&found.decisions);
            let original = found.original.clone();
            if let Some(to_keep) = to_keep {
                to_keep.whole(&original);
            }
            return Ok(page.leave(found.left.clone(), original, &codings, exchange));
        }
    }
    let context = Arc::new(draft(&page.parts.headers));
    let looked =
        look(&page, &mut source, context, &codings, &exchange, limits, deadline, &mut first);
    let (mut pipeline, ended) = match looked.await {
        Err(Error::Unfilterable(why)) if exchange.rules.pass_unfilterable => {
            let Page { parts, variant, .. } = page;
            return Ok(unfiltered(parts, source, first, &variant, exchange, &why, timeouts));
        }
        looked => looked?,
    };
    let failure = pipeline.take_failure();
    if let Some(why) = &failure {
        exchange.passed_unfiltered(why);
    }
    // What was not read is no ground for a policy.
    let known = ended && failure.is_none();
    let mut policy = None;
    if let Some(browser) = &page.browser {
        let headers = &page.parts.headers;
        let tag = if page.append_only {
            told_google(browser, headers, &exchange)
        } else {
            let (field, tag) = guard(browser, headers, &mut pipeline, known, &exchange);
            policy = field;
            tag
        };
        // Otherwise it leaves as it came.
        if !ended || pipeline.changed() || !tag.is_empty() {
            first.out =
                pipeline.release(&tag).map_err(|error| Error::Unfilterable(error.to_string()))?;
        }
    }
    let changed = !ended || pipeline.changed();
    let decisions = pipeline.take_decisions();
    exchange.decisions.extend(decisions.iter().cloned());
    let transcoded = pipeline.transcoded();
    if !ended {
        let Page { mut parts, variant, .. } = page;
        set_fields(&mut parts.headers, &variant, &codings, transcoded);
        first.share.set(first.out.len() + first.arrived_bytes());
        let rewritten = RewrittenBody {
            source,
            arrived: first.arrived,
            pipeline,
            share: Some(first.share),
            ready: first.out.into(),
            out: Vec::new(),
            exchange,
            patience: Patience::new(timeouts.response_body),
            state: State::Flowing,
            steps: 0,
            dirty: true,
        };
        return Ok(Response::from_parts(parts, rewritten.boxed_unsync()));
    }
    let original = joined(&first.originals);
    if let Some(to_keep) = to_keep {
        to_keep.whole(&original);
    }
    let bytes = changed.then(|| Bytes::from(first.out.into_boxed_slice()));
    let left = Left { policy, bytes, transcoded };
    if let Some(recall) = recall.filter(|_| failure.is_none()) {
        recall.keep(&original, &left, decisions, &exchange);
    }
    Ok(page.leave(left, original, &codings, exchange))
}

/// The codings of a page.
struct Codings {
    /// The origin's, in the order they were applied.
    applied: Vec<Coding>,
    /// The one it leaves in.
    send: Coding,
}

/// A page that is about to leave.
struct Page {
    parts: Parts,
    variant: Variant,
    append_only: bool,
    browser: Option<Browser>,
    held: Arc<Held>,
}

impl Page {
    /// Leaves as a whole.
    fn leave(
        self,
        left: Left,
        original: Bytes,
        codings: &Codings,
        mut exchange: Exchange,
    ) -> Response<Body> {
        let Self { mut parts, variant, held, .. } = self;
        if let Some(policy) = left.policy {
            parts.headers.append(CONTENT_SECURITY_POLICY, policy);
        }
        let body = if let Some(bytes) = left.bytes {
            set_fields(&mut parts.headers, &variant, codings, left.transcoded);
            bytes
        } else {
            mark_page(&mut parts.headers, &variant, false);
            if exchange.decisions.iter().any(|decision| decision.verdict.is_by_consent()) {
                mark_variant(&mut parts.headers, &variant);
            }
            original
        };
        exchange.file();
        Response::from_parts(parts, held.body(body))
    }
}

/// Passes a page on that cannot be rewritten, where that is wanted.
fn unfiltered(
    mut parts: Parts,
    source: Source,
    first: FirstLook,
    variant: &Variant,
    mut exchange: Exchange,
    why: &str,
    timeouts: &Timeouts,
) -> Response<Body> {
    mark_page(&mut parts.headers, variant, false);
    exchange.passed_unfiltered(why);
    exchange.file();
    let rest = PassedBody::new(source, timeouts.response_body);
    let begun = first.originals.into_iter().chain(first.arrived);
    Response::from_parts(parts, Prefixed::new(begun, rest).boxed_unsync())
}

/// A page's policy and its guard: what is known of a page that has not ended
/// would be too little for a policy, and enough for the guard.
fn guard(
    browser: &Browser,
    headers: &HeaderMap,
    pipeline: &mut Pipeline,
    ended: bool,
    exchange: &Exchange,
) -> (Option<HeaderValue>, String) {
    let policy = pipeline.browser_policy(&browser.memory);
    let field = if ended { browser.field(&policy) } else { None };
    let tags = match &browser.guard {
        Some(guard) if pipeline.runs_scripts() || !ended => {
            let choices_url = pipeline.choices_url().to_owned();
            let nonce = browser::script_nonce(headers);
            let guard = Guard { nonce, choices_url, ..guard.clone() };
            let rules = &exchange.rules;
            guard.tags(&rules.policy, &policy, &exchange.consent, &pipeline.stand_ins())
        }
        Some(_) | None => String::new(),
    };
    (field, tags)
}

/// What a page gets on which nothing is denied: only where Google's tags are
/// to hear that in so many words.
fn told_google(browser: &Browser, headers: &HeaderMap, exchange: &Exchange) -> String {
    let guard = browser.guard.clone();
    let with_nonce = guard.map(|guard| Guard { nonce: browser::script_nonce(headers), ..guard });
    with_nonce.map(|guard| guard.google_tag(&exchange.consent)).unwrap_or_default()
}

/// Judges the beginning of a page; says whether it is all of it.
#[expect(clippy::too_many_arguments, reason = "one call, and nothing of it is left out")]
async fn look(
    page: &Page,
    source: &mut Source,
    context: Arc<PageContext>,
    codings: &Codings,
    exchange: &Exchange,
    limits: &Limits,
    deadline: Instant,
    first: &mut FirstLook,
) -> Result<(Pipeline, bool), Error> {
    let content_type = page.parts.headers.get(CONTENT_TYPE);
    let start = Start {
        context,
        codings: codings.applied.clone(),
        send: codings.send,
        content_type: content_type.and_then(|value| value.to_str().ok()).map(str::to_owned),
        inflation: limits.page_inflation,
        append_only: page.append_only,
        pass_unfilterable: exchange.rules.pass_unfilterable,
    };
    let unfilterable = |error: &PipelineError| Error::Unfilterable(error.to_string());
    let mut pipeline = Pipeline::new(start).map_err(|error| unfilterable(&error))?;
    let most = if page.browser.is_some() { WHOLE_BYTES } else { FIRST_LOOK_BYTES };
    if page.browser.is_some() {
        pipeline.wait();
    }
    let ended = loop {
        let is_enough = first.taken >= most || first.out.len() >= most;
        if is_enough || pipeline.is_busy() || !first.has_room(&pipeline) {
            break false;
        }
        match first.next(source, deadline).await? {
            Next::Late => break false,
            Next::End => {
                first.out.extend(pipeline.finish().map_err(|error| unfilterable(&error))?);
                break true;
            }
            Next::Data(data) => {
                let taken = first.take(data, most, &mut pipeline).await;
                taken.map_err(|error| unfilterable(&error))?;
            }
        }
    };
    Ok((pipeline, ended))
}

/// Says what a page that was changed is now.
fn set_fields(headers: &mut HeaderMap, variant: &Variant, codings: &Codings, transcoded: bool) {
    mark_page(headers, variant, true);
    set_coding(headers, &codings.applied, codings.send);
    if transcoded {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    }
}

fn set_coding(headers: &mut HeaderMap, codings: &[Coding], send: Coding) {
    if codings.is_empty() {
        return;
    }
    if send == Coding::Identity {
        headers.remove(CONTENT_ENCODING);
    } else {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(send.name()));
    }
    let varies = headers
        .get_all(VARY)
        .iter()
        .any(|v| v.to_str().is_ok_and(|v| v.to_ascii_lowercase().contains("accept-encoding")));
    if !varies {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}
