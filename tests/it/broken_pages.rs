//! Pages in codings and charsets that are not what they claim: what cannot be
//! read is never passed on, and what a browser can read is filtered.

use crate::harness::{Origin, consentry, origin, raw_origin, visitor};
use crate::program::Setup;
use crate::wire::Wire;

use consentry::enforce::codec::{Coding, Encoder};
use http::Response;
use http_body_util::Full;
use tokio::io::AsyncWriteExt;

const HTML: &str = "<!doctype html><title>Shop</title><script src=https://ads.acme.example/p.js></script><p>a secret page</p>";

fn encoded(coding: Coding, text: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(coding).unwrap();
    encoder.write(text).unwrap();
    encoder.finish().unwrap()
}

/// One answer: its type, its coding, its body.
type Case = (&'static str, &'static str, Vec<u8>);

/// An origin that answers `/0`, `/1` and so on.
async fn serving(cases: &[Case]) -> Origin {
    let mut origin = origin();
    for (number, (kind, coding, body)) in cases.iter().cloned().enumerate() {
        origin = origin.answer(&format!("/{number}"), move |_| {
            let fields = [("content-type", kind), ("content-encoding", coding)];
            let mut response = Response::builder();
            for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
                response = response.header(name, value);
            }
            response.body(Full::from(body.clone())).unwrap()
        });
    }
    origin.start().await
}

