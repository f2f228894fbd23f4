//! Keeps caches from mixing up what different visitors get.
//!
//! A page depends on what its visitor granted and on the language they read, so
//! its validator does, too: the
//! `ETag` that leaves here names the variant and wraps the origin's own. A
//! conditional request is passed on only when it is about the same variant;
//! any other asks the origin for the whole page.

use crate::consent::Consent;
use crate::enforce::STATEMENT;
use crate::notice::{Texts, Theme};
use crate::policy::Policy;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, ETAG, EXPIRES,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Which of a page's few variants a visitor gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variant(String);

impl Variant {
    pub(super) fn of(consent: &Consent, policy: &Policy, texts: &Texts, theme: &Theme) -> Self {
        let undecided = if consent.is_undecided() { "-u" } else { "" };
        let gpc = if consent.gpc() { "-g" } else { "" };
        let names = match policy.aliases().map_or(0, |aliases| aliases.mark()) {
            0 => String::new(),
            mark => format!("-{mark:x}"),
        };
        let vendors = consent.vendors();
        let vendors = vendors.map_or_else(String::new, |vendors| format!("-{}", vendors.mark()));
        // Then a "no", or what may be one, is not the same as silence.
        let denied = match policy.observed().is_any() {
            true => {
                let doubt = if consent.is_doubtful() { "-d" } else { "" };
                format!("-n{}{doubt}", consent.denied().class())
            }
            false => String::new(),
        };
        Self(format!(
            "{}{undecided}{gpc}{denied}{vendors}.{}{names}.{}-{:08x}.{}",
            consent.granted().class(),
            policy.revision(),
            texts.lang,
            texts.mark ^ theme.mark,
            env!("CARGO_PKG_VERSION")
        ))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The validator that leaves here for an origin's: weak, since the bytes
    /// are ours.
    fn wrap(&self, origin: &str) -> Option<HeaderValue> {
        let (mark, opaque) = match origin.strip_prefix("W/") {
            Some(opaque) => ('w', opaque),
            None => ('s', origin),
        };
        let opaque = opaque.strip_prefix('"')?.strip_suffix('"')?;
        HeaderValue::from_str(&format!("W/\"consentry.{}.{mark}.{opaque}\"", self.0)).ok()
    }

    /// The origin's validator in one of ours, if it is of this variant.
    fn unwrap<'t>(&self, tag: &'t str) -> Tag<'t> {
        let opaque = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
        let Some(rest) = opaque.strip_prefix("consentry.") else { return Tag::Foreign(tag) };
        let Some(inner) =
            rest.strip_prefix(self.0.as_str()).and_then(|rest| rest.strip_prefix('.'))
        else {
            return Tag::OtherVariant;
        };
        match inner.split_at_checked(2) {
            Some(("w.", opaque)) => Tag::Ours(format!("W/\"{opaque}\"")),
            Some(("s.", opaque)) => Tag::Ours(format!("\"{opaque}\"")),
            _ => Tag::OtherVariant,
        }
    }
}

enum Tag<'t> {
    Ours(String),
    OtherVariant,
    Foreign(&'t str),
}

/// What a request's `Sec-Fetch-Dest` and path tell about what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// A document a visitor looks at.
    Page,
    /// A document in a frame.
    Framed,
    /// A script asks.
    Fetch,
    /// An asset of a page.
    Asset,
    /// A client that does not say, for a path that may be a page.
    Unknown,
}

impl Destination {
    pub(super) fn of(parts: &Parts) -> Self {
        let said = parts.headers.get(&SEC_FETCH_DEST).and_then(|value| value.to_str().ok());
        match said {
            Some("document") => Self::Page,
            Some("iframe" | "frame" | "fencedframe" | "embed" | "object") => Self::Framed,
            Some("empty") => Self::Fetch,
            Some(_) => Self::Asset,
            None if is_static(parts.uri.path()) => Self::Asset,
            None => Self::Unknown,
        }
    }

    /// What of a request's header fields is needed when its answer is there:
    /// little, where no page is expected.
    pub(super) fn fields_for_answer(self, headers: &HeaderMap) -> HeaderMap {
        if self.may_be_page() {
            return headers.clone();
        }
        let mut few = HeaderMap::new();
        for name in [&ACCEPT_ENCODING, &SEC_FETCH_DEST] {
            for value in headers.get_all(name) {
                few.append(name, value.clone());
            }
        }
        few
    }

