//! What a page was asked for: the period, the site, and whatever else stands
//! in its address, so that a view can be kept, sent and opened again.

use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::ledger::figures::{Figures, Period};
use crate::ledger::{self, plain};

use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use maud::{Markup, html};
use std::time::{SystemTime, UNIX_EPOCH};
use url::form_urlencoded;

/// How many days are shown unless somebody asks for others.
const USUAL_DAYS: u32 = 7;

/// A longer period is cut: ten years.
const MOST_DAYS: i64 = 3660;

/// The longest value that is taken from an address, in bytes: longer than the
/// paths of pages are.
pub(super) const MAX_VALUE: usize = 4096;

/// As much of a name as is repeated.
const MAX_NAME: usize = 20;

/// What stands in a page's address.
#[derive(Clone, Debug)]
pub(in crate::dashboard) struct Asked {
    pub(in crate::dashboard) period: Period,
    /// The days that end with today, if that is what was asked for.
    days: Option<u32>,
    /// How many there are unless somebody asks for others.
    usual: u32,
    pub(in crate::dashboard) site: Option<String>,
    /// Everything else: names and values, the last of a name counting.
    others: Vec<(String, String)>,
    /// What could not be understood, to be said on the page.
    pub(in crate::dashboard) mistakes: Vec<String>,
}

impl Asked {
    /// Reads a query as it is now.
    pub(in crate::dashboard) fn read(query: Option<&str>) -> Self {
        Self::read_or(query, USUAL_DAYS)
    }

    /// The same for a page that shows so many days unless somebody asks for
    /// others.
    pub(in crate::dashboard) fn read_or(query: Option<&str>, usual: u32) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::read_at(query, usual, u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }

    fn read_at(query: Option<&str>, usual: u32, now_ms: u64) -> Self {
        let mut asked = Self {
            period: Period::last(usual, now_ms),
            days: Some(usual),
            usual,
            site: None,
            others: Vec::new(),
            mistakes: Vec::new(),
        };
        let (mut from, mut to) = (None, None);
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            if value.len() > MAX_VALUE {
                let name: String = name.chars().take(MAX_NAME).collect();
                asked
                    .mistakes
                    .push(format!("“{name}” is longer than {MAX_VALUE} bytes and was left out"));
                continue;
            }
            match &*name {
                "from" => from = asked.day("from", value),
                "to" => to = asked.day("to", value),
                "days" => match value.parse() {
                    Ok(days @ 1..=3660) => {
                        asked.days = Some(days);
                        asked.period = Period::last(days, now_ms);
                    }
                    _ => asked.mistakes.push(format!("“{value}” is not a number of days")),
                },
                "site" => asked.site = Some(value.to_owned()),
                _ => asked.others.push((name.into_owned(), value.to_owned())),
            }
        }
        if from.is_some() || to.is_some() {
            let today = Period::last(1, now_ms).first();
            let last = to.unwrap_or(today);
            let first = from.unwrap_or(last);
            asked.days = None;
            asked.period = Period::days(first, last);
            if asked.period.len() > MOST_DAYS {
                asked.days = Some(usual);
                asked.period = Period::last(usual, now_ms);
                asked.mistakes.push("that is more than ten years; these are the last days".into());
            }
        }
        asked
    }

    fn day(&mut self, name: &str, value: &str) -> Option<Date> {
        let day = value.parse().ok();
        if day.is_none() {
            self.mistakes.push(format!("“{value}” ({name}) is not a day: write 2026-03-31"));
        }
        day
    }

    /// The same about one site.
    pub(in crate::dashboard) fn about_site(&self, site: &str) -> Self {
        Self { site: Some(site.to_owned()), ..self.clone() }
    }

    /// The site, if one was asked for.
    pub(in crate::dashboard) fn site(&self) -> Option<&str> {
        self.site.as_deref()
    }

    /// What was asked under that name.
    pub(in crate::dashboard) fn value(&self, name: &str) -> Option<&str> {
        self.others.iter().rev().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }

    /// The address of a page about the same period and site, with more.
    pub(in crate::dashboard) fn link(&self, path: &str, more: &[(&str, &str)]) -> String {
        let when = match self.days {
            // A page that shows others by itself has to be told.
            Some(USUAL_DAYS) if self.usual == USUAL_DAYS => Vec::new(),
            Some(days) => vec![("days", days.to_string())],
            None => vec![
                ("from", self.period.first().to_string()),
                ("to", self.period.last_day().to_string()),
            ],
        };
        let when = when.iter().map(|(name, value)| (*name, value.as_str()));
        let site = self.site.as_deref().map(|site| ("site", site));
        let all: Vec<_> = when.chain(site).chain(more.iter().copied()).collect();
        layout::address(path, &all)
    }

    /// The same, with everything else that was asked but what is in `more`.
    pub(in crate::dashboard) fn link_with_all(&self, path: &str, more: &[(&str, &str)]) -> String {
        let mut all: Vec<(&str, &str)> = self
            .others
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| *name != "after" && !more.iter().any(|(other, _)| other == name))
            .collect();
        all.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        self.link(path, &all)
    }

    /// The period in words: `from 16 November 2026 to 22 November 2026`.
    pub(in crate::dashboard) fn in_words(&self) -> String {
        let day = |date: Date| date.strftime("%-d %B %Y").to_string();
        let (first, last) = (self.period.first(), self.period.last_day());
        if first == last {
            format!("on {}", day(first))
        } else {
            format!("from {} to {}", day(first), day(last))
        }
    }

    /// The fields for period and site, as part of a form; `more` follows.
    pub(in crate::dashboard) fn form(&self, path: &str, sites: &[String], more: &Markup) -> Markup {
        html! {
            @for mistake in &self.mistakes { p.warning role="alert" { (plain::text(mistake)) "." } }
            form.filters method="get" action=(path) {
                div {
                    label for="from" { "From" }
                    input #from type="date" name="from" value=(self.period.first());
                }
                div {
                    label for="to" { "To" }
                    input #to type="date" name="to" value=(self.period.last_day());
                }
                @if sites.len() > 1 || self.site.is_some() {
                    div {
                        label for="site" { "Site" }
                        select #site name="site" {
                            option value="" { "All sites" }
                            @for site in sites {
                                option value=(site) selected[self.site.as_ref() == Some(site)] { (plain::text(site)) }
                            }
                        }
                    }
                }
                (more)
                div { button { "Show" } }
            }
            p.quiet {
                "The last "
                @for (index, days) in [1_u32, 7, 30, 90, 365].into_iter().enumerate() {
                    @if index > 0 { ", " }
                    @let asked = Self { days: Some(days), ..self.clone() };
                    @if self.days == Some(days) { strong { (days) } } @else { a href=(asked.link_with_all(path, &[])) { (days) } }
                }
                " days. Days are those of UTC."
            }
        }
    }
}

