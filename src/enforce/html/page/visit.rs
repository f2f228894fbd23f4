//! Finds the elements that are worth a look among all that a page has.
//!
//! The rewriter shows every element, and it is told apart here. Asked for the
//! same elements by selectors, it compares each element with every selector,
//! which cost more than all that was done to the page.

use crate::enforce::html::page::Page;

use lol_html::html_content::Attribute;
use lol_html::send::Element;
use std::borrow::Cow;
use std::ops::Range;

/// Whether it is one of the elements that can load something, run something or
/// change what addresses mean.
const fn can_load(name: &[u8]) -> bool {
    matches!(
        name,
        b"script"
            | b"noscript"
            | b"style"
            | b"link"
            | b"base"
            | b"meta"
            | b"img"
            | b"image"
            | b"source"
            | b"iframe"
            | b"frame"
            | b"fencedframe"
            | b"portal"
            | b"embed"
            | b"object"
            | b"applet"
            | b"video"
            | b"audio"
            | b"track"
            | b"use"
            | b"feimage"
            | b"amp-pixel"
            | b"amp-iframe"
    )
}

/// Whether it is one of the events that pages use: those that fire by
/// themselves, and those of a visitor who does something.
const fn is_event(name: &[u8]) -> bool {
    matches!(
        name,
        b"onload"
            | b"onerror"
            | b"onclick"
            | b"onsubmit"
            | b"onchange"
            | b"oninput"
            | b"onfocus"
            | b"onblur"
            | b"onmouseover"
            | b"onmouseenter"
            | b"onmousedown"
            | b"ontouchstart"
            | b"onpointerdown"
            | b"onscroll"
            | b"onpageshow"
            | b"onpagehide"
            | b"onbeforeunload"
            | b"onunload"
            | b"onanimationstart"
            | b"ontoggle"
    )
}

/// The longest of the names above.
const MAX_NAME: usize = 16;

/// Why an element is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reasons {
    /// In how many ways it can load something: it is judged for each.
    loads: usize,
    /// Whether code stands in its attributes.
    runs: bool,
    is_body: bool,
    is_styled: bool,
}

/// What an attribute says about its element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    Source,
    Ping,
    Background,
    Style,
    Event,
    /// An address that may be code: which of the three it is.
    Address(usize),
}

impl Page {
    /// Judges an element, if there is anything to judge.
    pub(in crate::enforce::html) fn visit(&mut self, element: &mut Element<'_, '_>) {
        if self.places.is_some() && self.depth == 0 {
            self.at = element.source_location().bytes().start;
        }
        let reasons = self.reasons(element);
        for _ in 0..reasons.loads {
            self.element(element);
        }
        if reasons.runs {
            self.events(element);
        }
        if reasons.is_body {
            self.open(element);
        }
        if reasons.is_styled {
            self.style_attribute(element);
        }
        if !self.mended.is_empty() {
            self.restore(element);
        }
    }

    fn reasons(&self, element: &Element<'_, '_>) -> Reasons {
        let tag = self.bytes(&element.source_location().bytes());
        let written = tag.and_then(|tag| tag.get(1..)).and_then(name_at_start);
        let (name, has_attributes) = match written {
            Some((name, rest)) => (Cow::Borrowed(name), rest != b">"),
            None => (Cow::Owned(element.tag_name().into_bytes()), true),
        };
        let mut buffer = [0; MAX_NAME];
        let name = lower_case(&name, &mut buffer);
        let mut reasons = Reasons {
            loads: usize::from(can_load(name)),
            is_body: name == b"body",
            ..Reasons::default()
        };
        if has_attributes {
            self.add_reasons(&mut reasons, name, element);
        }
        reasons
    }

