//! Receipts and notices: what is kept of a choice, and what is not.

use super::*;
use crate::consent::ReceiptId;
use crate::ledger::line::{ReceiptLine, SpoolLine, push_line};
use crate::ledger::proof::Found;
use crate::ledger::receipt::{Act, Layer, Method, Notice, Receipt, hash_of};

use std::collections::BTreeSet;

pub(crate) fn receipt(number: u8, time_ms: u64) -> Receipt {
    Receipt {
        number: ReceiptId::new([number; 16]),
        time_ms,
        site: "shop".to_owned(),
        granted: PurposeSet::NECESSARY.with(Purpose::Analytics),
        asked: PurposeSet::ALL,
        vendors_allowed: vec!["acme-maps".to_owned()],
        vendors_refused: vec!["acme-ads".to_owned(), "acme-stats".to_owned()],
        act: Act::Partial,
        method: Method::Choices,
        gpc: true,
        notice_revision: 7,
        notice: hash_of("<p>Ask</p>"),
        choices: hash_of("<p>Choose</p>"),
        language: "de".to_owned(),
        valid_s: 15_552_000,
    }
}

pub(crate) fn notice(layer: Layer, time_ms: u64, html: &str) -> Notice {
    Notice {
        time_ms,
        site: "shop".to_owned(),
        revision: 7,
        language: "de".to_owned(),
        layer,
        gpc: false,
        operator: "The Shop".to_owned(),
        policy_url: "/privacy".to_owned(),
        choices_url: "https://shop.example/.consentry/choices".to_owned(),
        html: html.to_owned(),
    }
}

fn found(dir: &TempDir, number: u8) -> Found {
    reader(dir).receipt(ReceiptId::new([number; 16])).unwrap()
}

fn reader(dir: &TempDir) -> Reader {
    Reader::open(settings(dir).path).unwrap()
}

/// Every byte of the ledger: database, its logs, spool.
fn all_bytes(dir: &TempDir) -> Vec<u8> {
    let mut bytes = Vec::new();
    let database = settings(dir).path;
    for path in [database.clone(), beside(&database, "-wal")] {
        bytes.extend(fs::read(path).unwrap_or_default());
    }
    for file in spool_files(dir) {
        bytes.extend(fs::read(file).unwrap());
    }
    bytes
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

#[test]
fn f1_a_choice_comes_back_as_it_was_made() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.keep(&receipt(1, 10));
    spool.keep(&receipt(2, 20));
    ledger.flush().unwrap();
    assert_eq!(found(&dir, 1), Found::Receipt(receipt(1, 10)));
    assert_eq!(found(&dir, 9), Found::Nothing);
    let times = |since, until| {
        let mut times = Vec::new();
        let take = |receipt: Receipt| {
            times.push(receipt.time_ms);
            true
        };
        reader(&dir).receipts(since, until, take).unwrap();
        times
    };
    assert_eq!(times(None, None), [10, 20]);
    assert_eq!(times(Some(11), None), [20]);
    assert_eq!(times(None, Some(20)), [10]);
    assert_eq!(ledger.status().written_entries, 0, "a receipt is no entry");
}

#[test]
fn f1_a_killed_process_loses_no_receipt_and_stores_none_twice() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.keep(&receipt(1, 10));
    ledger.flush().unwrap();
    spool.keep(&receipt(2, 20));
    std::mem::forget(spool);
    drop(ledger);
    for _ in 0..2 {
        let ledger = open(&dir);
        ledger.flush().unwrap();
        let mut count = 0;
        let take = |_| {
            count += 1;
            true
        };
        reader(&dir).receipts(None, None, take).unwrap();
        assert_eq!(count, 2);
        ledger.close().unwrap();
    }
}

#[test]
fn f2_there_is_no_column_and_no_key_in_which_a_visitor_could_be_kept() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.keep(&receipt(1, 10));
    spool.archive(&notice(Layer::First, 5, "<p>Ask</p>"));
    spool.erase(ReceiptId::new([2; 16]), 30);
    let text = fs::read_to_string(spool_files(&dir).remove(0)).unwrap();
    let keys: Vec<String> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let (kind, fields) = line.as_object().unwrap().iter().next().unwrap();
            let fields: BTreeSet<_> = fields.as_object().unwrap().keys().cloned().collect();
            format!("{kind}: {}", fields.into_iter().collect::<Vec<_>>().join(" "))
        })
        .collect();
    assert_eq!(
        keys,
        ["receipt: a c g h i l m n r s t v w x y", "notice: b c l o p r s t x y", "erase: i t"]
    );
    ledger.flush().unwrap();
    let conn = Connection::open(settings(&dir).path).unwrap();
    let mut query = conn.prepare("SELECT name FROM pragma_table_info('receipt')").unwrap();
    let names = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(
        names.map(Result::unwrap).collect::<Vec<_>>().join(" "),
        "id number leaf time_ms site granted asked vendors_allowed vendors_refused act method gpc \
         notice_revision notice choices language valid_s"
    );
}

