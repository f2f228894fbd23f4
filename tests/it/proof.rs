//! Every choice can be proved, and nobody can be found by it.

mod me;
mod schema;

use crate::harness::{Page, Visitor, consentry, origin, visitor, visitor_at};
use crate::program::{Setup, files_under, runs};

use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// The number of the visitor's receipt, from their own page.
pub(crate) async fn receipt(visitor: &mut Visitor) -> String {
    number_on(&visitor.opens("/.consentry/me").await.body).unwrap()
}

/// The number that stands on the visitor's own page: 32 digits alone.
pub(crate) fn number_on(page: &str) -> Option<String> {
    let codes = page.split("<code>").skip(1).filter_map(|text| text.split_once("</code>"));
    codes
        .map(|(code, _)| code.to_owned())
        .find(|code| code.len() == 32 && code.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Sends a form to the page of choices, as one of our pages would.
async fn sends(visitor: &mut Visitor, host: &str, form: &str) -> Page {
    let origin = format!("http://{host}");
    let fields =
        [("content-type", "application/x-www-form-urlencoded"), ("origin", origin.as_str())];
    visitor.asks("POST", "/.consentry/choices", &fields, form).await
}

fn proves(ledger: &Path, words: &[&str]) -> (i32, String) {
    let ledger = ledger.to_str().unwrap();
    runs(&[&["proof", "--ledger", ledger], words].concat())
}

/// Waits until the receipt is in the database, and gives it as JSON.
pub(crate) fn proof(ledger: &Path, number: &str) -> Value {
    let since = Instant::now();
    loop {
        let (code, said) = proves(ledger, &[number, "--json"]);
        if code == 0 {
            return serde_json::from_str(&said).unwrap();
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{said}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_every_choice_has_its_receipt_even_when_the_program_is_killed() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let setup = Setup::new(origin.address, "");
    let mut program = setup.start();
    let host = program.address.to_string();
    let mut visitor = visitor_at(program.address).sending("accept-language", "de");
    let mut with_gpc = visitor_at(program.address).sending("sec-gpc", "1");
    let mut numbers = Vec::new();
    for form in [
        "choice=some&purpose=analytics&by=choices",
        "choice=all&by=notice",
        "choice=some&purpose=analytics&purpose=functional&vendor=refuse%3Aacme-stats&by=choices",
        "choice=none&by=me",
        "choice=none",
    ] {
        assert_eq!(sends(&mut visitor, &host, form).await.status, 303, "{form}");
        numbers.push(receipt(&mut visitor).await);
    }
    assert_eq!(sends(&mut with_gpc, &host, "choice=all&by=script").await.status, 303);
    numbers.push(receipt(&mut with_gpc).await);
    // Not a moment to store anything.
    program.signal("KILL");
    assert_eq!(program.ends().code(), None);
    let _program = setup.start();
    let told: Vec<String> = numbers
        .iter()
        .map(|number| {
            let proof = proof(&setup.ledger(), number);
            let text = |key: &str| proof[key].as_str().unwrap().to_owned();
            let gpc = if proof["gpc"] == true { " gpc" } else { "" };
            format!(
                "{} {} {}{gpc} {}",
                text("act"),
                text("method"),
                text("language"),
                proof["vendors_refused"]
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "partial choices de []",
            "accept notice de []",
            "withdraw choices de [\"acme-stats\"]",
            "withdraw me de []",
            "refuse form de []",
            "accept script en gpc []",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_neither_database_nor_spool_knows_who_chose() {
    let origin = origin().page("/", "<script src=//ads.acme.example/p.js></script>").start().await;
    let proxy =
        consentry(&origin).config("[listener]\ntrusted_proxies = [\"127.0.0.1/32\"]").start().await;
    let host = proxy.address.to_string();
    let mut visitor = visitor(&proxy)
        .sending("user-agent", "Peculiar/7.1 (Toaster)")
        .sending("x-forwarded-for", "203.0.113.77")
        .sending("referer", &format!("http://{host}/secret?who=somebody"))
        .holding("session", "s3cr3t-session");
    visitor.opens("/?email=somebody%40mail.example").await;
    let form =
        "choice=all&by=notice&return_to=%2F%3Femail%3Dsomebody%2540mail.example&x=typed-text";
    assert_eq!(sends(&mut visitor, &host, form).await.status, 303);
    let first = receipt(&mut visitor).await;
    let cookie = visitor.cookies["consentry"].clone();
    assert_eq!(sends(&mut visitor, &host, "choice=none&by=notice").await.status, 303);
    let second = receipt(&mut visitor).await;
    proxy.running().ledger.flush().unwrap();
    let ledger = proxy.directory().join("ledger.db");
    assert_eq!(proof(&ledger, &first)["act"], "accept");
    let mut looked_at = 0;
    for (path, bytes) in files_under(proxy.directory()) {
        let name = path.to_str().unwrap();
        // The way to the dashboard names the dashboard's own address.
        if !name.contains("ledger.db") || name.ends_with(".dashboard-link") {
            continue;
        }
        looked_at += 1;
        for secret in [
            "203.0.113.77",
            "Peculiar",
            "Toaster",
            "s3cr3t-session",
            "somebody",
            "typed-text",
            "127.0.0.1",
            cookie.as_str(),
        ] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {}", path.display());
        }
    }
    assert!(looked_at >= 3, "database, its log and a spool");
    let shown = proof(&ledger, &second).to_string();
    assert!(!shown.contains(&first), "nothing leads from one choice to another: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_an_older_receipt_is_proved_with_the_words_of_its_day() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let setup = Setup::new(origin.address, "");
    let file = setup.file("my-en.toml");
    let asks = |words: &str| std::fs::write(&file, format!("lang = \"en\"\nask = \"{words}\"\n"));
    let sections = |revision: u32| {
        format!("[notice]\ntexts = [{:?}]\n[consent]\nnotice_revision = {revision}\n", file)
    };
    asks("May {operator} tell its friends?").unwrap();
    setup.configure(origin.address, &sections(1));
    let mut program = setup.start();
    let mut visitor = visitor_at(program.address);
    let host = program.address.to_string();
    sends(&mut visitor, &host, "choice=all&by=notice").await;
    let older = receipt(&mut visitor).await;
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));

    asks("May {operator} tell everybody?").unwrap();
    setup.configure(origin.address, &sections(2));
    let program = setup.start();
    let mut visitor = visitor_at(program.address);
    let host = program.address.to_string();
    sends(&mut visitor, &host, "choice=none&by=notice").await;
    let newer = receipt(&mut visitor).await;
    for (number, revision, words) in
        [(&older, 1, "tell its friends?"), (&newer, 2, "tell everybody?")]
    {
        let proof = proof(&setup.ledger(), number);
        // The words are the operator's own, so the number stands for them, too.
        assert!(proof["notice_revision"].as_u64().unwrap() > revision, "{proof}");
        assert!(proof["notice"]["text"].to_string().contains(words), "{proof}");
        let html = setup.file("notice.html");
        let (code, said) = proves(&setup.ledger(), &[number, "--html", html.to_str().unwrap()]);
        assert!(code == 0 && said.contains(words), "{said}");
        let html = std::fs::read_to_string(html).unwrap();
        assert!(html.contains(words) && html.contains("<form"), "{html}");
        let hash = consentry::ledger::receipt::hash_of(&html);
        assert_eq!(proof["notice"]["sha256"], consentry::ledger::receipt::hex(&hash));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_receipt_names_no_notice_that_the_visitor_never_saw() {
    let origin = origin().page("/", "<!doctype html><body><p>Hello</p></body>").start().await;
    let setup = Setup::new(origin.address, "");
    let mut program = setup.start();
    let host = program.address.to_string();
    let mut visitor = visitor_at(program.address);
    let page = visitor.opens("/").await.body;
    let form = page.split("<form").nth(1).unwrap().split("</form>").next().unwrap();
    assert!(form.contains("name=\"revision\" value=\"1\""), "{form}");
    setup.configure(origin.address, "[consent]\nnotice_revision = 2\n");
    program.reloads();
    for yes in
        ["choice=all", "choice=some&purpose=analytics", "choice=vendor&vendor=allow:acme-ads"]
    {
        let answer = sends(&mut visitor, &host, &format!("{yes}&by=notice&revision=1")).await;
        assert_eq!(answer.status, 409, "{yes}");
        assert!(answer.body.contains("name=\"revision\" value=\"2\""), "{}", answer.body);
        assert!(visitor.cookies.is_empty(), "{:?}", visitor.cookies);
    }
    // A "no" counts, and its receipt claims no words.
    let answer = sends(&mut visitor, &host, "choice=none&by=notice&revision=1").await;
    assert_eq!(answer.status, 303);
    let refused = proof(&setup.ledger(), &receipt(&mut visitor).await);
    assert_eq!(refused["notice_revision"], 1, "{refused}");
    assert_eq!((&refused["notice"]["sha256"], &refused["act"]), (&Value::Null, &"refuse".into()));
    sends(&mut visitor, &host, "choice=all&by=notice&revision=2").await;
    let agreed = proof(&setup.ledger(), &receipt(&mut visitor).await);
    assert_eq!(agreed["notice_revision"], 2, "{agreed}");
    assert!(agreed["notice"]["sha256"].is_string(), "{agreed}");
    // A form of the operator's own says nothing of it, and where it stood it does not say either.
    sends(&mut visitor, &host, "choice=all").await;
    let own = proof(&setup.ledger(), &receipt(&mut visitor).await);
    assert_eq!((&own["method"], &own["notice_revision"]), (&"form".into(), &2.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_choice_about_one_vendor_is_no_new_yes_to_everything() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let setup = Setup::new(origin.address, "");
    let program = setup.start();
    let host = program.address.to_string();
    let mut visitor = visitor_at(program.address);
    sends(&mut visitor, &host, "choice=all&by=notice").await;
    let before = proof(&setup.ledger(), &receipt(&mut visitor).await);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    sends(&mut visitor, &host, "choice=vendor&vendor=allow:acme-maps&by=placeholder").await;
    let about_one = proof(&setup.ledger(), &receipt(&mut visitor).await);
    assert_eq!(about_one["act"], "vendor", "{about_one}");
    assert_ne!(about_one["time"], before["time"], "the receipt's time is its own");
    let whole = 180 * 24 * 60 * 60;
    let left = about_one["valid_s"].as_u64().unwrap();
    assert!(left < whole && left > whole - 600, "{left}");
    sends(&mut visitor, &host, "choice=vendor&vendor=refuse:acme-maps&by=placeholder").await;
    let taken_back = proof(&setup.ledger(), &receipt(&mut visitor).await);
    assert_eq!(taken_back["act"], "withdraw", "{taken_back}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_what_a_site_can_ask_is_archived_before_anybody_answers() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let setup = Setup::new(origin.address, "");
    let program = setup.start();
    let archived = || -> Vec<String> {
        let ledger = rusqlite::Connection::open(setup.ledger()).unwrap();
        let sql = "SELECT language || ' ' || layer || ' ' || gpc || ' ' || revision FROM notice";
        let mut query = ledger.prepare(sql).unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let since = Instant::now();
    while archived().len() < 32 && since.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(200));
    }
    let before = archived();
    for expected in ["en notice 0 1", "en choices 0 1", "de notice 1 1", "ar choices 1 1"] {
        assert!(before.iter().any(|notice| notice == expected), "{expected}: {before:?}");
    }
    // On reload, only what is new.
    std::fs::write(setup.file("my-en.toml"), "lang = \"en\"\nask = \"May we, {operator}?\"\n")
        .unwrap();
    let sections = format!("[notice]\ntexts = [{:?}]\n", setup.file("my-en.toml"));
    setup.configure(origin.address, &sections);
    program.signal("HUP");
    let since = Instant::now();
    while archived().len() == before.len() && since.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(archived().iter().filter(|notice| notice.starts_with("en notice 0")).count() == 2);
    assert_eq!(
        archived().iter().filter(|notice| notice.starts_with("de ")).count(),
        before.iter().filter(|notice| notice.starts_with("de ")).count()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_what_is_exported_fits_the_schema() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let proxy = consentry(&origin)
        .site("operator = \"The Shop Ltd\"\npolicy_url = \"https://shop.example/privacy\"")
        .start()
        .await;
    let host = proxy.address.to_string();
    for form in [
        "choice=all&by=notice",
        "choice=none&by=choices",
        "choice=some&purpose=analytics&vendor=allow%3Aacme-ads&by=choices",
        "choice=vendor&vendor=allow%3Aacme-maps&by=placeholder",
    ] {
        sends(&mut visitor(&proxy), &host, form).await;
    }
    proxy.running().ledger.flush().unwrap();
    let ledger = proxy.directory().join("ledger.db");
    let (code, said) = proves(&ledger, &["--all", "--format", "27560"]);
    assert_eq!((code, said.lines().count()), (0, 4), "{said}");
    let schema = schema::ours();
    for line in said.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(schema::faults(&schema, &record), [] as [String; 0]);
        assert_eq!(record["party_identification"][0]["party_name"], "The Shop Ltd");
        // The schema notices what is wrong.
        for (path, value) in [
            ("/header/record_id", Value::from("short")),
            ("/event/event_state", Value::from("perhaps")),
            ("/event/event_time", Value::from(7)),
            ("/pii_processing/purposes/0/lawful_basis", Value::from("guesswork")),
            ("/pii_processing/recipient_third_parties/allowed", Value::from("acme")),
        ] {
            let mut wrong = record.clone();
            *wrong.pointer_mut(path).unwrap() = value;
            assert!(!schema::faults(&schema, &wrong).is_empty(), "{path}");
        }
        let mut more = record.clone();
        more["header"]["visitor"] = "somebody".into();
        assert!(!schema::faults(&schema, &more).is_empty(), "no room for a visitor");
    }
}
