//! What holds for every page, not only for those somebody wrote down.
//!
//! Pages are made from pieces that mix vendors' tags with odd quoting,
//! character references, raw text and broken nesting. What comes out is read
//! by html5ever, a parser that shares nothing with the one in the rewriter, and
//! judged by a table of loading attributes of its own.

use crate::html_tree::{Scripting, loads, shape};
use crate::pages::{POLICY, context, line, rewrite};

use consentry::catalogue::Subject;
use consentry::consent::Consent;
use consentry::policy::Decision;
use consentry::purpose::PurposeSet;
use encoding_rs::UTF_8;
use proptest::prelude::*;
use proptest::sample::select;
use std::fmt::Write;
use url::Url;

const PAGE: &str = "https://www.shop.example/a/b";

fn url() -> Url {
    Url::parse(PAGE).unwrap()
}

fn denied(page: &[u8], size: usize) -> (Vec<u8>, Vec<Decision>) {
    rewrite(&context(&url(), Consent::silent(), true), UTF_8, page, size)
}

/// Addresses: vendors' in several spellings, and the site's own.
fn address() -> impl Strategy<Value = String> {
    let vendor = select(vec![
        "ads.acme.example",
        "stats.acme.example",
        "maps.acme.example",
        "www.google-analytics.com",
        "connect.facebook.net",
        "static.hotjar.com",
        "securepubads.g.doubleclick.net",
        "ADS.Acme.Example",
        "ads.acme.example.",
        "ads.acme.example:444",
        "u:p@ads.acme.example",
        "ads%2eacme.example",
        "ads.ac&#109;e.example",
        "&#x61;ds.acme&period;example",
        "ads.\tacme.example",
    ]);
    let scheme = select(vec![
        "https://",
        "//",
        "http:\\\\",
        "HTTPS://",
        "\\/",
        " https://",
        "https&colon;//",
        "ht\ntps://",
    ]);
    let theirs =
        (scheme, vendor, select(vec!["/p.js", "", "/a,b.gif", "/x?a=1&amp;b=2#c", "/%20"]));
    prop_oneof![
        4 => theirs.prop_map(|(scheme, host, path)| format!("{scheme}{host}{path}")),
        1 => select(vec!["/own.js", "own.png", "", "#", "https://cdn.shop.example/x", "data:,", "about:blank"]).prop_map(str::to_owned),
    ]
}

/// An attribute with one of the ways to quote it.
fn attribute(name: &'static str) -> impl Strategy<Value = String> {
    (address(), 0..5u8).prop_map(move |(value, quoting)| match quoting {
        0 => format!("{name}='{value}'"),
        1 => format!("{} = \"{value}\"", name.to_uppercase()),
        2 if !value.is_empty() => format!("{name}={}", value.replace([' ', '\t', '\n'], "")),
        3 => format!("x {name}\n=\n'{value}'y"),
        _ => format!("{name}=\"{value}\""),
    })
}

/// An element that loads something, well formed.
fn loading() -> impl Strategy<Value = String> {
    prop_oneof![
        attribute("src").prop_map(|a| format!("<script async {a}></script>")),
        attribute("src").prop_map(|a| format!("<img {a} alt=x>")),
        attribute("src").prop_map(|a| format!("<iframe {a}></iframe>")),
        attribute("src").prop_map(|a| format!("<embed {a}>")),
        attribute("src").prop_map(|a| format!("<audio {a}></audio>")),
        attribute("src").prop_map(|a| format!("<input type=image {a}>")),
        attribute("data").prop_map(|a| format!("<object {a}></object>")),
        attribute("poster").prop_map(|a| format!("<video {a}></video>")),
        attribute("href").prop_map(|a| format!("<link rel='preload stylesheet' {a}>")),
        attribute("href").prop_map(|a| format!("<svg><image {a} /></svg>")),
        attribute("background").prop_map(|a| format!("<span {a}></span>")),
        address().prop_map(|a| format!(
            "<img srcset=\"/own.png 1x, {} 2x\">",
            a.replace([' ', '\t', '\n'], "")
        )),
        address().prop_map(|a| format!(
            "<i style=\"color:red;background:url('{}')\">x</i>",
            a.replace(['\n', '\t'], "").replace('\\', "/")
        )),
        address().prop_map(|a| format!("<style>b{{background:url({})}}</style>", plain(&a))),
        address().prop_map(|a| format!("<noscript><img src=\"{a}\"></noscript>")),
        address().prop_map(|a| format!(
            "<iframe srcdoc=\"&lt;img src='{}'&gt;\"></iframe>",
            a.replace('&', "&amp;")
        )),
        select(vec![
            "fbq('init', '1');",
            "acme(\"init\", 1)",
            "own();",
            "var a = '<!--';",
            "fetch('//ads.acme.example/x')"
        ])
        .prop_map(|code| format!("<script>{code}</script>")),
    ]
}

