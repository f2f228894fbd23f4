//! Notices when visitors stop choosing, refusing or sending Global Privacy
//! Control.
//!
//! A notice that nobody can see looks fine in every log: pages are served, and
//! nobody complains. A retailer's opt-out was broken for 40 days before anybody
//! noticed (California Privacy Protection Agency, Todd Snyder, 2025). So each
//! site is compared with itself: where so many choices, refusals or signals
//! were to be expected that none at all is no chance, there is something wrong.

use crate::ledger::figures::pulse::Hour;

/// How long a look back may be, in hours; the shortest that is sure counts.
const WINDOWS: [i64; 7] = [3, 6, 12, 24, 48, 96, 168];

/// How far back a site is compared with itself, in hours.
pub(super) const BASELINE_HOURS: i64 = 28 * 24;

/// So much has to be there for a share to be known.
const KNOWN: i64 = 20;

/// What may stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// Choices of undecided visitors.
    Choices,
    /// Refusals among choices.
    Refusals,
    /// Global Privacy Control among page views.
    Gpc,
}

impl Baseline {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Choices, Self::Refusals, Self::Gpc];

    const fn part(self, hour: &Hour) -> i64 {
        match self {
            Self::Choices => hour.choices,
            Self::Refusals => hour.refusals,
            Self::Gpc => hour.gpc,
        }
    }

    const fn whole(self, hour: &Hour) -> i64 {
        match self {
            Self::Choices => hour.undecided,
            Self::Refusals => hour.choices,
            Self::Gpc => hour.views,
        }
    }

    /// How many must have been expected. Choices are made one by one: where 20
    /// were expected, none at all happens once in 480 million times (Poisson).
    /// Page views with the signal come several from one visitor, so more are
    /// needed.
    const fn sure(self) -> f64 {
        match self {
            Self::Choices | Self::Refusals => 20.0,
            Self::Gpc => 60.0,
        }
    }

    /// What is expected of a site of which nothing is known: less than of any
    /// site that works.
    const fn least(self) -> f64 {
        match self {
            Self::Choices => 0.005,
            Self::Refusals => 0.02,
            Self::Gpc => 0.001,
        }
    }
}

/// Something stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// What.
    pub of: Baseline,
    /// For how many hours there was none.
    pub hours: i64,
    /// Out of how many.
    pub whole: i64,
    /// How many were to be expected.
    pub expected: f64,
    /// The share it had before; nothing where that is not known.
    pub share: Option<f64>,
}

/// What stopped on a site, in the hours before `now`, which is one of them
/// itself and not over.
#[must_use]
pub fn drift(hours: &[Hour], now: i64) -> Vec<Drift> {
    Baseline::ALL.into_iter().filter_map(|of| stopped(hours, now, of)).collect()
}

fn stopped(hours: &[Hour], now: i64, of: Baseline) -> Option<Drift> {
    let sums = |from: i64, until: i64| {
        let within = hours.iter().filter(|hour| (from..until).contains(&hour.hour));
        within.fold((0_i64, 0_i64, 0_i64), |(part, whole, elsewhere), hour| {
            let part = part.saturating_add(of.part(hour));
            (part, whole.saturating_add(of.whole(hour)), elsewhere.saturating_add(hour.elsewhere))
        })
    };
    WINDOWS.into_iter().find_map(|window| {
        let (part, whole, elsewhere) = sums(now - window, now);
        if part > 0 {
            return None;
        }
        let (before, of_all, _) = sums(now - window - BASELINE_HOURS, now - window);
        let share = (before >= KNOWN && of_all > 0).then(|| ratio(before, of_all));
        let share_or_least = match share {
            Some(share) => share,
            // Where another tool asks, nobody needs to choose here.
            None if of == Baseline::Choices && elsewhere > 0 => return None,
            None => of.least(),
        };
        let expected = share_or_least * ratio(whole, 1);
        (expected >= of.sure()).then_some(Drift { of, hours: window, whole, expected, share })
    })
}

#[expect(clippy::cast_precision_loss, reason = "shares need no more than 52 bits")]
const fn ratio(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shop with 40 undecided views an hour, of which 2 choose and 1 refuses.
    fn usual(hour: i64) -> Hour {
        let (views, undecided, gpc) = (100, 40, 3);
        Hour { hour, views, undecided, gpc, elsewhere: 0, choices: 2, refusals: 1 }
    }

    fn names(found: &[Drift]) -> Vec<Baseline> {
        found.iter().map(|drift| drift.of).collect()
    }

    #[test]
    fn g4_a_site_as_always_is_no_drift_and_a_quiet_night_is_none() {
        let hours: Vec<_> = (0..1000).map(usual).collect();
        assert_eq!(drift(&hours, 1000), []);
        let night =
            (990..1000).map(|hour| Hour { hour, views: 2, undecided: 1, ..Hour::default() });
        let hours: Vec<_> = (0..990).map(usual).chain(night).collect();
        assert_eq!(drift(&hours, 1000), []);
        assert_eq!(drift(&[], 1000), []);
    }

    #[test]
    fn g4_a_notice_that_nobody_sees_is_noticed_within_a_day() {
        let broken = |hour| Hour { choices: 0, refusals: 0, ..usual(hour) };
        let noticed = (501..600).find(|now| {
            let hours: Vec<_> = (0..500).map(usual).chain((500..*now).map(broken)).collect();
            !drift(&hours, *now).is_empty()
        });
        assert_eq!(noticed, Some(512), "20 expected choices are due after 10 hours");
    }

    #[test]
    fn g4_the_40_days_are_noticed_also_when_nothing_is_known_from_before() {
        let broken: Vec<_> =
            (0..960).map(|hour| Hour { choices: 0, refusals: 0, gpc: 0, ..usual(hour) }).collect();
        assert_eq!(names(&drift(&broken, 960)), [Baseline::Choices]);
        let first = (1..960).find(|now| {
            let hours: Vec<_> = broken.iter().copied().filter(|hour| hour.hour < *now).collect();
            !drift(&hours, *now).is_empty()
        });
        assert_eq!(first, Some(100), "20 of 4000 views");
    }

    #[test]
    fn g4_where_another_tool_asks_nobody_has_to_choose_here() {
        let hours: Vec<_> = (0..960)
            .map(|hour| Hour { choices: 0, refusals: 0, elsewhere: 30, ..usual(hour) })
            .collect();
        assert_eq!(drift(&hours, 960), []);
    }

    #[test]
    fn g4_refusals_and_signals_that_stop_are_told_apart() {
        let hours = |change: fn(Hour) -> Hour| -> Vec<_> {
            (0..700).map(usual).chain((700..800).map(|hour| change(usual(hour)))).collect()
        };
        let only_yes = hours(|hour| Hour { refusals: 0, ..hour });
        assert_eq!(names(&drift(&only_yes, 800)), [Baseline::Refusals]);
        let no_signal = hours(|hour| Hour { gpc: 0, ..hour });
        assert_eq!(names(&drift(&no_signal, 800)), [Baseline::Gpc]);
        let found = drift(&no_signal, 724)[0];
        assert_eq!((found.hours, found.whole, found.share), (24, 2400, Some(0.03)));
    }
}
