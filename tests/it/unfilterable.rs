//! What becomes of a page that cannot be rewritten: refused or cut, unless the
//! operator wants it passed on for its path.

use crate::harness::{Origin, Proxy, consentry, origin, raw_origin, visitor};

use http::Response;
use http_body_util::Full;
use tokio::io::AsyncWriteExt;

const TRACKER: &str = "<script src=https://ads.acme.example/p.js></script>";
const DANGER: &str = "[danger]\npass_unfilterable = ['/press']";

fn passed(proxy: &Proxy) -> bool {
    proxy.running().observe.exposition().contains("consentry_pages_unfiltered_total 1\n")
}

/// What is called a coding that nobody knows.
async fn unreadable() -> Origin {
    let answer = |_| {
        Response::builder()
            .header("content-type", "text/html")
            .header("content-encoding", "sdch")
            .body(Full::from(TRACKER))
            .unwrap()
    };
    origin().answer("/press/a", answer).answer("/b", answer).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn j4_a_page_that_cannot_be_read_is_refused_unless_its_path_says_otherwise() {
    let origin = unreadable().await;
    for (config, path, passes) in
        [("", "/press/a", false), (DANGER, "/b", false), (DANGER, "/press/a", true)]
    {
        let proxy = consentry(&origin).config(config).start().await;
        let page = visitor(&proxy).opens(path).await;
        let lines = proxy.ledger().await;
        assert_eq!(passed(&proxy), passes, "{config} {path}");
        if passes {
            assert_eq!((page.status.as_u16(), page.body.as_str()), (200, TRACKER));
            assert_eq!(page.field("content-encoding"), "sdch");
            assert!(page.field("cache-control").contains("private"));
            assert_eq!(lines, ["allow - - inline page"]);
        } else {
            assert_eq!(page.status, 502);
            assert!(!page.body.contains("acme") && !page.body.is_empty());
        }
    }
}

/// A page whose middle is one tag that is too long for anybody, after enough
/// to begin with.
fn poisoned() -> (String, String) {
    let start = format!("{TRACKER}{}", "<p>some words</p>\n".repeat(150_000));
    let rest = format!("<b title='{}'>poison</b>{TRACKER}<p>end</p>", "x".repeat(300_000));
    (start, rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn j4_a_page_that_fails_halfway_is_cut_unless_its_path_says_otherwise() {
    let origin = raw_origin(|mut socket, _| async move {
        let (start, rest) = poisoned();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close\r\n\r\n";
        let _ = socket.write_all(format!("{head}{start}{rest}").as_bytes()).await;
    })
    .await;
    let memory = "[limits]\npage_memory_bytes = 65536";
    for (config, passes) in [("", false), (DANGER, true)] {
        let proxy = consentry(&origin).config(&format!("{config}\n{memory}")).start().await;
        let request = "GET /press/x HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";
        let answer = proxy.raw(request.as_bytes()).await;
        let answer = String::from_utf8(answer).unwrap();
        let (start, rest) = poisoned();
        assert!(answer.contains("data-consentry-held"), "its beginning is filtered");
        let whole = answer.ends_with("\r\n0\r\n\r\n");
        assert_eq!(whole, passes, "{}", answer.len());
        assert_eq!(answer.contains("poison</b>"), passes);
        // The tracker that comes after nobody could judge.
        assert_eq!(answer.contains("ads.acme.example"), passes);
        assert_eq!(passed(&proxy), passes);
        let lines = proxy.ledger().await;
        assert_eq!(lines.contains(&"allow - - inline page".to_owned()), passes, "{lines:?}");
        assert!(
            lines.contains(&"block marketing Acme Ads script ads.acme.example/p.js".to_owned())
        );
        if passes {
            let page = visitor(&proxy).opens("/press/x").await;
            let words = |text: &str| text.matches("<p>some words</p>\n").count();
            assert_eq!(words(&page.body), words(&start));
            assert!(page.body.ends_with(&rest), "nothing is lost, and nothing is put in between");
        }
    }
}
