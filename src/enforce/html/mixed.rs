//! Tells code that only brings a vendor in from code that is the site's own, too.
//!
//! A vendor's snippet can be withheld as a whole. Where somebody wrote the
//! site's cart into the same block, withholding takes the cart along; there the
//! code stays, and what it loads is withheld in the browser.

use crate::enforce::browser::{Reader, Token};

/// How many statements of one block are looked at.
const MAX_STATEMENTS: usize = 200;

/// Longer code is a program, and looked at as far as this.
const MAX_BYTES: usize = 256 * 1024;

/// How deep functions may wrap the statements.
const MAX_DEPTH: u8 = 3;

/// Signs that a statement works on the page itself. Snippets have none of them
/// outside the statement that loads their vendor.
const SITE: [&[u8]; 15] = [
    b"getElementById",
    b"getElementsByClassName",
    b".dataset",
    b".classList",
    b".textContent",
    b".innerHTML",
    b"$(",
    b"jQuery(",
    b".preventDefault",
    b".submit(",
    b".className",
    b".style.",
    b"sessionStorage",
    b"localStorage",
    b"location.href",
];

/// What visitors do; loaders listen to other events, such as `load`.
const DEEDS: [&[u8]; 10] = [
    b"click", b"submit", b"change", b"input", b"key", b"scroll", b"resize", b"mouse", b"touch",
    b"focus",
];

/// What loaders look for to put their script beside.
const PLACES: [&[u8]; 5] = [b"script", b"head", b"body", b"html", b"link"];

/// Whether a statement works on the page itself.
fn works_on_page(statement: &[u8]) -> bool {
    let argument = |call: &[u8], words: &[&[u8]]| {
        memchr::memmem::find_iter(statement, call).any(|at| {
            let rest = statement.get(at + call.len()..).unwrap_or_default();
            let quoted = rest.first().is_some_and(|byte| matches!(byte, b'"' | b'\'' | b'`'));
            quoted
                && rest.get(1..).is_some_and(|rest| words.iter().any(|word| rest.starts_with(word)))
        })
    };
    let calls = |call: &[u8]| memchr::memmem::find(statement, call).is_some();
    SITE.iter().any(|sign| calls(sign))
        || argument(b"addEventListener(", &DEEDS)
        || (calls(b"querySelector") && !argument(b"querySelector(", &PLACES))
}

/// Whether `code` does something for the site beside what `is_vendors` says of
/// its statements one by one.
pub(super) fn has_site_logic(code: &[u8], is_vendors: &dyn Fn(&[u8]) -> bool) -> bool {
    let code = code.get(..MAX_BYTES).unwrap_or(code);
    looks_at(code, is_vendors, 0)
}

fn looks_at(code: &[u8], is_vendors: &dyn Fn(&[u8]) -> bool, depth: u8) -> bool {
    let statements = statements(code);
    statements.iter().take(MAX_STATEMENTS).any(|statement| {
        if !works_on_page(statement) || only_leaves(statement) {
            return false;
        }
        if !is_vendors(statement) {
            return true;
        }
        // The whole in a function: `(function(){...})()`, `onReady(() => {...})`.
        match body(statement) {
            Some(body) if depth < MAX_DEPTH => looks_at(body, is_vendors, depth + 1),
            _ => false,
        }
    })
}

/// Whether a statement only asks whether to go on: `if (d.getElementById(id))
/// return`, with which snippets see to it that they run once.
fn only_leaves(statement: &[u8]) -> bool {
    let statement = statement.trim_ascii();
    let statement = statement.strip_suffix(b";").unwrap_or(statement).trim_ascii_end();
    statement.starts_with(b"if") && statement.ends_with(b"return")
}

/// The statements at the top of some code, without their `;`.
fn statements(code: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut reader = Reader::new(code);
    let mut start = 0;
    let mut last = Token::Sign(b';');
    while let Some(token) = reader.next() {
        let end = reader.position();
        let ends = match token {
            Token::Sign(b';') => true,
            // A line ends a statement unless something is still open or wanted.
            Token::End => matches!(
                last,
                Token::Word(_) | Token::Text(_) | Token::Value | Token::Sign(b')' | b'}' | b']')
            ),
            _ => false,
        };
        if ends && reader.is_at_top() {
            found.extend(code.get(start..end));
            start = end;
            if found.len() >= MAX_STATEMENTS {
                return found;
            }
        }
        if token != Token::End {
            last = token;
        }
    }
    found.extend(code.get(start..));
    found
}

/// What stands between the outermost braces of a statement.
fn body(statement: &[u8]) -> Option<&[u8]> {
    let start = memchr::memchr(b'{', statement)?;
    let end = memchr::memrchr(b'}', statement)?;
    statement.get(start + 1..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, expected: bool) {
        let is_vendors = |code: &[u8]| memchr::memmem::find(code, b"ads.example").is_some();
        assert_eq!(has_site_logic(code.as_bytes(), &is_vendors), expected, "{code}");
    }

    #[test]
    fn a_snippet_is_the_vendors_alone() {
        for code in [
            "(function(d,s){var j=d.createElement(s);j.src='https://ads.example/p.js';d.head.appendChild(j)})(document,'script')",
            "window.q=window.q||[];function ad(){q.push(arguments)}ad('init',1);\nvar s=document.createElement('script');s.src='//ads.example/a.js';document.head.append(s)",
            "!function(f){if(f.ad)return;if(document.getElementById('ad'))return;f.ad=1;load('//ads.example/')}(window)",
            "(function(){var w=window;function l(){var s=document.createElement('script');s.src='//ads.example/a.js';document.querySelector('head').append(s)}if(document.readyState==='complete'){l()}else{w.addEventListener('load',l,false)}})()",
            "var ad_id = 7",
            "",
        ] {
            check(code, false);
        }
    }

    #[test]
    fn a_cart_beside_a_tracker_is_the_sites() {
        for code in [
            "document.documentElement.dataset.ready='1';var s=document.createElement('script');s.src='https://ads.example/a.js'",
            "load('//ads.example/');\ndocument.getElementById('buy').onclick = buy",
            "(function(){load('//ads.example/a.js'); document.querySelector('#menu').addEventListener('click', open)})()",
            "$(function () {\n  $('.slider').slick();\n  load('//ads.example/');\n})",
        ] {
            check(code, true);
        }
    }

    #[test]
    fn any_bytes_are_looked_at_to_their_end() {
        for code in ["((((", "}}}}$(", "`${`", "/*", "\"", "//", "{{{{.on("] {
            let _ = has_site_logic(code.as_bytes(), &|_| true);
        }
    }
}
