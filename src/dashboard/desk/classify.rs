//! Whose a host is. Somebody looks at a third party that nobody claims and
//! says which vendor it belongs to; from then on the policy treats it so.

use super::form::{
    Fields, Refused, all, answer_fields, ask_figures, day_to_come, line, one, site, site_field,
    told, with_status,
};
use super::said::{self, Word};
use crate::catalogue::{Catalogue, Kind, Place, Subject, Vendor};
use crate::dashboard::change::{Change, NewVendor, Owned, classified_file};
use crate::dashboard::gate::see_other;
use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::users::Role;
use crate::ledger::figures::newcomers::Seen;
use crate::ledger::plain;
use crate::policy::registrable;
use crate::purpose::Purpose;

use axum::Form;
use axum::extract::Query;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use url::{Host, Url};

/// Whose a host is, as a form or a program says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::dashboard) struct Classification {
    host: String,
    /// The id of a known vendor; empty for a new one.
    vendor: String,
    name: String,
    company: String,
    purposes: Vec<String>,
    about: String,
    source: String,
    /// Why the site cannot work without it, where that is so.
    necessary_because: String,
    site: String,
    owner: String,
    reason: String,
    review: String,
}

impl From<&Fields> for Classification {
    fn from(fields: &Fields) -> Self {
        Self {
            host: one(fields, "host"),
            vendor: one(fields, "vendor"),
            name: one(fields, "name"),
            company: one(fields, "company"),
            purposes: all(fields, "purpose"),
            about: one(fields, "about"),
            source: one(fields, "source"),
            necessary_because: one(fields, "necessary_because"),
            site: one(fields, "site"),
            owner: one(fields, "owner"),
            reason: one(fields, "reason"),
            review: one(fields, "review"),
        }
    }
}

impl Classification {
    /// Has it hold from the next page view on.
    pub(in crate::dashboard) async fn carry_out(&self, context: &Context) -> Result<(), Refused> {
        let catalogue = catalogue(context).ok_or_else(|| Refused::because("There is no site."))?;
        let host = self.host(context)?;
        let claimed = identify(&catalogue, &host);
        if let Some(claim) = &claimed
            && context.session.role < Role::Operator
            && !(is_here(context, &claim.place) && claim.word(context).await? == Word::Officer)
        {
            return Err(Refused::forbidden(&format!(
                "It is known as that of {} ({}), which no officer said. Only an operator may say otherwise.",
                claim.vendor.name, claim.place
            )));
        }
        let before = claimed.map(|claim| claim.vendor.id.clone());
        let mut changes = Vec::new();
        let (id, name, purposes) = if self.vendor.is_empty() {
            let vendor = self.new_vendor(&catalogue, &host)?;
            let told = (vendor.id.clone(), vendor.name.clone(), vendor.purposes.clone());
            changes.push(Change::Vendor(vendor));
            told
        } else {
            let vendor = catalogue.vendor(&self.vendor).ok_or_else(|| {
                Refused::because(format!("No vendor has the id “{}”.", self.vendor))
            })?;
            changes.push(Change::Host { name: host.clone(), vendor: vendor.id.clone() });
            (vendor.id.clone(), vendor.name.clone(), vec![vendor.purpose])
        };
        if purposes.contains(&Purpose::Necessary) && context.session.role < Role::Operator {
            return Err(Refused::forbidden(
                "What is necessary is let through without asking the visitor. Only an operator may say so.",
            ));
        }
        let owned = self.owned(context, &id)?;
        let detail = json!({
            "host": host,
            "vendor": id,
            "name": name,
            "purposes": purposes.iter().map(|purpose| purpose.name()).collect::<Vec<_>>(),
            "before": before,
            "owner": owned.as_ref().map(|owned| &owned.owner),
            "reason": owned.as_ref().map(|owned| &owned.reason),
            "review": owned.as_ref().map(|owned| owned.review.to_string()),
        });
        changes.extend(owned.map(Change::Own));
        context.change(changes, said::CLASSIFY, &host, detail).await.map_err(Refused::because)
    }

    /// A host of somebody else, and of one company alone.
    fn host(&self, context: &Context) -> Result<String, Refused> {
        let host = line(&self.host, "The host")?;
        let host = match Host::parse(host.trim_end_matches('.')) {
            Ok(Host::Domain(name)) => name,
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => {
                return Err(Refused::because(format!("“{host}” is not the name of a host.")));
            }
        };
        if registrable(&host).is_none() {
            return Err(Refused::because(format!(
                "“{host}” is not one company's: everybody can have a host under it."
            )));
        }
        let sites = context.sites();
        let own = sites.iter().flat_map(|site| &site.hosts).any(|own| *own == host);
        if own {
            return Err(Refused::because(format!("“{host}” is your own site.")));
        }
        Ok(host)
    }

