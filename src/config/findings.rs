//! What checking the operator's file finds.

use crate::catalogue::{Place, SourceFile};
use crate::config::layers::Sources;
use crate::config::stamps::Stamps;
use crate::mistake::Mistake;

use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Collects mistakes, so that an operator sees all of them at once.
pub(super) struct Findings<'s> {
    sources: &'s Sources<'s>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
    /// The files that were read.
    pub(super) stamps: Stamps,
}

impl<'s> Findings<'s> {
    pub(super) fn new(sources: &'s Sources<'s>, mistakes: Vec<Mistake>) -> Self {
        let stamps = Stamps::default();
        Self { sources, mistakes, warnings: Vec::new(), notes: Vec::new(), stamps }
    }

    /// Something is wrong with a value.
    pub(super) fn wrong<T>(&mut self, value: &Spanned<T>, message: impl Into<String>) {
        self.mistakes.push(self.sources.at(value, message));
    }

    /// The same, with what to do about it.
    pub(super) fn wrong_with_advice<T>(
        &mut self,
        value: &Spanned<T>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.mistakes.push(self.sources.at(value, message).advise(advice));
    }

    /// Something that somebody set is not wrong, and may not mean what they
    /// think.
    pub(super) fn note<T>(&mut self, value: &Spanned<T>, message: &str) {
        let found = self.sources.at(value, message);
        let line = if found.line == 0 { String::new() } else { format!(":{}", found.line) };
        self.notes.push(format!("{}{line}: {}", found.file, found.message));
    }

    /// Where a value is set.
    pub(super) fn place<T>(&self, value: &Spanned<T>) -> Place {
        let found = self.sources.at(value, "");
        Place { file: found.file.into(), line: u32::try_from(found.line).unwrap_or(0) }
    }

    /// The file itself and those that it names, each with the hash of its text.
    pub(super) fn written(&self, named: &[SourceFile]) -> Vec<(String, u64)> {
        let named = named.iter().map(|file| (file.name.as_str(), file.text.as_str()));
        let files = std::iter::once((self.sources.file, self.sources.text)).chain(named);
        files
            .map(|(name, text)| {
                let mut hasher = DefaultHasher::new();
                text.hash(&mut hasher);
                (name.to_owned(), hasher.finish())
            })
            .collect()
    }

    /// What stands in the file.
    pub(super) fn text(&self) -> &str {
        self.sources.text
    }

    /// Whether a value stands in the file.
    pub(super) fn is_in_file<T>(&self, value: &Spanned<T>) -> bool {
        self.sources.is_in_file(value)
    }

    /// A number that makes sense, or else a mistake.
    pub(super) fn number<T>(&mut self, value: &Spanned<T>, allowed: RangeInclusive<T>) -> T
    where
        T: Copy + PartialOrd + Display,
    {
        let number = *value.get_ref();
        if !allowed.contains(&number) {
            let (least, most) = allowed.into_inner();
            self.wrong(value, format!("{number} is out of range: it can be {least} to {most}"));
        }
        number
    }

    /// Refuses an empty text.
    pub(super) fn not_empty(&mut self, text: &Spanned<String>, message: &str) {
        if text.get_ref().is_empty() {
            self.wrong(text, message);
        }
    }

    /// The text of a file that the configuration names.
    pub(super) fn read(&mut self, path: &Spanned<String>) -> io::Result<String> {
        self.stamps.look_at(Path::new(path.get_ref()));
        std::fs::read_to_string(path.get_ref())
    }

    /// The file of that name, if it can be opened.
    pub(super) fn readable(&mut self, path: &Spanned<String>) -> Option<PathBuf> {
        self.stamps.look_at(Path::new(path.get_ref()));
        let opened = std::fs::File::open(path.get_ref()).and_then(|file| file.metadata());
        match opened {
            Ok(file) if file.is_dir() => {
                self.wrong(path, format!("`{}` is a directory", path.get_ref()))
            }
            Ok(_) => return Some(PathBuf::from(path.get_ref())),
            Err(error) => self.unreadable(path, &error),
        }
        None
    }

    /// A file cannot be read.
    pub(super) fn unreadable(&mut self, path: &Spanned<String>, error: &io::Error) {
        let message = format!("`{}` cannot be read: {error}", path.get_ref());
        match error.kind() {
            io::ErrorKind::NotFound if !path.get_ref().starts_with('/') => {
                let here = std::env::current_dir().unwrap_or_default();
                let advice = format!(
                    "a relative path begins where consentry was started: {}",
                    here.display()
                );
                self.wrong_with_advice(path, message, advice);
            }
            _ => self.wrong(path, message),
        }
    }
}
