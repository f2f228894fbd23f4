//! What visitors are told, and in which words.
//!
//! The words stand in one file a language under `config/texts`; an operator's
//! files correct them or add languages. This room does no I/O: `config` reads
//! the operator's files.

mod file;
mod language;
mod texts;

pub use language::Languages;
pub use texts::{Direction, PurposeTexts, Texts};
