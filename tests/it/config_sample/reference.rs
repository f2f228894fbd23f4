//! `docs/configuration.md` says what `config/consentry.toml` says, in a form to
//! look things up in: it is made of it.

use super::SAMPLE;

use std::fmt::Write;
use std::path::Path;

const REFERENCE: &str = "docs/configuration.md";

const BEGINNING: &str = "# Every key of the configuration

Made from `config/consentry.toml`, which is the same to copy from; do not edit this page.
`UPDATE=1 cargo test --test it config_sample` makes it anew.

A key of a section in single brackets can also be set from outside, as `CONSENTRY_<SECTION>__<KEY>`, lists with commas in
between; with `_FILE` behind it, the value is read from the file named there. Flags win over the environment, and that wins
over the file. `consentry check --config FILE` finds mistakes, by file, line and column; `consentry config show --config FILE`
says what holds and who set it; [changing.md](changing.md) is about changing it while it runs, and the way back.
";

/// One key, as it stands in the sample.
struct Key {
    name: String,
    value: String,
    says: String,
}

/// What the sample says, as Markdown.
fn reference(sample: &str) -> String {
    let mut page = BEGINNING.to_owned();
    let (mut says, mut keys) = (Vec::new(), Vec::new());
    let mut lines = sample.lines();
    while let Some(line) = lines.next() {
        if let Some(comment) = line.strip_prefix("# ").or((line == "#").then_some("")) {
            says.push(comment);
            continue;
        }
        let written = line.strip_prefix('#').unwrap_or(line);
        if written.starts_with('[') {
            table(&mut page, &mut keys);
            let optional = if line.starts_with('#') { ", not set by default" } else { "" };
            let _ = writeln!(page, "\n## `{written}`{optional}\n\n{}", paragraph(&says));
        } else if let Some((name, value)) = written.split_once(" = ") {
            let mut value = value.to_owned();
            if value == "[" {
                let parts = lines.by_ref().take_while(|line| line.trim_start_matches('#') != "]");
                let parts: Vec<_> = parts.map(|part| part.trim_start_matches('#').trim()).collect();
                value = format!("[{}]", parts.join(" ").trim_end_matches(','));
            }
            keys.push(Key { name: name.to_owned(), value, says: paragraph(&says) });
        }
        says.clear();
    }
    table(&mut page, &mut keys);
    page
}

fn paragraph(lines: &[&str]) -> String {
    lines.join(" ").trim().to_owned()
}

fn table(page: &mut String, keys: &mut Vec<Key>) {
    if keys.is_empty() {
        return;
    }
    page.push_str("\n| key | default or example | |\n|---|---|---|\n");
    for Key { name, value, says } in keys.drain(..) {
        let [value, says] = [value, says].map(|text| text.replace('|', "\\|"));
        let _ = writeln!(page, "| `{name}` | `{value}` | {says} |");
    }
}

#[test]
fn the_reference_is_made_from_the_sample() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE);
    let made = reference(SAMPLE);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == made,
        "{REFERENCE} is out of date; `UPDATE=1 cargo test --test it config_sample` makes it anew"
    );
}

#[test]
fn a_reference_has_every_key_with_what_is_said_of_it() {
    let sample = "# About the file.\n\n# Who comes.\n[listener]\n# Where, a|b;\n# or there.\naddress = \"x\"\n\
                  # Many.\nmany = [\n    \"a\",\n    \"b\",\n]\n\n# A user.\n#[[admin.user]]\n# Called.\n#name = \"ana\"\n";
    let page = reference(sample);
    for part in [
        "\n## `[listener]`\n\nWho comes.\n\n| key |",
        "| `address` | `\"x\"` | Where, a\\|b; or there. |\n",
        "| `many` | `[\"a\", \"b\"]` | Many. |\n",
        "\n## `[[admin.user]]`, not set by default\n\nA user.\n",
        "| `name` | `\"ana\"` | Called. |\n",
    ] {
        assert!(page.contains(part), "{part}\nis not in\n{page}");
    }
}
