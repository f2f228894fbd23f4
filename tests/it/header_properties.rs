//! What holds for every header, coded body and configuration that anybody can
//! write. The targets in `tests/fuzz` search for the same with coverage.

use crate::pages::POLICY;

use consentry::catalogue::Subject;
use consentry::config::{self, KeyMode, Overrides};
use consentry::consent::Consent;
use consentry::enforce::codec::{Coding, Decoder, Encoder};
use consentry::enforce::{
    CookiePlaces, RequestContext, ResponseContext, clear_request, clear_response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use proptest::prelude::*;
use proptest::sample::select;
use url::Url;

const HOST: &str = "www.shop.example";

/// Fields of any kind, those that we look at more often than others.
fn fields() -> impl Strategy<Value = HeaderMap> {
    let name = select(vec![
        "cookie",
        "set-cookie",
        "link",
        "location",
        "refresh",
        "referer",
        "vary",
        "x-acme-id",
        "x-acme-segment",
        "consentry-consent",
        "consentry_consent",
        "consentry-class",
        "x-forwarded-for",
        "forwarded",
        "content-security-policy",
        "referrer-policy",
        "x-other",
        "report-to",
        "nel",
        "sec-gpc",
        "cache-control",
    ]);
    let piece = select(vec![
        "_acme=1",
        "_acme_2=x",
        "sid=3",
        "_ACME",
        "; ",
        ", ",
        "<https://ads.acme.example/p.js>",
        "; rel=preload; as=script",
        "0;url=https://ads.acme.example/",
        "/a?acmeid=1&b=2#c",
        "?acmeid",
        "&",
        "=",
        "\"",
        "\\",
        "https://ads.acme.example",
        "report-uri ",
        "203.0.113.77",
        "[2001:db8::77]",
        "for=",
        "%61cmeid=1",
        "Max-Age=0",
        "Path=/",
        "\u{e9}",
        " ",
        "",
    ]);
    let value = prop_oneof![
        4 => prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat().into_bytes()),
        1 => prop::collection::vec(prop_oneof![Just(b'\t'), 0x20..0x7fu8, 0x80..=0xffu8], 0..30),
    ];
    prop::collection::vec((name, value), 0..10).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_bytes(&value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    })
}

/// The fields and the target of a request as they reach the origin.
fn request_cleared(headers: HeaderMap, target: &str) -> (HeaderMap, String) {
    let mut request = Request::get(target).body(()).unwrap().into_parts().0;
    request.headers = headers;
    let context = RequestContext {
        policy: &POLICY,
        consent: &Consent::silent(),
        host: HOST,
        enforcing: true,
        address_truncated: true,
    };
    let (cleared, _) = clear_request(request, &context);
    (cleared.get().headers.clone(), cleared.get().uri.to_string())
}

fn response_cleared(headers: HeaderMap) -> HeaderMap {
    let mut response = Response::new(()).into_parts().0;
    response.headers = headers;
    let context = ResponseContext {
        policy: &POLICY,
        consent: &Consent::silent(),
        host: HOST,
        url: &Url::parse("https://www.shop.example/a/b").unwrap(),
        enforcing: true,
        secure: true,
        is_page: false,
        denied_cookies: &[],
        places: &CookiePlaces::default(),
    };
    let _ = clear_response(&mut response, &context);
    response.headers
}

fn is_denied(subject: Subject<'_>) -> bool {
    POLICY.decide(subject, HOST, &Consent::silent()).verdict.blocks()
}

