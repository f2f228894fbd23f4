//! Erases what a visitor or the operator wants gone: not only in the database,
//! also in the spool, where a copy lies until its file is full.

use crate::ledger::intake;
use crate::ledger::line::SpoolLine;

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Blanks every line of every spool file that names one of `numbers`.
///
/// Only whole lines are touched, and their owner only ever adds lines behind
/// them, so the two never write the same bytes. What is left are empty lines,
/// which mean nothing.
///
/// Orders to erase go last: whoever is stopped halfway leaves them to the next
/// process, which finds them (`left_over`) and goes on.
pub(super) fn scrub(dir: &Path, numbers: &HashSet<String>) -> io::Result<()> {
    for sort in [RECEIPT, ERASE] {
        for (name, _) in intake::list(dir)? {
            match OpenOptions::new().read(true).write(true).open(dir.join(&name)) {
                Ok(file) => scrub_file(&file, sort, numbers)?,
                // It has been stored meanwhile, and removed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The numbers of erased receipts that the stored part of the spool still
/// names: whoever wrote the ledger before was stopped before it could blank
/// them. What is not stored yet is still to be carried out.
pub(super) fn left_over(
    dir: &Path,
    offsets: &HashMap<String, u64>,
    is_erased: impl Fn(&str) -> io::Result<bool>,
) -> io::Result<HashSet<String>> {
    let mut numbers = HashSet::new();
    for (name, _) in intake::list(dir)? {
        let stored = offsets.get(&name).copied().unwrap_or(0);
        let file = match File::open(dir.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        intake::each_line(file.take(stored), |_, line| {
            if !is_about_choices(line) {
                return Ok(());
            }
            let number = match serde_json::from_slice(line) {
                Ok(SpoolLine::Erase(erasure)) if erasure.is_sound() => erasure.number,
                Ok(SpoolLine::Receipt(receipt))
                    if receipt.is_sound() && is_erased(&receipt.number)? =>
                {
                    receipt.number
                }
                _ => return Ok(()),
            };
            numbers.insert(number.into_owned());
            Ok(())
        })?;
    }
    Ok(numbers)
}

fn scrub_file(file: &File, sort: &[u8], numbers: &HashSet<String>) -> io::Result<()> {
    let mut named = Vec::new();
    intake::each_line(file, |start, line| {
        let names_one = |number: &String| memchr::memmem::find(line, number.as_bytes()).is_some();
        if line.starts_with(sort) && line.ends_with(b"\n") && numbers.iter().any(names_one) {
            named.push((start, line.len()));
        }
        Ok(())
    })?;
    let mut to = file;
    for (start, length) in &named {
        to.seek(SeekFrom::Start(*start))?;
        to.write_all(&vec![b'\n'; *length])?;
    }
    if named.is_empty() { Ok(()) } else { file.sync_data() }
}

/// A page of the site may have any name; its entry stays.
fn is_about_choices(line: &[u8]) -> bool {
    line.starts_with(RECEIPT) || line.starts_with(ERASE)
}

/// How the lines begin that tell of a receipt, and that have one erased.
const RECEIPT: &[u8] = b"{\"receipt\":";
const ERASE: &[u8] = b"{\"erase\":";

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn f6_only_whole_lines_about_that_receipt_are_blanked() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("1-1-1-1.jsonl");
        let lines = "{\"receipt\":{\"i\":\"aa\"}}\n{\"receipt\":{\"i\":\"bb\"}}\n{\"e\":{\"p\":\"/aa\"}}\n{\"erase\":{\"i\":\"aa\"}}\n{\"receipt\":{\"i\":\"aa\"";
        std::fs::write(&path, lines).unwrap();
        scrub(dir.path(), &HashSet::from(["aa".to_owned()])).unwrap();
        let left = std::fs::read_to_string(&path).unwrap();
        assert_eq!(left.len(), lines.len());
        let left: Vec<_> = left.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(
            left,
            [
                "{\"receipt\":{\"i\":\"bb\"}}",
                "{\"e\":{\"p\":\"/aa\"}}",
                "{\"receipt\":{\"i\":\"aa\""
            ]
        );
    }
}
