//! Every text a visitor reads: what `config/texts/en.toml` explains.

use crate::consent::State;
use crate::purpose::Purpose;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The texts of one language. Words in braces, such as `{operator}`, are
/// filled in by the page that shows them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the names are those of config/texts/en.toml, which shows what each says"
)]
pub struct Texts {
    /// The language, as in the attribute `lang`.
    pub lang: String,
    /// Which way it is written.
    pub dir: Direction,
    /// What stands between the members of a list.
    pub comma: String,
    pub title: String,
    pub ask: String,
    pub refuse_all: String,
    pub accept_all: String,
    pub one_by_one: String,
    pub save: String,
    pub gpc_honoured: String,
    pub gpc_came_later: String,
    pub gpc_choice_counts: String,
    pub introduction: String,
    pub now: String,
    pub not_chosen: String,
    pub chosen_elsewhere: String,
    pub allowed_by_region: String,
    pub asked_again: String,
    pub you_chose: String,
    pub you_chose_on: String,
    pub all_at_once: String,
    pub always_on: String,
    pub services: String,
    pub services_note: String,
    pub more_services: String,
    pub services_need_all: String,
    pub services_others: String,
    pub vendor_cookies: String,
    pub vendor_more: String,
    pub vendor_choice: String,
    pub vendor_as_purposes: String,
    pub vendor_refuse: String,
    pub vendor_allow: String,
    pub change_any_time: String,
    pub policy: String,
    pub back: String,
    pub my_record: String,
    pub me_title: String,
    pub receipt: String,
    pub receipt_note: String,
    pub no_receipt: String,
    pub receipt_deleted: String,
    pub change: String,
    pub source: String,
    pub source_choice: String,
    pub source_gpc: String,
    pub source_tool: String,
    pub source_region: String,
    pub source_silence: String,
    pub withdraw: String,
    pub download: String,
    pub delete: String,
    pub delete_note: String,
    pub held_title: String,
    pub held_record: String,
    pub held_on_page: String,
    pub held_on_site: String,
    pub held_none_on_page: String,
    pub held_none_on_site: String,
    pub held_not_now: String,
    pub held_only_recorded: String,
    pub let_through: String,
    pub stranger: String,
    pub why_not_agreed: String,
    pub why_refused: String,
    pub why_unknown: String,
    pub why_agreed: String,
    pub why_necessary: String,
    pub why_passes: String,
    pub why_rule: String,
    pub declared_title: String,
    pub declared_about: String,
    pub declared_not_yet: String,
    pub declared_nothing: String,
    pub declared_only_recorded: String,
    pub declared_agreed: String,
    pub declared_excepted: String,
    pub declared_since: String,
    pub declared_unnamed: String,
    pub declared_own: String,
    pub declared_choice: String,
    pub declared_times: String,
    pub granted: String,
    pub denied: String,
    pub undecided: String,
    pub embed_nobody: String,
    pub embed_held: String,
    pub embed_blocked: String,
    pub embed_once: String,
    pub embed_always: String,
    pub embed_visit: String,
    pub embed_leaving: String,
    pub embed_leaving_note: String,
    pub not_taken: String,
    pub nothing_changed: String,
    pub from_elsewhere: String,
    pub ahead_of_time: String,
    pub framed: String,
    pub not_a_form: String,
    pub too_large: String,
    pub unclear: String,
    pub outdated: String,
    pub no_receipt_now: String,
    pub unknown_title: String,
    pub unknown: String,
    pub method_title: String,
    pub method: String,
    pub necessary: PurposeTexts,
    pub functional: PurposeTexts,
    pub analytics: PurposeTexts,
    pub personalization: PurposeTexts,
    pub marketing: PurposeTexts,
    /// Stands for all of the above, so that a page kept in a browser's cache is
    /// another one when they change.
    #[serde(skip)]
    pub mark: u32,
}

/// A short stand-in for a text: another text, another mark.
pub(super) fn mark(text: &str) -> u32 {
    let hash = Sha256::digest(text);
    hash.iter().take(4).fold(0, |mark, byte| (mark << 8) | u32::from(*byte))
}

/// What one purpose is called, and what it means.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurposeTexts {
    /// Its name.
    pub name: String,
    /// What is done for it.
    pub about: String,
}

/// Which way a language is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From left to right.
    #[default]
    Ltr,
    /// From right to left.
    Rtl,
}

impl Direction {
    /// The value of the attribute `dir`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ltr => "ltr",
            Self::Rtl => "rtl",
        }
    }
}

impl Texts {
    /// What a purpose is called.
    #[must_use]
    pub const fn purpose(&self, purpose: Purpose) -> &PurposeTexts {
        match purpose {
            Purpose::Necessary => &self.necessary,
            Purpose::Functional => &self.functional,
            Purpose::Analytics => &self.analytics,
            Purpose::Personalization => &self.personalization,
            Purpose::Marketing => &self.marketing,
        }
    }

    /// What a visitor's word about a purpose is called.
    #[must_use]
    pub fn state(&self, state: State) -> &str {
        match state {
            State::Granted => &self.granted,
            State::Denied => &self.denied,
            State::Undecided => &self.undecided,
        }
    }

    /// What a visitor says yes or no to, in one string: the other texts may
    /// change without asking anybody again.
    pub(super) fn question(&self) -> String {
        let asked = [
            &self.lang,
            &self.ask,
            &self.refuse_all,
            &self.accept_all,
            &self.one_by_one,
            &self.save,
            &self.introduction,
            &self.always_on,
            &self.services_need_all,
        ];
        let purposes = Purpose::ALL.map(|purpose| self.purpose(purpose));
        serde_json::to_string(&(asked, purposes)).unwrap_or_default()
    }

    /// The same texts, with the mark that stands for them.
    pub(super) fn marked(mut self) -> Self {
        self.mark = mark(&self.canonical());
        self
    }

    /// All texts in one string, in the order of their fields.
    pub(super) fn canonical(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
