//! What the README says of the program must be so.

use std::collections::BTreeSet;
use std::process::Command;

const COMMANDS: [&str; 14] = [
    "serve",
    "demo",
    "log",
    "report",
    "proof",
    "verify",
    "checkpoint",
    "explain",
    "export",
    "lists",
    "check",
    "dashboard",
    "hash-password",
    "health",
];
const README: &str = include_str!("../../README.md");

/// Flags in the README that belong to other programs.
const OF_OTHERS: [&str; 1] = ["--release"];

fn help(command: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_consentry")).args([command, "--help"]).output().unwrap();
    assert!(output.status.success(), "the README names `consentry {command}`");
    String::from_utf8(output.stdout).unwrap()
}

fn flags(text: &str) -> BTreeSet<&str> {
    let is_flag = |c: char| c.is_ascii_lowercase() || c == '-';
    text.split(|c| !is_flag(c)).filter(|word| word.starts_with("--") && word.len() > 3).collect()
}

#[test]
fn every_command_in_the_readme_has_the_flags_it_is_shown_with() {
    let mut shown = 0;
    for line in README.lines() {
        // In a code block, or in the middle of a sentence.
        for said in line.split("consentry ").skip(1) {
            let said = said.split('`').next().unwrap();
            let command = said.split_whitespace().next().unwrap_or_default();
            if !COMMANDS.contains(&command) {
                continue;
            }
            shown += 1;
            let known = help(command);
            for flag in flags(said) {
                assert!(
                    flags(&known).contains(flag),
                    "`consentry {command}` has no {flag}: {line}"
                );
            }
        }
    }
    assert!(shown > 6, "{shown}");
}

#[test]
fn every_flag_in_the_readme_exists() {
    let known: String = COMMANDS.map(help).concat();
    for flag in flags(README) {
        assert!(flags(&known).contains(flag) || OF_OTHERS.contains(&flag), "no command has {flag}");
    }
}
