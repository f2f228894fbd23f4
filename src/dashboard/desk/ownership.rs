//! Who answers for a vendor, and why it is used.

use super::classify::catalogue;
use super::form::{
    Fields, Refused, answer_fields, day_to_come, line, one, site, site_field, today, told,
    with_status,
};
use crate::dashboard::change::{Change, Owned, classified_file};
use crate::dashboard::gate::see_other;
use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::site::Ownership;

use axum::Form;
use axum::extract::Query;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

/// Who answers for a vendor, as a form or a program says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::dashboard) struct WantedOwnership {
    vendor: String,
    site: String,
    owner: String,
    reason: String,
    review: String,
}

impl WantedOwnership {
    /// Puts it on record.
    pub(in crate::dashboard) async fn carry_out(&self, context: &Context) -> Result<(), Refused> {
        let vendor = line(&self.vendor, "The vendor")?;
        let known = catalogue(context).is_some_and(|catalogue| catalogue.vendor(&vendor).is_some());
        if !known {
            return Err(Refused::because(format!("No vendor has the id “{vendor}”.")));
        }
        let owned = Owned {
            site: site(context, &self.site)?,
            owner: line(&self.owner, "Who answers for it")?,
            reason: line(&self.reason, "Why it is used")?,
            review: day_to_come(&self.review, "The day to look at it again")?,
            vendor,
        };
        let before = ownerships(context)
            .into_iter()
            .find(|said| said.vendor == owned.vendor && said.site == owned.site);
        if let Some(before) = before.as_ref().filter(|before| !is_here(context, before)) {
            return Err(Refused::because(format!(
                "Who answers for it is said in {}: change it there.",
                before.place
            )));
        }
        let detail = json!({
            "vendor": owned.vendor,
            "site": owned.site,
            "owner": owned.owner,
            "reason": owned.reason,
            "review": owned.review.to_string(),
            "before": before.map(|before| json!({
                "owner": before.owner,
                "reason": before.reason,
                "review": before.review.to_string(),
            })),
        });
        let about = owned.vendor.clone();
        let changes = vec![Change::Own(owned)];
        context.change(changes, "own", &about, detail).await.map_err(Refused::because)
    }
}

/// A vendor that nobody is to answer for any more.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::dashboard) struct Disowned {
    vendor: String,
    site: String,
}

impl Disowned {
    /// Takes it off.
    pub(in crate::dashboard) async fn carry_out(&self, context: &Context) -> Result<(), Refused> {
        let vendor = line(&self.vendor, "The vendor")?;
        let site = site(context, &self.site)?;
        let detail = json!({ "vendor": vendor, "site": site });
        let changes = vec![Change::Disown { vendor: vendor.clone(), site }];
        context.change(changes, "disown", &vendor, detail).await.map_err(Refused::because)
    }
}

/// What the page is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    vendor: String,
    site: String,
}

/// The page: one vendor, or all that somebody answers for.
pub(super) async fn page(context: Context, Query(asked): Query<Asked>) -> Response {
    let said = ownerships(&context)
        .into_iter()
        .find(|said| said.vendor == asked.vendor && said.site == asked.site);
    let given = match said {
        Some(said) => WantedOwnership {
            vendor: said.vendor,
            site: said.site,
            owner: said.owner,
            reason: said.reason,
            review: if said.review < today() { String::new() } else { said.review.to_string() },
        },
        None => {
            WantedOwnership { vendor: asked.vendor, site: asked.site, ..WantedOwnership::default() }
        }
    };
    show(&context, &given, None)
}

/// The form.
pub(super) async fn own(context: Context, Form(fields): Form<Fields>) -> Response {
    let given = WantedOwnership {
        vendor: one(&fields, "vendor"),
        site: one(&fields, "site"),
        owner: one(&fields, "owner"),
        reason: one(&fields, "reason"),
        review: one(&fields, "review"),
    };
    match given.carry_out(&context).await {
        Ok(()) => see_other("/ownership"),
        Err(refused) => show(&context, &given, Some(&refused)),
    }
}

/// The form that takes it off.
pub(super) async fn take_back(context: Context, Form(fields): Form<Fields>) -> Response {
    let given = Disowned { vendor: one(&fields, "vendor"), site: one(&fields, "site") };
    match given.carry_out(&context).await {
        Ok(()) => see_other("/ownership"),
        Err(refused) => show(&context, &WantedOwnership::default(), Some(&refused)),
    }
}

