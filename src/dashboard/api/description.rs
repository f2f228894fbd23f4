//! The description of the API (OpenAPI 3.1, <https://spec.openapis.org/oas/v3.1.1>).

use super::{About, Endpoint, endpoints};
use crate::dashboard::layout::PROBLEM;
use crate::dashboard::routes::{Access, Route};

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

pub(super) async fn answer() -> Response {
    Json(description()).into_response()
}

fn description() -> Value {
    let mut paths = Map::new();
    for Endpoint { route, about } in endpoints() {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = methods {
            let method = route.method.as_str().to_ascii_lowercase();
            methods.insert(method, operation(&route, &about));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "consentry",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What was withheld from visitors and why, what they chose, and who answers for what.",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of an [[admin.token]].",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "consentry-office",
                    "description": "The session of somebody who is signed in (`__Host-consentry-office` over https). To change something it takes the header `x-csrf-token`, too, with what `/api/v1/session` says.",
                },
            },
            "schemas": { "Problem": problem() },
        },
    })
}

fn operation(route: &Route, about: &About) -> Value {
    let parameters: Vec<_> = about
        .asks
        .iter()
        .map(|(name, meaning)| {
            json!({ "name": name, "in": "query", "description": meaning, "schema": { "type": "string" } })
        })
        .collect();
    let (status, answer) = match &about.gives {
        Some(schema) => {
            let content = json!({ "application/json": { "schema": schema } });
            ("200", json!({ "description": "What was found.", "content": content }))
        }
        None => ("204", json!({ "description": "It holds from the next page view on." })),
    };
    let problem = json!({ PROBLEM: { "schema": { "$ref": "#/components/schemas/Problem" } } });
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": about.summary,
        "parameters": parameters,
        "responses": {
            status: answer,
            "default": { "description": "Why it is not done.", "content": problem },
        },
    });
    if let Access::Only(role) = route.access
        && let Value::Object(operation) = &mut operation
    {
        operation.insert("x-role".to_owned(), json!(role));
    }
    if let (Some(schema), Value::Object(operation)) = (&about.takes, &mut operation) {
        let content = json!({ "application/json": { "schema": schema } });
        operation.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
    }
    operation
}

/// `getVendorsPages` for `GET /api/v1/vendors/pages`.
fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v1").trim_end_matches(".json");
    let words = path.split(['/', '-']).filter(|word| !word.is_empty());
    words.fold(route.method.as_str().to_ascii_lowercase(), |id, word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        id + &first.into_iter().chain(letters).collect::<String>()
    })
}

/// Problem details (RFC 9457).
fn problem() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
        },
        "required": ["type", "title", "status", "detail"],
    })
}
