//! The page with whom the site was met with, for everybody: a privacy policy
//! can link to it. It says the same to all of its readers, each in their
//! language.

use crate::declaration::{DAYS, Service, Told};
use crate::ledger::plain;
use crate::purpose::Purpose;
use crate::site::day_of;
use crate::visitor::withheld::filled;
use crate::visitor::{ReturnTo, Visit, choices, page, services, status};

use bytes::Bytes;
use http::{Response, StatusCode};
use maud::{Markup, html};

const DAY_S: u64 = 24 * 60 * 60;

pub(super) fn page(return_to: &ReturnTo, visit: &Visit<'_>) -> Response<Bytes> {
    let texts = visit.texts();
    let told = visit.on_record.declared;
    let main = html! {
        @match told {
            None => { p { (texts.declared_not_yet) } }
            Some(told) => { (seen(told, visit)) }
        }
        section {
            h2 { (texts.declared_own) }
            (own_cookies(told, visit))
        }
        ul.links {
            li { a href=(return_to.choices_url(visit)) { (texts.title) } }
            @if let Some(url) = choices::policy_url(visit) { li { a href=(url) { (texts.policy) } } }
            li { a href=(return_to.as_str()) { (texts.back) } }
        }
    };
    page::html(StatusCode::OK, &texts.declared_title, &main, visit)
}

fn seen(told: &Told, visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    let about = [
        ("{operator}", html! { (visit.operator()) }),
        ("{days}", html! { (DAYS) }),
        ("{day}", html! { time dir="ltr" { (told.until) } }),
    ];
    html! {
        p { (filled(&texts.declared_about, &about)) }
        @if !visit.site.holds_everywhere() { p.status { (texts.declared_only_recorded) } }
        @if status::by_region(visit) { p.status { (texts.allowed_by_region) } }
        @if told.services.is_empty() { p { (texts.declared_nothing) } }
        @for purpose in Purpose::ALL { (behind(purpose, told, visit)) }
        @if told.more_services > 0 { p { (count(&texts.more_services, told.more_services)) } }
        @if told.unnamed > 0 { p { (count(&texts.declared_unnamed, told.unnamed)) } }
        @if told.services.iter().any(|service| !service.cookies.is_empty()) {
            p.quiet { (texts.declared_times) }
        }
    }
}

/// The services with that purpose; who has several stands under the first.
fn behind(purpose: Purpose, told: &Told, visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    let of: Vec<_> =
        told.services.iter().filter(|service| service.purpose() == Some(purpose)).collect();
    html! {
        @if !of.is_empty() {
            section {
                h2 { (texts.purpose(purpose).name) }
                p {
                    (texts.purpose(purpose).about)
                    @if purpose != Purpose::Necessary { " " (texts.declared_agreed) }
                }
                ul.services { @for service in of { li { (one(service, visit)) } } }
            }
        }
    }
}

fn one(service: &Service, visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    let since = service.met.first_ms.and_then(|first_ms| u64::try_from(first_ms / 1000).ok());
    html! {
        @match &service.vendor {
            Some(vendor) => { (services::who(vendor, visit)) }
            None => { p { bdi lang="en" { strong { (plain::text(service.name())) } } } }
        }
        @if service.is_excepted(&visit.site.policy, day_of(visit.now_s)) { p { (texts.declared_excepted) } }
        @if !service.cookies.is_empty() { (services::cookies(&service.cookies, visit)) }
        @if let Some(day) = since.and_then(status::day) {
            p.quiet { (filled(&texts.declared_since, &[("{day}", html! { time dir="ltr" { (day) } })])) }
        }
        @if let Some(vendor) = &service.vendor { (services::more(vendor, visit)) }
    }
}

/// What keeps the choice, and what the origin sets for itself.
fn own_cookies(told: Option<&Told>, visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    let days = visit.site.consent.lifetime_s.div_ceil(DAY_S);
    html! {
        ul {
            li {
                bdi dir="ltr" { (visit.cookie.name()) } " \u{2013} "
                (filled(&texts.declared_choice, &[("{days}", html! { (days) })]))
            }
            @for name in told.into_iter().flat_map(|told| &told.cookies) {
                li { bdi dir="ltr" { (plain::text(name)) } }
            }
        }
        @if let Some(told) = told.filter(|told| told.more_cookies > 0) {
            p { (count(&texts.more_services, told.more_cookies)) }
        }
    }
}

