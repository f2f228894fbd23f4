mod doubts;

use super::*;
use crate::consent::{Heard, Signals, Source, heard};
use http::{HeaderMap, HeaderValue};

const NOW_S: u64 = 1_750_000_000;
const LIFETIME_S: u64 = 180 * 24 * 60 * 60;

fn headers(cookies: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("cookie", HeaderValue::from_bytes(cookies.as_bytes()).unwrap());
    headers
}

fn hear(cookies: &str, signals: &Signals) -> Vec<Heard> {
    heard(&headers(cookies), signals, NOW_S, LIFETIME_S)
}

/// The letters of what is granted, then of what is denied.
fn letters(reading: &Reading) -> String {
    let letter = |purpose: Purpose| purpose.name().chars().next().unwrap();
    let of = |set: PurposeSet| set.iter().map(letter).collect::<String>();
    format!("+{} -{}", of(reading.granted()), of(reading.denied()))
}

/// Checks what the one tool whose cookies are there says, without any ids.
fn check(tool: Tool, cookies: &str, expected: &str) {
    check_with(&Signals::default(), tool, cookies, expected);
}

fn check_with(signals: &Signals, tool: Tool, cookies: &str, expected: &str) {
    let all = hear(cookies, signals);
    let [one] = all.as_slice() else { panic!("{cookies}: {all:?}") };
    assert_eq!(one.source, Source::Tool(tool), "{cookies}");
    let said = match letters(&one.reading).as_str() {
        "+ -" if one.reading.is_doubtful() => "doubtful".to_owned(),
        "+ -" => "undecided".to_owned(),
        said => said.to_owned(),
    };
    assert_eq!(said, expected, "{cookies}: {:?}", one.reading);
}

fn explained(tool: Tool, ids: &[(&str, Purpose)]) -> Signals {
    let ids = ids.iter().map(|(id, purpose)| ((*id).to_owned(), PurposeSet::EMPTY.with(*purpose)));
    Signals { ids: [(tool, ids.collect())].into(), ..Signals::default() }
}

const CLOSED: &str = "; OptanonAlertBoxClosed=2025-06-01T10:00:00.000Z";

#[test]
fn d9_onetrust() {
    let cookie = |groups: &str| {
        format!(
            "OptanonConsent=isGpcEnabled=0&datestamp=Sun+Jun+01+2025+10%3A00%3A00+GMT%2B0200&version=202409.1.0&hosts=&landingPath=NotLandingPage&groups={groups}&AwaitingReconsent=false&geolocation=AR%3BC"
        )
    };
    let all = "C0001%3A1%2CC0002%3A1%2CC0003%3A1%2CC0004%3A1%2CC0005%3A1";
    let some = "C0001:1,C0002:0,C0003:1,C0004:0";
    let none = "C0001%3A1%2CC0002%3A0%2CC0003%3A0%2CC0004%3A0";
    let check = |cookies: &str, expected| check(Tool::OneTrust, cookies, expected);
    check(&(cookie(all) + CLOSED), "+fam -");
    check(&(cookie(&all.replace('%', "%25")) + CLOSED), "+fam -");
    check(&(cookie(some) + CLOSED), "+f -am");
    check(&(cookie(none) + CLOSED), "+ -fapm");
    // Social media follow people, too.
    check(&(cookie("C0001:1,C0004:1,C0005:0") + CLOSED), "+ -m");
    // Without its second cookie nobody answered.
    check(&cookie(all), "undecided");
    check(&(cookie(all) + "; OptanonAlertBoxClosed="), "undecided");
    check(&(cookie(all).replace("t=false", "t=true") + CLOSED), "undecided");
    // Groups of the site's own.
    check(&(cookie("1:1,3:1,BG71:1") + CLOSED), "undecided");
    check(&(cookie("1:1,BG71:1,C0004:0") + CLOSED), "+ -m");
    // The whole query encoded once more.
    let (_, value) =
        cookie(all).split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let encoded = value.replace('%', "%25").replace('&', "%26").replace('=', "%3D");
    check(&format!("OptanonConsent={encoded}{CLOSED}"), "+fam -");
    for torn in [
        "groups=C0002%3A1",
        "groups=C0002%3A1%2&AwaitingReconsent=false",
        "groups=C0002&AwaitingReconsent=false",
        "groups=C0002:1&groups=C0002:0&AwaitingReconsent=false",
        "groups=&AwaitingReconsent=false",
        "x",
        "",
    ] {
        check(&format!("OptanonConsent={torn}{CLOSED}"), "doubtful");
    }
    let signals = explained(
        Tool::OneTrust,
        &[
            ("BG71", Purpose::Marketing),
            ("3", Purpose::Analytics),
            ("C0003", Purpose::Personalization),
        ],
    );
    check_with(&signals, Tool::OneTrust, &(cookie("1:1,3:1,BG71:0,C0003:1") + CLOSED), "+ap -m");
}

