//! What we add to a page: the notice while something is undecided, the link to
//! the choices afterwards.

use crate::consent::Consent;
use crate::enforce::html::{Opening, escape};
use crate::proxy::browser::{directive, script_nonce};
use crate::proxy::variant::Destination;
use crate::visitor::{self, Visit};

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_SECURITY_POLICY};
use http::request::Parts;

/// Markup for a page.
#[derive(Default)]
pub(super) struct Shown {
    /// For its end.
    pub(super) appended: String,
    /// Instead, where it says where its body begins.
    pub(super) opening: Option<Opening>,
}

/// Whether a browser says that a person will look at what is asked for.
pub(super) fn is_looked_at(parts: &Parts, destination: Destination) -> bool {
    let takes_html = || accept(parts).is_some_and(|accept| accept.contains("text/html"));
    !is_by_script(parts)
        && match destination {
            Destination::Page => true,
            Destination::Unknown => takes_html(),
            Destination::Framed | Destination::Fetch | Destination::Asset => false,
        }
}

fn is_by_script(parts: &Parts) -> bool {
    ["x-requested-with", "hx-request", "turbo-frame", "x-pjax"]
        .iter()
        .any(|name| parts.headers.contains_key(*name))
}

fn accept(parts: &Parts) -> Option<&str> {
    parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok())
}

/// What a page's own policy says about a style in the page.
enum Styles {
    Free,
    Nonce(String),
    Forbidden,
}

/// What a page is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Showing {
    Nothing,
    Notice,
    Link,
}

impl Showing {
    /// The notice goes to everybody who may look at a page. The link goes only
    /// where a browser says that a person is looking, so that whoever fetches
    /// a page as data gets it byte for byte.
    pub(super) fn on_page(parts: &Parts, consent: &Consent, destination: Destination) -> Self {
        let accept = accept(parts);
        let takes_html = accept.is_some_and(|accept| accept.contains("text/html"));
        match destination {
            Destination::Page | Destination::Unknown if is_by_script(parts) => Self::Nothing,
            Destination::Page | Destination::Unknown if consent.is_undecided() => match accept {
                Some(accept) if !takes_html && !accept.contains("*/*") => Self::Nothing,
                _ => Self::Notice,
            },
            Destination::Page => Self::link(consent),
            Destination::Unknown if takes_html => Self::link(consent),
            Destination::Unknown
            | Destination::Framed
            | Destination::Fetch
            | Destination::Asset => Self::Nothing,
        }
    }

    /// The link to choose again, where there is something to choose.
    pub(super) fn link(consent: &Consent) -> Self {
        if consent.offers_choices() { Self::Link } else { Self::Nothing }
    }

    pub(super) fn is_nothing(self) -> bool {
        self == Self::Nothing
    }
}

impl Shown {
    /// The markup for it; `return_to` is where a choice leads back to.
    pub(super) fn of(showing: Showing, visit: &Visit<'_>, return_to: &str) -> Self {
        match showing {
            Showing::Nothing => Self::default(),
            Showing::Notice => Self::notice(visit, return_to),
            Showing::Link => Self { appended: visitor::link(visit, return_to), opening: None },
        }
    }

    fn notice(visit: &Visit<'_>, return_to: &str) -> Self {
        Self {
            appended: visitor::notice(visit, return_to),
            opening: Some(visitor::opening(visit, return_to)),
        }
    }

    /// The same, and `markup` at the page's end.
    pub(super) fn beside(mut self, markup: &str) -> Self {
        self.appended.push_str(markup);
        if let Some(opening) = &mut self.opening {
            opening.rest.push_str(markup);
        }
        self
    }

    /// The same under the page's own policy: with the nonces it asks of scripts
    /// and of styles.
    /// Where it forbids them all, the notice stands unstyled at the end, for
    /// at the beginning it would push the whole page down.
    pub(super) fn under(mut self, headers: &HeaderMap) -> Self {
        if let Some(nonce) = script_nonce(headers) {
            let tag = format!("<script nonce=\"{}\" defer ", escape(&nonce));
            self = self.written_anew(|markup| markup.replace("<script defer ", &tag));
        }
        match styles(headers) {
            Styles::Free => {}
            Styles::Forbidden => self.opening = None,
            Styles::Nonce(nonce) => {
                let tag = format!("<style nonce=\"{}\">", escape(&nonce));
                self = self.written_anew(|markup| markup.replace("<style>", &tag));
            }
        }
        self
    }

