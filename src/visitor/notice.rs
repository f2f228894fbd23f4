//! What we add to the site's own pages: the notice for visitors who have not
//! chosen, and afterwards the link to choose again.
//!
//! Both are plain HTML that needs no script and no other host; the script that
//! both bring saves a page load, and makes a page that a browser shows once more
//! as it was left the right one. They reset
//! whatever style the site has for such elements, because a site's `button`
//! rule could otherwise make one answer look better than the other. Both are
//! ASCII, so they read the same in whatever charset the page is written. Their
//! addresses name the host, so that no `<base>` of a page sends a choice away.

use crate::enforce::html::Opening;
use crate::ledger::Method;
use crate::visitor::{ReturnTo, Visit, api, choices, script, status};

use maud::{Markup, PreEscaped, html};
use std::fmt::Write;

const NOTICE_STYLE: &str = include_str!("notice.css");
const LINK_STYLE: &str = include_str!("link.css");

/// The notice at the end of a page that does not say where its body begins.
///
/// It is a region and no dialog: the page behind it works, and leaving it
/// alone is no answer. There is nothing to close it with, since a visitor who
/// wants it gone has two buttons of equal weight for that.
#[must_use]
pub fn notice(visit: &Visit<'_>, return_to: &str) -> String {
    ascii(html! { (region(visit, return_to)) (script_tag(visit)) (api::tag(visit)) })
}

/// The notice where the body begins: who reads or tabs through a page meets it
/// first.
///
/// It is the body's shadow tree, with the page in its slot, and no child of the
/// body: React 18, when it takes over a whole document that it rendered, throws
/// the page away if the body begins with a node it does not know, and a site's
/// `body > :first-child` would fit another element. Neither sees a shadow tree,
/// and no style of the page reaches into it. Browsers from before 2024 that do
/// not know shadow trees in HTML keep the template, which the script unpacks;
/// without scripts they show the plain link, which the others hide.
#[must_use]
pub fn opening(visit: &Visit<'_>, return_to: &str) -> Opening {
    let markup = html! {
        template #csy-home shadowrootmode="open" {
            style { "::slotted(#csy-plain){display:none!important}" }
            (region(visit, return_to))
            slot {}
        }
    };
    let rest = html! {
        (script_tag(visit))
        (api::tag(visit))
        noscript #csy-plain {
            a href=(choices_url(visit, return_to)) target="_self" rel="nofollow" { (visit.texts().title) }
        }
    };
    let hidden = html! { style { ":root{--csy-ask:none}" } };
    Opening { markup: ascii(markup), rest: ascii(rest), hidden: hidden.into_string() }
}

fn script_tag(visit: &Visit<'_>) -> Markup {
    let script = format!("{}{}", visit.host_prefix(), visit.path(script::name()));
    html! {
        script defer src=(script) data-consentry-for=(visit.consent.made_for())
            data-consentry-closed[visit.site.browser_policy] {}
    }
}

/// Asks a visitor who has not chosen, without getting in the way.
fn region(visit: &Visit<'_>, return_to: &str) -> Markup {
    let texts = visit.texts();
    let action = format!("{}{}", visit.host_prefix(), visit.path("choices"));
    html! {
        style { (PreEscaped(NOTICE_STYLE.trim_end())) (PreEscaped(&visit.site.notice.theme.notice)) }
        section #csy-ask lang=(texts.lang) dir=(texts.dir.name()) aria-label=(texts.title) {
            p {
                @if visit.consent.gpc() { (status::gpc(visit)) " " }
                (texts.ask.replace("{operator}", visit.operator()))
            }
            form method="post" action=(action) target="_self" {
                (choices::hidden(&ReturnTo::read(return_to, visit), Method::Notice, visit))
                button type="submit" name="choice" value="none" { (texts.refuse_all) }
                button type="submit" name="choice" value="all" { (texts.accept_all) }
            }
            a href=(choices_url(visit, return_to)) target="_self" rel="nofollow" { (texts.one_by_one) }
        }
    }
}

/// The link to choose again, for visitors who have chosen.
///
/// It lies over the page's lower left corner instead of standing in the page:
/// a node in the flow of a page that is one screen high, or whose body is a
/// flex box, would move the site's own content, and on a page without an end
/// nobody would ever reach it. It is one small line high, and larger only
/// where fingers need it.
#[must_use]
pub fn link(visit: &Visit<'_>, return_to: &str) -> String {
    let texts = visit.texts();
    ascii(html! {
        style { (PreEscaped(LINK_STYLE.trim_end())) (PreEscaped(&visit.site.notice.theme.link)) }
        nav #csy-link lang=(texts.lang) dir=(texts.dir.name()) aria-label=(texts.title) {
            a href=(choices_url(visit, return_to)) target="_self" rel="nofollow" { (texts.title) }
        }
        (script_tag(visit))
        (api::tag(visit))
    })
}

