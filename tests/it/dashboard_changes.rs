//! What is changed on the dashboard: classification, ownership, exceptions,
//! and the trail that all of it leaves.

use crate::dashboard::{form, people, sends, signed_in};
use crate::harness::{Origin, Page, Visitor, origin, visitor_at};
use crate::program::{Program, Setup};

use consentry::ledger::audit::{Audit, AuditFilter};
use consentry::ledger::read::Reader;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const HOST: &str = "px.newcomer.example";

/// A page with a third party that nobody knows, and one that is known.
async fn shop() -> Origin {
    let page = format!(
        "<p>Hello</p><script src=\"https://{HOST}/p.js\"></script><script src=\"https://ads.acme.example/a.js\"></script>"
    );
    origin().page("/", &page).start().await
}

/// The proxy in front of it, with Ana the officer and Ben the operator.
struct Office {
    setup: Setup,
    program: Program,
    _origin: Origin,
}

impl Office {
    async fn open(sections: &str) -> Self {
        let origin = shop().await;
        let setup = Setup::new(origin.address, &format!("{}{sections}", people()));
        let program = setup.start();
        Self { setup, program, _origin: origin }
    }

    /// Whether a visitor who chose nothing gets the newcomer's script.
    async fn lets_through(&self, what: &str) -> bool {
        visitor_at(self.program.address).opens("/").await.body.contains(what)
    }

    async fn signs_in(&self, name: &str) -> Visitor {
        signed_in(self.program.admin, name).await
    }

    /// Whether the admin listener answers at all.
    async fn asks_health(&self) -> u16 {
        let mut anybody = visitor_at(self.program.admin);
        let page = tokio::time::timeout(Duration::from_secs(30), anybody.opens("/livez"));
        page.await.expect("nobody answers").status.as_u16()
    }