#[test]
fn f6_an_erased_receipt_leaves_its_place_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    for number in 1..=3 {
        spool.keep(&receipt(number, 10));
    }
    ledger.flush().unwrap();
    spool.erase(ReceiptId::new([3; 16]), 99);
    // What comes behind it, comes with another number of its own.
    spool.keep(&receipt(4, 100));
    ledger.flush().unwrap();
    assert_eq!(found(&dir, 3), Found::Erased { time_ms: 99 });
    assert_eq!(found(&dir, 2), Found::Receipt(receipt(2, 10)));
    assert_eq!(found(&dir, 4), Found::Receipt(receipt(4, 100)));
    let bytes = all_bytes(&dir);
    for (number, is_there) in [(2, true), (3, false)] {
        let digits = ReceiptId::new([number; 16]).to_string();
        let there = holds(&bytes, &[number; 16]) || holds(&bytes, digits.as_bytes());
        assert_eq!(there, is_there, "{number}");
    }
    let conn = Connection::open(settings(&dir).path).unwrap();
    let ids = |sql: &str| -> Vec<i64> {
        let mut query = conn.prepare(sql).unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(ids("SELECT id FROM receipt ORDER BY id"), [1, 2, 4]);
    assert_eq!(ids("SELECT receipt FROM erased_receipt"), [3]);
    assert_eq!(ids("SELECT length(leaf) FROM erased_receipt"), [32]);
}

/// Whether anything of a number is in any file of the ledger.
fn is_named(dir: &TempDir, number: u8) -> bool {
    let bytes = all_bytes(dir);
    let digits = ReceiptId::new([number; 16]).to_string();
    holds(&bytes, &[number; 16]) || holds(&bytes, digits.as_bytes())
}

/// The spool files as those of a process that lives have them: nobody removes
/// them.
fn owned(dir: &TempDir) -> Vec<fs::File> {
    let files = spool_files(dir).into_iter().map(|path| fs::File::open(path).unwrap());
    files.inspect(|file| file.try_lock().unwrap()).collect()
}

#[test]
fn f6_what_a_stopped_process_left_of_an_erased_receipt_goes_with_the_next_start() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let (mut spool, mut other) = (ledger.spool(0).unwrap(), ledger.spool(1).unwrap());
    spool.keep(&receipt(1, 10));
    spool.keep(&receipt(2, 10));
    ledger.flush().unwrap();
    // Whoever reads for long keeps the database's log from being cleared.
    let reading = Connection::open(settings(&dir).path).unwrap();
    reading.execute_batch("BEGIN; SELECT count(*) FROM receipt").unwrap();
    other.erase(ReceiptId::new([1; 16]), 20);
    ledger.flush().unwrap();
    assert_eq!(found(&dir, 1), Found::Erased { time_ms: 20 });
    drop((spool, other));
    drop(ledger);
    assert!(is_named(&dir, 1), "there is something left to do");
    drop(reading);
    let owned = owned(&dir);
    open(&dir).close().unwrap();
    assert!(!is_named(&dir, 1));
    assert!(is_named(&dir, 2));
    assert_eq!(found(&dir, 2), Found::Receipt(receipt(2, 10)));
    drop(owned);
}

#[test]
fn f6_an_order_to_erase_is_carried_out_wherever_a_killed_process_left_it() {
    let (line, order) = (
        |number| {
            let mut text = Vec::new();
            let receipt = receipt(number, 10);
            let line = SpoolLine::Receipt(ReceiptLine::of(&receipt));
            push_line(&line, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        },
        |number: u8| {
            let number = ReceiptId::new([number; 16]);
            format!("{{\"erase\":{{\"i\":\"{number}\",\"t\":20}}}}\n")
        },
    );
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.keep(&receipt(1, 10));
    spool.keep(&receipt(2, 10));
    ledger.flush().unwrap();
    spool.erase(ReceiptId::new([1; 16]), 20);
    drop(spool);
    ledger.close().unwrap();
    // All of the first file is stored, and of the second file half.
    let spool_dir = dir.path().join("ledger.db.spool");
    let empty = "{\"erase\":{\"i\":\"\",\"t\":20}}\n";
    let first = format!("{}{}{empty}", line(1), order(1));
    let (stored, new) = (format!("{}{}", line(2), line(3)), format!("{}{}", order(2), line(4)));
    fs::write(spool_dir.join("1-1-1-1.jsonl"), &first).unwrap();
    fs::write(spool_dir.join("1-1-1-2.jsonl"), format!("{stored}{new}")).unwrap();
    let conn = Connection::open(settings(&dir).path).unwrap();
    for (file, offset) in [("1-1-1-1.jsonl", first.len()), ("1-1-1-2.jsonl", stored.len())] {
        conn.execute("INSERT INTO spool VALUES (?1, ?2)", (file, offset as i64)).unwrap();
    }
    drop(conn);
    let owned = owned(&dir);
    open(&dir).close().unwrap();
    assert_eq!(found(&dir, 1), Found::Erased { time_ms: 20 });
    assert_eq!(found(&dir, 2), Found::Erased { time_ms: 20 });
    assert_eq!(found(&dir, 4), Found::Receipt(receipt(4, 10)));
    assert!(!is_named(&dir, 1) && !is_named(&dir, 2) && is_named(&dir, 4));
    drop(owned);
}

#[test]
fn f6_a_receipt_that_comes_after_its_erasure_is_not_stored() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let (mut late, mut early) = (ledger.spool(0).unwrap(), ledger.spool(1).unwrap());
    early.erase(ReceiptId::new([1; 16]), 20);
    ledger.flush().unwrap();
    late.keep(&receipt(1, 10));
    ledger.flush().unwrap();
    assert_eq!(found(&dir, 1), Found::Erased { time_ms: 20 });
    assert!(!is_named(&dir, 1), "nor is it left in the spool");
}

