//! The pages a visitor sees: the notice, the choices, the receipt.
//!
//! A page only ever shows; a choice is made by a POST that proves it comes
//! from one of our own pages. Nothing is stored before a choice, no page needs
//! a script (the notice has one, and does without), and no page asks another host for anything. This room does no
//! I/O and reads no clock; all it takes from the machine is the random number
//! of a receipt.

mod api;
mod archive;
mod choices;
mod choose;
mod declaration;
mod embed;
mod form;
mod me;
mod notice;
mod on_record;
mod page;
mod proof;
mod receipt;
mod refusal;
mod return_to;
mod script;
mod services;
mod state;
mod status;
#[cfg(test)]
pub(crate) mod trial;
mod withheld;

pub use archive::{archived, in_every_language};
pub use embed::{Asked, placeholders};
pub use notice::{choices_url, link, notice, opening};
pub use on_record::{Kept, OnRecord, Withheld, page_asked_about};

use crate::consent::{Consent, Record};
use crate::ledger;
use crate::notice::Texts;
use crate::site::{ChoiceCookie, Site};
use refusal::Refusal;
use return_to::ReturnTo;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request};
use std::sync::Arc;

/// The longest form that is read: one with a word about every vendor there is.
pub const FORM_BYTES: usize = 128 * 1024;

/// The longest report that is read: a browser puts the whole policy in it.
pub const REPORT_BYTES: usize = 64 * 1024;

/// One visitor on one site, as far as our own pages need to know.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The site.
    pub site: &'a Site,
    /// What they read, in their language.
    pub texts: &'a Arc<Texts>,
    /// What the visitor chose so far.
    pub consent: &'a Consent,
    /// The site's authority as the visitor wrote it, with the port.
    pub host: &'a str,
    /// The cookie that keeps their choice.
    pub cookie: ChoiceCookie<'a>,
    /// Whether the visitor's connection is https.
    pub secure: bool,
    /// The time in seconds since 1970.
    pub now_s: u64,
    /// What the ledger says, for pages that show it.
    pub on_record: OnRecord<'a>,
}

impl<'a> Visit<'a> {
    /// The language of what this visitor sees (BCP 47).
    #[must_use]
    pub fn language(&self) -> &'a str {
        &self.texts.lang
    }

    fn texts(&self) -> &'a Texts {
        self.texts
    }

    /// Who answers for the site, as the visitor knows them.
    fn operator(&self) -> &'a str {
        let name = self.site.notice.operator.trim();
        if name.is_empty() { self.host } else { name }
    }

    fn path(&self, page: &str) -> String {
        format!("{}/{page}", self.site.own_prefix)
    }

    /// What goes before a path of ours inside a page of the site, where a
    /// `<base>` of that page would send a bare path to another host. Without
    /// https here the scheme is left to the page: a front that we do not know
    /// of may have taken the visitor's https.
    fn host_prefix(&self) -> String {
        format!("{}//{}", if self.secure { "https:" } else { "" }, self.host)
    }
}

/// One of our own pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Where a visitor chooses.
    Choices,
    /// The choice, for the scripts of the site.
    State,
    /// Where browsers report what they held back.
    Reports,
    /// What counts for the visitor, and what was held back for them.
    Me,
    /// Whom the site was met with.
    Declaration,
    /// Where one embed is shown.
    Embed,
    /// The visitor's receipt.
    Receipt,
    /// One of the scripts that keep holding in the browser.
    Guard,
    /// The script behind the notice.
    Script,
    /// The script with which the site's own code asks and chooses.
    Api,
    /// A path of ours with nothing behind it.
    Unknown,
}

