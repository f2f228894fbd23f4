//! What holds for every cookie, list of images and address that anybody can
//! write. The targets in `tests/fuzz` search for the same with coverage.

use crate::html_tree::{Scripting, loads};
use crate::pages::{POLICY, context, rewrite};

use consentry::catalogue::{Kind, Subject};
use consentry::consent::{self, Consent, Keys};
use consentry::enforce::{RequestContext, clear_request};
use consentry::purpose::PurposeSet;
use encoding_rs::UTF_8;
use http::{HeaderValue, Request};
use proptest::prelude::*;
use proptest::sample::select;
use url::Url;

const HOST: &str = "www.shop.example";

fn url() -> Url {
    Url::parse("https://www.shop.example/a/b").unwrap()
}

/// What becomes of a page when nothing is granted.
fn cleared(page: &str) -> String {
    let (out, _) =
        rewrite(&context(&url(), Consent::silent(), true), UTF_8, page.as_bytes(), page.len());
    String::from_utf8(out).unwrap()
}

/// Whether a browser that reads `page` would load something withheld.
fn loads_denied(page: &str) -> bool {
    loads(page.as_bytes(), &url(), Scripting::On).iter().any(|load| {
        load.url.as_ref().is_ok_and(|url| {
            let subject = Subject::Load { kind: load.kind, url };
            POLICY.decide(subject, HOST, &Consent::silent()).verdict.blocks()
        })
    })
}

/// A `Cookie` field: pairs well and badly written, and bytes of any kind.
fn cookies() -> impl Strategy<Value = Vec<u8>> {
    let name =
        select(vec!["consentry", "__Host-consentry", "_acme", "_ACME", "_acme_1", "sid", "", " x"]);
    let value = prop_oneof![
        select(vec!["1", "", "a=b", "\"q\"", "1.1f.1.1800000000.AAAA.BBBB", "v1.all", "\t"])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(prop_oneof![Just(b'\t'), 0x20..0x7fu8, 0x80..=0xffu8], 0..24),
    ];
    let pair = (name, select(vec!["=", "", "==", " = "]), value)
        .prop_map(|(name, equals, value)| [name.as_bytes(), equals.as_bytes(), &value].concat());
    (prop::collection::vec(pair, 0..6), select(vec!["; ", ";", ";;", " ;\t", ", "]))
        .prop_map(|(pairs, between)| pairs.join(between.as_bytes()))
}

/// The non-empty pairs of a `Cookie` field.
fn pairs(field: &[u8]) -> Vec<Vec<u8>> {
    field
        .split(|byte| *byte == b';')
        .map(|pair| pair.trim_ascii().to_vec())
        .filter(|pair| !pair.is_empty())
        .collect()
}

/// An address in one of the ways that browsers understand, or nearly.
fn address() -> impl Strategy<Value = String> {
    let lead = select(vec!["", " ", "\t", "\u{c}", "\u{b}", "\u{1}", "\u{a0}"]);
    let scheme = select(vec![
        "https:",
        "HTTP:",
        "https",
        "",
        "ht\ttp:",
        "blob:",
        "data:",
        "ftp:",
        "x:",
        "https:&#9;",
    ]);
    let slashes = select(vec!["//", "\\\\", "/\\", "/", "///", "", "/\t/", "\n//", "&sol;/"]);
    let credentials = select(vec!["", "", "u@", "u:p@", "a@b@", "ads.acme.example@", ":@"]);
    let host = select(vec![
        "ads.acme.example",
        "ads.acme.example.",
        "ads.acme.example..",
        "x.ads.acme.example",
        "badads.acme.example",
        "ads.acme.example.org",
        "ADS.ACME.EXAMPLE",
        "ads%2Eacme%2eexample",
        "ads\u{3002}acme\u{ff0e}example",
        "\u{ff41}ds.acme.example",
        "ads.ac\u{ad}me.example",
        "ads.acme.example%00",
        "www.shop.example",
        "",
    ]);
    let port = select(vec!["", "", ":443", ":", ":0", ":x", ":99999"]);
    let path = select(vec!["", "/p.js", "?a", "#a", "\\p", "/a b", ";a", ",b"]);
    (lead, scheme, slashes, credentials, host, port, path).prop_map(
        |(lead, scheme, slashes, credentials, host, port, path)| {
            format!("{lead}{scheme}{slashes}{credentials}{host}{port}{path}")
        },
    )
}

