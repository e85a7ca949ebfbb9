//! Times as the API writes them: RFC 3339 in UTC with milliseconds.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const NANOS_PER_MS: i128 = 1_000_000;

/// Milliseconds since 1970 by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Formats milliseconds since 1970 as `2026-11-22T01:00:00.000Z`. A time outside the years 0 to
/// 9999 has no RFC 3339 form and is shown as a number of milliseconds.
pub(crate) fn format(ms: i64) -> String {
    try_format(ms).unwrap_or_else(|| format!("{ms} ms since 1970"))
}

/// Like [`format()`], but `None` for a time outside the years 0 to 9999.
pub(crate) fn try_format(ms: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * NANOS_PER_MS).ok()?;
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second, milli) = at.to_hms_milli();
    let month = u8::from(month);
    (0..=9999).contains(&year).then(|| {
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    })
}

/// Parses RFC 3339; a fraction below a millisecond is cut off.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos().div_euclid(NANOS_PER_MS)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip_through_text() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_795_309_500_000, "2026-11-22T01:05:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format(ms), text);
            assert_eq!(parse(text), Some(ms));
        }
        assert_eq!(parse("2026-11-22 01:05"), None);
    }

    #[test]
    fn a_time_beyond_the_year_9999_is_shown_as_a_number() {
        assert_eq!(try_format(253_402_300_800_000), None);
        assert_eq!(format(i64::MAX), "9223372036854775807 ms since 1970");
    }
}
