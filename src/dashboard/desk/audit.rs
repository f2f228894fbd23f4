//! Who did what, when. What stands here is in the ledger, sealed like
//! everything else, so that nobody can take back unseen what they did.

use super::classify::moment;
use super::form::{Refused, ask};
use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::ledger::audit::{AuditFilter, Audited};
use crate::ledger::plain;
use crate::ledger::read::Reader;

use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

/// How many are shown at once.
const PAGE: usize = 100;

/// Which entries are asked for; what is empty fits everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::dashboard) struct AuditQuery {
    who: String,
    act: String,
    about: String,
    from: String,
    to: String,
    /// Only those stored before this one, to turn a page.
    before: String,
}

impl AuditQuery {
    fn filter(&self) -> Result<AuditFilter, Refused> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let day = |day: &str| -> Result<Option<Date>, Refused> {
            let Some(day) = text(day) else { return Ok(None) };
            let wrong = |_| Refused::because(format!("“{day}” is not a day: write 2026-03-31."));
            day.parse().map(Some).map_err(wrong)
        };
        let before = text(&self.before)
            .map(|id| {
                let wrong = |_| Refused::because(format!("“{id}” is no place in the audit trail."));
                id.parse().map_err(wrong)
            })
            .transpose()?;
        let after = |day: Date| day.tomorrow().unwrap_or(day);
        Ok(AuditFilter {
            since_ms: day(&self.from)?.map(start_ms),
            until_ms: day(&self.to)?.map(after).map(start_ms),
            who: text(&self.who),
            act: text(&self.act),
            about: text(&self.about),
            after_id: None,
            before_id: before,
        })
    }

    /// The entries, the newest first, and whether there are older ones.
    pub(in crate::dashboard) async fn find(
        &self,
        context: &Context,
    ) -> Result<(Vec<Audited>, bool), Refused> {
        let filter = self.filter()?;
        let mut found =
            ask(context, move |path| Reader::open(path)?.audits(&filter, PAGE + 1)).await?;
        let more = found.len() > PAGE;
        found.reverse();
        found.truncate(PAGE);
        Ok((found, more))
    }

    fn link(&self, before: i64) -> String {
        let before = before.to_string();
        let all = [
            ("who", self.who.as_str()),
            ("act", &self.act),
            ("about", &self.about),
            ("from", &self.from),
            ("to", &self.to),
            ("before", &before),
        ];
        let asked: Vec<_> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        layout::address("/audit", &asked)
    }
}

fn start_ms(day: Date) -> u64 {
    let start = day.to_zoned(TimeZone::UTC).map(|start| start.timestamp().as_millisecond());
    start.ok().and_then(|start| u64::try_from(start).ok()).unwrap_or_default()
}

/// The page.
pub(super) async fn page(context: Context, Query(asked): Query<AuditQuery>) -> Response {
    match asked.find(&context).await {
        Ok((found, more)) => {
            let body = html! {
                p { "Who signed in, what was changed, and what consentry did of its own accord. Times are UTC. " code { "consentry verify" } " shows whether anything is missing." }
                (filters(&asked))
                (list(&found))
                @if let Some(last) = found.last().filter(|_| more) {
                    p.pager { a.button.plain rel="next" href=(asked.link(last.id)) { "Older" } }
                }
            };
            layout::page(&context.session, "Audit trail", "/audit", &body)
        }
        Err(refused) => refused.into_response(),
    }
}

fn filters(asked: &AuditQuery) -> Markup {
    let field = |name: &'static str, label: &'static str, value: &str, kind: &'static str| {
        html! { div { label for=(name) { (label) } input id=(name) name=(name) type=(kind) value=(value); } }
    };
    html! {
        form.filters method="get" action="/audit" {
            (field("who", "Who", &asked.who, "text"))
            (field("act", "Did what", &asked.act, "text"))
            (field("about", "To what", &asked.about, "text"))
            (field("from", "From", &asked.from, "date"))
            (field("to", "To", &asked.to, "date"))
            div { button { "Show" } }
        }
    }
}

fn list(found: &[Audited]) -> Markup {
    html! {
        @if found.is_empty() { p { "Nothing on record fits. What was done last appears after some seconds." } }
        @else {
            div.wide {
                table {
                    caption { "The newest first" }
                    thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "Role" } th scope="col" { "Did what" } th scope="col" { "To what" } th scope="col" { "More" } } }
                    tbody {
                        @for Audited { audit, .. } in found {
                            tr {
                                td { (moment(audit.time_ms.cast_signed())) }
                                th scope="row" { (plain::text(&audit.who)) }
                                td { (plain::text(&audit.role)) }
                                td { (plain::text(&audit.act)) }
                                td { (plain::text(&audit.about)) }
                                td { (detail(&audit.detail)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One line a key.
fn detail(value: &Value) -> Markup {
    let word = |value: &Value| match value {
        Value::String(text) => plain::text(text).to_string(),
        Value::Null => "–".to_owned(),
        other => plain::text(&other.to_string()).to_string(),
    };
    html! {
        @match value {
            Value::Null => {},
            Value::Object(keys) => {
                @for (key, value) in keys.iter().filter(|(_, value)| !value.is_null() && *value != "") {
                    span.quiet { (plain::text(key)) ": " } (word(value)) br;
                }
            },
            other => (word(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_ones_are_found_by_an_address_that_asks_the_same() {
        let asked = AuditQuery {
            who: "ana & co".to_owned(),
            from: "2026-03-01".to_owned(),
            before: "900".to_owned(),
            ..AuditQuery::default()
        };
        assert_eq!(asked.link(800), "/audit?who=ana+%26+co&from=2026-03-01&before=800");
    }
}
