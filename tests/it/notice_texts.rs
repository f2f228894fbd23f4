//! Every visitor is asked in their own language, in words that an operator can
//! change.

use crate::harness::{consentry, origin, visitor};
use crate::program::{Setup, runs};

use std::fs;

const PAGE: &str = "<!doctype html><title>Shop</title><p>Hello</p>";

async fn shop() -> crate::harness::Origin {
    origin().page("/", PAGE).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn e9_the_notice_and_our_pages_speak_the_visitors_language() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    for (wanted, lang, dir, refuse) in [
        ("de-AT,de;q=0.9,en;q=0.8", "de", "ltr", "Alles ablehnen"),
        ("fr", "fr", "ltr", "Tout refuser"),
        ("da, pl;q=0.3", "pl", "ltr", "Odrzuć wszystko"),
        ("ar-MA", "ar", "rtl", "رفض الكل"),
        ("xx", "en", "ltr", "Refuse all"),
    ] {
        let mut visitor = visitor(&proxy).sending("accept-language", wanted);
        let page = visitor.opens("/").await;
        let said = format!("lang=\"{lang}\" dir=\"{dir}\"");
        assert!(page.body.contains(&said), "{wanted}: {}", page.body);
        let choices = visitor.opens("/.consentry/choices").await.body;
        assert!(
            choices.contains(&format!("<html {said}")) && choices.contains(refuse),
            "{choices}"
        );
        let missing = visitor.opens("/.consentry/nothing").await.body;
        assert!(missing.contains(&format!("<html {said}")), "{missing}");
        // Afterwards, the link says it in the same language.
        visitor.chooses("none", &[]).await;
        let page = visitor.asks("GET", "/", &[("sec-fetch-dest", "document")], "").await;
        assert!(page.body.contains(&format!("id=\"csy-link\" {said}")), "{}", page.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e9_i3_no_cache_shows_a_notice_in_another_visitors_language() {
    let serve = |seen: crate::harness::Seen| {
        let known = seen.headers.get("if-none-match").is_some_and(|tag| tag == "\"v1\"");
        let response = http::Response::builder().header("etag", "\"v1\"");
        let response = response.header("content-type", "text/html; charset=utf-8");
        let (status, body) = if known { (304, "") } else { (200, PAGE) };
        response.status(status).body(http_body_util::Full::from(body)).unwrap()
    };
    let origin = origin().answer("/", serve).start().await;
    let proxy = consentry(&origin).start().await;
    let german = ("accept-language", "de");
    let page = visitor(&proxy).asks("GET", "/", &[german], "").await;
    assert!(page.field("vary").contains("Accept-Language"), "{}", page.field("vary"));
    assert!(page.field("cache-control").contains("private"));
    let tag = page.field("etag");
    for (wanted, status) in [("de-CH", 304), ("fr", 200), ("en", 200)] {
        let fields = [("accept-language", wanted), ("if-none-match", &*tag)];
        let page = visitor(&proxy).asks("GET", "/", &fields, "").await;
        assert_eq!(page.status, status, "{wanted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e9_an_operator_changes_a_text_and_adds_a_language() {
    let origin = shop().await;
    let proxy = consentry(&origin);
    let (german, danish) = (proxy.path("my-de.toml"), proxy.path("da.toml"));
    fs::write(&german, "lang = 'de'\nask = 'Erlauben Sie {operator} das?'\n").unwrap();
    let english = include_str!("../../config/texts/en.toml");
    fs::write(
        &danish,
        english
            .replace("lang = \"en\"", "lang = \"da\"")
            .replace("\"Refuse all\"", "\"Afvis alle\""),
    )
    .unwrap();
    let config = format!("[notice]\nlanguage = 'da'\ntexts = [{german:?}, {danish:?}]\n");
    let proxy = proxy.config(&config).site("operator = 'Kiosk'").start().await;
    let asks = async |wanted: &str| {
        visitor(&proxy).sending("accept-language", wanted).opens("/").await.body
    };
    let page = asks("de").await;
    assert!(page.contains("Erlauben Sie Kiosk das?") && page.contains("Alles ablehnen"), "{page}");
    assert!(asks("da-DK").await.contains("Afvis alle"));
    assert!(asks("sv").await.contains("Afvis alle"));
    assert!(asks("en").await.contains("Refuse all"));
}

#[test]
fn e9_a_mistake_in_a_text_file_is_shown_where_it_stands() {
    let setup = Setup::new("127.0.0.1:9".parse().unwrap(), "");
    let texts = setup.file("my-de.toml");
    let config = setup.file("consentry.toml");
    fs::write(&texts, "lang = 'de'\nrefuse_al = 'Nein'\n").unwrap();
    let site = "[[site]]\norigin = 'http://127.0.0.1:9'\n";
    for (text, expected) in [
        (
            format!("{site}[notice]\ntexts = [{texts:?}]\n"),
            &["my-de.toml:2:1", "`refuse_al`", "did you mean `refuse_all`?"][..],
        ),
        (
            format!("{site}[notice]\ntexts = ['/nowhere.toml']\n"),
            &["consentry.toml:4:10", "/nowhere.toml", "cannot be read"],
        ),
        (
            format!("{site}[notice]\nlanguage = 'xx'\n"),
            &["consentry.toml:4:12", "`xx`", "it can be en, de, fr"],
        ),
    ] {
        fs::write(&config, text).unwrap();
        let (code, said) = runs(&["check", "--config", config.to_str().unwrap()]);
        assert_eq!(code, 78, "{said}");
        assert!(expected.iter().all(|words| said.contains(words)), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e9_a_bad_text_file_leaves_the_running_texts_alone() {
    let origin = shop().await;
    let setup = Setup::new(origin.address, "");
    let texts = setup.file("my-en.toml");
    setup.configure(origin.address, &format!("[notice]\ntexts = [{texts:?}]\n"));
    let say =
        |text: &str| fs::write(&texts, format!("lang = 'en'\nrefuse_all = {text}\n")).unwrap();
    say("'No, thanks'");
    let mut program = setup.start();
    let address = program.address;
    let opens = async || crate::harness::visitor_at(address).opens("/").await.body;
    assert!(opens().await.contains("No, thanks"));
    say("5");
    let refused = program.refuses_to_reload();
    assert!(refused.contains("my-en.toml:2:14"), "{refused}");
    assert!(opens().await.contains("No, thanks"));
    say("'Refuse everything'");
    program.reloads();
    assert!(opens().await.contains("Refuse everything"));
}
