//! A receipt that is erased at one proxy goes everywhere, and no other goes
//! with it.

use super::postgres::Postgres;
use super::{all_sent, entry, now_ms, two, until};

use consentry::consent::ReceiptId;
use consentry::ledger::engine::Engine;
use consentry::ledger::receipt::{Act, Method, hash_of};
use consentry::ledger::{Ledger, Receipt};
use consentry::purpose::PurposeSet;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) fn receipt(number: u8) -> Receipt {
    Receipt {
        number: ReceiptId::new([number; 16]),
        time_ms: now_ms(),
        site: "shop".to_owned(),
        granted: PurposeSet::NECESSARY,
        asked: PurposeSet::ALL,
        vendors_allowed: Vec::new(),
        vendors_refused: vec!["acme-ads".to_owned()],
        act: Act::Refuse,
        method: Method::Choices,
        gpc: false,
        notice_revision: 7,
        notice: hash_of("<p>Ask</p>"),
        choices: hash_of("<p>Choose</p>"),
        language: "de".to_owned(),
        valid_s: 60,
    }
}

fn receipts(ledger: &Ledger) -> i64 {
    let engine = Engine::open(ledger.path()).unwrap();
    engine.rows("SELECT count(*) FROM receipt", &[]).unwrap()[0].int(0).unwrap()
}

#[test]
fn what_is_erased_at_one_proxy_is_erased_everywhere() {
    let Some(postgres) = Postgres::start() else { return };
    let (_directories, [one, other]) = two(&postgres);
    let mut spool = one.spool(0).unwrap();
    (1..=3).for_each(|number| spool.keep(&receipt(number)));
    one.flush().unwrap();
    until("they are not there", || {
        postgres.sql("SELECT to_regclass('receipt') IS NOT NULL") == ["t"]
    });
    until("they are not there", || postgres.number("SELECT count(*) FROM receipt") == 3);
    assert_eq!(postgres.number("SELECT sum(times) FROM daily_choice"), 3);
    // The balancer led the visitor to the other one this time.
    other.spool(0).unwrap().erase(ReceiptId::new([2; 16]), now_ms());
    until("it is still there", || postgres.number("SELECT count(*) FROM receipt") == 2);
    until("it is still in the proxy's own ledger", || receipts(&one) == 2);
    // One that is erased before it came.
    other.spool(0).unwrap().erase(ReceiptId::new([9; 16]), now_ms());
    other.flush().unwrap();
    until("it is not noted", || postgres.number("SELECT count(*) FROM erased_receipt") == 3);
    spool.keep(&receipt(9));
    spool.append(&entry(now_ms(), "/", "x"));
    all_sent(&one);
    assert_eq!(postgres.number("SELECT count(*) FROM receipt"), 2);
    until("it is still in the proxy's own ledger", || receipts(&one) == 2);
    let dumped = postgres
        .sql("SELECT r::text FROM receipt r UNION ALL SELECT e::text FROM erased_receipt e");
    for erased in ["02".repeat(16), "09".repeat(16)] {
        assert!(!dumped.iter().any(|row| row.contains(&erased)), "{dumped:?}");
    }
    for ledger in [one, other] {
        let path = ledger.path().to_owned();
        ledger.close().unwrap();
        let found = consentry::ledger::verify::verify(&path, &[], None, |_, _| {}).unwrap();
        // These receipts were made without their notices.
        let faults: Vec<_> = found.faults.iter().filter(|it| it.kind != "notice").collect();
        assert!(faults.is_empty(), "{faults:?}");
    }
}

#[test]
fn f6_what_is_erased_elsewhere_is_erased_at_a_proxy_that_always_has_something_to_send() {
    let Some(postgres) = Postgres::start() else { return };
    let (_directories, [busy, other]) = two(&postgres);
    let mut spool = busy.spool(0).unwrap();
    (1..=3).for_each(|number| spool.keep(&receipt(number)));
    all_sent(&busy);
    until("they are not there", || postgres.number("SELECT count(*) FROM receipt") == 3);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                spool.append(&entry(now_ms(), "/", "x"));
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        // It asks at its start, too: that is not meant here.
        std::thread::sleep(std::time::Duration::from_secs(3));
        other.spool(0).unwrap().erase(ReceiptId::new([2; 16]), now_ms());
        let since = std::time::Instant::now();
        while receipts(&busy) != 2 && since.elapsed() < super::PATIENCE {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(receipts(&busy), 2);
}

#[test]
fn f6_nobody_erases_a_receipt_of_another_proxy_by_its_row_alone() {
    let Some(postgres) = Postgres::start() else { return };
    let (_directories, [one, other]) = two(&postgres);
    let mut spool = one.spool(0).unwrap();
    (1..=3).for_each(|number| spool.keep(&receipt(number)));
    all_sent(&one);
    until("they are not there", || postgres.number("SELECT count(*) FROM receipt") == 3);
    // Whoever may write there counts up the rows of all nodes.
    postgres.sql(
        "INSERT INTO erased_receipt (node, number_hash, receipt, time_ms)
         SELECT node, sha256(local_id::text::bytea), local_id, 7 FROM receipt",
    );
    // It is heard after those: by then they were looked at.
    other.spool(0).unwrap().erase(ReceiptId::new([2; 16]), now_ms());
    until("it is not erased", || receipts(&one) < 3);
    one.flush().unwrap();
    assert_eq!(receipts(&one), 2);
}
