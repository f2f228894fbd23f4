//! Which attributes of which elements make a browser load something.
//!
//! From the attributes that WHATWG HTML (and SVG 2) fetch, plus the `data-`
//! attributes in which lazy loaders park an address until the element comes
//! into view.

use crate::catalogue::Kind;

/// How addresses stand in an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One address.
    One,
    /// A `srcset`.
    Set,
    /// Several, separated by white space.
    List,
    /// `5; url=...`
    Refresh,
    /// A document.
    Document,
}

/// What an attribute loads, if anything.
pub(super) fn loads(tag: &str, attribute: &str, rel: &str) -> Option<(Kind, Shape)> {
    use Shape::{Document, List, One, Refresh, Set};
    if attribute == "background" {
        return Some((Kind::Image, One));
    }
    match (tag, attribute) {
        ("script", "src" | "href" | "xlink:href") => Some((Kind::Script, One)),
        ("img" | "image" | "input", "src") | ("img", "lowsrc" | "dynsrc") => {
            Some((Kind::Image, One))
        }
        ("img" | "image" | "source", "srcset") | ("link", "imagesrcset") => {
            Some((Kind::Image, Set))
        }
        ("image" | "use" | "feimage", "href" | "xlink:href") => Some((Kind::Image, One)),
        ("iframe" | "frame" | "portal" | "fencedframe", "src") => Some((Kind::Frame, One)),
        ("iframe", "srcdoc") => Some((Kind::Frame, Document)),
        ("embed", "src")
        | ("object", "data" | "codebase" | "classid")
        | ("applet", "code" | "archive") => Some((Kind::Object, One)),
        ("video" | "audio" | "source" | "track", "src") => Some((Kind::Media, One)),
        ("video", "poster") => Some((Kind::Image, One)),
        ("link", "href") => link(rel).map(|kind| (kind, One)),
        ("a" | "area", "ping") => Some((Kind::Connect, List)),
        ("meta", "content") => Some((Kind::Refresh, Refresh)),
        ("amp-pixel" | "amp-img", "src") => Some((Kind::Image, One)),
        ("amp-iframe", "src") => Some((Kind::Frame, One)),
        // iubenda parks addresses without the prefix.
        _ if attribute.starts_with("data-") || attribute == "suppressedsrc" => {
            parked(tag, attribute)
        }
        _ => None,
    }
}

/// What a link loads, by its relations; `None` for those that load nothing.
pub(crate) fn link(rel: &str) -> Option<Kind> {
    let mut kind = None;
    for relation in rel.split_ascii_whitespace() {
        let found = match relation.to_ascii_lowercase().as_str() {
            "stylesheet" => Kind::Style,
            "icon"
            | "apple-touch-icon"
            | "apple-touch-icon-precomposed"
            | "mask-icon"
            | "fluid-icon"
            | "apple-touch-startup-image" => Kind::Image,
            "import" => Kind::Frame,
            "preload"
            | "modulepreload"
            | "preconnect"
            | "dns-prefetch"
            | "prefetch"
            | "prerender"
            | "manifest"
            | "pingback"
            | "subresource"
            | "compression-dictionary" => Kind::Hint,
            _ => continue,
        };
        if kind != Some(Kind::Style) {
            kind = Some(found);
        }
    }
    kind
}

/// Addresses that a lazy loader moves into `src` later.
fn parked(tag: &str, attribute: &str) -> Option<(Kind, Shape)> {
    let kind = match tag {
        "script" => Kind::Script,
        "img" | "input" | "image" | "picture" => Kind::Image,
        "iframe" | "frame" => Kind::Frame,
        "source" | "video" | "audio" => Kind::Media,
        "embed" | "object" => Kind::Object,
        "link" => Kind::Style,
        _ => return None,
    };
    let name = attribute.strip_prefix("data-").unwrap_or(attribute);
    if name.ends_with("srcset") {
        return Some((Kind::Image, Shape::Set));
    }
    let parks = name.contains("src")
        || name.contains("lazy")
        || name.contains("original")
        || name.contains("url")
        || name == "href"
        || name.ends_with("-href");
    parks.then_some((kind, Shape::One))
}

/// What a browser, or a loader that comes later, does with a script of this
/// `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptType {
    /// It runs, now or when some loader gets to it.
    Code,
    /// It holds addresses that will be loaded ahead: speculation rules.
    Addresses,
    /// It says which address a module's name stands for.
    ImportMap,
    /// It is data.
    Data,
}

/// What kind of script a `type` makes (WHATWG HTML, "prepare the script
/// element"); a type that no browser knows but that names a script language is
/// run later by some loader.
pub(super) fn script_type(written: Option<&str>) -> ScriptType {
    let Some(written) = written else { return ScriptType::Code };
    let kind = written.trim().to_ascii_lowercase();
    match kind.as_str() {
        "" | "module" | "text/partytown" => ScriptType::Code,
        "importmap" => ScriptType::ImportMap,
        "speculationrules" => ScriptType::Addresses,
        _ if kind.contains("javascript")
            || kind.contains("ecmascript")
            || kind.contains("jscript")
            || kind.contains("livescript")
            || kind.contains("lazy")
            || kind.contains("delay") =>
        {
            ScriptType::Code
        }
        _ => ScriptType::Data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_loads_what_its_relations_say() {
        for (rel, expected) in [
            ("stylesheet", Some(Kind::Style)),
            ("preload stylesheet", Some(Kind::Style)),
            ("STYLESHEET preload", Some(Kind::Style)),
            ("dns-prefetch", Some(Kind::Hint)),
            ("canonical", None),
            ("alternate", None),
            ("shortcut icon", Some(Kind::Image)),
        ] {
            assert_eq!(link(rel), expected, "{rel}");
        }
    }

    #[test]
    fn lazy_loaders_are_seen_through() {
        assert_eq!(loads("img", "data-src", ""), Some((Kind::Image, Shape::One)));
        assert_eq!(loads("iframe", "data-lazy-src", ""), Some((Kind::Frame, Shape::One)));
        assert_eq!(loads("img", "data-caption", ""), None);
        assert_eq!(loads("div", "data-src", ""), None);
    }

    #[test]
    fn scripts_that_run_are_told_from_data() {
        for (kind, expected) in [
            (None, ScriptType::Code),
            (Some(""), ScriptType::Code),
            (Some(" Text/JavaScript "), ScriptType::Code),
            (Some("text/javascript; charset=utf-8"), ScriptType::Code),
            (Some("rocketlazyloadscript"), ScriptType::Code),
            (Some("1a2b-text/javascript"), ScriptType::Code),
            (Some("application/ld+json"), ScriptType::Data),
            (Some("text/template"), ScriptType::Data),
            (Some("text/plain"), ScriptType::Data),
            (Some("speculationrules"), ScriptType::Addresses),
        ] {
            assert_eq!(script_type(kind), expected, "{kind:?}");
        }
    }
}
