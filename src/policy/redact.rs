//! Takes what could identify a person out of paths and names before they are
//! recorded.

/// A path as the ledger keeps it: segments that look like an id become `:id`,
/// long ones are cut, and matrix parameters and control characters go.
#[must_use]
pub fn redact_path(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut out = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate().take(12) {
        if index > 0 {
            out.push('/');
        }
        let segment = segment.split(';').next().unwrap_or_default();
        if looks_like_id(segment) {
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

/// Whether a piece of text is more likely a number or token than a word: an
/// address with `@`, five digits in a row, or sixteen and more characters in
/// which digits are mixed with letters.
fn looks_like_id(text: &str) -> bool {
    let decoded_at = text.contains('@') || text.to_ascii_lowercase().contains("%40");
    if decoded_at {
        return true;
    }
    let mut run = 0;
    let mut longest = 0;
    let mut digits = 0;
    let mut letters = 0;
    for byte in text.bytes() {
        if byte.is_ascii_digit() {
            run += 1;
            digits += 1;
            longest = longest.max(run);
        } else {
            run = 0;
            letters += usize::from(byte.is_ascii_alphabetic());
        }
    }
    let readable_file = text.contains('.') && letters > 0 && longest < 5;
    if readable_file && text.len() < 48 {
        return false;
    }
    let token = text.len() >= 16 && digits >= 3 && !has_words(text);
    let number = longest >= 5;
    number || token
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
}