/// The page at `path`, when the path is ours: everything below the prefix is,
/// so that a later page of ours never was the origin's.
#[must_use]
pub fn own_page(site: &Site, path: &str) -> Option<Page> {
    let rest = path.strip_prefix(&*site.own_prefix)?;
    match rest {
        "/choices" => Some(Page::Choices),
        "/state" => Some(Page::State),
        "/reports" => Some(Page::Reports),
        "/me" => Some(Page::Me),
        "/declaration" => Some(Page::Declaration),
        "/embed" => Some(Page::Embed),
        "/receipt" => Some(Page::Receipt),
        _ if site.guard.find(rest.strip_prefix('/').unwrap_or_default()).is_some() => {
            Some(Page::Guard)
        }
        _ if rest.strip_prefix('/') == Some(script::name()) => Some(Page::Script),
        _ if rest.strip_prefix('/').is_some_and(api::is_named) => Some(Page::Api),
        _ if rest.is_empty() || rest.starts_with('/') => Some(Page::Unknown),
        _ => None,
    }
}

/// What one of our own pages answers.
#[derive(Debug)]
pub struct Answer {
    /// For the visitor.
    pub response: Response<Bytes>,
    /// The choice, when the visitor made one.
    pub chosen: Option<Record>,
    /// Where they made it.
    pub method: ledger::Method,
    /// Whether it was about one vendor alone.
    pub one_vendor: bool,
    /// The embed, when the visitor asked for one.
    pub asked: Option<Asked>,
    /// The choice that is to be forgotten, when the visitor wants that.
    pub erased: Option<Record>,
}

impl Answer {
    const fn shown(response: Response<Bytes>) -> Self {
        let method = ledger::Method::Form;
        Self { response, chosen: None, method, one_vendor: false, asked: None, erased: None }
    }
}

/// Answers a request for one of our own pages.
///
/// `body` is the whole body, at most [`FORM_BYTES`] long.
#[must_use]
pub fn answer(page: Page, request: &request::Parts, body: &[u8], visit: &Visit<'_>) -> Answer {
    let shown = match (page, &request.method) {
        (Page::Choices, &Method::GET | &Method::HEAD) => {
            choices::page(&ReturnTo::from_query(request.uri.query(), visit), visit)
        }
        (Page::State, &Method::GET | &Method::HEAD) => state::page(visit),
        (Page::Me, &Method::GET | &Method::HEAD) => {
            me::page(&ReturnTo::from_query(request.uri.query(), visit), visit)
        }
        (Page::Declaration, &Method::GET | &Method::HEAD) => {
            declaration::page(&ReturnTo::from_query(request.uri.query(), visit), visit)
        }
        (Page::Receipt, &Method::GET | &Method::HEAD) => receipt::download(visit),
        (Page::Receipt, &Method::POST) => match receipt::delete(&request.headers, body, visit) {
            Ok((response, erased)) => return Answer { erased, ..Answer::shown(response) },
            Err(refusal) => refusal.page(&ReturnTo::home(), visit),
        },
        (Page::Guard, &Method::GET | &Method::HEAD) => guard_file(request.uri.path(), visit),
        (Page::Script, &Method::GET | &Method::HEAD) => script::answer(),
        (Page::Api, &Method::GET | &Method::HEAD) => api::answer(request.uri.path(), visit),
        (Page::Reports, &Method::POST) => page::empty(StatusCode::NO_CONTENT),
        (Page::Choices, &Method::POST) => match choose::choose(&request.headers, body, visit) {
            Ok((response, record)) => {
                return Answer {
                    chosen: Some(record),
                    method: form::method(body),
                    one_vendor: form::is_about_one_vendor(body),
                    ..Answer::shown(response)
                };
            }
            Err(refusal) => refusal.page(&ReturnTo::from_form(body, visit), visit),
        },
        (Page::Embed, &Method::POST) => match embed::show(&request.headers, body, visit) {
            Ok((response, asked)) => {
                return Answer { asked, ..Answer::shown(response) };
            }
            Err(refusal) => embed::in_frame(refusal.page(&ReturnTo::home(), visit)),
        },
        (Page::Choices | Page::Receipt, _) => wrong_method("GET, HEAD, POST", visit),
        (
            Page::State | Page::Me | Page::Declaration | Page::Guard | Page::Script | Page::Api,
            _,
        ) => wrong_method("GET, HEAD", visit),
        (Page::Reports | Page::Embed, _) => wrong_method("POST", visit),
        (Page::Unknown, _) => Refusal::Unknown.page(&ReturnTo::home(), visit),
    };
    let response = if request.method == Method::HEAD { shown.map(|_| Bytes::new()) } else { shown };
    Answer::shown(response)
}

