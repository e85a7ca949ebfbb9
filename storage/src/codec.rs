//! Row codec: the one module that names bincode.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that are not a value of the wanted type.
#[derive(Debug, thiserror::Error)]
#[error("cannot decode: {0}")]
pub struct DecodeError(pub String);

/// Encodes a value behind its format byte.
pub fn encode<T: Serialize>(_value: &T) -> Vec<u8> {
    unimplemented!()
}

/// Decodes what [`encode`] wrote; refuses other formats, trailing bytes and oversize.
pub fn decode<T: DeserializeOwned>(_bytes: &[u8]) -> Result<T, DecodeError> {
    unimplemented!()
}
