//! A receipt that is erased at one proxy goes everywhere, and no other goes
//! with it.

use super::postgres::{self, Postgres};
use super::reading::{receipt, receipts};
use super::{all_sent, entry, now_ms, open, until};

use consentry::consent::ReceiptId;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

#[test]
fn f6_what_is_erased_elsewhere_is_erased_at_a_proxy_that_always_has_something_to_send() {
    if !postgres::is_here() {
        return;
    }
    let postgres = Postgres::start();
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [busy, other] =
        directories.each_ref().map(|directory| open(directory.path(), &postgres.url()));
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
    if !postgres::is_here() {
        return;
    }
    let postgres = Postgres::start();
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [one, other] =
        directories.each_ref().map(|directory| open(directory.path(), &postgres.url()));
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
