//! Clears a request: takes out of it what the visitor did not agree to send.

use crate::catalogue::{Kind, Subject};
use crate::consent::{COOKIE_NAMES, Consent};
use crate::enforce::Cleared;
use crate::enforce::fields::{cookie_pairs, filter_query, text_of};
use crate::enforce::statement::tell_origin;
use crate::policy::{Basis, Decision, Layer, Policy, Ruling, Verdict};
use crate::purpose::Purpose;

use http::header::{ACCEPT, COOKIE, FORWARDED};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use std::net::IpAddr;
use url::Url;

static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Header fields in which proxies pass a visitor's address on.
static ADDRESS_FIELDS: [HeaderName; 8] = [
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("cf-connecting-ipv6"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("fastly-client-ip"),
    HeaderName::from_static("x-cluster-client-ip"),
];

/// What a request is judged by.
#[derive(Debug)]
pub struct RequestContext<'a> {
    /// What may pass.
    pub policy: &'a Policy,
    /// What this visitor agreed to.
    pub consent: &'a Consent,
    /// The site's host, without port.
    pub host: &'a str,
    /// Whether verdicts are carried out.
    pub enforcing: bool,
    /// Whether the origin gets only the first part of the visitor's address
    /// until they agree to personalization.
    pub address_truncated: bool,
}

/// What was found about a request.
#[derive(Debug, Default)]
pub struct RequestOutcome {
    /// What was decided.
    pub decisions: Vec<Decision>,
    /// Whether the request goes to a tracking path on the site's own host, so
    /// that the origin must not see it.
    pub withheld: bool,
    /// Cookies the browser still holds although they are denied.
    pub denied_cookies: Vec<String>,
}

/// Takes out of a request what the visitor did not agree to send, and tells
/// the origin what they did agree to.
#[must_use]
pub fn clear_request(
    mut request: Parts,
    context: &RequestContext<'_>,
) -> (Cleared<Parts>, RequestOutcome) {
    let mut outcome = RequestOutcome::default();
    let asked = Asked::of(&request, context);
    own_path(&request, asked.as_ref(), context, &mut outcome);
    filter_cookies(&mut request.headers, context, &mut outcome);
    filter_headers(&mut request.headers, context, &mut outcome);
    filter_parameters(&mut request.uri, asked.as_ref(), context, &mut outcome);
    if context.enforcing
        && context.address_truncated
        && !context.consent.grants(Purpose::Personalization)
    {
        truncate_addresses(&mut request.headers);
    }
    tell_origin(&mut request.headers, context.consent);
    (Cleared(request), outcome)
}

/// What is asked for, as filter lists are asked about it.
struct Asked {
    /// Nothing where the browser does not say what for.
    kind: Option<Kind>,
    url: Url,
}

impl Asked {
    /// Nothing where there are no lists to ask.
    fn of(request: &Parts, context: &RequestContext<'_>) -> Option<Self> {
        context.policy.catalogue().lists()?;
        let target = request.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        // Who names a destination came over https, or from this machine.
        let url = Url::parse(&format!("https://{}{target}", context.host)).ok()?;
        Some(Self { kind: own_request_kind(request), url })
    }
}

fn own_path(
    request: &Parts,
    asked: Option<&Asked>,
    context: &RequestContext<'_>,
    outcome: &mut RequestOutcome,
) {
    // What visitors open themselves is a page, whatever its address looks like.
    if opens_page(request) {
        return;
    }
    let target = request.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let by_path = context.policy.decide(Subject::OwnPath(target), context.host, context.consent);
    let ruling = match asked {
        Some(Asked { kind: Some(kind), url }) if !by_path.is_known() => {
            context.policy.decide(Subject::Load { kind: *kind, url }, context.host, context.consent)
        }
        Some(_) | None => by_path,
    };
    if !ruling.is_known() && !ruling.verdict.blocks() {
        return;
    }
    let path = request.uri.path();
    outcome.decisions.push(Decision::on_name(&ruling, Layer::Request, Kind::OwnPath, path));
    outcome.withheld = context.enforcing && ruling.verdict.blocks();
}

