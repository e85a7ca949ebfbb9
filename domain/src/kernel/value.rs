//! The small values that rows and commands are made of: time, money, quantities, text.
//!
//! Limits live here once. The edge checks them to answer early and with a pointer; `decide`
//! checks them again, because it trusts no sender.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::seeded::values as seeded;

/// Milliseconds since 1970 UTC, in log time.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Millis(i64);

impl Millis {
    /// The last instant whose year still has four digits: 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Wraps milliseconds since 1970 UTC.
    pub const fn new(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970 UTC.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The instant `span_ms` later; saturates at [`Millis::MAX`].
    #[must_use]
    pub fn plus(self, span_ms: i64) -> Self {
        Self(self.0.saturating_add(span_ms)).min(Self::MAX)
    }

    /// Log time after the last one, when the leader stamped this: it never goes back.
    #[must_use]
    pub fn log_time(self, stamped: Self) -> Self {
        if seeded::time_goes_back() { stamped } else { self.max(stamped) }
    }

    /// Whether rows and commands may carry this instant: from 1970 to [`Millis::MAX`].
    pub const fn is_valid(self) -> bool {
        self.0 >= 0 && self.0 <= Self::MAX.0
    }
}

/// The log index of the entry that decided something: unique and increasing, with gaps.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Revision(u64);

impl Revision {
    /// Wraps a log index.
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// The log index.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When something was decided: the place in the log and the log time. The same two numbers are
/// the *ticket* of whatever the entry decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// Log index of the entry.
    pub revision: Revision,
    /// Log time of the entry; never goes back along the log.
    pub now: Millis,
}

/// What every row carries: how often it was written, and when first and last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RowStamp {
    /// Starts at 1, plus 1 for each write.
    pub version: u64,
    /// The log entry that created the row.
    pub created: Stamp,
    /// The log entry that last wrote the row.
    pub updated: Stamp,
}

impl RowStamp {
    /// The stamp of a row that is being created.
    pub const fn first(stamp: Stamp) -> Self {
        Self { version: 1, created: stamp, updated: stamp }
    }

    /// The stamp of the same row after one more write.
    #[must_use]
    pub const fn next(self, stamp: Stamp) -> Self {
        Self { version: self.version.saturating_add(1), created: self.created, updated: stamp }
    }
}

