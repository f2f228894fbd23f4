use super::*;
use crate::purpose::{Purpose, PurposeSet};
use http::HeaderValue;

const NOW_S: u64 = 1_760_000_000;

fn hear(fields: &[&str]) -> Vec<Heard> {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append("cookie", HeaderValue::from_bytes(field.as_bytes()).unwrap());
    }
    heard(&headers, &Signals::default(), NOW_S, 400 * 86_400)
}

fn only(fields: &[&str]) -> Reading {
    match hear(fields).as_slice() {
        [one] => one.reading,
        other => panic!("{fields:?}: {other:?}"),
    }
}

const YES: &str = "cc_cookie={\"categories\":[\"necessary\",\"analytics\"],\"revision\":0}";
const NO: &str = "cc_cookie={\"categories\":[\"necessary\"],\"revision\":0}";

#[test]
fn d9_two_cookies_of_one_name_grant_only_what_both_grant() {
    let analytics = |reading: Reading| {
        (
            reading.granted().contains(Purpose::Analytics),
            reading.denied().contains(Purpose::Analytics),
        )
    };
    assert_eq!(analytics(only(&[YES])), (true, false));
    assert_eq!(analytics(only(&[YES, YES])), (true, false));
    for fields in
        [&[YES, NO][..], &[NO, YES], &[&format!("{NO}; {YES}")], &[&format!("{YES}; a=b; {NO}")]]
    {
        assert_eq!(analytics(only(fields)), (false, true), "{fields:?}");
    }
    let torn = only(&[YES, "cc_cookie={\"cate"]);
    assert_eq!(analytics(torn), (false, false));
    assert!(torn.is_doubtful());
}

#[test]
fn d9_each_value_of_a_second_cookie_is_read() {
    let consent = "OptanonConsent=groups=C0002:1&AwaitingReconsent=false";
    let other = "OptanonConsent=groups=C0002:0&AwaitingReconsent=false";
    let closed = "OptanonAlertBoxClosed=x";
    assert!(only(&[consent, closed]).granted().contains(Purpose::Analytics));
    assert!(only(&[consent, other, closed]).denied().contains(Purpose::Analytics));
    assert!(only(&[consent, closed, "OptanonAlertBoxClosed="]).granted().is_empty());
}

#[test]
fn a_value_that_is_too_long_and_one_too_many_are_undecided() {
    let long = format!("{YES}; cc_cookie={}", "x".repeat(LONGEST + 1));
    let reading = only(&[&long]);
    assert!(reading.granted().is_empty() && reading.is_doubtful());
    let alone = only(&[&format!("cc_cookie={}", "x".repeat(LONGEST + 1))]);
    assert!(alone.is_doubtful());
    let many: Vec<String> =
        (0..5).map(|number| YES.replace("}", &format!(",\"n\":{number}}}"))).collect();
    let fields: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(only(&fields).granted().is_empty());
    assert!(!only(&fields[..4]).granted().is_empty());
    let ids: Vec<String> = (0..100)
        .map(|number| format!("_iub_cs-{number}={{\"purposes\":{{\"4\":true}}}}"))
        .collect();
    assert!(only(&[&ids.join("; ")]).granted().contains(Purpose::Analytics), "all the same");
    let names: Vec<String> = (0..100)
        .map(|number| format!("_iub_cs-{number}={{\"purposes\":{{\"4\":true}},\"id\":{number}}}"))
        .collect();
    assert!(only(&[&names.join("; ")]).granted().is_empty());
}

#[test]
fn d7_prefixed_names_and_d8_wrapped_strings_are_found() {
    let refused = "CQX48QAQX48QAAGABBENB3FgAAAAAAAAAAYgAAAAAAAA.YAAAAAAAAAAA";
    for name in ["euconsent-v2", "pl_euconsent-v2", "dm-euconsent-v2", "__cmpconsent1234"] {
        let all = hear(&[&format!("{name}={refused}")]);
        assert_eq!(all.len(), 1, "{name}");
        assert_eq!(all[0].source, Source::Tcf, "{name}");
        assert!(all[0].reading.denied().contains(Purpose::Marketing), "{name}");
    }
    for value in
        ["1YYN", "{\"uspString\":\"1YY-\"}", "%7B%22uspString%22%3A%221YY-%22%7D", "\"1YYN\""]
    {
        let reading = only(&[&format!("usprivacy={value}")]);
        assert_eq!(reading.denied(), PurposeSet::EMPTY.with(Purpose::Marketing), "{value}");
    }
    assert!(only(&["usprivacy={\"uspString\":1}"]).is_doubtful());
    assert_eq!(hear(&["IABGPP_HDR_GppString=DBABTA~1YYN"])[0].source, Source::Gpp);
    // Alone it says nothing; the TC string beside it does.
    assert_eq!(hear(&["consentUUID=1a2b_48; euconsent=x; myusprivacy=1YYN"]), []);
    assert_eq!(hear(&["_iub_cs-1-granular={}; _iub_cs-1-uspr={}; real_cookie_banner-tcf=x"]), []);
}
