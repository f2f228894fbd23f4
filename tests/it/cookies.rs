//! Cookies, headers and address parameters on their way through: what the
//! visitor did not agree to goes, and everything else stays as it was.

use crate::harness::{Seen, consentry, origin, visitor};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use std::fmt::Write;

/// Thirty `Set-Cookie` fields of one answer, and the purpose of each.
const MIX: [(&str, &str); 30] = [
    ("sid=1; Path=/; HttpOnly; SameSite=Lax", "necessary"),
    ("_ga=GA1.1.1.2; Path=/; Max-Age=34560000", "analytics"),
    ("_ga_ABC123XYZ=GS1.1.1; Path=/; Domain=shop.example", "analytics"),
    ("PHPSESSID=\"a b,c\"; path=/; HTTPONLY", "necessary"),
    ("_fbp=fb.1.1.2; Path=/; SameSite=Lax", "marketing"),
    ("_fbc=fb.1.1.x; Expires=Thu, 01 Jan 2099 00:00:00 GMT; Path=/", "marketing"),
    ("_gid=GA1.1; Path=/; HttpOnly", "analytics"),
    ("cart=a.b.c; Path=/; Expires=Fri, 02 Jan 2099 00:00:00 GMT", "necessary"),
    ("_gcl_au=1.1; Path=/", "marketing"),
    ("csrftoken=x=y==; Path=/; Secure; SameSite=Strict", "necessary"),
    ("_hjSessionUser_1=eyJ9; Path=/", "analytics"),
    ("theme=dark", "first party"),
    ("_clck=x; Path=/; HttpOnly; Secure", "analytics"),
    ("_uetsid=x; Path=/", "marketing"),
    ("JSESSIONID=abc;Path=/app;HttpOnly", "necessary"),
    ("_ttp=x; Path=/", "marketing"),
    ("_pin_unauth=x; Path=/", "marketing"),
    ("AWSALB=x; Expires=Thu, 01 Jan 2099 00:00:00 GMT; Path=/", "necessary"),
    ("cto_bundle=x; Path=/", "marketing"),
    ("OptanonConsent=groups=C0001:1; Path=/; SameSite=Lax", "necessary"),
    ("_acme=1; Path=/; HttpOnly", "marketing"),
    ("_acme_seen=1; Path=/shop", "marketing"),
    ("my_acme=1", "first party"),
    ("_stats=1", "analytics"),
    ("XSRF-TOKEN=a; Path=/", "necessary"),
    ("last-viewed=12; Path=/", "first party"),
    ("ajs_anonymous_id=x; Path=/", "marketing"),
    ("__cf_bm=x; Path=/; HttpOnly; Secure; SameSite=None", "necessary"),
    ("li_fat_id=x; Path=/", "marketing"),
    ("laravel_session=x; Path=/; Max-Age=7200", "necessary"),
];

fn sent_to(purposes: &[&str]) -> Vec<&'static str> {
    let always = ["necessary", "first party"];
    MIX.iter()
        .filter(|(_, purpose)| always.contains(purpose) || purposes.contains(purpose))
        .map(|(field, _)| *field)
        .collect()
}