    fn add_reasons(&self, reasons: &mut Reasons, tag: &[u8], element: &Element<'_, '_>) {
        let (mut source, mut ping, mut background) = (false, false, false);
        // Of two attributes of one name browsers take the first.
        let mut addresses = [false; 3];
        for attribute in element.attributes() {
            let at = attribute.name_source_location().map(|at| at.bytes());
            let telling = match at.and_then(|at| self.bytes(&at)) {
                Some(name) => telling(name),
                None => telling(attribute.name().as_bytes()),
            };
            match telling {
                Some(Telling::Source) => source = true,
                Some(Telling::Ping) => ping = true,
                Some(Telling::Background) => background = true,
                Some(Telling::Style) => reasons.is_styled = true,
                Some(Telling::Event) => reasons.runs = true,
                Some(Telling::Address(which)) => {
                    if let Some(seen @ false) = addresses.get_mut(which) {
                        *seen = true;
                        let at = attribute.value_source_location().map(|at| at.bytes());
                        reasons.runs |= match at.and_then(|at| self.bytes(&at)) {
                            Some(value) => names_script(value),
                            None => names_script(attribute.value().as_bytes()),
                        };
                    }
                }
                None => {}
            }
        }
        reasons.loads += usize::from(source && tag == b"input")
            + usize::from(ping && matches!(tag, b"a" | b"area"))
            + usize::from(background);
    }

    /// An attribute's name in lower case.
    pub(super) fn name_of<'p>(&'p self, attribute: &Attribute<'_>) -> Cow<'p, str> {
        let at = attribute.name_source_location().map(|at| at.bytes());
        let as_is = at
            .and_then(|at| self.bytes(&at))
            .filter(|name| name.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()));
        match as_is.and_then(|name| std::str::from_utf8(name).ok()) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(attribute.name()),
        }
    }

    /// What stands at a place in the page, where the rewriter is working on it.
    fn bytes(&self, range: &Range<usize>) -> Option<&[u8]> {
        let start = range.start.checked_sub(self.window_start)?;
        let end = range.end.checked_sub(self.window_start)?;
        self.window.get(start..end)
    }
}

/// The name that a tag begins with, and the rest of the tag.
fn name_at_start(tag: &[u8]) -> Option<(&[u8], &[u8])> {
    let ends = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b'\x0c' | b'/' | b'>');
    tag.split_at_checked(tag.iter().position(ends)?)
}

/// A name in lower case; nothing of one that is longer than any that counts.
fn lower_case<'b>(name: &[u8], buffer: &'b mut [u8; MAX_NAME]) -> &'b [u8] {
    let Some(lower) = buffer.get_mut(..name.len()) else { return &[] };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    lower
}

fn telling(name: &[u8]) -> Option<Telling> {
    // Most names are told apart by their first letter.
    if !matches!(name.first()? | 0x20, b's' | b'p' | b'b' | b'o' | b'h' | b'a' | b'f') {
        return None;
    }
    let mut buffer = [0; MAX_NAME];
    Some(match lower_case(name, &mut buffer) {
        b"src" => Telling::Source,
        b"ping" => Telling::Ping,
        b"background" => Telling::Background,
        b"style" => Telling::Style,
        b"href" => Telling::Address(0),
        b"action" => Telling::Address(1),
        b"formaction" => Telling::Address(2),
        name if is_event(name) => Telling::Event,
        _ => return None,
    })
}

