//! Finds what a page would load.
//!
//! Written apart from the rewriter on purpose: a mistake in how that one reads
//! a page must not be made here once more. It only has to be right about what
//! browsers fetch by themselves from plain markup.

use crate::catalogue::Kind;

use memchr::memchr_iter;
use url::Url;

/// How many loads of one page are looked at.
const MOST: usize = 5000;

/// What a page would load, and whether it asks.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// What kind of thing, and its address.
    pub(super) addresses: Vec<(Kind, Url)>,
    /// The code of scripts that stand in the page.
    pub(super) inline: Vec<String>,
    /// The ids of elements that are ours.
    pub(super) ours: Vec<String>,
}

impl Loads {
    /// Whether the page asks for consent.
    pub(super) fn ask(&self) -> bool {
        self.ours.iter().any(|id| id == "csy-ask")
    }

    /// Whether it links to the choices.
    pub(super) fn link(&self) -> bool {
        self.ours.iter().any(|id| id == "csy-link")
    }
}

/// What the page at `url` would load.
pub(super) fn of(page: &str, url: &Url) -> Loads {
    let mut loads = Loads::default();
    let mut base = url.clone();
    let mut rest = page;
    while let Some((_, from)) = rest.split_once('<') {
        rest = from;
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let Some((element, after)) = Element::read(rest) else { continue };
        rest = after;
        if let Some(raw) = element.raw_text_end() {
            let (text, after) = until_end(rest, raw);
            rest = after;
            if element.name == "script" && element.is_code() && !text.trim().is_empty() {
                loads.inline.push(text.to_owned());
            }
        }
        if element.name == "base"
            && let Some(there) = element.value("href").and_then(|href| url.join(&href).ok())
        {
            base = there;
        }
        loads.ours.extend(element.value("id").filter(|id| id.starts_with("csy-")));
        if loads.addresses.len() < MOST {
            let found = element.addresses().into_iter();
            loads
                .addresses
                .extend(found.filter_map(|(kind, to)| Some((kind, base.join(&to).ok()?))));
        }
    }
    loads
}

/// The text up to the end tag of a raw text element, and what is behind it.
fn until_end<'t>(text: &'t str, end: &str) -> (&'t str, &'t str) {
    let is_end = |at: &usize| {
        let tag = text.as_bytes().get(*at..at.saturating_add(end.len()));
        tag.is_some_and(|tag| tag.eq_ignore_ascii_case(end.as_bytes()))
    };
    let at = memchr_iter(b'<', text.as_bytes()).find(is_end).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// A start tag.
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// The start tag that `text` begins with, behind its `<`, and what follows.
    fn read(text: &str) -> Option<(Self, &str)> {
        let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/')?;
        let (name, mut rest) = text.split_at_checked(end)?;
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            if rest.is_empty() {
                break;
            }
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            let (attribute, after) = attribute(rest);
            attributes.push(attribute);
            rest = after;
        }
        Some((Self { name: name.to_ascii_lowercase(), attributes }, rest))
    }

    fn value(&self, name: &str) -> Option<String> {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| htmlize::unescape_attribute(value.as_str()).trim().to_owned())
    }

    /// How its text ends, if it holds nothing but text.
    fn raw_text_end(&self) -> Option<&'static str> {
        match self.name.as_str() {
            "script" => Some("</script"),
            "style" => Some("</style"),
            "textarea" => Some("</textarea"),
            "title" => Some("</title"),
            "xmp" => Some("</xmp"),
            _ => None,
        }
    }

    /// Whether a script is one that runs (HTML, 4.12.1: other types are data).
    fn is_code(&self) -> bool {
        let kind = self.value("type").unwrap_or_default().to_ascii_lowercase();
        self.value("src").is_none()
            && matches!(
                kind.as_str(),
                "" | "module" | "text/javascript" | "application/javascript" | "text/ecmascript"
            )
    }

    /// What a browser fetches when it meets it.
    fn addresses(&self) -> Vec<(Kind, String)> {
        let one =
            |kind, name| self.value(name).map(|to| (kind, to)).into_iter().collect::<Vec<_>>();
        match self.name.as_str() {
            "script" if self.runs_or_has_no_type() => one(Kind::Script, "src"),
            "iframe" | "frame" => one(Kind::Frame, "src"),
            "embed" => one(Kind::Object, "src"),
            "object" => one(Kind::Object, "data"),
            "video" | "audio" | "track" => one(Kind::Media, "src"),
            "img" | "input" | "source" => {
                let mut all = one(Kind::Image, "src");
                let set = self.value("srcset").unwrap_or_default();
                all.extend(
                    set.split(", ")
                        .filter_map(|each| each.split_ascii_whitespace().next())
                        .map(|to| (Kind::Image, to.to_owned())),
                );
                all
            }
            "link" => {
                let relation = self.value("rel").unwrap_or_default().to_ascii_lowercase();
                let is = |word: &str| relation.split_ascii_whitespace().any(|each| each == word);
                if is("stylesheet") {
                    one(Kind::Style, "href")
                } else if ["preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch"]
                    .into_iter()
                    .any(is)
                {
                    one(Kind::Hint, "href")
                } else {
                    Vec::new()
                }
            }
            _ => Vec::new(),
        }
        .into_iter()
        .filter(|(_, to)| !to.is_empty())
        .collect()
    }

    fn runs_or_has_no_type(&self) -> bool {
        let kind = self.value("type").unwrap_or_default().to_ascii_lowercase();
        kind.is_empty() || kind == "module" || kind.ends_with("script")
    }
}

