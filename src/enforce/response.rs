//! Clears a response's header fields.

use crate::catalogue::{Identity, Kind, Subject};
use crate::consent::Consent;
use crate::enforce::expiry::{CookiePlaces, Expiry};
use crate::enforce::fields::{
    field_of, filter_query, list_members, member_parameter, set_cookie_name, text_of,
};
use crate::enforce::html::{link, refresh_address};
use crate::enforce::referrer::tightened;
use crate::enforce::report_uri::without_blocked;
use crate::policy::{Basis, Decision, Layer, Policy, Ruling, Verdict};
use crate::purpose::Purpose;

use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY, LINK, LOCATION, REFERRER_POLICY,
    REFRESH, SET_COOKIE,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// What a response is judged by.
#[derive(Debug)]
pub struct ResponseContext<'a> {
    /// What may pass.
    pub policy: &'a Policy,
    /// What this visitor agreed to.
    pub consent: &'a Consent,
    /// The site's host, without port.
    pub host: &'a str,
    /// The address that was asked for.
    pub url: &'a Url,
    /// Whether verdicts are carried out.
    pub enforcing: bool,
    /// Whether the visitor came over https.
    pub secure: bool,
    /// Whether the response is a page.
    pub is_page: bool,
    /// Denied cookies that the browser still holds.
    pub denied_cookies: &'a [String],
    /// Where cookies were seen to be set.
    pub places: &'a CookiePlaces,
}

impl ResponseContext<'_> {
    fn expiry(&self) -> Expiry<'_> {
        let Self { host, secure, places, .. } = *self;
        Expiry { host, path: self.url.path(), secure, places }
    }
}

/// What was found about a response.
#[derive(Debug, Default)]
pub struct ResponseOutcome {
    /// What was decided.
    pub decisions: Vec<Decision>,
}

/// Takes out of a response's header what the visitor did not agree to.
#[must_use]
pub fn clear_response(response: &mut Parts, context: &ResponseContext<'_>) -> ResponseOutcome {
    let mut outcome = ResponseOutcome::default();
    let headers = &mut response.headers;
    remove_forged(headers);
    filter_set_cookie(headers, context, &mut outcome);
    filter_headers(headers, context, &mut outcome);
    filter_links(headers, context, &mut outcome);
    filter_refresh(headers, context, &mut outcome);
    filter_location(headers, context, &mut outcome);
    filter_report_addresses(headers, context, &mut outcome);
    if context.is_page && context.enforcing {
        // Rules in a file load pages ahead without a policy being asked.
        if context.policy.may_block(context.consent) {
            headers.remove("speculation-rules");
        }
        if !context.consent.grants(Purpose::Marketing) {
            forbid_ad_apis(headers);
        }
        tighten_referrer(headers, context, &mut outcome);
        for field in context.expiry().fields(context.denied_cookies) {
            headers.append(SET_COOKIE, field);
        }
    }
    if context.is_page {
        add_listed_policies(headers, context, &mut outcome);
    }
    outcome
}

/// Only we may speak under our names.
fn remove_forged(headers: &mut HeaderMap) {
    let forged: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with("consentry-")).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

fn filter_set_cookie(
    headers: &mut HeaderMap,
    context: &ResponseContext<'_>,
    outcome: &mut ResponseOutcome,
) {
    retain(headers, &SET_COOKIE, |field| {
        let name = text_of(set_cookie_name(field));
        let ruling = context.policy.decide(Subject::Cookie(&name), context.host, context.consent);
        outcome.decisions.push(Decision::on_name(&ruling, Layer::Response, Kind::Cookie, &name));
        let goes = ruling.verdict.blocks() && context.enforcing;
        let of_vendor = |identity: &Identity<'_>| identity.vendor.purpose != Purpose::Necessary;
        if !goes && ruling.identity.as_ref().is_some_and(of_vendor) {
            context.places.note(context.host, context.url.path(), &name, &text_of(field));
        }
        !goes
    });
}

fn filter_headers(
    headers: &mut HeaderMap,
    context: &ResponseContext<'_>,
    outcome: &mut ResponseOutcome,
) {
    let mut go = Vec::new();
    for name in headers.keys() {
        let ruling = context.policy.decide(
            Subject::ResponseHeader(name.as_str()),
            context.host,
            context.consent,
        );
        if ruling.identity.is_none() {
            continue;
        }
        outcome.decisions.push(Decision::on_name(
            &ruling,
            Layer::Response,
            Kind::ResponseHeader,
            name.as_str(),
        ));
        if ruling.verdict.blocks() && context.enforcing {
            go.push(name.clone());
        }
    }
    for name in go {
        headers.remove(name);
    }
}

