//! The language of a response: Korean or English, as `Accept-Language` says.

use std::str::FromStr as _;

use http::{HeaderMap, header};

/// Whether the client prefers Korean to English.
pub(crate) fn prefers_korean(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let weight = |language: &str| {
        let ranges = sent.unwrap_or_default().split(',');
        let weights = ranges.enumerate().filter_map(|(place, range)| {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('='));
            let named = tag.eq_ignore_ascii_case(language)
                || tag.split('-').next().is_some_and(|main| main.eq_ignore_ascii_case(language));
            let quality = quality.map_or(1.0, |quality| f32::from_str(quality).unwrap_or(0.0));
            // A weight of 0 means "not acceptable".
            (named && quality > 0.0).then_some((quality, usize::MAX - place))
        });
        weights.max_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
    };
    sent.is_some() && weight("ko") > weight("en")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn language_follows_weight_then_order() {
        for (sent, korean) in [
            ("ko", true),
            ("ko-KR,ko;q=0.9,en;q=0.8", true),
            ("en, ko", false),
            ("ko, en", true),
            ("en;q=0.5, ko;q=0.9", true),
            ("en;q=0.5, ko; q=0.9", true),
            ("en;q=0.9, ko ;Q=0.5", false),
            ("ko;q=0", false),
            ("ko;q=0, en", false),
            ("ko;q=x", false),
            ("fr", false),
            ("*", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(sent));
            assert_eq!(prefers_korean(&headers), korean, "{sent}");
        }
        assert!(!prefers_korean(&HeaderMap::new()));
    }
}
