//! E-mail addresses, in the one spelling that mail is sent to and that accounts are found by.
//!
//! What a client typed is trimmed, brought to NFKC and lower case, and the domain to ASCII, so
//! that one mailbox has one account however it was typed. An address is personal data: it is never
//! printed, and has no `Serialize`.

use std::fmt;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::fields::Fields;

const BYTES_MIN: usize = 3;
const BYTES_MAX: usize = 254;
const LOCAL_BYTES_MAX: usize = 64;

/// A normalised address.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EmailAddress(Zeroizing<String>);

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl EmailAddress {
    /// An address that was normalised before it was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Reads what a client typed, or records an invalid field in `fields`.
    pub(crate) fn read(typed: &str, at: &str, fields: &mut Fields) -> Option<Self> {
        match Self::parse(typed) {
            Ok(address) => Some(address),
            Err((code, detail)) => {
                fields.wrong(at, code, detail);
                None
            }
        }
    }

    /// Normalises and checks an address. The error is a code and a sentence.
    fn parse(typed: &str) -> Result<Self, (&'static str, &'static str)> {
        const INVALID: (&str, &str) =
            ("invalid", "must be an e-mail address, like ann@example.com");
        const TOO_LONG: (&str, &str) =
            ("too_long", "must have at most 254 bytes, of which 64 before the @");
        let typed = typed.trim();
        if typed.is_empty() {
            return Err(("required", "must not be empty"));
        }
        // A character of four bytes can stand for one letter; whatever is longer stays too long.
        if typed.len() > 4 * BYTES_MAX {
            return Err(TOO_LONG);
        }
        let plain = normalise(typed);
        let (local, domain) = plain.split_once('@').ok_or(INVALID)?;
        if local.is_empty() || domain.contains('@') || !local.chars().all(is_allowed) {
            return Err(INVALID);
        }
        let domain = Uts46::new()
            .to_ascii(
                domain.as_bytes(),
                AsciiDenyList::STD3,
                Hyphens::CheckFirstLast,
                DnsLength::Verify,
            )
            .map_err(|_| INVALID)?;
        let address = Zeroizing::new(format!("{local}@{domain}"));
        if local.len() > LOCAL_BYTES_MAX || address.len() > BYTES_MAX {
            return Err(TOO_LONG);
        }
        debug_assert!(address.len() >= BYTES_MIN, "neither side is empty");
        Ok(Self(address))
    }

    /// The address that mail is sent to, and that the blind index is made of.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the `@`.
    pub(crate) fn local(&self) -> &str {
        self.0.split_once('@').map_or("", |(local, _)| local)
    }

    /// As staff see it: `h***@e***.com`.
    pub(crate) fn mask(&self) -> String {
        let (local, domain) = self.0.split_once('@').unwrap_or_default();
        let first = |part: &str| part.chars().next().map(String::from).unwrap_or_default();
        let suffix = domain.rfind('.').and_then(|dot| domain.get(dot..)).unwrap_or_default();
        format!("{}***@{}***{suffix}", first(local), first(domain))
    }
}

/// NFKC and lower case. Once more NFKC, because lower case can compose where upper case cannot:
/// there is a letter for j with a caron, and none for J.
fn normalise(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.nfkc().flat_map(char::to_lowercase).nfkc().collect())
}

