//! Times on the wire: RFC 3339, written in UTC with milliseconds, read with any offset.

use firstcome_domain::Millis;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const NANOS_PER_MS: i128 = 1_000_000;

/// Writes `2026-11-22T01:00:00.000Z`. A time outside the years 0 to 9999, which no row holds, has no
/// RFC 3339 form and is shown as a number of milliseconds.
pub fn format(at: Millis) -> String {
    try_format(at).unwrap_or_else(|| format!("{} ms since 1970", at.get()))
}

/// Like [`format()`], but `None` for a time outside the years 0 to 9999.
pub fn try_format(at: Millis) -> Option<String> {
    let nanos = i128::from(at.get()) * NANOS_PER_MS;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second, milli) = at.to_hms_milli();
    let month = u8::from(month);
    (0..=9999).contains(&year).then(|| {
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    })
}

/// Reads any RFC 3339 time from 1970 to 9999. Digits below a millisecond are dropped.
pub fn parse(text: &str) -> Option<Millis> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let ms = i64::try_from(at.unix_timestamp_nanos().div_euclid(NANOS_PER_MS)).ok()?;
    Some(Millis::new(ms)).filter(|at| at.is_valid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_795_309_200_007, "2026-11-22T01:00:00.007Z"),
            (Millis::MAX.get(), "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format(Millis::new(ms)), text);
            assert_eq!(parse(text), Some(Millis::new(ms)));
        }
    }

    #[test]
    fn a_time_beyond_the_year_9999_is_shown_as_a_number() {
        assert_eq!(try_format(Millis::new(Millis::MAX.get() + 1)), None);
        assert_eq!(format(Millis::new(i64::MAX)), "9223372036854775807 ms since 1970");
    }

    #[test]
    fn any_offset_is_read() {
        let utc = parse("2026-11-22T01:00:00Z").unwrap();
        assert_eq!(parse("2026-11-22T10:00:00+09:00"), Some(utc));
        assert_eq!(parse("2026-11-21T20:30:00.000-04:30"), Some(utc));
        assert_eq!(parse(&format(utc)), Some(utc));
        assert_eq!(parse("2026-11-22T01:00:00.1239Z").unwrap().get() - utc.get(), 123);
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "now", "2026-11-22", "2026-11-22T01:00:00", "1969-12-31T23:59:59Z"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
