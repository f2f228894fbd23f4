//! Answers for our own pages, and what comes of them: a choice is put on
//! record, an embed is, and so is what browsers report.

use crate::observe::{ChoiceMade, ChoiceNotTaken};
use crate::proxy::body::{self, Body};
use crate::proxy::error::Error;
use crate::proxy::exchange::{Exchange, now_ms};
use crate::proxy::head::Head;
use crate::proxy::workbench::Witness;
use crate::proxy::{Proxy, archive, browser, withdrawal};
use crate::site::{Site, day_of};
use crate::visitor::{self, Asked, Page, Visit};

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::request::Parts;
use http::{Method, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::sync::{Arc, PoisonError};

impl Proxy {
    /// Answers under our own prefix.
    pub(super) async fn own_page(
        &self,
        page: Page,
        parts: Parts,
        body: Incoming,
        visit: &Visit<'_>,
        head: &Head,
        site: &Arc<Site>,
    ) -> Result<Response<Body>, Error> {
        let most = if page == Page::Reports { visitor::REPORT_BYTES } else { visitor::FORM_BYTES };
        let read = Limited::new(body, most).collect();
        let body = match tokio::time::timeout(self.settings.timeouts.request_body, read).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(_)) => return Err(Error::BodyTooLarge),
            Err(_) => return Err(Error::BodyTimeout),
        };
        Ok(self.own_answer(page, parts, body, visit, head, site).await)
    }

    /// The same once the body is there.
    pub(super) async fn own_answer(
        &self,
        page: Page,
        parts: Parts,
        body: Bytes,
        visit: &Visit<'_>,
        head: &Head,
        site: &Arc<Site>,
    ) -> Response<Body> {
        let recalled = self.recall.about(page, &parts, visit).await;
        let visit = &Visit { on_record: recalled.on_record(), ..*visit };
        let mut answer = visitor::answer(page, &parts, &body, visit);
        if page == Page::Reports && parts.method == Method::POST {
            self.take_reports(&parts, &body, visit, head, site);
        }
        if page == Page::Choices && parts.method == Method::POST && answer.chosen.is_none() {
            let status = answer.response.status().as_u16();
            self.observe.emit(&ChoiceNotTaken { site: &visit.site.name, status });
        }
        if let Some(asked) = answer.asked.take() {
            self.record_asked(asked, visit, head, site);
        }
        if let Some(record) = &answer.chosen {
            let event = ChoiceMade {
                site: &visit.site.name,
                granted: record.granted,
                gpc: record.made_under_gpc,
            };
            self.observe.emit(&event);
            let choice =
                archive::Choice { record, method: answer.method, one_vendor: answer.one_vendor };
            if let Some(spool) = &self.spool {
                self.archive.keep(&choice, visit, site, spool);
            }
            let fields = answer.response.headers_mut();
            for field in withdrawal::expiring(parts, fields, record, visit, &head.host) {
                fields.append(SET_COOKIE, field);
            }
        } else if let Some(forgotten) = &answer.erased {
            if let Some(spool) = &self.spool {
                let mut spool = spool.lock().unwrap_or_else(PoisonError::into_inner);
                spool.erase(forgotten.receipt, now_ms());
            }
            let fields = answer.response.headers_mut();
            let nothing = withdrawal::nothing_after(forgotten);
            for field in withdrawal::expiring(parts, fields, &nothing, visit, &head.host) {
                fields.append(SET_COOKIE, field);
            }
        }
        answer.response.map(body::full)
    }

    /// Puts an embed that a visitor asked for on the record of its page.
    fn record_asked(&self, asked: Asked, visit: &Visit<'_>, head: &Head, site: &Arc<Site>) {
        let mut exchange = self.exchange_about(&asked.page, visit, head, site);
        exchange.decisions.push(asked.decision);
        exchange.file();
    }

    /// Puts what a browser did not load on the record of its page.
    fn take_reports(
        &self,
        parts: &Parts,
        body: &[u8],
        visit: &Visit<'_>,
        head: &Head,
        site: &Arc<Site>,
    ) {
        let page = browser::reported_page(parts, body, head);
        let mut exchange = self.exchange_about(&page, visit, head, site);
        browser::take_reports(parts, body, head, &mut exchange, &self.observe);
    }

    /// An exchange that is about the page at `path`, whatever was asked for.
    fn exchange_about(
        &self,
        path: &str,
        visit: &Visit<'_>,
        head: &Head,
        site: &Arc<Site>,
    ) -> Exchange {
        let lot = || head.lot(visit.consent, &site.consent, visit.now_s);
        let mut exchange = Exchange::new(
            Arc::clone(site),
            site.rules(path, day_of(visit.now_s), lot),
            visit.consent.clone(),
            path,
            self.spool.clone(),
            Arc::clone(&self.observe),
            None,
        );
        let witness = self.workbench.as_ref().map(|bench| Witness::of_page(bench, path));
        exchange.witnessed_by(witness.as_ref());
        exchange
    }
}
