//! Sends a page through the rewriter, on its way from origin to visitor.

mod streamed;
mod watched;

pub(super) use watched::watch;

use crate::enforce::browser::Guard;
use crate::enforce::codec::Coding;
use crate::enforce::html::PageContext;
use crate::enforce::{Pipeline, PipelineError, Start};
use crate::proxy::body::{self, Body, BoxError, PassedBody, Patience, Prefixed};
use crate::proxy::browser::{self, Browser};
use crate::proxy::error::Error;
use crate::proxy::exchange::Exchange;
use crate::proxy::variant::{Variant, mark_page, mark_variant};
use crate::proxy::{Limits, Timeouts};
use streamed::{RewrittenBody, State};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How much of a page is looked at before its head leaves: a page that ends
/// within it and holds nothing to block leaves exactly as it came.
const FIRST_LOOK_BYTES: usize = 16 * 1024;

/// How much of a page that gets a policy of its own: the policy names what the
/// page loads, and its head leaves first.
const WHOLE_BYTES: usize = 2 * 1024 * 1024;

/// How long a page's head waits for that. A slow origin's first bytes must not.
const FIRST_LOOK: Duration = Duration::from_millis(25);

/// What a decoder is fed at once: compressed bytes may inflate a thousandfold.
const FEED_COMPRESSED_BYTES: usize = 2 * 1024;

/// What the rewriter is fed at once when nothing is compressed.
const FEED_PLAIN_BYTES: usize = 64 * 1024;

/// What happens to a page.
pub(super) struct Plan {
    pub(super) context: Arc<PageContext>,
    pub(super) variant: Variant,
    /// Nothing can be blocked: only `context.appended` is added.
    pub(super) append_only: bool,
    /// What goes along to hold in the browser.
    pub(super) browser: Option<Browser>,
}