/// Three capital letters of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Reads three capital letters; `None` for anything else.
    pub fn new(code: &str) -> Option<Self> {
        let letters: [u8; 3] = code.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// Whether the three bytes are capital letters; a decoded row or command may hold others.
    pub fn is_valid(self) -> bool {
        self.0.iter().all(u8::is_ascii_uppercase)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount in whole minor units of one currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Money {
    /// Whole minor units.
    pub amount: i64,
    /// The currency they are units of.
    pub currency: Currency,
}

impl Money {
    /// The largest unit price: 10^12 minor units.
    pub const UNIT_PRICE_MAX: i64 = 1_000_000_000_000;

    /// Whether this may be the price of one unit: 1 to [`Money::UNIT_PRICE_MAX`].
    pub fn is_unit_price(self) -> bool {
        (1..=Self::UNIT_PRICE_MAX).contains(&self.amount) && self.currency.is_valid()
    }
}

/// Units of one order line: at most.
pub const LINE_QUANTITY_MAX: u32 = 100;
/// Units of one stock command: at most.
pub const STOCK_QUANTITY_MAX: u64 = 1_000_000_000;
/// Lines of one order: at most.
pub const LINES_MAX: usize = 20;
/// Items of one wishlist: at most.
pub const WISHLIST_ITEMS_MAX: usize = 100;
/// Saved addresses of one customer: at most.
pub const ADDRESSES_MAX: usize = 20;
/// Product names.
pub const NAME_CHARS_MAX: usize = 100;
/// Product descriptions.
pub const DESCRIPTION_CHARS_MAX: usize = 5000;
/// Image addresses.
pub const IMAGE_URL_CHARS_MAX: usize = 500;
/// Sale titles.
pub const TITLE_CHARS_MAX: usize = 100;
/// Notes in the ledger.
pub const NOTE_CHARS_MAX: usize = 200;
/// Tracking numbers.
pub const TRACKING_CHARS_MAX: usize = 64;
/// Sealed values, in bytes.
pub const SEALED_BYTES_MAX: usize = 2048;

/// Trims and brings to NFC, then accepts what [`is_text`] accepts; `None` otherwise.
///
/// For the node that takes a request, before proposing. What white space and NFC are depends on the
/// version of Unicode that a release was built with, so no rule may ask: two releases in one cluster
/// could decide differently.
#[expect(clippy::disallowed_methods, reason = "asked before proposing, never by a rule")]
pub fn clean_text(text: &str, chars_max: usize, multiline: bool) -> Option<String> {
    let clean: String = text.trim().nfc().collect();
    is_text(&clean, chars_max, multiline).then_some(clean)
}

/// Whether a text has 1 to `chars_max` Unicode scalar values, no control characters and no spaces
/// around it. `multiline` also allows line feeds and tabs. The same in every version of Unicode.
pub fn is_text(text: &str, chars_max: usize, multiline: bool) -> bool {
    let allowed = |c: char| !c.is_control() || (multiline && (c == '\n' || c == '\t'));
    !text.is_empty()
        && text.len() <= chars_max.saturating_mul(4)
        && text.chars().count() <= chars_max
        && text.chars().all(allowed)
        && text.trim_ascii() == text
}

/// A keyed hash of an e-mail address, made before proposing: equal for equal addresses, and
/// useless without the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct EmailIndex(pub [u8; 32]);

impl EmailIndex {
    /// The first half, which indexes keep; the whole is compared with the row.
    pub fn head(self) -> u128 {
        let head = self.0.first_chunk::<16>().copied().unwrap_or_default();
        u128::from_be_bytes(head)
    }
}

/// Whether two hashes are equal. Takes equally long wherever they differ.
pub fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// The language that a user reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Language {
    /// `en`
    #[serde(rename = "en")]
    English,
    /// `ko`
    #[serde(rename = "ko")]
    Korean,
}

/// Authenticated ciphertext, made before proposing; `decide` only copies it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed(pub Vec<u8>);

impl Sealed {
    /// The version of the master key that it names: behind two bytes, for the kind of key and the
    /// cipher. `None` if another key opens it.
    pub fn master_version(&self) -> Option<u32> {
        let (kind, rest) = self.0.split_first_chunk()?;
        let (version, _) = rest.split_first_chunk()?;
        (*kind == [1, 1]).then(|| u32::from_be_bytes(*version))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_trimmed_normalised_and_bounded() {
        assert_eq!(clean_text("\u{3000} a \u{a0}", 10, false).as_deref(), Some("a"));
        assert_eq!(clean_text("  caf\u{65}\u{301} ", 10, false).as_deref(), Some("caf\u{e9}"));
        assert_eq!(clean_text("   ", 10, false), None);
        assert_eq!(clean_text("a\u{0}b", 10, false), None);
        assert_eq!(clean_text("a\nb", 10, false), None);
        assert_eq!(clean_text("a\nb", 10, true).as_deref(), Some("a\nb"));
        assert_eq!(clean_text(&"x".repeat(11), 10, false), None);
    }

    #[test]
    fn what_depends_on_the_version_of_unicode_is_no_rule() {
        for text in ["e\u{301}", "\u{3000}a", "a\u{a0}"] {
            assert!(is_text(text, 2, false), "{text:?}");
            assert_ne!(clean_text(text, 2, false).as_deref(), Some(text));
        }
        assert!(!is_text(" a", 2, false));
        assert!(!is_text("a ", 2, false));
    }

    #[test]
    fn ref45_fifty_korean_letters_fit() {
        let name = "\u{d55c}".repeat(50);
        assert_eq!(clean_text(&name, 50, false), Some(name));
    }

    #[test]
    fn currencies_are_three_capitals() {
        assert!(Currency::new("KRW").is_some());
        for bad in ["krw", "KR", "KRWX", "K1W", ""] {
            assert!(Currency::new(bad).is_none(), "{bad}");
        }
    }
}