    /// Whether a page may come back that a visitor looks at.
    pub(super) const fn may_be_page(self) -> bool {
        matches!(self, Self::Page | Self::Framed | Self::Unknown)
    }
}

fn is_static(path: &str) -> bool {
    const EXTENSIONS: [&str; 24] = [
        "css", "js", "mjs", "map", "json", "png", "jpg", "jpeg", "gif", "webp", "avif", "ico",
        "svg", "woff", "woff2", "ttf", "otf", "mp4", "webm", "mp3", "pdf", "zip", "wasm", "txt",
    ];
    let file = path.rsplit('/').next().unwrap_or_default();
    file.rsplit_once('.')
        .is_some_and(|(_, extension)| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

/// Makes a conditional or partial request fit for the origin. Says whether it
/// asks about a page we sent: "not modified" then speaks of that page.
pub(super) fn prepare_request<'v>(
    parts: &mut Parts,
    variant: impl FnOnce() -> &'v Variant,
    destination: Destination,
) -> bool {
    // A part of a page cannot be judged. Who does not say what it is for resumes
    // a download, more often than not: if it is a page, all of it is asked for
    // once it is known to be one.
    let is_resumed = destination == Destination::Unknown && parts.method == Method::GET;
    let headers = &mut parts.headers;
    if destination.may_be_page() && !is_resumed {
        headers.remove(RANGE);
        headers.remove(IF_RANGE);
    }
    if !headers.contains_key(IF_NONE_MATCH) {
        if destination.may_be_page() {
            headers.remove(IF_MODIFIED_SINCE);
        }
        return false;
    }
    let variant = variant();
    let mut kept = Vec::new();
    let mut ours = false;
    let fields: Vec<String> = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|field| field.to_str().ok().map(str::to_owned))
        .collect();
    for tag in fields
        .iter()
        .flat_map(|field| field.split(','))
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
    {
        match variant.unwrap(tag) {
            Tag::Ours(tag) => {
                ours = true;
                kept.push(tag);
            }
            Tag::Foreign(tag) if !destination.may_be_page() => kept.push(tag.to_owned()),
            Tag::OtherVariant | Tag::Foreign(_) => {}
        }
    }
    headers.remove(IF_NONE_MATCH);
    if let Some(value) =
        HeaderValue::from_str(&kept.join(", ")).ok().filter(|value| !value.is_empty())
    {
        headers.insert(IF_NONE_MATCH, value);
    }
    if destination.may_be_page() || kept.is_empty() || ours {
        headers.remove(IF_MODIFIED_SINCE);
    }
    ours
}

/// Binds a page's validator to its variant, and keeps shared caches away from
/// it and browsers from reusing it unasked: the very next answer after a
/// choice must be the right one.
pub(super) fn mark_page(headers: &mut HeaderMap, variant: &Variant, changed: bool) {
    keep_private(headers);
    headers.remove(ACCEPT_RANGES);
    if !changed {
        return;
    }
    mark_variant(headers, variant);
    for name in ["content-md5", "digest", "repr-digest", "content-digest", "want-digest"] {
        headers.remove(name);
    }
    headers.remove(CONTENT_LENGTH);
}

/// For what leaves unfiltered because of the lot: nobody may keep it for others,
/// and nothing may say later that it is still right.
pub(super) fn mark_spared(headers: &mut HeaderMap) {
    keep_private(headers);
    for name in [ACCEPT_RANGES, ETAG, LAST_MODIFIED] {
        headers.remove(name);
    }
}

/// Binds a validator to its variant: also that of a page that leaves as it
/// came because what is in it is granted, since it is another one after a
/// withdrawal. A date cannot be bound, so it goes.
pub(super) fn mark_variant(headers: &mut HeaderMap, variant: &Variant) {
    headers.remove(LAST_MODIFIED);
    let wrapped =
        headers.get(ETAG).and_then(|tag| tag.to_str().ok()).and_then(|tag| variant.wrap(tag));
    match wrapped {
        Some(tag) => {
            headers.insert(ETAG, tag);
        }
        None => {
            headers.remove(ETAG);
        }
    }
}

/// Whether an answer that is no page depends on what its visitor granted
/// because the origin says so: it speaks of a field that only we send it, so
/// no cache in front of us could compare it.
pub(super) fn varies_with_consent(headers: &HeaderMap) -> bool {
    headers.get_all(VARY).iter().filter_map(|field| field.to_str().ok()).any(|field| {
        field.split(',').any(|name| name.trim().eq_ignore_ascii_case(STATEMENT.as_str()))
    })
}

