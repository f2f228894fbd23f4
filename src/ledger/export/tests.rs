use super::*;
use crate::ledger::read::{Gap, Line};

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;
use bytes::Bytes;

/// A line whose page says what it likes.
fn line(entry: i64, what: &str) -> Line {
    let text = str::to_owned;
    Line {
        entry,
        time_ms: 1_790_000_000_007,
        site: text("shop"),
        page: text("/cart"),
        class: text("d"),
        undecided: true,
        signal: text("silence"),
        verdict: text("block"),
        reason: text("not granted"),
        layer: text("html"),
        kind: text("script"),
        what: text(what),
        vendor: Some(text("Acme, \"Ads\"")),
        vendor_id: None,
        purpose: Some(text("marketing")),
        rule: None,
        via: None,
        mode: text("enforce"),
        policy_revision: text("0123456789"),
    }
}

fn written(format: Format, lines: &[Line]) -> (Sum, Vec<u8>) {
    let mut export = Export::begin(format, DECISIONS, Vec::new()).unwrap();
    for line in lines {
        decision(line, |cells| export.row(cells)).unwrap();
    }
    export.finish().unwrap()
}

/// What a stranger may write, and what a spreadsheet may read of it.
const HOSTILE: [(&str, &str); 10] = [
    ("=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")"),
    ("+1", "'+1"),
    ("-1+1", "'-1+1"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "'\\u{9}=1"),
    ("\r=1", "'\\u{d}=1"),
    ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
    ("a\u{202e}b", "a\\u{202e}b"),
    ("a,\"b\"\nc", "a,\"b\"\\u{a}c"),
    ("ünï🦀", "ünï🦀"),
];

fn hostile() -> Vec<Line> {
    (1..).zip(HOSTILE).map(|(entry, (what, _))| line(entry, what)).collect()
}

#[test]
fn g7_csv_comes_back_and_no_cell_is_a_formula() {
    let (sum, bytes) = written(Format::Csv, &hostile());
    assert_eq!((sum.rows, sum.bytes), (10, bytes.len() as u64));
    assert_eq!(sum.sha256, crate::ledger::receipt::hash_of(std::str::from_utf8(&bytes).unwrap()));
    let mut csv = csv::Reader::from_reader(bytes.as_slice());
    let names: Vec<_> = csv.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(names, DECISIONS.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let rows: Vec<_> = csv.records().map(Result::unwrap).collect();
    for (row, (_, expected)) in rows.iter().zip(HOSTILE) {
        assert_eq!(&row[12], expected);
        assert_eq!((&row[1], &row[2]), ("2026-09-21T14:13:20.007Z", "1790000000007"));
        assert_eq!((&row[6], &row[13], &row[14]), ("true", "Acme, \"Ads\"", ""));
    }
    assert_eq!(rows.len(), 10);
    assert!(!bytes.iter().any(|byte| byte.is_ascii_control() && *byte != b'\n'));
}

#[test]
fn g7_json_lines_come_back_word_for_word_and_move_no_cursor() {
    let (_, bytes) = written(Format::Jsonl, &hostile());
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.contains(|char: char| char.is_control() && char != '\n' || char == '\u{202e}'));
    assert!(text.starts_with("{\"entry\":1,\"time\":\"2026-09-21T14:13:20.007Z\","), "{text}");
    assert_eq!(text.lines().count(), 10);
    for (line, (what, _)) in text.lines().zip(HOSTILE) {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["what"], what);
        assert_eq!((&row["undecided"], &row["vendor_id"]), (&Value::Bool(true), &Value::Null));
        assert_eq!(row.as_object().unwrap().len(), DECISIONS.columns.len());
    }
}

fn fields(bytes: Vec<u8>) -> Vec<Vec<(String, Field)>> {
    let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().into_columns()).collect()
}

#[test]
fn g7_parquet_comes_back_with_its_types() {
    let (sum, bytes) = written(Format::Parquet, &hostile());
    assert_eq!(sum.bytes, bytes.len() as u64);
    let rows = fields(bytes);
    assert_eq!(rows.len(), 10);
    for (row, (what, _)) in rows.iter().zip(HOSTILE) {
        let value = |name: &str| &row.iter().find(|(column, _)| column == name).unwrap().1;
        assert_eq!(value("what"), &Field::Str(plain::text(what).into_owned()));
        assert_eq!(value("time"), &Field::TimestampMillis(1_790_000_000_007));
        assert_eq!(value("undecided"), &Field::Bool(true));
        assert_eq!(value("vendor"), &Field::Str("Acme, \"Ads\"".into()));
        assert_eq!(value("vendor_id"), &Field::Null);
    }
}

#[test]
fn parquet_of_more_than_a_group_comes_back_in_order() {
    let mut export = Export::begin(Format::Parquet, GAPS, Vec::new()).unwrap();
    for n in 0..100_003_u64 {
        let why = if n % 2 == 0 { "even" } else { "odd" }.to_owned();
        let each = Gap { time_ms: n, since_ms: n / 2, lost: 1, why };
        gap(&each, |cells| export.row(cells)).unwrap();
    }
    let (sum, bytes) = export.finish().unwrap();
    assert_eq!(sum.rows, 100_003);
    let reader = SerializedFileReader::new(Bytes::from(bytes.clone())).unwrap();
    assert_eq!(reader.num_row_groups(), 2);
    let rows = fields(bytes);
    assert_eq!(rows.len(), 100_003);
    let wrong = (0..).zip(&rows).find(|(n, row)| row[1].1 != Field::Long(*n));
    assert_eq!(wrong, None);
}

#[test]
fn g7_parquet_of_many_texts_and_none_comes_back_row_by_row() {
    for (rows, texts) in [(1, 1), (9, 1), (8, 2), (17, 3), (1000, 257), (70_000, 70_000)] {
        let line = hostile().remove(0);
        let mut export = Export::begin(Format::Parquet, DECISIONS, Vec::new()).unwrap();
        let what = |row: usize| format!("{}.example/x.js", row * 7919 % texts);
        let rule = |row: usize| {
            (!row.is_multiple_of(3) && texts > 1).then(|| format!("rule {}", row % texts))
        };
        let undecided = |row: usize| row.is_multiple_of(5);
        for row in 0..rows {
            let (what, rule, undecided) = (what(row), rule(row), undecided(row));
            decision(&Line { what, rule, undecided, ..line.clone() }, |cells| export.row(cells))
                .unwrap();
        }
        let (_, bytes) = export.finish().unwrap();
        let found = fields(bytes);
        assert_eq!(found.len(), rows);
        for (row, columns) in found.iter().enumerate() {
            let value = |name: &str| &columns.iter().find(|(column, _)| column == name).unwrap().1;
            assert_eq!(value("what"), &Field::Str(what(row)), "{row} of {rows}");
            assert_eq!(
                value("rule"),
                &rule(row).map_or(Field::Null, Field::Str),
                "{row} of {rows}"
            );
            assert_eq!(value("undecided"), &Field::Bool(undecided(row)), "{row} of {rows}");
        }
    }
}

#[test]
fn a_table_without_rows_is_a_table() {
    for format in [Format::Csv, Format::Jsonl, Format::Parquet] {
        let export = Export::begin(format, AUDITS, Vec::new()).unwrap();
        let (sum, bytes) = export.finish().unwrap();
        assert_eq!(sum.rows, 0);
        match format {
            Format::Csv => assert!(bytes.starts_with(b"id,time,")),
            Format::Jsonl => assert!(bytes.is_empty()),
            Format::Parquet => assert_eq!(fields(bytes).len(), 0),
        }
    }
}