/// Whether an address has `script:` in it, in any case.
fn names_script(address: &[u8]) -> bool {
    memchr::memchr_iter(b':', address).any(|at| {
        let before = address.get(..at).unwrap_or_default();
        let word = before.len().checked_sub(6).and_then(|from| before.get(from..));
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"script"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::enforce::html::lookahead::Passed;
    use crate::enforce::html::{PageContext, Sink, lock, parser_settings};
    use crate::policy::{Policy, Unlisted};

    use bytes::Bytes;
    use lol_html::send::HtmlRewriter;
    use lol_html::{ElementContentHandlers, Selector};
    use proptest::prelude::*;
    use std::sync::{Arc, Mutex};

    /// The same in selectors: what loads, in how many ways; what has code in
    /// it; the body; what is styled.
    const SELECTORS: [&[&str]; 4] = [
        &[
            "script",
            "noscript",
            "style",
            "link",
            "base",
            "meta",
            "img",
            "image",
            "source",
            "iframe",
            "frame",
            "fencedframe",
            "portal",
            "embed",
            "object",
            "applet",
            "video",
            "audio",
            "track",
            "input[src]",
            "use",
            "feImage",
            "amp-pixel",
            "amp-iframe",
            "a[ping]",
            "area[ping]",
            "[background]",
        ],
        &["[onload], [onerror], [onclick], [onsubmit], [onchange], [oninput], \
            [onfocus], [onblur], [onmouseover], [onmouseenter], [onmousedown], [ontouchstart], \
            [onpointerdown], [onscroll], [onpageshow], [onpagehide], [onbeforeunload], \
            [onunload], [onanimationstart], [ontoggle], [href*='script:' i], \
            [action*='script:' i], [formaction*='script:' i]"],
        &["body"],
        &["[style]"],
    ];

    fn page(html: &str) -> Page {
        let catalogue = Arc::new(Catalogue::compile(&[]).unwrap());
        let context = PageContext::of_shop(Policy::new(catalogue, Unlisted::Observe, &[]));
        let mut page = Page::new(Arc::new(context), encoding_rs::UTF_8);
        let bytes = Bytes::copy_from_slice(html.as_bytes());
        page.look_at(Passed { bytes, contents: Vec::new(), mended: Vec::new() });
        page
    }

    /// The reasons for each element by selectors and as they are found.
    fn both(html: &str) -> [Vec<Reasons>; 2] {
        let found: Arc<Mutex<Vec<Reasons>>> = Arc::default();
        let by_selector: Arc<Mutex<Vec<[usize; 4]>>> = Arc::default();
        let all: Selector = "*".parse().unwrap();
        let (page, kept, counts) = (page(html), Arc::clone(&found), Arc::clone(&by_selector));
        let every =
            ElementContentHandlers::default().element(move |element: &mut Element<'_, '_>| {
                lock(&kept).push(page.reasons(element));
                lock(&counts).push([0; 4]);
                Ok(())
            });
        let mut settings =
            parser_settings(1 << 20).append_element_content_handler((Cow::Owned(all), every));
        for (which, selectors) in SELECTORS.into_iter().enumerate() {
            for selector in selectors {
                let counts = Arc::clone(&by_selector);
                let count =
                    ElementContentHandlers::default().element(move |_: &mut Element<'_, '_>| {
                        lock(&counts).last_mut().unwrap()[which] += 1;
                        Ok(())
                    });
                let selector: Selector = selector.parse().unwrap();
                settings = settings.append_element_content_handler((Cow::Owned(selector), count));
            }
        }
        let sink: Sink = Box::new(|_| {});
        let mut rewriter = HtmlRewriter::new(settings, sink);
        // The second time, the page is not where the elements are.
        rewriter.write(html.as_bytes()).unwrap();
        rewriter.write(html.as_bytes()).unwrap();
        rewriter.end().unwrap();
        let counted = lock(&by_selector).clone();
        let by_selector = counted.into_iter().map(|[loads, runs, body, style]| Reasons {
            loads,
            runs: runs > 0,
            is_body: body > 0,
            is_styled: style > 0,
        });
        [by_selector.collect(), lock(&found).clone()]
    }

    #[test]
    fn a1_nothing_that_loads_is_overlooked() {
        for html in [
            "<SCRIPT><p></p></sCript><IMG background=x><input SRC><input src = x><a PING=x href><b>",
            "<a href='x' href='javascript:x'><a HREF=' java\nSCRIPT:x'><form action=script:><br/>",
            "<p style><p STYLE=''><p\tonclick=x><p/onclick><p onclickx><body onLoad=x><BODY><svg>",
            "<svg><feImage/><use/><image/><a ping=x background=y></svg><fencedframe><fencedframes>",
            "<amp-pixel><AMP-IFRAME x><button formaction='SCRIPT:'><q a=\"style\" b='>' style=x>",
            "<p a=b\"style=x style>",
        ] {
            let [expected, found] = both(html);
            assert_eq!(found, expected, "{html}");
        }
    }

    proptest! {
        #[test]
        fn a1_nothing_that_loads_is_overlooked_however_it_is_written(
            pieces in prop::collection::vec(0..PIECES.len(), 1..40)
        ) {
            let html: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
            let [expected, found] = both(&html);
            prop_assert_eq!(found, expected, "{}", html);
        }
    }

    const PIECES: [&str; 34] = [
        "<",
        ">",
        "/",
        "=",
        "\"",
        "'",
        " ",
        "\n",
        "x",
        "<p",
        "<a ",
        "<area ",
        "<input ",
        "<img",
        "<script>",
        "</script>",
        "<svg>",
        "</svg>",
        "<use",
        "<body",
        "<!--",
        "-->",
        "style",
        "STYLE=",
        "src",
        "ping=x",
        "background",
        "onload=",
        "onClick",
        "href",
        "href='javascript:",
        "action=Script:",
        "formaction=\"xscript:",
        "é",
    ];
}
