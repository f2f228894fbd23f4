//! Which services stand behind a purpose, and what was decided about each.
//!
//! The list is what the operator declared, or else what was seen on the site;
//! nobody keeps it by hand. Each service in it has its own switch, which says
//! nothing until it is moved: then it outweighs its purposes.

use crate::catalogue::Vendor;
use crate::purpose::Purpose;
use crate::visitor::Visit;

use maud::{Markup, html};
use std::sync::Arc;

/// A longer list is not read by anybody; how many are left out is said.
const MAX_VENDORS: usize = 400;

/// Names of cookies that are shown of one service.
const MAX_COOKIES: usize = 12;

type Vendors<'v> = Vec<&'v Arc<Vendor>>;

/// The services behind a purpose, unfolded on demand.
pub(super) fn behind(purpose: Purpose, visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    let (here, known) = of(purpose, visit);
    html! {
        @if !here.is_empty() {
            details {
                summary { (texts.services) " (" (here.len()) ")" }
                ul.services {
                    @for vendor in here.iter().take(MAX_VENDORS) { li { (whole(vendor, purpose, visit)) } }
                }
                (rest(here.len(), visit))
            }
        }
        @if !known.is_empty() {
            details {
                @let title = if here.is_empty() { &texts.services } else { &texts.services_others };
                summary { (title) " (" (known.len()) ")" }
                p.quiet { (texts.services_note) }
                ul { @for vendor in known.iter().take(MAX_VENDORS) { li { (short(vendor, visit)) } } }
                (rest(known.len(), visit))
            }
        }
    }
}

fn rest(count: usize, visit: &Visit<'_>) -> Markup {
    let more = count.saturating_sub(MAX_VENDORS);
    html! {
        @if more > 0 { p { (visit.texts().more_services.replace("{count}", &more.to_string())) } }
    }
}

/// Those of the site, and, unless the operator declared them, all others.
///
/// Whoever was decided about stays in the first list, so that it can be taken
/// back.
fn of<'v>(purpose: Purpose, visit: &'v Visit<'_>) -> (Vendors<'v>, Vendors<'v>) {
    let declared = &visit.site.notice.vendors;
    let is_here = |vendor: &Arc<Vendor>| {
        let own = visit.consent.vendors();
        let id = &vendor.id;
        declared.contains(id)
            || own.is_some_and(|own| own.allows(id) || own.refuses(id))
            || (declared.is_empty() && visit.on_record.seen.is_some_and(|seen| seen.contains(id)))
    };
    let mut vendors: Vendors<'_> = visit
        .site
        .policy
        .catalogue()
        .vendors()
        .filter(|vendor| vendor.purposes.contains(purpose))
        .collect();
    vendors.sort_by_cached_key(|vendor| (vendor.name.to_lowercase(), vendor.id.clone()));
    let (here, known) = vendors.into_iter().partition::<Vendors<'_>, _>(|vendor| is_here(vendor));
    (here, if declared.is_empty() { known } else { Vec::new() })
}

/// The catalogue is written in English, from left to right, on every page.
fn short(vendor: &Vendor, visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    html! {
        bdi lang="en" {
            strong { (vendor.name) }
            @if vendor.owner != vendor.name { " (" (vendor.owner) ")" }
            ": " (vendor.about)
        }
        @if vendor.purposes.iter().count() > 1 {
            @let names: Vec<_> =
                vendor.purposes.iter().map(|purpose| texts.purpose(purpose).name.as_str()).collect();
            " " (texts.services_need_all.replace("{purposes}", &names.join(&texts.comma)))
        }
    }
}

/// All there is to know of a service, and its switch, which stands under its
/// first purpose alone: two could contradict each other.
fn whole(vendor: &Vendor, purpose: Purpose, visit: &Visit<'_>) -> Markup {
    html! {
        (who(vendor, visit))
        @if !vendor.cookies.is_empty() { (cookies(&vendor.cookies, visit)) }
        (more(vendor, visit))
        @if vendor.purpose == purpose { (switch(vendor, visit)) }
    }
}

/// A service, its company, and what it is for.
pub(super) fn who(vendor: &Vendor, visit: &Visit<'_>) -> Markup {
    html! { p { (short(vendor, visit)) } }
}

/// Where a service says more of itself.
pub(super) fn more(vendor: &Vendor, visit: &Visit<'_>) -> Markup {
    let followable = ["https://", "http://"].iter().any(|start| vendor.source.starts_with(start));
    html! {
        @if followable {
            p { a href=(vendor.source) rel="noreferrer nofollow" {
                (visit.texts().vendor_more.replace("{vendor}", &vendor.name))
            } }
        }
    }
}

