//! Reads the times that somebody types.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

const FORMS: &str = "expected a span back from now (30m, 24h, 7d), a date (2026-05-01) or a time (2026-05-01T12:00:00Z)";

/// The moment a log begins; a date counts from its first moment.
pub(in crate::cli) fn since(text: &str) -> Result<u64, String> {
    moment(text, Timestamp::now(), 0)
}

/// The moment a log ends; a date counts to its end.
pub(in crate::cli) fn until(text: &str) -> Result<u64, String> {
    moment(text, Timestamp::now(), 1)
}

/// In milliseconds since 1970; of a date, that many days later.
fn moment(text: &str, now: Timestamp, days_on: i64) -> Result<u64, String> {
    let time = if let Some(span) = span(text) {
        now.checked_sub(span).ok()
    } else if let Ok(date) = text.parse::<Date>()
        && text.len() <= 10
    {
        let next = date.checked_add(SignedDuration::from_hours(24 * days_on)).ok();
        next.and_then(|date| date.to_zoned(TimeZone::UTC).ok()).map(|time| time.timestamp())
    } else {
        text.parse::<Timestamp>().ok().or_else(|| {
            let time = text.parse::<DateTime>().ok()?;
            Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
        })
    };
    let time_ms = time.ok_or_else(|| FORMS.to_owned())?.as_millisecond();
    u64::try_from(time_ms).map_err(|_| "that is before 1970".to_owned())
}

fn span(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().next_back()?;
    let count: u32 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return None,
    };
    Some(SignedDuration::from_secs(i64::from(count) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now: Timestamp = "2026-05-10T12:00:00Z".parse().unwrap();
        for (text, since, until) in [
            ("30m", "2026-05-10T11:30:00Z", "2026-05-10T11:30:00Z"),
            ("24h", "2026-05-09T12:00:00Z", "2026-05-09T12:00:00Z"),
            ("7d", "2026-05-03T12:00:00Z", "2026-05-03T12:00:00Z"),
            ("2w", "2026-04-26T12:00:00Z", "2026-04-26T12:00:00Z"),
            ("2026-05-01", "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"),
            ("2026-05-01T12:00:00Z", "2026-05-01T12:00:00Z", "2026-05-01T12:00:00Z"),
            ("2026-05-01T12:00:00+02:00", "2026-05-01T10:00:00Z", "2026-05-01T10:00:00Z"),
            ("2026-05-01T12:00", "2026-05-01T12:00:00Z", "2026-05-01T12:00:00Z"),
        ] {
            let ms = |time: &str| {
                Ok(time.parse::<Timestamp>().unwrap().as_millisecond().cast_unsigned())
            };
            assert_eq!(moment(text, now, 0), ms(since), "{text}");
            assert_eq!(moment(text, now, 1), ms(until), "{text}");
        }
    }

    #[test]
    fn nonsense_is_told_what_would_do() {
        for text in ["yesterday", "", "7", "d", "-3d", "2026-13-01", "99999999999d", "7y"] {
            assert_eq!(moment(text, Timestamp::now(), 0), Err(FORMS.to_owned()), "{text}");
        }
        assert!(moment("1969-01-01", Timestamp::now(), 0).unwrap_err().contains("1970"));
    }
}
