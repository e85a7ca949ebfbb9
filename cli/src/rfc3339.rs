//! Times in milliseconds since 1970, as the API writes them.

use std::time::{SystemTime, UNIX_EPOCH};

use firstcome_api::rfc3339;
use firstcome_domain::Millis;

/// Milliseconds since 1970 by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Formats a time as `2026-11-22T01:00:00.000Z`. A time outside the years 0 to 9999 has no RFC 3339
/// form and is shown as a number of milliseconds.
pub(crate) fn format(ms: i64) -> String {
    rfc3339::format(Millis::new(ms))
}

/// Like [`format()`], but `None` for a time outside the years 0 to 9999.
pub(crate) fn try_format(ms: i64) -> Option<String> {
    rfc3339::try_format(Millis::new(ms))
}

/// Parses RFC 3339, from 1970 to 9999; a fraction below a millisecond is cut off.
pub(crate) fn parse(text: &str) -> Option<i64> {
    rfc3339::parse(text).map(Millis::get)
}
