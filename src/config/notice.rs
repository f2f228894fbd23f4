//! What an operator can say about the notice: the section `[notice]`.

use crate::config::file::default;
use crate::config::findings::Findings;
use crate::notice::Languages;

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use toml::Spanned;

/// How visitors are asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[notice]`")]
pub struct Notice {
    /// The language of visitors who want none that is known.
    pub language: Spanned<String>,
    /// Files with texts of the operator's own.
    pub texts: Vec<Spanned<String>>,
}

impl Default for Notice {
    fn default() -> Self {
        Self { language: default("en".into()), texts: Vec::new() }
    }
}

/// The languages that visitors can be spoken to in.
pub(super) fn languages(written: &Notice, findings: &mut Findings<'_>) -> Arc<Languages> {
    let mut languages = Languages::built_in();
    for path in &written.texts {
        let name = path.get_ref();
        match std::fs::read_to_string(name) {
            Ok(text) => {
                if let Err(found) = languages.add(name, &text) {
                    findings.mistakes.extend(found);
                }
            }
            Err(error) => findings.unreadable(path, &error),
        }
    }
    let tag = written.language.get_ref();
    match languages.clone().with_fallback(tag) {
        Some(languages) => Arc::new(languages),
        None => {
            let known: Vec<_> = languages.tags().collect();
            findings.wrong_with_advice(
                &written.language,
                format!("there are no texts in the language `{tag}`"),
                format!("it can be {}, or one that a file under `texts` adds", known.join(", ")),
            );
            Arc::new(languages)
        }
    }
}