#[test]
fn d9_cookiebot() {
    let cookie = |middle: &str| {
        format!(
            "CookieConsent={{stamp:'a,b=',necessary:true,{middle},ver:1,utc:1749000000000,region:'fr'}}"
        )
    };
    let check = |cookies: &str, expected| check(Tool::Cookiebot, cookies, expected);
    let some = cookie("preferences:false,statistics:true,marketing:false");
    check(&some, "+a -fm");
    check(
        &cookie("preferences:false,statistics:false,marketing:false,method:'explicit'"),
        "+ -fapm",
    );
    check(&cookie("preferences:true,statistics:true,marketing:true,method:'explicit'"), "+fam -");
    check(
        &some.replace('{', "%7B").replace('\'', "%27").replace(',', "%2C").replace('}', "%7D"),
        "+a -fm",
    );
    check(&cookie("preferences:true,statistics:true,marketing:true,method:'implied'"), "undecided");
    check(
        &cookie("preferences:true,statistics:true,marketing:true").replace("1749", "1649"),
        "undecided",
    );
    check("CookieConsent=-1", "undecided");
    check("CookieConsent=0", "undecided");
    check(
        "CookieConsent={stamp:'-1',necessary:true,preferences:true,statistics:true,marketing:true,ver:1}",
        "undecided",
    );
    for torn in [
        some.get(..60).unwrap(),
        &some.replace("false}", "fals}"),
        &some.replace("'fr'", "'fr"),
        "CookieConsent=true",
        "CookieConsent={stamp:1}",
        &cookie("statistics:true"),
        &cookie("preferences:1,statistics:1,marketing:1"),
        &cookie("preferences:true,statistics:true,marketing:true,marketing:true"),
    ] {
        if torn != some {
            check(torn, "doubtful");
        }
    }
}

