//! The words of a notice, for somebody who reads them in a terminal.

/// The text of HTML that we wrote ourselves, a line a block. Lists that can be
/// unfolded are only named: they have hundreds of lines.
pub(super) fn words(html: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut rest = html;
    let mut folded = 0_usize;
    while let Some((text, after)) = rest.split_once('<') {
        if folded == 0 {
            push(&mut lines, text);
        }
        let Some((tag, after)) = after.split_once('>') else { return finished(lines) };
        rest = after;
        let name: String = tag
            .chars()
            .skip_while(|char| *char == '/')
            .take_while(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        let closes = tag.starts_with('/');
        match name.as_str() {
            // Their text is for browsers.
            "style" | "script" | "title" if !closes => {
                let end = format!("</{name}");
                rest = rest.find(&end).and_then(|at| rest.get(at..)).unwrap_or_default();
            }
            "summary" if closes => folded += 1,
            "details" if closes => folded = folded.saturating_sub(1),
            "button" if folded == 0 => push(&mut lines, if closes { "]" } else { " [" }),
            "a" | "b" | "code" | "em" | "i" | "span" | "strong" | "time" | "label" | "input" => {}
            _ => lines.push(String::new()),
        }
    }
    push(&mut lines, rest);
    finished(lines)
}

fn push(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}

/// References become what they stand for, blanks become one, and nothing is
/// left of lines without a word.
fn finished(lines: Vec<String>) -> Vec<String> {
    let plain = |line: String| {
        let text = htmlize::unescape(line);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    lines.into_iter().map(plain).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f4_the_text_of_a_notice_reads_as_it_was_shown() {
        for (html, expected) in [
            ("<style>a{}</style><section><p>May we?</p></section>", &["May we?"][..]),
            ("<p>Fran&#xe7;ais &amp; <b>more</b></p><p>x</p>", &["Fran\u{e7}ais & more", "x"]),
            (
                "<div><button>No</button><button>Yes</button></div><script>x < y</script>end",
                &["[No] [Yes]", "end"],
            ),
            (
                "<details><summary>Services (2)</summary><ul><li>A</li></ul></details>z",
                &["Services (2)", "z"],
            ),
            ("a<b", &["a"]),
            ("<script>never closed", &[]),
        ] {
            assert_eq!(words(html), expected, "{html}");
        }
    }
}
