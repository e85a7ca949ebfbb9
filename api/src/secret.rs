//! One-time secrets: six digits that are typed, and 256 bits that travel in a link or a body.
//!
//! The state holds neither: of a code a MAC, because a million codes are soon tried through, and of
//! a long secret its SHA-256.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use rand::TryRngCore as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::keys::{KeyError, Mac, feed, random_key};

const CODES: u32 = 1_000_000;
const CODE_CHARS: usize = 6;

/// Six digits.
pub(crate) struct OneTimeCode(Zeroizing<String>);

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl OneTimeCode {
    /// Draws a code: each of the million is as likely as any other.
    pub(crate) fn draw() -> Result<Self, KeyError> {
        loop {
            let drawn = rand::rngs::OsRng.try_next_u32().map_err(|_| KeyError::Random)?;
            if let Some(code) = code_of(drawn) {
                return Ok(Self(Zeroizing::new(format!("{code:06}"))));
            }
        }
    }

    /// A code as it was typed: six digits, with white space around them at most.
    pub(crate) fn parse(typed: &str) -> Option<Self> {
        let typed = typed.trim();
        let is_code = typed.len() == CODE_CHARS && typed.bytes().all(|byte| byte.is_ascii_digit());
        is_code.then(|| Self(Zeroizing::new(typed.to_owned())))
    }

    /// The digits, for the mail.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What the state holds: it differs by address and purpose, so that a code counts for nothing
    /// else than what it was sent for.
    pub(crate) fn mac(&self, mut mac: Mac, email_index: &[u8; 32], purpose: &str) -> [u8; 32] {
        for part in [email_index, purpose.as_bytes(), self.0.as_bytes()] {
            feed(&mut mac, part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// The code of 32 random bits; `None` for the few at the top that would favour low codes.
fn code_of(drawn: u32) -> Option<u32> {
    (drawn < u32::MAX - u32::MAX % CODES).then_some(drawn % CODES)
}

/// 256 random bits as base64url.
pub(crate) fn draw_secret() -> Result<Zeroizing<String>, KeyError> {
    let bytes = Zeroizing::new(random_key()?);
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)))
}

/// What the state holds of a secret of [`draw_secret`], in its text form.
pub(crate) fn hash_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::keys::mac;

    /// The reference service drew codes from a tenth of the range.
    #[test]
    fn ref_code_uses_full_range() {
        const DRAWS: u32 = 100_000;
        let mut at_place = [[0_u32; 10]; CODE_CHARS];
        for _ in 0..DRAWS {
            let code = OneTimeCode::draw().unwrap();
            assert_eq!(code.as_str().len(), CODE_CHARS);
            for (place, digit) in code.as_str().chars().enumerate() {
                at_place[place][usize::try_from(digit.to_digit(10).unwrap()).unwrap()] += 1;
            }
        }
        // 10000 of each are due, with a standard deviation of 95: ten of those by chance is never.
        for (place, digits) in at_place.iter().enumerate() {
            for (digit, count) in digits.iter().enumerate() {
                assert!(count.abs_diff(DRAWS / 10) < 950, "{count} times {digit} at {place}");
            }
        }
    }

    #[test]
    fn every_code_has_as_many_numbers() {
        // 4294 whole rounds of the million; what is left of the 32 bits is drawn again.
        assert_eq!(code_of(0), Some(0));
        assert_eq!(code_of(999_999), Some(999_999));
        assert_eq!(code_of(4_293_999_999), Some(999_999));
        for left_over in [4_294_000_000, u32::MAX] {
            assert_eq!(code_of(left_over), None);
        }
    }

    #[test]
    fn six_digits_are_a_code_and_nothing_else_is() {
        for (typed, code) in [("000000", "000000"), (" 123456\n", "123456")] {
            assert_eq!(OneTimeCode::parse(typed).unwrap().as_str(), code);
        }
        for typed in
            ["", "12345", "1234567", "12 3456", "-12345", "12345a", "\u{ff11}23456", "123\u{663}4"]
        {
            assert!(OneTimeCode::parse(typed).is_none(), "{typed:?}");
        }
        assert_eq!(format!("{:?}", OneTimeCode::draw().unwrap()), "[redacted]");
    }

    #[test]
    fn the_mac_of_a_code_differs_by_key_address_purpose_and_code() {
        let of = |key: u8, index: u8, purpose: &str, code: &str| {
            OneTimeCode::parse(code).unwrap().mac(mac(&[key; 32]), &[index; 32], purpose)
        };
        let all = [
            of(1, 1, "sign_up", "000000"),
            of(2, 1, "sign_up", "000000"),
            of(1, 2, "sign_up", "000000"),
            of(1, 1, "reset", "000000"),
            of(1, 1, "sign_up", "000001"),
        ];
        assert_eq!(BTreeSet::from(all).len(), all.len());
        assert_eq!(of(1, 1, "sign_up", "000000"), all[0]);
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let drawn: Vec<_> = (0..100).map(|_| draw_secret().unwrap()).collect();
        let hashes: BTreeSet<_> = drawn.iter().map(|secret| hash_of(secret)).collect();
        assert_eq!(hashes.len(), drawn.len());
        for secret in drawn {
            assert_eq!(URL_SAFE_NO_PAD.decode(secret.as_bytes()).unwrap().len(), 32);
        }
    }
}