    fn new_vendor(&self, catalogue: &Catalogue, host: &str) -> Result<NewVendor, Refused> {
        let name = line(&self.name, "The vendor's name")?;
        let id = id_of(&name)
            .ok_or_else(|| Refused::because("The vendor's name has letters or digits."))?;
        let known = catalogue.vendors().find(|vendor| vendor.id == id || vendor.name == name);
        if let Some(known) = known {
            return Err(Refused::because(format!(
                "There is a vendor called {} ({}) already: choose it above.",
                known.name, known.id
            )));
        }
        let mut purposes: Vec<Purpose> = self
            .purposes
            .iter()
            .map(|name| {
                Purpose::from_name(name)
                    .ok_or_else(|| Refused::because(format!("No purpose is called “{name}”.")))
            })
            .collect::<Result<_, _>>()?;
        // What a visitor minds most is named first.
        purposes.sort_by_key(|purpose| std::cmp::Reverse(*purpose));
        purposes.dedup();
        if purposes.is_empty() {
            return Err(Refused::because("Say what the data is used for: at least one purpose."));
        }
        let necessary = purposes.contains(&Purpose::Necessary);
        if necessary && purposes.len() > 1 {
            return Err(Refused::because("What is necessary has no other purpose."));
        }
        Ok(NewVendor {
            id,
            name,
            company: line(&self.company, "The company behind it")?,
            purposes,
            about: line(&self.about, "What it is for")?,
            source: line(&self.source, "Where that can be checked")?,
            reason: if necessary {
                line(&self.necessary_because, "Why the site cannot work without it")?
            } else {
                String::new()
            },
            host: host.to_owned(),
        })
    }

    /// Who answers for the vendor. It must be said, unless it was before.
    fn owned(&self, context: &Context, vendor: &str) -> Result<Option<Owned>, Refused> {
        let site = site(context, &self.site)?;
        let sites = context.sites();
        let is_said = sites.iter().any(|site| site.ownership(vendor).is_some());
        if self.owner.trim().is_empty() && self.reason.trim().is_empty() && is_said {
            return Ok(None);
        }
        Ok(Some(Owned {
            vendor: vendor.to_owned(),
            site,
            owner: line(&self.owner, "Who answers for it")?,
            reason: line(&self.reason, "Why it is used")?,
            review: day_to_come(&self.review, "The day to look at it again")?,
        }))
    }
}

/// A host whose vendor was said wrongly.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::dashboard) struct ForgottenHost {
    pub(in crate::dashboard) host: String,
}

impl ForgottenHost {
    /// Has it be as before.
    pub(in crate::dashboard) async fn carry_out(&self, context: &Context) -> Result<(), Refused> {
        let host = line(&self.host, "The host")?;
        let claimed = catalogue(context).and_then(|catalogue| identify(&catalogue, &host));
        let here = claimed.as_ref().filter(|claim| claim.rule == host);
        let here = here.filter(|claim| is_here(context, &claim.place));
        if context.session.role < Role::Operator {
            let word = match here {
                Some(claim) => claim.word(context).await?,
                None => said::last_word(context, &host, None).await?,
            };
            if word == Word::Operator || (word == Word::Nobody && here.is_some()) {
                return Err(Refused::forbidden(&format!(
                    "No officer said whose {host} is. Only an operator may take that back."
                )));
            }
        }
        let known = claimed.map(|claim| claim.vendor.id.clone());
        let changes = vec![Change::ForgetHost { name: host.clone() }];
        let detail = json!({ "host": host, "vendor": known });
        context.change(changes, said::TAKE_BACK, &host, detail).await.map_err(Refused::because)
    }
}

/// What the page is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    host: String,
    /// Part of a vendor's name.
    find: Option<String>,
}

/// The page.
pub(super) async fn page(context: Context, Query(asked): Query<Asked>) -> Response {
    let given = Classification { host: asked.host, ..Classification::default() };
    show(&context, &given, asked.find, None).await
}

/// The form.
pub(super) async fn classify(context: Context, Form(fields): Form<Fields>) -> Response {
    let given = Classification::from(&fields);
    match given.carry_out(&context).await {
        Ok(()) => see_other(&address(&given.host)),
        Err(refused) => show(&context, &given, None, Some(refused)).await,
    }
}

/// The form that takes it back.
pub(super) async fn take_back(context: Context, Form(fields): Form<Fields>) -> Response {
    let given = ForgottenHost { host: one(&fields, "host") };
    match given.carry_out(&context).await {
        Ok(()) => see_other(&address(&given.host)),
        Err(refused) => {
            let given = Classification { host: given.host, ..Classification::default() };
            show(&context, &given, None, Some(refused)).await
        }
    }
}

