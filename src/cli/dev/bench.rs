//! Who looks on: the one workbench there is.
//!
//! It is private to this command. The proxy takes a workbench and makes none,
//! so nobody else can hand one in.

use super::journal::{Journal, Seen, Verdicts};
use super::switch::{self, Asked, Switch};
use super::{answers, pages};
use crate::enforce::html::escape;
use crate::proxy::{About, Judged, Step, Workbench};
use crate::visitor::Visit;

use bytes::Bytes;
use http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    SET_COOKIE,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, response};
use std::net::IpAddr;
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The field with which a page that waits for the origin asks for it.
const WAITING: &str = "x-consentry-waiting";

/// What is shown of all exchanges, and what the next page is to be.
#[derive(Debug, Default)]
pub(super) struct Bench {
    journal: Mutex<Journal>,
    /// For the next page that a browser asks for.
    next: Mutex<Option<Switch>>,
    /// Who is told of each exchange that is over.
    tell: Mutex<Option<SyncSender<Seen>>>,
    /// The origin, as it was written.
    origin: String,
    /// Names that somebody said are ours.
    hosts: Vec<String>,
}

impl Bench {
    pub(super) fn new(origin: &str, hosts: &[String], tell: Option<SyncSender<Seen>>) -> Self {
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { origin: origin.to_owned(), hosts, tell: Mutex::new(tell), ..Self::default() }
    }

    /// The origin, as it was written.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whoever listens hears that no more is to come.
    pub(super) fn tell_no_more(&self) {
        *self.tell.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next page that a browser asks for is seen in this state.
    pub(super) fn switch_next(&self, switch: Switch) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(switch);
    }

    /// Tells of an exchange if no more is to come of it.
    fn tell(&self, seen: Option<Seen>) {
        let tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(tell), Some(seen)) = (&*tell, seen.filter(|seen| !seen.is_own)) {
            // Nobody may be listening any more, or somebody stands still and misses it.
            let _ = tell.try_send(seen);
        }
    }

    /// Whether it is asked under a name that no stranger can have lead here: a
    /// page of theirs could read whatever is answered under a name of theirs.
    fn is_ours(&self, visit: &Visit<'_>) -> bool {
        let Ok(name) = visit.host.parse::<Authority>() else { return false };
        let host = name.host().trim_end_matches('.').to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || [".localhost", ".test"].iter().any(|end| host.ends_with(end))
            || visit.site.hosts.contains(&host)
            || self.hosts.contains(&host)
    }

    /// What an address, or somebody at the terminal, wants the state to be.
    fn wanted(&self, request: &Parts) -> Asked {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Asked::Nothing;
        }
        let is_ahead = switch::is_ahead_of_time(&request.headers);
        match switch::asked(&request.uri) {
            Asked::Nothing if is_ahead => Asked::Nothing,
            Asked::For(..) if is_ahead => Asked::TooEarly,
            Asked::Nothing if is_navigation(request) => {
                let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
                let here = request.uri.path_and_query().map_or("/", |target| target.as_str());
                next.map_or(Asked::Nothing, |switch| Asked::For(switch, here.to_owned()))
            }
            asked => asked,
        }
    }

    fn switch(
        &self,
        number: u64,
        (switch, path): (Switch, String),
        request: &mut Parts,
        visit: &Visit<'_>,
    ) -> Step {
        let cookies = switch.cookies(visit);
        let form = switch.form(&path).filter(|_| switch::become_choice(request, visit).is_some());
        match form {
            Some(form) => {
                self.journal().learn(number, |seen| seen.cookies = cookies);
                Step::Chooses(form.into())
            }
            None => Step::Answered(switch::on_to(&path, &cookies)),
        }
    }
}

/// Whether a person goes to a page with it.
fn is_navigation(request: &Parts) -> bool {
    let field = |name: &str| request.headers.get(name).and_then(|field| field.to_str().ok());
    request.method == Method::GET
        && match field("sec-fetch-dest") {
            Some(destination) => destination == "document",
            None => takes_html(&request.headers),
        }
}

fn takes_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

