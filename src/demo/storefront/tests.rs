use super::*;
use std::io::Read as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PAGES: [&str; 6] =
    ["/", "/product/first-light-sencha", "/checkout", "/stores", "/thanks", "/nowhere"];

/// One host or global a vendor's tag cannot do without.
const VENDORS: [&str; 19] = [
    "www.googletagmanager.com.localhost",
    "gtag('config'",
    "connect.facebook.net.localhost",
    "static.hotjar.com.localhost",
    "www.clarity.ms.localhost",
    "analytics.tiktok.com.localhost",
    "snap.licdn.com.localhost",
    "s.pinimg.com.localhost",
    "bat.bing.com.localhost",
    "dynamic.criteo.com.localhost",
    "static.klaviyo.com.localhost",
    "cdn.optimizely.com.localhost",
    "cdn.segment.com.localhost",
    "widget.intercom.io.localhost",
    "fonts.googleapis.com.localhost",
    "pixel.quantserve.com.localhost",
    "fls.doubleclick.net.localhost",
    "www.facebook.com.localhost",
    "px.ads.linkedin.com.localhost",
];

struct Answered {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answered {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }
}

/// Sends one request as bytes, so that nothing between hides what was sent.
async fn ask(address: SocketAddr, request: &str, more: &str, body: &str) -> Answered {
    let host = if more.contains("Host:") { "" } else { "Host: shop.example\r\n" };
    let length = body.len();
    let request = format!(
        "{request} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{more}\r\n{body}"
    );
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answered { status, head, body: answer[end..].to_vec() }
}

async fn shop() -> (Storefront, StandIns) {
    let stand_ins = StandIns::start().await.unwrap();
    (Storefront::start(&stand_ins).await.unwrap(), stand_ins)
}

#[tokio::test]
async fn every_page_carries_the_tags_of_a_dozen_vendors() {
    let (shop, _stand_ins) = shop().await;
    for path in PAGES {
        let page = ask(shop.address, &format!("GET {path}"), "", "").await;
        assert_eq!(page.status, if path == "/nowhere" { 404 } else { 200 }, "{path}");
        assert_eq!(page.fields("content-type"), ["text/html; charset=utf-8"], "{path}");
        assert_eq!(page.fields("etag").len(), 1, "{path}");
        for vendor in VENDORS {
            assert!(page.text().contains(vendor), "{path} lacks {vendor}");
        }
    }
    let stores = ask(shop.address, "GET /stores", "", "").await;
    assert!(stores.text().contains("http://www.youtube.com.localhost"));
    assert!(stores.text().contains("http://www.google.com.localhost"));
}

#[tokio::test]
async fn no_page_points_out_of_the_machine() {
    let (shop, stand_ins) = shop().await;
    let home = format!(".localhost:{}", stand_ins.address.port());
    for path in PAGES.into_iter().chain(["/shop.css", "/shop.js"]) {
        let page = ask(shop.address, &format!("GET {path}"), "", "").await;
        let everything = format!("{}{}", page.head, page.text());
        for piece in everything.split("//").skip(1) {
            let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
            let host = piece.split(|c| !name(c)).next().unwrap();
            assert!(!host.contains('.') || host.ends_with(&home), "{path} points at {host}");
        }
    }
}

#[tokio::test]
async fn everything_of_the_shop_a_page_names_is_there() {
    let (shop, _stand_ins) = shop().await;
    for path in PAGES {
        let page = ask(shop.address, &format!("GET {path}"), "", "").await;
        let own = ["src=\"/", "href=\"/"].map(|name| page.text().split(name).skip(1));
        for link in own.into_iter().flatten().filter(|link| !link.starts_with('/')) {
            let link = link.split(['"', '#']).next().unwrap();
            let found = ask(shop.address, &format!("GET /{link}"), "", "").await;
            assert_eq!(found.status, 200, "{path} shows /{link}");
            let svg = link.ends_with(".svg");
            assert!(!svg || found.fields("content-type") == ["image/svg+xml"]);
        }
    }
}