fn mislabelled() -> Vec<(&'static str, Vec<u8>)> {
    let gzip = encoded(Coding::Gzip, HTML.as_bytes());
    let mut corrupt = encoded(Coding::Gzip, HTML.repeat(200).as_bytes());
    let middle = corrupt.len() / 2;
    corrupt[middle..middle + 40].fill(0x55);
    let mut checksum = gzip.clone();
    let at = checksum.len() - 6;
    checksum[at] ^= 0xff;
    let thrice = encoded(Coding::Gzip, &encoded(Coding::Gzip, &gzip));
    vec![
        ("gzip", corrupt),
        ("gzip", checksum),
        ("gzip", gzip[..gzip.len() - 9].to_vec()),
        ("gzip", encoded(Coding::Gzip, HTML.repeat(3000).as_bytes())[..200].to_vec()),
        ("gzip", HTML.into()),
        ("deflate", HTML.into()),
        ("br", HTML.into()),
        ("zstd", HTML.into()),
        ("br", encoded(Coding::Brotli, HTML.as_bytes())[..40].to_vec()),
        ("zstd", encoded(Coding::Zstd, HTML.as_bytes())[..40].to_vec()),
        ("sdch", HTML.into()),
        ("compress", HTML.into()),
        ("aes128gcm", HTML.into()),
        ("dcb", HTML.into()),
        ("gzip, gzip, gzip", thrice),
        ("gzip, sdch", gzip),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_read_is_not_passed_on() {
    let cases: Vec<Case> = mislabelled()
        .into_iter()
        .map(|(coding, body)| ("text/html; charset=utf-8", coding, body))
        .collect();
    let origin = serving(&cases).await;
    let proxy = consentry(&origin).start().await;
    for (number, (_, coding, _)) in cases.into_iter().enumerate() {
        let got = Wire::to(proxy.address)
            .await
            .asks("GET", &format!("/{number}"), "accept-encoding: gzip, br, zstd, deflate\r\n")
            .await;
        let refused = got.status == 502 && got.text().contains("fault: origin");
        assert!(refused || !got.complete, "{coding}: {} {}", got.head, got.text());
        assert!(!got.text().contains("a secret page"), "{coding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_page_passes_whatever_its_label_says() {
    let cases: Vec<Case> =
        mislabelled().into_iter().map(|(coding, body)| ("image/png", coding, body)).collect();
    let origin = serving(&cases).await;
    let proxy = consentry(&origin).start().await;
    for (number, (_, coding, body)) in cases.into_iter().enumerate() {
        let page = visitor(&proxy).opens(&format!("/{number}")).await;
        assert_eq!((page.status.as_u16(), page.field("content-encoding").as_str()), (200, coding));
        assert!(page.bytes == body, "{coding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_a_page_in_every_coding_is_filtered_and_coded_again() {
    let cases = [
        ("gzip", &[Coding::Gzip][..]),
        ("x-gzip", &[Coding::Gzip]),
        ("BR", &[Coding::Brotli]),
        ("zstd", &[Coding::Zstd]),
        ("deflate", &[Coding::Deflate]),
        ("gzip, br", &[Coding::Gzip, Coding::Brotli]),
        ("identity", &[]),
    ];
    let pages = cases.map(|(name, codings)| {
        let body =
            codings.iter().fold(HTML.as_bytes().to_vec(), |body, coding| encoded(*coding, &body));
        ("text/html; charset=utf-8", name, body)
    });
    let origin = serving(&pages).await;
    let proxy = consentry(&origin).start().await;
    for (number, (name, codings)) in cases.into_iter().enumerate() {
        let path = format!("/{number}");
        // Asked for nothing, sent anyway: this visitor gets it as it can read it.
        let page = visitor(&proxy).opens(&path).await;
        assert!(
            page.body.contains("a secret page") && !page.body.contains("ads.acme.example"),
            "{name}: {}",
            page.body
        );
        assert!(matches!(page.field("content-encoding").as_str(), "" | "identity"), "{name}");
        let page = visitor(&proxy)
            .sending("accept-encoding", "gzip, br, zstd, deflate")
            .opens(&path)
            .await;
        let last = codings
            .last()
            .map_or(page.field("content-encoding"), |coding| coding.name().to_owned());
        assert_eq!(page.field("content-encoding"), last, "{name}");
        assert!(
            page.field("vary").to_ascii_lowercase().contains("accept-encoding")
                || codings.is_empty()
        );
    }
}

/// A page that is compressed a thousandfold and more, and never ends before
/// somebody stops it.
async fn bomb(coding: Coding) -> Origin {
    let name = coding.name();
    let small = encoded(coding, HTML.as_bytes());
    raw_origin(move |mut socket, asked| {
        let small = small.clone();
        async move {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-encoding: {name}\r\n\r\n");
        let _ = socket.write_all(head.as_bytes()).await;
        if asked.starts_with("GET /small ") {
            let _ = socket.write_all(&small).await;
            return;
        }
        let (sender, mut pieces) = tokio::sync::mpsc::channel::<Vec<u8>>(4);
        std::thread::spawn(move || {
            let mut encoder = Encoder::new(coding).unwrap();
            let zeros = vec![b' '; 1 << 20];
            for _ in 0..512 {
                encoder.write(&zeros).unwrap();
                if sender.blocking_send(encoder.take()).is_err() {
                    return;
                }
            }
            let _ = sender.blocking_send(encoder.finish().unwrap());
        });
        while let Some(piece) = pieces.recv().await {
            if socket.write_all(&piece).await.is_err() {
                return;
            }
        }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_does_not_go_off() {
    for coding in [Coding::Gzip, Coding::Zstd, Coding::Brotli] {
        let origin = bomb(coding).await;
        let proxy = consentry(&origin).start().await;
        for accept in ["gzip, zstd, br", "identity"] {
            let fields = format!("accept-encoding: {accept}\r\n");
            let got = Wire::to(proxy.address).await.asks("GET", "/", &fields).await;
            assert!(got.status == 502 || !got.complete, "{coding:?} {accept}: {}", got.head);
        }
        assert_eq!(visitor(&proxy).opens("/.consentry/choices").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_takes_little_memory() {
    // Zstandard has a window of its own besides.
    for (coding, most_kib) in [(Coding::Gzip, 8 * 1024), (Coding::Zstd, 16 * 1024)] {
        let origin = bomb(coding).await;
        let program = Setup::new(origin.address, "[listener]\nworkers = 1").start();
        let peak = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
        };
        // What the first page needs, whatever it is, is no part of it.
        let fields = format!("accept-encoding: {}\r\n", coding.name());
        for _ in 0..3 {
            let got = Wire::to(program.address).await.asks("GET", "/small", &fields).await;
            assert!(got.status == 200 && got.complete, "{}", got.head);
        }
        let before = peak();
        for _ in 0..2 {
            let got = Wire::to(program.address).await.asks("GET", "/", &fields).await;
            assert!(got.status == 502 || !got.complete, "{}", got.head);
        }
        let more = peak() - before;
        println!("a bomb of {coding:?} takes {more} KiB");
        assert!(more <= most_kib, "{coding:?}: {more} KiB more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_bomb_does_not_go_off_either() {
    // One piece of input holds it all.
    let twice = encoded(Coding::Gzip, &encoded(Coding::Gzip, &vec![b' '; 64 << 20]));
    assert!(twice.len() < 1024);
    // Only the outer coding goes off: the inner one makes nothing of it.
    let member = encoded(Coding::Gzip, b"<p>one</p>");
    let zeros = [&member[..], &vec![0; 64 << 20]].concat();
    let members = encoded(Coding::Gzip, b"").repeat(1 << 20);
    let html = "text/html; charset=utf-8";
    let origin = serving(&[
        (html, "gzip, gzip", twice),
        (html, "gzip, br", encoded(Coding::Brotli, &zeros)),
        (html, "gzip, zstd", encoded(Coding::Zstd, &members)),
    ])
    .await;
    let proxy = consentry(&origin).start().await;
    for path in ["/0", "/1", "/2"] {
        let got = Wire::to(proxy.address).await.asks("GET", path, "").await;
        assert_eq!(got.status, 502, "{path} {} {}", got.head, got.body.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_a_page_is_read_in_the_charset_a_browser_would_take() {
    let utf16 = |text: &str, big: bool| -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    };
    let text = "<p>Gr\u{fc}\u{df}e</p>".to_owned() + HTML;
    let with_mark = [&b"\xff\xfe"[..], &utf16(&text, false)].concat();
    let japanese = "<p>\u{65e5}\u{672c}</p>".to_owned() + HTML;
    let (iso_2022, _, _) = encoding_rs::ISO_2022_JP.encode(&japanese);
    let (shift, _, _) = encoding_rs::SHIFT_JIS.encode(&japanese);
    let (western, _, _) = encoding_rs::WINDOWS_1252.encode(&text);
    // Content type, body, what must be in the answer, whether it becomes UTF-8.
    let cases = [
        ("text/html; charset=utf-16le", utf16(&text, false), b"Gr\xc3\xbc\xc3\x9fe".to_vec(), true),
        ("text/html; charset=utf-16be", utf16(&text, true), "Gr\u{fc}\u{df}e".into(), true),
        ("text/html", with_mark, "Gr\u{fc}\u{df}e".into(), true),
        ("text/html; charset=iso-2022-jp", iso_2022.to_vec(), "\u{65e5}\u{672c}".into(), true),
        (
            "text/html; charset=shift_jis",
            shift.to_vec(),
            encoding_rs::SHIFT_JIS.encode("\u{65e5}\u{672c}").0.to_vec(),
            false,
        ),
        ("text/html; charset=klingon", western.to_vec(), b"Gr\xfc\xdfe".to_vec(), false),
        ("text/html; charset=", western.to_vec(), b"Gr\xfc\xdfe".to_vec(), false),
        ("text/html; charset=utf-7", western.to_vec(), b"Gr\xfc\xdfe".to_vec(), false),
        ("text/html", western.to_vec(), b"Gr\xfc\xdfe".to_vec(), false),
        // Not UTF-8, whatever it says: every byte stays.
        ("text/html; charset=utf-8", western.to_vec(), b"Gr\xfc\xdfe".to_vec(), false),
    ];
    let pages: Vec<Case> = cases.iter().map(|(kind, body, ..)| (*kind, "", body.clone())).collect();
    let origin = serving(&pages).await;
    let proxy = consentry(&origin).start().await;
    for (number, (kind, _, word, to_utf8)) in cases.into_iter().enumerate() {
        let page = visitor(&proxy).opens(&format!("/{number}")).await;
        assert_eq!(page.status, 200, "{kind}: {}", page.body);
        let holds = |word: &[u8]| page.bytes.windows(word.len()).any(|window| window == word);
        assert!(holds(&word) && holds(b"a secret page"), "{kind}: {:?}", page.bytes);
        assert!(!holds(b"ads.acme.example"), "{kind}: {:?}", page.bytes);
        let said = page.field("content-type");
        assert_eq!(said, if to_utf8 { "text/html; charset=utf-8" } else { kind }, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_no_browser_can_read_is_not_passed_on() {
    let origin = serving(&[("text/html; charset=iso-2022-kr", "", HTML.into())]).await;
    let proxy = consentry(&origin).start().await;
    let page = visitor(&proxy).opens("/0").await;
    assert_eq!(page.status, 502);
    assert!(!page.body.contains("a secret page"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_say_what_it_is_may_be_a_page() {
    let kinds = [
        "",
        "text/html;;",
        "TEXT/HTML",
        "application/xhtml+xml",
        "text/plain, text/html",
        "unknown/unknown",
        "*/*",
    ];
    let origin = serving(&kinds.map(|kind| (kind, "", HTML.into()))).await;
    let proxy = consentry(&origin).start().await;
    for (number, kind) in kinds.into_iter().enumerate() {
        let page = visitor(&proxy).opens(&format!("/{number}")).await;
        assert!(
            page.status == 200 && !page.body.contains("ads.acme.example"),
            "{kind}: {}",
            page.body
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_is_only_offered_codings_that_can_be_undone() {
    let origin = serving(&[("text/html", "", HTML.into())]).await;
    let proxy = consentry(&origin).start().await;
    for (sent, expected) in [
        ("gzip, br, zstd, dcb, sdch;q=0.1", Some("gzip, br, zstd")),
        ("dcb", None),
        ("identity;q=0, *", None),
    ] {
        visitor(&proxy).sending("accept-encoding", sent).opens("/0").await;
        let seen = origin.seen().pop().unwrap().headers;
        let offered = seen.get("accept-encoding").map(|value| value.to_str().unwrap());
        assert!(
            offered == expected
                || (sent.contains('*') && offered.is_none_or(|offered| !offered.contains('*'))),
            "{sent}: {offered:?}"
        );
    }
}
