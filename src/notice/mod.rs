//! What visitors are told, in which words, and how it looks.
//!
//! The words stand in one file a language under `config/texts`; an operator's
//! files correct them or add languages. This room does no I/O: `config` reads
//! the operator's files.

mod file;
mod language;
mod revision;
mod texts;
mod theme;

pub use language::Languages;
pub use revision::{TEXTS_REVISION, revision, revision_of_all};
pub use texts::{Direction, PurposeTexts, Texts};
pub use theme::{Colour, Colours, EDGE_CONTRAST, Position, TEXT_CONTRAST, Theme, font};