/// A list of images, or what looks like one.
fn image_list() -> impl Strategy<Value = String> {
    let denied = "https://ads.acme.example/p.png";
    let piece = select(vec![
        denied, denied, "own.png", "/a,b.png", "data:,x", ",", ",", " ", " ", "\n", "\t", "\u{c}",
        "1x", "2x", "100w", "1.5x", "-1x", "(", ")", "(a, b)", "x", "\u{a0}", "&#44;", "&#32;",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// The addresses of a list of images, as the HTML standard takes them apart:
/// <https://html.spec.whatwg.org/multipage/images.html#parse-a-srcset-attribute>.
fn images(list: &str) -> Vec<String> {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\u{c}' | '\r');
    let mut found = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches(|c| is_space(c) || c == ',');
        if rest.is_empty() {
            return found;
        }
        let (address, after) = rest.split_at(rest.find(is_space).unwrap_or(rest.len()));
        rest = after;
        found.push(address.trim_end_matches(',').to_owned());
        if address.ends_with(',') {
            continue;
        }
        let mut in_parentheses = false;
        let end = rest.find(|c| match c {
            '(' => {
                in_parentheses = true;
                false
            }
            ')' => {
                in_parentheses = false;
                false
            }
            c => c == ',' && !in_parentheses,
        });
        rest = end.map_or("", |end| rest.split_at(end).1);
    }
}

/// The `srcset` of the only image of a page.
fn list_of(page: &str) -> String {
    let (_, rest) = page.split_once("srcset=\"").unwrap_or_default();
    let (list, _) = rest.split_once('"').unwrap_or_default();
    list.replace("&#44;", ",").replace("&#32;", " ").replace("&amp;", "&")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn c1_a_cookie_that_nobody_signed_grants_nothing_and_the_rest_arrives(value in cookies()) {
        let field = HeaderValue::from_bytes(&value).unwrap();
        let mut request = Request::get("/").body(()).unwrap().into_parts().0;
        request.headers.insert("cookie", field);
        let settings = consent::Settings {
            same_as: Vec::new(),
            keys: Keys::from_secret([7; 32]),
            lifetime_s: 1000,
            notice_revision: 1,
            signals: consent::Signals::default(),
            regions: consent::Regions::default(),
        };
        let read = consent::read(&request.headers, &["consentry"], "shop", &settings, 1_800_000_000);
        prop_assert_eq!(read.granted(), PurposeSet::NECESSARY);
        let consent = Consent::silent();
        let context = RequestContext {
            policy: &POLICY,
            consent: &consent,
            host: HOST,
            enforcing: true,
            address_truncated: true,
        };
        let (cleared, _) = clear_request(request, &context);
        let sent: Vec<_> =
            cleared.get().headers.get_all("cookie").iter().flat_map(|f| pairs(f.as_bytes())).collect();
        let ours_or_denied = |pair: &[u8]| {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
            name == b"_acme"
                || name.starts_with(b"_acme_")
                || consent::COOKIE_NAMES.iter().any(|own| own.as_bytes() == name)
        };
        let kept: Vec<_> = pairs(&value).into_iter().filter(|pair| !ours_or_denied(pair)).collect();
        prop_assert_eq!(sent, kept, "{}", value.escape_ascii());
    }

    #[test]
    fn a8_an_address_is_withheld_exactly_when_a_browser_takes_it_to_a_tracker(address in address()) {
        for page in [
            format!("<script src=\"{address}\"></script>"),
            format!("<img src=\"{address}\">"),
            format!("<link rel=stylesheet href=\"{address}\">"),
        ] {
            let out = cleared(&page);
            prop_assert!(!loads_denied(&out), "{page:?} {out:?}");
            prop_assert_eq!(loads_denied(&page), out != page, "{:?} {:?}", page, out);
        }
    }

    #[test]
    fn a4_no_denied_address_stays_in_a_list_of_images(list in image_list()) {
        let page = format!("<img srcset=\"{list}\">");
        let denied = |page: &str| {
            images(&list_of(page)).iter().any(|address| {
                url().join(address).is_ok_and(|url| {
                    let subject = Subject::Load { kind: Kind::Image, url: &url };
                    POLICY.decide(subject, HOST, &Consent::silent()).verdict.blocks()
                })
            })
        };
        let out = cleared(&page);
        prop_assert!(!denied(&out), "{page:?} {out:?}");
        prop_assert_eq!(denied(&page), out != page, "{:?} {:?}", page, out);
    }
}
