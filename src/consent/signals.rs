//! Reads what a browser sent, and decides which signal wins.

use crate::consent::heard::{Heard, Signals, heard};
use crate::consent::{COOKIE_NAMES, Consent, Keys, Record, Regions, Source};
use crate::purpose::{Purpose, PurposeSet};

use http::HeaderMap;
use http::header::COOKIE;

/// How one site takes consent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The secrets that sign choices.
    pub keys: Keys,
    /// How long a choice lasts, in seconds; an older one is undecided.
    pub lifetime_s: u64,
    /// The notice's revision: what was granted on another one is undecided.
    pub notice_revision: u32,
    /// Other revisions that asked the same.
    pub same_as: Vec<u32>,
    /// Which signals of others count.
    pub signals: Signals,
    /// What silence means where.
    pub regions: Regions,
}

impl Settings {
    /// Whether what was granted then is granted now: the question was the
    /// same. A "no" counts whatever was asked.
    #[must_use]
    pub fn covers(&self, record: &Record) -> bool {
        self.asks_as(record.notice_revision)
    }

    /// Whether the notice of that revision asked what is asked now.
    #[must_use]
    pub fn asks_as(&self, revision: u32) -> bool {
        revision == self.notice_revision || self.same_as.contains(&revision)
    }
}

/// The consent of the visitor who sent `headers`.
///
/// Strongest first: a choice made here, then Global Privacy Control, then the
/// cookie of another consent tool, TCF, GPP, US Privacy, then nothing. Each
/// purpose by itself: a weaker signal decides what the stronger ones left. One
/// exception: GPC outweighs a choice that was made while GPC was *off*,
/// because the later of the two words is the "no". What silence means where
/// the visitor is, [`Consent::in_region`] adds.
///
/// `cookie_names` and `scope` (what a choice is signed for) tell which cookie
/// counts; `now_s` is the time in seconds since 1970.
#[must_use]
pub fn read(
    headers: &HeaderMap,
    cookie_names: &[&str],
    scope: &str,
    settings: &Settings,
    now_s: u64,
) -> Consent {
    let records = |names: &[&str]| -> Vec<Record> {
        let values = names.iter().flat_map(|name| cookie_values(headers, name));
        let signed = values.filter_map(|value| settings.keys.verify(scope, value));
        signed.filter(|record| is_current(record, settings, now_s)).collect()
    };
    let record = latest(records(cookie_names));
    let mut consent = Consent { gpc: global_privacy_control(headers), ..Consent::silent() };
    let covered = record.as_ref().is_some_and(|record| settings.covers(record));
    let chosen = record.as_ref().filter(|_| covered);
    if consent.gpc {
        // Only what was decided while the signal was on outweighs it.
        let explicit = chosen.filter(|record| record.made_under_gpc);
        let denied: PurposeSet =
            [Purpose::Marketing, Purpose::Personalization].into_iter().collect();
        let denied = denied.minus(explicit.map_or(PurposeSet::EMPTY, |record| record.decided));
        consent.decide(PurposeSet::EMPTY, denied, Source::Gpc);
    }
    // A "no" counts under whatever name of ours it was kept, unless there is a
    // later word.
    let others: Vec<&str> =
        COOKIE_NAMES.iter().copied().filter(|name| !cookie_names.contains(name)).collect();
    let since = record.as_ref().map_or(0, |record| record.time_s);
    for other in records(&others).iter().filter(|other| other.time_s > since) {
        consent.decide(PurposeSet::EMPTY, other.decided.minus(other.granted), Source::Choice);
    }
    if let Some(record) = &record {
        let refused = record.decided.minus(record.granted);
        let granted = chosen.map_or(PurposeSet::EMPTY, |record| record.granted);
        consent.decide(granted, refused, Source::Choice);
    }
    if consent.is_undecided() {
        // A choice of ours that does not count (any more) may be a "no".
        let kept = COOKIE_NAMES.iter().any(|name| cookie_values(headers, name).next().is_some());
        consent.doubtful =
            (!covered && kept) || record.as_ref().is_some_and(|record| record.after_doubt);
        hear_others(&mut consent, headers, settings, now_s);
    }
    let vendors = record.as_ref().map(|record| {
        // The later word is the "no" here, too.
        let outweighed = consent.gpc && !record.made_under_gpc;
        if outweighed || !covered { record.vendors.only_refused() } else { record.vendors.clone() }
    });
    consent.record = record;
    consent.with_vendors(vendors.unwrap_or_default())
}