/// Whether a visitor goes somewhere with this request. Browsers that do not
/// say so ask for HTML in so many words; no script, image or beacon does.
fn opens_page(request: &Parts) -> bool {
    let field =
        |name| request.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    matches!(request.method, Method::GET | Method::HEAD)
        && match field(&SEC_FETCH_DEST) {
            Some(destination) => destination == "document",
            None => field(&ACCEPT).is_some_and(|accept| accept.contains("text/html")),
        }
}

/// What a browser would use the answer as, for filter lists: their rules on
/// the site's own addresses mean scripts as well as pages that load them. No
/// list is asked about what a visitor opens.
fn own_request_kind(request: &Parts) -> Option<Kind> {
    let destination = request.headers.get(&SEC_FETCH_DEST)?.to_str().ok()?;
    Some(match destination {
        "script" | "worker" | "sharedworker" | "serviceworker" | "audioworklet"
        | "paintworklet" => Kind::Script,
        "image" => Kind::Image,
        "style" | "xslt" => Kind::Style,
        "font" => Kind::Font,
        "audio" | "video" | "track" => Kind::Media,
        "object" | "embed" => Kind::Object,
        "empty" | "websocket" | "report" | "json" => Kind::Connect,
        "iframe" | "frame" | "fencedframe" => Kind::Frame,
        _ => return None,
    })
}

fn filter_cookies(
    headers: &mut HeaderMap,
    context: &RequestContext<'_>,
    outcome: &mut RequestOutcome,
) {
    let mut fields = Vec::new();
    let mut changed = false;
    for field in headers.get_all(COOKIE) {
        let mut kept: Vec<&[u8]> = Vec::new();
        let mut touched = false;
        for (pair, name) in cookie_pairs(field.as_bytes()) {
            if COOKIE_NAMES.iter().any(|own| name == own.as_bytes()) {
                touched = true;
                continue;
            }
            if cookie_goes(name, context, outcome) && context.enforcing {
                touched = true;
            } else {
                kept.push(pair);
            }
        }
        if !touched {
            fields.push(field.clone());
            continue;
        }
        changed = true;
        if !kept.is_empty() {
            fields.extend(HeaderValue::from_bytes(&kept.join(&b"; "[..])));
        }
    }
    if changed {
        headers.remove(COOKIE);
        for field in fields {
            headers.append(COOKIE, field);
        }
    }
}

/// Whether a cookie is denied.
fn cookie_goes(name: &[u8], context: &RequestContext<'_>, outcome: &mut RequestOutcome) -> bool {
    let text = text_of(name);
    let ruling = context.policy.decide(Subject::Cookie(&text), context.host, context.consent);
    if ruling.is_known() {
        outcome.decisions.push(Decision::on_name(&ruling, Layer::Request, Kind::Cookie, &text));
    }
    if ruling.verdict.blocks() && text.as_bytes() == name {
        outcome.denied_cookies.push(text.into_owned());
    }
    ruling.verdict.blocks()
}