fn filter_links(
    headers: &mut HeaderMap,
    context: &ResponseContext<'_>,
    outcome: &mut ResponseOutcome,
) {
    if !headers.contains_key(LINK) {
        return;
    }
    let mut kept = Vec::new();
    let mut changed = false;
    for field in headers.get_all(LINK) {
        let text = text_of(field.as_bytes());
        let members = list_members(&text);
        let staying: Vec<_> =
            members.iter().copied().filter(|member| !link_goes(member, context, outcome)).collect();
        if staying.len() == members.len() || !context.enforcing {
            kept.push(field.clone());
            continue;
        }
        changed = true;
        if !staying.is_empty() {
            kept.extend(field_of(&staying.join(", "), field.as_bytes()));
        }
    }
    if changed {
        headers.remove(LINK);
        for field in kept {
            headers.append(LINK, field);
        }
    }
}

fn link_goes(member: &str, context: &ResponseContext<'_>, outcome: &mut ResponseOutcome) -> bool {
    let Some(kind) = member_parameter(member, "rel").and_then(link) else { return false };
    let Some(address) = member.strip_prefix('<').and_then(|rest| rest.split('>').next()) else {
        return false;
    };
    judge(address, kind, context, outcome)
}

fn filter_refresh(
    headers: &mut HeaderMap,
    context: &ResponseContext<'_>,
    outcome: &mut ResponseOutcome,
) {
    retain(headers, &REFRESH, |field| {
        let goes = refresh_address(&text_of(field))
            .is_some_and(|address| judge(address, Kind::Refresh, context, outcome));
        !(goes && context.enforcing)
    });
}

/// What a site's own policies report goes to nobody whom a page may not tell.
fn filter_report_addresses(
    headers: &mut HeaderMap,
    context: &ResponseContext<'_>,
    outcome: &mut ResponseOutcome,
) {
    for name in [CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY] {
        if !headers.contains_key(&name) {
            continue;
        }
        let fields: Vec<HeaderValue> = headers.get_all(&name).iter().cloned().collect();
        let mut changed = false;
        let cleared: Vec<HeaderValue> = fields
            .into_iter()
            .filter_map(|field| {
                let fewer = without_blocked(&text_of(field.as_bytes()), |address| {
                    judge(address, Kind::Connect, context, outcome)
                });
                match fewer {
                    None => Some(field),
                    Some(policy) => {
                        changed = true;
                        field_of(&policy, field.as_bytes()).filter(|policy| !policy.is_empty())
                    }
                }
            })
            .collect();
        if changed && context.enforcing {
            headers.remove(&name);
            for field in cleared {
                headers.append(&name, field);
            }
        }
    }
}

fn filter_location(
    headers: &mut HeaderMap,
    context: &ResponseContext<'_>,
    outcome: &mut ResponseOutcome,
) {
    let Some(field) = headers.get(LOCATION).cloned() else { return };
    let location = text_of(field.as_bytes());
    let target = context.url.join(&location).unwrap_or_else(|_| context.url.clone());
    let Some((before, after)) = location.split_once('?') else { return };
    let (query, fragment) = match after.split_once('#') {
        Some((query, fragment)) => (query, Some(fragment)),
        None => (after, None),
    };
    let filtered = filter_query(query, |name| {
        let ResponseContext { policy, host, consent, .. } = context;
        let ruling = policy.decide_parameter(name, (Kind::Refresh, &target), host, consent);
        if ruling.identity.is_some() {
            outcome.decisions.push(Decision::on_name(
                &ruling,
                Layer::Response,
                Kind::Parameter,
                name,
            ));
        }
        ruling.verdict.blocks()
    });
    let Some(query) = filtered.filter(|_| context.enforcing) else { return };
    let mut cleaned = before.to_owned();
    if !query.is_empty() {
        cleaned.push('?');
        cleaned.push_str(&query);
    }
    if let Some(fragment) = fragment {
        cleaned.push('#');
        cleaned.push_str(fragment);
    }
    if let Some(value) = field_of(&cleaned, field.as_bytes()) {
        headers.insert(LOCATION, value);
    }
}

fn judge(
    address: &str,
    kind: Kind,
    context: &ResponseContext<'_>,
    outcome: &mut ResponseOutcome,
) -> bool {
    let Ok(url) = context.url.join(address.trim()) else { return false };
    let ruling =
        context.policy.decide(Subject::Load { kind, url: &url }, context.host, context.consent);
    if ruling.verdict != Verdict::Allow(Basis::FirstParty) {
        outcome.decisions.push(Decision::on_url(&ruling, Layer::Response, kind, &url));
    }
    ruling.verdict.blocks()
}