#[test]
fn d9_tools_with_categories_of_a_meaning() {
    for (tool, cookies, expected) in [
        (
            Tool::CookieConsent,
            "cc_cookie={\"categories\":[\"necessary\",\"analytics\"],\"revision\":0,\"data\":null}",
            "+a -fm",
        ),
        (
            Tool::CookieConsent,
            "cc_cookie=%7B%22categories%22%3A%5B%22necessary%22%5D%2C%22revision%22%3A0%7D",
            "+ -fapm",
        ),
        (
            Tool::CookieConsent,
            "cc_cookie={\"level\":[\"necessary\",\"analytics\",\"ads\",\"functionality\"],\"revision\":0}",
            "+fam -",
        ),
        (
            Tool::CookieConsent,
            "cc_cookie={\"categories\":[\"necessary\",\"analytics\",\"targeting\"],\"revision\":0}",
            "+a -",
        ),
        (
            Tool::CookieConsent,
            "cc_cookie={\"categories\":[\"necessary\",\"analytics\"],\"revision\":3}",
            "+ -fm",
        ),
        (Tool::CookieConsent, "cc_cookie={\"categories\":\"analytics\"}", "doubtful"),
        (Tool::CookieConsent, "cc_cookie={\"categories\":[\"necessary\",\"analytics\"", "doubtful"),
        (
            Tool::CookieYes,
            "cookieyes-consent=consentid:abc,consent:yes,action:yes,necessary:yes,functional:yes,analytics:yes,performance:yes,advertisement:no",
            "+fa -m",
        ),
        (
            Tool::CookieYes,
            "cookieyes-consent=consentid:abc,consent:no,action:yes,necessary:yes,functional:no,analytics:no,performance:no,advertisement:no",
            "+ -fapm",
        ),
        (
            Tool::CookieYes,
            "cookieyes-consent=consentid:abc,consent:yes,action:yes,necessary:yes,functional:yes,analytics:yes,performance:no,advertisement:yes",
            "+fm -a",
        ),
        (
            Tool::CookieYes,
            "cookieyes-consent=consentid:abc,consent:yes,action:yes,necessary:yes,functional:yes,analytics:yes",
            "+f -",
        ),
        (
            Tool::CookieYes,
            "cookieyes-consent=consentid:abc,consent:,action:,necessary:,functional:,analytics:,performance:,advertisement:",
            "undecided",
        ),
        (Tool::CookieYes, "cookieyes-consent=consentid:abc,action:yes,analytics:y", "doubtful"),
        (
            Tool::CookieInformation,
            "CookieInformationConsent=%7B%22consents_approved%22%3A%5B%22cookie_cat_necessary%22%2C%22cookie_cat_statistic%22%5D%2C%22consents_denied%22%3A%5B%22cookie_cat_marketing%22%5D%7D",
            "+a -m",
        ),
        (
            Tool::CookieInformation,
            "CookieInformationConsent={\"consents_approved\":[\"cookie_cat_statistic\"],\"consents_denied\":[\"cookie_cat_statistic\"]}",
            "+ -a",
        ),
        (
            Tool::CookieInformation,
            "CookieInformationConsent={\"consents_approved\":[\"cookie_cat_statistic\"]}",
            "doubtful",
        ),
        (
            Tool::Iubenda,
            "_iub_cs-50053366={\"timestamp\":\"2025-02-05\",\"purposes\":{\"1\":true,\"3\":true,\"4\":true},\"id\":50053366}",
            "+fa -",
        ),
        (
            Tool::Iubenda,
            "_iub_cs-50053366={\"purposes\":{\"1\":true,\"2\":true,\"3\":false,\"4\":true,\"5\":false}}",
            "+a -fm",
        ),
        (Tool::Iubenda, "_iub_cs-90483436=%7B%22id%22%3A90483436%7D", "undecided"),
        (Tool::Iubenda, "_iub_cs-71185313={\"consent\":true,\"id\":71185313}", "undecided"),
        (Tool::Iubenda, "_iub_cs-71185313={\"consent\":false}", "+ -fapm"),
        (Tool::Iubenda, "_iub_cs-71185313={\"purposes\":{\"4\":\"true\"}}", "doubtful"),
        (Tool::Tealium, "CONSENTMGR=consent:true%7Cts:1749000000000%7Cc1:1%7Cc3:0%7Cc7:0", "+a -m"),
        (Tool::Tealium, "CONSENTMGR=c6:1|c1:1|ts:1749000000000|consent:true", "+ap -"),
        (Tool::Tealium, "CONSENTMGR=consent:false|ts:1749000000000", "+ -fapm"),
        (Tool::Tealium, "CONSENTMGR=consent:true|ts:1749000000000", "undecided"),
        (Tool::Tealium, "CONSENTMGR=consent:true|ts:1649000000000|c1:1", "undecided"),
        (Tool::Tealium, "CONSENTMGR=c1:1", "doubtful"),
        (
            Tool::Borlabs,
            "borlabs-cookie={\"consents\":{\"essential\":[\"borlabs-cookie\"],\"statistics\":[\"google-analytics\"],\"external-media\":[\"youtube\"]},\"v3\":true}",
            "+fa -m",
        ),
        (
            Tool::Borlabs,
            "borlabs-cookie=%7B%22consents%22%3A%7B%22essential%22%3A%5B%22borlabs-cookie%22%5D%7D%2C%22version%22%3A1%7D",
            "+ -fapm",
        ),
        (
            Tool::Borlabs,
            "borlabs-cookie={\"consents\":{\"essential\":[\"x\"],\"marketing\":[],\"own\":[\"y\"]}}",
            "undecided",
        ),
        (Tool::Borlabs, "borlabs-cookie=all", "doubtful"),
        (
            Tool::Complianz,
            "cmplz_banner-status=dismissed; cmplz_statistics=allow; cmplz_marketing=deny; cmplz_preferences=allow",
            "+fa -m",
        ),
        (
            Tool::Complianz,
            "cmplz_statistics=allow; cmplz_marketing=allow; cmplz_preferences=allow",
            "undecided",
        ),
        (Tool::Complianz, "cmplz_banner-status=show; cmplz_marketing=allow", "undecided"),
        (
            Tool::Complianz,
            "cmplz_banner-status=dismissed; cmplz_marketing=deny; cmplz_statistics=deny; cmplz_preferences=deny",
            "+ -fapm",
        ),
        (Tool::WpConsentApi, "wp_consent_statistics=allow; wp_consent_marketing=deny", "+a -m"),
        (Tool::WpConsentApi, "wp_consent_statistics=ALLOW", "doubtful"),
        (Tool::Drupal, "cookie-agreed=2; cookie-agreed-categories=[\"functional\"]", "+f -am"),
        (
            Tool::Drupal,
            "cookie-agreed=2; cookie-agreed-categories=%5B%22essential%22%2C%22tracking%22%5D",
            "undecided",
        ),
        (Tool::Drupal, "cookie-agreed=2; cookie-agreed-categories=[\"essential\"]", "+ -fapm"),
        (Tool::Drupal, "cookie-agreed=2", "undecided"),
        (Tool::Drupal, "cookie-agreed=0", "+ -fapm"),
        (Tool::Drupal, "cookie-agreed=9", "doubtful"),
        (
            Tool::Shopify,
            "_tracking_consent={\"con\":{\"CMP\":{\"a\":\"1\",\"m\":\"0\",\"p\":\"1\",\"s\":\"\"}},\"v\":\"2.1\",\"region\":\"FR\"}",
            "+fa -m",
        ),
        (
            Tool::Shopify,
            "_tracking_consent=%7B%22con%22%3A%7B%22CMP%22%3A%7B%22a%22%3A%22%22%2C%22m%22%3A%22%22%2C%22p%22%3A%22%22%2C%22s%22%3A%22%22%7D%7D%2C%22purposes%22%3A%7B%22a%22%3Atrue%2C%22p%22%3Atrue%2C%22m%22%3Atrue%2C%22t%22%3Atrue%7D%7D",
            "undecided",
        ),
        (
            Tool::Shopify,
            "_tracking_consent={\"lim\":[\"GDPR\"],\"v\":\"2.0\",\"con\":{\"GDPR\":\"\"},\"reg\":\"CCPA\"}",
            "undecided",
        ),
        (Tool::Shopify, "_tracking_consent=3.AMPS_USVA_f_f_-DlBBsijT9252dNjR-wT4w", "doubtful"),
        (
            Tool::Pandectes,
            "_pandectes_gdpr=eyJzdGF0dXMiOiJhbGxvdyIsInRpbWVzdGFtcCI6MTc0OTAwMDAwMCwicHJlZmVyZW5jZXMiOjB9",
            "+fam -",
        ),
        (
            Tool::Pandectes,
            "_pandectes_gdpr=eyJzdGF0dXMiOiJtaXhlZCIsInRpbWVzdGFtcCI6MTc0OTAwMDAwMCwicHJlZmVyZW5jZXMiOjZ9",
            "+f -am",
        ),
        (Tool::Pandectes, "_pandectes_gdpr=eyJzdGF0dXMiOiJkZW55In0%3D", "+ -fapm"),
        (Tool::Pandectes, "_pandectes_gdpr=eyJzdGF0dXMiOiJhbGxvdy", "doubtful"),
        (Tool::C15t, "c15t=c.necessary:1,c.measurement:1,i.t:1749000000000,i.y:custom", "+a -fm"),
        (Tool::C15t, "c15t=c.necessary%3A1%2Ci.t%3A1749000000000", "+ -fapm"),
        (Tool::C15t, "c15t=c.measurement:1", "doubtful"),
        (Tool::C15t, "c15t=c.necessary:1,c.measurement:1,i.t:17490000", "doubtful"),
    ] {
        check(tool, cookies, expected);
    }
}