    fn classified(&self) -> String {
        let path = self.setup.file("data/ledger.db.classified.toml");
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// What somebody did, as soon as it can be read.
    fn audit(&self, act: &str, about: &str) -> Audit {
        audits(&self.setup.ledger(), act)
            .into_iter()
            .rev()
            .find(|audit| audit.about == about)
            .unwrap()
    }
}

fn audits(ledger: &Path, act: &str) -> Vec<Audit> {
    let filter = AuditFilter { act: Some(act.to_owned()), ..AuditFilter::default() };
    for _ in 0..600 {
        let found = Reader::open(ledger).unwrap().audits(&filter, 100).unwrap();
        if !found.is_empty() {
            return found.into_iter().map(|found| found.audit).collect();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody is on record to {act}");
}

const NEW_VENDOR: [(&str, &str); 9] = [
    ("host", HOST),
    ("vendor", ""),
    ("name", "Newcomer Pixels"),
    ("company", "Newcomer Ltd."),
    ("purpose", "marketing"),
    ("about", "Follows visitors to show them ads."),
    ("source", "https://newcomer.example/privacy"),
    ("owner", "Cleo, marketing"),
    ("reason", "the spring campaign"),
];

fn with<'f>(fields: &[(&'f str, &'f str)], more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let kept = fields.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    kept.chain(more).copied().collect()
}

fn found(page: &Page) -> (u16, String) {
    (page.status.as_u16(), page.field("location"))
}

/// Whether the newcomer waits for somebody to say whose it is, on the page and
/// for programs.
async fn waits(officer: &mut Visitor) -> (bool, bool) {
    let on_page = officer.opens("/new").await.body.contains(&format!("\"/classify?host={HOST}\""));
    (on_page, officer.opens("/api/v1/unlisted").await.body.contains(HOST))
}

const REVIEW: (&str, &str) = ("review", "2099-12-31");

#[tokio::test(flavor = "multi_thread")]
async fn g5_a_host_is_classified_and_the_next_page_view_withholds_it() {
    let mut office = Office::open("").await;
    assert!(office.lets_through(HOST).await, "nobody knows it yet");
    assert!(!office.lets_through("ads.acme.example").await);
    let mut ana = office.signs_in("ana").await;
    // What was met can be read seconds later.
    let since = Instant::now();
    while waits(&mut ana).await != (true, true) {
        assert!(since.elapsed() < Duration::from_secs(30), "nobody is told of it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let page = ana.opens(&format!("/classify?host={HOST}")).await;
    assert!(
        page.status == 200 && page.body.contains("Nobody in the catalogue knows"),
        "{}",
        page.body
    );

    let page = sends(&mut ana, "/classify", &with(&NEW_VENDOR, &[REVIEW])).await;
    assert_eq!(found(&page), (303, format!("/classify?host={HOST}")), "{}", page.body);
    assert_eq!(waits(&mut ana).await, (false, false), "somebody said whose it is");
    assert!(!office.lets_through(HOST).await, "it is withheld from the next view on");
    let page = ana.opens(&format!("/classify?host={HOST}")).await;
    assert!(
        page.body.contains("Newcomer Pixels") && page.body.contains("newcomer-pixels"),
        "{}",
        page.body
    );
    let audit = office.audit("classify", HOST);
    assert_eq!((audit.who.as_str(), audit.role.as_str()), ("ana", "officer"));
    assert_eq!(audit.detail["vendor"], "newcomer-pixels");
    assert_eq!(audit.detail["owner"], "Cleo, marketing");
    assert!(audit.detail["before"].is_null());

    // A restart keeps it.
    office.program.signal("TERM");
    office.program.ends();
    office.program = office.setup.start();
    assert!(!office.lets_through(HOST).await);
    let mut ana = office.signs_in("ana").await;
    let page = ana.opens("/ownership").await;
    assert!(
        page.body.contains("Newcomer Pixels") && page.body.contains("Cleo, marketing"),
        "{}",
        page.body
    );

    // What was wrong is taken back, and then it is as before.
    let page = sends(&mut ana, "/classify/take-back", &[("host", HOST)]).await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert!(office.lets_through(HOST).await);
    let audit = office.audit("take back a classification", HOST);
    assert_eq!((audit.who.as_str(), &audit.detail["vendor"]), ("ana", &"newcomer-pixels".into()));
    assert_eq!(sends(&mut ana, "/classify/take-back", &[("host", HOST)]).await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_a_host_of_a_known_vendor_is_added_to_it() {
    let office = Office::open("").await;
    let mut ana = office.signs_in("ana").await;
    let page = ana.opens(&format!("/classify?host={HOST}&find=acme")).await;
    assert!(page.body.contains("value=\"acme-ads\""), "{}", page.body);
    let fields =
        [("host", HOST), ("vendor", "acme-ads"), ("owner", "Cleo"), ("reason", "ads"), REVIEW];
    let without = with(&fields, &[("owner", ""), ("reason", "")]);
    let page = sends(&mut ana, "/classify", &without).await;
    assert_eq!(page.status, 422, "nobody answers for it");
    assert!(office.lets_through(HOST).await);
    assert_eq!(sends(&mut ana, "/classify", &fields).await.status, 303);
    assert!(!office.lets_through(HOST).await);
    // Somebody does by now, so another host of it needs no words.
    let page =
        sends(&mut ana, "/classify", &[("host", "b.newcomer.example"), ("vendor", "acme-ads")])
            .await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert_eq!(office.classified().matches("[[host]]").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_what_the_catalogue_knows_an_officer_cannot_call_something_else() {
    let office = Office::open("").await;
    let fields =
        with(&NEW_VENDOR, &[REVIEW, ("host", "ads.acme.example"), ("purpose", "functional")]);
    let mut ana = office.signs_in("ana").await;
    let page = sends(&mut ana, "/classify", &fields).await;
    assert!(page.status == 403 && page.body.contains("Only an operator"), "{}", page.body);
    assert_eq!(office.classified(), "");
    let mut ben = office.signs_in("ben").await;
    assert_eq!(sends(&mut ben, "/classify", &fields).await.status, 303);
    assert_eq!(office.audit("classify", "ads.acme.example").detail["before"], "acme-ads");
    let page = ben.opens("/classify?host=ads.acme.example").await;
    assert!(page.body.contains("known as that of <strong>Newcomer Pixels"), "{}", page.body);
    // What was said here, an officer may say better.
    let page = sends(&mut ana, "/classify", &with(&NEW_VENDOR, &[REVIEW])).await;
    assert_eq!(page.status, 422, "there is one of that name already");
    let other = with(&NEW_VENDOR, &[REVIEW, ("name", "Somebody Else")]);
    assert_eq!(sends(&mut ana, "/classify", &other).await.status, 303);
    let again =
        [("host", HOST), ("vendor", "acme-ads"), ("owner", "Cleo"), ("reason", "x"), REVIEW];
    assert_eq!(sends(&mut ana, "/classify", &again).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_what_an_operator_said_an_officer_neither_changes_nor_takes_back() {
    let office = Office::open("").await;
    let mut ana = office.signs_in("ana").await;
    let mut ben = office.signs_in("ben").await;
    let full = with(&NEW_VENDOR, &[REVIEW]);
    assert_eq!(sends(&mut ben, "/classify", &full).await.status, 303);
    assert!(!office.lets_through(HOST).await);
    let kept = office.classified();
    let back = [("host", HOST)];
    let harmless = with(&full, &[("name", "Fonts"), ("purpose", "functional")]);
    // The same of a host under it, which the operator spoke of, too.
    let under = with(&harmless, &[("host", "a.px.newcomer.example")]);
    for (path, fields) in
        [("/classify/take-back", &back[..]), ("/classify", &harmless), ("/classify", &under)]
    {
        let page = sends(&mut ana, path, fields).await;
        assert!(page.status == 403 && page.body.contains("Only an operator"), "{}", page.body);
    }
    assert_eq!(office.classified(), kept);
    assert!(!office.lets_through(HOST).await);
    // What an officer says of another host of that vendor is hers, and no more goes with it.
    let other = [("host", "b.newcomer.example"), ("vendor", "newcomer-pixels")];
    assert_eq!(sends(&mut ana, "/classify", &other).await.status, 303);
    assert_eq!(sends(&mut ana, "/classify/take-back", &other[..1]).await.status, 303);
    assert_eq!(office.classified(), kept);
    assert_eq!(sends(&mut ben, "/classify/take-back", &back).await.status, 303);
    assert!(office.lets_through(HOST).await);
    assert_eq!(sends(&mut ana, "/classify", &harmless).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_changes_nothing_and_says_why() {
    let office = Office::open("").await;
    let mut ana = office.signs_in("ana").await;
    let full = with(&NEW_VENDOR, &[REVIEW]);
    for (field, status, says) in [
        (("host", ""), 422, "The host is missing"),
        (("host", "co.uk"), 422, "not one company"),
        (("host", "not a host"), 422, "not the name of a host"),
        (("host", "127.0.0.1"), 422, "not the name of a host"),
        (("vendor", "nobody"), 422, "No vendor has the id"),
        (("name", "Acme Ads"), 422, "already"),
        (("name", "\u{1b}[31m"), 422, "characters on one line"),
        (("purpose", "everything"), 422, "No purpose is called"),
        (("about", ""), 422, "What it is for is missing"),
        (("owner", " "), 422, "Who answers for it is missing"),
        (("reason", ""), 422, "Why it is used is missing"),
        (("review", "2020-01-01"), 422, "is past"),
        (("review", "soon"), 422, "is a day"),
        (("site", "elsewhere"), 422, "No site is called"),
        (("purpose", "necessary"), 403, "Only an operator"),
    ] {
        let mut fields = with(&full, &[field]);
        if field.1 == "necessary" {
            fields.push(("necessary_because", "it is the checkout"));
        }
        let page = sends(&mut ana, "/classify", &fields).await;
        assert_eq!(page.status, status, "{field:?}");
        assert!(page.body.contains(says), "{field:?}: {}", page.body);
    }
    assert!(office.lets_through(HOST).await);
    assert_eq!(office.classified(), "");
    // A configuration that is broken meanwhile is said, and nothing is taken over half.
    let path = office.setup.file("consentry.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}unlistd = 'block'\n")).unwrap();
    let page = sends(&mut ana, "/classify", &full).await;
    assert!(page.status == 422 && page.body.contains("unlistd"), "{}", page.body);
    assert_eq!(office.classified(), "");
    std::fs::write(&path, text).unwrap();
    assert_eq!(sends(&mut ana, "/classify", &full).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_an_officer_cannot_make_an_exception_and_an_operator_can() {
    let office = Office::open("").await;
    let fields = [
        ("host", "ads.acme.example"),
        ("verdict", "allow"),
        ("owner", "Ben"),
        ("reason", "a test of the bank"),
        ("expires", "2099-12-31"),
    ];
    let mut ana = office.signs_in("ana").await;
    assert_eq!(sends(&mut ana, "/exceptions", &fields).await.status, 403);
    assert!(!ana.opens("/exceptions").await.body.contains("action=\"/exceptions\""));
    assert!(!office.lets_through("ads.acme.example").await);
    let mut ben = office.signs_in("ben").await;
    for (field, says) in [
        (("owner", ""), "Who answers for it is missing"),
        (("reason", ""), "Why it is there is missing"),
        (("expires", ""), "is a day"),
        (("verdict", "maybe"), "a verdict is `allow` or `block`"),
        (("host", ""), "an exception for everything"),
    ] {
        let page = sends(&mut ben, "/exceptions", &with(&fields, &[field])).await;
        assert!(page.status == 422 && page.body.contains(says), "{field:?}: {}", page.body);
    }
    assert_eq!(office.classified(), "");
    assert_eq!(sends(&mut ben, "/exceptions", &fields).await.status, 303);
    assert!(office.lets_through("ads.acme.example").await);
    let audit = office.audit("except", "ads.acme.example");
    assert_eq!(
        (audit.who.as_str(), &audit.detail["reason"]),
        ("ben", &"a test of the bank".into())
    );

    let page = ben.opens("/exceptions").await;
    let (_, line) = page.body.split_once("name=\"line\" value=\"").unwrap();
    let line = line.split('"').next().unwrap();
    let back = [("line", line), ("owner", "Ben"), ("expires", "2099-12-31")];
    assert_eq!(sends(&mut ana, "/exceptions/take-back", &back).await.status, 403);
    let other = with(&back, &[("owner", "Eve")]);
    assert_eq!(sends(&mut ben, "/exceptions/take-back", &other).await.status, 422);
    assert!(office.lets_through("ads.acme.example").await);
    assert_eq!(sends(&mut ben, "/exceptions/take-back", &back).await.status, 303);
    assert!(!office.lets_through("ads.acme.example").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_an_operator_has_the_unlisted_withheld() {
    let office = Office::open("").await;
    let fields = [("site", "default"), ("verdict", "block"), ("reason", "we know all we use")];
    let mut ana = office.signs_in("ana").await;
    assert_eq!(sends(&mut ana, "/unlisted", &fields).await.status, 403);
    assert!(office.lets_through(HOST).await);
    let mut ben = office.signs_in("ben").await;
    assert_eq!(sends(&mut ben, "/unlisted", &with(&fields, &[("reason", "")])).await.status, 422);
    assert_eq!(sends(&mut ben, "/unlisted", &fields).await.status, 303);
    assert!(!office.lets_through(HOST).await);
    let audit = office.audit("unlisted", "default");
    assert_eq!(
        (&audit.detail["before"], &audit.detail["verdict"]),
        (&"observe".into(), &"block".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_a_review_that_is_past_is_shown_as_overdue() {
    let ownership = |vendor: &str, review: &str| {
        format!(
            "[[ownership]]\nvendor = {vendor:?}\nowner = \"Cleo\"\nreason = \"ads\"\nreview = {review}\n"
        )
    };
    let sections = ownership("acme-ads", "2020-01-31") + &ownership("hotjar", "2099-01-31");
    let office = Office::open(&sections).await;
    let mut ana = office.signs_in("ana").await;
    let page = ana.opens("/ownership").await;
    assert_eq!(page.body.matches("overdue</span>").count(), 1, "{}", page.body);
    assert!(page.body.contains("1 of them should have been looked at again"));
    // What the configuration says is changed there.
    let fields = [("vendor", "hotjar"), ("owner", "Ana"), ("reason", "x"), REVIEW];
    let page = sends(&mut ana, "/ownership", &fields).await;
    assert!(page.status == 422 && page.body.contains("consentry.toml:"), "{}", page.body);
    let fields = with(&fields, &[("vendor", "google-analytics")]);
    assert_eq!(sends(&mut ana, "/ownership", &fields).await.status, 303);
    assert_eq!(office.audit("own", "google-analytics").detail["owner"], "Ana");
    let page =
        sends(&mut ana, "/ownership/take-back", &[("vendor", "google-analytics"), ("site", "")])
            .await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert!(!ana.opens("/ownership").await.body.contains("Ana</td>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_who_came_and_what_they_did_is_on_record() {
    let office = Office::open("").await;
    let mut ana = office.signs_in("ana").await;
    let wrong = form(&[("name", "<b>eve</b>"), ("password", "guess")]);
    let kind = ("content-type", "application/x-www-form-urlencoded");
    visitor_at(office.program.admin).asks("POST", "/sign-in", &[kind], &wrong).await;
    let mistyped = form(&[("name", "ben"), ("password", "guess")]);
    visitor_at(office.program.admin).asks("POST", "/sign-in", &[kind], &mistyped).await;
    assert_eq!(sends(&mut ana, "/classify", &with(&NEW_VENDOR, &[REVIEW])).await.status, 303);
    audits(&office.setup.ledger(), "classify");
    // Nobody who failed waited for the record.
    let since = Instant::now();
    let page = loop {
        let page = ana.opens("/audit").await;
        let is_there = |part| page.body.contains(part);
        if is_there("of nobody") && is_there("</span>ben<br>")
            || since.elapsed() > Duration::from_secs(60)
        {
            break page;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for part in [
        "sign in",
        "fail to sign in",
        "classify",
        "px.newcomer.example",
        "of nobody",
        "</span>ben<br>",
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(!page.body.contains("guess"), "a wrong password is nearly a right one");
    assert!(!page.body.contains("eve"), "somebody may have typed a password there");
    let page = ana.opens("/audit?act=classify&who=ana").await;
    assert!(page.body.contains(HOST) && !page.body.contains("sign in</td>"), "{}", page.body);
    assert!(ana.opens("/audit?who=ben").await.body.contains("Nothing on record fits"));
    for query in ["from=yesterday", "before=x", "before=1e3"] {
        assert_eq!(ana.opens(&format!("/audit?{query}")).await.status, 422, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_about_a_site_that_was_renamed_keeps_nobody_from_starting() {
    let mut office = Office::open("").await;
    let mut ben = office.signs_in("ben").await;
    let block = [("site", "default"), ("verdict", "block"), ("reason", "we know all we use")];
    assert_eq!(sends(&mut ben, "/unlisted", &block).await.status, 303);
    let host = [
        ("host", "px.acme.example"),
        ("vendor", "acme-ads"),
        ("owner", "Cleo"),
        ("reason", "ads"),
        REVIEW,
    ];
    assert_eq!(sends(&mut ben, "/classify", &host).await.status, 303);
    assert!(!office.lets_through(HOST).await);

    // The site gets another name, and the vendor goes out of the catalogue.
    let config = office.setup.file("consentry.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[[site]]", "[[site]]\nname = \"shop\"")).unwrap();
    let vendors = office.setup.file("vendors.toml");
    let catalogue = std::fs::read_to_string(&vendors).unwrap();
    std::fs::write(&vendors, catalogue.replace("\"acme-ads\"", "\"acme\"")).unwrap();
    office.program.reloads();
    assert!(office.lets_through(HOST).await, "nothing is said about this site");
    office.program.says("no site is called `default`, so this [[unlisted]] does not hold");
    office.program.signal("TERM");
    office.program.ends();
    office.program = office.setup.start();
    for what in ["unlisted", "host", "ownership"] {
        let says = format!("so this [[{what}]] does not hold");
        assert!(office.program.says(&says).contains("ledger.db.classified.toml:"));
    }

    // Something else can be changed, and what does not hold is still there.
    let mut ana = office.signs_in("ana").await;
    assert_eq!(sends(&mut ana, "/classify", &with(&NEW_VENDOR, &[REVIEW])).await.status, 303);
    assert!(!office.lets_through(HOST).await);
    assert!(office.classified().contains("px.acme.example"));
    std::fs::write(&config, text).unwrap();
    std::fs::write(&vendors, catalogue).unwrap();
    office.program.reloads();
    assert!(!office.lets_through("ads.acme.example").await);
    let page = ana.opens("/classify?host=px.acme.example").await;
    assert!(page.body.contains("known as that of") && page.body.contains("acme-ads"));
    assert!(ana.opens("/exceptions").await.body.contains("withheld until somebody"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_takes_an_operators_edits_along_says_so() {
    let office = Office::open("[reload]\nwatch = false\n").await;
    let mut ana = office.signs_in("ana").await;
    assert_eq!(sends(&mut ana, "/classify", &with(&NEW_VENDOR, &[REVIEW])).await.status, 303);
    assert!(office.audit("classify", HOST).detail.get("taken_along").is_none());
    let config = office.setup.file("consentry.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[[site]]", "[[site]]\nmode = \"observe\"")).unwrap();
    assert!(!office.lets_through(HOST).await, "nobody had it read again");
    for host in ["b.newcomer.example", "c.newcomer.example"] {
        let fields = [("host", host), ("vendor", "newcomer-pixels")];
        assert_eq!(sends(&mut ana, "/classify", &fields).await.status, 303);
    }
    assert!(office.lets_through(HOST).await);
    let detail = audit_about(&office, "b.newcomer.example");
    assert_eq!(detail["taken_along"], serde_json::json!([config.to_str().unwrap()]));
    assert!(audit_about(&office, "c.newcomer.example").get("taken_along").is_none());
}

/// What is on record about the classification of a host, as soon as it can be read.
fn audit_about(office: &Office, host: &str) -> serde_json::Value {
    let since = Instant::now();
    loop {
        let all = audits(&office.setup.ledger(), "classify");
        if let Some(audit) = all.into_iter().find(|audit| audit.about == host) {
            return audit.detail;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{host} is not on record");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_while_the_configuration_is_read() {
    // Nobody else reads from the pipe.
    let mut office = Office::open("[reload]\nwatch = false\n").await;
    let mut ana = office.signs_in("ana").await;
    // A file that is read for as long as nobody writes its end.
    let pipe = office.setup.file("vendors.toml");
    let catalogue = std::fs::read_to_string(&pipe).unwrap();
    std::fs::remove_file(&pipe).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let change = tokio::spawn(async move {
        sends(&mut ana, "/classify", &with(&NEW_VENDOR, &[REVIEW])).await.status
    });
    let mut open = is_read(&pipe).await;
    assert_eq!(office.asks_health().await, 200);
    open.write_all(catalogue.as_bytes()).unwrap();
    drop(open);
    assert_eq!(change.await.unwrap(), 303);
    office.program.signal("HUP");
    let mut open = is_read(&pipe).await;
    assert_eq!(office.asks_health().await, 200);
    open.write_all(b"[[vendr]]").unwrap();
    drop(open);
    office.program.says("configuration not reloaded");
    assert!(!office.lets_through(HOST).await);
}

/// The pipe, as soon as somebody reads from it.
async fn is_read(pipe: &Path) -> File {
    let (send, opened) = tokio::sync::oneshot::channel();
    let pipe = pipe.to_owned();
    std::thread::spawn(move || send.send(File::options().write(true).open(pipe).unwrap()));
    tokio::time::timeout(Duration::from_secs(30), opened).await.unwrap().unwrap()
}
