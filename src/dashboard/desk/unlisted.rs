//! What happens to third parties that nobody claims.

use super::form::{Fields, Refused, line, one, site};
use crate::dashboard::change::Change;
use crate::dashboard::gate::see_other;
use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::policy::Unlisted;

use axum::Form;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

/// What is to happen, as a form or a program says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::dashboard) struct WantedUnlisted {
    site: String,
    verdict: String,
    reason: String,
}

const WAYS: [(Unlisted, &str, &str); 3] = [
    (Unlisted::Observe, "observe", "let through, and raised here to be classified"),
    (Unlisted::Block, "block", "withheld until somebody has classified it"),
    (Unlisted::Allow, "allow", "let through"),
];

fn name(unlisted: Unlisted) -> &'static str {
    WAYS.iter().find(|(way, ..)| *way == unlisted).map_or("", |(_, name, _)| name)
}

impl WantedUnlisted {
    /// Has it hold from the next page view on.
    pub(in crate::dashboard) async fn carry_out(&self, context: &Context) -> Result<(), Refused> {
        let site = site(context, &line(&self.site, "The site")?)?;
        let (unlisted, verdict, _) = WAYS
            .into_iter()
            .find(|(_, name, _)| *name == self.verdict)
            .ok_or_else(|| Refused::because("It is `allow`, `observe` or `block`."))?;
        let reason = line(&self.reason, "A reason")?;
        let sites = context.sites();
        let before = sites.iter().find(|other| *other.name == *site);
        let before = before.map(|site| name(site.policy.unlisted()));
        let detail =
            json!({ "site": site, "verdict": verdict, "before": before, "reason": reason });
        let changes = vec![Change::Unlisted { site: site.clone(), unlisted }];
        context.change(changes, "unlisted", &site, detail).await.map_err(Refused::because)
    }
}

/// The form.
pub(super) async fn set(context: Context, Form(fields): Form<Fields>) -> Response {
    let given = WantedUnlisted {
        site: one(&fields, "site"),
        verdict: one(&fields, "verdict"),
        reason: one(&fields, "reason"),
    };
    match given.carry_out(&context).await {
        Ok(()) => see_other("/exceptions"),
        Err(refused) => refused.into_response(),
    }
}

/// What happens on each site, and for operators the way to change it.
pub(super) fn part(context: &Context, may_change: bool) -> Markup {
    let sites = context.sites();
    html! {
        h2 { "Third parties that nobody in the catalogue knows" }
        @for site in sites.iter() {
            @let now = site.policy.unlisted();
            section.card {
                h3 { (site.name) }
                p { "They are " @for (way, _, words) in WAYS { @if way == now { strong { (words) } } } "." }
                @if may_change {
                    details {
                        summary { "Change that for " (site.name) }
                        form.stacked method="post" action="/unlisted" {
                            (layout::csrf(&context.session))
                            input type="hidden" name="site" value=(site.name);
                            fieldset {
                                legend { "What happens to them" }
                                @for (way, name, words) in WAYS {
                                    label.choice { input type="radio" name="verdict" value=(name) checked[way == now]; span { strong { (name) } ": " (words) } }
                                }
                            }
                            label { "Why" input name="reason" maxlength="200" autocomplete="off"; }
                            button { "Change" }
                        }
                    }
                }
            }
        }
    }
}