impl Workbench for Bench {
    fn begins(&self, method: &Method, uri: &Uri, headers: &mut HeaderMap) -> u64 {
        let has_gpc = switch::take_mark(headers);
        if has_gpc && matches!(switch::asked(uri), Asked::Nothing) {
            headers.insert("sec-gpc", HeaderValue::from_static("1"));
        }
        let takes_html = takes_html(headers);
        if takes_html {
            // Every page is judged anew, so that there is something to look at.
            headers.remove(IF_NONE_MATCH);
            headers.remove(IF_MODIFIED_SINCE);
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
        self.journal().begin(Seen {
            number: 0,
            begun: Instant::now(),
            method: method.to_string(),
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            host: host.unwrap_or_default().to_owned(),
            takes_html,
            is_own: headers.remove(WAITING).is_some(),
            is_carried: false,
            status: None,
            took: Duration::ZERO,
            failure: None,
            verdicts: None,
            cookies: Vec::new(),
        })
    }

    fn step(&self, number: u64, request: &mut Parts, visit: &Visit<'_>) -> Step {
        let is_own = |path: &str| path.strip_prefix(&*visit.site.own_prefix).map(str::to_owned);
        let own =
            is_own(request.uri.path()).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let wanted = if own.is_none() { self.wanted(request) } else { Asked::Nothing };
        let is_ours = own.is_some() || !matches!(wanted, Asked::Nothing);
        self.journal().learn(number, |seen| {
            seen.is_own |= is_ours;
            seen.is_carried = !is_ours;
        });
        match wanted {
            Asked::Nothing => {}
            Asked::For(switch, path) => return self.switch(number, (switch, path), request, visit),
            Asked::TooEarly => return Step::Answered(pages::too_early()),
            Asked::Unknown(value) => return Step::Answered(pages::unknown_state(&value)),
        }
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        let answer = own.filter(|_| is_read && self.is_ours(visit));
        let answer = answer.and_then(|rest| match rest.as_str() {
            "/decisions" => Some(answers::decisions(&self.journal(), request.uri.query())),
            "/dev" | "/dev/" => {
                let query = request.uri.query();
                Some(pages::exchanges(&self.journal(), &self.origin, query, visit))
            }
            rest if rest.strip_prefix("/dev/") == Some(pages::panel_name()) => Some(pages::panel()),
            _ => None,
        });
        answer.map_or(Step::GoesOn, Step::Answered)
    }

    fn tag(&self, number: u64, visit: &Visit<'_>) -> String {
        if !self.is_ours(visit) {
            return String::new();
        }
        let scheme = if visit.secure { "https:" } else { "" };
        let (host, prefix) = (escape(visit.host), escape(&visit.site.own_prefix));
        // It begins like the notice's, and so gets a nonce where that does.
        format!(
            "<script defer src=\"{scheme}//{host}{prefix}/dev/{}\" data-consentry-exchange=\"{number}\"></script>",
            pages::panel_name()
        )
    }

    fn decided(&self, about: About<'_>, judged: &Judged<'_>) {
        let number = match about {
            About::Exchange(number) => number,
            About::Page(path) => return self.journal().report(path, judged),
        };
        let over = self.journal().learn(number, |seen| {
            seen.verdicts = Some(Verdicts::of(judged));
            seen.is_over().then(|| seen.clone())
        });
        self.tell(over.flatten());
    }

    fn leaves(
        &self,
        number: u64,
        failure: Option<&'static str>,
        head: &mut response::Parts,
    ) -> Option<Bytes> {
        let seen = self.journal().learn(number, |seen| {
            seen.status = Some(head.status.as_u16());
            seen.took = seen.begun.elapsed();
            seen.failure = failure;
            seen.clone()
        })?;
        for cookie in seen.cookies.iter().filter_map(|cookie| HeaderValue::from_str(cookie).ok()) {
            head.headers.append(SET_COOKIE, cookie);
        }
        mark(&seen, &mut head.headers);
        self.tell(Some(seen.clone()).filter(Seen::is_over));
        let is_down = matches!(failure, Some("unreachable"));
        if is_down {
            let down = HeaderValue::from_static("down");
            head.headers.insert(HeaderName::from_static("x-consentry-origin"), down);
        }
        if !(is_down && seen.takes_html && seen.method == "GET") {
            return None;
        }
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        let policy = HeaderValue::from_static(pages::INLINE_POLICY);
        head.headers.insert(CONTENT_SECURITY_POLICY, policy);
        Some(pages::waiting(&self.origin))
    }
}

/// Says in the head of an answer what was made of it.
fn mark(seen: &Seen, fields: &mut HeaderMap) {
    if seen.is_own {
        return;
    }
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            fields.insert(HeaderName::from_static(name), value);
        }
    };
    put("x-consentry-exchange", &seen.number.to_string());
    let (mut held, mut class) = ("pending".to_owned(), String::new());
    if let Some(verdicts) = &seen.verdicts {
        (held, class) = (seen.held().to_string(), format!("class {}; ", verdicts.class));
        put("x-consentry-class", &verdicts.class);
        put("x-consentry-mode", verdicts.mode);
        put("x-consentry-passed", &seen.passed().to_string());
    }
    put("x-consentry-held", &held);
    let milliseconds = seen.took.as_secs_f64() * 1000.0;
    let timing = format!("consentry;dur={milliseconds:.1};desc=\"{class}{held} held\"");
    if let Ok(timing) = HeaderValue::from_str(&timing) {
        fields.append(HeaderName::from_static("server-timing"), timing);
    }
}
