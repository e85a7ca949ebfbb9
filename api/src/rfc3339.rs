//! Times on the wire: RFC 3339, written in UTC with milliseconds, read with any offset.

use std::fmt::Write as _;

use firstcome_domain::Millis;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Writes `2026-11-22T01:00:00.000Z`.
pub(crate) fn format(at: Millis) -> String {
    let nanos = i128::from(at.get()) * 1_000_000;
    let Ok(t) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
        return String::new(); // Beyond the year 9999; rows never hold such a time.
    };
    let mut text = String::with_capacity(24);
    let written = write!(
        text,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second(),
        t.millisecond()
    );
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
    text
}

/// Reads any RFC 3339 time from 1970 to 9999. Digits below a millisecond are dropped.
pub(crate) fn parse(text: &str) -> Option<Millis> {
    let t = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let ms = i64::try_from(t.unix_timestamp_nanos().div_euclid(1_000_000)).ok()?;
    Some(Millis::new(ms)).filter(|at| at.is_valid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(format(Millis::new(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(format(Millis::new(1_795_309_200_007)), "2026-11-22T01:00:00.007Z");
        assert_eq!(format(Millis::MAX), "9999-12-31T23:59:59.999Z");
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