#[test]
fn f4_each_text_is_archived_once_with_the_time_it_was_first_there() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    let long = format!("<p>Choose</p>{}", "<li>Ä vendor</li>".repeat(20_000));
    for time_ms in [5, 6] {
        spool.archive(&notice(Layer::First, time_ms, "<p>Ask</p>"));
        spool.archive(&notice(Layer::Choices, time_ms, &long));
    }
    ledger.flush().unwrap();
    let of = Receipt { choices: hash_of(&long), ..receipt(1, 10) };
    let reader = reader(&dir);
    let first = reader.notice(&of, Layer::First).unwrap().unwrap();
    assert_eq!(first, notice(Layer::First, 5, "<p>Ask</p>"));
    let choices = reader.notice(&of, Layer::Choices).unwrap().unwrap();
    assert_eq!((choices.html, choices.time_ms), (long, 5));
    let unknown = Receipt { notice: [0; 32], ..of };
    assert_eq!(reader.notice(&unknown, Layer::First).unwrap(), None);
}

#[test]
fn a_ledger_of_format_2_is_brought_up_to_date_with_all_it_holds() {
    let dir = TempDir::new().unwrap();
    let path = settings(&dir).path;
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../schema.sql")).unwrap();
    old.execute_batch(
        "INSERT INTO meta VALUES (2, 0);
         INSERT INTO gap (time_ms, since_ms, lost, why) VALUES (7, 7, 3, 'before')",
    )
    .unwrap();
    drop(old);
    let error = Reader::open(&path).err().unwrap().to_string();
    assert!(error.contains("has format 2, and this consentry reads 5"), "{error}");
    for number in 1..=2 {
        let ledger = open(&dir);
        let mut spool = ledger.spool(0).unwrap();
        spool.keep(&receipt(number, 10));
        drop(spool);
        ledger.close().unwrap();
        assert_eq!(found(&dir, number), Found::Receipt(receipt(number, 10)));
        let gaps = reader(&dir).gaps(&Filter::default()).unwrap();
        assert_eq!(gaps.iter().map(|gap| gap.lost).collect::<Vec<_>>(), [3]);
    }
}

#[test]
fn a_receipt_line_that_cannot_be_read_costs_itself() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir));
    let lines = "{\"receipt\":{\"i\":\"x\"}}\n{\"erase\":{\"i\":\"x\",\"t\":1}}\n{\"notice\":{}}\n";
    fs::write(dir.path().join("ledger.db.spool/1-1-1-1.jsonl"), lines).unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.keep(&receipt(1, 10));
    ledger.flush().unwrap();
    assert_eq!(found(&dir, 1), Found::Receipt(receipt(1, 10)));
    assert_eq!(ledger.status().lost_entries, 3);
}

#[test]
fn f4_other_words_in_the_archive_are_not_taken_for_those_of_the_day() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.archive(&notice(Layer::First, 5, "<p>Ask</p>"));
    spool.keep(&receipt(1, 10));
    drop(spool);
    ledger.close().unwrap();
    assert!(reader(&dir).notice(&receipt(1, 10), Layer::First).unwrap().is_some());
    let other = zstd::bulk::compress(b"<p>Beg</p>", 3).unwrap();
    let conn = Connection::open(settings(&dir).path).unwrap();
    conn.execute("UPDATE notice SET html = ?1", [other]).unwrap();
    let error = reader(&dir).notice(&receipt(1, 10), Layer::First).unwrap_err().to_string();
    assert!(
        error.contains("the notice of receipt 0101") && error.contains("was changed"),
        "{error}"
    );
}