/// Where a visitor can choose, for a link on the page at `return_to`.
#[must_use]
pub fn choices_url(visit: &Visit<'_>, return_to: &str) -> String {
    format!(
        "{}{}",
        visit.host_prefix(),
        ReturnTo::read(return_to, visit).linked_there(visit).choices_url(visit)
    )
}

/// The same HTML with every other character written as a reference.
fn ascii(markup: Markup) -> String {
    let html = markup.into_string();
    if html.is_ascii() {
        return html;
    }
    let mut plain = String::with_capacity(html.len() + 64);
    for letter in html.chars() {
        if letter.is_ascii() {
            plain.push(letter);
        } else {
            let _ = write!(plain, "&#x{:x};", u32::from(letter));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::trial::{self, Trial};

    #[test]
    fn e2_refusing_and_accepting_weigh_the_same_in_the_notice() {
        let html = notice(&Trial::new().visit(), "/shoes");
        let buttons = trial::tags(html.as_bytes(), "button");
        assert_eq!(
            buttons.iter().map(|b| b.text.as_str()).collect::<Vec<_>>(),
            ["Refuse all", "Accept all"]
        );
        assert_eq!(
            buttons.iter().map(|b| b.attribute("value")).collect::<Vec<_>>(),
            [Some("none"), Some("all")]
        );
        assert_eq!(buttons[0].without("value"), buttons[1].without("value"));
        assert_eq!(trial::tags(html.as_bytes(), "form").len(), 1);
        assert!(
            trial::tags(html.as_bytes(), "input")
                .iter()
                .all(|input| input.attribute("checked").is_none())
        );
        // No rule tells the two apart.
        for selector in ["value", "nth", "first", "last", "+", "~"] {
            assert!(!NOTICE_STYLE.contains(selector), "{selector}");
        }
        // Its colours are the theme's, which are checked.
        for style in [NOTICE_STYLE, LINK_STYLE] {
            assert!(!style.contains(":#") && !style.contains(" #1"), "{style}");
        }
    }

    /// What lists that hide other consent tools' questions look for, in our
    /// own words: `#`, `.` and `[class*=]` rules, and parts of addresses.
    const HIDDEN: [&str; 36] = [
        "cookie",
        "gdpr",
        "ccpa",
        "dsgvo",
        "rgpd",
        "lgpd",
        "banner",
        "cmp",
        "popup",
        "pop-up",
        "modal",
        "overlay",
        "notice",
        "privacy-",
        "-privacy",
        "tracking",
        "consent-",
        "consent_",
        "-consent",
        "_consent",
        "/consent",
        "consents",
        "consentb",
        "consentm",
        "consentp",
        "consento",
        "consentc",
        "consentd",
        "consentl",
        "userconsent",
        "optin",
        "opt-in",
        "disclaimer",
        "eu-law",
        "acceptance",
        "message-container",
    ];

    #[test]
    fn j8_nothing_is_named_like_what_filter_lists_hide() {
        let trial = Trial::new();
        for html in [notice(&trial.visit(), "/"), link(&trial.visit(), "/")] {
            let html = html.to_lowercase();
            // Lists go by classes more than by anything else.
            assert!(!html.contains("class="), "{html}");
            let tags = trial::tags(html.as_bytes(), "section");
            let tags = tags.into_iter().chain(trial::tags(html.as_bytes(), "nav"));
            let ids: Vec<_> =
                tags.filter_map(|tag| tag.attribute("id").map(str::to_owned)).collect();
            assert_eq!(ids.len(), 1, "{html}");
            for rule in HIDDEN.into_iter().chain(["consent"]) {
                assert!(!ids[0].contains(rule), "{rule} is in the id {}", ids[0]);
            }
        }
    }

    #[test]
    fn j8_a_hidden_notice_leaves_a_page_that_works() {
        // It neither covers nor stops the page: no rule is about anything else.
        for style in [NOTICE_STYLE, LINK_STYLE] {
            for rule in style.split(['{', '}']).map(str::trim).filter(|rule| !rule.is_empty()) {
                let selects = !rule.contains(':') || rule.starts_with('#') || rule.contains(" :");
                let own = rule.split(',').all(|part| part.trim().starts_with("#csy-"));
                assert!(own || !selects || rule.starts_with('@'), "{rule}");
            }
        }
        let html = notice(&Trial::new().visit(), "/");
        for word in ["<dialog", "aria-modal", " inert", "autofocus"] {
            assert!(!html.contains(word), "{word}");
        }
        // Nothing happens before the visitor sends the form.
        assert_eq!(trial::tags(html.as_bytes(), "script").len(), 1);
    }

    #[test]
    fn j8_no_address_of_ours_is_like_those_that_filter_lists_refuse() {
        let trial = Trial::new();
        let visit = trial.visit();
        for page in
            ["choices", "state", "reports", "me", "receipt", "guard-0123456789.js", script::name()]
        {
            let path = visit.path(page);
            for rule in HIDDEN {
                assert!(!path.contains(rule), "{rule} is in {path}");
            }
        }
    }

    #[test]
    fn e1_the_notice_needs_no_script_and_no_other_host() {
        let trial = Trial::new();
        for html in [notice(&trial.visit(), "/a?b=c&d"), link(&trial.visit(), "/a?b=c&d")] {
            for word in ["://", "url(", "@import", "onclick", "javascript", "role=\"dialog\""] {
                assert!(!html.contains(word), "{word}");
            }
            for script in trial::tags(html.as_bytes(), "script") {
                let src = script.attribute("src").unwrap();
                assert!(src.starts_with("//shop.example/.consentry/choose-"), "{src}");
                assert_eq!(script.text, "");
            }
            let url = "//shop.example/.consentry/choices?return_to=/a%3Fb%3Dc%26d&seen=";
            let links = trial::tags(html.as_bytes(), "a");
            assert!(links[0].attribute("href").unwrap().starts_with(url), "{links:?}");
        }
    }

    #[test]
    fn e1_a_base_of_the_page_does_not_send_the_choice_elsewhere() {
        for (secure, host, home) in [
            (false, "shop.example:8080", "http://shop.example:8080"),
            (true, "shop.example", "https://shop.example"),
        ] {
            let trial = Trial { secure, host, ..Trial::new() };
            let visit = trial.visit();
            let scheme = if secure { "https" } else { "http" };
            let base = url::Url::parse(&format!("{scheme}://cdn.example/x/")).unwrap();
            let notice = notice(&visit, "/a");
            let link = link(&visit, "/a");
            let mut addresses: Vec<_> = [&notice, &link]
                .into_iter()
                .flat_map(|html| trial::tags(html.as_bytes(), "a"))
                .map(|a| a.attribute("href").unwrap().to_owned())
                .collect();
            let forms = trial::tags(notice.as_bytes(), "form");
            addresses.extend(forms.iter().map(|form| form.attribute("action").unwrap().to_owned()));
            addresses.push(choices_url(&visit, "/a"));
            assert_eq!(addresses.len(), 4);
            for address in addresses {
                let there = base.join(&address).unwrap();
                assert_eq!(there.origin().ascii_serialization(), home, "{address}");
                assert_eq!(there.path(), "/.consentry/choices", "{address}");
            }
        }
    }

    #[test]
    fn the_notice_is_ascii_whatever_the_operator_is_called() {
        let mut trial = Trial::new();
        trial.site.notice.operator = "M\u{fc}ller & S\u{f6}hne \u{1f45f} </section><script>".into();
        for html in [notice(&trial.visit(), "/\u{e9}"), link(&trial.visit(), "/\u{e9}")] {
            assert!(html.is_ascii());
            assert!(
                trial::tags(html.as_bytes(), "script").iter().all(|s| s.attribute("src").is_some())
            );
        }
        let html = notice(&trial.visit(), "/\u{e9}");
        let asked = &trial::tags(html.as_bytes(), "p")[0].text;
        assert!(asked.contains("M\u{fc}ller & S\u{f6}hne \u{1f45f} </section>"), "{asked}");
        assert_eq!(trial::tags(html.as_bytes(), "input")[0].attribute("value"), Some("/"));
        for style in [NOTICE_STYLE, LINK_STYLE] {
            assert!(style.is_ascii() && !style.contains('<'));
        }
    }

    #[test]
    fn d6_the_notice_says_that_the_signal_is_honoured() {
        let plain = notice(&Trial::new().visit(), "/");
        assert!(!plain.contains("Global Privacy Control"));
        let signalled = notice(&Trial::new().with_fields(&[("sec-gpc", "1")]).visit(), "/");
        assert!(signalled.contains("we honour it: marketing and personalization are off."));
    }
}
