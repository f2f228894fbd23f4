//! In and out.

use crate::dashboard::change::now_ms;
use crate::dashboard::gate::{client, cookie_name, is_https, see_other, session_id};
use crate::dashboard::layout;
use crate::dashboard::office::{Context, Office, Peer};
use crate::dashboard::session::{Holder, LOCAL, Session};
use crate::dashboard::users::Role;
use crate::ledger::Audit;

use axum::Form;
use axum::extract::{Extension, Query, State};
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// What stands on record about who did not get in.
const FAILED: &str = "fail to sign in";

/// Where to go afterwards.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Onward {
    #[serde(default)]
    next: String,
}

/// The page where somebody signs in.
pub(super) async fn page(
    State(office): State<Arc<Office>>,
    Query(onward): Query<Onward>,
) -> Response {
    if office.settings.load().users.is_empty() {
        return layout::bare(StatusCode::OK, "Open the dashboard", &by_link());
    }
    layout::bare(StatusCode::OK, "Sign in", &form("", &onward.next, None))
}

fn by_link() -> Markup {
    html! {
        p { "There are no users yet, so the way in is a link that only who may read the ledger can see. On the machine that runs consentry:" }
        pre { code { "consentry dashboard --config consentry.toml" } }
        p.quiet { "or, without a configuration file, " code { "consentry dashboard --ledger PATH" } ". To sign in with a name and a password instead, run " code { "consentry hash-password" } "." }
    }
}

fn form(name: &str, next: &str, wrong: Option<&str>) -> Markup {
    html! {
        @if let Some(wrong) = wrong {
            p.warning role="alert" { (wrong) }
        }
        form.stacked method="post" action="/sign-in" {
            input type="hidden" name="next" value=(next);
            label for="name" { "Name" }
            input #name name="name" value=(name) autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="100" autofocus[name.is_empty()];
            label for="password" { "Password" }
            input #password type="password" name="password" autocomplete="current-password" required maxlength="1000" autofocus[!name.is_empty()];
            button { "Sign in" }
        }
    }
}

/// Name and password.
#[derive(Deserialize)]
pub(super) struct Credentials {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// Signs somebody in.
pub(super) async fn sign_in(
    State(office): State<Arc<Office>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Response {
    let settings = office.settings.load_full();
    if let Err(seconds) = office.throttle.admits(client(&headers, peer, &settings), &given.name) {
        let message = "Too many tries. Wait a minute, and then try once more.";
        let form = form(&given.name, &given.next, Some(message));
        let mut response = layout::bare(StatusCode::TOO_MANY_REQUESTS, "Sign in", &form);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        return response;
    }
    let user = settings.user(&given.name).cloned();
    // A name that nobody has takes as long as a wrong password.
    let Some(checked) = user.clone().or_else(|| settings.users.first().cloned()) else {
        return see_other("/sign-in");
    };
    let password = given.password;
    let fits = in_turn(&office.passwords, move || checked.password.is_of(&password)).await;
    match user {
        Some(user) if fits == Some(true) => {
            tracing::info!(name = user.name, "signed in to the dashboard");
            record(&office, &user.name, user.role.name(), "sign in", Value::Null).await;
            let holder = Holder::User { password: user.password.fingerprint(), name: user.name };
            begin(&office, holder, &headers, peer, &given.next)
        }
        wrong => {
            tracing::warn!("a sign-in to the dashboard failed");
            // Nobody waits for the disk here: who can measure that knows which
            // names there are.
            tokio::spawn(async move {
                match wrong {
                    Some(user) => {
                        record(&office, "?", "", FAILED, json!({ "name": user.name })).await;
                    }
                    None => record_stranger(&office).await,
                }
            });
            let message = "This name and this password do not go together.";
            let form = form(&given.name, &given.next, Some(message));
            layout::bare(StatusCode::UNAUTHORIZED, "Sign in", &form)
        }
    }
}

/// Does work that takes long when it is its turn, and keeps the turn until it
/// is done, even if nobody waits for it any more.
async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let turn = Arc::clone(turns).acquire_owned().await.ok()?;
    let work = move || {
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.ok()
}

/// Puts on record that somebody tried a name that nobody has. Nothing can be
/// taken out of the record again, and a password typed into the wrong field
/// would stand there: the name is not kept.
async fn record_stranger(office: &Arc<Office>) {
    let unknown = |times: u64| json!({ "name": "of nobody", "times": times });
    if !office.strangers.came() {
        return;
    }
    record(office, "?", "", FAILED, unknown(1)).await;
    let office = Arc::clone(office);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let more = office.strangers.minute_is_over();
        if more > 0 {
            record(&office, "?", "", FAILED, unknown(more)).await;
        }
    });
}