fn guard_file(path: &str, visit: &Visit<'_>) -> Response<Bytes> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match visit.site.guard.find(name) {
        Some(file) => page::script(file.body(), file.name() == name),
        None => Refusal::Unknown.page(&ReturnTo::home(), visit),
    }
}

fn wrong_method(allowed: &'static str, visit: &Visit<'_>) -> Response<Bytes> {
    let mut response = Refusal::Method.page(&ReturnTo::home(), visit);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The body of `/.well-known/gpc.json`, which says that Global Privacy Control
/// is honoured here; `last_update` is the date of that statement.
#[must_use]
pub fn gpc_support(last_update: &str) -> Bytes {
    Bytes::from(serde_json::json!({ "gpc": true, "lastUpdate": last_update }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent;
    use crate::purpose::{Purpose, PurposeSet};
    use crate::visitor::trial::{self, NOW_S, Trial};

    #[test]
    fn e1_a_plain_form_changes_the_next_page() {
        let trial = Trial::new();
        let page = trial.get("/.consentry/choices?return_to=/shoes");
        assert!(trial::text(&page).contains("You have not chosen yet"));
        let body = "return_to=%2Fshoes&purpose=analytics&choice=some";
        let answer = trial.post(&[("origin", "http://shop.example")], body);
        assert_eq!(answer.response.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.response.headers()["location"], "/shoes");
        let record = answer.chosen.as_ref().unwrap();
        assert_eq!(record.granted, PurposeSet::NECESSARY.with(Purpose::Analytics));
        assert_eq!((record.decided, record.time_s), (PurposeSet::ALL, NOW_S));

        let next = trial.with_cookie_of(&answer);
        assert!(!next.consent.is_undecided());
        assert!(
            next.consent.grants(Purpose::Analytics) && !next.consent.grants(Purpose::Marketing)
        );
        let page = next.get("/.consentry/choices");
        let ticked: Vec<_> = trial::tags(page.body(), "input")
            .into_iter()
            .filter(|input| input.attribute("checked").is_some())
            .map(|input| input.attribute("value").unwrap().to_owned())
            .collect();
        assert_eq!(ticked, ["analytics"]);
        assert!(trial::text(&page).contains("2026-09-21 14:13 UTC"), "{}", trial::text(&page));
    }

    #[test]
    fn e4_withdrawing_takes_the_same_form_and_counts_at_once() {
        let trial = Trial::new();
        let proof = [("origin", "http://shop.example")];
        let granted = trial.with_cookie_of(&trial.post(&proof, "choice=all"));
        assert!(granted.consent.grants(Purpose::Marketing));
        let withdrawn = granted.with_cookie_of(&granted.post(&proof, "choice=none"));
        assert_eq!(withdrawn.consent.granted(), PurposeSet::NECESSARY);
        assert_eq!(withdrawn.consent.source(), consent::Source::Choice);
    }

    #[test]
    fn c10_e3_looking_stores_nothing_and_grants_nothing() {
        let trial = Trial::new();
        for path in [
            "/.consentry/choices",
            "/.consentry/choices?choice=all",
            "/.consentry/choices?choice=all&purpose=marketing&_method=POST&return_to=/",
            "/.consentry/state",
            "/.consentry/me",
            "/.consentry/declaration",
            "/.consentry/reports",
            "/.consentry/nothing",
            "/.consentry",
        ] {
            for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS, Method::DELETE]
            {
                let fields =
                    [("origin", "http://shop.example"), ("x-http-method-override", "POST")];
                let answer = trial.ask(method.clone(), path, &fields, "choice=all");
                assert!(answer.response.headers().get("set-cookie").is_none(), "{method} {path}");
                assert_eq!(answer.chosen, None, "{method} {path}");
            }
        }
    }

    #[test]
    fn d1_the_cookie_is_for_this_host_and_for_no_script() {
        for (secure, start, end) in
            [(false, "consentry=v1.", "SameSite=Lax"), (true, "__Host-consentry=v1.", "; Secure")]
        {
            let trial = Trial { secure, ..Trial::new() };
            let origin = if secure { "https://shop.example" } else { "http://shop.example" };
            let answer = trial.post(&[("origin", origin)], "choice=none");
            let cookie = answer.response.headers()["set-cookie"].to_str().unwrap();
            assert!(cookie.starts_with(start) && cookie.ends_with(end), "{cookie}");
            let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
            let expected = ["Path=/", "Max-Age=1000", "HttpOnly", "SameSite=Lax", "Secure"];
            assert_eq!(attributes, expected[..if secure { 5 } else { 4 }]);
            assert_eq!(answer.response.headers()["cache-control"], "private, no-store");
        }
    }

    #[test]
    fn two_choices_share_no_receipt() {
        let trial = Trial::new();
        let receipt = || {
            let answer = trial.post(&[("origin", "http://shop.example")], "choice=all");
            answer.chosen.unwrap().receipt
        };
        assert_ne!(receipt(), receipt());
    }

    #[test]
    fn a_choice_says_whether_gpc_was_on() {
        for gpc in [false, true] {
            let trial = Trial::new().with_fields(&[("sec-gpc", if gpc { "1" } else { "0" })]);
            let answer = trial.post(&[("origin", "http://shop.example")], "choice=all");
            assert_eq!(answer.chosen.unwrap().made_under_gpc, gpc);
        }
    }

    #[test]
    fn a_head_is_the_get_without_its_body() {
        let trial = Trial::new();
        for path in ["/.consentry/choices", "/.consentry/state", "/.consentry/me", "/.consentry/x"]
        {
            let get = trial.ask(Method::GET, path, &[], "").response;
            let head = trial.ask(Method::HEAD, path, &[], "").response;
            assert_eq!((get.status(), get.headers()), (head.status(), head.headers()), "{path}");
            assert!(head.body().is_empty());
            assert_eq!(get.headers()["content-length"], get.body().len().to_string());
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let trial = Trial::new();
        for (method, path, allowed) in [
            (Method::PUT, "/.consentry/choices", "GET, HEAD, POST"),
            (Method::POST, "/.consentry/state", "GET, HEAD"),
            (Method::DELETE, "/.consentry/me", "GET, HEAD"),
            (Method::POST, "/.consentry/declaration", "GET, HEAD"),
            (Method::GET, "/.consentry/reports", "POST"),
        ] {
            let response = trial.ask(method, path, &[], "").response;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(response.headers()["allow"], allowed, "{path}");
        }
        let reports = trial.ask(Method::POST, "/.consentry/reports", &[], "{}").response;
        assert_eq!(reports.status(), StatusCode::NO_CONTENT);
    }

    #[test]
    fn everything_below_the_prefix_is_ours_and_nothing_else() {
        let site = trial::site();
        for (path, page) in [
            ("/.consentry/choices", Some(Page::Choices)),
            ("/.consentry/state", Some(Page::State)),
            ("/.consentry/reports", Some(Page::Reports)),
            ("/.consentry/me", Some(Page::Me)),
            ("/.consentry", Some(Page::Unknown)),
            ("/.consentry/", Some(Page::Unknown)),
            ("/.consentry/choices/", Some(Page::Unknown)),
            ("/.consentry/../x", Some(Page::Unknown)),
            ("/.consentryx", None),
            ("/x/.consentry/choices", None),
            ("/", None),
        ] {
            assert_eq!(own_page(&site, path), page, "{path}");
        }
    }

    #[test]
    fn d4_the_support_statement_is_json() {
        assert_eq!(gpc_support("2026-11-22"), r#"{"gpc":true,"lastUpdate":"2026-11-22"}"#);
    }
}