#[test]
fn d9_one_yes_for_everything_needs_the_operators_word() {
    for (tool, cookies, expected) in [
        (Tool::OsanoCookieConsent, "cookieconsent_status=allow", "undecided"),
        (Tool::OsanoCookieConsent, "cookieconsent_status=deny", "+ -fapm"),
        (Tool::OsanoCookieConsent, "cookieconsent_status=dismiss", "undecided"),
        (Tool::OsanoCookieConsent, "cookieconsent_status=yes", "doubtful"),
        (Tool::Osano, "osano_consentmanager=AbCd_ef-12", "doubtful"),
        (Tool::Matomo, "mtm_consent=1749000000000", "+a -"),
        (Tool::Matomo, "mtm_consent=1649000000000", "undecided"),
        (Tool::Matomo, "mtm_consent_removed=1749000000000; mtm_consent=1749000000000", "+ -a"),
        (Tool::Matomo, "mtm_consent=1", "doubtful"),
    ] {
        check(tool, cookies, expected);
    }
    let signals = explained(Tool::OsanoCookieConsent, &[("allow", Purpose::Analytics)]);
    check_with(&signals, Tool::OsanoCookieConsent, "cookieconsent_status=allow", "+a -");
}

const AXEPTIO: &str = "axeptio_cookies={%22$$token%22:%22x%22%2C%22facebook_pixel%22:true%2C%22google_analytics%22:false%2C%22$$completed%22:true}";
const AXEPTIO_OPEN: &str =
    "axeptio_cookies={%22$$token%22:%22x%22%2C%22$$cookiesVersion%22:{}%2C%22$$completed%22:false}";
