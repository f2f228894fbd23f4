//! Holds how long pages take that are made to take long: nothing in the
//! rewriter may grow faster than the page.
//!
//! What counts is the time that this thread had a processor for, whatever else
//! the machine does. The bound is wide, for a debug build; what is quadratic
//! misses it by minutes.

use crate::pages::{context, rewrite};

use consentry::consent::Consent;
use encoding_rs::UTF_8;
use std::time::Duration;
use url::Url;

const PATIENCE: Duration = Duration::from_secs(20);

/// How long this thread has had a processor.
fn worked() -> Duration {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(figures.split(' ').next().unwrap().parse().unwrap())
}

/// What comes of a page, and how many decisions it took.
fn timely(page: &str, size: usize) -> (String, usize) {
    let url = Url::parse("https://shop.example/").unwrap();
    let context = context(&url, Consent::silent(), true);
    let started = worked();
    let (bytes, decisions) = rewrite(&context, UTF_8, page.as_bytes(), size);
    let took = worked() - started;
    let start: String = page.chars().take(40).collect();
    assert!(took < PATIENCE, "{} bytes in pieces of {size} took {took:?}: {start}", page.len());
    (String::from_utf8(bytes).unwrap(), decisions.len())
}

#[test]
fn a13_a_page_of_a_hundred_thousand_scripts_is_done_in_time() {
    let mut page = String::new();
    for number in 0..20_000 {
        page.push_str(&format!(
            "<script>own({number})</script><script src=/own/{number}.js></script>"
        ));
        page.push_str(&format!("<script src='https://ads.acme.example/{number}/p.js'></script>"));
        page.push_str(&format!("<script>acme('init', {number})</script><script type=application/json>[{number}]</script>"));
    }
    page.push_str(&"<p>text</p>\n".repeat((5 << 20) / 12 - page.len() / 12));
    let (out, _) = timely(&page, 16 * 1024);
    assert_eq!(out.matches("<script").count(), 100_000);
    assert_eq!(out.matches("data-consentry-held").count(), 40_000);
    assert!(!out.contains("acme"));
}

#[test]
fn a13_a_huge_attribute_is_done_in_time() {
    let long = "x".repeat(1 << 20);
    for page in [
        format!("<img alt=\"{long}\" src=https://ads.acme.example/p.gif><p>"),
        format!("<img src=\"https://ads.acme.example/{long}\"><p>"),
        format!(
            "<img srcset=\"{}https://ads.acme.example/p.gif 2x\"><p>",
            "/a.png 1x, ".repeat(90_000)
        ),
        format!(
            "<div style=\"{}background:url(//ads.acme.example/p.gif)\"></div><p>",
            "background:url(/a.png);".repeat(40_000)
        ),
        format!("<a ping=\"{}https://ads.acme.example/p\"></a><p>", "/own ".repeat(200_000)),
        format!("<img src=\"{}ads.acme.example/p.gif\"><p>", "\\/".repeat(500_000)),
        format!(
            "<img {}src=//ads.acme.example/p.gif><p>",
            (0..100_000).map(|n| format!("a{n} ")).collect::<String>()
        ),
        format!(
            "<iframe srcdoc=\"{}&lt;img src=//ads.acme.example/p.gif>\"></iframe><p>",
            "&lt;b&gt;".repeat(110_000)
        ),
    ] {
        for size in [64 * 1024, page.len()] {
            let (out, decisions) = timely(&page, size);
            assert!(!out.contains("ads.acme"), "{}", out.chars().take(60).collect::<String>());
            assert!(decisions > 0);
        }
    }
}

#[test]
fn a13_openers_without_an_end_are_done_in_time() {
    for opener in [
        "<script ",
        "<script>",
        "<script",
        "<style>",
        "<noscript>",
        "<!--",
        "<script><!--<script>",
        "<textarea>",
        "<title>",
        "<svg><script>",
        "<svg><style>",
        "<svg>",
        "<math>",
        "<iframe>",
        "<select>",
        "<template>",
        "<",
        "</",
        "<!",
        "<a ",
        "<a b='",
        "&",
        "</script>",
        "</b>",
        "<noscript><p>",
        "url(",
        "<base href=//a/>",
        "<object data=data:text/html,",
    ] {
        let page = opener.repeat(10_000);
        for size in [1024, page.len()] {
            timely(&page, size);
        }
    }
}

#[test]
fn a13_deep_nesting_is_done_in_time() {
    for (open, close, depth) in [
        ("<div>", "</div>", 20_000),
        ("<noscript>", "</noscript>", 600),
        ("<svg><g>", "</g></svg>", 20_000),
        ("<svg><script>", "</script></svg>", 600),
        ("<template><script>", "</script></template>", 600),
        ("<table><tr><td>", "</table>", 20_000),
        ("<li><p><b><i>", "", 5_000),
        ("<li><p><b><i>", "</u>", 5_000),
        ("<iframe srcdoc='&lt;script>", "", 600),
    ] {
        let page = format!("{}<img src=/own.png>{}", open.repeat(depth), close.repeat(depth));
        timely(&page, 4096);
    }
}

#[test]
fn a13_documents_inside_documents_end_somewhere() {
    let mut page = "<script src=https://ads.acme.example/p.js></script>".to_owned();
    for _ in 0..8 {
        let inner = page.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        page = format!("<iframe srcdoc=\"{inner}\"></iframe>");
    }
    let (out, decisions) = timely(&page, page.len());
    assert!(!out.contains("ads.acme"), "{out}");
    assert!(decisions > 0);
}

#[test]
fn a13_code_that_names_many_hosts_is_done_in_time() {
    for piece in [
        "ads.acme.example.-",
        "fbq('init'",
        "'a'+'b'+",
        "\\x",
        "//ads.acme.example/",
        "googletagmanager.com",
        "{}[]()",
    ] {
        let page = format!("<script>{}</script><p>", piece.repeat((1 << 20) / piece.len()));
        timely(&page, 64 * 1024);
    }
}

#[test]
fn a13_a_slow_page_in_single_bytes_is_done_in_time() {
    let page = format!(
        "<script>{}</script><!-- <script> -->{}",
        "x;".repeat(50_000),
        "<p>text ".repeat(10_000)
    );
    assert_eq!(timely(&page, 1).0, page);
}

#[test]
fn a13_nothing_waits_that_could_be_sent() {
    use consentry::enforce::html::Rewriter;
    let url = Url::parse("https://shop.example/").unwrap();
    let mut rewriter = Rewriter::new(context(&url, Consent::silent(), true), UTF_8);
    let mut sent = Vec::new();
    for piece in [
        "<p>Hello</p><!-- <script> <style> <noscript> -->",
        "<p title='<script>'>a</p>",
        "<textarea><style>",
        "b</textarea>",
    ] {
        sent.extend(rewriter.write(piece.as_bytes()).unwrap());
    }
    let sent = String::from_utf8(sent).unwrap();
    assert!(sent.ends_with("b</textarea>"), "{sent}");
}