/// The latest of several choices. Where they differ, another host of the
/// domain may have set one of them: only what all of them grant is granted,
/// and every "no" counts.
fn latest(mut records: Vec<Record>) -> Option<Record> {
    records.sort_by_key(|record| record.time_s);
    let last = records.pop()?;
    Some(records.iter().fold(last, agreed))
}

/// What `other`, the earlier one, leaves of `last`.
fn agreed(last: Record, other: &Record) -> Record {
    let decided = last.decided.or(other.decided.minus(other.granted));
    let granted = last.granted.and(other.granted);
    let allowed = last.vendors.allowed().iter().filter(|vendor| !other.vendors.allows(vendor));
    let vendors = allowed.fold(last.vendors.clone(), |vendors, vendor| vendors.without(vendor));
    let refused = other.vendors.refused().iter();
    match refused.cloned().try_fold(vendors, |vendors, vendor| vendors.with_refused(&vendor)) {
        Some(vendors) => Record { decided, granted, vendors, ..last },
        // A "no" to a vendor that finds no place is one to its purposes.
        None => {
            let vendors = last.vendors.only_refused();
            Record { decided, granted: PurposeSet::EMPTY, vendors, ..last }
        }
    }
}

/// Fills what is left with what others were told.
fn hear_others(consent: &mut Consent, headers: &HeaderMap, settings: &Settings, now_s: u64) {
    let others = heard(headers, &settings.signals, now_s, settings.lifetime_s);
    let tools = others.iter().filter(|heard| matches!(heard.source, Source::Tool(_)));
    // Of several tools none is stronger: a "no" in one of them wins.
    let denied = tools.clone().fold(PurposeSet::EMPTY, |all, heard| all.or(heard.reading.denied()));
    // Nor does one grant where another cannot be read: that may be the "no".
    let is_torn = |tool: &Heard| tool.reading.is_doubtful();
    let in_doubt: Vec<Source> =
        tools.filter(|tool| is_torn(tool)).map(|tool| tool.source).collect();
    for other in &others {
        let granted = match other.source {
            Source::Tool(_) if in_doubt.iter().any(|torn| *torn != other.source) => {
                PurposeSet::EMPTY
            }
            Source::Tool(_) => other.reading.granted().minus(denied),
            _ => other.reading.granted(),
        };
        consent.decide(granted, other.reading.denied(), other.source);
        consent.doubtful |= other.reading.is_doubtful();
    }
}

/// Whether the browser sends Global Privacy Control: a `Sec-GPC` field whose
/// value is exactly `1` (<https://w3c.github.io/gpc/>, "The Sec-GPC Header
/// Field"); anything else is ignored, and one exact field suffices.
#[must_use]
pub fn global_privacy_control(headers: &HeaderMap) -> bool {
    headers.get_all("sec-gpc").iter().any(|value| value.as_bytes() == b"1")
}