/// Names of cookies of one service.
pub(super) fn cookies(all: &[String], visit: &Visit<'_>) -> Markup {
    let mut names: Vec<_> = all.iter().take(MAX_COOKIES).map(String::as_str).collect();
    if all.len() > names.len() {
        names.push("…");
    }
    html! { p.quiet { (visit.texts().vendor_cookies) " " bdi dir="ltr" { (names.join(", ")) } } }
}

fn switch(vendor: &Vendor, visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    let own = visit.consent.vendors();
    let allowed = own.is_some_and(|own| own.allows(&vendor.id));
    let refused = own.is_some_and(|own| own.refuses(&vendor.id));
    html! {
        label.one {
            span { (texts.vendor_choice.replace("{vendor}", &vendor.name)) }
            select name="vendor" {
                option value=(format!("purposes:{}", vendor.id)) selected[!allowed && !refused] { (texts.vendor_as_purposes) }
                option value=(format!("refuse:{}", vendor.id)) selected[refused] { (texts.vendor_refuse) }
                option value=(format!("allow:{}", vendor.id)) selected[allowed] { (texts.vendor_allow) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::consent::Consent;
    use crate::purpose::PurposeSet;
    use crate::visitor::trial::{self, Trial};
    use std::collections::BTreeSet;

    fn declaring(ids: &[&str]) -> Trial {
        let mut trial = Trial::new();
        trial.site.notice.vendors = ids.iter().map(|id| (*id).to_owned()).collect();
        trial
    }

    #[test]
    fn e6_a_purpose_lists_the_services_that_the_site_declares() {
        let text = trial::text(&declaring(&["zebra", "acme"]).get("/.consentry/choices"));
        assert!(
            text.contains("Zebra (Z Corp): Counts <visits>.") && !text.contains("Beta"),
            "{text}"
        );
        assert!(text.contains("More about Zebra"));
        assert_eq!(text.matches("Services held back until you agree (1)").count(), 3, "{text}");
    }

    #[test]
    fn e6_what_was_seen_comes_first_and_the_others_stay_known() {
        let trial = Trial::new();
        let seen = BTreeSet::from(["beta".to_owned(), "gone".to_owned()]);
        let mut visit = trial.visit();
        visit.on_record.seen = Some(&seen);
        let html = super::behind(crate::purpose::Purpose::Analytics, &visit).into_string();
        let (beta, zebra) = (html.find("Beta").unwrap(), html.find("Zebra").unwrap());
        let others = html.find("Other services we recognise (1)").unwrap();
        assert!(beta < others && others < zebra, "{html}");
        assert_eq!(trial::tags(html.as_bytes(), "select").len(), 1);
    }

    #[test]
    fn e6_a_switch_says_nothing_until_it_is_moved() {
        let trial = declaring(&["zebra", "acme", "beta"]);
        let page = trial.get("/.consentry/choices");
        let selects = trial::tags(page.body(), "select");
        assert_eq!(selects.len(), 3, "one each, although acme has two purposes");
        assert!(selects.iter().all(|select| select.attribute("name") == Some("vendor")));
        assert_eq!(chosen(&trial), ["purposes:beta", "purposes:zebra", "purposes:acme"]);
        let ours = [("origin", "http://shop.example")];
        let body = "choice=some&purpose=analytics&vendor=&vendor=&vendor=refuse%3Abeta&vendor=allow%3Aacme";
        let after = trial.with_cookie_of(&trial.post(&ours, body));
        assert_eq!(chosen(&after), ["refuse:beta", "purposes:zebra", "allow:acme"]);
        // Whoever was decided about stays there, though nobody declares it any more.
        let mut less = after;
        less.site.notice.vendors = vec!["zebra".to_owned()];
        assert_eq!(chosen(&less), ["refuse:beta", "purposes:zebra", "allow:acme"]);
    }

    /// The options that stand selected, in the order of the page.
    fn chosen(trial: &Trial) -> Vec<String> {
        trial::tags(trial.get("/.consentry/choices").body(), "option")
            .iter()
            .filter(|option| option.attribute("selected").is_some())
            .map(|option| option.attribute("value").unwrap().to_owned())
            .collect()
    }

    #[test]
    fn e6_no_switch_is_moved_for_a_visitor_who_agreed_to_all() {
        let trial = Trial { consent: Consent::chosen(PurposeSet::ALL), ..declaring(&["zebra"]) };
        assert_eq!(chosen(&trial), ["purposes:zebra"]);
    }
}
