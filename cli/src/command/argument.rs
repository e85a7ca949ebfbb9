//! Values on the command line that need more than `FromStr`.

use serde_json::{Map, Value, json};

use crate::config::value::parse_duration;
use crate::rfc3339;

/// Parses a price such as `15000KRW`: an amount in minor units and a currency code.
pub(super) fn parse_money(text: &str) -> Result<Value, String> {
    let wrong = || {
        format!(
            "invalid price {text:?}: use whole minor units and a currency, for example 15000KRW, or \
             1999USD for 19.99 US dollars"
        )
    };
    let letters = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (amount, currency) = text.split_at(letters);
    let currency = currency.trim();
    let amount: i64 = amount.parse().map_err(|_| wrong())?;
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(wrong());
    }
    Ok(json!({"amount": amount, "currency": currency}))
}

/// Parses JSON.
pub(super) fn parse_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("invalid JSON: {error}"))
}

/// Whether a time is given relative to now: `now`, `+10s`.
pub(super) fn is_relative(time: &str) -> bool {
    time == "now" || time.starts_with('+')
}

/// A time as RFC 3339. Accepts `now`, a duration from now such as `+10s`, or RFC 3339, which is
/// passed on as it is for the API to check.
pub(super) fn absolute(time: &str, now_ms: i64) -> anyhow::Result<String> {
    if time == "now" {
        return Ok(rfc3339::format(now_ms));
    }
    if let Some(duration) = time.strip_prefix('+') {
        let duration = parse_duration(duration).map_err(anyhow::Error::msg)?;
        let duration = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let time = rfc3339::try_format(now_ms.saturating_add(duration));
        return time.ok_or_else(|| anyhow::anyhow!("a time after the year 9999"));
    }
    Ok(time.to_owned())
}

/// A JSON object of the fields that are present.
pub(super) fn fields<const N: usize>(named: [(&str, Option<Value>); N]) -> Value {
    let present = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_minor_units_with_a_currency() {
        assert_eq!(parse_money("15000KRW"), Ok(json!({"amount": 15000, "currency": "KRW"})));
        for bad in ["15000", "KRW", "1.5USD", "15000krw", "-1KRW", "1 KRWX"] {
            assert!(parse_money(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn relative_times_count_from_now() -> anyhow::Result<()> {
        assert_eq!(absolute("now", 0)?, "1970-01-01T00:00:00.000Z");
        assert_eq!(absolute("+1m", 0)?, "1970-01-01T00:01:00.000Z");
        assert_eq!(absolute("2026-12-01T20:00:00Z", 0)?, "2026-12-01T20:00:00Z");
        assert!(absolute("+soon", 0).is_err());
        assert!(absolute("+9999999d", 0).is_err());
        Ok(())
    }
}