/// The values of every cookie called `name`, as sent.
pub fn cookie_values<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b';'))
        .filter_map(move |pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// A minute of a clock that runs ahead is forgiven; a choice from the future
/// is not.
fn is_current(record: &Record, settings: &Settings, now_s: u64) -> bool {
    record.time_s <= now_s.saturating_add(60)
        && now_s.saturating_sub(record.time_s) <= settings.lifetime_s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::{ReceiptId, Rule, State, VendorChoices};
    use http::HeaderValue;

    const NOW_S: u64 = 1_790_000_000;

    fn settings() -> Settings {
        Settings {
            keys: Keys::from_secret([1; 32]),
            lifetime_s: 1000,
            notice_revision: 3,
            same_as: vec![2],
            signals: Signals::default(),
            regions: Regions::default(),
        }
    }

    fn cookie(granted: PurposeSet, made_under_gpc: bool, age_s: u64, revision: u32) -> String {
        let record = Record {
            granted,
            decided: PurposeSet::ALL,
            made_under_gpc,
            after_doubt: false,
            notice_revision: revision,
            time_s: NOW_S - age_s,
            receipt: ReceiptId::new([0; 16]),
            vendors: VendorChoices::default().with_allowed("youtube").with_refused("acme").unwrap(),
        };
        format!("consentry={}", settings().keys.sign("shop", &record))
    }

    fn consent(fields: &[(&'static str, &str)]) -> Consent {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        read(&headers, &["consentry"], "shop", &settings(), NOW_S)
    }

    #[test]
    fn d2_silence_is_undecided_and_grants_nothing() {
        let nobody = consent(&[("cookie", "a=b; consentry2=x")]);
        assert_eq!(nobody, Consent::silent());
        assert!(nobody.is_undecided());
        assert_eq!(nobody.state(Purpose::Analytics), State::Undecided);
        assert!(nobody.grants(Purpose::Necessary));
        let refused = consent(&[("cookie", &cookie(PurposeSet::EMPTY, false, 10, 3))]);
        assert_eq!(refused.state(Purpose::Analytics), State::Denied);
        assert!(!refused.is_undecided());
        assert_eq!(refused.source(), Source::Choice);
    }

    #[test]
    fn d1_an_old_choice_counts_until_it_is_outdated() {
        let all = PurposeSet::ALL;
        for (age_s, revision, grants) in
            [(10, 3, true), (1001, 3, false), (10, 1, false), (10, 4, false), (10, 2, true)]
        {
            let consent = consent(&[("cookie", &cookie(all, false, age_s, revision))]);
            assert_eq!(
                consent.grants(Purpose::Analytics),
                grants,
                "{age_s} s, revision {revision}"
            );
        }
    }

    #[test]
    fn e10_another_notice_asks_again_for_what_was_granted_and_for_nothing_else() {
        let some = PurposeSet::NECESSARY.with(Purpose::Analytics);
        let asked = consent(&[("cookie", &cookie(some, false, 10, 1))]);
        assert_eq!(asked.state(Purpose::Analytics), State::Undecided);
        assert_eq!(asked.state(Purpose::Marketing), State::Denied);
        assert!(asked.is_undecided());
        let vendors = asked.vendors().unwrap();
        assert!(vendors.allowed().is_empty() && vendors.refuses("acme"));

        let refused = consent(&[("cookie", &cookie(PurposeSet::NECESSARY, false, 10, 1))]);
        assert!(!refused.is_undecided(), "a \"no\" is no answer to be asked for twice");
        let late = consent(&[("cookie", &cookie(PurposeSet::NECESSARY, false, 1001, 1))]);
        assert!(late.is_undecided(), "until it is too old");
    }

    #[test]
    fn d3_gpc_is_honoured_when_it_says_exactly_1() {
        for (values, honoured) in [
            (&["1"][..], true),
            (&["0"], false),
            (&["true"], false),
            (&["1 "], false),
            (&["1, 1"], false),
            (&["0", "1"], true),
            (&[""], false),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("sec-gpc", *value)).collect();
            let consent = consent(&fields);
            assert_eq!(consent.gpc(), honoured, "{values:?}");
            let expected = if honoured { State::Denied } else { State::Undecided };
            assert_eq!(consent.state(Purpose::Marketing), expected, "{values:?}");
            assert_eq!(consent.state(Purpose::Analytics), State::Undecided, "{values:?}");
        }
    }

    #[test]
    fn gpc_yields_only_to_a_choice_made_while_it_was_on() {
        let before = cookie(PurposeSet::ALL, false, 10, 3);
        let under = cookie(PurposeSet::ALL, true, 10, 3);
        let before = consent(&[("cookie", &before), ("sec-gpc", "1")]);
        assert!(!before.grants(Purpose::Marketing));
        assert!(before.grants(Purpose::Analytics));
        assert_eq!(before.source(), Source::Gpc);
        let vendors = before.vendors().unwrap();
        assert!(vendors.allowed().is_empty() && vendors.refuses("acme"));
        let under = consent(&[("cookie", &under), ("sec-gpc", "1")]);
        assert!(under.grants(Purpose::Marketing));
        assert!(under.vendors().unwrap().allows("youtube"));
        assert_eq!(under.source(), Source::Choice);
    }

    #[test]
    fn d3_a_record_without_a_word_on_it_leaves_gpc_in_force() {
        // Somebody decided about one vendor while the signal was on.
        let record = Record {
            granted: PurposeSet::NECESSARY,
            decided: PurposeSet::NECESSARY,
            made_under_gpc: true,
            after_doubt: false,
            notice_revision: 3,
            time_s: NOW_S - 10,
            receipt: ReceiptId::new([0; 16]),
            vendors: VendorChoices::default().with_allowed("youtube"),
        };
        let own = |record: &Record| format!("consentry={}", settings().keys.sign("shop", record));
        let heard = "wp_consent_marketing=allow; wp_consent_statistics=allow";
        let both = consent(&[("cookie", &format!("{}; {heard}", own(&record))), ("sec-gpc", "1")]);
        assert!(!both.grants(Purpose::Marketing) && both.grants(Purpose::Analytics));
        assert!(both.vendors().unwrap().allows("youtube"));
        // Nor does a choice on another notice.
        let old = Record {
            granted: PurposeSet::ALL,
            decided: PurposeSet::ALL,
            notice_revision: 9,
            ..record
        };
        let both = consent(&[("cookie", &format!("{}; {heard}", own(&old))), ("sec-gpc", "1")]);
        assert!(!both.grants(Purpose::Marketing));
    }

    #[test]
    fn d14_of_several_choices_only_what_all_grant_is_granted() {
        let refused = cookie(PurposeSet::EMPTY, false, 100, 3);
        let planted = cookie(PurposeSet::ALL, false, 10, 3);
        for both in [format!("{refused}; {planted}"), format!("{planted}; {refused}")] {
            assert!(!consent(&[("cookie", &both)]).grants(Purpose::Analytics));
        }
        let same = cookie(PurposeSet::ALL, false, 50, 3);
        assert!(consent(&[("cookie", &format!("{same}; {planted}"))]).grants(Purpose::Analytics));
    }

    #[test]
    fn d14_a_later_choice_about_something_else_takes_no_refusal_away() {
        let refused = cookie(PurposeSet::EMPTY, false, 100, 3);
        let later = Record {
            granted: PurposeSet::NECESSARY,
            decided: PurposeSet::NECESSARY,
            made_under_gpc: false,
            after_doubt: false,
            notice_revision: 3,
            time_s: NOW_S - 10,
            receipt: ReceiptId::new([0; 16]),
            vendors: VendorChoices::default(),
        };
        let with = |later: &Record| {
            let later = settings().keys.sign("shop", later);
            let heard = "wp_consent_marketing=allow";
            consent(&[("cookie", &format!("{refused}; consentry={later}; {heard}"))])
        };
        let both = with(&later);
        assert_eq!(both.state(Purpose::Marketing), State::Denied);
        assert!(both.vendors().unwrap().refuses("acme"));
        // Nor does one that leaves no room for it.
        let mut full = VendorChoices::default();
        for number in 0.. {
            match full.clone().with_refused(&format!("{number:03}")) {
                Some(more) => full = more,
                None => break,
            }
        }
        let all = PurposeSet::ALL;
        let granting = cookie(all, false, 50, 3);
        let later = settings().keys.sign("shop", &Record { granted: all, vendors: full, ..later });
        let both = consent(&[("cookie", &format!("{granting}; consentry={later}"))]);
        assert!(!both.grants(Purpose::Analytics));
    }

    #[test]
    fn d1_a_no_counts_under_every_name_of_ours_and_a_yes_does_not() {
        let named = |cookie: String| cookie.replacen("consentry=", "__Secure-consentry=", 1);
        let refused = named(cookie(PurposeSet::EMPTY, false, 10, 3));
        let consent_of = consent(&[("cookie", &refused)]);
        assert_eq!(consent_of.state(Purpose::Marketing), State::Denied);
        let granted = named(cookie(PurposeSet::ALL, false, 10, 3));
        let consent_of = consent(&[("cookie", &granted)]);
        assert_eq!(consent_of.state(Purpose::Marketing), State::Undecided);
        assert!(consent_of.is_doubtful());
        let later = cookie(PurposeSet::ALL, false, 5, 3);
        assert!(consent(&[("cookie", &format!("{refused}; {later}"))]).grants(Purpose::Marketing));
    }

    #[test]
    fn d9_no_tool_grants_while_another_cannot_be_read() {
        let granting = "wp_consent_marketing=allow; wp_consent_statistics=deny";
        assert!(consent(&[("cookie", granting)]).grants(Purpose::Marketing));
        for torn in [
            "CookieConsent={stamp:'x',necessary:true,marketing:fal",
            "klaro={\"ga\":false,\"ga\":true}",
            "OptanonConsent=groups=C0004:0&AwaitingReconsent=false",
        ] {
            let both = consent(&[("cookie", &format!("{torn}; {granting}"))]);
            assert_eq!(both.state(Purpose::Marketing), State::Undecided, "{torn}");
            assert_eq!(both.state(Purpose::Analytics), State::Denied, "{torn}");
            assert!(both.is_doubtful(), "{torn}");
        }
        // Before anybody answered there is no "no" that could be lost.
        let waiting = format!("tarteaucitron=!gtag=wait; {granting}");
        assert!(consent(&[("cookie", &waiting)]).grants(Purpose::Marketing));
    }

    #[test]
    fn d13_a_no_that_a_tool_wrote_unasked_is_no_silence_anywhere() {
        for (cookies, silent) in [
            ("OptanonConsent=isGpcEnabled=0&groups=C0001:1,C0004:1&AwaitingReconsent=false", true),
            ("OptanonConsent=isGpcEnabled=0&groups=C0001:1,C0004:0&AwaitingReconsent=false", false),
            ("OptanonConsent=groups=C0001%253A1%252CC0004%253A0&AwaitingReconsent=false", false),
            ("OptanonConsent=isGpcEnabled=1&groups=C0001:1,C0004:1", false),
            ("OptanonConsent=isGpcEnabled=0&browserGpcFlag=1&groups=C0001:1", false),
            (
                "OptanonAlertBoxClosed=x; OptanonConsent=groups=C0004:0&AwaitingReconsent=true",
                false,
            ),
            ("_tracking_consent={\"purposes\":{\"a\":true,\"p\":true,\"m\":true}}", true),
            ("_tracking_consent={\"purposes\":{\"a\":false,\"p\":false,\"m\":false}}", false),
            (
                "_tracking_consent={\"con\":{\"CMP\":{\"a\":\"\",\"m\":\"\"}},\"purposes\":{\"a\":true,\"m\":false}}",
                false,
            ),
            ("notice_behavior=implied,us", true),
            ("notice_behavior=implied,us; gpcishonored=false", true),
            ("notice_behavior=implied,us; gpcishonored=true", false),
            ("gpcishonored=true", false),
            ("notice_behavior=implied,us; notice_gdpr_prefs=0:", false),
            ("notice_behavior=implied,us; notice_gdpr_prefs=0,1,2:", true),
            ("cmplz_banner-status=show; cmplz_marketing=allow", true),
            ("cmplz_banner-status=show; cmplz_marketing=deny", false),
            ("cookieyes-consent=consentid:x,consent:,action:,advertisement:", true),
            ("cookieyes-consent=consentid:x,consent:no,action:,advertisement:no", false),
            ("CookieConsent={stamp:'x',marketing:true,method:'implied'}", true),
            ("CookieConsent={stamp:'x',marketing:false,method:'implied'}", false),
            ("axeptio_cookies={\"x\":false,\"$$completed\":false}", false),
        ] {
            let abroad = consent(&[("cookie", cookies)]).in_region(Rule::OptOut);
            assert_eq!(abroad.grants(Purpose::Marketing), silent, "{cookies}");
            assert_eq!(abroad.is_doubtful(), !silent, "{cookies}");
            let at_home = consent(&[("cookie", cookies)]);
            assert!(at_home.is_undecided() && !at_home.grants(Purpose::Marketing), "{cookies}");
        }
    }

    #[test]
    fn of_two_choices_the_later_one_counts() {
        let granted = cookie(PurposeSet::ALL, false, 100, 3);
        let refused = cookie(PurposeSet::EMPTY, false, 10, 3);
        let both = consent(&[("cookie", &format!("{refused}; {granted}"))]);
        assert!(!both.grants(Purpose::Analytics));
    }
}
