//! Vendors' scripts that the own host serves under names of its own.

use crate::harness::{Origin, consentry, origin, visitor};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Response;
use http_body_util::Full;
use std::io::Write;

const LIBRARY: &str =
    "/*! (c) Acme */\nacme.version = \"2.1\";\nacme._release = \"stable\";\nacme.go()";

fn packed(coding: &str, text: &str) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(5));
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut out = Vec::new();
            let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 5, 20);
            encoder.write_all(text.as_bytes()).unwrap();
            drop(encoder);
            out
        }
        "zstd" => zstd::stream::encode_all(text.as_bytes(), 3).unwrap(),
        _ => text.as_bytes().to_vec(),
    }
}

/// An origin with one file, as an operator would serve it: for a year.
async fn serving(kind: &'static str, coding: &'static str, text: String) -> Origin {
    let bytes = packed(coding, &text);
    origin()
        .answer("/assets/m.js", move |seen| {
            let mut response = Response::builder()
                .header("content-type", kind)
                .header("etag", "\"v1\"")
                .header("cache-control", "public, max-age=31536000, immutable");
            if !coding.is_empty() {
                response = response.header("content-encoding", coding);
            }
            if seen.headers.get("if-none-match").is_some_and(|tag| tag == "\"v1\"") {
                return response.status(304).body(Full::new(Bytes::new())).unwrap();
            }
            response.body(Full::from(bytes.clone())).unwrap()
        })
        .start()
        .await
}

const ASKED: [(&str, &str); 2] =
    [("sec-fetch-dest", "script"), ("accept-encoding", "gzip, br, zstd")];