fn filter_headers(
    headers: &mut HeaderMap,
    context: &RequestContext<'_>,
    outcome: &mut RequestOutcome,
) {
    let mut go = Vec::new();
    for name in headers.keys() {
        let ruling = context.policy.decide(
            Subject::RequestHeader(name.as_str()),
            context.host,
            context.consent,
        );
        if ruling.identity.is_none() {
            continue;
        }
        outcome.decisions.push(Decision::on_name(
            &ruling,
            Layer::Request,
            Kind::RequestHeader,
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

fn filter_parameters(
    uri: &mut Uri,
    asked: Option<&Asked>,
    context: &RequestContext<'_>,
    outcome: &mut RequestOutcome,
) {
    let Some(query) = uri.query() else { return };
    let filtered = filter_query(query, |name| {
        let RequestContext { policy, host, consent, .. } = context;
        let ruling: Ruling<'_> = match asked {
            Some(Asked { kind, url }) => {
                policy.decide_parameter(name, (kind.unwrap_or(Kind::Refresh), url), host, consent)
            }
            None => policy.decide(Subject::Parameter(name), host, consent),
        };
        if ruling.verdict != Verdict::Allow(Basis::FirstParty) {
            outcome.decisions.push(Decision::on_name(
                &ruling,
                Layer::Request,
                Kind::Parameter,
                name,
            ));
        }
        ruling.verdict.blocks()
    });
    let Some(filtered) = filtered.filter(|_| context.enforcing) else { return };
    let target = if filtered.is_empty() {
        uri.path().to_owned()
    } else {
        format!("{}?{filtered}", uri.path())
    };
    let Ok(target) = PathAndQuery::try_from(target) else { return };
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(target);
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

/// Cuts addresses to the network: the first 24 bits of IPv4, 48 of IPv6. What
/// is no address goes; `Forwarded` says the same in another form and goes, too.
fn truncate_addresses(headers: &mut HeaderMap) {
    headers.remove(FORWARDED);
    // Few requests have more than one of them.
    let sent: Vec<&HeaderName> =
        ADDRESS_FIELDS.iter().filter(|name| headers.contains_key(*name)).collect();
    for name in sent {
        let mut addresses = Vec::new();
        for field in headers.get_all(name) {
            let Ok(text) = field.to_str() else { continue };
            addresses.extend(text.split(',').filter_map(|item| truncated(item.trim())));
        }
        headers.remove(name);
        if let Ok(value) = HeaderValue::from_str(&addresses.join(", "))
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    }
}

fn truncated(text: &str) -> Option<String> {
    let address: IpAddr = text.trim_matches(['[', ']']).parse().ok()?;
    Some(network(address).to_string())
}

/// The first 24 bits of an IPv4 address, 48 of IPv6: whose network it is, and
/// not who.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
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

    fn policy() -> Policy {
        let text = "
            [[vendor]]
            id = 'acme'
            name = 'Acme'
            owner = 'Acme'
            purposes = ['marketing']
            about = 'Ads.'
            source = 'x'
            cookies = ['_acme*']
            request_headers = ['x-user-segment']
            parameters = ['acmeid']
            own_paths = ['/acme/collect']
            [[vendor]]
            id = 'login'
            name = 'Login'
            owner = 'site'
            purposes = ['necessary']
            reason = 'Logs in.'
            about = 'Logs in.'
            source = 'x'
            cookies = ['sid']
        ";
        let file = SourceFile { name: "t".into(), text: text.into() };
        Policy::new(Arc::new(Catalogue::compile(&[file]).unwrap()), Unlisted::Observe, &[])
    }

    fn clear(
        uri: &str,
        fields: &[(&'static str, &str)],
        granted: PurposeSet,
        enforcing: bool,
    ) -> (Parts, RequestOutcome) {
        let policy = policy();
        let consent = Consent::chosen(granted);
        let mut request = http::Request::builder().uri(uri).body(()).unwrap().into_parts().0;
        for (name, value) in fields {
            request.headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let context = RequestContext {
            policy: &policy,
            consent: &consent,
            host: "shop.example",
            enforcing,
            address_truncated: true,
        };
        let (cleared, outcome) = clear_request(request, &context);
        (cleared.into_inner(), outcome)
    }

    fn values(parts: &Parts, name: &str) -> Vec<String> {
        parts
            .headers
            .get_all(name)
            .iter()
            .map(|v| String::from_utf8(v.as_bytes().to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn c2_denied_cookies_go_and_the_rest_stays_byte_for_byte() {
        for (sent, expected) in [
            (&["sid=\"a b\"; _acme=1; cart=x=y"][..], &["sid=\"a b\"; cart=x=y"][..]),
            (&["a=1;b=2 ;a=3"], &["a=1;b=2 ;a=3"]),
            (&["_acme_1=x"], &[]),
            (&["consentry=v1.x; sid=1"], &["sid=1"]),
            (&["sid=1", "_acme=2; b=\u{fc}"], &["sid=1", "b=\u{fc}"]),
            (&["my_acme=1; _ACME=2"], &["my_acme=1; _ACME=2"]),
        ] {
            let fields: Vec<_> = sent.iter().map(|value| ("cookie", *value)).collect();
            let (parts, _) = clear("/", &fields, PurposeSet::EMPTY, true);
            assert_eq!(values(&parts, "cookie"), expected, "{sent:?}");
        }
        let (parts, outcome) = clear("/", &[("cookie", "_acme=1; sid=2")], PurposeSet::ALL, true);
        assert_eq!(values(&parts, "cookie"), ["_acme=1; sid=2"]);
        assert!(outcome.denied_cookies.is_empty());
        assert_eq!(outcome.decisions.len(), 2, "what was allowed is on record, too");
    }

    #[test]
    fn c4_identity_headers_go_and_addresses_are_cut() {
        let fields = [
            ("x-user-segment", "gold"),
            ("x-forwarded-for", "203.0.113.77, 2001:db8:1:2::3"),
            ("forwarded", "for=203.0.113.77"),
            ("consentry-consent", "marketing=1"),
            ("consentry_consent", "marketing=1"),
            ("sec-gpc", "1"),
        ];
        let (parts, _) = clear("/", &fields, PurposeSet::EMPTY, true);
        assert_eq!(values(&parts, "x-user-segment"), Vec::<String>::new());
        assert_eq!(values(&parts, "x-forwarded-for"), ["203.0.113.0, 2001:db8:1::"]);
        assert_eq!(values(&parts, "forwarded"), Vec::<String>::new());
        assert_eq!(values(&parts, "sec-gpc"), ["1"]);
        assert!(!parts.headers.contains_key("consentry_consent"));
        assert_eq!(
            values(&parts, "consentry-consent"),
            ["functional=0, analytics=0, personalization=0, marketing=0"]
        );
        let (parts, _) = clear("/", &fields, PurposeSet::ALL, true);
        assert_eq!(values(&parts, "x-forwarded-for"), ["203.0.113.77, 2001:db8:1:2::3"]);
        assert_eq!(values(&parts, "x-user-segment"), ["gold"]);
    }

    #[test]
    fn c6_identifiers_leave_the_address_and_nothing_else_does() {
        let (parts, outcome) =
            clear("/p?utm_source=x&acmeid=1&q=a%20b+c", &[], PurposeSet::EMPTY, true);
        assert_eq!(parts.uri, "/p?utm_source=x&q=a%20b+c");
        assert_eq!(outcome.decisions.len(), 1);
        let (parts, _) = clear("http://h.example/p?acmeid=1", &[], PurposeSet::EMPTY, true);
        assert_eq!(parts.uri, "http://h.example/p");
    }

    #[test]
    fn b14_a_tracking_path_on_the_own_host_is_withheld() {
        assert!(clear("/acme/collect?x", &[], PurposeSet::EMPTY, true).1.withheld);
        assert!(!clear("/acme/collect?x", &[], PurposeSet::ALL, true).1.withheld);
        for (fields, withheld) in [
            ([("sec-fetch-dest", "script"), ("accept", "*/*")], true),
            ([("sec-fetch-dest", "iframe"), ("accept", "text/html,*/*")], true),
            ([("sec-fetch-dest", "document"), ("accept", "text/html,*/*")], false),
            ([("x", "an old browser"), ("accept", "text/html,*/*;q=0.8")], false),
        ] {
            let (_, outcome) = clear("/acme/collect", &fields, PurposeSet::EMPTY, true);
            assert_eq!(outcome.withheld, withheld, "{fields:?}");
            let recorded = outcome.decisions.iter().any(|d| d.verdict.blocks());
            assert_eq!(recorded, withheld, "what is let through is not called withheld");
        }
    }

    #[test]
    fn h6_observing_changes_nothing_but_what_the_origin_is_told() {
        let fields = [
            ("cookie", "_acme=1"),
            ("x-user-segment", "gold"),
            ("x-forwarded-for", "203.0.113.77"),
        ];
        let (parts, outcome) = clear("/acme/collect?acmeid=1", &fields, PurposeSet::EMPTY, false);
        assert_eq!(parts.uri, "/acme/collect?acmeid=1");
        for (name, value) in fields {
            assert_eq!(values(&parts, name), [value]);
        }
        assert!(!outcome.withheld);
        assert_eq!(outcome.decisions.iter().filter(|d| d.verdict.blocks()).count(), 4);
    }
}