/// Whether a character may stand before the `@`: neither white space nor invisible, nor one that
/// means something else in the header of a mail.
fn is_allowed(c: char) -> bool {
    let is_invisible = matches!(
        c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    );
    !c.is_whitespace() && !c.is_control() && !is_invisible && !"()<>[]:;,\\\"".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(typed: &str) -> String {
        EmailAddress::parse(typed).unwrap().as_str().to_owned()
    }

    fn refused(typed: &str) -> &'static str {
        let mut fields = Fields::default();
        assert_eq!(EmailAddress::read(typed, "/email", &mut fields), None);
        assert!(fields.finish().is_err());
        EmailAddress::parse(typed).unwrap_err().0
    }

    #[test]
    fn every_spelling_of_an_address_becomes_one() {
        for (typed, address) in [
            ("ann@example.com", "ann@example.com"),
            (" Ann.Lee+Sale@EXAMPLE.Com\t\r\n", "ann.lee+sale@example.com"),
            ("\u{3000}ann@example.com\u{a0}", "ann@example.com"),
            ("\u{ff21}\u{ff4e}\u{ff4e}\u{ff20}\u{ff25}xample\u{ff0e}com", "ann@example.com"),
            ("ann@ex\u{ad}ample.com", "ann@example.com"),
            ("kim@\u{d55c}\u{ae00}.kr", "kim@xn--bj0bj06e.kr"),
            ("kim@\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}.KR", "kim@xn--bj0bj06e.kr"),
            ("KIM@XN--BJ0BJ06E.KR", "kim@xn--bj0bj06e.kr"),
            ("ann@example\u{3002}com", "ann@example.com"),
            ("J\u{30c}@example.com", "\u{1f0}@example.com"),
            ("\u{1c4}@example.com", "d\u{17e}@example.com"),
            ("a@b", "a@b"),
            ("ann@r3---sn.example", "ann@r3---sn.example"),
        ] {
            assert_eq!(parsed(typed), address, "{typed:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for empty in ["", " ", "\t\n"] {
            assert_eq!(refused(empty), "required");
        }
        for typed in [
            "ann",
            "@",
            "@example.com",
            "ann@",
            "a@b@c",
            "a\u{ff20}b@c",
            "@@",
            "a@@b",
            "an n@example.com",
            "ann@exa mple.com",
            "ann@ example.com",
            "ann @example.com",
            "an\u{a8}n@example.com",
            "ann\u{0}@example.com",
            "ann\r\nBcc: eve@example.com",
            "ann@example.com\0",
            "ann\u{7f}@example.com",
            "ann\u{85}x@example.com",
            "an\u{200b}n@example.com",
            "\u{202e}ann@example.com",
            "ann\u{feff}@example.com",
            "ann,bob@example.com",
            "<ann@example.com>",
            "\"ann\"@example.com",
            "ann@[10.0.0.1]",
            "ann@.example.com",
            "ann@example.com.",
            "ann@example..com",
            "ann@.",
            "ann@-x.com",
            "ann@x-.com",
            "ann@exa_mple.com",
            "ann@exa/mple.com",
            "ann@example.com:25",
            "ann@xn--a.kr",
            "ann@xn--\u{d55c}.kr",
            "ann@xn--zzzzzzzzz.kr",
            "ann@\u{378}.kr",
        ] {
            assert_eq!(refused(typed), "invalid", "{typed:?}");
        }
    }

    #[test]
    fn lengths_are_those_of_the_normalised_form() {
        let local = "l".repeat(LOCAL_BYTES_MAX);
        assert_eq!(parsed(&format!("{local}@b.c")), format!("{local}@b.c"));
        assert_eq!(refused(&format!("{local}l@b.c")), "too_long");
        let hangul = "\u{ac00}".repeat(LOCAL_BYTES_MAX / 3);
        assert!(EmailAddress::parse(&format!("{hangul}l@b.c")).is_ok());
        assert_eq!(refused(&format!("{hangul}\u{ac00}@b.c")), "too_long");

        let label = "d".repeat(63);
        assert!(EmailAddress::parse(&format!("a@{label}.com")).is_ok());
        assert_eq!(refused(&format!("a@{label}d.com")), "invalid");
        let domain = |last: usize| format!("{label}.{label}.{}", "d".repeat(last));
        let longest = format!("{local}@{}", domain(61));
        assert_eq!((longest.len(), parsed(&longest).len()), (254, 254));
        assert_eq!(refused(&format!("{local}@{}", domain(62))), "too_long");
        assert_eq!(refused(&"x".repeat(100_000)), "too_long");

        let wide: String = longest
            .chars()
            .map(|c| match c {
                'a'..='z' => char::from_u32(u32::from(c) - u32::from('a') + 0x1d41a).unwrap(),
                other => other,
            })
            .collect();
        assert_eq!(parsed(&wide), longest, "bold letters have four bytes each");
    }

    #[test]
    fn staff_see_a_mask_and_logs_see_nothing() {
        for (typed, mask) in [
            ("hong@example.com", "h***@e***.com"),
            ("a@b", "a***@b***"),
            ("\u{ac00}@mail.example.co.kr", "\u{ac00}***@m***.kr"),
        ] {
            let address = EmailAddress::parse(typed).unwrap();
            assert_eq!(address.mask(), mask);
            assert_eq!(format!("{address:?}"), "[redacted]");
        }
        assert_eq!(EmailAddress::parse("Ann@b.c").unwrap().local(), "ann");
    }

    proptest! {
        #[test]
        fn a_normalised_address_is_its_own_normal_form(
            typed in "\\PC{1,12}[@\u{ff20}][a-zA-Z0-9.\u{ac00}-\u{ac10}\u{c0}-\u{ff}-]{1,12}"
        ) {
            if let Ok(address) = EmailAddress::parse(&typed) {
                let again = EmailAddress::parse(address.as_str()).unwrap();
                prop_assert_eq!(again.as_str(), address.as_str());
            }
        }
    }
}