#[tokio::test(flavor = "multi_thread")]
async fn b13_a_vendors_script_under_another_name_is_withheld_by_its_text() {
    for (kind, coding, size) in [
        ("text/javascript; charset=utf-8", "", 0),
        ("application/javascript", "gzip", 0),
        ("application/x-javascript", "br", 200_000),
        ("text/ecmascript", "zstd", 200_000),
    ] {
        let text = format!("{LIBRARY}{}", ";x=1".repeat(size / 4));
        let origin = serving(kind, coding, text.clone()).await;
        let proxy = consentry(&origin).start().await;
        let mut visitor = visitor(&proxy);
        let page = visitor.asks("GET", "/assets/m.js?v=3", &ASKED, "").await;
        assert_eq!((page.status.as_u16(), page.bytes.len()), (200, 0), "{kind} {coding}");
        assert_eq!(page.field("content-type"), kind, "an empty script is one all the same");
        assert_eq!(page.field("content-encoding"), "");
        assert_eq!(page.field("cache-control"), "private, no-cache");
        let lines = proxy.lines().await;
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!((line.layer.as_str(), line.kind.as_str()), ("response", "script"));
        assert_eq!(line.vendor.as_deref(), Some("Acme Ads"));
        assert!(line.what.ends_with("/assets/m.js"), "{}", line.what);

        visitor.chooses("all", &[]).await;
        let granted = visitor.asks("GET", "/assets/m.js?v=3", &ASKED, "").await;
        assert_eq!(granted.bytes, packed(coding, &text), "{kind} {coding}: byte for byte");
        assert_eq!(granted.field("cache-control"), "private, no-cache", "until a withdrawal");
        assert!(granted.field("etag") != page.field("etag"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_a_kept_copy_of_a_vendors_script_counts_for_its_own_variant_only() {
    let origin = serving("text/javascript", "", LIBRARY.to_owned()).await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    let withheld = visitor.asks("GET", "/assets/m.js", &ASKED, "").await.field("etag");
    let again = |tag: String| {
        [("sec-fetch-dest".to_owned(), "script".to_owned()), ("if-none-match".to_owned(), tag)]
    };
    let ask = async |visitor: &mut crate::harness::Visitor, tag: &str| {
        let fields = again(tag.to_owned());
        let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        visitor.asks("GET", "/assets/m.js", &fields, "").await
    };
    assert_eq!(ask(&mut visitor, &withheld).await.status, 304);
    visitor.chooses("all", &[]).await;
    let granted = ask(&mut visitor, &withheld).await;
    assert_eq!((granted.status.as_u16(), granted.body.as_str()), (200, LIBRARY));
    let tag = granted.field("etag");
    assert_eq!(ask(&mut visitor, &tag).await.status, 304);
    visitor.chooses("none", &[]).await;
    let after = ask(&mut visitor, &tag).await;
    assert_eq!((after.status.as_u16(), after.bytes.len()), (200, 0), "withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_bundles_and_other_files_pass_byte_for_byte() {
    let bundle = format!("(self.webpackChunkshop=self.webpackChunkshop||[]).push([1]);{LIBRARY}");
    let late = format!("{}{LIBRARY}", "site();".repeat(6000));
    let huge = format!("{LIBRARY}{}", ";site()".repeat(200_000));
    for (kind, coding, text) in [
        ("text/javascript", "", bundle.as_str()),
        ("text/javascript", "gzip", late.as_str()),
        ("text/javascript", "", huge.as_str()),
        ("text/plain", "", LIBRARY),
        ("application/json", "br", LIBRARY),
        ("text/javascript", "", ""),
    ] {
        let origin = serving(kind, coding, text.to_owned()).await;
        let proxy = consentry(&origin).start().await;
        let page = visitor(&proxy).asks("GET", "/assets/m.js", &ASKED, "").await;
        assert_eq!(page.bytes, packed(coding, text), "{kind} {coding} {}", text.len());
        assert_eq!(page.field("etag"), "\"v1\"");
        assert_eq!(page.field("cache-control"), "public, max-age=31536000, immutable");
        assert!(proxy.lines().await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_what_cannot_be_decoded_passes_as_it_is_and_observing_changes_nothing() {
    let origin = origin()
        .answer("/assets/m.js", |_| {
            Response::builder()
                .header("content-type", "text/javascript")
                .header("content-encoding", "gzip")
                .body(Full::from("this is no gzip at all, and nobody can read it"))
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let page = visitor(&proxy).asks("GET", "/assets/m.js", &ASKED, "").await;
    assert_eq!(page.body, "this is no gzip at all, and nobody can read it");

    let origin = serving("text/javascript", "", LIBRARY.to_owned()).await;
    let proxy = consentry(&origin).site("mode = \"observe\"").start().await;
    let page = visitor(&proxy).asks("GET", "/assets/m.js", &ASKED, "").await;
    assert_eq!((page.body.as_str(), page.field("etag").as_str()), (LIBRARY, "\"v1\""));
    assert_eq!(proxy.lines().await.len(), 1, "what would have been withheld is on record");
}

/// The beginnings of files that vendors publish, as far as their signs go.
const PUBLISHED: [(&str, &str); 6] = [
    (
        "Google Tag Manager",
        "\n// Copyright 2012 Google Inc. All rights reserved.\n(function(){\n\nvar data = {\n\"resource\": {\n  \"version\":\"5\",\n  \n  \"macros\":[{\"function\":\"__e\"}],\n  \"tags\":[],\n  \"predicates\":[],\n  \"rules\":[]\n}};",
    ),
    (
        "Meta Pixel",
        "fbq.version=\"2.9.179\";\nfbq._releaseSegment = \"stable\";\nfbq.pendingConfigs=[\"global_config\"];",
    ),
    (
        "Microsoft Clarity",
        "/* clarity-js v0.7.49: https://github.com/microsoft/clarity (License: MIT) */\n!function(){}",
    ),
    (
        "Matomo",
        "if(typeof _paq!=='object'){_paq=[]}if(typeof window.Matomo!=='object'){window.Matomo=window.Piwik=(function(){})()}",
    ),
    (
        "Hotjar",
        "window.hjSiteSettings=window.hjSiteSettings||{};\n!window.hjBootstrap&&(window.hjBootstrap=function(){})",
    ),
    (
        "Segment",
        "!function(){var e=self.webpackChunk_segment_analytics_next=self.webpackChunk_segment_analytics_next||[]}()",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn b13_the_signs_of_well_known_libraries_are_in_the_catalogue() {
    for (vendor, text) in PUBLISHED {
        let origin = serving("text/javascript", "", text.to_owned()).await;
        let proxy = consentry(&origin).start().await;
        let page = visitor(&proxy).asks("GET", "/assets/m.js", &ASKED, "").await;
        assert_eq!((page.status.as_u16(), page.bytes.len()), (200, 0), "{vendor}");
        let named = proxy.lines().await.pop().and_then(|line| line.vendor).unwrap_or_default();
        assert!(named.starts_with(vendor), "{vendor}: {named}");
    }
}
