//! Passwords: what may be one, and hashing them.
//!
//! A password is taken exactly as it was received: 8 to 128 characters of any kind, without rules
//! about their mix. What is refused is what attackers try first: the passwords that leaked most
//! often (`password/common.txt`), the name of the shop, and the part of the address before the `@`.

pub(crate) mod pool;

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::fields::Fields;

const CHARS_MIN: usize = 8;
const CHARS_MAX: usize = 128;

/// Sorted by byte, in lower case, one per line. `password/NOTICE` names its source.
const COMMON: &str = include_str!("password/common.txt");

/// A password as it was received. It is never printed, has no `Serialize`, and is overwritten when
/// it is dropped.
#[derive(ToSchema)]
#[schema(value_type = String, format = Password)]
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// Takes a text for a password, whatever it is.
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Whether it may become someone's password; otherwise records the field in `fields`.
    /// `context` are words that someone would guess: what is before the `@` of the address, the
    /// name of the shop.
    pub(crate) fn check(&self, at: &str, context: &[&str], fields: &mut Fields) {
        let chars = self.0.chars().count();
        if chars < CHARS_MIN {
            fields.wrong(at, "too_short", "must have at least 8 characters");
        } else if chars > CHARS_MAX {
            fields.wrong(at, "too_long", "must have at most 128 characters");
        } else if self.is_common(context) {
            fields.wrong(at, "too_common", "is among the first that an attacker tries");
        }
    }

    fn is_common(&self, context: &[&str]) -> bool {
        let lower = Zeroizing::new(self.0.to_lowercase());
        is_listed(COMMON, &lower) || context.iter().any(|word| word.to_lowercase() == *lower)
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Searches sorted lines, each with a line feed at its end, by halves of the text: an index of the
/// lines would take more memory than they do.
fn is_listed(lines: &str, wanted: &str) -> bool {
    let mut left = lines;
    while !left.is_empty() {
        // Whole lines, as the middle may be inside of one.
        let middle = left.floor_char_boundary(left.len() / 2);
        let (before, _) = left.split_at(middle);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let (smaller, rest) = left.split_at(start);
        let Some((line, larger)) = rest.split_once('\n') else { return rest == wanted };
        match wanted.cmp(line) {
            Ordering::Equal => return true,
            Ordering::Less => left = smaller,
            Ordering::Greater => left = larger,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str, context: &[&str]) -> Option<String> {
        let mut fields = Fields::default();
        Password::new(text.to_owned()).check("/password", context, &mut fields);
        let problem = fields.finish().err()?;
        let document: serde_json::Value =
            serde_json::from_slice(&problem.to_json("/", "r", false)).unwrap();
        assert_eq!(document["errors"][0]["pointer"], "/password");
        Some(document["errors"][0]["code"].as_str().unwrap().to_owned())
    }

    fn code(text: &str) -> Option<String> {
        refusal(text, &[])
    }

    #[test]
    fn eight_to_128_characters_of_any_kind_are_a_password() {
        let short = Some("too_short".to_owned());
        let long = Some("too_long".to_owned());
        for (one, least) in [
            ("q", "vXq9-kfz"),
            ("\u{d55c}", "\u{d55c}\u{ae00}\u{be44}\u{bc00}\u{bc88}\u{d638}\u{c5ec}\u{b35f}"),
        ] {
            assert_eq!(code(least), None);
            assert_eq!(code(&least.chars().take(7).collect::<String>()), short);
            assert_eq!(code(&one.repeat(128)), None);
            assert_eq!(code(&one.repeat(129)), long);
        }
        assert_eq!(code(""), short);
        assert_eq!(code(&"x".repeat(60_000)), long);
        // Taken as received: white space, control characters and both forms of a letter count.
        for text in
            ["        ", "\n\t\0\u{7f}\u{85}abc", "  vXq9- ", "e\u{301}e\u{301}e\u{301}e\u{301}"]
        {
            assert_eq!(code(text), None, "{text:?}");
        }
        assert_eq!(code("\u{e9}\u{e9}\u{e9}\u{e9}"), short);
    }

    #[test]
    fn what_leaked_is_too_common_in_any_case() {
        let common = Some("too_common".to_owned());
        for text in ["password", "PassWord", "12345678", "iloveyou", "qwertyuiop", "!qaz2wsx"] {
            assert_eq!(code(text), common, "{text}");
        }
        for text in [
            "password ",
            " password",
            "passwordpasswor",
            "vXq9-kfz",
            "password\n",
            "12345678\nabc12345",
        ] {
            assert_eq!(code(text), None, "{text:?}");
        }
    }

    #[test]
    fn words_around_the_field_are_too_common_as_a_whole() {
        let context = ["hong.gildong", "Seoul Lamps"];
        for text in ["hong.gildong", "Hong.Gildong", "seoul lamps"] {
            assert_eq!(refusal(text, &context).as_deref(), Some("too_common"), "{text}");
        }
        assert_eq!(refusal("hong.gildong1", &context), None);
        assert_eq!(refusal("my seoul lamps", &context), None);
    }

    #[test]
    fn list_is_sorted_long_and_found_from_end_to_end() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!(lines.len() >= 10_000, "{} passwords", lines.len());
        assert!(COMMON.ends_with('\n'));
        assert!(lines.windows(2).all(|two| two[0] < two[1]));
        for line in lines {
            assert!(line.len() >= CHARS_MIN && line.to_lowercase() == line, "{line}");
            assert!(is_listed(COMMON, line), "{line}");
            for other in [&line[1..], &format!("{line}~~"), &format!("\0{line}")] {
                assert!(!is_listed(COMMON, other) || COMMON.contains(&format!("\n{other}\n")));
            }
        }
        for other in ["", "\n", "\0", "~~~~~~~~~~", "\u{ffff}"] {
            assert!(!is_listed(COMMON, other), "{other:?}");
            assert!(!is_listed("", other));
        }
    }

    #[test]
    fn a_password_is_read_and_never_shown() {
        let read: Password = serde_json::from_str("\" s3cret\\u0000 \"").unwrap();
        assert_eq!(read.as_bytes(), b" s3cret\0 ");
        assert_eq!(format!("{read:?}"), "[redacted]");
        assert!(serde_json::from_str::<Password>("12345678").is_err());
    }
}
