//! Timestamps on the wire and in logs, `2026-11-22T01:15:00.000Z`, as numbers.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970; `None` if the text is not an RFC 3339 timestamp.
pub fn unix_ms(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_milliseconds_since_1970() {
        assert_eq!(unix_ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_ms("2000-02-29T23:59:59.999Z"), Some(951_868_799_999));
        assert_eq!(unix_ms("2026-11-22T01:15:00.250Z"), Some(1_795_310_100_250));
        assert_eq!(unix_ms("soon"), None);
    }
}
