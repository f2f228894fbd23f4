//! The dashboard for programs: every endpoint is described, answers as it is
//! described, and asks for the same roles as the pages.

use crate::dashboard::{TOKENS, csrf, people, signed_in};
use crate::harness::{Page, consentry, origin, visitor, visitor_at};
use crate::program::Setup;

use consentry::dashboard::{Access, promised};

use serde_json::{Value, json};
use std::net::SocketAddr;

const JSON: (&str, &str) = ("content-type", "application/json");

/// Asks as a program does.
async fn asks(address: SocketAddr, token: &str, method: &str, path: &str, body: &str) -> Page {
    let bearer = format!("Bearer {token}");
    let fields = [JSON, ("authorization", bearer.as_str())];
    visitor_at(address).asks(method, path, &fields, body).await
}

fn read(page: &Page) -> Value {
    serde_json::from_slice(&page.bytes).unwrap_or_else(|_| panic!("{}: {}", page.status, page.body))
}

/// Where a document is not what its schema says; the parts of JSON Schema
/// that the description uses.
fn faults(schema: &Value, found: &Value, at: &str) -> Vec<String> {
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return Vec::new(),
    };
    let is = |kind: &&str| match *kind {
        "object" => found.is_object(),
        "array" => found.is_array(),
        "string" => found.is_string(),
        "integer" => found.is_i64() || found.is_u64(),
        "boolean" => found.is_boolean(),
        "null" => found.is_null(),
        other => panic!("{at}: a type {other}"),
    };
    if !kinds.iter().any(is) {
        return vec![format!("{at}: {found} is not {kinds:?}")];
    }
    let mut all = Vec::new();
    if let (Some(words), false) = (schema["enum"].as_array(), found.is_null())
        && !words.contains(found)
    {
        all.push(format!("{at}: {found} is none of {words:?}"));
    }
    if let Some(object) = found.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap()) {
                all.push(format!("{at}: no {name}"));
            }
        }
        for (name, value) in object {
            match schema["properties"].get(name) {
                Some(schema) => all.extend(faults(schema, value, &format!("{at}.{name}"))),
                None if schema["additionalProperties"] == false => {
                    all.push(format!("{at}: {name} is not described"));
                }
                None => {}
            }
        }
    }
    for (index, value) in found.as_array().into_iter().flatten().enumerate() {
        all.extend(faults(&schema["items"], value, &format!("{at}[{index}]")));
    }
    all
}