/// Whether a response is a document that can load or run something. What does
/// not say what it is may be taken for a page by a browser.
pub(super) fn is_page(parts: &Parts) -> bool {
    let bodiless = matches!(
        parts.status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    if bodiless || parts.status.is_informational() {
        return false;
    }
    let mut types = parts.headers.get_all(CONTENT_TYPE).iter();
    let Some(field) = types.next_back() else {
        return !parts.headers.contains_key("x-content-type-options");
    };
    let text = field.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = text
        .rsplit(',')
        .next()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    matches!(
        essence.as_str(),
        "text/html"
            | "application/xhtml+xml"
            | ""
            | "unknown/unknown"
            | "application/unknown"
            | "*/*"
    )
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

/// Rewrites a page.
///
/// # Errors
/// When it turns out before its head has left that the page cannot be passed
/// on. Later, the connection is cut.
pub(super) async fn rewrite(
    mut parts: Parts,
    mut source: Incoming,
    request: &HeaderMap,
    plan: Plan,
    mut exchange: Exchange,
    limits: &Limits,
    timeouts: &Timeouts,
) -> Result<Response<Body>, Error> {
    let mut first = FirstLook::default();
    let looked = look(&parts, &mut source, request, &plan, &exchange, limits, &mut first).await;
    let Looked { mut pipeline, ended, codings, send } = match looked {
        Err(Error::Unfilterable(why)) if exchange.rules.pass_unfilterable => {
            mark_page(&mut parts.headers, &plan.variant, false);
            exchange.passed_unfiltered(&why);
            exchange.file();
            let rest = PassedBody::new(source, timeouts.response_body);
            let body = Prefixed::new(first.originals, rest).boxed_unsync();
            return Ok(Response::from_parts(parts, body));
        }
        looked => looked?,
    };
    let failure = pipeline.take_failure();
    if let Some(why) = &failure {
        exchange.passed_unfiltered(why);
    }
    let feed = feed_bytes(&codings);
    if let Some(browser) = &plan.browser {
        // What was not read is no ground for a policy.
        let known = ended && failure.is_none();
        let tag = if plan.append_only {
            told_google(browser, &parts.headers, &exchange)
        } else {
            guard(browser, &mut parts.headers, &mut pipeline, known, &exchange)
        };
        if ended && !pipeline.changed() && tag.is_empty() {
            // It leaves as it came.
        } else {
            first.out =
                pipeline.release(&tag).map_err(|error| Error::Unfilterable(error.to_string()))?;
        }
    }
    let changed = !ended || pipeline.changed();
    exchange.decisions.extend(pipeline.take_decisions().iter().cloned());
    if ended && !changed {
        mark_page(&mut parts.headers, &plan.variant, false);
        if exchange.decisions.iter().any(|decision| decision.verdict.is_by_consent()) {
            mark_variant(&mut parts.headers, &plan.variant);
        }
        exchange.file();
        let originals: Vec<Result<Frame<Bytes>, BoxError>> =
            first.originals.into_iter().map(|bytes| Ok(Frame::data(bytes))).collect();
        let body = http_body_util::StreamBody::new(Frames(originals.into())).boxed_unsync();
        return Ok(Response::from_parts(parts, body));
    }
    mark_page(&mut parts.headers, &plan.variant, true);
    set_coding(&mut parts.headers, &codings, send);
    if pipeline.transcoded() {
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    }
    if ended {
        exchange.file();
        return Ok(Response::from_parts(parts, body::full(first.out)));
    }
    let rewritten = RewrittenBody {
        source,
        queue: first.queue,
        pipeline,
        out: first.out,
        exchange,
        patience: Patience::new(timeouts.response_body),
        state: State::Flowing,
        feed,
        dirty: true,
    };
    Ok(Response::from_parts(parts, rewritten.boxed_unsync()))
}

/// Gives a page its policy and its guard: what is known of a page that has not
/// ended would be too little for a policy, and enough for the guard.
fn guard(
    browser: &Browser,
    headers: &mut HeaderMap,
    pipeline: &mut Pipeline,
    ended: bool,
    exchange: &Exchange,
) -> String {
    let policy = pipeline.browser_policy(&browser.memory);
    let nonce = browser::script_nonce(headers);
    if ended {
        browser.add_policy(&policy, headers);
    }
    match &browser.guard {
        Some(guard) if pipeline.runs_scripts() || !ended => {
            let choices_url = pipeline.choices_url().to_owned();
            let guard = Guard { nonce, choices_url, ..guard.clone() };
            let catalogue = exchange.rules.policy.catalogue();
            guard.tags(&policy, catalogue, &exchange.consent, &pipeline.stand_ins())
        }
        Some(_) | None => String::new(),
    }
}

/// What a page gets on which nothing is denied: only where Google's tags are
/// to hear that in so many words.
fn told_google(browser: &Browser, headers: &HeaderMap, exchange: &Exchange) -> String {
    let guard = browser.guard.clone();
    let with_nonce = guard.map(|guard| Guard { nonce: browser::script_nonce(headers), ..guard });
    with_nonce.map(|guard| guard.google_tag(&exchange.consent)).unwrap_or_default()
}

/// A page's beginning was judged.
struct Looked {
    pipeline: Pipeline,
    /// Whether the beginning is all of it.
    ended: bool,
    codings: Vec<Coding>,
    send: Coding,
}

/// Judges the beginning of a page.
async fn look(
    parts: &Parts,
    source: &mut Incoming,
    request: &HeaderMap,
    plan: &Plan,
    exchange: &Exchange,
    limits: &Limits,
    first: &mut FirstLook,
) -> Result<Looked, Error> {
    let (codings, send) = codings(request, parts)?;
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let start = Start {
        context: Arc::clone(&plan.context),
        codings: codings.clone(),
        send,
        content_type,
        inflation: limits.page_inflation,
        append_only: plan.append_only,
        pass_unfilterable: exchange.rules.pass_unfilterable,
    };
    let unfilterable = |error: &PipelineError| Error::Unfilterable(error.to_string());
    let mut pipeline = Pipeline::new(start).map_err(|error| unfilterable(&error))?;
    let feed = feed_bytes(&codings);
    let most = if plan.browser.is_some() { WHOLE_BYTES } else { FIRST_LOOK_BYTES };
    if plan.browser.is_some() {
        pipeline.wait();
    }
    let deadline = Instant::now() + FIRST_LOOK;
    let ended = loop {
        if first.taken >= most || !first.queue.is_empty() || first.out.len() >= most {
            break false;
        }
        match timeout_at(deadline, source.frame()).await {
            Err(_) => break false,
            Ok(None) => {
                first.out.extend(pipeline.finish().map_err(|error| unfilterable(&error))?);
                break true;
            }
            Ok(Some(Err(error))) => {
                return Err(Error::OriginBroken(format!("its body broke off: {error}")));
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    first
                        .take(data, feed, most, &mut pipeline)
                        .map_err(|error| unfilterable(&error))?;
                }
            }
        }
    };
    Ok(Looked { pipeline, ended, codings, send })
}

const fn feed_bytes(codings: &[Coding]) -> usize {
    if codings.is_empty() { FEED_PLAIN_BYTES } else { FEED_COMPRESSED_BYTES }
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

/// The beginning of a page, both as it came and as it would leave.
#[derive(Default)]
struct FirstLook {
    originals: Vec<Bytes>,
    out: Vec<u8>,
    /// What arrived and has not been fed yet.
    queue: Bytes,
    taken: usize,
}

impl FirstLook {
    fn take(
        &mut self,
        data: Bytes,
        feed: usize,
        most: usize,
        pipeline: &mut Pipeline,
    ) -> Result<(), PipelineError> {
        self.originals.push(data.clone());
        let mut rest = data;
        while !rest.is_empty() {
            if self.out.len() + pipeline.waiting_bytes() >= most * 4 {
                self.queue = rest;
                return Ok(());
            }
            let piece = rest.split_to(feed.min(rest.len()));
            self.taken += piece.len();
            self.out.extend(pipeline.write(&piece)?);
        }
        Ok(())
    }
}

struct Frames(VecDeque<Result<Frame<Bytes>, BoxError>>);

impl futures_core::Stream for Frames {
    type Item = Result<Frame<Bytes>, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop_front())
    }
}
