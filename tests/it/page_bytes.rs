//! Pages that cannot be written down in a page file: bytes that are no text,
//! line ends and NULs.

use crate::pages::{context, line, rewrite};

use consentry::consent::Consent;
use consentry::purpose::PurposeSet;
use encoding_rs::{EUC_JP, Encoding, GB18030, SHIFT_JIS, UTF_8, WINDOWS_1252};
use url::Url;

const HELD: &str = "data-consentry-held=\"1\" data-consentry-purpose=\"marketing\"";

/// What comes of a page in every chunk size, and the ledger's lines.
fn denied(page: &[u8], encoding: &'static Encoding) -> (Vec<u8>, Vec<String>) {
    let context = context(&Url::parse("https://shop.example/").unwrap(), Consent::silent(), true);
    let whole = rewrite(&context, encoding, page, page.len());
    for size in 1..page.len().min(400) {
        assert_eq!(
            rewrite(&context, encoding, page, size),
            whole,
            "{} in pieces of {size}",
            page.escape_ascii()
        );
    }
    (whole.0, whole.1.iter().map(line).collect())
}

/// Puts `tag` between bytes that must survive, and gives back what became of it.
fn between(before: &[u8], tag: &[u8], after: &[u8], encoding: &'static Encoding) -> String {
    let (out, _) = denied(&[before, tag, after].concat(), encoding);
    let out = out
        .strip_prefix(before)
        .unwrap_or_else(|| panic!("the start changed: {}", out.escape_ascii()));
    let out = out
        .strip_suffix(after)
        .unwrap_or_else(|| panic!("the end changed: {}", out.escape_ascii()));
    out.escape_ascii().to_string().replace("\\\"", "\"")
}

#[test]
fn a14_bytes_that_are_no_text_are_kept_as_they_are() {
    let every: Vec<u8> = (0x80..=0xff).collect();
    for encoding in [UTF_8, WINDOWS_1252, SHIFT_JIS, EUC_JP, GB18030] {
        for junk in [
            &every[..],
            b"\xff\xfe",
            b"\xc3\x28\xa0\xa1",
            b"\xed\xa0\x80",
            b"\xf0\x9f",
            b"\x81\x40\x5c",
            b"\x1b$B\x1b(B",
        ] {
            let held = between(junk, b"<img src=//ads.acme.example/p.gif>", junk, encoding);
            assert_eq!(
                held,
                format!("<img {HELD}>"),
                "{} {}",
                encoding.name(),
                junk.escape_ascii()
            );
        }
    }
}

#[test]
fn a14_bytes_in_a_held_element_are_kept_as_they_are() {
    let page = b"<img alt='\xff\xe4\x81' src=//ads.acme.example/\xff.gif title=\xc3>";
    let (out, ledger) = denied(page, UTF_8);
    assert_eq!(out, [b"<img alt='\xff\xe4\x81' title=\xc3 ", HELD.as_bytes(), b">"].concat());
    assert_eq!(ledger, ["block marketing Acme Ads image ads.acme.example/%EF%BF%BD.gif"]);
}

#[test]
fn a14_bytes_in_a_changed_style_are_kept_as_they_are() {
    let (out, _) = denied(b"<style>a:after{content:'\xff\xe2\x86'}b{background:url(//ads.acme.example/\xe4)}/*\x80*/</style>", UTF_8);
    assert_eq!(
        out,
        b"<style>a:after{content:'\xff\xe2\x86'}b{background:url(data:,)}/*\x80*/</style>"
    );
}

#[test]
fn a14_bytes_in_a_changed_noscript_are_kept_as_they_are() {
    let (out, _) = denied(
        b"<noscript>\xff\xe4<img src=//ads.acme.example/p.gif>\x81</noscript>",
        WINDOWS_1252,
    );
    assert_eq!(out, [b"<noscript>\xff\xe4<img ", HELD.as_bytes(), b">\x81</noscript>"].concat());
}

#[test]
fn a_nul_hides_nothing() {
    for (page, expected) in [
        (&b"\0<img src=//ads.acme.example/p.gif>\0"[..], format!("\0<img {HELD}>\0")),
        (b"<img\0src=//ads.acme.example/p.gif>", "<img\0src=//ads.acme.example/p.gif>".to_owned()),
        (b"<img a\0=b src=//ads.acme.example/p.gif>", format!("<img a\0=b {HELD}>")),
        (
            b"<script>\0fbq('init','1')\0</script>",
            format!("<script type=\"text/plain\" {HELD}></script>"),
        ),
        (b"<script\0>fbq('init','1')</script>", "<script\0>fbq('init','1')</script>".to_owned()),
    ] {
        let (out, _) = denied(page, UTF_8);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn line_ends_of_every_kind_are_kept() {
    let held = between(
        b"<p>\r\n\r\n\n\r",
        b"<img\rsrc\r\n=\n//ads.acme.example/p.gif\r\n>",
        b"\r\n</p>\r",
        UTF_8,
    );
    assert_eq!(held, format!("<img {HELD}>"));
    let held = between(
        b"\r\n",
        b"<script\r\n src='https:\r\n//ads.acme.example/p.js'\r\n>\r\n</script>",
        b"\r\n",
        UTF_8,
    );
    assert_eq!(held, format!("<script type=\"text/plain\" {HELD}></script>"));
}

#[test]
fn a14_a_byte_order_mark_stays() {
    assert_eq!(
        between(b"\xef\xbb\xbf", b"<img src=//ads.acme.example/p.gif>", b"", UTF_8),
        format!("<img {HELD}>")
    );
}

#[test]
fn a14_an_escape_byte_in_shift_jis_is_no_backslash() {
    // The second byte of 表 is a backslash: read byte by byte it would escape
    // the quote after it.
    let (page, _, _) =
        SHIFT_JIS.encode("<script>var a = '表'; acme('init', 1)</script><p title=\"ソ\">x</p>");
    let (out, ledger) = denied(&page, SHIFT_JIS);
    let (out, _) = SHIFT_JIS.decode_without_bom_handling(&out);
    assert_eq!(out, format!("<script type=\"text/plain\" {HELD}></script><p title=\"ソ\">x</p>"));
    assert_eq!(ledger, ["block marketing Acme Ads inline acme('init'"]);
}

#[test]
fn h6_a_site_that_only_observes_gets_its_bytes_and_its_ledger() {
    let page = b"<script src=//ads.acme.example/p.js></script><noscript><img src=//ads.acme.example/p.gif></noscript>\
        <iframe srcdoc='&lt;img src=//stats.acme.example/p>'></iframe><style>@import '//ads.acme.example/a.css'</style>\
        <script>acme('init',1)</script><object data='data:text/html,<img src=//maps.acme.example/>'></object>\xff\0";
    let url = Url::parse("https://shop.example/").unwrap();
    let (_, enforced) = denied(page, UTF_8);
    let (out, observed) = rewrite(&context(&url, Consent::silent(), false), UTF_8, page, 7);
    assert_eq!(out, page);
    assert_eq!(observed.iter().map(line).collect::<Vec<_>>(), enforced);
    let (out, _) = rewrite(&context(&url, Consent::chosen(PurposeSet::ALL), true), UTF_8, page, 7);
    assert_eq!(out, page);
}