/// Keeps shared caches away from an answer.
pub(super) fn keep_private(headers: &mut HeaderMap) {
    let mut directives = vec!["private".to_owned(), "no-cache".to_owned()];
    for field in headers.get_all(CACHE_CONTROL) {
        for directive in field.to_str().unwrap_or_default().split(',').map(str::trim) {
            let name = directive.split('=').next().unwrap_or_default().to_ascii_lowercase();
            if matches!(name.as_str(), "no-store" | "no-transform" | "must-revalidate")
                && !directives.contains(&name)
            {
                directives.push(name);
            }
        }
    }
    for name in ["cdn-cache-control", "surrogate-control", "expires"] {
        headers.remove(name);
    }
    headers.remove(EXPIRES);
    if let Ok(value) = HeaderValue::from_str(&directives.join(", ")) {
        headers.insert(CACHE_CONTROL, value);
    }
    headers.append(VARY, HeaderValue::from_static("Cookie, Sec-GPC, Accept-Language"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::notice::Languages;
    use crate::policy::Unlisted;
    use crate::purpose::PurposeSet;
    use http::Request;
    use std::sync::Arc;

    fn texts(lang: &str) -> Arc<Texts> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT_LANGUAGE, lang.parse().unwrap());
        Languages::built_in().for_visitor(&headers).clone()
    }

    fn variant(granted: PurposeSet) -> Variant {
        let policy =
            Policy::new(Arc::new(Catalogue::compile(&[]).unwrap()), Unlisted::Observe, &[]);
        Variant::of(&Consent::chosen(granted), &policy, &texts("en"), &Theme::default())
    }

    fn request(path: &str, fields: &[(&'static str, &str)]) -> Parts {
        let mut parts = Request::builder().uri(path).body(()).unwrap().into_parts().0;
        for (name, value) in fields {
            parts.headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        parts
    }

    #[test]
    fn i3_a_validator_counts_for_its_own_variant_only() {
        let (denied, granted) = (variant(PurposeSet::EMPTY), variant(PurposeSet::ALL));
        for tag in ["\"abc\"", "W/\"abc\""] {
            let mut headers = HeaderMap::new();
            headers.insert(ETAG, tag.parse().unwrap());
            mark_page(&mut headers, &denied, true);
            let sent = headers[ETAG].to_str().unwrap().to_owned();
            assert!(sent.starts_with("W/"));
            for (variant, expected) in [(&denied, Some(tag)), (&granted, None)] {
                let mut parts =
                    request("/", &[("if-none-match", &sent), ("if-modified-since", "x")]);
                let destination = Destination::of(&parts);
                assert_eq!(
                    prepare_request(&mut parts, || variant, destination),
                    expected.is_some()
                );
                assert_eq!(parts.headers.get(IF_NONE_MATCH).map(|v| v.to_str().unwrap()), expected);
                assert!(!parts.headers.contains_key(IF_MODIFIED_SINCE));
            }
        }
    }

    #[test]
    fn a_strangers_validator_counts_for_assets_only() {
        for (path, dest, kept, in_parts) in [
            ("/a.css", None, true, true),
            ("/a", None, false, true),
            ("/a", Some("image"), true, true),
            ("/a", Some("document"), false, false),
            ("/a.css", Some("document"), false, false),
            ("/api", Some("empty"), true, true),
        ] {
            let mut parts = request(path, &[("if-none-match", "\"abc\""), ("range", "bytes=0-5")]);
            if let Some(dest) = dest {
                parts.headers.insert("sec-fetch-dest", dest.parse().unwrap());
            }
            let destination = Destination::of(&parts);
            let variant = variant(PurposeSet::EMPTY);
            assert!(!prepare_request(&mut parts, || &variant, destination));
            assert_eq!(parts.headers.contains_key(IF_NONE_MATCH), kept, "{path} {dest:?}");
            assert_eq!(parts.headers.contains_key(RANGE), in_parts, "{path} {dest:?}");
        }
    }

    #[test]
    fn i1_no_shared_cache_keeps_a_page() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CACHE_CONTROL,
            "public, s-maxage=600, max-age=60, no-transform".parse().unwrap(),
        );
        headers.insert("content-md5", "x".parse().unwrap());
        mark_page(&mut headers, &variant(PurposeSet::EMPTY), true);
        assert_eq!(headers[CACHE_CONTROL], "private, no-cache, no-transform");
        assert!(!headers.contains_key("content-md5"));
    }
}