const REAL: &str = "real_cookie_banner-v:3_blog:1_path:c4de14b=1749000000:1a2b3c4d-0000-4000-8000-0123456789ab:0123456789abcdef0123456789abcdef:{\"1\":[1,2],\"7\":[9]}";
/// `{"purposes":{"enabled":["cookies_stats"],"disabled":["ads"]}}`
const DIDOMI: &str = "didomi_token=eyJwdXJwb3NlcyI6eyJlbmFibGVkIjpbImNvb2tpZXNfc3RhdHMiXSwiZGlzYWJsZWQiOlsiYWRzIl19fQ==";
/// `{"user_id":"x","version":null}`
const DIDOMI_OPEN: &str = "didomi_token=eyJ1c2VyX2lkIjoieCIsInZlcnNpb24iOm51bGx9";

#[test]
fn d9_services_that_the_site_names_need_the_operators_word() {
    for (tool, cookies, without, ids, with) in [
        (
            Tool::Tarteaucitron,
            "tarteaucitron=!gtag=true!youtube=false!hotjar=wait",
            "undecided",
            &[("gtag", Purpose::Analytics), ("youtube", Purpose::Functional)][..],
            "+a -f",
        ),
        (
            Tool::Tarteaucitron,
            "tarteaucitron=!gtag=wait!youtube=wait",
            "undecided",
            &[("gtag", Purpose::Analytics)],
            "undecided",
        ),
        (
            Tool::Tarteaucitron,
            "tarteaucitron=!gtag=true!hotjar=wait",
            "undecided",
            &[("gtag", Purpose::Analytics), ("hotjar", Purpose::Analytics)],
            "undecided",
        ),
        (
            Tool::Tarteaucitron,
            "tarteaucitron=!gtag=false!youtube=false",
            "+ -fapm",
            &[("gtag", Purpose::Analytics)],
            "+ -fapm",
        ),
        (
            Tool::Tarteaucitron,
            "tarteaucitron=!gtag=true!youtube",
            "doubtful",
            &[("gtag", Purpose::Analytics)],
            "doubtful",
        ),
        (
            Tool::Axeptio,
            AXEPTIO,
            "undecided",
            &[("facebook_pixel", Purpose::Marketing), ("google_analytics", Purpose::Analytics)],
            "+m -a",
        ),
        (
            Tool::Axeptio,
            AXEPTIO_OPEN,
            "undecided",
            &[("facebook_pixel", Purpose::Marketing)],
            "undecided",
        ),
        (
            Tool::Klaro,
            "klaro=%7B%22googleAnalytics%22%3Atrue%2C%22youtube%22%3Afalse%7D",
            "undecided",
            &[("googleAnalytics", Purpose::Analytics)],
            "+a -",
        ),
        (
            Tool::Klaro,
            "klaro={\"googleAnalytics\":true}",
            "undecided",
            &[("googleAnalytics", Purpose::Analytics), ("hotjar", Purpose::Analytics)],
            "undecided",
        ),
        // A missing key is no choice.
        (
            Tool::Zaraz,
            "cf_consent={\"abcd\":true}",
            "undecided",
            &[("abcd", Purpose::Analytics), ("efgh", Purpose::Marketing)],
            "+a -",
        ),
        (
            Tool::Zaraz,
            "cf_consent={\"abcd\":\"true\"}",
            "doubtful",
            &[("abcd", Purpose::Analytics)],
            "doubtful",
        ),
        (
            Tool::Didomi,
            DIDOMI,
            "undecided",
            &[("cookies_stats", Purpose::Analytics), ("ads", Purpose::Marketing)],
            "+a -m",
        ),
        (
            Tool::Didomi,
            DIDOMI_OPEN,
            "undecided",
            &[("cookies_stats", Purpose::Analytics)],
            "undecided",
        ),
        (
            Tool::RealCookieBanner,
            REAL,
            "undecided",
            &[("7", Purpose::Analytics), ("8", Purpose::Marketing)],
            "+a -m",
        ),
        (
            Tool::RealCookieBanner,
            "real_cookie_banner=1749000000:x:y:{}",
            "doubtful",
            &[("7", Purpose::Analytics)],
            "doubtful",
        ),
        (
            Tool::TrustArc,
            "notice_behavior=expressed,eu; notice_gdpr_prefs=0,1,2:",
            "undecided",
            &[("1", Purpose::Analytics), ("2", Purpose::Marketing)],
            "+am -",
        ),
        (
            Tool::TrustArc,
            "notice_behavior=expressed,eu; notice_gdpr_prefs=0|1:1a8b",
            "undecided",
            &[("1", Purpose::Analytics), ("2", Purpose::Marketing)],
            "+a -m",
        ),
        (
            Tool::TrustArc,
            "notice_behavior=expressed,eu; notice_gdpr_prefs=0:",
            "+ -fapm",
            &[("1", Purpose::Analytics)],
            "+ -fapm",
        ),
        (
            Tool::TrustArc,
            "notice_behavior=implied,eu; notice_gdpr_prefs=0,1,2:",
            "undecided",
            &[("1", Purpose::Analytics)],
            "undecided",
        ),
        (
            Tool::TrustArc,
            "notice_behavior=expressed,eu; notice_gdpr_prefs=0,1::implied,us",
            "undecided",
            &[("1", Purpose::Analytics)],
            "undecided",
        ),
        (
            Tool::TrustArc,
            "notice_behavior=expressed,eu",
            "undecided",
            &[("1", Purpose::Analytics)],
            "undecided",
        ),
        (
            Tool::TrustArc,
            "notice_behavior=expressed,eu; notice_gdpr_prefs=0,1",
            "doubtful",
            &[("1", Purpose::Analytics)],
            "doubtful",
        ),
    ] {
        check(tool, cookies, without);
        check_with(&explained(tool, ids), tool, cookies, with);
    }
}

#[test]
fn d9_a_format_that_is_not_certain_is_off_until_it_is_named() {
    let cookies = "cookie_notice_accepted=false";
    assert_eq!(hear(cookies, &Signals::default()), []);
    let named = Signals { heard: vec![Source::Tool(Tool::CookieNotice)], ..Signals::default() };
    check_with(&named, Tool::CookieNotice, cookies, "+ -fapm");
    assert_eq!(hear("CookieConsent=-1", &named), []);
}

#[test]
fn d9_at_least_twenty_formats_are_read_without_being_named() {
    assert!(Tool::ALL.iter().filter(|tool| tool.is_certain()).count() >= 20);
    for tool in Tool::ALL {
        assert!(COOKIES.iter().any(|(_, of)| *of == tool), "{}", tool.name());
        assert_eq!(Tool::ALL.iter().filter(|other| other.name() == tool.name()).count(), 1);
    }
}
