//! Carries one exchange there and back: the hot path.
//!
//! `Proxy::answer` reads like the table in the README: one step a line, no
//! step hidden inside another. What it knows comes in as one `Arc<Sites>`, what
//! it learns goes out as ledger entries; it waits for two sockets and for
//! nothing of ours.

mod acme;
mod aliases;
mod archive;
mod body;
mod browser;
mod connection;
mod document;
mod error;
mod exchange;
mod forward;
mod frames;
mod framing;
mod gpc_support;
mod head;
mod http2;
mod leaving;
mod limiter;
mod listener;
mod memo;
mod own_pages;
mod page;
mod proxy_protocol;
mod recall;
mod revisit;
mod revival;
mod room;
mod script;
mod settings;
mod shown;
mod sockets;
mod synthetic;
mod tls;
mod to_https;
mod told;
mod upgrade;
mod upstream;
mod variant;
mod withdrawal;
mod withheld;
mod workbench;

pub use aliases::look_up_aliases;
pub use archive::{Archive, Archiving};
pub use framing::read_strictly;
pub use listener::{Server, Setup, StartError};
pub use settings::{AcmeSettings, Limits, Settings, Timeouts, TlsFiles};
pub use sockets::{Listening, Sockets};
pub use synthetic::{CANARY_PAGE, SYNTHETIC_FIELD, Synthetic, SyntheticKey};
pub use tls::{Certificates, TlsError};
pub use upstream::{Looking, Outside, UpstreamError, look_at_origins, outside};
pub(crate) use workbench::{About, Judged, Step, Workbench};

use crate::catalogue::Kind;
use crate::consent;
use crate::enforce::browser::GoogleConsent;
use crate::enforce::html::{OtherTools, PageContext};
use crate::enforce::{Cleared, RequestContext, ResponseContext, clear_request, clear_response};
use crate::ledger::Spool;
use crate::observe::{ExchangeEnded, ExchangeFailed, Observe, Outlets, VisitorLimited};
use crate::policy::{Decision, Layer};
use crate::site::{Origins, Sites, day_of};
use crate::visitor::{self, OnRecord, Page, Visit};
use body::{Body, PassedBody, RequestBody, Source};
use browser::Browser;
use error::Error;
use exchange::{Exchange, now_ms};
use head::{Head, Peer};
use limiter::Limiter;
use memo::{Key, Memo};
use page::Plan;
use recall::Recall;
use revisit::{Question, Visits};
use shown::{Showing, Shown};
use told::Told;
use upgrade::Handover;
use upstream::Upstream;
use variant::{Destination, Variant};
use workbench::Witness;