/// Without what CSS reads differently.
fn plain(address: &str) -> String {
    address
        .replace([' ', '\t', '\n'], "")
        .replace('\\', "/")
        .replace("&#109;", "m")
        .replace("&#x61;", "a")
        .replace("&period;", ".")
        .replace("&colon;", ":")
}

/// Markup that loads nothing, well formed.
fn harmless() -> impl Strategy<Value = String> {
    select(vec![
        "<p>text</p>",
        "text &amp; more",
        "<!-- a comment -->",
        "<!--$--><b>bold</b><!--/$-->",
        "<br>",
        "<ul><li>a</li><li>b</li></ul>",
        "<textarea><script src=//ads.acme.example/p.js></script></textarea>",
        "<a href=//ads.acme.example/>link</a>",
        "<script type=application/json>{\"a\":\"//ads.acme.example\"}</script>",
        "<svg><path d=\"M0 0\"/></svg>",
        "<!-- <script> -->",
        "<p title='<script>'>x</p>",
        "<xmp><style></xmp>",
        "<template><p>t</p></template>",
        "<form><input value=x><button>b</button></form>",
        "<noscript>plain</noscript>",
        "<div data-v-1></div>",
    ])
    .prop_map(str::to_owned)
}

/// Markup that shifts how what follows is read. MathML never stands right in
/// SVG: the parser in the rewriter takes it for MathML there, as its author
/// meant it, and browsers take it for more SVG. A base never stands in a table:
/// it would move to before the table in the tree, and not in time.
fn broken() -> impl Strategy<Value = String> {
    select(vec![
        "<div>",
        "</div>",
        "<p",
        "<b><i></b>",
        "</p>",
        "<table><tr>",
        "</table>",
        "<!--",
        "-->",
        "--!>",
        "<![CDATA[",
        "]]>",
        "<svg>",
        "</svg>",
        "<p><math><mtext>",
        "</math>",
        "<style>",
        "</style>",
        "<script>",
        "</script>",
        "<noscript>",
        "</noscript>",
        "<textarea>",
        "</textarea>",
        "<title>",
        "</title>",
        "<template>",
        "</template>",
        "'",
        "\"",
        ">",
        "<",
        "</",
        "<!",
        "<?",
        "=",
        "<a title='",
        "<a title=\"",
        "<body>",
        "<head>",
        "</head>",
        "</body>",
        "</html>",
        "<script><!--<script>",
        "<svg><title>",
        "<svg><desc>",
        "<svg><style><![CDATA[a{b:url(//ads.acme.example/",
        "<svg><style>a{b:url(//ads.acme.example/c)}<img>",
        "<foreignObject>",
        "<xmp>",
        "</xmp>",
        "<iframe>",
        "</iframe>",
        "</table></table></table></table></table><base href='https://ads.acme.example/'>",
        "</table></table></table></table></table><base href=/x/>",
        "<a ping=",
        "<option>",
        "<frame>",
        "\0",
        "<b c=>",
        "<style c=>",
        "<script c=>",
        "<title c=>",
        "<noscript c=>",
        "<select>",
        "</select>",
    ])
    .prop_map(str::to_owned)
}

fn well_formed() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![3 => loading(), 2 => harmless()];
    let tree = leaf.prop_recursive(3, 24, 4, |inner| {
        let children = prop::collection::vec(inner, 1..4);
        (select(vec!["div", "section", "main", "article"]), children)
            .prop_map(|(name, children)| format!("<{name}>{}</{name}>", children.concat()))
    });
    prop::collection::vec(tree, 1..6).prop_map(|parts| {
        format!("<!doctype html><html><head></head><body>{}</body></html>", parts.concat())
    })
}