#[tokio::test]
async fn every_page_tracks_by_cookies_and_headers() {
    let (shop, _stand_ins) = shop().await;
    let page = ask(shop.address, "GET /", "Cookie: sid=mine\r\n", "").await;
    let cookies: Vec<_> =
        page.fields("set-cookie").into_iter().map(|c| c.split('=').next().unwrap()).collect();
    assert_eq!(cookies, ["sid", "cart", "_ga", "_fbp", "_gcl_au", "_hjSessionUser_1"]);
    assert!(page.fields("set-cookie")[0].starts_with("sid=mine; Path=/; HttpOnly"));
    assert_eq!(page.fields("x-segment"), ["returning-tea-lover"]);
    assert_eq!(page.fields("accept-ch"), ["Sec-CH-UA-Model"]);
    for name in ["link", "nel", "report-to"] {
        assert_eq!(page.fields(name).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn the_home_page_is_personal_unless_told_otherwise() {
    let (shop, _stand_ins) = shop().await;
    let first = |page: &Answered, slug: &str| {
        page.text().split("/product/").nth(1).unwrap().starts_with(slug)
    };
    for (header, personal) in [
        ("", true),
        ("Consentry-Consent: functional=0, analytics=0, personalization=1, marketing=0\r\n", true),
        ("Consentry-Consent: functional=1, analytics=1, personalization=0, marketing=1\r\n", false),
    ] {
        let page = ask(shop.address, "GET /", header, "").await;
        assert_eq!(page.text().contains("id=\"personal\""), personal, "{header}");
        assert_eq!(page.text().contains("Because you looked at green tea"), personal, "{header}");
        assert_eq!(page.text().contains("Our most popular teas"), !personal, "{header}");
        assert!(first(&page, if personal { "first-light" } else { "brick-lane" }), "{header}");
    }
}

#[tokio::test]
async fn a_head_request_gets_no_body() {
    let (shop, _stand_ins) = shop().await;
    for path in ["/", "/shop.css"] {
        let head = ask(shop.address, &format!("HEAD {path}"), "", "").await;
        let page = ask(shop.address, &format!("GET {path}"), "", "").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.fields("content-length"), page.fields("content-length"));
        assert_eq!(head.fields("etag"), page.fields("etag"));
    }
}

#[tokio::test]
async fn a_compressed_page_is_the_same_page() {
    let (shop, _stand_ins) = shop().await;
    let plain = ask(shop.address, "GET /", "", "").await;
    let gzip = ask(shop.address, "GET /", "Accept-Encoding: gzip, br\r\n", "").await;
    assert_eq!(gzip.fields("content-encoding"), ["gzip"]);
    assert_ne!(gzip.fields("etag"), plain.fields("etag"));
    let mut decoded = String::new();
    flate2::read::GzDecoder::new(gzip.body.as_slice()).read_to_string(&mut decoded).unwrap();
    assert_eq!(decoded, plain.text());
}

#[tokio::test]
async fn forms_work() {
    let (shop, _stand_ins) = shop().await;
    let added = ask(shop.address, "POST /cart", "", "tea=iron-goddess").await;
    assert_eq!((added.status, added.fields("location")), (303, vec!["/checkout"]));
    assert!(added.fields("set-cookie")[1].starts_with("cart=iron-goddess;"));
    let cart = ask(shop.address, "GET /checkout", "Cookie: cart=iron-goddess\r\n", "").await;
    assert!(cart.text().contains("€8.90"));
    let ordered =
        ask(shop.address, "POST /checkout", "Cookie: cart=iron-goddess\r\n", "name=A").await;
    assert_eq!((ordered.status, ordered.fields("location")), (303, vec!["/thanks"]));
    assert!(ordered.fields("set-cookie")[1].starts_with("cart=none;"));
    let thanks = ask(shop.address, "GET /thanks", "", "").await;
    assert!(thanks.text().contains("event_callback"));
    assert_eq!(ask(shop.address, "DELETE /", "", "").await.status, 405);
}

#[tokio::test]
async fn a_dropped_shop_is_closed() {
    let (shop, stand_ins) = shop().await;
    let address = shop.address;
    drop((shop, stand_ins));
    tokio::task::yield_now().await;
    assert!(TcpStream::connect(address).await.is_err());
}
