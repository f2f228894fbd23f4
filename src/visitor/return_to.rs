//! Where a visitor goes back to after a choice: a page of this site, always.

use crate::visitor::{FORM_BYTES, Page, Visit, own_page};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Position, Url, form_urlencoded};

const MAX_BYTES: usize = 2000;

/// A path of this site. Whatever is not certainly one becomes `/`, since an
/// address that leads elsewhere would lend our good name to whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReturnTo {
    path: String,
    /// What our own link on that page said: whoever holds it was there.
    seen: Option<String>,
}

impl ReturnTo {
    /// The site's first page.
    pub(super) fn home() -> Self {
        Self::to("/".to_owned())
    }

    const fn to(path: String) -> Self {
        Self { path, seen: None }
    }

    /// The same for a link on that very page.
    pub(super) fn linked_there(self, visit: &Visit<'_>) -> Self {
        let keys = &visit.site.consent.keys;
        Self { seen: Some(keys.mark(visit.cookie.scope, self.place().as_bytes())), ..self }
    }

    /// Whether the visitor came by a link on that page, so that what is on it is
    /// no news to them.
    pub(super) fn was_seen(&self, visit: &Visit<'_>) -> bool {
        let keys = &visit.site.consent.keys;
        let is_ours =
            |mark: &String| keys.is_mark(visit.cookie.scope, self.place().as_bytes(), mark);
        self.seen.as_ref().is_some_and(is_ours)
    }

    /// The path without its query.
    pub(super) fn place(&self) -> &str {
        self.path.split(['?', '#']).next().unwrap_or("/")
    }

    pub(super) fn read(text: &str, visit: &Visit<'_>) -> Self {
        local_path(text, visit).map_or_else(Self::home, Self::to)
    }

    pub(super) fn from_query(query: Option<&str>, visit: &Visit<'_>) -> Self {
        Self::from_pairs(query.unwrap_or_default().as_bytes(), visit)
    }

    pub(super) fn from_form(body: &[u8], visit: &Visit<'_>) -> Self {
        if body.len() > FORM_BYTES { Self::home() } else { Self::from_pairs(body, visit) }
    }

    fn from_pairs(pairs: &[u8], visit: &Visit<'_>) -> Self {
        let mut found = form_urlencoded::parse(pairs).filter(|(name, _)| name == "return_to");
        match (found.next(), found.next()) {
            (Some((_, text)), None) => {
                let mut marks = form_urlencoded::parse(pairs).filter(|(name, _)| name == "seen");
                let seen = marks.next().map(|(_, mark)| mark.into_owned());
                Self { seen, ..Self::read(&text, visit) }
            }
            _ => Self::home(),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.path
    }

    /// The address of the choices page that leads back here.
    pub(super) fn choices_url(&self, visit: &Visit<'_>) -> String {
        self.url("choices", visit)
    }

    /// The address of a page of ours that leads back here.
    pub(super) fn url(&self, page: &str, visit: &Visit<'_>) -> String {
        const KEPT: &AsciiSet =
            &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
        let mut url =
            format!("{}?return_to={}", visit.path(page), utf8_percent_encode(&self.path, KEPT));
        if let Some(seen) = &self.seen {
            url.push_str("&seen=");
            url.extend(utf8_percent_encode(seen, KEPT));
        }
        url
    }
}

/// The path as a browser would resolve it, if it stays on this site.
///
/// What is returned is the resolved form, so that nobody downstream resolves
/// it in another way than we checked it.
fn local_path(text: &str, visit: &Visit<'_>) -> Option<String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if !plain || text.len() > MAX_BYTES || !text.starts_with('/') || text.starts_with("//") {
        return None;
    }
    let home = Url::parse(&format!("https://{}/", visit.host)).ok()?;
    let there = home.join(text).ok()?;
    // `/.//evil` resolves to `//evil`, which the next reader may take for a host.
    if there.origin() != home.origin() || there.path().starts_with("//") {
        return None;
    }
    match own_page(visit.site, there.path()) {
        None | Some(Page::Choices) => {
            Some(there.as_str().get(there[..Position::BeforePath].len()..)?.to_owned())
        }
        Some(
            Page::State
            | Page::Reports
            | Page::Me
            | Page::Declaration
            | Page::Receipt
            | Page::Script
            | Page::Api
            | Page::Guard
            | Page::Embed
            | Page::Unknown,
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::trial::Trial;

    #[test]
    fn e1_nobody_is_sent_to_another_site() {
        let trial = Trial::new();
        for hostile in [
            "",
            "evil",
            "//evil",
            "///evil",
            "////evil",
            "/\\evil",
            "\\\\evil",
            "\\/evil",
            "/\t/evil",
            "/\n/evil",
            "/\r/evil",
            "/ /evil",
            " /x",
            "/x ",
            "\t//evil",
            "/.//evil",
            "/..//evil",
            "/a/..//evil",
            "/%2e//evil",
            "/%2E%2e//evil",
            "/./..//evil",
            "https://evil",
            "https:evil",
            "http://shop.example/",
            "https://shop.example@evil/",
            "javascript:alert(1)",
            "data:text/html,x",
            "?//evil",
            "#x",
            "@evil",
            "/x\r\nSet-Cookie: a=b",
            "/x\0",
            "/x\u{7f}",
            "/\u{ff0f}evil",
            "/\u{e9}",
            "/x\\..\\evil",
            "/.consentry/state",
            "/.consentry/me",
            "/.consentry/reports",
            "/.consentry",
            "/a/../.consentry/state",
        ] {
            assert_eq!(ReturnTo::read(hostile, &trial.visit()).as_str(), "/", "{hostile:?}");
        }
        let long = format!("/{}", "x".repeat(2000));
        assert_eq!(ReturnTo::read(&long, &trial.visit()), ReturnTo::home());
    }

    #[test]
    fn a_page_of_the_site_is_found_again() {
        let trial = Trial::new();
        for (path, expected) in [
            ("/", "/"),
            ("/shoes?size=42&q=a+b%20c#top", "/shoes?size=42&q=a+b%20c#top"),
            ("/%5cevil", "/%5cevil"),
            ("/%2f%2fevil", "/%2f%2fevil"),
            ("/a//b", "/a//b"),
            ("/a/../b", "/b"),
            ("/x?u=https://evil//", "/x?u=https://evil//"),
            ("/.consentry/choices", "/.consentry/choices"),
            ("/.consentryx", "/.consentryx"),
            ("/@evil", "/@evil"),
        ] {
            assert_eq!(ReturnTo::read(path, &trial.visit()).as_str(), expected);
        }
    }

    #[test]
    fn a_return_address_survives_its_way_through_the_choices_page() {
        let trial = Trial::new();
        for path in ["/", "/a?b=c&return_to=//evil#d", "/%26return_to=x", "/'\"<script>&amp;"] {
            let there = ReturnTo::read(path, &trial.visit());
            let url = there.choices_url(&trial.visit());
            let query = url.strip_prefix("/.consentry/choices?").unwrap();
            assert_eq!(ReturnTo::from_query(Some(query), &trial.visit()), there, "{url}");
        }
        let two = "return_to=/a&return_to=/b";
        assert_eq!(ReturnTo::from_query(Some(two), &trial.visit()), ReturnTo::home());
    }
}
