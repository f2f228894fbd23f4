//! Choosing and choosing again, with nothing but pages, links and forms.

use crate::harness::{Origin, Page, Proxy, Visitor, consentry, origin, visitor};
use crate::reading::{Element, elements, tags};

use http::Response;
use http_body_util::Full;
use url::form_urlencoded;

const PAGE: &str = "<p>Hello</p><script src=\"https://ads.acme.example/p.js\"></script>\
                    <img src=\"https://stats.acme.example/i.gif\">";
const ADS: &str = "ads.acme.example/p.js";
const STATS: &str = "stats.acme.example/i.gif";
const NOTICE: &str = "id=\"csy-ask\"";
const LINK: &str = "id=\"csy-link\"";

async fn shop() -> Origin {
    origin().page("/", PAGE).page("/shoes", PAGE).page("/cart", PAGE).start().await
}

/// Somebody with a browser: it says what a request is for.
fn person(proxy: &Proxy) -> Visitor {
    visitor(proxy).sending("sec-fetch-dest", "document").sending("accept", "text/html,*/*;q=0.8")
}

/// The path of an address that must be on the proxy itself.
fn path(address: &str, proxy: &Proxy) -> String {
    let here = format!("http://{}/", proxy.address);
    let base = url::Url::parse(&here).unwrap();
    let there = base.join(address).unwrap();
    assert_eq!(there.origin(), base.origin(), "{address}");
    there[url::Position::BeforePath..].to_owned()
}

/// A form as it stands on a page.
struct Form {
    action: String,
    fields: Vec<Element>,
}

/// The forms of a page, with their inputs and buttons.
fn forms(html: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    for element in elements(html, false) {
        match element.name.as_str() {
            "form" => {
                assert_eq!(element.value("method"), "post");
                forms.push(Form { action: element.value("action").to_owned(), fields: Vec::new() });
            }
            "input" | "button" => forms.last_mut().unwrap().fields.push(element),
            _ => {}
        }
    }
    forms
}

/// Sends the form that has the button, the way a browser without scripts does:
/// hidden fields, ticked boxes, and the button itself.
async fn press(
    visitor: &mut Visitor,
    proxy: &Proxy,
    page: &Page,
    button: &str,
    ticked: &[&str],
) -> Page {
    let labelled = |field: &&Element| field.name == "button" && field.text.trim() == button;
    let (form, button) = forms(&page.body)
        .into_iter()
        .find_map(|form| {
            let found = form.fields.iter().find(labelled)?.clone();
            Some((form, found))
        })
        .unwrap_or_else(|| panic!("no button `{button}` on\n{}", page.body));
    let mut body = form_urlencoded::Serializer::new(String::new());
    for field in &form.fields {
        let sent = match field.get("type") {
            Some("hidden") => true,
            Some("checkbox") => ticked.contains(&field.value("value")),
            _ => false,
        };
        if sent {
            body.append_pair(field.value("name"), field.value("value"));
        }
    }
    body.append_pair(button.value("name"), button.value("value"));
    let origin = format!("http://{}", proxy.address);
    let fields =
        [("content-type", "application/x-www-form-urlencoded"), ("origin", origin.as_str())];
    visitor.asks("POST", &path(&form.action, proxy), &fields, &body.finish()).await
}

/// Follows the link with that text.
async fn follow(visitor: &mut Visitor, proxy: &Proxy, page: &Page, text: &str) -> Page {
    let links = tags(&page.body, "a");
    let link = links
        .iter()
        .find(|link| link.text.trim() == text)
        .unwrap_or_else(|| panic!("no link `{text}`"));
    visitor.opens(&path(link.value("href"), proxy)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn e1_a_visitor_chooses_one_purpose_with_forms_alone() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let mut person = person(&proxy);
    let page = person.opens("/shoes?size=42&color=red").await;
    assert!(!page.body.contains(ADS) && !page.body.contains(STATS));
    let choices = follow(&mut person, &proxy, &page, "Choose one by one").await;
    assert_eq!(choices.status, 200);
    let answer = press(&mut person, &proxy, &choices, "Save my selection", &["analytics"]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("location").as_str()),
        (303, "/shoes?size=42&color=red")
    );
    let page = person.opens(&answer.field("location")).await;
    assert!(page.body.contains(STATS) && !page.body.contains(ADS), "{}", page.body);

    // The page with the choices says so, and takes another choice.
    let choices = follow(&mut person, &proxy, &page, "Privacy choices").await;
    let ticked: Vec<_> = tags(&choices.body, "input")
        .into_iter()
        .filter(|input| input.get("checked").is_some())
        .map(|input| input.value("value").to_owned())
        .collect();
    assert_eq!(ticked, ["analytics"]);
    let answer = press(&mut person, &proxy, &choices, "Save my selection", &["marketing"]).await;
    assert_eq!(answer.field("location"), "/shoes?size=42&color=red");
    let page = person.opens("/shoes").await;
    assert!(!page.body.contains(STATS) && page.body.contains(ADS));
}

