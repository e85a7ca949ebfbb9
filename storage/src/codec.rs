//! Row codec: the one module that names bincode.
//!
//! A value is its format byte followed by bincode 2 in its standard configuration (variable-width
//! integers, little endian). bincode is no longer maintained, so nothing else may know about it:
//! the way out is a second format byte in this file. Field order and enum variant order are the
//! format; golden bytes in the tests hold them still.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The only format so far.
const FORMAT: u8 = 1;

/// 16 MiB: far above any row, far below what would hurt to allocate for a forged length.
pub const DECODE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A first guess that spares most rows a second allocation: an order is about 250 bytes.
const ENCODE_BYTES_GUESS: usize = 256;

type Config = Configuration<LittleEndian, Varint, Limit<DECODE_BYTES_MAX>>;

const CONFIG: Config = bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();

/// Bytes that are not a value of the wanted type.
#[derive(Debug, thiserror::Error)]
#[error("cannot decode: {0}")]
pub struct DecodeError(pub String);

/// Encodes a value behind its format byte.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENCODE_BYTES_GUESS);
    encode_into(value, &mut bytes);
    bytes
}

/// Appends a value behind its format byte. Writing to memory fails only for types that serde
/// cannot measure, and no row, command or frame contains one.
pub fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    bytes.push(FORMAT);
    bincode::serde::encode_into_std_write(value, bytes, bincode::config::standard())
        .expect("every encoded type has sequences of known length");
}

/// Whether these bytes begin as a value of a format that [`decode`] reads.
pub fn has_known_format(bytes: &[u8]) -> bool {
    bytes.first() == Some(&FORMAT)
}

/// Decodes what [`encode`] wrote; refuses other formats, trailing bytes and oversize.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let Some((&format, body)) = bytes.split_first() else {
        return Err(DecodeError("no bytes at all".into()));
    };
    if format != FORMAT {
        return Err(DecodeError(format!("format {format}, but this release reads {FORMAT}")));
    }
    if body.len() > DECODE_BYTES_MAX {
        return Err(DecodeError(format!("{} bytes are too many", body.len())));
    }
    let (value, used) = bincode::serde::decode_from_slice(body, CONFIG)
        .map_err(|error| DecodeError(error.to_string()))?;
    if used == body.len() {
        Ok(value)
    } else {
        Err(DecodeError(format!("{} bytes left over", body.len() - used)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_their_bytes() {
        let value = (7u64, String::from("seven"), Some(u128::MAX), [1u8; 32]);
        let bytes = encode(&value);
        assert_eq!(bytes[0], 1);
        assert_eq!(decode::<(u64, String, Option<u128>, [u8; 32])>(&bytes).unwrap(), value);
    }

    #[test]
    fn other_formats_trailing_and_missing_bytes_are_refused() {
        let bytes = encode(&(7u64, String::from("seven")));
        let refused = |bytes: &[u8]| decode::<(u64, String)>(bytes).is_err();
        assert!(!refused(&bytes));
        assert!(refused(&[]));
        assert!(refused(&bytes[..bytes.len() - 1]));
        assert!(refused(&[bytes.as_slice(), &[0]].concat()));
        assert!(refused(&[&[2], &bytes[1..]].concat()));
    }

    #[test]
    fn a_forged_length_allocates_nothing() {
        // Varint 253 announces eight bytes of length: 2^63 elements.
        let bytes = [1, 253, 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 2, 3];
        assert!(decode::<Vec<u8>>(&bytes).is_err());
        assert!(decode::<String>(&bytes).is_err());
    }
}