/// Adds the policies that filter lists have for a page. Each is a field of its
/// own, which browsers hold to as well as to the site's: it can only narrow.
fn add_listed_policies(
    headers: &mut HeaderMap,
    context: &ResponseContext<'_>,
    outcome: &mut ResponseOutcome,
) {
    let ResponseContext { policy, url, host, consent, .. } = context;
    for (directives, ruling) in policy.csp_for(url, host, consent) {
        outcome.decisions.push(Decision::on_name(
            &ruling,
            Layer::Response,
            Kind::ResponseHeader,
            &format!("{CONTENT_SECURITY_POLICY}: {directives}"),
        ));
        if ruling.verdict.blocks()
            && context.enforcing
            && let Ok(value) = HeaderValue::from_str(directives)
        {
            headers.append(CONTENT_SECURITY_POLICY, value);
        }
    }
}

/// Turns the browser's own advertising interfaces off; what the site says
/// about other features stays.
fn forbid_ad_apis(headers: &mut HeaderMap) {
    headers.append(
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("browsing-topics=(), attribution-reporting=()"),
    );
}

/// Keeps the addresses of pages from other sites until the visitor agreed to
/// being measured and to being advertised to.
fn tighten_referrer(
    headers: &mut HeaderMap,
    context: &ResponseContext<'_>,
    outcome: &mut ResponseOutcome,
) {
    let blocked = [Purpose::Marketing, Purpose::Analytics]
        .map(|purpose| context.policy.decide_purpose(purpose, context.consent))
        .into_iter()
        .find(|verdict| verdict.blocks());
    let Some(verdict) = blocked else { return };
    let fields = headers.get_all(REFERRER_POLICY).iter();
    let said: Vec<&str> = fields.filter_map(|field| field.to_str().ok()).collect();
    let Some(tight) = tightened(&said.join(",")) else { return };
    if !said.is_empty() {
        let ruling = Ruling { verdict, identity: None, exception: None };
        let name = REFERRER_POLICY.as_str();
        let kind = Kind::ResponseHeader;
        outcome.decisions.push(Decision::on_name(&ruling, Layer::Response, kind, name));
    }
    headers.insert(REFERRER_POLICY, HeaderValue::from_static(tight));
}