/// What the link holds.
#[derive(Debug, Deserialize)]
pub(super) struct Key {
    #[serde(default)]
    token: String,
}

/// Where the link leads. Opening it changes nothing: a chat program that looks
/// at the link first does not use it up.
pub(super) async fn entrance(Query(key): Query<Key>) -> Response {
    let body = html! {
        form.stacked method="post" action="/enter" {
            input type="hidden" name="token" value=(key.token);
            p { "Whoever has this link may see and change everything here, once." }
            button autofocus { "Open the dashboard" }
        }
    };
    layout::bare(StatusCode::OK, "Open the dashboard", &body)
}

/// Lets in who has the link.
pub(super) async fn enter(
    State(office): State<Arc<Office>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Form(key): Form<Key>,
) -> Response {
    if office.settings.load().users.is_empty() && office.entrance.admits(&key.token) {
        tracing::info!("the dashboard was opened with its link");
        record(&office, LOCAL, Role::Operator.name(), "sign in", json!("with the link")).await;
        return begin(&office, Holder::Local, &headers, peer, "/");
    }
    let body = html! {
        p.warning role="alert" { "This link was used already, or is of an earlier start." }
        (by_link())
    };
    layout::bare(StatusCode::FORBIDDEN, "Open the dashboard", &body)
}

fn begin(office: &Office, holder: Holder, headers: &HeaderMap, peer: Peer, next: &str) -> Response {
    // The session of before, if any, is over: nobody else may know its id.
    if let Some(id) = session_id(headers) {
        office.sessions.end(id);
    }
    let Some(id) = office.sessions.begin(holder, Instant::now()) else {
        return layout::refusal(
            false,
            StatusCode::SERVICE_UNAVAILABLE,
            "Nobody can sign in now",
            "The system has no random numbers.",
        );
    };
    let https = is_https(headers, peer, &office.settings.load());
    let mut response = see_other(local(next));
    set_cookie(&mut response, https, &id, "");
    response
}

/// Ends the session.
pub(super) async fn sign_out(
    context: Context,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let office = &context.office;
    if let Some(id) = session_id(&headers) {
        office.sessions.end(id);
    }
    let Session { name, role, .. } = &context.session;
    record(office, name, role.name(), "sign out", Value::Null).await;
    let https = is_https(&headers, peer, &office.settings.load());
    let mut response = see_other("/sign-in");
    set_cookie(&mut response, https, "", "; Max-Age=0");
    response
}

/// Puts on record who came and went. A ledger in trouble keeps nobody out: that
/// is when an operator has to look.
async fn record(office: &Arc<Office>, who: &str, role: &str, act: &str, detail: Value) {
    let audit = Audit {
        time_ms: now_ms(),
        who: who.to_owned(),
        role: role.to_owned(),
        act: act.to_owned(),
        about: String::new(),
        detail,
    };
    let ledger = Arc::clone(&office.ledger);
    let recorded = tokio::task::spawn_blocking(move || ledger.audit(&audit)).await;
    if let Ok(Err(error)) = recorded {
        tracing::warn!(%error, "a sign-in is not on record");
    }
}

/// The browser drops it when it closes, and sends it to nobody but us and from
/// no page but ours.
fn set_cookie(response: &mut Response, https: bool, id: &str, more: &str) {
    let secure = if https { "; Secure" } else { "" };
    let name = cookie_name(https);
    let cookie = format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict{secure}{more}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// A place on the dashboard, whatever somebody wrote into the address.
fn local(next: &str) -> &str {
    let bytes = next.as_bytes();
    let starts = bytes.first() == Some(&b'/') && !matches!(bytes.get(1), Some(b'/' | b'\\'));
    if starts && bytes.iter().all(|byte| byte.is_ascii_graphic()) { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_hangs_up_leaves_no_turn_to_the_next_before_the_work_is_done() {
        let turns = Arc::new(Semaphore::new(1));
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let asked = Arc::clone(&turns);
        let task = tokio::spawn(async move {
            let work = move || {
                begun.send(()).unwrap();
                let _ = finished.recv();
            };
            in_turn(&asked, work).await
        });
        begins.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(turns.available_permits(), 0);
        drop(finish);
        assert_eq!(in_turn(&turns, || 7).await, Some(7));
    }

    #[test]
    fn signing_in_leads_nowhere_but_to_the_dashboard() {
        for (next, place) in [
            ("", "/"),
            ("/", "/"),
            ("/vendors?site=shop", "/vendors?site=shop"),
            ("//evil.example/", "/"),
            ("/\\evil.example/", "/"),
            ("https://evil.example/", "/"),
            ("/\t/evil.example", "/"),
            ("/a\r\nset-cookie: x=y", "/"),
        ] {
            assert_eq!(local(next), place, "{next}");
        }
    }
}
