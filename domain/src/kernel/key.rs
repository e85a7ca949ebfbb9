//! Keys: fixed-width and big-endian, so that the order of the bytes is the order of the values.
//!
//! A key type says its width at compile time, so a key that does not fit cannot be declared, and
//! nobody counts offsets by hand: [`KeyPart::take`] reads back what [`KeyPart::put`] wrote.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::id::{AddressId, EffectId, OrderId, ProductId, SaleId, SessionId, UserId};
use super::value::{Millis, Revision};

/// The widest key there may be. The widest today is a word of a product's name (22 bytes), its
/// ticket (8) and its id (16).
pub const KEY_BYTES_MAX: usize = 47;

/// A key, or the beginning of one, without an allocation.
#[derive(Clone, Copy)]
pub struct Key {
    len: u8,
    bytes: [u8; KEY_BYTES_MAX],
}

impl Key {
    /// The empty key: before all others, and the beginning of all.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; KEY_BYTES_MAX] };

    /// Encodes a key, or the first parts of one.
    pub fn of<K: KeyPart>(parts: &K) -> Self {
        const { assert!(K::WIDTH <= KEY_BYTES_MAX, "this key is wider than KEY_BYTES_MAX") };
        let mut key = Self::EMPTY;
        parts.put(&mut key);
        key
    }

    /// A key read back from storage; `None` if it is wider than any key.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Self::EMPTY;
        key.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        key.len = u8::try_from(bytes.len()).ok()?;
        Some(key)
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Decodes a whole key; `None` if bytes are missing, left over, or mean nothing.
    pub fn decode<K: KeyPart>(&self) -> Option<K> {
        let mut rest = self.as_slice();
        let key = K::take(&mut rest)?;
        rest.is_empty().then_some(key)
    }

    /// The first key after all that begin with this one; `None` if there is none.
    pub fn successor(mut self) -> Option<Self> {
        while let Some(last) = usize::from(self.len).checked_sub(1) {
            let byte = self.bytes.get_mut(last)?;
            if let Some(next) = byte.checked_add(1) {
                *byte = next;
                return Some(self);
            }
            *byte = 0;
            self.len = u8::try_from(last).ok()?;
        }
        None
    }

    fn push(&mut self, part: &[u8]) {
        let start = usize::from(self.len);
        let end = start.saturating_add(part.len());
        let room = self.bytes.get_mut(start..end).expect("Key::of checked the width");
        room.copy_from_slice(part);
        self.len = u8::try_from(end).expect("a key is at most KEY_BYTES_MAX wide");
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One part of a key, or a whole one: tuples are keys of their parts in order.
pub trait KeyPart: Sized {
    /// How many bytes it takes, always.
    const WIDTH: usize;
    /// Appends the bytes.
    fn put(&self, key: &mut Key);
    /// Takes the part off the front.
    fn take(bytes: &mut &[u8]) -> Option<Self>;
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (part, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*part)
}

impl KeyPart for () {
    const WIDTH: usize = 0;
    fn put(&self, _: &mut Key) {}
    fn take(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

impl KeyPart for bool {
    const WIDTH: usize = 1;
    fn put(&self, key: &mut Key) {
        key.push(&[u8::from(*self)]);
    }
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        match take::<1>(bytes)? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl KeyPart for $number {
            const WIDTH: usize = size_of::<$number>();
            fn put(&self, key: &mut Key) {
                key.push(&self.to_be_bytes());
            }
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                take(bytes).map(<$number>::from_be_bytes)
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, u128);

macro_rules! ids {
    ($($id:ty),*) => {$(
        impl KeyPart for $id {
            const WIDTH: usize = 16;
            fn put(&self, key: &mut Key) {
                self.get().put(key);
            }
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                u128::take(bytes).map(Self::new)
            }
        }
    )*};
}

ids!(AddressId, EffectId, OrderId, ProductId, SaleId, SessionId, UserId);

impl KeyPart for Revision {
    const WIDTH: usize = 8;
    fn put(&self, key: &mut Key) {
        self.get().put(key);
    }
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        u64::take(bytes).map(Self::new)
    }
}

/// Instants before 1970 sort before those after: the sign bit is flipped.
impl KeyPart for Millis {
    const WIDTH: usize = 8;
    fn put(&self, key: &mut Key) {
        key.push(&(self.get() ^ i64::MIN).to_be_bytes());
    }
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes).map(|bytes| Self::new(i64::from_be_bytes(bytes) ^ i64::MIN))
    }
}

impl<const N: usize> KeyPart for [u8; N] {
    const WIDTH: usize = N;
    fn put(&self, key: &mut Key) {
        key.push(self);
    }
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes)
    }
}

macro_rules! tuples {
    ($(($($part:ident),+);)*) => {$(
        impl<$($part: KeyPart),+> KeyPart for ($($part,)+) {
            const WIDTH: usize = 0 $(+ $part::WIDTH)+;
            #[expect(non_snake_case, reason = "each value is named after its type")]
            fn put(&self, key: &mut Key) {
                let ($($part,)+) = self;
                $($part.put(key);)+
            }
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Some(($($part::take(bytes)?,)+))
            }
        }
    )*};
}

tuples! {
    (A, B);
    (A, B, C);
    (A, B, C, D);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_value_order() {
        let at = |ms| Key::of(&Millis::new(ms));
        assert!(at(i64::MIN) < at(-1) && at(-1) < at(0) && at(0) < at(1) && at(1) < at(i64::MAX));
        let pair = |user, revision| Key::of(&(UserId::new(user), Revision::new(revision)));
        assert!(pair(1, u64::MAX) < pair(2, 0) && pair(2, 0) < pair(2, 256));
        assert!(Key::of(&false) < Key::of(&true));
    }

    #[test]
    fn parts_are_read_back_whole_or_not_at_all() {
        let parts = (7u8, Millis::new(-5), OrderId::new(9), true);
        let key = Key::of(&parts);
        assert_eq!(key.decode(), Some(parts));
        assert_eq!(Key::of(&false).decode(), Some(false));
        assert_eq!(Key::of(&[1u8, 2, 3]).decode(), Some([1u8, 2, 3]));
        assert_eq!(key.decode::<(u8, Millis, OrderId)>(), None, "a byte is left over");
        assert_eq!(Key::of(&7u8).decode::<(u8, u8)>(), None, "a byte is missing");
        assert_eq!(Key::of(&2u8).decode::<bool>(), None, "2 is no truth value");
        assert_eq!(Key::from_slice(key.as_slice()), Some(key));
        assert_eq!(Key::from_slice(&[0; KEY_BYTES_MAX + 1]), None);
    }

    #[test]
    fn a_successor_ends_its_prefix() {
        let key = |bytes: &[u8]| Key::from_slice(bytes).unwrap();
        assert_eq!(key(&[3]).successor(), Some(key(&[4])));
        assert_eq!(key(&[3, 255]).successor(), Some(key(&[4])));
        assert_eq!(key(&[255]).successor(), None);
        assert_eq!(Key::EMPTY.successor(), None);
    }
}
