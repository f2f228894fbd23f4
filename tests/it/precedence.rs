//! Which signal wins: the table of docs/consent.md, row by row, and the list
//! of signals there.

use consentry::consent::{
    self, Keys, ReceiptId, Record, Regions, Rule, Settings, Signals, Source, State, Tool,
    VendorChoices,
};
use consentry::purpose::{Purpose, PurposeSet};
use http::{HeaderMap, HeaderValue};

const DOCS: &str = include_str!("../../docs/consent.md");
const NOW_S: u64 = 1_790_000_000;

/// Agrees to purposes 1 to 4, 7 and 8, made in September 2026.
const TC_YES: &str = "CQq3yQAQq3yQAAAAAAAAAAFgAPMAAAAAAAAAF5wAwAaABbAXmAAAAA.IAtwAwAaABMAC2";
/// The same with no purpose.
const TC_NO: &str = "CQq3yQAQq3yQAAAAAAAAAAFgAAAAAAAAAAAAF5wAwAaABbAXmAAAAA.IAtwAwAaABMAC2";

fn settings() -> Settings {
    Settings {
        keys: Keys::from_secret([1; 32]),
        lifetime_s: 180 * 24 * 60 * 60,
        notice_revision: 1,
        same_as: Vec::new(),
        signals: Signals::default(),
        regions: Regions::default(),
    }
}

/// Our own cookie of somebody who chose an hour ago.
fn own(granted: PurposeSet, made_under_gpc: bool) -> String {
    let record = Record {
        granted,
        decided: PurposeSet::ALL,
        made_under_gpc,
        after_doubt: false,
        notice_revision: 1,
        time_s: NOW_S - 3600,
        receipt: ReceiptId::new([0; 16]),
        vendors: VendorChoices::default(),
    };
    format!("consentry={}", settings().keys.sign("shop", &record))
}

/// What a browser sends for a word in a column of the table.
fn cookie(column: &str, word: &str) -> Option<String> {
    let cookie = match (column, word) {
        (_, "-") => return None,
        ("own choice", "all") => own(PurposeSet::ALL, false),
        ("own choice", "all, under GPC") => own(PurposeSet::ALL, true),
        ("own choice", "none") => own(PurposeSet::EMPTY, false),
        ("own choice", "analytics") => own(PurposeSet::EMPTY.with(Purpose::Analytics), false),
        ("own choice", "forged") => own(PurposeSet::ALL, false) + "x",
        ("tool", "all") => {
            "cc_cookie={\"categories\":[\"functional\",\"analytics\",\"marketing\"]}".into()
        }
        ("tool", "analytics") => "cc_cookie={\"categories\":[\"analytics\"]}".into(),
        ("tool", "none") => "cc_cookie={\"categories\":[\"necessary\"]}".into(),
        ("tool", "torn") => "cc_cookie={\"categories\":[\"analytics\"".into(),
        ("TCF", "agreed") => format!("euconsent-v2={TC_YES}"),
        ("TCF", "refused") => format!("euconsent-v2={TC_NO}"),
        ("TCF", "torn") => format!("euconsent-v2={}", TC_YES.split_at(50).0),
        ("GPP", "opted out") => "IABGPP_HDR_GppString=DBABJg~BVVVVVg".into(),
        ("GPP", "not opted out") => "IABGPP_HDR_GppString=DBABRg~BAAAABA".into(),
        ("GPP", "torn") => "IABGPP_HDR_GppString=DBABJg~BVV".into(),
        _ => panic!("docs/consent.md: `{word}` is no word for the column `{column}`"),
    };
    Some(cookie)
}

/// The purposes as the table tells of them.
fn outcome(cells: &[&str]) -> Vec<String> {
    let [own, gpc, tool, tcf, gpp, region] = cells else { panic!("{cells:?}") };
    let columns = [("own choice", own), ("tool", tool), ("TCF", tcf), ("GPP", gpp)];
    let cookies: Vec<_> =
        columns.iter().filter_map(|(column, word)| cookie(column, word)).collect();
    let mut headers = HeaderMap::new();
    headers.insert("cookie", HeaderValue::from_str(&cookies.join("; ")).unwrap());
    match *gpc {
        "1" => drop(headers.insert("sec-gpc", HeaderValue::from_static("1"))),
        "0" => drop(headers.insert("sec-gpc", HeaderValue::from_static("0"))),
        _ => assert_eq!(*gpc, "-"),
    }
    let rule = match *region {
        "opt in" => Rule::OptIn,
        "opt out" => Rule::OptOut,
        "off" => Rule::Off,
        other => panic!("docs/consent.md: `{other}` is no region"),
    };
    let consent =
        consent::read(&headers, &["consentry"], "shop", &settings(), NOW_S).in_region(rule);
    let word = |purpose: Purpose| {
        let source = match consent.source_of(purpose) {
            Source::Choice => "own",
            Source::Tool(_) => "tool",
            other => other.name(),
        };
        match consent.state(purpose) {
            State::Granted => format!("yes ({source})"),
            State::Denied => format!("no ({source})"),
            State::Undecided => "undecided".to_owned(),
        }
    };
    Purpose::OPTIONAL.map(word).to_vec()
}

/// The rows of the table below a heading, without its head.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, below) =
        DOCS.split_once(heading).unwrap_or_else(|| panic!("docs/consent.md: no {heading}"));
    below
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn d5_the_weightiest_signal_wins_as_the_documentation_says() {
    let rows = rows("## Which signal wins");
    assert!(rows.len() >= 24, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let (sent, expected) = row.split_at(6);
        let found = outcome(sent);
        if found != expected {
            wrong.push(format!("| {} | {} |", sent.join(" | "), found.join(" | ")));
        }
    }
    assert!(
        wrong.is_empty(),
        "docs/consent.md says otherwise than what happens:\n{}",
        wrong.join("\n")
    );
    let mut once = rows.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), rows.len(), "a row stands there twice");
}

#[test]
fn d5_the_table_has_every_signal_winning_and_losing() {
    let rows = rows("## Which signal wins");
    for source in ["own", "gpc", "tool", "tcf", "gpp", "region"] {
        for verdict in ["yes", "no"] {
            let wins =
                rows.iter().any(|row| row.contains(&format!("{verdict} ({source})").as_str()));
            let cannot = matches!((verdict, source), ("yes", "gpc" | "gpp") | ("no", "region"));
            assert_eq!(wins, !cannot, "{verdict} ({source})");
        }
    }
}

#[test]
fn d9_the_documentation_lists_every_tool_with_its_certainty() {
    let rows = rows("## Other consent tools");
    let listed: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let tools: Vec<_> = Tool::ALL.iter().map(|tool| tool.name()).collect();
    assert_eq!(listed, tools);
    for (row, tool) in rows.iter().zip(Tool::ALL) {
        assert_eq!(row[2], if tool.is_certain() { "on" } else { "off until named" }, "{}", row[0]);
        assert!(row[1].contains('`') && row.len() == 6, "{row:?}");
    }
    for source in [Source::Tcf, Source::Gpp, Source::UsPrivacy] {
        assert!(DOCS.contains(&format!("`{}`", source.name())), "{}", source.name());
    }
}