fn text(value: &HeaderValue) -> String {
    value.as_bytes().iter().map(|byte| char::from(*byte)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn c1_what_reaches_the_origin_has_nothing_denied_and_one_statement_of_ours(
        headers in fields(),
        target in select(vec!["/", "/a?acmeid=1&b=2", "/a?%61cmeid=1", "/?b&acmeid", "/?"]),
    ) {
        let (sent, target) = request_cleared(headers, target);
        prop_assert!(!target.contains("acmeid") && !target.contains("%61cmeid"), "{target}");
        for field in sent.get_all("cookie") {
            for pair in text(field).split(';') {
                let name = pair.split('=').next().unwrap().trim();
                prop_assert!(name.is_empty() || !is_denied(Subject::Cookie(name)), "{pair}");
            }
        }
        for name in sent.keys() {
            prop_assert!(!is_denied(Subject::RequestHeader(name.as_str())), "{name}");
        }
        let ours: Vec<_> = sent
            .iter()
            .filter(|(name, _)| name.as_str().replace('_', "-").starts_with("consentry-"))
            .map(|(_, value)| text(value))
            .collect();
        let nothing = "functional=0, analytics=0, personalization=0, marketing=0";
        prop_assert_eq!(&ours, &[nothing]);
        let again = request_cleared(sent.clone(), &target);
        prop_assert_eq!(again, (sent, target));
    }

    #[test]
    fn c1_what_reaches_the_visitor_has_nothing_denied_and_nothing_in_our_name(headers in fields()) {
        let sent = response_cleared(headers);
        for field in sent.get_all("set-cookie") {
            let field = text(field);
            let name = field.split([';', '=']).next().unwrap().trim();
            prop_assert!(name.is_empty() || !is_denied(Subject::Cookie(name)), "{field}");
        }
        for name in sent.keys() {
            prop_assert!(!is_denied(Subject::ResponseHeader(name.as_str())), "{name}");
            prop_assert!(!name.as_str().starts_with("consentry-"), "{name}");
        }
        prop_assert_eq!(response_cleared(sent.clone()), sent);
    }

    #[test]
    fn i4_a_body_is_the_same_after_coding_and_decoding_in_any_pieces(
        body in prop::collection::vec(any::<u8>(), 0..3000),
        coding in select(vec!["gzip", "deflate", "br", "zstd"]),
        (out, back) in (1..700usize, 1..700usize),
    ) {
        let coding = Coding::parse_list(coding).unwrap()[0];
        let mut encoder = Encoder::new(coding).unwrap();
        let mut coded = Vec::new();
        for piece in body.chunks(out) {
            encoder.write(piece).unwrap();
            coded.extend(encoder.take());
        }
        coded.extend(encoder.finish().unwrap());
        prop_assert_eq!(decoded(coding, &coded, back), Some(body));
    }

    #[test]
    fn i4_no_coded_body_brings_a_decoder_down(
        body in prop::collection::vec(any::<u8>(), 0..300),
        start in select(vec![&b""[..], b"\x1f\x8b\x08\0\0\0\0\0\0\x03", b"x\x9c", b"\x28\xb5\x2f\xfd"]),
        coding in select(vec!["gzip", "deflate", "br", "zstd"]),
        size in 1..50usize,
    ) {
        let coding = Coding::parse_list(coding).unwrap()[0];
        let body = [start, &body].concat();
        let _ = decoded(coding, &body, size);
    }
}

/// `None` when it cannot be read to its end.
fn decoded(coding: Coding, coded: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(coding).ok()?;
    let mut out = Vec::new();
    for piece in coded.chunks(size) {
        out.extend(decoder.write(piece).ok()?);
    }
    out.extend(decoder.finish().ok()?);
    Some(out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn k1_whatever_an_operator_writes_is_taken_or_refused_in_words(
        lines in prop::collection::vec(select(vec![
            "[listener]", "[[site]]", "[site]", "[[exception]]", "[limits]", "[timeouts]", "[[", "]",
            "origin = 'http://127.0.0.1:1'", "origin = 'x'", "origin = 7", "hosts = ['a.example']",
            "hosts = 'a'", "address = ':::'", "address = '127.0.0.1:0'", "head_bytes = -1",
            "head_bytes = 99999999999999999999", "connect_s = nan", "connect_s = inf", "mode = ''",
            "unlisted = 'blok'", "name = \"\\u0000\"", "name = ''", "path = '*'", "expires = 1-1-1",
            "= 1", "a.b.c = 1", "\u{feff}", "origin = '''", "trusted_proxies = ['0.0.0.0/33']",
        ]), 0..8),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("consentry.toml");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let flags = Overrides::default();
        if let Err(mistakes) = config::load(Some(&file), std::iter::empty(), &flags, KeyMode::CheckOnly) {
            prop_assert!(!mistakes.is_empty());
            prop_assert!(mistakes.iter().all(|mistake| mistake.to_string().len() > 10));
        }
    }
}
