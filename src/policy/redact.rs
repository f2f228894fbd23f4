//! Takes what could identify a person out of paths and names before they are
//! recorded.

use percent_encoding::percent_decode_str;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::net::{Ipv4Addr, Ipv6Addr};

/// How often an address is taken to have been encoded, one time over another.
const ENCODED: usize = 3;

/// Endings of files that a site's makers put there, whose names carry hashes of
/// what is in them. Nobody's document ends so.
const PARTS_OF_A_SITE: [&str; 13] = [
    ".js",
    ".mjs",
    ".cjs",
    ".css",
    ".map",
    ".wasm",
    ".woff",
    ".woff2",
    ".ttf",
    ".otf",
    ".ico",
    ".svg",
    ".webmanifest",
];

/// Endings of pages, whose names are judged without them.
const PAGES: [&str; 10] =
    [".html", ".htm", ".xhtml", ".php", ".asp", ".aspx", ".jsp", ".do", ".xml", ".json"];

/// A path as the ledger keeps it: segments that look like an id, an address or a
/// token become `:id`, long ones are cut, and matrix parameters and control characters go.
#[must_use]
pub fn redact_path(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut out = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate().take(12) {
        if index > 0 {
            out.push('/');
        }
        let segment = segment.split(';').next().unwrap_or_default();
        if is_personal(segment) {
            out.push_str(":id");
        } else {
            out.extend(segment.chars().filter(|c| !c.is_control()).take(64));
        }
    }
    out
}

/// A cookie's or header's name as the ledger keeps it. Names carry ids, too
/// (`wordpress_logged_in_<hash>`, `_ga_<container>`): the part that looks like
/// one becomes `*`.
#[must_use]
pub fn redact_name(name: &str) -> String {
    let mut out = String::new();
    for part in name.split_inclusive(['_', '-', '.', ':', '/']).take(12) {
        let (body, separator) = match part.char_indices().next_back() {
            Some((at, last @ ('_' | '-' | '.' | ':' | '/'))) => {
                (part.get(..at).unwrap_or_default(), Some(last))
            }
            _ => (part, None),
        };
        if looks_like_id(body) {
            out.push('*');
        } else {
            out.extend(body.chars().filter(|c| !c.is_control()).take(64));
        }
        out.extend(separator);
    }
    out
}

/// Whether a segment of a path may say who somebody is: an e-mail or IP address, a
/// number, or a token, however often it was percent-encoded.
fn is_personal(segment: &str) -> bool {
    if segment.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
        return false;
    }
    let mut text = segment.to_owned();
    for layer in 0..=ENCODED {
        if names_address(&text) {
            return true;
        }
        if layer == ENCODED || !text.contains('%') {
            break;
        }
        text = decoded(&text);
    }
    let lower = text.to_ascii_lowercase();
    if PARTS_OF_A_SITE.iter().any(|ending| lower.ends_with(ending)) && text.len() < 64 {
        return is_number(&text);
    }
    let stem = PAGES.iter().find_map(|ending| lower.strip_suffix(ending));
    let stem = stem.and_then(|stem| text.get(..stem.len())).unwrap_or(&text);
    is_number(stem) || is_token(stem)
}

/// The text with its percent-encoding taken away; what is no UTF-8 is read as
/// Latin-1, where every byte is a letter.
fn decoded(text: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    String::from_utf8(bytes)
        .unwrap_or_else(|error| error.as_bytes().iter().copied().map(char::from).collect())
}

/// An e-mail address, also as base64, or an IP address.
fn names_address(text: &str) -> bool {
    let at = ["@", "\u{ff20}", "&#64;", "&#x40;", "&commat;", "(at)", "[at]"];
    // Each of them begins with one of these.
    if text.contains(['@', '\u{ff20}', '&', '(', '[']) {
        let lower = text.to_ascii_lowercase();
        if at.iter().any(|sign| lower.contains(sign)) {
            return true;
        }
    }
    is_encoded_mail(text) || names_ip(text)
}

fn is_encoded_mail(text: &str) -> bool {
    let bare = text.trim_end_matches('=');
    let read = |engine: &base64::engine::GeneralPurpose| engine.decode(bare).ok();
    bare.len() >= 8
        && [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD]
            .into_iter()
            .filter_map(read)
            .any(|bytes| bytes.contains(&b'@') && bytes.iter().all(|byte| byte.is_ascii_graphic()))
}

fn names_ip(text: &str) -> bool {
    if !text.contains(|c: char| c.is_ascii_digit() || c == ':') {
        return false;
    }
    let pieces = || text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != ':');
    let is_v4 = |piece: &str| {
        // A port may follow.
        let host = piece.split(':').next().unwrap_or_default();
        host.trim_matches('.').parse::<Ipv4Addr>().is_ok()
    };
    if pieces().any(|piece| is_v4(piece) || piece.parse::<Ipv6Addr>().is_ok()) {
        return true;
    }
    // The same with hyphens, as names of hosts have it.
    let parts: Vec<&str> = text.split(['-', '_', '.']).collect();
    let dashed_v4 = parts.windows(4).any(|four| {
        let is_byte = |part: &&str| part.len() <= 3 && part.parse::<u8>().is_ok();
        four.iter().all(is_byte)
    });
    let dashed_v6 = text.matches('-').count() >= 2
        && text.contains(|c: char| c.is_ascii_digit())
        && text.replace('-', ":").parse::<Ipv6Addr>().is_ok();
    dashed_v4 || dashed_v6
}

