//! The page where a visitor chooses, and chooses again.

use crate::consent::State;
use crate::ledger::Method;
use crate::purpose::Purpose;
use crate::visitor::{ReturnTo, Visit, page, services, status};

use bytes::Bytes;
use http::{Response, StatusCode};
use maud::{Markup, html};

pub(super) fn page(return_to: &ReturnTo, visit: &Visit<'_>) -> Response<Bytes> {
    page::html(StatusCode::OK, &visit.texts().title, &main(return_to, visit), visit)
}

/// The same for somebody whose answer was to another notice.
pub(super) fn once_more(
    status: StatusCode,
    return_to: &ReturnTo,
    visit: &Visit<'_>,
) -> Response<Bytes> {
    let texts = visit.texts();
    let main = html! {
        p { strong { (texts.outdated) } }
        (main(return_to, visit))
    };
    page::html(status, &texts.not_taken, &main, visit)
}

fn main(return_to: &ReturnTo, visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    html! {
        p { (texts.introduction.replace("{operator}", visit.operator())) }
        section {
            h2 { (texts.now) }
            (status::words(visit))
        }
        section {
            h2 { (texts.all_at_once) }
            (pair(return_to, visit))
        }
        (one_by_one(return_to, visit))
        p.quiet { (texts.change_any_time) }
        ul.links {
            li { a href=(return_to.as_str()) { (texts.back) } }
            @if let Some(url) = policy_url(visit) { li { a href=(url) { (texts.policy) } } }
            li { a href=(return_to.url("me", visit)) { (texts.my_record) } }
            li { a href=(return_to.url("declaration", visit)) { (texts.declared_title) } }
        }
    }
}

/// What every form of ours says of itself: where it stood, under which notice,
/// and which page it leads back to.
pub(super) fn hidden(return_to: &ReturnTo, by: Method, visit: &Visit<'_>) -> Markup {
    html! {
        input type="hidden" name="return_to" value=(return_to.as_str());
        input type="hidden" name="by" value=(by.name());
        (revision(visit))
    }
}

/// The field that says under which notice a form stands.
pub(super) fn revision(visit: &Visit<'_>) -> Markup {
    html! { input type="hidden" name="revision" value=(visit.site.consent.notice_revision); }
}

/// "Refuse all" and "Accept all": one class, one size, one click each.
pub(super) fn pair(return_to: &ReturnTo, visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    html! {
        form method="post" action=(visit.path("choices")) {
            (hidden(return_to, Method::Choices, visit))
            div.pair {
                button.answer type="submit" name="choice" value="none" { (texts.refuse_all) }
                button.answer type="submit" name="choice" value="all" { (texts.accept_all) }
            }
        }
    }
}

fn one_by_one(return_to: &ReturnTo, visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    let necessary = texts.purpose(Purpose::Necessary);
    html! {
        form method="post" action=(visit.path("choices")) {
            (hidden(return_to, Method::Choices, visit))
            fieldset {
                legend { h2 { (texts.one_by_one) } }
                div.purpose {
                    div.fixed { (necessary.name) span.now { (texts.always_on) } }
                    p { (necessary.about) }
                }
                @for purpose in Purpose::OPTIONAL { (one(purpose, visit)) }
            }
            div.pair {
                button.answer type="submit" name="choice" value="some" { (texts.save) }
            }
        }
    }
}

fn one(purpose: Purpose, visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    let state = visit.consent.state(purpose);
    let about = format!("about-{}", purpose.name());
    html! {
        div.purpose {
            label {
                input type="checkbox" name="purpose" value=(purpose.name())
                    checked[state == State::Granted] aria-describedby=(about);
                (texts.purpose(purpose).name)
                span.now { (texts.state(state)) }
            }
            p id=(about) { (texts.purpose(purpose).about) }
            (services::behind(purpose, visit))
        }
    }
}

/// The operator's policy, if it is an address a visitor can follow: not
/// `javascript:` or another scheme that does something else.
pub(super) fn policy_url<'a>(visit: &Visit<'a>) -> Option<&'a str> {
    let url = visit.site.notice.policy_url.as_str();
    let followable = ["https://", "http://", "/"].iter().any(|start| url.starts_with(start));
    followable.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purpose::PurposeSet;
    use crate::visitor::trial::{self, Trial};

    #[test]
    fn e2_refusing_and_accepting_weigh_the_same() {
        let page = Trial::new().get("/.consentry/choices");
        let buttons = trial::tags(page.body(), "button");
        assert_eq!(
            buttons.iter().map(|button| button.text.as_str()).collect::<Vec<_>>(),
            ["Refuse all", "Accept all", "Save my selection"]
        );
        let values: Vec<_> =
            buttons.iter().map(|button| button.attribute("value").unwrap()).collect();
        assert_eq!(values, ["none", "all", "some"]);
        assert!(
            buttons.iter().all(|button| button.without("value") == buttons[0].without("value"))
        );
        assert_eq!(buttons[0].attribute("class"), Some("answer"));
        // The style knows buttons by their class alone, so it cannot tell them apart.
        for selector in
            ["button.", "button[", ".answer:", ".answer[", "[value", "nth", "first", "last"]
        {
            assert!(!page::STYLE.contains(selector), "{selector}");
        }
    }

    #[test]
    fn e2_nothing_is_ticked_for_a_visitor_who_granted_nothing() {
        let refused =
            Trial { consent: crate::consent::Consent::chosen(PurposeSet::EMPTY), ..Trial::new() };
        let signalled = Trial::new().with_fields(&[("sec-gpc", "1")]);
        for trial in [Trial::new(), refused, signalled] {
            let page = trial.get("/.consentry/choices");
            let boxes: Vec<_> = trial::tags(page.body(), "input")
                .into_iter()
                .filter(|input| input.attribute("type") == Some("checkbox"))
                .collect();
            assert_eq!(boxes.len(), 4);
            assert!(boxes.iter().all(|input| input.attribute("checked").is_none()));
        }
    }

    #[test]
    fn e1_every_control_is_plain_html() {
        let page = Trial::new().get("/.consentry/choices?return_to=/shoes%3Fa=b");
        for form in trial::tags(page.body(), "form") {
            assert_eq!(form.attribute("method"), Some("post"));
            assert_eq!(form.attribute("action"), Some("/.consentry/choices"));
        }
        let hidden: Vec<_> = trial::tags(page.body(), "input")
            .into_iter()
            .filter(|input| input.attribute("name") == Some("return_to"))
            .collect();
        assert_eq!(hidden.len(), 2);
        assert!(hidden.iter().all(|input| input.attribute("value") == Some("/shoes?a=b")));
        assert!(trial::tags(page.body(), "script").is_empty());
        assert_eq!(trial::tags(page.body(), "h1").len(), 1);
        assert_eq!(trial::tags(page.body(), "main").len(), 1);
        assert_eq!(trial::tags(page.body(), "html")[0].attribute("lang"), Some("en"));
    }

    #[test]
    fn e6_a_purpose_names_its_services() {
        let text = trial::text(&Trial::new().get("/.consentry/choices"));
        let zebra = text.find("Zebra (Z Corp): Counts <visits>.").expect("a service");
        let acme = text
            .rfind("acme (Acme): Ads. Needs your agreement to all of: Personalization, Marketing.");
        assert!(acme.expect("the last of its kind") > zebra);
        assert!(text.contains("Services held back until you agree (2)"));
        assert!(!text.contains("The cart service"));
    }
}
