//! Verdicts that are not the policy's own: who answers for them, why, and
//! until when. Officers read them; operators make them and take them back.

use super::form::{
    Fields, Refused, day_to_come, in_a_year, line, one, site, site_field, today, told, with_status,
};
use super::unlisted;
use crate::dashboard::change::{Change, NewException, classified_file};
use crate::dashboard::gate::see_other;
use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::users::Role;
use crate::policy::{Effect, Exception};

use axum::Form;
use axum::response::Response;
use jiff::civil::Date;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// An exception, as a form or a program wants it; the keys are those of
/// `[[exception]]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::dashboard) struct WantedException {
    site: String,
    host: String,
    path: String,
    vendor: String,
    cookie: String,
    kind: String,
    on_path: String,
    verdict: String,
    owner: String,
    reason: String,
    expires: String,
}

impl From<&Fields> for WantedException {
    fn from(fields: &Fields) -> Self {
        Self {
            site: one(fields, "site"),
            host: one(fields, "host"),
            path: one(fields, "path"),
            vendor: one(fields, "vendor"),
            cookie: one(fields, "cookie"),
            kind: one(fields, "kind"),
            on_path: one(fields, "on_path"),
            verdict: one(fields, "verdict"),
            owner: one(fields, "owner"),
            reason: one(fields, "reason"),
            expires: one(fields, "expires"),
        }
    }
}

impl WantedException {
    /// Has it hold from the next page view on.
    pub(in crate::dashboard) async fn carry_out(&self, context: &Context) -> Result<(), Refused> {
        let expires = day_to_come(&self.expires, "The last day on which it holds")?;
        let scope = [
            ("host", &self.host),
            ("vendor", &self.vendor),
            ("path", &self.path),
            ("cookie", &self.cookie),
            ("kind", &self.kind),
            ("on_path", &self.on_path),
        ];
        let mut keys = Vec::new();
        for (key, value) in scope.into_iter().filter(|(_, value)| !value.trim().is_empty()) {
            keys.push((key, line(value, key)?));
        }
        let about = keys.first().map(|(_, value)| value.clone()).unwrap_or_default();
        keys.push(("site", site(context, &self.site)?));
        keys.push(("verdict", line(&self.verdict, "Whether it lets pass or withholds")?));
        keys.push(("owner", line(&self.owner, "Who answers for it")?));
        keys.push(("reason", line(&self.reason, "Why it is there")?));
        let mut detail: serde_json::Map<_, _> = keys
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        detail.insert("expires".to_owned(), json!(expires.to_string()));
        let changes = vec![Change::Except(NewException { keys, expires: Some(expires) })];
        context.change(changes, "except", &about, detail.into()).await.map_err(Refused::because)
    }
}

/// An exception that is to go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::dashboard) struct TakenBack {
    line: u32,
    owner: String,
    expires: String,
}

impl TakenBack {
    /// Takes it back.
    pub(in crate::dashboard) async fn carry_out(&self, context: &Context) -> Result<(), Refused> {
        let gone = || Refused::because("This exception has changed meanwhile. Look at it again.");
        let expires: Date = self.expires.parse().map_err(|_| gone())?;
        let here = classified_file(context.ledger_file()).display().to_string();
        let all = exceptions(context);
        let (site, exception) = all
            .iter()
            .find(|(_, exception)| {
                *exception.place.file == *here && exception.place.line == self.line
            })
            .ok_or_else(gone)?;
        let scope = in_words(exception);
        let detail = json!({
            "scope": scope,
            "site": site,
            "verdict": verdict(exception),
            "owner": exception.owner,
            "reason": exception.reason,
            "expires": exception.expires.to_string(),
        });
        let owner = self.owner.clone();
        let changes = vec![Change::TakeBack { line: self.line, owner, expires }];
        context
            .change(changes, "take back an exception", &scope, detail)
            .await
            .map_err(Refused::because)
    }
}

/// The page.
pub(super) async fn page(context: Context) -> Response {
    show(&context, &WantedException::default(), None)
}

/// The form.
pub(super) async fn except(context: Context, Form(fields): Form<Fields>) -> Response {
    let given = WantedException::from(&fields);
    match given.carry_out(&context).await {
        Ok(()) => see_other("/exceptions"),
        Err(refused) => show(&context, &given, Some(&refused)),
    }
}

/// The form that takes one back.
pub(super) async fn take_back(context: Context, Form(fields): Form<Fields>) -> Response {
    let given = TakenBack {
        line: one(&fields, "line").parse().unwrap_or(0),
        owner: one(&fields, "owner"),
        expires: one(&fields, "expires"),
    };
    match given.carry_out(&context).await {
        Ok(()) => see_other("/exceptions"),
        Err(refused) => show(&context, &WantedException::default(), Some(&refused)),
    }
}

/// Every exception once, with the sites it is for.
fn exceptions(context: &Context) -> Vec<(String, Arc<Exception>)> {
    let sites = context.sites();
    let mut all: Vec<(Vec<&str>, Arc<Exception>)> = Vec::new();
    let mut count = 0;
    for site in sites.iter() {
        count += 1;
        for exception in site.policy.exceptions() {
            match all.iter_mut().find(|(_, known)| known.place == exception.place) {
                Some((names, _)) => names.push(&site.name),
                None => all.push((vec![&site.name], Arc::clone(exception))),
            }
        }
    }
    let named = |names: Vec<&str>| {
        if names.len() == count { "all".to_owned() } else { names.join(", ") }
    };
    all.into_iter().map(|(names, exception)| (named(names), exception)).collect()
}