/// Asks the ledger, away from the threads that serve; a page that says what is
/// wrong where it cannot be read.
pub(in crate::dashboard) async fn figures<T: Send + 'static>(
    context: &Context,
    ask: impl FnOnce(&Figures) -> Result<T, ledger::Error> + Send + 'static,
) -> Result<T, Response> {
    let context = context.clone();
    let asked = tokio::task::spawn_blocking(move || context.ledger().ask(ask));
    let why = match asked.await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(why, "the dashboard cannot read the ledger");
    Err(layout::refusal(
        false,
        StatusCode::SERVICE_UNAVAILABLE,
        "The ledger cannot be read at the moment",
        &format!(
            "{why}. Visitors are served and filtered all the same; reload this page to try again."
        ),
    ))
}

/// The names of the sites in the ledger.
pub(in crate::dashboard) fn site_names(
    figures: &Figures,
    period: Period,
) -> Result<Vec<String>, ledger::Error> {
    Ok(figures.sites(period)?.into_iter().map(|of| of.site).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_348_800_000; // 2026-11-22 12:00 UTC

    fn asked(query: &str) -> Asked {
        Asked::read_at(Some(query), USUAL_DAYS, NOW)
    }

    #[test]
    fn g11_a_page_of_more_days_says_which_it_shows_and_links_to_the_others() {
        let days = |query: &str| {
            let asked = Asked::read_at(Some(query), 30, NOW);
            let form = asked.form("/declaration", &[], &html! {}).into_string();
            let bold = form.split_once("<strong>").unwrap().1.split_once('<').unwrap().0.to_owned();
            for days in ["7", "30"] {
                let link = format!("<a href=\"/declaration?days={days}\">{days}</a>");
                assert_eq!(form.contains(&link), bold != days, "{form}");
            }
            (asked.period.len(), bold)
        };
        assert_eq!(days(""), (30, "30".to_owned()));
        assert_eq!(days("from=&to="), (30, "30".to_owned()));
        assert_eq!(days("days=7"), (7, "7".to_owned()));
        assert_eq!(days("from=0001-01-01"), (30, "30".to_owned()));
    }

    #[test]
    fn g5_an_address_keeps_the_view() {
        let march =
            asked("from=2026-03-01&to=2026-03-31&site=shop&vendor=meta&kind=script&after=7");
        assert_eq!((march.period.len(), march.site.as_deref()), (31, Some("shop")));
        assert_eq!(march.in_words(), "from 1 March 2026 to 31 March 2026");
        assert_eq!(march.value("vendor"), Some("meta"));
        let link = march.link_with_all("/log", &[("kind", "image")]);
        assert_eq!(link, "/log?from=2026-03-01&to=2026-03-31&site=shop&vendor=meta&kind=image");
        assert_eq!(
            march.link_with_all("/log", &[("kind", ""), ("vendor", "")]).matches('=').count(),
            3
        );
        let again = asked(link.trim_start_matches("/log?"));
        assert_eq!((again.period, again.value("kind")), (march.period, Some("image")));
        let usual = asked("");
        assert_eq!((usual.period.len(), usual.link("/", &[])), (7, "/".to_owned()));
        assert_eq!(usual.period.last_day().to_string(), "2026-11-22");
        assert_eq!(asked("days=30").link("/", &[]), "/?days=30");
        assert_eq!(asked("site=a%26b").link("/", &[]), "/?site=a%26b");
    }

    #[test]
    fn what_cannot_be_understood_is_said_and_the_usual_is_shown() {
        for query in ["from=yesterday", "days=0", "days=99999", "from=0001-01-01&to=2026-01-01"] {
            let asked = asked(query);
            assert_eq!((asked.period.len(), asked.mistakes.len()), (7, 1), "{query}");
        }
        let long = asked(&format!("site={}", "x".repeat(MAX_VALUE + 1)));
        assert_eq!(long.mistakes, ["“site” is longer than 4096 bytes and was left out"]);
        assert!(long.site.is_none());
        let page = format!("/{}", "x".repeat(2000));
        assert_eq!(asked(&format!("page={page}")).value("page"), Some(&*page));
        assert!(asked("&&=&%ff=%ff&days=").mistakes.is_empty());
    }
}
