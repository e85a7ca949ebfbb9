//! Values in text: durations (`100ms`, `5m`), sizes (`16MiB`), rates (`5/10s`), networks.

use std::net::IpAddr;
use std::time::Duration;

use firstcome_api::Rate;
use ipnet::IpNet;

/// Units of time in milliseconds, largest first.
const TIME: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of size in bytes, largest first.
const SIZE: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Parses a whole number with a unit of time.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    scaled(text, &TIME).map(Duration::from_millis).ok_or_else(|| {
        format!("invalid duration {text:?}: use for example 100ms, 1s, 5m, 2h or 1d")
    })
}

/// Parses a whole number with a unit of size.
pub fn parse_size(text: &str) -> Result<u64, String> {
    scaled(text, &SIZE)
        .ok_or_else(|| format!("invalid size {text:?}: use for example 4KiB, 16MiB or 1GiB"))
}

/// Formats a duration as a whole number of the largest possible unit.
pub fn format_duration(span: Duration) -> String {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    whole(ms, &TIME).unwrap_or_else(|| format!("{ms}ms"))
}

/// Formats a size as a whole number of the largest possible unit.
pub fn format_size(bytes: u64) -> String {
    whole(bytes, &SIZE).unwrap_or_else(|| format!("{bytes}B"))
}

/// The word for no limit.
const OFF: &str = "off";

/// Parses `off`, or a number of requests and a time: `5/10s`.
pub fn parse_rate(text: &str) -> Result<Option<Rate>, String> {
    if text == OFF {
        return Ok(None);
    }
    let rate = text.split_once('/').and_then(|(requests, per)| {
        let requests = requests.parse().ok().filter(|requests| *requests > 0)?;
        let per = parse_duration(per).ok().filter(|per| !per.is_zero())?;
        // The time between two requests must not be nothing.
        (per / requests > Duration::ZERO).then(|| Rate::new(requests, per))
    });
    rate.map(Some).ok_or_else(|| {
        format!(
            "invalid rate {text:?}: use for example 5/10s, five requests in ten seconds, or off"
        )
    })
}

/// Formats what [`parse_rate`] reads.
pub fn format_rate(rate: Option<Rate>) -> String {
    rate.map_or_else(
        || OFF.to_owned(),
        |rate| format!("{}/{}", rate.requests, format_duration(rate.per)),
    )
}

/// Parses addresses and networks, separated by commas.
pub fn parse_networks(text: &str) -> Result<Vec<IpNet>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let address = || part.parse::<IpAddr>().map(IpNet::from);
            part.parse().or_else(|_| address()).map_err(|_| {
                format!("invalid network {part:?}: use an address or, for example, 10.0.0.0/8")
            })
        })
        .collect()
}

/// Quotes a string for TOML.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `a, b or c`.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn whole(amount: u64, units: &[(&str, u64)]) -> Option<String> {
    let (unit, factor) = units.iter().find(|(_, f)| amount >= *f && amount.is_multiple_of(*f))?;
    Some(format!("{}{unit}", amount / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip_through_text() {
        for text in ["100ms", "1s", "5m", "2h", "3d", "1500ms"] {
            let span = parse_duration(text).expect(text);
            assert_eq!(format_duration(span), text);
        }
        assert_eq!(format_duration(Duration::ZERO), "0ms");
        for bad in ["", "5", "s", "1.5s", "-1s", "1w", "1 month", "99999999999999999999s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    /// Story: control characters were escaped as in Rust, which TOML cannot read. Found by the
    /// fuzz target `cluster_toml`.
    #[test]
    fn quoted_text_is_toml() {
        for text in ["", "n1", "a \"b\" \\ c", "\u{1}\t\n\u{7f}\u{85}\u{200b}", "\u{d55c}"] {
            let line = format!("x = {}", quote(text));
            let table: toml::Table = line.parse().expect(&line);
            assert_eq!(table["x"].as_str(), Some(text), "{line}");
        }
    }

    #[test]
    fn rates_round_trip_through_text() {
        for text in ["50/1s", "5/10s", "60/1m", "off"] {
            assert_eq!(format_rate(parse_rate(text).expect(text)), text);
        }
        for bad in
            ["", "5", "/1s", "0/1s", "5/0s", "-1/1s", "5/s", "5/10s/2", "Off", "4294967295/1ms"]
        {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_are_addresses_or_ranges() {
        let shown = |text| -> Vec<String> {
            parse_networks(text).expect(text).iter().map(IpNet::to_string).collect()
        };
        assert_eq!(shown("10.0.0.0/8, 192.0.2.7,"), ["10.0.0.0/8", "192.0.2.7/32"]);
        assert_eq!(shown("2001:db8::/32"), ["2001:db8::/32"]);
        assert!(shown("").is_empty());
        for bad in ["10.0.0.0/33", "10.0.0", "proxy.example", "10.0.0.0/8 192.0.2.7"] {
            assert!(parse_networks(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_round_trip_through_text() {
        for (text, bytes) in [("16MiB", 16 << 20), ("4KiB", 4096), ("1GiB", 1 << 30), ("7B", 7)] {
            assert_eq!(parse_size(text), Ok(bytes));
            assert_eq!(format_size(bytes), text);
        }
        for bad in ["", "16", "16MB", "16 TiB", "-1KiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