/// The attribute that `text` begins with, and what follows.
fn attribute(text: &str) -> ((String, String), &str) {
    let end = text
        .char_indices()
        .skip(1)
        .find(|(_, c)| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))
        .map_or(text.len(), |(at, _)| at);
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let name = name.to_ascii_lowercase();
    let Some(value) = rest.trim_ascii_start().strip_prefix('=') else {
        return ((name, String::new()), rest);
    };
    let value = value.trim_ascii_start();
    for quote in ['"', '\''] {
        if let Some(value) = value.strip_prefix(quote) {
            let (value, rest) = value.split_once(quote).unwrap_or((value, ""));
            return ((name, value.to_owned()), rest);
        }
    }
    let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len());
    let (value, rest) = value.split_at_checked(end).unwrap_or((value, ""));
    ((name, value.to_owned()), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(page: &str, expected: &[&str]) {
        let url = Url::parse("https://shop.example/a/").unwrap();
        let found: Vec<_> = of(page, &url)
            .addresses
            .into_iter()
            .map(|(kind, url)| format!("{} {url}", kind.name()))
            .collect();
        assert_eq!(found, expected, "{page}");
    }

    #[test]
    fn k5_what_a_browser_would_fetch_is_found() {
        check("<script src=//a.example/x.js></script>", &["script https://a.example/x.js"]);
        check(
            "<noscript><IMG height=1 SRC = 'https://a.example/tr?a=1&amp;b=2' /></noscript>",
            &["image https://a.example/tr?a=1&b=2"],
        );
        check("<base href='/b/'><iframe src=c>", &["frame https://shop.example/b/c"]);
        check(
            "<link rel='preconnect' href=//a.example><link href=s.css rel=stylesheet>",
            &["hint https://a.example/", "style https://shop.example/a/s.css"],
        );
        check(
            "<img srcset='//a.example/1.png 1x, //a.example/2.png 2x'>",
            &["image https://a.example/1.png", "image https://a.example/2.png"],
        );
    }

    #[test]
    fn k5_what_no_browser_fetches_is_not() {
        check("<!-- <script src=//a.example/x.js></script> -->", &[]);
        check("<a href='https://a.example/'>a</a><link rel=canonical href=//a.example>", &[]);
        check("<textarea><script src=//a.example/x.js></script></textarea>", &[]);
        check("<script>'<script src=//a.example/x.js>'</script>", &[]);
        check("<script type=text/plain src=//a.example/x.js></script>", &[]);
        check("<script data-consentry-held=1 type=text/plain></script>", &[]);
    }

    #[test]
    fn k5_no_page_is_too_broken_to_be_read() {
        for page in ["<", "<a", "<a b", "<a b=", "<a b='", "<script", "<script>", "<é a=é>", "<a é"]
        {
            check(page, &[]);
        }
    }

    #[test]
    fn k5_code_and_our_own_elements_are_found() {
        let url = Url::parse("https://shop.example/").unwrap();
        let page = "<section id=csy-ask></section><script>fbq('init')</script><script type='application/json'>{}</script>";
        let loads = of(page, &url);
        assert!(loads.ask() && !loads.link());
        assert_eq!(loads.inline, ["fbq('init')"]);
    }
}