fn count(text: &str, count: usize) -> String {
    text.replace("{count}", &count.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Place;
    use crate::declaration::Evidence;
    use crate::ledger::figures::vendors::OfVendor;
    use crate::policy::{Effect, Exception, Mode, PathPattern, Policy, Scope};
    use crate::site::Route;
    use crate::visitor::trial::{self, Trial};
    use crate::visitor::{OnRecord, Page, answer};

    use http::Request;

    fn service(trial: &Trial, id: &str, cookies: &[&str]) -> Service {
        Service {
            met: OfVendor {
                vendor_id: id.to_owned(),
                vendor: format!("<b>\u{202e}{id}</b>"),
                purposes: vec!["marketing".to_owned()],
                first_ms: Some(1_780_000_000_000),
                ..OfVendor::default()
            },
            vendor: trial.site.policy.catalogue().vendor(id).cloned(),
            cookies: cookies.iter().map(|name| (*name).to_owned()).collect(),
            evidence: Evidence::Site,
        }
    }

    fn told(services: Vec<Service>) -> Told {
        Told {
            until: jiff::civil::date(2026, 9, 21),
            services,
            more_services: 0,
            cookies: vec!["<i>basket".to_owned()],
            more_cookies: 0,
            unnamed: 0,
        }
    }

    /// The words of the page, blocks apart.
    fn words(trial: &Trial, told: Option<&Told>) -> String {
        let on_record = OnRecord { declared: told, ..OnRecord::default() };
        let visit = Visit { on_record, ..trial.visit() };
        let path = "/.consentry/declaration?return_to=/shoes";
        let (parts, ()) = Request::builder().uri(path).body(()).unwrap().into_parts();
        let page = answer(Page::Declaration, &parts, b"", &visit).response;
        let html = String::from_utf8(page.into_body().to_vec()).unwrap().replace('<', " <");
        let page = Response::new(Bytes::from(html));
        assert!(trial::tags(page.body(), "b").is_empty());
        assert!(trial::tags(page.body(), "i").is_empty());
        assert!(trial::tags(page.body(), "script").is_empty());
        trial::text(&page).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn g11_a_service_stands_under_its_purpose_with_all_there_is_to_know() {
        let trial = Trial::new();
        let all = ["zebra", "acme", "cart", "gone"].map(|id| service(&trial, id, &["_z", "_z_*"]));
        let said = words(&trial, Some(&told(all.to_vec())));
        for expected in [
            "in the 30 days up to 2026-09-21 .",
            "Necessary What the site cannot do without, such as your cart, your login and the memory of this choice. The cart service (the site): Keeps the cart.",
            "Analytics Statistics on how the site is used: which pages are visited, for how long, and what is clicked. Held back until you agree. Zebra (Z Corp): Counts <visits>. Cookies: _z, _z_* Seen on this site since 2026-05-28 . More about Zebra",
            "acme (Acme): Ads. Needs your agreement to all of: Personalization, Marketing.",
            "<b>\\u{202e}gone</b>",
            "Cookies of the site itself consentry \u{2013} keeps your choice for 1 days, once you have chosen. <i>basket",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        assert!(!said.contains("nothing is held back") && !said.contains("without your agreement"));
    }

    #[test]
    fn g11_nothing_not_yet_and_more_are_three_things() {
        let trial = Trial::new();
        let said = words(&trial, None);
        assert!(said.contains("The list is being put together."), "{said}");
        assert!(said.contains("keeps your choice") && !said.contains("No services"), "{said}");
        let said = words(&trial, Some(&told(Vec::new())));
        assert!(said.contains("No services of other companies were seen."), "{said}");
        let full = Told { more_services: 7, unnamed: 3, more_cookies: 5, ..told(Vec::new()) };
        let said = words(&trial, Some(&full));
        for expected in ["and 7 more", "nobody has named yet: 3.", "and 5 more"] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    #[test]
    fn g11_what_passes_by_an_exception_is_said_to() {
        let plain = Trial::new();
        let vendor = |id: &str| Scope { vendor: Some(id.to_owned()), ..Scope::default() };
        let host = |host: &str| Scope { host: Some(host.to_owned()), ..Scope::default() };
        let path = Scope { path: PathPattern::new("/x"), ..Scope::default() };
        let cookie = Scope { cookie: Some("_z".to_owned()), ..Scope::default() };
        for (scope, effect, expires, expected) in [
            (vendor("zebra"), Effect::Allow, 2027, true),
            (vendor("zebra"), Effect::Block, 2027, false),
            (vendor("zebra"), Effect::Allow, 2025, false),
            (vendor("acme"), Effect::Allow, 2027, false),
            (host("cdn.zebra.example"), Effect::Allow, 2027, true),
            // It covers every host under it.
            (host("example"), Effect::Allow, 2027, true),
            (host("acme.example"), Effect::Allow, 2027, false),
            (cookie, Effect::Allow, 2027, true),
            (path, Effect::Allow, 2027, false),
        ] {
            let exception = Exception {
                scope,
                effect,
                owner: "Ana".to_owned(),
                reason: "why".to_owned(),
                expires: jiff::civil::date(expires, 1, 1),
                place: Place { file: "test".into(), line: 1 },
            };
            let case = exception.to_string();
            let mut trial = Trial::new();
            trial.site.policy =
                Policy::clone(&plain.site.policy).with_exceptions([exception.into()]).into();
            let told = told(vec![service(&trial, "zebra", &["_z"])]);
            let said = words(&trial, Some(&told));
            assert_eq!(said.contains("without your agreement"), expected, "{case}: {said}");
        }
    }

    #[test]
    fn g11_what_is_not_held_back_is_not_said_to_be() {
        let mut trial = Trial::new();
        let told = told(vec![service(&trial, "zebra", &[])]);
        let recorded = "nothing is held back at the moment";
        assert!(!words(&trial, Some(&told)).contains(recorded));
        let route = |mode, enforce_share| Route {
            path: PathPattern::new("/old/*").unwrap(),
            mode,
            unlisted: None,
            enforce_share,
        };
        for (routes, expected) in [
            (vec![route(None, Some(100))], false),
            (vec![route(None, Some(50))], true),
            (vec![route(Some(Mode::Observe), None)], true),
        ] {
            trial.site.routes = routes;
            assert_eq!(words(&trial, Some(&told)).contains(recorded), expected);
        }
        trial.site.routes = Vec::new();
        trial.site.mode = Mode::Observe;
        assert!(words(&trial, Some(&told)).contains(recorded));
    }
}
