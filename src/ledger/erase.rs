//! Erases what a visitor or the operator wants gone: not only in the database,
//! also in the spool, where a copy lies until its file is full.

use crate::ledger::intake;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Blanks every line of every spool file that names one of `numbers`.
///
/// Only whole lines are touched, and their owner only ever adds lines behind
/// them, so the two never write the same bytes. What is left are empty lines,
/// which mean nothing.
pub(super) fn scrub(dir: &Path, numbers: &[String]) -> io::Result<()> {
    for (name, _) in intake::list(dir)? {
        match OpenOptions::new().read(true).write(true).open(dir.join(&name)) {
            Ok(file) => scrub_file(file, numbers)?,
            // It has been stored meanwhile, and removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn scrub_file(mut file: File, numbers: &[String]) -> io::Result<()> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let names_one = |number: &String| memchr::memmem::find(line, number.as_bytes()).is_some();
        if line.ends_with(b"\n") && is_about_choices(line) && numbers.iter().any(names_one) {
            file.seek(SeekFrom::Start(start))?;
            file.write_all(&vec![b'\n'; line.len()])?;
        }
        start += line.len() as u64;
    }
    file.sync_data()
}

/// A page of the site may have any name; its entry stays.
fn is_about_choices(line: &[u8]) -> bool {
    line.starts_with(b"{\"receipt\":") || line.starts_with(b"{\"erase\":")
}

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
        scrub(dir.path(), &["aa".to_owned()]).unwrap();
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
