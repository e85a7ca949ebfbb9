//! Receipts: the outcome stored under an idempotency key, so that a repeat gets it again.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::kernel::value::Millis;

/// SHA-256 of (principal, command name, key), made by the node that took the request. Users
/// never see each other's receipts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Scope(pub [u8; 32]);

impl Scope {
    /// The first half, which the index keeps; the whole is compared with the receipt.
    pub fn head(self) -> u128 {
        let head = self.0.first_chunk::<16>().copied().unwrap_or_default();
        u128::from_be_bytes(head)
    }
}

/// What a command carries when the client sent an idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceiptKey {
    /// Whose key, for which command.
    pub scope: Scope,
    /// Keyed hash of the client's request; never of the command, whose ids differ on a retry.
    pub fingerprint: [u8; 32],
}

/// An outcome as it was encoded once, for the receipt and for the reply.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct OutcomeBytes(pub Vec<u8>);

impl fmt::Debug for OutcomeBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutcomeBytes({} bytes)", self.0.len())
    }
}

impl Serialize for OutcomeBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for OutcomeBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = items.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes).map(Self)
    }
}

/// A stored outcome and the request it answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// Scope and fingerprint of the first request.
    pub key: ReceiptKey,
    /// From this instant on the receipt counts as absent.
    pub expires_at: Millis,
    /// What was decided, refusals included.
    pub outcome: OutcomeBytes,
}
