//! Every text a visitor reads, one value a language.
//!
//! `{operator}` stands for the name of who answers for the site. Neutral words
//! only: a text that makes one answer sound better than the other is a mistake.

use crate::consent::State;
use crate::purpose::Purpose;

/// The texts of one language.
#[derive(Debug)]
pub(super) struct Texts {
    /// The language, as in `lang`.
    pub(super) lang: &'static str,
    /// `ltr` or `rtl`.
    pub(super) dir: &'static str,
    pub(super) title: &'static str,
    pub(super) ask: &'static str,
    pub(super) refuse_all: &'static str,
    pub(super) accept_all: &'static str,
    pub(super) one_by_one: &'static str,
    pub(super) save: &'static str,
    pub(super) gpc_honoured: &'static str,
    pub(super) gpc_came_later: &'static str,
    pub(super) gpc_choice_counts: &'static str,
    pub(super) introduction: &'static str,
    pub(super) now: &'static str,
    pub(super) not_chosen: &'static str,
    pub(super) you_chose: &'static str,
    pub(super) you_chose_on: &'static str,
    pub(super) all_at_once: &'static str,
    pub(super) always_on: &'static str,
    pub(super) services: &'static str,
    pub(super) services_note: &'static str,
    pub(super) more_services: &'static str,
    pub(super) services_need_all: &'static str,
    pub(super) change_any_time: &'static str,
    pub(super) policy: &'static str,
    pub(super) back: &'static str,
    pub(super) my_record: &'static str,
    pub(super) me_title: &'static str,
    pub(super) receipt: &'static str,
    pub(super) receipt_note: &'static str,
    pub(super) no_receipt: &'static str,
    pub(super) change: &'static str,
    pub(super) granted: &'static str,
    pub(super) denied: &'static str,
    pub(super) undecided: &'static str,
    pub(super) necessary: PurposeTexts,
    pub(super) functional: PurposeTexts,
    pub(super) analytics: PurposeTexts,
    pub(super) personalization: PurposeTexts,
    pub(super) marketing: PurposeTexts,
    pub(super) not_taken: &'static str,
    pub(super) nothing_changed: &'static str,
    pub(super) from_elsewhere: &'static str,
    pub(super) ahead_of_time: &'static str,
    pub(super) framed: &'static str,
    pub(super) not_a_form: &'static str,
    pub(super) too_large: &'static str,
    pub(super) unclear: &'static str,
    pub(super) no_receipt_now: &'static str,
    pub(super) unknown_title: &'static str,
    pub(super) unknown: &'static str,
    pub(super) method_title: &'static str,
    pub(super) method: &'static str,
}

/// What one purpose is called, and what it means.
#[derive(Debug)]
pub(super) struct PurposeTexts {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
}

impl Texts {
    pub(super) const fn purpose(&self, purpose: Purpose) -> &PurposeTexts {
        match purpose {
            Purpose::Necessary => &self.necessary,
            Purpose::Functional => &self.functional,
            Purpose::Analytics => &self.analytics,
            Purpose::Personalization => &self.personalization,
            Purpose::Marketing => &self.marketing,
        }
    }

    pub(super) const fn state(&self, state: State) -> &'static str {
        match state {
            State::Granted => self.granted,
            State::Denied => self.denied,
            State::Undecided => self.undecided,
        }
    }
}

pub(super) static ENGLISH: Texts = Texts {
    lang: "en",
    dir: "ltr",
    title: "Privacy choices",
    ask: "May {operator} and the services it uses store and read data on your device for extra features, \
          statistics, personalization and advertising? Unless you agree, none of this happens.",
    refuse_all: "Refuse all",
    accept_all: "Accept all",
    one_by_one: "Choose one by one",
    save: "Save my selection",
    gpc_honoured: "Your browser sends a Global Privacy Control signal; we honour it: marketing and \
                   personalization are off.",
    gpc_came_later: "You made your choice here without this signal, so the signal counts for these two.",
    gpc_choice_counts: "Your browser sends a Global Privacy Control signal. You made your choice here while it \
                        was on, so your choice counts.",
    introduction: "Here you decide what {operator} and the services it uses may do with data from your visit. You \
                   can use the site whatever you choose.",
    now: "Your choice now",
    not_chosen: "You have not chosen yet. Until you do, everything that needs your agreement is off.",
    you_chose: "You made this choice here.",
    you_chose_on: "You made this choice here on",
    all_at_once: "All at once",
    always_on: "always on",
    services: "Services held back until you agree",
    services_note: "These are the services we recognise; a site usually uses only a few of them.",
    more_services: "and more of the same kind:",
    services_need_all: "Needs your agreement to all of:",
    change_any_time: "You can change your mind here at any time, and it takes the same clicks.",
    policy: "Privacy policy",
    back: "Back to the page",
    my_record: "The record of my choice",
    me_title: "The record of your choice",
    receipt: "Receipt",
    receipt_note: "Quote this number if you have a question about your choice. It is drawn anew with every choice.",
    no_receipt: "There is no receipt, because nothing is stored before you choose.",
    change: "Change my choice",
    granted: "on now",
    denied: "off now",
    undecided: "off now, not chosen yet",
    necessary: PurposeTexts {
        name: "Necessary",
        about: "What the site cannot do without, such as your cart, your login and the memory of this choice.",
    },
    functional: PurposeTexts {
        name: "Functional",
        about: "Extra features such as chat, maps and videos from other companies, and remembered settings.",
    },
    analytics: PurposeTexts {
        name: "Analytics",
        about: "Statistics on how the site is used: which pages are visited, for how long, and what is clicked.",
    },
    personalization: PurposeTexts {
        name: "Personalization",
        about: "Showing you other content, offers or test versions than others see, based on what you did before.",
    },
    marketing: PurposeTexts {
        name: "Marketing",
        about: "Advertising, measuring it, and recognising you on other sites for it.",
    },
    not_taken: "Your choice was not taken",
    nothing_changed: "Nothing has changed. You can choose here:",
    from_elsewhere: "Your browser did not show that this came from one of our own pages, and nobody else may choose \
                     for you.",
    ahead_of_time: "This was sent by software that loads pages ahead of time, which cannot choose for you.",
    framed: "The site was shown inside another page, so the click may not have been meant for us.",
    not_a_form: "This was not sent as a form that we can read.",
    too_large: "What was sent is longer than our form can be.",
    unclear: "It was not clear what was chosen, so we treat it as no answer.",
    no_receipt_now: "We cannot make a receipt for your choice at the moment. Please try again later.",
    unknown_title: "There is no such page",
    unknown: "Nothing is found at this address.",
    method_title: "This page cannot be used that way",
    method: "The address exists, but it does not answer this kind of request.",
};