fn address(host: &str) -> String {
    layout::address("/classify", &[("host", host)])
}

async fn show(
    context: &Context,
    given: &Classification,
    find: Option<String>,
    refused: Option<Refused>,
) -> Response {
    let host = given.host.trim().to_ascii_lowercase();
    let seen = {
        let host = host.clone();
        ask_figures(context, move |figures| figures.seen("host", &host)).await.unwrap_or_default()
    };
    let catalogue = catalogue(context);
    let claimed = catalogue.as_ref().and_then(|catalogue| identify(catalogue, &host));
    let body = html! {
        (told(refused.as_ref()))
        @if host.is_empty() {
            form.filters method="get" action="/classify" {
                div { label for="host" { "Host" } input #host name="host" placeholder="cdn.vendor.example" autocomplete="off"; }
                div { button { "Look at it" } }
            }
        } @else {
            (evidence(&seen))
            @if let Some(claim) = &claimed { (is_of(context, &host, claim)) }
            @else { p { "Nobody in the catalogue knows this host." } }
            @if let Some(catalogue) = &catalogue {
                @if claimed.is_some() && refused.is_none() {
                    details { summary { "Say something else" } (the_form(context, catalogue, given, &host, find)) }
                } @else { (the_form(context, catalogue, given, &host, find)) }
            }
        }
    };
    let title = if host.is_empty() {
        "Whose is a host?".to_owned()
    } else {
        format!("Whose is {}?", plain::text(&host))
    };
    with_status(layout::page(&context.session, &title, "/new", &body), refused.as_ref())
}

/// What the ledger knows of it.
fn evidence(seen: &[Seen]) -> Markup {
    html! {
        @if seen.is_empty() { p { "It is not on record: no page has asked for it yet." } }
        @else {
            div.wide {
                table {
                    caption { "Where it was met" }
                    thead { tr { th scope="col" { "Site" } th scope="col" { "First on page" } th scope="col" { "When first" } th scope="col" { "As" } th scope="col" { "Asked for by" } th.number scope="col" { "Page views" } th scope="col" { "Last time" } } }
                    tbody {
                        @for each in seen {
                            tr {
                                th scope="row" { (plain::text(&each.site)) }
                                td { (plain::text(&each.page)) }
                                td { (moment(each.first_ms)) }
                                td { (plain::text(&each.kind)) " " code { (plain::text(&each.what)) } }
                                td { @if each.via.is_empty() { "the page itself" } @else { code { (plain::text(&each.via)) } } }
                                td.number { (each.views) }
                                td { (each.verdict) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Whose it is now, and how to take that back.
fn is_of(context: &Context, host: &str, claim: &Claim) -> Markup {
    let Claim { vendor, place, .. } = claim;
    html! {
        p.done { "It is known as that of " strong { (vendor.name) } " (" code { (vendor.id) } ", " (vendor.purpose.name()) "): " code { (place) } "." }
        @if is_here(context, place) {
            form method="post" action="/classify/take-back" {
                (layout::csrf(&context.session))
                input type="hidden" name="host" value=(host);
                button.plain { "Take this back" }
            }
        }
    }
}

/// Whether that was said on the dashboard.
fn is_here(context: &Context, place: &Place) -> bool {
    *place.file == *classified_file(context.ledger_file()).display().to_string()
}

/// As many vendors as are shown to choose from.
const SHOWN_VENDORS: usize = 15;

fn the_form(
    context: &Context,
    catalogue: &Catalogue,
    given: &Classification,
    host: &str,
    find: Option<String>,
) -> Markup {
    let find = find.unwrap_or_else(|| {
        let domain = registrable(host).unwrap_or(host);
        domain.split('.').next().unwrap_or_default().to_owned()
    });
    let found = find_vendors(catalogue, &find);
    let chosen = |vendor: &Vendor| given.vendor == vendor.id;
    let has = |purpose: Purpose| given.purposes.iter().any(|name| name == purpose.name());
    html! {
        h2 { "Say whose it is" }
        form.filters method="get" action="/classify" role="search" {
            input type="hidden" name="host" value=(host);
            div { label for="find" { "Find a known vendor" } input #find name="find" value=(find) autocomplete="off"; }
            div { button.plain { "Find" } }
        }
        form.stacked method="post" action="/classify" {
            (layout::csrf(&context.session))
            input type="hidden" name="host" value=(host);
            fieldset {
                legend { "The vendor" }
                @for vendor in &found {
                    label.choice { input type="radio" name="vendor" value=(vendor.id) checked[chosen(vendor)]; span { (vendor.name) span.quiet { " – " (vendor.owner) ", " (vendor.purpose.name()) } } }
                }
                @if found.is_empty() { p.quiet { "No known vendor is called like that." } }
                label.choice { input type="radio" name="vendor" value="" checked[given.vendor.is_empty()]; span { "None of them: a new vendor, described here" } }
            }
            details open[given.vendor.is_empty()] {
                summary { "A new vendor" }
                div.stacked {
                    label for="name" { "Its name" }
                    input #name name="name" value=(given.name) maxlength="200" autocomplete="off";
                    label for="company" { "The company behind it" }
                    input #company name="company" value=(given.company) maxlength="200" autocomplete="off";
                    fieldset {
                        legend { "What the data is used for" }
                        @for purpose in Purpose::ALL.into_iter().filter(|purpose| *purpose != Purpose::Necessary || context.session.role >= Role::Operator) {
                            label.choice { input type="checkbox" name="purpose" value=(purpose.name()) checked[has(purpose)]; (purpose.name()) }
                        }
                    }
                    label for="about" { "What it is for, in words a visitor understands" }
                    input #about name="about" value=(given.about) maxlength="200" autocomplete="off";
                    label for="source" { "Where that can be checked, such as its privacy policy" }
                    input #source name="source" value=(given.source) maxlength="200" autocomplete="off";
                    @if context.session.role >= Role::Operator {
                        label for="necessary" { "If it is necessary: why the site cannot work without it" }
                        input #necessary name="necessary_because" value=(given.necessary_because) maxlength="200" autocomplete="off";
                    }
                }
            }
            h3 { "Who answers for this vendor" }
            (site_field(context, &given.site))
            (answer_fields(&given.owner, &given.reason, &given.review))
            p.quiet { "It holds from the next page view on, and stands in the audit trail with your name." }
            button { "Classify" }
        }
    }
}

fn find_vendors<'c>(catalogue: &'c Catalogue, find: &str) -> Vec<&'c Arc<Vendor>> {
    let find = find.trim().to_lowercase();
    let fits = |vendor: &&Arc<Vendor>| {
        [&vendor.name, &vendor.owner, &vendor.id]
            .iter()
            .any(|text| text.to_lowercase().contains(&find))
    };
    if find.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<_> = catalogue.vendors().filter(fits).collect();
    found.sort_by_key(|vendor| (!vendor.name.to_lowercase().starts_with(&find), &vendor.name));
    found.truncate(SHOWN_VENDORS);
    found
}

/// What all sites know of vendors.
pub(super) fn catalogue(context: &Context) -> Option<Arc<Catalogue>> {
    let sites = context.sites();
    sites.iter().next().map(|site| Arc::clone(site.policy.shared_catalogue()))
}

/// Whose a host is, and which rule says so.
struct Claim {
    vendor: Arc<Vendor>,
    place: Place,
    /// The host, or the one above it, as it stands there.
    rule: String,
}

impl Claim {
    /// Whose word that is.
    async fn word(&self, context: &Context) -> Result<Word, Refused> {
        said::last_word(context, &self.rule, Some(&self.vendor.id)).await
    }
}

fn identify(catalogue: &Catalogue, host: &str) -> Option<Claim> {
    let url = Url::parse(&format!("https://{host}/")).ok()?;
    [Kind::Script, Kind::Image, Kind::Connect, Kind::Frame].into_iter().find_map(|kind| {
        let found = catalogue.identify(Subject::Load { kind, url: &url })?;
        let (place, rule) = (found.place.into_owned(), found.rule.into_owned());
        Some(Claim { vendor: Arc::clone(found.vendor), place, rule })
    })
}

/// Whether a third party on record still waits for somebody to say whose it is:
/// what was said since it was met counts at once.
pub(in crate::dashboard) fn still_waits(
    context: &Context,
) -> impl Fn(&Seen) -> bool + Send + use<> {
    let catalogue = catalogue(context);
    move |seen| {
        let kind = Kind::from_name(&seen.kind).unwrap_or(Kind::Script);
        let url = Url::parse(&format!("https://{}/", seen.name)).ok();
        let claim = |catalogue: &Arc<Catalogue>| {
            catalogue.identify(Subject::Load { kind, url: url.as_ref()? }).map(|_| ())
        };
        catalogue.as_ref().and_then(claim).is_none()
    }
}

/// `Acme Ads & Co.` is `acme-ads-co`.
fn id_of(name: &str) -> Option<String> {
    let words: Vec<_> = name
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let id = words.join("-");
    (!id.is_empty()).then_some(id)
}

/// A moment in UTC, to the minute.
pub(super) fn moment(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms)
        .map(|time| time.strftime("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_makes_an_id() {
        for (name, id) in [
            ("Acme Ads & Co.", Some("acme-ads-co")),
            ("Üben 24", Some("ben-24")),
            ("...", None),
            ("", None),
        ] {
            assert_eq!(id_of(name).as_deref(), id, "{name}");
        }
    }
}
