//! A site and a visitor for the tests of this room, and eyes to read a page.

use crate::catalogue::{Catalogue, SourceFile};
use crate::consent::{self, Consent, Keys};
use crate::enforce::browser::{GoogleConsent, GuardFiles};
use crate::notice::Languages;
use crate::policy::{Mode, Policy, Unlisted};
use crate::site::{Notice, Origins, ScriptApi, Sharing, Site};
use crate::visitor::{Answer, OnRecord, Visit, answer, own_page};

use bytes::Bytes;
use html5ever::tokenizer::{
    BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use std::cell::RefCell;
use std::sync::Arc;

pub(super) const NOW_S: u64 = 1_790_000_000;

pub(super) struct Trial {
    pub(super) site: Site,
    pub(super) consent: Consent,
    pub(super) host: &'static str,
    pub(super) secure: bool,
}

impl Trial {
    pub(super) fn new() -> Self {
        Self { site: site(), consent: Consent::silent(), host: "shop.example", secure: false }
    }

    pub(super) fn visit(&self) -> Visit<'_> {
        Visit {
            site: &self.site,
            texts: self.site.notice.languages.for_visitor(&HeaderMap::new()),
            consent: &self.consent,
            host: self.host,
            cookie: self.site.sharing.cookie(self.host, self.secure),
            secure: self.secure,
            now_s: NOW_S,
            on_record: OnRecord::default(),
        }
    }

    /// The same visitor, whose browser sends these fields.
    pub(super) fn with_fields(&self, fields: &[(&str, &str)]) -> Self {
        let cookie = self.visit().cookie;
        let consent = consent::read(
            &headers(fields),
            cookie.names(),
            cookie.scope,
            &self.site.consent,
            NOW_S + 5,
        );
        Self { site: self.site.clone(), consent, ..*self }
    }

    /// The same visitor after a choice.
    pub(super) fn with_cookie_of(&self, answer: &Answer) -> Self {
        self.with_cookie_and(answer, &[])
    }

    pub(super) fn with_cookie_and(&self, answer: &Answer, fields: &[(&str, &str)]) -> Self {
        let cookie = answer.response.headers()["set-cookie"].to_str().unwrap();
        let pair = cookie.split(';').next().unwrap();
        self.with_fields(&[fields, &[("cookie", pair)]].concat())
    }

    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let (mut parts, ()) =
            Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        parts.headers = headers(fields);
        let page = own_page(&self.site, parts.uri.path()).unwrap();
        answer(page, &parts, body.as_bytes(), &self.visit())
    }

    pub(super) fn get(&self, path: &str) -> Response<Bytes> {
        self.ask(Method::GET, path, &[], "").response
    }

    pub(super) fn post(&self, fields: &[(&str, &str)], body: &str) -> Answer {
        let form = ("content-type", "application/x-www-form-urlencoded");
        self.ask(Method::POST, "/.consentry/choices", &[fields, &[form]].concat(), body)
    }
}

pub(super) fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

pub(crate) fn site() -> Site {
    let text = "
        [[vendor]]
        id = 'zebra'
        name = 'Zebra'
        owner = 'Z Corp'
        purposes = ['analytics']
        about = 'Counts <visits>.'
        source = 'https://zebra.example'
        hosts = ['zebra.example']
        [[vendor]]
        id = 'acme'
        name = 'acme'
        owner = 'Acme'
        purposes = ['marketing', 'personalization']
        about = 'Ads.'
        source = 'https://acme.example'
        hosts = ['acme.example']
        [[vendor]]
        id = 'beta'
        name = 'Beta'
        owner = 'Beta'
        purposes = ['analytics']
        about = 'Counts clicks.'
        source = 'https://beta.example'
        hosts = ['beta.example']
        [[vendor]]
        id = 'cart'
        name = 'The cart service'
        owner = 'the site'
        purposes = ['necessary']
        reason = 'The cart.'
        about = 'Keeps the cart.'
        source = 'https://shop.example'
        cookies = ['cart']
    ";
    let file = SourceFile { name: "test".into(), text: text.into() };
    let catalogue = Arc::new(Catalogue::compile(&[file]).unwrap());
    Site {
        name: "shop".into(),
        hosts: vec!["shop.example".into()],
        origins: Arc::new(Origins::new("shop".into(), Vec::new())),
        policy: Policy::new(Arc::clone(&catalogue), Unlisted::Observe, &[]).into(),
        mode: Mode::Enforce,
        enforce_share: 100,
        cmp_markup: false,
        beside_other_cmp: true,
        routes: Vec::new(),
        pass_unfilterable: Vec::new(),
        ownerships: Vec::new(),
        consent: consent::Settings {
            keys: Keys::from_secret([1; 32]),
            lifetime_s: 1000,
            notice_revision: 3,
            same_as: Vec::new(),
            signals: consent::Signals::default(),
            regions: consent::Regions::default(),
        },
        sharing: Sharing::among("shop", ["shop.example"]),
        notice: Notice {
            operator: "The Shop".into(),
            policy_url: "/privacy".into(),
            languages: Arc::new(Languages::built_in()),
            theme: Arc::default(),
            vendors: Vec::new(),
        },
        own_prefix: "/.consentry".into(),
        address_truncated: true,
        browser_policy: true,
        remembers_pages: true,
        guard: Arc::new(GuardFiles::of(&catalogue)),
        api: Arc::new(ScriptApi::new("/.consentry", &[], false)),
        google_consent: GoogleConsent::Auto,
        memory: Arc::default(),
    }
}