use arc_swap::ArcSwap;
use http::header::{
    CONTENT_LENGTH, CONTENT_SECURITY_POLICY, IF_RANGE, RANGE, STRICT_TRANSPORT_SECURITY,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;
use url::Url;

/// What one worker carries exchanges with.
#[derive(Clone)]
pub(crate) struct Proxy {
    settings: Arc<Settings>,
    sites: Arc<ArcSwap<Sites>>,
    upstream: Upstream,
    /// Where decisions go; nowhere for the synthetic visitor's.
    spool: Option<Arc<Mutex<Spool>>>,
    observe: Arc<Observe>,
    /// Who wants to know of every exchange, if anybody does.
    outlets: Option<Arc<Outlets>>,
    limiter: Arc<Limiter>,
    archive: Arc<Archive>,
    recall: Arc<Recall>,
    memo: Arc<Memo>,
    visits: Arc<Visits>,
    held: Arc<page::Held>,
    /// Who answers for the canary page, where it may be asked for.
    canary: Option<Arc<Origins>>,
    /// Who builds the site, while they do; nobody in production.
    workbench: Option<Arc<dyn Workbench>>,
}

impl Proxy {
    /// Answers one request: what nobody can answer becomes an error page.
    async fn answer(&self, mut request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let accept = request.headers().get(http::header::ACCEPT).cloned();
        let is_head = request.method() == Method::HEAD;
        let told = self.outlets.as_ref().map(|outlets| Told::begin(outlets, &request));
        let witness = self.workbench.as_ref().map(|bench| Witness::begin(bench, &mut request));
        let carried = self.carry(request, peer, told.as_ref(), witness.as_ref());
        let mut failure = None;
        let mut response = match Box::pin(carried).await {
            Ok(response) => response,
            Err(error) => {
                failure = Some(error.reason());
                let reference = format!("{:08x}", now_ms() & 0xffff_ffff);
                if let Some(told) = &told {
                    told.failed(&error, &reference);
                }
                let detail = error.to_string();
                let event = ExchangeFailed {
                    fault: error.fault(),
                    reason: error.reason(),
                    detail: &detail,
                    reference: &reference,
                };
                self.observe.emit(&event);
                let request: HeaderMap =
                    accept.map(|accept| (http::header::ACCEPT, accept)).into_iter().collect();
                let response = error.response(&request, &reference);
                if is_head { response.map(|_| body::empty()) } else { response }
            }
        };
        if let Some(hsts) = self.settings.hsts.as_ref().filter(|_| peer.tls) {
            let field = response.headers_mut().entry(STRICT_TRANSPORT_SECURITY);
            field.or_insert_with(|| hsts.clone());
        }
        if let Some(witness) = &witness {
            response = witness.leaves(failure, response);
        }
        match told {
            Some(told) => told.answered(response),
            None => response,
        }
    }

    /// Carries one exchange there and back.
    async fn carry(
        &self,
        mut request: Request<Incoming>,
        peer: Peer,
        told: Option<&Told>,
        witness: Option<&Witness>,
    ) -> Result<Response<Body>, Error> {
        let started = Instant::now();
        let handover = request.extensions_mut().remove::<Handover>();
        let visitor_upgrade = handover.filter(|_| forward::wants_websocket(&request));
        let (mut parts, body) = request.into_parts();
        head::check_count(&parts, self.settings.limits.head_fields)?;
        let version = parts.version;
        let head = Head::read(&parts, peer, &self.settings.trusted_proxies)?;
        let head = if self.spool.is_some() { head } else { head.of_nobody() };
        if let Some(told) = told {
            told.asked_by(&head, &parts.headers);
        }
        self.admit(&head)?;
        if forward::ends_here(&mut parts) {
            return Ok(forward::what_is_allowed());
        }
        let sites = self.sites.load_full();
        let site = sites.find(&head.host).ok_or_else(|| Error::UnknownHost(head.host.clone()))?;
        let apart = self.spool.is_none().then(|| Arc::new(site.with_memory_apart(&head.host)));
        let site = apart.as_ref().unwrap_or(site);
        let cookie = site.sharing.cookie(&head.host, head.secure);
        let now_s = now_ms() / 1000;
        let region = site.consent.regions.rule(&parts.headers, head.from_trusted);
        let consent =
            consent::read(&parts.headers, cookie.names(), cookie.scope, &site.consent, now_s)
                .in_region(region);
        let in_iab_list = site.policy.catalogue().in_iab_list();
        let consent = consent::refuse_as_tcf(consent, &parts.headers, &site.consent, in_iab_list);
        if let Some(told) = told {
            told.about(&site.name, consent.granted());
        }
        let visit = Visit {
            site,
            texts: site.notice.languages.for_visitor(&parts.headers),
            consent: &consent,
            host: head.authority.as_str(),
            cookie,
            secure: head.secure,
            now_s,
            on_record: OnRecord::default(),
        };
        if let Some(witness) = witness {
            match witness.step(&mut parts, &visit) {
                Step::GoesOn => {}
                Step::Answered(answer) => return Ok(answer.map(body::full)),
                Step::Chooses(form) => {
                    let answer = self.own_answer(Page::Choices, parts, form, &visit, &head, site);
                    return Ok(answer.await);
                }
            }
        }
        let canary = self.canary.as_ref().filter(|_| synthetic::is_canary(site, parts.uri.path()));
        if canary.is_none()
            && let Some(page) = visitor::own_page(site, parts.uri.path())
        {
            return self.own_page(page, parts, body, &visit, &head, site).await;
        }

        let url = head.url(&parts)?;
        let destination = Destination::of(&parts);
        let rules = site
            .rules(parts.uri.path(), day_of(now_s), || head.lot(&consent, &site.consent, now_s));
        // Most requests are for assets that need none.
        let variant =
            LazyLock::new(|| Variant::of(&consent, &rules.policy, visit.texts, &site.notice.theme));
        let enforcing = rules.mode.enforces();
        let before = revival::asked(&mut parts, &consent, rules.policy.observed().is_any())
            .filter(|_| enforcing && !site.cmp_markup);
        let showing = match (enforcing, &before) {
            (true, Some(_)) => Showing::link(&consent),
            (true, None) => Showing::on_page(&parts, &consent, destination),
            (false, _) => Showing::Nothing,
        };
        // Then nothing on a page can be blocked.
        let granted_all = !rules.policy.may_block(&consent);
        let append_only = granted_all && !site.cmp_markup && before.is_none();
        let tells_google = append_only && site.google_consent == GoogleConsent::Always;
        let browser = (enforcing && (!granted_all || tells_google)).then(|| {
            // A copy that brings the live page up to date tells what that page is told.
            let destination = if before.is_some() { Destination::Page } else { destination };
            Browser::of(site, &parts, destination)
        });
        let is_worker = browser::is_worker(&parts);
        let mut exchange = Exchange::new(
            Arc::clone(site),
            rules.clone(),
            consent.clone(),
            parts.uri.path(),
            self.spool.clone(),
            Arc::clone(&self.observe),
            told.cloned(),
        );
        exchange.witnessed_by(witness);
        let panel = witness
            .filter(|_| enforcing && shown::is_looked_at(&parts, destination))
            .map(|witness| witness.tag(&visit));
        forward::prepare_request(
            &mut parts,
            &head,
            peer,
            visitor_upgrade.is_some(),
            self.settings.origin_via,
        );
        if let Some(told) = told {
            told.put_in(&mut parts.headers);
        }
        let asks_again =
            enforcing && variant::prepare_request(&mut parts, || &*variant, destination);
        let asked = destination.fields_for_answer(&parts.headers);
        let path = exchange.path.clone();
        let is_gpc_support = gpc_support::is_asked(&parts.method, parts.uri.path());
        let (mut cleared, outcome) = clear_request(
            parts,
            &RequestContext {
                policy: &rules.policy,
                consent: &consent,
                host: &head.host,
                enforcing,
                address_truncated: site.address_truncated,
            },
        );
        // Cookies are sent with everything; a path or a parameter is what is asked for.
        let asked_of_vendor = outcome.decisions.iter().any(|decision| {
            matches!(decision.kind, Kind::OwnPath | Kind::Parameter)
                && decision.depends_on_consent()
        });
        if destination != Destination::Asset || outcome.withheld {
            // A page's own exchange has the same decisions as those of its
            // thirty assets: once is enough.
            exchange.decisions.extend(outcome.decisions);
        }
        if outcome.withheld {
            exchange.file();
            let answer = withheld::answer(&asked, cleared.get());
            return Ok(self.ended(&exchange, started, answer));
        }

        if let Some(key) = &site.origins.statement_key {
            key.sign(&mut cleared, now_s);
        }
        let origins = canary.unwrap_or(&site.origins);
        let method = cleared.get().method.clone();
        let is_head = method == Method::HEAD;
        let mut question = None;
        // A body could not be sent a second time; and what the synthetic
        // visitor gets nobody else does.
        let is_plain = visitor_upgrade.is_none() && body.is_end_stream();
        if self.spool.is_some() && destination.may_be_page() && is_plain {
            question = self.visits.question(site, &head, &cleared, &asked);
        }
        let asking = told.map(Told::asks_origin);
        let body = RequestBody::new(body, version, &self.settings);
        let judged_for = enforcing.then_some(destination);
        let response = self
            .fetch(cleared, body, origins, judged_for, visitor_upgrade, question.as_ref())
            .await;
        drop(asking);
        let response = response?;
        if is_gpc_support && !gpc_support::is_stated(&response) {
            return Ok(self.ended(&exchange, started, gpc_support::answer(now_s)));
        }
        let (mut parts, body) = response.into_parts();
        let is_page = document::is_document(&parts, destination);
        let to_keep = question
            .filter(|_| is_page && matches!(body, Source::Origin(_)))
            .and_then(|question| question.keeping(site, &parts, &asked));
        forward::prepare_response(&mut parts);
        // Neither the notice nor the guard is markup that XML could take.
        let (showing, browser) = if document::is_xml(&parts) {
            (Showing::Nothing, browser.map(|browser| Browser { guard: None, ..browser }))
        } else {
            (showing, browser)
        };
        let outcome = clear_response(
            &mut parts,
            &ResponseContext {
                policy: &rules.policy,
                consent: &consent,
                host: &head.host,
                url: &url,
                enforcing,
                secure: head.secure,
                is_page,
                denied_cookies: &outcome.denied_cookies,
                places: site.memory.cookies(),
            },
        );
        if !is_page
            && (enforcing || rules.by_lot)
            && (asked_of_vendor
                || outcome.decisions.iter().any(Decision::depends_on_consent)
                || variant::varies_with_consent(&parts.headers))
        {
            variant::keep_private(&mut parts.headers);
        }
        exchange.decisions.extend(outcome.decisions);
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            exchange.file();
            return Ok(self.ended(&exchange, started, Response::from_parts(parts, body::empty())));
        }
        let panel = panel.filter(|_| !document::is_xml(&parts)).unwrap_or_default();
        let untouched = enforcing && append_only && showing.is_nothing() && panel.is_empty();
        let patience = self.settings.timeouts.response_body;
        let guarded =
            !append_only && browser.as_ref().is_some_and(|browser| browser.guard.is_some());
        // Most answers are no pages, and most pages are remembered: neither
        // needs any of it.
        let context = |showing: Showing, headers: &HeaderMap| {
            let shown = Shown::of(showing, &visit, path_and_query(&url));
            let shown = shown.beside(&panel).under(headers);
            PageContext {
                policy: Arc::clone(&rules.policy),
                consent: consent.clone(),
                before: before.clone(),
                host: head.host.clone(),
                placeholders: visitor::placeholders(&visit, path_and_query(&url)),
                others: OtherTools {
                    makes_live: site.cmp_markup,
                    appended_beside: (site.beside_other_cmp
                        && consent.is_undecided()
                        && !showing.is_nothing())
                    .then(|| visitor::link(&visit, path_and_query(&url)) + &panel),
                },
                appended: shown.appended,
                opening: shown.opening,
                memory_bytes: self.settings.limits.page_memory_bytes,
                enforcing,
                guarded,
                url: url.clone(),
            }
        };
        if !is_page {
            if let Some(browser) = browser.filter(|_| is_worker) {
                let context = context(Showing::Nothing, &parts.headers);
                let field = browser.field(&browser::worker_policy(&context, site));
                if let Some(field) = field {
                    parts.headers.append(CONTENT_SECURITY_POLICY, field);
                }
            }
            if script::is_script(&method, &parts) {
                let begun = script::Begun::read(&parts, body, patience).await?;
                let ruling = site.policy.decide_script(&begun.text, begun.size, &consent);
                let recognised = ruling.identity.is_some();
                if recognised {
                    let decision = Decision::on_url(&ruling, Layer::Response, Kind::Script, &url);
                    exchange.decisions.push(decision);
                }
                exchange.file();
                let response = if enforcing && ruling.verdict.blocks() {
                    script::withheld(parts, &variant)
                } else {
                    match recognised {
                        true if enforcing => script::mark_allowed(&mut parts, &variant),
                        true if rules.by_lot => variant::mark_spared(&mut parts.headers),
                        _ => {}
                    }
                    Response::from_parts(parts, begun.pass(patience))
                };
                return Ok(self.ended(&exchange, started, response));
            }
            if parts.status == StatusCode::NOT_MODIFIED && asks_again {
                variant::mark_page(&mut parts.headers, &variant, true);
            }
            exchange.file();
            let response =
                Response::from_parts(parts, PassedBody::new(body, patience).boxed_unsync());
            return Ok(self.ended(&exchange, started, response));
        }

        let recall = (self.memo.is_on()
            && self.spool.is_some()
            && site.remembers_pages
            && before.is_none()
            && method == Method::GET)
            .then(|| {
                let mut key = Key::new(site, &consent, day_of(now_s));
                key.add(&[
                    u8::from(enforcing),
                    u8::from(untouched),
                    u8::from(append_only),
                    showing as u8,
                    u8::from(guarded),
                    u8::from(browser.is_some()),
                    u8::from(browser.as_ref().is_some_and(|browser| browser.guard.is_some())),
                    rules.mode as u8,
                ]);
                for part in [variant.as_str(), head.scheme(), head.authority.as_str()] {
                    key.add(part.as_bytes());
                }
                key.add(path_and_query(&url).as_bytes());
                page::Recall {
                    memo: Arc::clone(&self.memo),
                    key,
                    taught: site.memory.taught(&head.host),
                }
            });
        let draft = |headers: &HeaderMap| context(showing, headers);
        let variant = Variant::clone(&variant);
        let held = Arc::clone(&self.held);
        let plan = Plan { draft, append_only, variant, browser, recall, to_keep, held };
        if rules.by_lot && !enforcing {
            variant::mark_spared(&mut parts.headers);
        }
        if untouched {
            variant::mark_page(&mut parts.headers, &plan.variant, false);
            variant::mark_variant(&mut parts.headers, &plan.variant);
        }
        let mut response = if !enforcing || untouched {
            page::watch(parts, body, plan, exchange, &self.settings.limits, &self.settings.timeouts)
        } else if is_head {
            variant::mark_page(&mut parts.headers, &plan.variant, true);
            exchange.file();
            Response::from_parts(parts, body::empty())
        } else {
            page::rewrite(
                parts,
                body,
                &asked,
                plan,
                exchange,
                &self.settings.limits,
                &self.settings.timeouts,
            )
            .await?
        };
        if let Some(before) = &before {
            revival::mark(response.headers_mut(), before);
        }
        self.observe.emit(&ExchangeEnded {
            site: &site.name,
            path: &path,
            class: consent.granted(),
            status: response.status().as_u16(),
            took: started.elapsed(),
            withheld: 0,
        });
        Ok(response)
    }

    fn admit(&self, head: &Head) -> Result<(), Error> {
        match head.client {
            Some(client) if !self.limiter.admits(client) => {
                self.observe.emit(&VisitorLimited);
                Err(Error::TooMany)
            }
            _ => Ok(()),
        }
    }

    /// Sends a cleared request to the origin. A part of a document cannot be
    /// judged, so where documents are and one comes back, the whole is asked for.
    async fn fetch(
        &self,
        cleared: Cleared<Parts>,
        body: RequestBody,
        origins: &Arc<Origins>,
        judged_for: Option<Destination>,
        visitor_upgrade: Option<Handover>,
        question: Option<&Question>,
    ) -> Result<Response<Source>, Error> {
        let declared = body.size_hint().lower();
        if declared > self.settings.limits.request_body_bytes {
            return Err(Error::BodyTooLarge);
        }
        let mut cleared = cleared;
        let partial =
            cleared.get().method == Method::GET && cleared.get().headers.contains_key(RANGE);
        // The copy has no body, so it must not promise one: the origin would
        // take the next visitor's request for it.
        let mut again = (partial && judged_for.is_some())
            .then(|| cleared.copy_without(&[RANGE, IF_RANGE, CONTENT_LENGTH]));
        let question = question.filter(|question| question.is_known());
        if let Some(question) = question {
            again = Some(cleared.copy_without(&[CONTENT_LENGTH]));
            question.put_in(&mut cleared);
        }
        let mut response = self.upstream.send(cleared, body, origins).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let is_asked = forward::becomes_websocket(response.headers());
            let Some(visitor_upgrade) = visitor_upgrade.filter(|_| is_asked) else {
                return Err(Error::OriginBroken("it switched protocols unasked".to_owned()));
            };
            visitor_upgrade.give(&mut response);
            return Ok(response.map(Source::Origin));
        }
        let (parts, body) = response.into_parts();
        let unusable = match (parts.status, question) {
            (StatusCode::NOT_MODIFIED, Some(question)) => match question.answered(&parts) {
                Some((page, body)) => return Ok(Response::from_parts(page, body)),
                None => true,
            },
            (StatusCode::PARTIAL_CONTENT, _) => {
                judged_for.is_some_and(|destination| document::is_in(&parts, destination))
            }
            _ => false,
        };
        match again.filter(|_| unusable) {
            Some(again) => {
                drop(body);
                let answer = self.upstream.send(again, RequestBody::none(), origins).await?;
                Ok(answer.map(Source::Origin))
            }
            None => Ok(Response::from_parts(parts, Source::Origin(body))),
        }
    }

    fn ended(
        &self,
        exchange: &Exchange,
        started: Instant,
        response: Response<Body>,
    ) -> Response<Body> {
        self.observe.emit(&ExchangeEnded {
            site: &exchange.site.name,
            path: &exchange.path,
            class: exchange.consent.granted(),
            status: response.status().as_u16(),
            took: started.elapsed(),
            withheld: exchange.withheld(),
        });
        response
    }
}

fn path_and_query(url: &Url) -> &str {
    &url[url::Position::BeforePath..url::Position::AfterQuery]
}
