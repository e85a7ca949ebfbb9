//! RFC 3339 instants in UTC with milliseconds, as the API writes them, and wishes like `+10s`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::value::parse_duration;

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970 by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Writes milliseconds since 1970 as `2026-11-22T01:00:00.000Z`.
pub(crate) fn format(ms: i64) -> String {
    let (year, month, day) = civil(ms.div_euclid(DAY_MS));
    let rest = ms.rem_euclid(DAY_MS);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Reads what [`format()`] writes; `None` for anything else.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape != "0000-00-00T00:00:00.000Z" {
        return None;
    }
    let days = days(part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let seconds = part(11, 13)? * 3600 + part(14, 16)? * 60 + part(17, 19)?;
    Some(days * DAY_MS + seconds * 1000 + part(20, 23)?)
}

/// What a person meant by an instant: `now`, a span from now such as `+10s`, or RFC 3339, which
/// the API checks.
pub(crate) fn wish(text: &str, now_ms: i64) -> anyhow::Result<String> {
    if text == "now" {
        return Ok(format(now_ms));
    }
    if let Some(span) = text.strip_prefix('+') {
        let span = parse_duration(span).map_err(anyhow::Error::msg)?;
        let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        return Ok(format(now_ms.saturating_add(span)));
    }
    Ok(text.to_owned())
}

/// Whether a wish needs to know what time it is.
pub(crate) fn is_relative(text: &str) -> bool {
    text == "now" || text.starts_with('+')
}

/// Days since 1970 to year, month, day. Counts in 400-year eras that begin on 1 March, so that
/// the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_text() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_795_309_500_000, "2026-11-22T01:05:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format(ms), text);
            assert_eq!(parse(text), Some(ms));
        }
        assert_eq!(parse("2026-11-22 01:05:00"), None);
    }

    #[test]
    fn wishes_count_from_now() -> anyhow::Result<()> {
        assert_eq!(wish("now", 0)?, "1970-01-01T00:00:00.000Z");
        assert_eq!(wish("+1m", 0)?, "1970-01-01T00:01:00.000Z");
        assert!(wish("+soon", 0).is_err());
        Ok(())
    }
}
