//! Reads a page the way a browser's tokenizer does, for tests that ask what
//! stands in it.

use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use std::cell::RefCell;

/// A start tag, and the text up to the next tag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Element {
    /// The value of an attribute, or nothing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value of an attribute that must be there.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("<{}> has no {name}", self.name))
    }
}

/// Every element of a page, in order. With `scripting` on, what stands in a
/// `noscript` is text.
pub(crate) fn elements(html: &str, scripting: bool) -> Vec<Element> {
    let sink = Sink { elements: RefCell::default(), scripting };
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let queue = BufferQueue::default();
    queue.push_back(html.into());
    let _ = tokenizer.feed(&queue);
    tokenizer.end();
    tokenizer.sink.elements.into_inner()
}

/// The elements of one name, as a browser without scripts finds them.
pub(crate) fn tags(html: &str, name: &str) -> Vec<Element> {
    elements(html, false).into_iter().filter(|element| element.name == name).collect()
}

struct Sink {
    elements: RefCell<Vec<Element>>,
    scripting: bool,
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => {
                let attributes = tag
                    .attrs
                    .iter()
                    .map(|attribute| {
                        (attribute.name.local.to_string(), attribute.value.to_string())
                    })
                    .collect();
                let name = tag.name.to_string();
                let raw = match name.as_str() {
                    "script" => Some(RawKind::ScriptData),
                    "style" | "iframe" | "xmp" | "noembed" => Some(RawKind::Rawtext),
                    "noscript" if self.scripting => Some(RawKind::Rawtext),
                    "textarea" | "title" => Some(RawKind::Rcdata),
                    _ => None,
                };
                self.elements.borrow_mut().push(Element { name, attributes, text: String::new() });
                raw.map_or(TokenSinkResult::Continue, TokenSinkResult::RawData)
            }
            Token::CharacterTokens(text) => {
                if let Some(element) = self.elements.borrow_mut().last_mut() {
                    element.text.push_str(&text);
                }
                TokenSinkResult::Continue
            }
            _ => TokenSinkResult::Continue,
        }
    }
}

/// A page without the tags of the guard's files: they name what to stand in
/// for.
pub(crate) fn without_guard(html: &str) -> String {
    let mut rest = html;
    let mut page = String::new();
    while let Some((before, tag)) = rest.split_once("<script src=\"/.consentry/") {
        page.push_str(before);
        let (tag, after) = tag.split_once("</script>").unwrap();
        if !["kept-", "guard-", "google-", "stand-ins-"].iter().any(|kind| tag.starts_with(kind)) {
            page.push_str(&format!("<script src=\"/.consentry/{tag}</script>"));
        }
        rest = after;
    }
    page + rest
}