/// Five digits in a row that are no date, or nine and no letter.
fn is_number(text: &str) -> bool {
    let mut runs = text.split(|c: char| !c.is_numeric());
    let digits = text.chars().filter(|c| c.is_numeric()).count();
    runs.any(|run| run.chars().count() >= 5 && !is_date(run))
        || digits >= 9 && !text.contains(char::is_alphabetic)
}

/// A day of this century, written in one.
fn is_date(digits: &str) -> bool {
    let part = |range| digits.get(range).and_then(|part: &str| part.parse::<u32>().ok());
    digits.len() == 8
        && digits.starts_with("20")
        && part(4..6).is_some_and(|month| (1..=12).contains(&month))
        && part(6..8).is_some_and(|day| (1..=31).contains(&day))
}

/// Whether letters and digits are mixed as no word, product or version mixes
/// them.
fn is_token(text: &str) -> bool {
    let pieces = || text.split(|c: char| !c.is_alphanumeric()).filter(|piece| !piece.is_empty());
    let mixed = pieces().filter(|piece| Shape::of(piece).is_mixed()).count();
    let long = text.chars().count() >= 10;
    long && mixed >= 2
        || pieces().any(|piece| {
            let shape = Shape::of(piece);
            let enough = match shape.length {
                0..8 => false,
                8 | 9 => long && shape.is_mixed(),
                10..16 => shape.is_mixed() || shape.digits > 0 && shape.turns >= 4,
                _ => shape.digits >= 3,
            };
            enough && !shape.is_worded()
        })
        || Shape::of(text).length >= 16 && mixed >= 1 && !Shape::of(text).is_worded()
        || is_split_hex(text)
}

/// Hexadecimal digits in groups, as a UUID has them.
fn is_split_hex(text: &str) -> bool {
    let hex = text.chars().filter(char::is_ascii_hexdigit).count();
    let others = text.chars().any(|c| !c.is_ascii_hexdigit() && c != '-' && c != '_');
    !others && hex >= 16 && text.contains(|c: char| c.is_ascii_digit())
}

/// What a piece of text is made of.
struct Shape {
    length: usize,
    upper: bool,
    lower: bool,
    digits: usize,
    /// How often a digit follows a letter or the other way round.
    turns: usize,
    /// How many characters belong to something that can be spoken.
    worded: usize,
}

impl Shape {
    fn of(text: &str) -> Self {
        let mut shape =
            Self { length: 0, upper: false, lower: false, digits: 0, turns: 0, worded: 0 };
        let mut before: Option<char> = None;
        let mut word = String::new();
        for c in text.chars().filter(|c| c.is_alphanumeric()) {
            shape.length += 1;
            shape.upper |= c.is_uppercase();
            shape.lower |= c.is_lowercase();
            shape.digits += usize::from(c.is_numeric());
            let turns = before.is_some_and(|before| before.is_numeric() != c.is_numeric());
            shape.turns += usize::from(turns);
            let begins = before.is_some_and(|before| before.is_lowercase() && c.is_uppercase());
            if turns || begins {
                shape.end(&mut word);
            }
            if !c.is_numeric() {
                word.push(c);
            }
            before = Some(c);
        }
        shape.end(&mut word);
        shape
    }

    /// A word has three letters and one of them is a vowel, or is written in
    /// letters that nobody makes tokens of.
    fn end(&mut self, word: &mut String) {
        let letters = word.chars().count();
        let spoken = word.contains(|c: char| !c.is_ascii() || "aeiouyAEIOUY".contains(c));
        if letters >= 3 && spoken {
            self.worded += letters;
        }
        word.clear();
    }

    const fn is_mixed(&self) -> bool {
        self.upper && self.lower && self.digits > 0
    }

    /// Whether at least half of it can be spoken.
    const fn is_worded(&self) -> bool {
        self.worded * 2 >= self.length
    }
}

/// Whether a part of a name is more likely a number or token than a word: an
/// address with `@`, five digits in a row, or sixteen and more characters in
/// which digits are mixed with letters. Names are given by software, so shorter
/// mixtures (`_ga_<container>`) tell which service it is and not who somebody is.
fn looks_like_id(text: &str) -> bool {
    let longest = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let token = text.len() >= 16 && digits >= 3 && !has_words(text);
    names_address(text) || names_address(&decoded(text)) || longest >= 5 || token
}