fn retain(headers: &mut HeaderMap, name: &HeaderName, mut keep: impl FnMut(&[u8]) -> bool) {
    if !headers.contains_key(name) {
        return;
    }
    let all: Vec<_> = headers.get_all(name).iter().cloned().collect();
    let kept: Vec<_> = all.iter().filter(|value| keep(value.as_bytes())).cloned().collect();
    if kept.len() < all.len() {
        headers.remove(name);
        for value in kept {
            headers.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, SourceFile};
    use crate::policy::Unlisted;
    use crate::purpose::PurposeSet;
    use std::sync::Arc;

    fn clear(fields: &[(&'static str, &str)], granted: PurposeSet, denied: &[&str]) -> HeaderMap {
        let text = "
            [[vendor]]
            id = 'acme'
            name = 'Acme'
            owner = 'Acme'
            purposes = ['marketing']
            about = 'Ads.'
            source = 'x'
            hosts = ['ads.acme.example']
            cookies = ['_acme*']
            response_headers = ['nel', 'accept-ch']
            parameters = ['acmeid']
        ";
        let file = SourceFile { name: "t".into(), text: text.into() };
        let policy =
            Policy::new(Arc::new(Catalogue::compile(&[file]).unwrap()), Unlisted::Observe, &[]);
        let mut response = http::Response::new(()).into_parts().0;
        for (name, value) in fields {
            response.headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let denied: Vec<String> = denied.iter().map(|name| (*name).to_owned()).collect();
        let url = Url::parse("https://www.shop.example/a/b").unwrap();
        let context = ResponseContext {
            policy: &policy,
            consent: &Consent::chosen(granted),
            host: "www.shop.example",
            url: &url,
            enforcing: true,
            secure: true,
            is_page: true,
            denied_cookies: &denied,
            places: &CookiePlaces::default(),
        };
        let _ = clear_response(&mut response, &context);
        response.headers
    }

    fn values<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn c1_each_cookie_is_judged_by_itself() {
        let fields = [
            ("set-cookie", "sid=1; HttpOnly"),
            ("set-cookie", "_acme=2; Expires=Thu, 01 Jan 2099 00:00:00 GMT"),
            ("set-cookie", "x=3"),
        ];
        assert_eq!(
            values(&clear(&fields, PurposeSet::EMPTY, &[]), "set-cookie"),
            ["sid=1; HttpOnly", "x=3"]
        );
        assert_eq!(clear(&fields, PurposeSet::ALL, &[]).get_all("set-cookie").iter().count(), 3);
    }

    #[test]
    fn c3_denied_cookies_are_expired_on_host_and_parents() {
        let headers = clear(&[], PurposeSet::EMPTY, &["_acme"]);
        let cookies = values(&headers, "set-cookie");
        for place in ["Path=/", "Path=/; Domain=shop.example", "Path=/a; Domain=www.shop.example"] {
            let field = format!("_acme=; {place}; Max-Age=0; Secure");
            assert!(cookies.contains(&field.as_str()), "{place}: {cookies:?}");
        }
    }

    #[test]
    fn c5_headers_that_track_go_and_ad_interfaces_are_off() {
        let fields = [
            ("nel", "{}"),
            ("accept-ch", "Sec-CH-UA-Model"),
            ("consentry-class", "fapm"),
            ("vary", "x"),
        ];
        let headers = clear(&fields, PurposeSet::EMPTY, &[]);
        assert_eq!(headers.len(), 3);
        assert_eq!(
            values(&headers, "permissions-policy"),
            ["browsing-topics=(), attribution-reporting=()"]
        );
        assert_eq!(clear(&fields, PurposeSet::ALL, &[]).len(), 3);
    }

    #[test]
    fn c8_a_page_tells_other_sites_no_more_than_its_origin_until_the_visitor_agrees() {
        let policy = |said: &[(&'static str, &str)], granted| {
            values(&clear(said, granted, &[]), "referrer-policy").join(" + ")
        };
        let name = "referrer-policy";
        let tight = "strict-origin-when-cross-origin";
        let some = PurposeSet::NECESSARY.with(Purpose::Analytics);
        assert_eq!(policy(&[], PurposeSet::EMPTY), tight);
        assert_eq!(policy(&[(name, "unsafe-url")], some), tight);
        assert_eq!(policy(&[(name, "no-referrer"), (name, "unsafe-url")], some), tight);
        assert_eq!(policy(&[(name, "same-origin")], PurposeSet::EMPTY), "same-origin");
        assert_eq!(policy(&[(name, "unsafe-url")], PurposeSet::ALL), "unsafe-url");
        assert_eq!(policy(&[], PurposeSet::ALL), "");
    }

    #[test]
    fn letters_beyond_ascii_hide_nothing_in_a_field() {
        for (name, field, expected) in [
            (
                "link",
                "<//ads.acme.example/é>; rel=preload, </é.css>; rel=preload",
                "</é.css>; rel=preload",
            ),
            ("refresh", "0; url=https://ads.acme.example/é", ""),
            ("location", "/é?acmeid=1&q=é", "/é?q=é"),
            ("set-cookie", "_acme_é=1", ""),
            (
                "content-security-policy",
                "img-src 'self'; x é; report-uri https://ads.acme.example/",
                "img-src 'self'; x é",
            ),
        ] {
            let headers = clear(&[(name, field)], PurposeSet::EMPTY, &[]);
            let left = headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
            assert_eq!(std::str::from_utf8(left), Ok(expected), "{name}");
        }
    }

    #[test]
    fn a5_hints_to_trackers_leave_the_link_field() {
        let field = "</s.css>; rel=preload; as=style, <https://ads.acme.example/a.js>; rel=\"preload\", <https://ads.acme.example/>; rel=help";
        let headers = clear(
            &[("link", field), ("link", "<//ads.acme.example>; rel=preconnect")],
            PurposeSet::EMPTY,
            &[],
        );
        assert_eq!(
            values(&headers, "link"),
            ["</s.css>; rel=preload; as=style, <https://ads.acme.example/>; rel=help"]
        );
    }

    #[test]
    fn c7_identifiers_leave_redirects_and_refreshes_to_trackers_go() {
        let headers = clear(
            &[("location", "/x?acmeid=1&id=2#a?b"), ("refresh", "0; url=//ads.acme.example/")],
            PurposeSet::EMPTY,
            &[],
        );
        assert_eq!(values(&headers, "location"), ["/x?id=2#a?b"]);
        assert!(values(&headers, "refresh").is_empty());
    }
}
