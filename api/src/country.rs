//! Countries, as ISO 3166-1 names them.
//!
//! A table instead of a crate: the list last changed in 2011, and nothing here needs names.

use std::fmt;
use std::str::FromStr;

/// Every officially assigned alpha-2 code, sorted. Reserved and user-assigned ones (`UK`, `EU`, `XK`)
/// are not in it.
const CODES: [&str; 249] = [
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW", "AX", "AZ",
    "BA", "BB", "BD", "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS",
    "BT", "BV", "BW", "BY", "BZ", "CA", "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN",
    "CO", "CR", "CU", "CV", "CW", "CX", "CY", "CZ", "DE", "DJ", "DK", "DM", "DO", "DZ", "EC", "EE",
    "EG", "EH", "ER", "ES", "ET", "FI", "FJ", "FK", "FM", "FO", "FR", "GA", "GB", "GD", "GE", "GF",
    "GG", "GH", "GI", "GL", "GM", "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK", "HM",
    "HN", "HR", "HT", "HU", "ID", "IE", "IL", "IM", "IN", "IO", "IQ", "IR", "IS", "IT", "JE", "JM",
    "JO", "JP", "KE", "KG", "KH", "KI", "KM", "KN", "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC",
    "LI", "LK", "LR", "LS", "LT", "LU", "LV", "LY", "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK",
    "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS", "MT", "MU", "MV", "MW", "MX", "MY", "MZ", "NA",
    "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU", "NZ", "OM", "PA", "PE", "PF", "PG",
    "PH", "PK", "PL", "PM", "PN", "PR", "PS", "PT", "PW", "PY", "QA", "RE", "RO", "RS", "RU", "RW",
    "SA", "SB", "SC", "SD", "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM", "SN", "SO", "SR", "SS",
    "ST", "SV", "SX", "SY", "SZ", "TC", "TD", "TF", "TG", "TH", "TJ", "TK", "TL", "TM", "TN", "TO",
    "TR", "TT", "TV", "TW", "TZ", "UA", "UG", "UM", "US", "UY", "UZ", "VA", "VC", "VE", "VG", "VI",
    "VN", "VU", "WF", "WS", "YE", "YT", "ZA", "ZM", "ZW",
];

/// A country, by its alpha-2 code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Country(&'static str);

/// Text that is not the code of a country.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a country: use two capital letters of ISO 3166-1, such as KR")]
pub struct NoCountry;

impl Country {
    /// Two capital letters.
    pub const fn code(self) -> &'static str {
        self.0
    }
}

impl Default for Country {
    fn default() -> Self {
        Self("KR")
    }
}

impl FromStr for Country {
    type Err = NoCountry;

    fn from_str(text: &str) -> Result<Self, NoCountry> {
        let place = CODES.binary_search(&text).map_err(|_| NoCountry)?;
        CODES.get(place).map(|code| Self(code)).ok_or(NoCountry)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_as_it_is_written() {
        assert!(CODES.is_sorted_by(|one, next| one < next));
        for code in CODES {
            assert_eq!(code.parse::<Country>().map(Country::code), Ok(code));
        }
        assert_eq!(Country::default().to_string().parse(), Ok(Country::default()));
    }

    #[test]
    fn reserved_codes_and_other_text_are_no_countries() {
        for text in
            ["", "K", "kr", "Kr", "KOR", "410", "UK", "EU", "XK", "AN", "ZZ", " KR", "K\u{555}"]
        {
            assert_eq!(text.parse::<Country>(), Err(NoCountry), "{text:?}");
        }
    }
}
