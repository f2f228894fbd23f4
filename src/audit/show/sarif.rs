//! Findings with file and line, as tools for code review read them
//! (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/>).

use crate::audit::show::Outcome;
use crate::audit::{Fault, Finding, Where};
use crate::ledger::plain;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};
use std::io::{self, Write};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What may not stand in a path of an address.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

pub(super) fn write(outcome: &Outcome<'_>, out: &mut dyn Write) -> io::Result<()> {
    let rules: Vec<Value> = Fault::ALL.into_iter().map(rule).collect();
    let results: Vec<Value> = outcome.findings.iter().flat_map(results).collect();
    let driver = json!({
        "name": "consentry",
        "version": env!("CARGO_PKG_VERSION"),
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "informationUri": env!("CARGO_PKG_REPOSITORY"),
        "rules": rules,
    });
    let run = json!({
        "tool": { "driver": driver },
        "columnKind": "unicodeCodePoints",
        "results": results,
    });
    let document = json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": [run] });
    let text = serde_json::to_string_pretty(&document)?;
    for line in text.lines() {
        writeln!(out, "{}", plain::json(line))?;
    }
    Ok(())
}

fn rule(fault: Fault) -> Value {
    json!({
        "id": fault.name(),
        "shortDescription": { "text": fault.meaning() },
        "help": { "text": fault.advice() },
        "defaultConfiguration": { "level": "error" },
    })
}

/// One result a place: those who show them show the first place of each.
fn results(finding: &Finding) -> Vec<Value> {
    let index = Fault::ALL.iter().position(|fault| *fault == finding.fault);
    let kind = finding.kind.map_or("page", crate::catalogue::Kind::name);
    let print = format!("{}:{kind}:{}", finding.fault, finding.what);
    let result = |place: &Where| {
        json!({
            "ruleId": finding.fault.name(),
            "ruleIndex": index,
            "level": "error",
            "message": { "text": Outcome::sentence(finding) },
            "locations": [{ "physicalLocation": location(place) }],
            "partialFingerprints": { "consentryThing/v1": print },
        })
    };
    finding.places.iter().map(result).collect()
}

fn location(place: &Where) -> Value {
    let uri = match place.is_file {
        true => file_uri(&place.page),
        false => place.page.clone(),
    };
    let artifact = json!({ "uri": uri });
    match place.spot {
        Some(spot) => json!({
            "artifactLocation": artifact,
            "region": { "startLine": spot.line, "startColumn": spot.column },
        }),
        None => json!({ "artifactLocation": artifact }),
    }
}

/// A file as it is named from where the audit ran, so that it is found in the
/// repository.
fn file_uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let encoded = utf8_percent_encode(path, PATH);
    if path.starts_with('/') { format!("file://{encoded}") } else { encoded.to_string() }
}
