//! The shared ledger is read like a proxy's own, by whoever may.

use super::erasing::receipt;
use super::postgres::Postgres;
use super::{all_sent, content, engine, entry, fleet_of, now_ms, one, open, own, proxy, status};
use crate::dashboard::{people, signed_in};
use crate::harness::{origin, visitor_at};
use crate::program::{Setup, consentry_command, runs};
use crate::tls::Authority;

use consentry::consent::ReceiptId;
use consentry::ledger::engine::Engine;
use consentry::ledger::figures::log::Wanted;
use consentry::ledger::figures::{Figures, Period};
use consentry::ledger::fleet::Place;
use consentry::ledger::{Ledger, Settings};
use std::path::Path;
use tempfile::TempDir;

const HTML: &str = "<p>Hello</p><script src=\"https://ads.acme.example/p.js\"></script>\
    <img src=https://stats.acme.example/i.gif><img src=https://nobody.example/x.gif>";

/// A proxy that was visited, and what it sent is there.
async fn visited(postgres: &Postgres) -> (Setup, crate::program::Program) {
    let origin = origin().page("/", HTML).page("/shoes", HTML).start().await;
    let setup = proxy(origin.address, &postgres.url());
    let program = setup.start();
    let mut person = visitor_at(program.address);
    for path in ["/", "/shoes", "/"] {
        assert_eq!(person.opens(path).await.status, 200);
    }
    person.chooses("all", &[]).await;
    person.opens("/").await;
    person.chooses("none", &[]).await;
    let since = std::time::Instant::now();
    loop {
        let fleet = fleet_of(&program).await;
        let known = postgres.sql("SELECT to_regclass('receipt') IS NOT NULL") == ["t"];
        if known
            && fleet["behind_entries"] == 0
            && postgres.number("SELECT count(*) FROM receipt") == 2
            && postgres.number("SELECT count(*) FROM entry") >= 4
        {
            return (setup, program);
        }
        assert!(since.elapsed() < super::PATIENCE, "{fleet}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_and_log_are_the_same_in_either() {
    let Some(postgres) = Postgres::start() else { return };
    let (setup, mut program) = visited(&postgres).await;
    let shown = |ledger: &str| {
        let (code, said) = runs(&["log", "--all", "--json", "--ledger", ledger]);
        assert_eq!(code, 0, "{said}");
        said.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let address = postgres.url();
    assert_eq!(shown(&address), shown(setup.ledger().to_str().unwrap()));
    let (code, said) = runs(&["log", "--vendor", "ACME", "--page", "sho", "--ledger", &address]);
    assert!(code == 0 && said.contains("Acme Ads") && !said.contains("nobody"), "{said}");
    // The password need not stand on the command line.
    let bare = address.replace(":s3cret-word@", "@");
    let said = consentry_command(&["log", "--ledger", &bare])
        .env("PGPASSWORD", "s3cret-word")
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));

    // The program ended before it had added everything up.
    Ledger::open(Settings::new(setup.ledger())).unwrap().flush().unwrap();
    let figures = [Figures::open(&setup.ledger()).unwrap(), Figures::new(engine(&postgres))];
    let period = Period::last(7, now_ms());
    let [own, shared] = figures.map(|figures| {
        let log = figures.block_log(&Wanted::all(period), None, 100).unwrap();
        vec![
            format!("{:?}", figures.overview(period, None).unwrap()),
            format!("{:?}", figures.overview(period, Some("default")).unwrap()),
            format!("{:?}", figures.vendors(period, None).unwrap()),
            format!("{:?}", figures.vendor_pages("acme-ads", period, None, 10).unwrap()),
            format!("{:?}", figures.vendor_kinds("acme-ads", period, None).unwrap()),
            format!("{:?}", figures.kinds_met(period, None).unwrap()),
            format!("{:?}", figures.cookies_sent(period, Some("default")).unwrap()),
            format!("{:?}", figures.only_reported(Some("default")).unwrap()),
            format!("{:?}", figures.pages(period, None, 10).unwrap()),
            format!("{:?}", figures.choices(period, None).unwrap()),
            format!("{:?}", figures.sites(period).unwrap()),
            format!("{:?}", figures.unlisted(None, 10, |_| true).unwrap().len()),
            format!("{:?}", figures.newcomers(period, None, 99).unwrap().len()),
            format!("{:?}", log.lines.len()),
        ]
    });
    assert!(own[0].contains("withheld"), "{}", own[0]);
    assert_eq!(own, shared);
}

#[test]
fn every_table_of_a_proxys_own_ledger_is_in_the_shared_one_with_its_columns() {
    // How far spools are read and rows added up, the tree to go on from, and
    // what was pruned are a proxy's own affair; a row's `id` may be `local_id`
    // there.
    const OWN: [&str; 6] = ["spool", "rolled", "tree", "pruned", "sqlite_sequence", "sqlite_stat1"];
    let Some(postgres) = Postgres::start() else { return };
    let (_directory, ledger) = one(&postgres);
    all_sent(&ledger);
    let own = Engine::open(ledger.path()).unwrap();
    let rows = own
        .rows(
            "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
             WHERE m.type = 'table'",
            &[],
        )
        .unwrap();
    let shared = postgres.sql(
        "SELECT table_name || '.' || column_name FROM information_schema.columns
         WHERE table_schema = current_schema()",
    );
    assert!(rows.len() > 100, "{rows:?}");
    for row in &rows {
        let (table, column) = (row.text(0).unwrap(), row.text(1).unwrap());
        let name = format!("{table}.{column}");
        assert!(
            OWN.contains(&table) || shared.contains(&name),
            "{name} is not in fleet/schema.sql"
        );
    }
}

#[test]
fn a_certificate_is_checked_with_its_name() {
    let Some(postgres) = Postgres::start() else { return };
    let authority = Authority::signing("127.0.0.1");
    postgres.secure(&authority.file("cert.pem"), &authority.file("key.pem"));
    let connect = |url: &str, ca_file: Option<&Path>| {
        Engine::connect(&Place::parse(url, ca_file).unwrap())
            .map(|_| ())
            .map_err(|it| it.to_string())
    };
    let url = format!("{}?sslmode=require", postgres.url());
    let ca_file = authority.file("ca.pem");
    let settings = Settings {
        fleet: Some(Place::parse(&url, Some(&ca_file)).unwrap()),
        ..Settings::new(postgres.path().join("ledger.db"))
    };
    std::fs::set_permissions(postgres.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    let ledger = Ledger::open(settings).unwrap();
    all_sent(&ledger);
    let secure = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE ssl AND application_name = 'consentry'";
    assert_eq!(postgres.number(secure), 1);
    assert_eq!(connect(&url, Some(&ca_file)), Ok(()));
    for (url, ca_file) in [
        (url.clone(), None),
        (url.clone(), Some(Authority::signing("127.0.0.1").file("ca.pem"))),
        (url.replace("127.0.0.1", "localhost"), Some(ca_file)),
    ] {
        let said = connect(&url, ca_file.as_deref()).unwrap_err();
        assert!(said.contains("no secure connection") && !said.contains("s3cret"), "{said}");
    }
    // A server without TLS gets no password.
    let Some(plain) = Postgres::start() else { return };
    let said = connect(&format!("{}?sslmode=verify-full", plain.url()), None).unwrap_err();
    assert!(said.contains("TLS"), "{said}");
}

#[test]
fn the_rights_in_the_docs_are_enough_and_no_more() {
    let Some(postgres) = Postgres::start() else { return };
    let first = TempDir::new().unwrap();
    all_sent(&open(first.path(), &postgres.url()));
    postgres.sql(
        "CREATE ROLE proxy LOGIN PASSWORD 'p1'; CREATE ROLE officer LOGIN PASSWORD 'p2';
         CREATE ROLE nobody LOGIN PASSWORD 'p3'",
    );
    let docs = include_str!("../../../docs/fleet.md");
    let (_, grants) = docs.split_once("```sql\n").unwrap();
    let (grants, _) = grants.split_once("```").unwrap();
    postgres.sql(&grants.replace("ON DATABASE consentry", "ON DATABASE postgres"));
    let directory = TempDir::new().unwrap();
    let ledger = open(directory.path(), &postgres.url_of("proxy", "p1"));
    let mut spool = ledger.spool(0).unwrap();
    // A month of which nobody thought yet.
    spool.append(&entry(now_ms() - 200 * 24 * 60 * 60 * 1000, "/", "x"));
    spool.keep(&receipt(1));
    spool.erase(ReceiptId::new([1; 16]), now_ms());
    all_sent(&ledger);
    assert_eq!(status(&ledger).last_error, None);
    assert_eq!(content(&engine(&postgres)), own(directory.path()));
    assert_eq!(postgres.number("SELECT count(*) FROM entry_other"), 0);
    let as_who = |user: &str, password: &str| {
        let place = Place::parse(&postgres.url_of(user, password), None).unwrap();
        Engine::connect(&place).and_then(|engine| engine.rows("SELECT count(*) FROM entry", &[]))
    };
    assert_eq!(as_who("officer", "p2").unwrap()[0].int(0).unwrap(), 1);
    let said = as_who("nobody", "p3").unwrap_err().to_string();
    assert!(said.contains("denies"), "{said}");
    assert!(!postgres.may("proxy", "p1", "DELETE FROM entry"));
    assert!(!postgres.may("proxy", "p1", "DROP TABLE gap"));
    assert!(!postgres.may("officer", "p2", "UPDATE shipped SET last_id = 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_whether_it_could_connect_only_when_asked() {
    let Some(postgres) = Postgres::start() else { return };
    let (setup, _program) = visited(&postgres).await;
    let config = setup.file("consentry.toml");
    let check = |more: &[&str]| {
        let words = [&["check", "--config", config.to_str().unwrap()], more].concat();
        let (code, said) = runs(&words);
        assert!(!said.contains("s3cret"), "{said}");
        (code, said)
    };
    let (code, said) = check(&["--connect"]);
    assert!(code == 0 && said.contains("can be reached"), "{said}");
    postgres.down("fast");
    let (code, said) = check(&["--connect"]);
    assert!(code == 69 && said.contains("cannot be reached"), "{said}");
    assert_eq!(check(&[]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dashboard_shows_what_all_proxies_did() {
    let Some(postgres) = Postgres::start() else { return };
    let (_setup, _program) = visited(&postgres).await;
    let origin = origin().start().await;
    let sections = format!("{}\n[ledger]\npostgres_url = {:?}", people(), postgres.url());
    let setup = Setup::new(origin.address, &sections);
    let program = setup.start();
    let mut ana = signed_in(program.admin, "ana").await;
    let page = ana.opens("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Acme Ads"), "{}", page.body);
    let vendors = ana.opens("/api/v1/vendors").await;
    assert!(vendors.status == 200 && vendors.body.contains("Acme Ads"), "{}", vendors.body);
    // Its own ledger would be no answer to the same question.
    postgres.down("fast");
    let page = ana.opens("/").await;
    assert!(page.status == 503 && page.body.contains("cannot be reached"), "{}", page.body);
    assert!(!page.body.contains("s3cret"), "{}", page.body);
    postgres.up();
    let page = ana.opens("/").await;
    assert!(page.body.contains("Acme Ads"), "{}", page.body);
}
