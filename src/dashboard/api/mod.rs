//! Everything the pages show and do, for programs: `/api/v1/...`, in JSON.
//!
//! A program shows a token; a page of ours may ask with its session, too. What
//! an endpoint takes and gives stands beside it, so the description
//! (`/api/v1/openapi.json`) cannot fall behind.

mod changes;
mod description;
mod figures;
mod shape;

use crate::dashboard::desk::Refused;
use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::routes::{OFFICER, Route};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

/// A route, and what it is for.
pub(super) struct Endpoint {
    pub(super) route: Route,
    pub(super) about: About,
}

/// What a program has to know to use an endpoint.
pub(super) struct About {
    /// What it does, in a sentence.
    summary: &'static str,
    /// What can stand in the address.
    asks: &'static [Parameter],
    /// The schema of the document it takes, if it takes one.
    takes: Option<Value>,
    /// The schema of what it gives; nothing where it only does something.
    gives: Option<Value>,
}

/// Something that can stand in the address: name and meaning.
type Parameter = (&'static str, &'static str);

/// An endpoint that answers.
fn reads(
    route: Route,
    summary: &'static str,
    asks: &'static [Parameter],
    gives: Value,
) -> Endpoint {
    Endpoint { route, about: About { summary, asks, takes: None, gives: Some(gives) } }
}

/// An endpoint that changes something.
fn does(route: Route, summary: &'static str, takes: Value) -> Endpoint {
    Endpoint { route, about: About { summary, asks: &[], takes: Some(takes), gives: None } }
}

/// All of them, in the order of the description.
fn endpoints() -> Vec<Endpoint> {
    let mut all = vec![
        reads(
            Route::get("/api/v1/openapi.json", OFFICER, description::answer),
            "This description.",
            &[],
            json!({ "type": "object" }),
        ),
        reads(
            Route::get("/api/v1/session", OFFICER, session),
            "Who asks, and in which role.",
            &[],
            shape::object(&[
                ("name", shape::text()),
                ("role", shape::text()),
                ("csrf", shape::text()),
            ]),
        ),
    ];
    all.extend(figures::endpoints());
    all.extend(changes::endpoints());
    all
}

/// Their routes.
pub(super) fn routes() -> impl Iterator<Item = Route> {
    endpoints().into_iter().map(|endpoint| endpoint.route)
}

/// A browser's page needs the token to change something with its session
/// alone, in the header `x-csrf-token`.
async fn session(context: Context) -> Response {
    let session = &context.session;
    let who = json!({ "name": session.name, "role": session.role, "csrf": session.csrf });
    Json(who).into_response()
}

/// What was found, or why there is nothing.
fn answer<T: Serialize>(found: Result<T, Refused>) -> Response {
    match found {
        Ok(found) => Json(found).into_response(),
        Err(refused) => problem(&refused),
    }
}

/// It is done, or why it is not.
fn done(result: Result<(), Refused>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refused) => problem(&refused),
    }
}

fn problem(refused: &Refused) -> Response {
    let title = refused.status.canonical_reason().unwrap_or("This did not work");
    layout::refusal(true, refused.status, title, &refused.message)
}
