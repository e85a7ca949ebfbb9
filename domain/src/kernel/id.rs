//! Identifiers: a prefix that names the kind, and a `UUIDv7` in 26 characters of Crockford base32.
//!
//! The node that takes a request makes the ids inside the command, so a retry through another
//! node proposes other ids and the receipt, not the id, recognises it. Ids are never secrets.
//! Rows that are born inside `decide` have no proposer: [`derived`] builds their `UUIDv7` from the
//! stamp. Source: RFC 9562 section 5.7; the alphabet is Crockford's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::value::Stamp;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Length of an id without its prefix: 128 bits in groups of five.
const ENCODED_CHARS: usize = 26;

/// Text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {prefix}... id")]
pub struct InvalidId {
    /// The prefix that was wanted, with its underscore.
    pub prefix: &'static str,
}

fn encode(bits: u128, out: &mut impl fmt::Write) -> fmt::Result {
    for group in (0..26u32).rev() {
        let low = bits.checked_shr(group.saturating_mul(5)).unwrap_or(0);
        let index = usize::try_from(low & 31).unwrap_or(0);
        out.write_char(char::from(ALPHABET.get(index).copied().unwrap_or(b'0')))?;
    }
    Ok(())
}

fn decode(text: &str) -> Option<u128> {
    if text.len() != ENCODED_CHARS {
        return None;
    }
    let mut bits: u128 = 0;
    for (place, byte) in text.bytes().enumerate() {
        let value = ALPHABET.iter().position(|letter| *letter == byte)?;
        if place == 0 && value > 7 {
            return None; // 26 groups are 130 bits; the top two must be zero.
        }
        bits = (bits << 5) | u128::try_from(value).ok()?;
    }
    Some(bits)
}

/// Builds the `UUIDv7` of a row that a decision itself creates: 48 bits of log time, 12 bits of
/// `counter` (one sequence per prefix and decision), 62 bits of revision.
pub fn derived(stamp: Stamp, counter: u16) -> u128 {
    let time = u128::from(stamp.now.get().unsigned_abs()) & ((1 << 48) - 1);
    let counter = u128::from(counter & 0x0fff);
    let revision = u128::from(stamp.revision.get()) & ((1 << 62) - 1);
    (time << 80) | (7 << 76) | (counter << 64) | (2 << 62) | revision
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(u128);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps the 128 bits of a `UUIDv7`.
            pub const fn new(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits, in whose order ids sort by the time they were made.
            pub const fn get(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                encode(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .and_then(decode)
                    .map(Self)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }
    )*};
}

ids! {
    /// Who calls: a customer or a member of staff.
    UserId = "usr_";
    /// A product.
    ProductId = "prd_";
    /// A sale.
    SaleId = "sal_";
    /// A saved address.
    AddressId = "adr_";
    /// A login.
    SessionId = "ses_";
    /// Work with the outside world that is still to be done.
    EffectId = "eff_";
    /// An order.
    OrderId = "ord_";
    /// The one payment of an order. Its bits are the order's, so neither needs an index.
    PaymentId = "pay_";
    /// An event; derived from its stamp and offset.
    EventId = "evt_";
}

impl OrderId {
    /// The order's one payment.
    pub const fn payment(self) -> PaymentId {
        PaymentId(self.0)
    }
}

impl PaymentId {
    /// The order this payment belongs to.
    pub const fn order(self) -> OrderId {
        OrderId(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::value::{Millis, Revision};

    #[test]
    fn ids_survive_text() {
        for bits in [0, 1, u128::MAX, 0x0192_f0c1_2345_7abc_8def_0123_4567_89ab] {
            let id = OrderId::new(bits);
            let text = id.to_string();
            assert_eq!(text.len(), 30);
            assert_eq!(text.parse::<OrderId>(), Ok(id));
        }
    }

    #[test]
    fn other_prefixes_lengths_and_letters_are_refused() {
        let id = OrderId::new(77).to_string();
        assert!(id.replace("ord_", "sal_").parse::<OrderId>().is_err());
        assert!(id[..29].parse::<OrderId>().is_err());
        assert!(id.replace('0', "U").parse::<OrderId>().is_err());
        assert!("ord_8ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<OrderId>().is_err());
        assert!("".parse::<OrderId>().is_err());
    }

    #[test]
    fn derived_ids_are_version_7_and_sort_by_time() {
        let at = |now, revision, counter| {
            derived(Stamp { revision: Revision::new(revision), now: Millis::new(now) }, counter)
        };
        // Time, version 7, counter, variant 2, revision; what does not fit is cut off.
        let (now, revision, counter) = (0x7001_0234_5678_9abc, 0xf333_4444_5555_6666, 0xfdef);
        assert_eq!(at(now, revision, counter), 0x0234_5678_9abc_7def_b333_4444_5555_6666);
        assert!(at(5, 9, 4095) < at(6, 1, 0));
        assert_ne!(at(5, 9, 0), at(5, 9, 1));
        assert_ne!(at(5, 9, 0), at(5, 10, 0));
    }
}