/// The same for programs.
pub(in crate::dashboard) fn as_documents(context: &Context) -> Vec<Value> {
    let document = |(site, exception): (String, Arc<Exception>)| {
        json!({
            "scope": in_words(&exception),
            "site": site,
            "verdict": verdict(&exception),
            "owner": exception.owner,
            "reason": exception.reason,
            "expires": exception.expires.to_string(),
            "expired": !exception.holds_on(today()),
            "line": exception.place.line,
            "written_in": exception.place.to_string(),
        })
    };
    exceptions(context).into_iter().map(document).collect()
}

fn verdict(exception: &Exception) -> &'static str {
    match exception.effect {
        Effect::Allow => "allow",
        Effect::Block => "block",
    }
}

fn in_words(exception: &Exception) -> String {
    let scope = &exception.scope;
    let path = |path: &Option<crate::policy::PathPattern>| path.as_ref().map(ToString::to_string);
    let parts = [
        ("", scope.host.clone()),
        ("vendor ", scope.vendor.clone()),
        ("path ", path(&scope.path)),
        ("cookie ", scope.cookie.clone()),
        ("as ", scope.kind.map(|kind| kind.name().to_owned())),
        ("on ", path(&scope.on_path)),
    ];
    let parts = parts.into_iter().filter_map(|(word, value)| Some(format!("{word}{}", value?)));
    parts.collect::<Vec<_>>().join(", ")
}

fn show(context: &Context, given: &WantedException, refused: Option<&Refused>) -> Response {
    let may_change = context.session.role >= Role::Operator;
    let all = exceptions(context);
    let expired = all.iter().filter(|(_, exception)| !exception.holds_on(today())).count();
    let body = html! {
        (told(refused))
        @if expired > 0 { p.warning { (expired) " of them have expired and do not hold any more." } }
        (list(context, &all, may_change))
        (unlisted::part(context, may_change))
        @if may_change { (the_form(context, given)) }
        @else { p.quiet { "An operator can make exceptions, take them back, and change what happens to what nobody knows." } }
    };
    with_status(layout::page(&context.session, "Exceptions", "/exceptions", &body), refused)
}

fn list(context: &Context, all: &[(String, Arc<Exception>)], may_change: bool) -> Markup {
    let here = classified_file(context.ledger_file()).display().to_string();
    html! {
        @if all.is_empty() { p { "There are none: the policy decides everything." } }
        @else {
            div.wide {
                table {
                    caption { "What is decided differently" }
                    thead { tr { th scope="col" { "What" } th scope="col" { "Verdict" } th scope="col" { "Site" } th scope="col" { "Who answers for it" } th scope="col" { "Why" } th scope="col" { "Until" } th scope="col" { "Where" } } }
                    tbody {
                        @for (site, exception) in all {
                            tr {
                                th scope="row" { (in_words(exception)) }
                                td { span.tag.(verdict(exception)) { @match exception.effect { Effect::Allow => "let through", Effect::Block => "withheld" } } }
                                td { (site) }
                                td { (exception.owner) }
                                td { (exception.reason) }
                                td { (exception.expires) @if !exception.holds_on(today()) { " " span.tag.overdue { "expired" } } }
                                td {
                                    @if *exception.place.file == *here && may_change {
                                        form method="post" action="/exceptions/take-back" {
                                            (layout::csrf(&context.session))
                                            input type="hidden" name="line" value=(exception.place.line);
                                            input type="hidden" name="owner" value=(exception.owner);
                                            input type="hidden" name="expires" value=(exception.expires);
                                            button.plain aria-label={ "Take back " (in_words(exception)) } { "Take back" }
                                        }
                                    } @else { code { (exception.place) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn the_form(context: &Context, given: &WantedException) -> Markup {
    let expires =
        if given.expires.is_empty() { in_a_year().to_string() } else { given.expires.clone() };
    let field = |name: &'static str, label: &'static str, value: &str| {
        html! { label for=(name) { (label) } input id=(name) name=(name) value=(value) maxlength="200" autocomplete="off" spellcheck="false"; }
    };
    html! {
        h2 { "Make an exception" }
        form.stacked method="post" action="/exceptions" {
            (layout::csrf(&context.session))
            p.hint { "Say what it is about; what is left empty fits everything." }
            (field("host", "Host, and every host under it", &given.host))
            (field("vendor", "Vendor, by its id", &given.vendor))
            (field("path", "Path of what is loaded", &given.path))
            (field("cookie", "Cookie's name; * stands for any characters", &given.cookie))
            (field("kind", "Kind, such as script, frame, image or cookie", &given.kind))
            (field("on_path", "Path of the page", &given.on_path))
            (site_field(context, &given.site))
            fieldset {
                legend { "What it does" }
                label.choice { input type="radio" name="verdict" value="block" checked[given.verdict != "allow"]; "Withhold it, whatever the visitor agreed to" }
                label.choice { input type="radio" name="verdict" value="allow" checked[given.verdict == "allow"]; "Let it through before the visitor agrees" }
            }
            (field("owner", "Who answers for it", &given.owner))
            (field("reason", "Why it is there", &given.reason))
            label for="expires" { "The last day on which it holds" }
            input #expires type="date" name="expires" value=(expires);
            button { "Make it" }
        }
    }
}