/// An element: its attributes, and the text up to the next tag.
#[derive(Debug, Default)]
pub(super) struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    pub(super) text: String,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All attributes but one.
    pub(super) fn without(&self, name: &str) -> Vec<&(String, String)> {
        self.attributes.iter().filter(|(other, _)| other != name).collect()
    }
}

#[derive(Default)]
struct Reader {
    elements: RefCell<Vec<Element>>,
    text: RefCell<String>,
}

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => {
                let attributes = tag
                    .attrs
                    .iter()
                    .map(|a| (a.name.local.to_string(), a.value.to_string()))
                    .collect();
                let name = tag.name.to_string();
                self.elements.borrow_mut().push(Element { name, attributes, text: String::new() });
            }
            Token::CharacterTokens(text) => {
                let style =
                    self.elements.borrow().last().is_some_and(|element| element.name == "style");
                if let Some(element) = self.elements.borrow_mut().last_mut() {
                    element.text.push_str(&text);
                }
                if !style {
                    self.text.borrow_mut().push_str(&text);
                }
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

fn read(html: &[u8]) -> Reader {
    let tokenizer = Tokenizer::new(Reader::default(), TokenizerOpts::default());
    let queue = BufferQueue::default();
    queue.push_back(std::str::from_utf8(html).unwrap().into());
    let _ = tokenizer.feed(&queue);
    tokenizer.end();
    tokenizer.sink
}

/// The elements of that name, in order.
pub(super) fn tags(html: &[u8], name: &str) -> Vec<Element> {
    read(html).elements.into_inner().into_iter().filter(|element| element.name == name).collect()
}

/// The words of a page.
pub(super) fn text(page: &Response<Bytes>) -> String {
    read(page.body()).text.into_inner()
}

/// WCAG 2.2, 1.4.3: text needs a contrast of 4.5 to 1 against what is behind
/// it. Our styles share one set of colours, so the pairs can be listed.
pub(super) fn check_contrast(style: &str) {
    let light = [("#1a1d21", "#ffffff"), ("#ffffff", "#1f3a5f"), ("#4a5260", "#f4f5f7")];
    let dark = [("#e9ecf0", "#1d2126"), ("#10151c", "#a9c7ee"), ("#b3bac5", "#1d2126")];
    let known = ["#14171b", "#767e8c", "#808896"];
    for (text, behind) in light.into_iter().chain(dark) {
        let (a, b) = (luminance(text), luminance(behind));
        assert!((a.max(b) + 0.05) / (a.min(b) + 0.05) >= 4.5, "{text} on {behind}");
    }
    for (at, _) in style.match_indices(":#").chain(style.match_indices(" #")) {
        let colour: String = style.get(at + 1..).unwrap().chars().take(7).collect();
        if !colour.starts_with("#con") {
            let paired = light.iter().chain(&dark).any(|(a, b)| colour == *a || colour == *b);
            assert!(paired || known.contains(&colour.as_str()), "{colour} is in no pair");
        }
    }
}

fn luminance(colour: &str) -> f64 {
    let part = |at: usize| {
        let value =
            f64::from(u8::from_str_radix(colour.get(at..at + 2).unwrap(), 16).unwrap()) / 255.0;
        if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}