/// Everything that is said on any site, each once.
fn ownerships(context: &Context) -> Vec<Ownership> {
    let sites = context.sites();
    let mut all: Vec<_> = sites.iter().flat_map(|site| site.ownerships.iter().cloned()).collect();
    all.sort_by(|a, b| (&a.vendor, &a.site).cmp(&(&b.vendor, &b.site)));
    all.dedup();
    all
}

/// The same for programs.
pub(in crate::dashboard) fn as_documents(context: &Context) -> Vec<Value> {
    let document = |said: Ownership| {
        json!({
            "vendor": said.vendor,
            "site": said.site,
            "owner": said.owner,
            "reason": said.reason,
            "review": said.review.to_string(),
            "overdue": said.is_overdue_on(today()),
            "written_in": said.place.to_string(),
        })
    };
    ownerships(context).into_iter().map(document).collect()
}

fn is_here(context: &Context, said: &Ownership) -> bool {
    *said.place.file == *classified_file(context.ledger_file()).display().to_string()
}

fn show(context: &Context, given: &WantedOwnership, refused: Option<&Refused>) -> Response {
    let all = ownerships(context);
    let overdue = all.iter().filter(|said| said.is_overdue_on(today())).count();
    let body = html! {
        (told(refused))
        @if given.vendor.is_empty() {
            p { "Every vendor on your sites should have somebody who answers for it, and a reason. It changes nothing about what is withheld." }
            @if overdue > 0 { p.warning { (overdue) " of them should have been looked at again by now." } }
            (list(context, &all))
            h2 { "Say who answers for a vendor" }
        }
        (the_form(context, given))
    };
    let title =
        match catalogue(context).and_then(|catalogue| catalogue.vendor(&given.vendor).cloned()) {
            Some(vendor) => format!("Who answers for {}?", vendor.name),
            None => "Who answers for what".to_owned(),
        };
    with_status(layout::page(&context.session, &title, "/ownership", &body), refused)
}

fn list(context: &Context, all: &[Ownership]) -> Markup {
    let catalogue = catalogue(context);
    let name = |id: &str| {
        let vendor = catalogue.as_ref().and_then(|catalogue| catalogue.vendor(id));
        vendor.map_or_else(|| id.to_owned(), |vendor| vendor.name.clone())
    };
    html! {
        @if all.is_empty() { p { "Nobody answers for any vendor yet." } }
        @else {
            div.wide {
                table {
                    caption { "Who answers for which vendor" }
                    thead { tr { th scope="col" { "Vendor" } th scope="col" { "Site" } th scope="col" { "Who" } th scope="col" { "Why it is used" } th scope="col" { "Look at it again" } th scope="col" { "Change" } } }
                    tbody {
                        @for said in all {
                            tr {
                                th scope="row" { (name(&said.vendor)) }
                                td { @if said.site.is_empty() { "all" } @else { (said.site) } }
                                td { (said.owner) }
                                td { (said.reason) }
                                td { (said.review) @if said.is_overdue_on(today()) { " " span.tag.overdue { "overdue" } } }
                                td {
                                    @if is_here(context, said) { (buttons(context, said)) }
                                    @else { "in " code { (said.place) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn buttons(context: &Context, said: &Ownership) -> Markup {
    let this = layout::address("/ownership", &[("vendor", &said.vendor), ("site", &said.site)]);
    html! {
        form method="post" action="/ownership/take-back" {
            (layout::csrf(&context.session))
            input type="hidden" name="vendor" value=(said.vendor);
            input type="hidden" name="site" value=(said.site);
            a href=(this) { "Change" } " "
            button.plain aria-label={ "Take off " (said.vendor) } { "Take off" }
        }
    }
}

fn the_form(context: &Context, given: &WantedOwnership) -> Markup {
    html! {
        form.stacked method="post" action="/ownership" {
            (layout::csrf(&context.session))
            label for="vendor" { "The vendor's id" }
            p.hint #vendor-hint { "It stands on the vendor's page." }
            input #vendor name="vendor" value=(given.vendor) required maxlength="200" autocomplete="off" spellcheck="false" aria-describedby="vendor-hint";
            (site_field(context, &given.site))
            (answer_fields(&given.owner, &given.reason, &given.review))
            button { "Keep" }
        }
    }
}