/// Slugs are made of words: at least two runs of letters of three and more,
/// separated by hyphens or underscores.
fn has_words(text: &str) -> bool {
    let words = text
        .split(['-', '_', '+', '%'])
        .filter(|word| word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_alphabetic()))
        .count();
    words >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_ids_do_not_reach_the_ledger() {
        for (path, expected) in [
            ("/", "/"),
            ("/shop/red-shoes?uid=7", "/shop/red-shoes"),
            ("/orders/100234/items", "/orders/:id/items"),
            ("/u/jane.doe@example.org", "/u/:id"),
            ("/u/jane%40example.org", "/u/:id"),
            ("/reset/9f86d081884c7d659a2feaa0c55ad015", "/reset/:id"),
            ("/x/123e4567-e89b-12d3-a456-426614174000/y", "/x/:id/y"),
            ("/s;jsessionid=ABC123/x", "/s/x"),
            ("/en_US/fbevents.js", "/en_US/fbevents.js"),
            ("/2024/05/how-to-bake-bread-in-10-steps", "/2024/05/how-to-bake-bread-in-10-steps"),
        ] {
            assert_eq!(redact_path(path), expected, "{path}");
        }
        for (name, expected) in [
            ("_ga", "_ga"),
            ("_fbp", "_fbp"),
            ("_ga_1A2B3C4D5E", "_ga_1A2B3C4D5E"),
            ("wordpress_logged_in_9f86d081884c7d659a2feaa0c55ad015", "wordpress_logged_in_*"),
            ("mp_9f86d081884c7d659a2feaa0c55ad015_mixpanel", "mp_*_mixpanel"),
            ("user-1234567", "user-*"),
        ] {
            assert_eq!(redact_name(name), expected, "{name}");
        }
    }

    #[test]
    fn g1_real_looking_paths_keep_their_words_and_lose_what_is_somebodys() {
        for readable in [
            "/2024/05/12/how-to-bake-bread-in-10-steps",
            "/blog/2024-05-12-spring-sale",
            "/archive/20240512",
            "/products/iPhone-15-Pro-Max",
            "/products/iPhone15ProMax",
            "/products/Sony-WH-1000XM5",
            "/p/RTX-4090Ti",
            "/p/mp3-to-mp4-h264",
            "/Category/MensShoes2024",
            "/wiki/World_War_II_(1939-1945)",
            "/de/k%C3%BCche/t%C3%B6pfe",
            "/ar/%D8%A7%D9%84%D8%A3%D8%AD%D8%B0%D9%8A%D8%A9",
            "/wp-content/themes/twentytwentyfour/style.css",
            "/static/js/main.3f2a9c1b.chunk.js",
            "/assets/index-BxK9fQ2a.js",
            "/lib/jquery-3.6.0.min.js",
            "/fonts/inter-v12-latin-700.woff2",
            "/docs/v2.10.3/getting-started.html",
            "/en_US/checkout/step-2.php",
            "/covid19-vaccination-centres",
            "/std::fs::read",
        ] {
            assert_eq!(redact_path(readable), readable);
        }
        for (personal, expected) in [
            ("/ip/203.0.113.77", "/ip/:id"),
            ("/ip/203.0.113.77:8080/x", "/ip/:id/x"),
            ("/host/ip-203-0-113-77.example", "/host/:id"),
            ("/log/203.0.113.77.html", "/log/:id"),
            ("/ip/2001:db8::7", "/ip/:id"),
            ("/ip/%5B2001%3Adb8%3A%3A7%5D", "/ip/:id"),
            ("/ip/2001-db8--7", "/ip/:id"),
            ("/t/dQw4w9WgXcQ", "/t/:id"),
            ("/reset/aB3dE5fG7h", "/reset/:id"),
            ("/reset/aB3dE5fG7hI9.html", "/reset/:id"),
            ("/reset/for-user-aB3dE5fG7hI9", "/reset/:id"),
            ("/invite/aB3.dE5.fG7hI9", "/invite/:id"),
            ("/v/Ab12-Cd34-Ef56", "/v/:id"),
            ("/share/3f2a9c1b7d", "/share/:id"),
            ("/jwt/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl", "/jwt/:id"),
            ("/files/9f86d081884c7d659a2feaa0c55ad015.pdf", "/files/:id"),
            ("/u/jane.doe@example.org", "/u/:id"),
            ("/u/jane%2540example.org", "/u/:id"),
            ("/u/jane%252540example.org", "/u/:id"),
            ("/u/jane%26%2364%3Bexample.org", "/u/:id"),
            ("/u/amFuZUBleGFtcGxlLm9yZw==", "/u/:id"),
            ("/u/amFuZUBleGFtcGxlLm9yZw%3D%3D/edit", "/u/:id/edit"),
            ("/call/0170-123-4567", "/call/:id"),
            ("/orders/4111-1111-1111-1111", "/orders/:id"),
            ("/n/19850512", "/n/:id"),
            ("/%D9%A1%D9%A2%D9%A3%D9%A4%D9%A5", "/:id"),
        ] {
            assert_eq!(redact_path(personal), expected, "{personal}");
        }
    }
}
