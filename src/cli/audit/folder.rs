//! Finds the pages in a folder.

use std::io;
use std::path::{Path, PathBuf};

/// How deep folders are looked into.
const MAX_DEPTH: usize = 32;

/// Folders with other people's files in them.
const SKIPPED: [&str; 2] = ["node_modules", ".git"];

/// What is in a folder.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Its pages: `*.html` and `*.htm`, in order.
    pub(super) pages: Vec<PathBuf>,
    /// The scripts of its own: `*.js` and `*.mjs`, in order.
    pub(super) scripts: Vec<PathBuf>,
}

/// The pages and scripts in a folder, however deep, in the order of their
/// names. Links are not followed: they could lead round in circles.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn pages_in(folder: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    look(folder, 0, &mut found)?;
    found.pages.sort();
    found.scripts.sort();
    Ok(found)
}

fn look(folder: &Path, depth: usize, found: &mut Found) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        let name = entry.file_name();
        if kind.is_dir() && depth < MAX_DEPTH && !SKIPPED.iter().any(|skipped| name == *skipped) {
            look(&path, depth + 1, found)?;
        } else if kind.is_file() {
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            match ending.to_ascii_lowercase().as_str() {
                "html" | "htm" => found.pages.push(path),
                "js" | "mjs" => found.scripts.push(path),
                _ => {}
            }
        }
    }
    Ok(())
}
