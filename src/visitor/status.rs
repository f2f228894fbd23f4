//! The visitor's choice as it stands, in words, with the signal behind it.

use crate::consent::Source;
use crate::purpose::Purpose;
use crate::visitor::Visit;

use jiff::Timestamp;
use maud::{Markup, html};

/// What counts now, and why.
///
/// A visitor whose browser sends Global Privacy Control is always told what
/// became of it.
pub(super) fn words(visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    let consent = visit.consent;
    html! {
        div.status {
            @if consent.gpc() { p { (gpc(visit)) } }
            @match (consent.source(), consent.record()) {
                (_, Some(record)) if !visit.site.consent.covers(record) => {
                    p { (with_time(&texts.asked_again, record.time_s)) }
                }
                (Source::Silence, _) => { p { (texts.not_chosen) } }
                (Source::Gpc, None) => {}
                (Source::Gpc, Some(record)) => {
                    p { (with_time(&texts.you_chose_on, record.time_s)) " " (texts.gpc_came_later) }
                }
                (Source::Choice, Some(record)) => { p { (with_time(&texts.you_chose_on, record.time_s)) } }
                (Source::Choice, None) => { p { (texts.you_chose) } }
                (Source::Tool(_) | Source::Tcf | Source::Gpp | Source::UsPrivacy, _) => {
                    p { (texts.chosen_elsewhere) }
                }
                (Source::Region, _) => {}
            }
            @if consent.source() == Source::Gpc && consent.is_undecided() { p { (texts.not_chosen) } }
            @if by_region(visit) { p { (texts.allowed_by_region) } }
        }
    }
}

/// Whether silence was taken for a "yes" about something.
pub(super) fn by_region(visit: &Visit<'_>) -> bool {
    Purpose::OPTIONAL.iter().any(|purpose| visit.consent.source_of(*purpose) == Source::Region)
}

/// What became of the signal.
pub(super) fn gpc<'a>(visit: &Visit<'a>) -> &'a str {
    let texts = visit.texts();
    let outvoted = [Purpose::Marketing, Purpose::Personalization]
        .iter()
        .any(|purpose| visit.consent.grants(*purpose));
    if outvoted { &texts.gpc_choice_counts } else { &texts.gpc_honoured }
}

fn with_time(text: &str, time_s: u64) -> Markup {
    let (before, after) = text.split_once("{time}").unwrap_or_default();
    html! { (before) (time(time_s)) (after) }
}

pub(super) fn time(time_s: u64) -> Markup {
    let time = timestamp(time_s);
    let words = time.map(|time| time.strftime("%Y-%m-%d %H:%M UTC").to_string());
    html! { time dir="ltr" datetime=[time] { (words.unwrap_or_default()) } }
}

/// The day alone, where the second would be more than anybody needs.
pub(super) fn day(time_s: u64) -> Option<String> {
    timestamp(time_s).map(|time| time.strftime("%Y-%m-%d").to_string())
}

pub(super) fn timestamp(time_s: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(time_s).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use crate::visitor::trial::{self, Trial};

    const GPC: (&str, &str) = ("sec-gpc", "1");
    const OURS: (&str, &str) = ("origin", "http://shop.example");

    #[test]
    fn d6_the_visitor_sees_what_became_of_the_signal() {
        let honoured = "we honour it: marketing and personalization are off.";
        let says = |trial: &Trial, text: &str| {
            trial::text(&trial.get("/.consentry/choices")).contains(text)
        };
        let plain = Trial::new();
        assert!(!says(&plain, "Global Privacy Control"));
        let signalled = Trial::new().with_fields(&[GPC]);
        assert!(says(&signalled, honoured));

        let accepted = plain.post(&[OURS], "choice=all");
        let later = plain.with_cookie_and(&accepted, &[GPC]);
        assert!(says(&later, honoured) && says(&later, "the signal counts for these two"));

        let accepted = signalled.post(&[OURS], "choice=all");
        let chosen = signalled.with_cookie_and(&accepted, &[GPC]);
        assert!(says(&chosen, "so your choice counts") && !says(&chosen, honoured));

        let refused = signalled.post(&[OURS], "choice=none");
        assert!(says(&signalled.with_cookie_and(&refused, &[GPC]), honoured));
    }

    #[test]
    fn d5_the_visitor_is_told_of_a_choice_made_elsewhere_and_of_a_silence_that_is_a_yes() {
        let says = |trial: &Trial, text: &str| {
            trial::text(&trial.get("/.consentry/choices")).contains(text)
        };
        let (elsewhere, region) = ("You chose on another notice", "silence is taken for a yes");
        let plain = Trial::new();
        assert!(!says(&plain, elsewhere) && !says(&plain, region));
        let chosen = plain.with_fields(&[("cookie", "usprivacy=1YYN")]);
        assert!(says(&chosen, elsewhere) && !says(&chosen, region));
        let consent = plain.consent.clone().in_region(crate::consent::Rule::OptOut);
        let silent = Trial { consent, ..Trial::new() };
        assert!(says(&silent, region) && !says(&silent, elsewhere));
    }
}
