//! Checks the exceptions and compiles them.

use crate::catalogue::{Catalogue, Kind};
use crate::config::findings::Findings;
use crate::config::sites::read_host;
use crate::config::written_site;
use crate::policy::{Effect, Exception, PathPattern, Scope, registrable};

use jiff::civil::Date;
use std::sync::Arc;
use toml::Spanned;

/// An exception and the name of the site it is for; empty for all.
pub(super) type OfSite = (String, Arc<Exception>);

pub(super) fn compile(
    written: &[Spanned<written_site::Exception>],
    sites: &[Spanned<written_site::Site>],
    catalogue: &Catalogue,
    today: Date,
    findings: &mut Findings<'_>,
) -> Vec<OfSite> {
    let mut compiled = Vec::new();
    for entry in written {
        let before = findings.mistakes.len();
        let exception = exception(entry, catalogue, findings);
        let site = entry.get_ref().site.get_ref();
        known_site(&entry.get_ref().site, sites, findings);
        if let Some(exception) = exception
            && findings.mistakes.len() == before
        {
            if !exception.holds_on(today) {
                findings.warnings.push(format!(
                    "{}: this {} has expired and does not hold any more; renew it or take it out",
                    exception.place, exception
                ));
            }
            compiled.push((site.clone(), Arc::new(exception)));
        }
    }
    compiled
}

/// Refuses the name of a site that there is not; an empty one stands for all.
pub(super) fn known_site(
    named: &Spanned<String>,
    sites: &[Spanned<written_site::Site>],
    findings: &mut Findings<'_>,
) {
    let site = named.get_ref();
    if !site.is_empty() && !sites.iter().any(|other| is_called(other.get_ref(), site)) {
        findings.wrong(named, format!("no site is called `{site}`"));
    }
}

/// Whether a site has that name.
pub(super) fn is_called(site: &written_site::Site, name: &str) -> bool {
    let first = site.hosts.first().map_or("default", |host| host.get_ref().as_str());
    name == site.name.get_ref() || (site.name.get_ref().is_empty() && name == first)
}

/// Refuses what nobody answers for, and what has no reason. `what` is "an
/// exception" or the like.
pub(super) fn answered_for<T>(
    entry: &Spanned<T>,
    what: &str,
    owner: &Spanned<String>,
    reason: &Spanned<String>,
    findings: &mut Findings<'_>,
) {
    let answered = [
        (owner, "owner", "who answers for it: owner = \"Ana Lee, privacy office\""),
        (reason, "reason", "why it is there: reason = \"the bank's fraud check\""),
    ];
    for (text, key, advice) in answered {
        let length = text.get_ref().trim().chars().count();
        if length == 0 {
            let place = if findings.is_in_file(text) { text.span() } else { entry.span() };
            let message = format!("{what} without `{key}`");
            findings.wrong_with_advice(&Spanned::new(place, ()), message, format!("say {advice}"));
        } else if length > 200 || text.get_ref().chars().any(char::is_control) {
            findings.wrong(text, format!("`{key}` has up to 200 characters, all of them visible"));
        }
    }
}

fn exception(
    entry: &Spanned<written_site::Exception>,
    catalogue: &Catalogue,
    findings: &mut Findings<'_>,
) -> Option<Exception> {
    let written = entry.get_ref();
    answered_for(entry, "an exception", &written.owner, &written.reason, findings);
    let effect = effect(entry, findings);
    let expires = expires(entry, findings);
    let scope = scope(entry, catalogue, findings);
    Some(Exception {
        scope,
        effect: effect?,
        owner: written.owner.get_ref().trim().to_owned(),
        reason: written.reason.get_ref().trim().to_owned(),
        expires: expires?,
        place: findings.place(entry),
    })
}

fn effect(entry: &Spanned<written_site::Exception>, findings: &mut Findings<'_>) -> Option<Effect> {
    let written = &entry.get_ref().verdict;
    match written.get_ref().as_str() {
        "allow" => Some(Effect::Allow),
        "block" => Some(Effect::Block),
        "" => {
            let advice = "write verdict = \"allow\" or verdict = \"block\"";
            findings.wrong_with_advice(entry, "an exception without `verdict`", advice);
            None
        }
        other => {
            findings.wrong(written, format!("`{other}`: a verdict is `allow` or `block`"));
            None
        }
    }
}

fn expires(entry: &Spanned<written_site::Exception>, findings: &mut Findings<'_>) -> Option<Date> {
    let advice = "write the last day on which it holds: expires = 2027-01-31";
    let missing = ("an exception without `expires`", advice);
    day(entry, &entry.get_ref().expires, missing, findings)
}