/// Answers with the status and the type that the query asks for.
fn mixed(seen: &Seen) -> Response<Full<Bytes>> {
    let (_, query) = seen.target.split_once('?').unwrap();
    let (status, kind) = query.split_once('&').unwrap();
    let mut response =
        Response::builder().status(status.parse::<u16>().unwrap()).header("location", "/elsewhere");
    if kind != "none" {
        response = response.header("content-type", kind);
    }
    for (field, _) in MIX {
        response = response.header("set-cookie", field);
    }
    let has_body = status != "304" && status != "204";
    response.body(Full::from(if has_body { "{\"a\": 1}" } else { "" })).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_denied_cookies_leave_no_answer_whatever_its_status_and_type() {
    let origin = origin()
        .answer("/", |seen| mixed(&seen))
        .answer("/app.js", |seen| mixed(&seen))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let silent = visitor(&proxy);
    let mut analytics = visitor(&proxy);
    assert_eq!(analytics.chooses("some", &["analytics"]).await.status, 303);
    let mut all = visitor(&proxy);
    assert_eq!(all.chooses("all", &[]).await.status, 303);
    for (mut visitor, purposes) in [
        (silent, &[][..]),
        (analytics, &["analytics"]),
        (all, &["functional", "analytics", "personalization", "marketing"]),
    ] {
        let consent = visitor.cookies.get("consentry").cloned();
        for status in [200, 201, 204, 206, 301, 302, 303, 304, 307, 401, 404, 410, 500, 503] {
            for kind in [
                "text/html",
                "application/json",
                "text/css",
                "image/png",
                "application/octet-stream",
                "none",
            ] {
                for path in ["/", "/app.js"] {
                    // Only what the last answer set is of interest.
                    visitor.cookies.clear();
                    visitor
                        .cookies
                        .extend(consent.clone().map(|value| ("consentry".to_owned(), value)));
                    let page = visitor.opens(&format!("{path}?{status}&{kind}")).await;
                    let what = format!("{purposes:?} {status} {kind} {path}");
                    assert_eq!(page.status, StatusCode::from_u16(status).unwrap(), "{what}");
                    assert_eq!(page.all("set-cookie"), sent_to(purposes), "{what}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_a_head_request_sets_no_denied_cookie_either() {
    let origin = origin().answer("/", |seen| mixed(&seen)).start().await;
    let proxy = consentry(&origin).start().await;
    let page = visitor(&proxy).asks("HEAD", "/?200&text/html", &[], "").await;
    assert_eq!(page.all("set-cookie"), sent_to(&[]));
}

/// The `Cookie` fields that reached the origin last.
fn cookies(seen: &[Seen]) -> Vec<String> {
    let fields = seen.last().unwrap().headers.get_all("cookie");
    fields.iter().map(|field| String::from_utf8(field.as_bytes().to_vec()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_what_remains_of_a_cookie_field_is_byte_for_byte_as_it_was() {
    let origin = origin().page("/", "<p>Hello").start().await;
    let proxy = consentry(&origin).start().await;
    for (sent, expected) in [
        (&["sid=1"][..], &["sid=1"][..]),
        (&["_ga=1; sid=2; _fbp=3"], &["sid=2"]),
        (&["sid=\"quoted; value\"; _ga=1"], &["sid=\"quoted; value\""]),
        (&["b=2; a=1; _acme=0; b=3; a=1"], &["b=2; a=1; b=3; a=1"]),
        (&["a=b=c==; _stats=x; empty=; alone"], &["a=b=c==; empty=; alone"]),
        (&["a=1;b=2 ;c=3"], &["a=1;b=2 ;c=3"]),
        // Origins read one field, so there is one (RFC 6265, 5.4).
        (&["sid=1", "_ga=2", "cart=3; _fbp=4"], &["sid=1; cart=3"]),
        (&["n\u{e4}me=w\u{e9}rt; _acme=1"], &["n\u{e4}me=w\u{e9}rt"]),
        (&["_ga=1; _ga=2"], &[]),
        (&["consentry=forged; sid=1"], &["sid=1"]),
        (&["_GA=1; my_acme=2"], &["_GA=1; my_acme=2"]),
    ] {
        let mut request =
            format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", proxy.address);
        for field in sent {
            write!(request, "Cookie: {field}\r\n").unwrap();
        }
        let answer = proxy.raw(format!("{request}\r\n").as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{sent:?}");
        assert_eq!(cookies(&origin.seen()), expected, "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_login_and_cart_survive_any_company() {
    const OURS: [&str; 5] = [
        "PHPSESSID=9f\"8",
        "cart=a.b=c",
        "remember_token=x|y",
        "lang=de; lang=de",
        "wordpress_logged_in_ab12=u%7Cv",
    ];
    const THEIRS: [&str; 6] =
        ["_ga=1", "_ga_X1=GS1", "_fbp=fb.1", "_acme_z=\"q\"", "_gcl_au=", "_hjSession_1=e30="];
    let origin = origin().page("/", "<p>Hello").start().await;
    let proxy = consentry(&origin).start().await;
    let mut dice: u32 = 2_463_534_242;
    let mut roll = |sides: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 17;
        dice ^= dice << 5;
        dice as usize % sides
    };
    for _ in 0..60 {
        let mut sent = Vec::new();
        let mut kept = Vec::new();
        for _ in 0..=roll(9) {
            if roll(2) == 0 {
                let pair = OURS[roll(OURS.len())];
                sent.push(pair);
                kept.push(pair);
            } else {
                sent.push(THEIRS[roll(THEIRS.len())]);
            }
        }
        visitor(&proxy).sending("cookie", &sent.join("; ")).opens("/").await;
        let expected: Vec<_> =
            Some(kept.join("; ")).filter(|kept| !kept.is_empty()).into_iter().collect();
        assert_eq!(cookies(&origin.seen()), expected, "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_a_withdrawal_expires_what_was_set_on_the_host_and_its_parents() {
    let origin = origin()
        .answer("/", |_| {
            Response::builder()
                .header("content-type", "text/html")
                .header("set-cookie", "_ga=GA1.1.1.2; Path=/; HttpOnly")
                .header("set-cookie", "_ga_ABC=GS1; Path=/")
                .header("set-cookie", "_fbp=fb.1; Path=/; HttpOnly; Domain=shop.co.uk")
                .header("set-cookie", "sid=1; Path=/; HttpOnly")
                .body(Full::from("<p>Hello"))
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy).at_host("www.shop.co.uk");
    visitor.chooses("all", &[]).await;
    visitor.opens("/").await;
    for name in ["_ga", "_ga_ABC", "_fbp", "sid"] {
        assert!(visitor.cookies.contains_key(name), "{name}");
    }

    let held = visitor.clone();
    let withdrawn = visitor.chooses("none", &[]).await;
    assert_eq!(withdrawn.status, 303);
    check_expired(&withdrawn.all("set-cookie"));
    assert_eq!(visitor.cookies.keys().collect::<Vec<_>>(), ["consentry", "sid"]);

    // A script puts one of them back: the origin does not see it, and it goes.
    let mut back = visitor.clone().holding("_ga", "again");
    let page = back.opens("/").await;
    assert_eq!(cookies(&origin.seen()), ["sid=1"]);
    assert!(
        page.all("set-cookie")
            .iter()
            .any(|field| field.starts_with("_ga=; ") && field.contains("Max-Age=0"))
    );
    assert!(!back.cookies.contains_key("_ga"));

    // The choice may also have been lost: the next page does the same.
    let mut silent = held;
    silent.cookies.remove("consentry");
    check_expired(&silent.opens("/").await.all("set-cookie"));
}

/// Each of the three cookies is deleted on the host itself, and by `Domain` on
/// host and parent, but not on the public suffix.
fn check_expired(fields: &[String]) {
    for name in ["_ga", "_ga_ABC", "_fbp"] {
        let deletions: Vec<_> =
            fields.iter().filter(|field| field.starts_with(&format!("{name}=;"))).collect();
        assert!(
            deletions
                .iter()
                .all(|field| field.contains("; Max-Age=0") && field.contains("; Path=/"))
        );
        let domains: Vec<_> = deletions
            .iter()
            .map(|field| {
                field.split("; ").find_map(|part| part.strip_prefix("Domain=")).unwrap_or_default()
            })
            .collect();
        assert_eq!(domains, ["", "www.shop.co.uk", "shop.co.uk"], "{name}: {fields:?}");
    }
    assert!(!fields.iter().any(|field| field.starts_with("sid=;")), "{fields:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_who_the_visitor_is_reaches_the_origin_only_with_consent() {
    let origin = origin()
        .answer("/", |_| {
            Response::builder()
                .header("content-type", "text/html")
                .header("accept-ch", "Sec-CH-UA-Model, Sec-CH-UA-Full-Version-List")
                .header("critical-ch", "Sec-CH-UA-Model")
                .body(Full::from("<p>Hello"))
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    const IDENTIFYING: [(&str, &str); 7] = [
        ("x-user-segment", "gold"),
        ("x-client-data", "CIa2yQE="),
        ("sec-ch-ua-model", "\"Pixel 9\""),
        ("sec-ch-ua-full-version-list", "\"Chromium\";v=\"1.2.3\""),
        ("cf-ipcity", "Lisbon"),
        ("x-geo-country", "PT"),
        ("x-acme-id", "7"),
    ];
    const HARMLESS: [(&str, &str); 5] = [
        ("sec-ch-ua", "\"Chromium\";v=\"1\""),
        ("sec-ch-ua-mobile", "?0"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("accept-language", "pt-PT,pt;q=0.9"),
        ("authorization", "Bearer x"),
    ];
    let with = |mut visitor: crate::harness::Visitor| {
        for (name, value) in IDENTIFYING.into_iter().chain(HARMLESS) {
            visitor = visitor.sending(name, value);
        }
        visitor
            .sending("x-forwarded-for", "203.0.113.77, 2001:db8:1:2::3")
            .sending("x-real-ip", "203.0.113.77")
    };
    let field = |name: &str| -> Option<String> {
        origin
            .seen()
            .last()
            .unwrap()
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };

    let mut denied = with(visitor(&proxy));
    let page = denied.opens("/").await;
    for (name, _) in IDENTIFYING {
        assert_eq!(field(name), None, "{name}");
    }
    for (name, value) in HARMLESS {
        assert_eq!(field(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(field("x-forwarded-for").unwrap(), "203.0.113.0, 2001:db8:1::, 127.0.0.0");
    assert_eq!(field("x-real-ip").unwrap(), "203.0.113.0");
    assert_eq!(
        (page.field("accept-ch"), page.field("critical-ch")),
        (String::new(), String::new())
    );

    let mut granted = with(visitor(&proxy));
    granted.chooses("all", &[]).await;
    let page = granted.opens("/").await;
    for (name, value) in IDENTIFYING.into_iter().chain(HARMLESS) {
        assert_eq!(field(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(field("x-forwarded-for").unwrap(), "203.0.113.77, 2001:db8:1:2::3, 127.0.0.1");
    assert!(page.field("accept-ch").starts_with("Sec-CH-UA-Model"));
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_identifiers_leave_the_address_without_a_redirect() {
    const IDENTIFIERS: [&str; 14] = [
        "gclid",
        "gbraid",
        "wbraid",
        "dclid",
        "fbclid",
        "msclkid",
        "ttclid",
        "twclid",
        "li_fat_id",
        "mc_eid",
        "_hsenc",
        "srsltid",
        "yclid",
        "acmeid",
    ];
    let origin = origin().page("/landing", "<p>Hello").start().await;
    let proxy = consentry(&origin).start().await;
    let mut silent = visitor(&proxy);
    let mut granted = visitor(&proxy);
    granted.chooses("all", &[]).await;
    for name in IDENTIFIERS {
        let target = format!("/landing?utm_source=a%20b&{name}=X.y-1&q=%C3%A9+c&&x&{name}=");
        let page = silent.opens(&target).await;
        assert_eq!(page.status, 200, "{name}");
        assert_eq!(origin.seen().last().unwrap().target, "/landing?utm_source=a%20b&q=%C3%A9+c&&x");
        assert_eq!(granted.opens(&target).await.status, 200);
        assert_eq!(origin.seen().last().unwrap().target, target, "{name}");
    }
    for (sent, expected) in [
        ("/landing?gclid=1", "/landing"),
        ("/landing?g%63lid=1&a", "/landing?a"),
        ("/landing?utm_source=1&utm_campaign=2", "/landing?utm_source=1&utm_campaign=2"),
        ("/landing?mygclid=1&gclidx=2&x=gclid=3", "/landing?mygclid=1&gclidx=2&x=gclid=3"),
        ("/landing?", "/landing?"),
    ] {
        assert_eq!(silent.opens(sent).await.status, 200, "{sent}");
        assert_eq!(origin.seen().last().unwrap().target, expected, "{sent}");
    }
}

/// Cookies a visitor would miss: sign-in, carts, payment, load balancers,
/// protection against fraud, and the choices they made in other notices.
const NEEDED: [&str; 74] = [
    "PHPSESSID",
    "JSESSIONID",
    "ASP.NET_SessionId",
    ".AspNetCore.Session",
    "connect.sid",
    "sessionid",
    "session",
    "laravel_session",
    "XSRF-TOKEN",
    "csrftoken",
    "_csrf_token",
    "__RequestVerificationToken",
    "rack.session",
    "remember_user_token",
    "wordpress_logged_in_9f86d081884c7d65",
    "wordpress_sec_9f86d081884c7d65",
    "wp_woocommerce_session_9f86d081",
    "woocommerce_cart_hash",
    "woocommerce_items_in_cart",
    "cart",
    "_shopify_essential",
    "cart_currency",
    "secure_customer_sig",
    "PrestaShop-abc123",
    "frontend",
    "form_key",
    "mage-cache-sessid",
    "session-",
    "sw-context-token",
    "dwsid",
    "next-auth.session-token",
    "__Secure-next-auth.session-token",
    "AUTH_SESSION_ID",
    "KEYCLOAK_IDENTITY",
    "auth0",
    "__session",
    "AWSALB",
    "AWSALBCORS",
    "ARRAffinity",
    "GCLB",
    "SERVERID",
    "BIGipServerpool",
    "NSC_abc",
    "__cf_bm",
    "cf_clearance",
    "_cfuvid",
    "datadome",
    "ak_bmsc",
    "_abck",
    "incap_ses_1_2",
    "visid_incap_2",
    "_GRECAPTCHA",
    "__stripe_mid",
    "__stripe_sid",
    "OptanonConsent",
    "OptanonAlertBoxClosed",
    "eupubconsent-v2",
    "euconsent-v2",
    "CookieConsent",
    "cookieyes-consent",
    "cmplz_marketing",
    "borlabs-cookie",
    "didomi_token",
    "axeptio_cookies",
    "moove_gdpr_popup",
    "notice_preferences",
    "cookielawinfo-checkbox-analytics",
    "viewed_cookie_policy",
    "_tracking_consent",
    "usprivacy",
    "consentUUID",
    "klaro",
    "tarteaucitron",
    "cookieconsent_status",
];

#[tokio::test(flavor = "multi_thread")]
async fn c9_what_a_visit_cannot_do_without_survives_the_strictest_mode() {
    let origin = origin()
        .answer("/", |_| {
            let mut response = Response::builder().header("content-type", "text/html");
            for name in NEEDED {
                response = response.header("set-cookie", format!("{name}=v; Path=/; HttpOnly"));
            }
            response.body(Full::from("<p>Hello")).unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).site("unlisted = \"block\"").start().await;
    let field = NEEDED.map(|name| format!("{name}=v")).join("; ");
    let mut refused = visitor(&proxy).sending("sec-gpc", "1");
    refused.chooses("none", &[]).await;
    for mut visitor in [visitor(&proxy), refused] {
        visitor.cookies.extend(NEEDED.map(|name| (name.to_owned(), "v".to_owned())));
        let page = visitor.opens("/").await;
        let set: Vec<_> = page.all("set-cookie");
        assert_eq!(set, NEEDED.map(|name| format!("{name}=v; Path=/; HttpOnly")));
        let mut reached: Vec<_> =
            cookies(&origin.seen())[0].split("; ").map(str::to_owned).collect();
        let mut expected: Vec<_> = field.split("; ").map(str::to_owned).collect();
        reached.sort_unstable();
        expected.sort_unstable();
        assert_eq!(reached, expected);
    }
    // What is on record says why: they are necessary, not merely unknown.
    let lines = proxy.lines().await;
    assert!(lines.len() >= 60 && lines.iter().all(|line| line.verdict == "allow"));
    let unknown: Vec<_> = lines
        .iter()
        .filter(|line| line.reason != "necessary")
        .map(|line| line.what.as_str())
        .collect();
    assert_eq!(unknown, [] as [&str; 0], "the catalogue does not know these");
}