#[test]
fn the_check_of_schemas_finds_faults() {
    let schema = json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": { "a": { "type": ["string", "null"] }, "b": { "type": "array", "items": { "type": "integer" } } },
    });
    for (found, count) in [
        (json!({ "a": "x", "b": [1] }), 0),
        (json!({ "a": null }), 0),
        (json!({}), 1),
        (json!({ "a": 1 }), 1),
        (json!({ "a": "x", "c": 1 }), 1),
        (json!({ "a": "x", "b": [1, "2", true] }), 2),
        (json!([]), 1),
    ] {
        assert_eq!(faults(&schema, &found, "").len(), count, "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_is_described_and_answers_as_described() {
    let page = "<script src=//ads.acme.example/p.js></script><script src=//px.newcomer.example/p.js></script>";
    let origin = origin().page("/", page).start().await;
    let sections = "[[ownership]]\nvendor = \"acme-ads\"\nowner = \"Ana\"\nreason = \"ads\"\nreview = 2099-01-31\n\
        [[exception]]\nvendor = \"acme-stats\"\nverdict = \"allow\"\nowner = \"Ben\"\nreason = \"x\"\nexpires = 2099-01-31\n";
    let proxy = consentry(&origin).config(&format!("{}{sections}", people())).start().await;
    let mut somebody = visitor(&proxy);
    somebody.opens("/").await;
    somebody.chooses("none", &[]).await;
    signed_in(proxy.admin, "ana").await;
    proxy.ledger().await;

    let described = read(&asks(proxy.admin, TOKENS[0], "GET", "/api/v1/openapi.json", "").await);
    assert_eq!(described["openapi"], "3.1.0");
    let paths = described["paths"].as_object().unwrap();
    let mut expected = Vec::new();
    for (method, path, access) in promised() {
        if !path.starts_with("/api/") {
            continue;
        }
        let operation = &paths[path][method.as_str().to_ascii_lowercase()];
        assert!(operation["summary"].is_string(), "{method} {path} is not described");
        let Access::Only(role) = access else { panic!("{path} is for anybody") };
        assert_eq!(operation["x-role"], role.name(), "{path}");
        expected.push((method.to_string().to_ascii_lowercase(), path));
    }
    let all: usize = paths.values().map(|methods| methods.as_object().unwrap().len()).sum();
    assert_eq!(all, expected.len(), "something is described that is not there");
    let ids: std::collections::BTreeSet<_> = expected
        .iter()
        .map(|(method, path)| paths[*path][method]["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), all, "two operations have one name: {ids:?}");

    let mut filled = 0;
    for (method, path) in expected {
        let operation = &paths[path][&method];
        if method == "get" {
            let page = asks(proxy.admin, TOKENS[0], "GET", path, "").await;
            assert_eq!(
                (page.status.as_u16(), page.field("content-type").as_str()),
                (200, "application/json"),
                "{path}"
            );
            let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            let found = read(&page);
            assert_eq!(faults(schema, &found, path), [""; 0]);
            let is_filled = found.as_array().is_none_or(|found| !found.is_empty());
            filled += usize::from(is_filled);
            assert!(
                is_filled || path.ends_with("/vendors/pages"),
                "{path} is empty here, so it proves nothing"
            );
        } else {
            // What is no document, and what is not described, is refused in the same form.
            for body in ["", "{", "[]", "{\"surprise\":1}", "{}"] {
                let page = asks(proxy.admin, TOKENS[1], "POST", path, body).await;
                assert!(page.status.is_client_error(), "{path} {body}: {}", page.status);
                assert_eq!(page.field("content-type"), "application/problem+json", "{path} {body}");
                let schema = &described["components"]["schemas"]["Problem"];
                assert_eq!(faults(schema, &read(&page), path), [""; 0]);
            }
        }
    }
    assert!(filled > 10, "{filled}");
    let pages = read(
        &asks(proxy.admin, TOKENS[0], "GET", "/api/v1/vendors/pages?vendor=acme-ads", "").await,
    );
    assert_eq!((&pages[0]["page"], &pages[0]["withheld"]), (&"/".into(), &1.into()), "{pages}");
    // A log goes on where it ended, and what is asked in no known way is refused, not guessed.
    let log =
        read(&asks(proxy.admin, TOKENS[0], "GET", "/api/v1/decisions?vendor=acme-ads", "").await);
    assert_eq!((log["lines"].as_array().unwrap().len(), &log["next"]), (1, &Value::Null), "{log}");
    let long = format!("page=/{}", "x".repeat(5000));
    for query in ["from=yesterday", "days=0", "verdict=maybe", "after=x", "purpose=fun", &long] {
        let path = format!("/api/v1/decisions?{query}");
        assert_eq!(asks(proxy.admin, TOKENS[0], "GET", &path, "").await.status, 422, "{query}");
    }
    let before = asks(proxy.admin, TOKENS[0], "GET", "/api/v1/audits?before=x", "").await;
    assert_eq!(before.status, 422, "{}", before.body);
    let nothing = asks(proxy.admin, TOKENS[0], "GET", "/api/v1/nothing", "").await;
    assert_eq!((nothing.status.as_u16(), &read(&nothing)["status"]), (404, &404.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_does_what_its_role_allows_and_it_is_on_record() {
    let page = "<script src=//px.newcomer.example/p.js></script><script src=//ads.acme.example/a.js></script>";
    let origin = origin().page("/", page).start().await;
    let setup = Setup::new(origin.address, &people());
    let program = setup.start();
    let [reader, robot] = TOKENS;
    let admin = program.admin;
    let opens = async || visitor_at(program.address).opens("/").await.body;

    let wanted = json!({
        "host": "px.newcomer.example", "name": "Newcomer", "company": "Newcomer Ltd.",
        "purposes": ["analytics"], "about": "Counts.", "source": "https://newcomer.example",
        "owner": "Cleo", "reason": "campaign", "review": "2099-01-31",
    });
    assert!(opens().await.contains("newcomer.example"));
    let page = asks(admin, reader, "POST", "/api/v1/classifications", &wanted.to_string()).await;
    assert_eq!(page.status, 204, "{}", page.body);
    assert!(!opens().await.contains("newcomer.example"));
    let said = read(&asks(admin, reader, "GET", "/api/v1/ownerships", "").await);
    assert_eq!((&said[0]["vendor"], &said[0]["owner"]), (&"newcomer".into(), &"Cleo".into()));

    let wanted = json!({
        "host": "ads.acme.example", "verdict": "allow", "owner": "Ben", "reason": "x", "expires": "2099-01-31",
    })
    .to_string();
    let page = asks(admin, reader, "POST", "/api/v1/exceptions", &wanted).await;
    assert_eq!((page.status.as_u16(), &read(&page)["status"]), (403, &403.into()));
    assert!(!opens().await.contains("ads.acme.example"));
    assert_eq!(asks(admin, robot, "POST", "/api/v1/exceptions", &wanted).await.status, 204);
    assert!(opens().await.contains("ads.acme.example"));
    let listed = read(&asks(admin, robot, "GET", "/api/v1/exceptions", "").await);
    let back = json!({ "line": listed[0]["line"], "owner": "Ben", "expires": "2099-01-31" });
    let path = "/api/v1/exceptions/take-back";
    assert_eq!(asks(admin, robot, "POST", path, &back.to_string()).await.status, 204);
    assert_eq!(asks(admin, robot, "POST", path, &back.to_string()).await.status, 422);

    let path = "/api/v1/audits?act=except";
    let mut found = Value::Null;
    for _ in 0..200 {
        found = read(&asks(admin, reader, "GET", path, "").await);
        if found["audits"] != json!([]) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(
        (&found["audits"][0]["who"], &found["audits"][0]["role"]),
        (&"robot".into(), &"operator".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_alone_changes_nothing_through_the_api() {
    let origin = origin().start().await;
    let proxy = consentry(&origin).config(&people()).start().await;
    let mut ben = signed_in(proxy.admin, "ben").await;
    let token = csrf(&ben.opens("/account").await);
    let who = read(&ben.opens("/api/v1/session").await);
    assert_eq!(who, json!({ "name": "ben", "role": "operator", "csrf": token }));
    let path = "/api/v1/unlisted";
    assert_eq!(ben.asks("POST", path, &[JSON], "{}").await.status, 403);
    let text = ("content-type", "text/plain");
    assert_eq!(ben.asks("POST", path, &[text], "{}").await.status, 403);
    let token = ("x-csrf-token", token.as_str());
    let evil = ("origin", "https://evil.example");
    assert_eq!(ben.asks("POST", path, &[JSON, token, evil], "{}").await.status, 403);
    assert_eq!(ben.asks("POST", path, &[JSON, token], "{}").await.status, 422);
    for bearer in ["Bearer", "Bearer ", "Bearer fo", "bearer barr"] {
        let page = ben.asks("GET", "/api/v1/session", &[("authorization", bearer)], "").await;
        assert_eq!(page.status, 401, "{bearer}");
        assert_eq!(page.field("www-authenticate"), "Bearer");
    }
    // The password that a proxy in front asks for is none of ours.
    let basic = ("authorization", "Basic Zm9vOmJhcg==");
    assert_eq!(ben.asks("GET", "/api/v1/session", &[basic], "").await.status, 200);
}
