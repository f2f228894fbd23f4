//! What consentry is made of may be given away with it.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

/// A crate that is compiled into consentry or into its tests on this platform.
struct Package {
    name: String,
    version: String,
    licence: Option<String>,
}

#[test]
fn every_crate_is_under_a_licence_we_accept() {
    let Some(packages) = packages() else { return };
    let accepted = accepted();
    let found: Vec<_> = packages
        .iter()
        .filter_map(|Package { name, version, licence }| match licence {
            None => Some(format!("{name} {version} names no licence; read its source, then replace it or say so in deny.toml")),
            Some(licence) => (!allows(licence, &accepted)).then(|| {
                format!(
                    "{name} {version} is under `{licence}`, which deny.toml does not accept; replace the crate, or add \
                     the licence there if it lets us give consentry away under MIT OR Apache-2.0"
                )
            }),
        })
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn third_party_says_where_to_find_the_source_of_mpl_crates() {
    let Some(packages) = packages() else { return };
    let mut permissive = accepted();
    permissive.remove("MPL-2.0");
    let notices = text("THIRD-PARTY.md");
    for Package { name, licence, .. } in packages {
        let bound = licence
            .is_some_and(|licence| licence.contains("MPL-2.0") && !allows(&licence, &permissive));
        assert!(
            !bound || notices.contains(&format!("<https://crates.io/crates/{name}>")),
            "THIRD-PARTY.md: `{name}` is under MPL-2.0; add it to the table, with where its source is"
        );
    }
}

#[test]
fn a_licence_expression_is_read_as_it_is_meant() {
    let accepted = BTreeSet::from(["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned));
    let check =
        |expression, expected| assert_eq!(allows(expression, &accepted), expected, "{expression}");
    check("MIT", true);
    check("GPL-3.0-only", false);
    check("GPL-3.0-only OR MIT", true);
    check("MIT/Apache-2.0", true);
    check("MIT AND GPL-3.0-only", false);
    check("GPL-3.0-only OR MIT AND Unicode-3.0", true);
    check("(GPL-3.0-only OR MIT) AND Unicode-3.0", true);
    check("(MIT OR Apache-2.0) AND GPL-3.0-only", false);
    check("Apache-2.0 WITH LLVM-exception OR GPL-3.0-only", true);
    check("GPL-2.0-only WITH Classpath-exception-2.0", false);
    check("", false);
}

/// Whether a licence expression can be met with `accepted` licences alone. An exception (`WITH`)
/// only gives more rights.
fn allows(expression: &str, accepted: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words, accepted) && words.next().is_none()
}

type Words<'w> = std::iter::Peekable<std::str::SplitWhitespace<'w>>;

fn any(words: &mut Words<'_>, accepted: &BTreeSet<String>) -> bool {
    let mut allowed = all(words, accepted);
    while words.next_if_eq(&"OR").is_some() {
        allowed |= all(words, accepted);
    }
    allowed
}

fn all(words: &mut Words<'_>, accepted: &BTreeSet<String>) -> bool {
    let mut allowed = one(words, accepted);
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words, accepted);
    }
    allowed
}

fn one(words: &mut Words<'_>, accepted: &BTreeSet<String>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let allowed = any(words, accepted);
        return words.next_if_eq(&")").is_some() && allowed;
    }
    let allowed = words.next().is_some_and(|licence| accepted.contains(licence));
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    allowed
}

/// The licences that `deny.toml` allows.
fn accepted() -> BTreeSet<String> {
    let file: toml::Table = text("deny.toml").parse().unwrap();
    let licences = file.get("licenses").and_then(|table| table.get("allow")?.as_array()).unwrap();
    licences.iter().filter_map(|licence| licence.as_str().map(str::to_owned)).collect()
}

/// Every crate of the lock file that this platform compiles; nothing where there is no cargo to ask.
fn packages() -> Option<Vec<Package>> {
    let version = cargo(&["-vV"])?;
    let version = String::from_utf8(version.stdout).unwrap();
    let platform = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // Crates for other platforms were never downloaded, so asking for them would need a network.
    let output = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--offline",
        "--filter-platform",
        platform,
    ])?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let word = |package: &serde_json::Value, key| {
        package.get(key).and_then(|value| value.as_str()).map(str::to_owned)
    };
    let packages = metadata.get("packages").and_then(|packages| packages.as_array()).unwrap();
    Some(
        packages
            .iter()
            .map(|package| Package {
                name: word(package, "name").unwrap(),
                version: word(package, "version").unwrap(),
                licence: word(package, "license"),
            })
            .collect(),
    )
}

fn cargo(arguments: &[&str]) -> Option<Output> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output() {
        Ok(output) if output.status.success() => Some(output),
        Ok(output) => {
            panic!("`cargo {}` failed:\n{}", arguments.join(" "), output.stderr.escape_ascii())
        }
        Err(error)
            if error.kind() == ErrorKind::NotFound
                && env::var_os("CONSENTRY_REQUIRE").is_none() =>
        {
            println!("skipped: there is no cargo here to ask for the licences of our crates");
            None
        }
        Err(error) => panic!("cargo cannot be run: {error}"),
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}