fn any_page() -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => loading(), 2 => harmless(), 3 => broken()];
    prop::collection::vec(piece, 1..12).prop_map(|parts| parts.concat())
}

/// Everything in `page` that a browser would load or run and that is withheld.
fn left_over(page: &[u8], scripting: Scripting) -> String {
    let mut left = String::new();
    for load in loads(page, &url(), scripting) {
        let policy = &*POLICY;
        let ruling = match &load.url {
            Ok(url) => policy.decide(
                Subject::Load { kind: load.kind, url },
                "www.shop.example",
                &Consent::silent(),
            ),
            Err(code) => policy.decide_inline(code.as_bytes(), "site.example", &Consent::silent()),
        };
        if ruling.verdict.blocks() {
            let _ = writeln!(left, "{scripting:?}: {} {:?}", load.kind.name(), load.url);
        }
    }
    left
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a14_any_chunking_gives_the_same_page_and_decisions(page in any_page(), sizes in prop::collection::vec(1..40usize, 3)) {
        let whole = denied(page.as_bytes(), page.len());
        for size in sizes {
            prop_assert_eq!(&denied(page.as_bytes(), size), &whole, "in pieces of {}", size);
        }
    }

    #[test]
    fn a1_nothing_granted_nothing_loads(page in any_page()) {
        let (out, _) = denied(page.as_bytes(), 64);
        for scripting in [Scripting::On, Scripting::Off] {
            let left = left_over(&out, scripting);
            prop_assert!(left.is_empty(), "{}\n{}\n{}", left, page.escape_debug(), out.escape_ascii());
        }
    }

    #[test]
    fn a1_what_is_cleared_has_nothing_left_to_clear(page in any_page()) {
        let (once, _) = denied(page.as_bytes(), page.len());
        let (twice, _) = denied(&once, once.len());
        prop_assert_eq!(once.escape_ascii().to_string(), twice.escape_ascii().to_string(), "{}", page.escape_debug());
    }

    #[test]
    fn a15_everything_granted_nothing_changes(page in any_page()) {
        let granted = context(&url(), Consent::chosen(PurposeSet::ALL), true);
        let (out, decisions) = rewrite(&granted, UTF_8, page.as_bytes(), 64);
        prop_assert_eq!(out.escape_ascii().to_string(), page.as_bytes().escape_ascii().to_string());
        for decision in decisions {
            prop_assert!(!decision.verdict.blocks(), "{}", line(&decision));
        }
    }

    #[test]
    fn arbitrary_bytes_neither_panic_nor_change_where_a_site_only_observes(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        page in any_page(),
        at in any::<prop::sample::Index>(),
    ) {
        let page = page.into_bytes();
        let (start, end) = page.split_at(at.index(page.len() + 1));
        let mixed = [start, &bytes, end].concat();
        denied(&mixed, 50);
        let (out, _) = rewrite(&context(&url(), Consent::silent(), false), UTF_8, &mixed, 50);
        prop_assert_eq!(out, mixed);
    }

    #[test]
    fn i6_a_held_node_stays_where_it_was(page in well_formed()) {
        let (out, _) = denied(page.as_bytes(), 64);
        for scripting in [Scripting::On, Scripting::Off] {
            prop_assert_eq!(shape(&out, scripting), shape(page.as_bytes(), scripting), "{}", out.escape_ascii());
        }
    }
}

#[test]
fn the_independent_reader_finds_what_loads() {
    let page = b"<base href='https://ads.acme.example/x/'><img src=p.gif><script>fbq('init','1')</script><noscript><img src=//stats.acme.example/></noscript>\
        <template><iframe srcdoc='&lt;embed src=//maps.acme.example>'></iframe></template><style>a{b:url(//ads.acme.example/c)}</style>\
        <b style='c:url(\"//ads.acme.example/s\")' background=d></b><svg><image xlink:href=e /></svg><video poster=f>";
    assert_eq!(left_over(page, Scripting::On).lines().count(), 8);
    assert_eq!(left_over(page, Scripting::Off).lines().count(), 9);
}