    fn written_anew(self, write: impl Fn(&str) -> String) -> Self {
        let opening = self.opening.map(|opening| Opening {
            markup: write(&opening.markup),
            rest: write(&opening.rest),
            hidden: write(&opening.hidden),
        });
        Self { appended: write(&self.appended), opening }
    }
}

fn styles(headers: &HeaderMap) -> Styles {
    let mut found = Styles::Free;
    let fields = headers.get_all(CONTENT_SECURITY_POLICY).iter();
    let policies =
        fields.filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(','));
    for policy in policies {
        let names = ["style-src-elem", "style-src", "default-src"];
        let Some(sources) = names.iter().find_map(|name| directive(policy, name)) else { continue };
        let mut words = sources.split_ascii_whitespace();
        let nonce = words.clone().find_map(|word| word.strip_prefix("'nonce-")?.strip_suffix('\''));
        // A nonce or a hash beside it takes its effect away (CSP Level 3, 6.7.3.2).
        let hashed = words.clone().any(|word| word.starts_with("'sha"));
        let inline = words.any(|word| word.eq_ignore_ascii_case("'unsafe-inline'"));
        match nonce {
            Some(nonce) => found = Styles::Nonce(nonce.to_owned()),
            None if inline && !hashed => {}
            None => return Styles::Forbidden,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b2_the_notice_keeps_to_the_pages_own_policy_on_styles() {
        for (policies, nonce, opens) in [
            (&[][..], None, true),
            (&["script-src 'self'"], None, true),
            (&["style-src 'self' 'unsafe-inline'"], None, true),
            (&["style-src 'self'"], None, false),
            (&["default-src 'self'"], None, false),
            (&["default-src 'self'; style-src 'unsafe-inline'"], None, true),
            (&["default-src 'self'; style-src 'nonce-a+b='"], Some("a+b="), true),
            (&["style-src 'unsafe-inline' 'sha256-x'"], None, false),
            (&["style-src 'nonce-abc'", "style-src 'self'"], None, false),
            (&["style-src 'nonce-abc', style-src 'none'"], None, false),
            (&["STYLE-SRC-ELEM 'nonce-abc'; style-src 'none'"], Some("abc"), true),
        ] {
            let mut headers = HeaderMap::new();
            for policy in policies {
                headers.append(CONTENT_SECURITY_POLICY, policy.parse().unwrap());
            }
            let markup = || "<style>a{}</style>".to_owned();
            let opening = Opening { markup: markup(), rest: String::new(), hidden: markup() };
            let shown = Shown { appended: markup(), opening: Some(opening) }.under(&headers);
            let expected = match nonce {
                Some(nonce) => format!("<style nonce=\"{nonce}\">a{{}}</style>"),
                None => markup(),
            };
            assert_eq!(shown.appended, expected, "{policies:?}");
            assert_eq!(
                shown.opening.map(|opening| opening.markup),
                opens.then_some(expected),
                "{policies:?}"
            );
        }
    }

    #[test]
    fn b2_the_notices_script_has_the_nonce_that_the_page_asks_of_scripts() {
        let markup = || "<script defer src=\"/choose.js\"></script>".to_owned();
        for (policy, expected) in [
            ("script-src 'nonce-a+b=' 'strict-dynamic'", "<script nonce=\"a+b=\" defer src"),
            ("default-src 'self'; style-src 'nonce-abc'", "<script defer src"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_SECURITY_POLICY, policy.parse().unwrap());
            let opening = Opening { markup: String::new(), rest: markup(), hidden: String::new() };
            let shown = Shown { appended: markup(), opening: Some(opening) }.under(&headers);
            assert!(shown.appended.starts_with(expected), "{}", shown.appended);
            assert!(shown.opening.is_none_or(|opening| opening.rest.starts_with(expected)));
        }
    }
}
