//! Reads a page with html5ever, for tests that want to know what a browser
//! would make of it.

use consentry::catalogue::Kind;

use html5ever::tendril::TendrilSink;
use html5ever::tree_builder::TreeBuilderOpts;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use url::Url;

/// Whether the visitor's browser runs scripts: it decides how `noscript` is
/// read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scripting {
    On,
    Off,
}

/// Something that a page makes a browser load or run.
pub(crate) struct Load {
    pub(crate) kind: Kind,
    /// The address, or the code that stands in the page.
    pub(crate) url: Result<Url, String>,
}

/// Everything a page loads or runs. The first `<base>` counts for what follows
/// it: what stands before it is on its way already.
pub(crate) fn loads(page: &[u8], url: &Url, scripting: Scripting) -> Vec<Load> {
    let mut base = None;
    let mut found = Vec::new();
    walk(&parse(page, scripting), 0, &mut |node, _| {
        if base.is_none() && is(node, "base") {
            base =
                attribute(node, "href").map(|href| url.join(&href).unwrap_or_else(|_| url.clone()));
        }
        look_at(node, base.as_ref().unwrap_or(url), scripting, &mut found);
    });
    found
}

/// The nodes of a page in order: depth and name; what text says does not count.
pub(crate) fn shape(page: &[u8], scripting: Scripting) -> Vec<String> {
    let mut nodes = Vec::new();
    walk(&parse(page, scripting), 0, &mut |node, depth| {
        let name = match &node.data {
            NodeData::Element { name, .. } => name.local.to_string(),
            NodeData::Text { contents } if contents.borrow().trim().is_empty() => return,
            NodeData::Text { .. } => "text".to_owned(),
            NodeData::Comment { contents } => format!("<!--{contents}-->"),
            NodeData::Document
            | NodeData::Doctype { .. }
            | NodeData::ProcessingInstruction { .. } => "other".to_owned(),
        };
        // A held script has no text any more.
        let parent = node.parent.take();
        let in_script = parent
            .as_ref()
            .and_then(std::rc::Weak::upgrade)
            .is_some_and(|parent| is(&parent, "script"));
        node.parent.set(parent);
        if !in_script {
            nodes.push(format!("{depth} {name}"));
        }
    });
    nodes
}

fn parse(page: &[u8], scripting: Scripting) -> Handle {
    let options = ParseOpts {
        tree_builder: TreeBuilderOpts {
            scripting_enabled: scripting == Scripting::On,
            ..TreeBuilderOpts::default()
        },
        ..ParseOpts::default()
    };
    parse_document(RcDom::default(), options).from_utf8().one(page).document
}

fn walk(node: &Handle, depth: usize, visit: &mut impl FnMut(&Handle, usize)) {
    visit(node, depth);
    for child in node.children.borrow().iter() {
        walk(child, depth + 1, visit);
    }
    if let NodeData::Element { template_contents, .. } = &node.data
        && let Some(contents) = template_contents.borrow().as_ref()
    {
        walk(contents, depth + 1, visit);
    }
}

fn is(node: &Handle, name: &str) -> bool {
    matches!(&node.data, NodeData::Element { name: own, .. } if &*own.local == name)
}

fn attribute(node: &Handle, wanted: &str) -> Option<String> {
    let NodeData::Element { attrs, .. } = &node.data else { return None };
    attrs
        .borrow()
        .iter()
        .find(|attr| &*attr.name.local == wanted)
        .map(|attr| attr.value.to_string())
}

fn text(node: &Handle) -> String {
    let mut out = String::new();
    for child in node.children.borrow().iter() {
        if let NodeData::Text { contents } = &child.data {
            out.push_str(&contents.borrow());
        }
    }
    out
}

fn look_at(node: &Handle, base: &Url, scripting: Scripting, found: &mut Vec<Load>) {
    let NodeData::Element { name, attrs, .. } = &node.data else { return };
    let tag = &*name.local;
    let mut note = |kind, address: &str| {
        if let Ok(url) = base.join(address) {
            found.push(Load { kind, url: Ok(url) });
        }
    };
    for attr in attrs.borrow().iter() {
        let value = &*attr.value;
        match (tag, &*attr.name.local) {
            ("script", "src" | "href") => note(Kind::Script, value),
            ("img" | "input", "src") | ("image" | "use", "href") | ("video", "poster") => {
                note(Kind::Image, value)
            }
            ("iframe" | "frame", "src") => note(Kind::Frame, value),
            ("embed", "src") | ("object", "data") => note(Kind::Object, value),
            ("audio" | "video" | "source" | "track", "src") => note(Kind::Media, value),
            ("link", "href") => note(Kind::Style, value),
            (_, "background") => note(Kind::Image, value),
            ("a" | "area", "ping") => {
                value.split_ascii_whitespace().for_each(|address| note(Kind::Connect, address))
            }
            ("img" | "source", "srcset") => {
                value
                    .split(", ")
                    .filter_map(|candidate| candidate.split_ascii_whitespace().next())
                    .for_each(|a| note(Kind::Image, a));
            }
            (_, "style") => {
                in_css(value).into_iter().for_each(|address| note(Kind::Image, &address))
            }
            _ => {}
        }
    }
    match tag {
        // Browsers apply no style of another type.
        "style" if attribute(node, "type").is_some_and(|kind| kind == "text/plain") => {}
        "style" => in_css(&text(node)).into_iter().for_each(|address| note(Kind::Image, &address)),
        "script" => {
            let kind = attribute(node, "type").unwrap_or_default();
            let runs = kind.is_empty() || kind == "module" || kind.contains("javascript");
            if runs && attribute(node, "src").is_none() && attribute(node, "href").is_none() {
                found.push(Load { kind: Kind::Inline, url: Err(text(node)) });
            }
        }
        "iframe" => {
            if let Some(document) = attribute(node, "srcdoc") {
                found.extend(loads(document.as_bytes(), base, scripting));
            }
        }
        _ => {}
    }
}

fn in_css(css: &str) -> Vec<String> {
    css.split("url(")
        .skip(1)
        .map(|rest| {
            rest.split(')').next().unwrap_or_default().trim_matches(['\'', '"', ' ']).to_owned()
        })
        .collect()
}