/// A date, with or without quotation marks; `missing` is what is wrong without
/// one, and what to do about it.
pub(super) fn day<T>(
    entry: &Spanned<T>,
    written: &Spanned<toml::Value>,
    missing: (&str, &str),
    findings: &mut Findings<'_>,
) -> Option<Date> {
    let (message, advice) = missing;
    let text = match written.get_ref() {
        toml::Value::String(text) if text.is_empty() => {
            findings.wrong_with_advice(entry, message, advice);
            return None;
        }
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.parse::<Date>() {
        Ok(date) if text.len() == "2027-01-31".len() => Some(date),
        Ok(_) | Err(_) => {
            findings.wrong_with_advice(written, format!("`{text}` is not a day"), advice);
            None
        }
    }
}

fn scope(
    entry: &Spanned<written_site::Exception>,
    catalogue: &Catalogue,
    findings: &mut Findings<'_>,
) -> Scope {
    let written = entry.get_ref();
    let given = |text: &Spanned<String>| Some(text.get_ref().clone()).filter(|t| !t.is_empty());
    let kind = given(&written.kind).and_then(|name| {
        let kind = Kind::from_name(&name)
            .filter(|kind| !matches!(kind, Kind::Address | Kind::Storage));
        if kind.is_none() {
            let advice = "it is script, inline, frame, image, style, font, media, object, hint, connect, refresh, cookie, header, response-header, parameter or own-path";
            findings.wrong_with_advice(&written.kind, format!("unknown kind `{name}`"), advice);
        }
        kind
    });
    if let Some(id) = given(&written.vendor)
        && catalogue.vendor(&id).is_none()
    {
        no_such_vendor(&written.vendor, catalogue, findings);
    }
    let scope = Scope {
        host: given(&written.host).and_then(|text| host(&text, &written.host, findings)),
        path: path(&written.path, findings),
        vendor: given(&written.vendor),
        cookie: given(&written.cookie),
        kind,
        on_path: path(&written.on_path, findings),
    };
    let broad_path = scope.path.as_ref().is_none_or(PathPattern::is_any);
    let broad_cookie =
        scope.cookie.as_ref().is_none_or(|name| name.bytes().all(|byte| byte == b'*'));
    if scope.host.is_none() && scope.vendor.is_none() && broad_path && broad_cookie {
        findings.wrong_with_advice(
            entry,
            "an exception for everything",
            "name at least a `host`, a `path`, a `vendor` or a `cookie`; for whole pages there is `mode` in [[site.route]]",
        );
    }
    scope
}

/// Says that no vendor has an id, and which one may have been meant.
pub(super) fn no_such_vendor(
    id: &Spanned<String>,
    catalogue: &Catalogue,
    findings: &mut Findings<'_>,
) {
    let ids = catalogue.vendors().map(|vendor| vendor.id.as_str());
    let meant = crate::mistake::closest(id.get_ref(), ids);
    let advice = meant.map_or_else(
        || "`consentry explain` shows the id of a vendor".to_owned(),
        |meant| format!("did you mean `{meant}`?"),
    );
    let message = format!("no vendor in the catalogue has the id `{}`", id.get_ref());
    findings.wrong_with_advice(id, message, advice);
}

fn host(text: &str, written: &Spanned<String>, findings: &mut Findings<'_>) -> Option<String> {
    let name = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
    match read_host(name) {
        // Half the web would be under it.
        Ok(host) if registrable(&host).is_none() && is_public(&host) => {
            findings.wrong_with_advice(
                written,
                format!("`{host}` is not one company's: everybody can have a host under it"),
                "name the vendor's own domain, such as `ads.example.com`",
            );
            None
        }
        Ok(host) => Some(host),
        Err((message, advice)) => {
            findings.wrong_with_advice(written, message, advice);
            None
        }
    }
}

fn is_public(host: &str) -> bool {
    psl::suffix(host.as_bytes()).is_some_and(|suffix| suffix.is_known())
}

/// A path, or nothing when none is written.
pub(super) fn path(written: &Spanned<String>, findings: &mut Findings<'_>) -> Option<PathPattern> {
    let text = written.get_ref();
    if text.is_empty() {
        return None;
    }
    let pattern = PathPattern::new(text);
    if pattern.is_none() {
        findings.wrong_with_advice(
            written,
            format!("`{text}` is not a path"),
            "write it like `/checkout`, or with `*` for any characters: `/*/print`",
        );
    }
    pattern
}