#[tokio::test(flavor = "multi_thread")]
async fn e1_the_notice_needs_no_script_whatever_base_the_page_has() {
    let with_base = format!("<base href=\"https://cdn.elsewhere.example/x/\">{PAGE}");
    let origin = origin().page("/", &with_base).start().await;
    let proxy = consentry(&origin).start().await;
    let mut person = person(&proxy);
    let page = person.opens("/").await;
    let base = url::Url::parse("http://cdn.elsewhere.example/x/").unwrap();
    let action = base.join(&forms(&page.body)[0].action).unwrap();
    assert_eq!(action.as_str(), format!("http://{}/.consentry/choices", proxy.address));
    assert_eq!(press(&mut person, &proxy, &page, "Refuse all", &[]).await.status, 303);
    let page = person.opens("/").await;
    let link = tags(&page.body, "a").pop().unwrap();
    let there = base.join(link.value("href")).unwrap();
    let expected = format!("http://{}/.consentry/choices?return_to=/&seen=", proxy.address);
    assert!(there.as_str().starts_with(&expected), "{there}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e1_nobody_is_sent_to_another_site() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let from = format!("http://{}", proxy.address);
    let fields = [("content-type", "application/x-www-form-urlencoded"), ("origin", from.as_str())];
    for (return_to, expected) in [
        ("/shoes?a=b&c", "/shoes?a=b&c"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/.//evil.example", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("/.consentry/state", "/"),
        ("evil", "/"),
    ] {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("choice", "none"), ("return_to", return_to)])
            .finish();
        let page = visitor(&proxy).asks("POST", "/.consentry/choices", &fields, &body).await;
        assert_eq!(
            (page.status.as_u16(), page.field("location").as_str()),
            (303, expected),
            "{return_to:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e1_nobody_chooses_for_the_visitor() {
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");
    let origin = shop().await;
    let proxy =
        consentry(&origin).site("name = \"shop\"\nhosts = [\"shop.example\"]").start().await;
    let ours = ("origin", "http://shop.example");
    let all = "choice=all&return_to=%2F";
    for (fields, body, status) in [
        (vec![ours, FORM], all, 303),
        (vec![ours, SAME, FORM], all, 303),
        (vec![SAME, FORM], all, 303),
        (vec![("referer", "http://shop.example/shoes"), FORM], all, 303),
        // Browsers write `null` on pages with `Referrer-Policy: no-referrer`.
        (vec![("origin", "null"), SAME, FORM], all, 303),
        (vec![("origin", "null"), FORM], all, 403),
        (vec![("origin", "null"), ("sec-fetch-site", "cross-site"), FORM], all, 403),
        (vec![FORM], all, 403),
        (vec![("origin", "http://evil.example"), FORM], all, 403),
        (vec![("origin", "http://evil.example"), SAME, FORM], all, 403),
        (
            vec![("origin", "http://sub.shop.example"), ("sec-fetch-site", "same-site"), FORM],
            all,
            403,
        ),
        (vec![("origin", "http://shop.example.evil.example"), FORM], all, 403),
        (vec![("origin", "http://shop.example:81"), FORM], all, 403),
        (vec![ours, ("sec-fetch-site", "cross-site"), FORM], all, 403),
        (vec![ours, ("origin", "http://evil.example"), FORM], all, 403),
        (vec![("referer", "http://evil.example/?http://shop.example/"), FORM], all, 403),
        (vec![ours, SAME, ("sec-purpose", "prefetch"), FORM], all, 403),
        (vec![ours, SAME, ("sec-purpose", "prefetch;prerender"), FORM], all, 403),
        (vec![ours, SAME, ("sec-fetch-dest", "iframe"), FORM], all, 403),
        (vec![ours], all, 415),
        (vec![ours, ("content-type", "text/plain")], all, 415),
        (vec![ours, ("content-type", "application/json")], "{\"choice\":\"all\"}", 415),
        (vec![ours, FORM], "", 400),
        (vec![ours, FORM], "choice=yes", 400),
        (vec![ours, FORM], "choice=all&choice=none", 400),
        (vec![ours, FORM], "choice=some&purpose=everything", 400),
    ] {
        let mut visitor = visitor(&proxy).at_host("shop.example");
        let page = visitor.asks("POST", "/.consentry/choices", &fields, body).await;
        assert_eq!(page.status, status, "{fields:?} {body}");
        assert_eq!(visitor.cookies.contains_key("consentry"), status == 303, "{fields:?}");
        assert_eq!(visitor.opens("/").await.body.contains(ADS), status == 303, "{fields:?}");
    }
    let long = format!("choice=all&x={}", "x".repeat(200_000));
    let page = visitor(&proxy)
        .at_host("shop.example")
        .asks("POST", "/.consentry/choices", &[ours, FORM], &long)
        .await;
    assert_eq!(page.status, 413);
    assert_eq!(page.all("set-cookie"), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn e1_a_refused_choice_can_be_made_again_on_the_spot() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let mut person = person(&proxy);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let body = "choice=all&return_to=%2Fshoes";
    let page = person.asks("POST", "/.consentry/choices", &[form, ("origin", "null")], body).await;
    assert_eq!(page.status, 403);
    // This page lets the browser say where the next form comes from.
    assert_eq!(page.field("referrer-policy"), "same-origin");
    let answer = press(&mut person, &proxy, &page, "Refuse all", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.field("location").as_str()), (303, "/shoes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn e2_refusing_and_accepting_take_one_click_on_equal_buttons() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let notice = person(&proxy).opens("/").await;
    let choices = person(&proxy).opens("/.consentry/choices").await;
    for page in [&notice, &choices] {
        let buttons = tags(&page.body, "button");
        let answer = |text: &str| buttons.iter().find(|button| button.text == text).unwrap();
        let (refuse, accept) = (answer("Refuse all"), answer("Accept all"));
        let but_value = |button: &Element| -> Vec<_> {
            button.attributes.iter().filter(|(name, _)| name != "value").cloned().collect()
        };
        assert_eq!(but_value(refuse), but_value(accept));
        assert!(tags(&page.body, "input").iter().all(|input| input.get("checked").is_none()));
        // One click each, from the same page.
        for (button, granted) in [("Refuse all", false), ("Accept all", true)] {
            let mut person = person(&proxy);
            assert_eq!(press(&mut person, &proxy, page, button, &[]).await.status, 303);
            assert_eq!(person.opens("/").await.body.contains(ADS), granted);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e3_only_an_answer_is_an_answer() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let mut person = person(&proxy);
    let undecided = |page: &Page| {
        assert!(page.body.contains(NOTICE) && !page.body.contains(ADS), "{}", page.body);
    };
    // Reloading, going from page to page, leaving and coming back.
    for path in ["/", "/", "/shoes", "/cart", "/shoes?page=2", "/"] {
        undecided(&person.opens(path).await);
    }
    let again = person.clone();
    drop(person);
    let mut person = again;
    undecided(&person.opens("/").await);
    // Looking at the choices, and whatever stands in an address.
    for path in [
        "/.consentry/choices",
        "/.consentry/choices?choice=all",
        "/.consentry/choices?choice=all&purpose=marketing&_method=post",
        "/.consentry/me",
        "/.consentry/state",
        "/?choice=all&consentry=all",
    ] {
        person.opens(path).await;
        undecided(&person.opens("/").await);
    }
    for method in ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let from = format!("http://{}", proxy.address);
        person.asks(method, "/.consentry/choices", &[("origin", &from)], "choice=all").await;
        undecided(&person.opens("/").await);
    }
    assert!(person.cookies.is_empty());
    assert!(proxy.lines().await.iter().all(|line| line.undecided && line.signal == "silence"));
}

#[tokio::test(flavor = "multi_thread")]
async fn e12_whoever_refused_is_not_asked_again() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let mut person = person(&proxy);
    let page = person.opens("/").await;
    press(&mut person, &proxy, &page, "Refuse all", &[]).await;
    let mut asked = 0;
    for view in 0..100 {
        let page = person.opens(["/", "/shoes", "/cart"][view % 3]).await;
        asked += usize::from(page.body.contains(NOTICE));
        assert!(page.body.contains(LINK), "but the way back stays open");
    }
    assert_eq!(asked, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn e4_the_way_back_is_on_every_page() {
    let page = |status: u16, html: &'static str| {
        move |_| {
            Response::builder()
                .status(status)
                .header("content-type", "text/html; charset=utf-8")
                .body(Full::from(html))
                .unwrap()
        }
    };
    let origin = origin()
        .page("/", PAGE)
        .page(
            "/whole",
            "<!doctype html><html><head><title>x</title></head><body><p>Hello</p></body></html>",
        )
        .page("/plain", "<p>nothing to withhold here")
        .page("/empty", "")
        .page("/nested", "<div><p>never closed")
        .answer("/missing", page(404, "<h1>Not here</h1>"))
        .answer("/broken", page(500, "<h1>Sorry</h1>"))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    for choice in ["all", "none"] {
        let mut person = person(&proxy);
        person.chooses(choice, &[]).await;
        for path in ["/", "/whole", "/plain", "/empty", "/nested", "/missing", "/broken"] {
            let page = person.opens(&format!("{path}?a=1&b=2")).await;
            assert!(
                page.body.contains(LINK) && !page.body.contains(NOTICE),
                "{choice} {path}: {}",
                page.body
            );
            let links = tags(&page.body, "a");
            assert_eq!(links.len(), 1);
            let choices = follow(&mut person, &proxy, &page, "Privacy choices").await;
            let back = tags(&choices.body, "a")
                .into_iter()
                .find(|a| a.text == "Back to the page")
                .unwrap();
            assert_eq!(back.value("href"), format!("{path}?a=1&b=2"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e4_withdrawing_counts_from_the_very_next_answer() {
    let origin = origin()
        .answer("/", |_| {
            Response::builder()
                .header("content-type", "text/html")
                .header("etag", "\"v1\"")
                .header("cache-control", "public, max-age=3600")
                .header("set-cookie", "_acme=1; Path=/; HttpOnly")
                .header("set-cookie", "sid=1; Path=/; HttpOnly")
                .body(Full::from(PAGE))
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut person = person(&proxy);
    let page = person.opens("/").await;
    press(&mut person, &proxy, &page, "Accept all", &[]).await;
    let granted = person.opens("/").await;
    assert!(granted.body.contains(ADS) && person.cookies.contains_key("_acme"));
    // No browser may show this page again without asking.
    assert!(
        granted.field("cache-control").contains("no-cache"),
        "{}",
        granted.field("cache-control")
    );

    // The same two clicks as for changing one's mind the other way: link, button.
    let choices = follow(&mut person, &proxy, &granted, "Privacy choices").await;
    let answer = press(&mut person, &proxy, &choices, "Refuse all", &[]).await;
    assert!(
        answer
            .all("set-cookie")
            .iter()
            .any(|field| field.starts_with("_acme=; ") && field.contains("Max-Age=0"))
    );
    assert_eq!(person.cookies.keys().collect::<Vec<_>>(), ["consentry", "sid"]);
    let etag = granted.field("etag");
    let page = person.asks("GET", &answer.field("location"), &[("if-none-match", &etag)], "").await;
    assert_eq!(page.status, 200, "what the browser kept is not good any more");
    assert!(!page.body.contains(ADS) && !page.body.contains(STATS));
    assert_eq!(page.all("set-cookie"), ["sid=1; Path=/; HttpOnly"]);
    let seen = origin.seen().pop().unwrap();
    assert_eq!(
        seen.headers["consentry-consent"],
        "functional=0, analytics=0, personalization=0, marketing=0"
    );

    // And back, as easily.
    let choices = follow(&mut person, &proxy, &page, "Privacy choices").await;
    press(&mut person, &proxy, &choices, "Accept all", &[]).await;
    assert!(person.opens("/").await.body.contains(ADS));
}

#[tokio::test(flavor = "multi_thread")]
async fn e4_a_page_that_a_program_fetches_gets_no_link() {
    let origin = origin().page("/", "<p>nothing to withhold").start().await;
    let proxy = consentry(&origin).start().await;
    let mut person = visitor(&proxy);
    person.chooses("none", &[]).await;
    for (name, value) in [
        ("accept", "application/json"),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-dest", "iframe"),
        ("x-requested-with", "XMLHttpRequest"),
    ] {
        let page = person.clone().sending(name, value).opens("/").await;
        assert_eq!(page.body, "<p>nothing to withhold", "{name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d11_the_origin_can_tell_our_statement_from_anybody_elses() {
    let origin = shop().await;
    let builder = consentry(&origin);
    let key = builder.path("statement.key");
    std::fs::write(&key, "0c".repeat(32)).unwrap();
    let proxy = builder
        .config(&format!("[origin]\nstatement_key_file = \"{}\"", key.display()))
        .start()
        .await;
    let mut person = visitor(&proxy)
        .sending("consentry-consent", "marketing=1")
        .sending("signature", "consentry=:Zm9yZ2Vk:");
    person.opens("/shoes?a=b").await;
    let seen = origin.seen().pop().unwrap();
    let said: Vec<_> = seen.headers.get_all("consentry-consent").iter().collect();
    assert_eq!(said, ["functional=0, analytics=0, personalization=0, marketing=0"]);
    let input = seen.headers["signature-input"].to_str().unwrap();
    let parameters = input.strip_prefix("consentry=").unwrap();
    let base = format!(
        "\"consentry-consent\": {}\n\"@method\": GET\n\"@path\": /shoes\n\"@signature-params\": {parameters}",
        said[0].to_str().unwrap()
    );
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(&[12; 32]).unwrap();
    hmac::Mac::update(&mut mac, base.as_bytes());
    let expected = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        hmac::Mac::finalize(mac).into_bytes(),
    );
    let signature = seen.headers.get_all("signature").iter().next_back().unwrap();
    assert_eq!(signature.to_str().unwrap(), format!("consentry=:{expected}:"));
}
