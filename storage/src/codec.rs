//! Row codec: the one module that names bincode.
//!
//! A value is one byte, the version of its type, followed by bincode 2 in its standard
//! configuration (variable-width integers, little endian). Rows, outcomes and the fields of
//! commands say themselves which versions there are ([`Versioned`]); what belongs to storage and
//! Raft alone has version 1. bincode is no longer maintained, so nothing else may know about it:
//! the way out is a further version of each type. Field order and enum variant order are the
//! format; golden bytes in the tests hold them still.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::Bytes;
use firstcome_domain::kernel::actor::Actor;
pub use firstcome_domain::kernel::version::RELEASE;
use firstcome_domain::kernel::version::{Decoder, Encoder, Level, Versioned};
use firstcome_domain::receipt::ReceiptKey;
use firstcome_domain::{Action, Command};
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
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// They are damaged, or were never such a value.
    #[error("cannot decode: {0}")]
    Malformed(String),
    /// A later release wrote them.
    #[error("{what} was written by a later release; this is release {RELEASE}")]
    Newer {
        /// What has an unknown version or number.
        what: String,
    },
}

impl DecodeError {
    /// Damage, with what is wrong.
    pub fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }
}

fn malformed(text: impl Into<String>) -> DecodeError {
    DecodeError::malformed(text)
}

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

/// Decodes what [`encode`] wrote; refuses other formats, trailing bytes and oversize.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let Some((&format, body)) = bytes.split_first() else {
        return Err(malformed("no bytes at all"));
    };
    if format > FORMAT {
        return Err(DecodeError::Newer { what: format!("a value of format {format}") });
    }
    if format != FORMAT {
        return Err(malformed(format!("format {format}, but this release reads {FORMAT}")));
    }
    whole(body)
}

/// Decodes one value that fills the bytes.
fn whole<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    let (value, used) = front(body)?;
    if used == body.len() {
        Ok(value)
    } else {
        Err(malformed(format!("{} bytes left over", body.len() - used)))
    }
}

/// Decodes one value at the front of the bytes, and says how many it took.
fn front<T: DeserializeOwned>(body: &[u8]) -> Result<(T, usize), DecodeError> {
    if body.len() > DECODE_BYTES_MAX {
        return Err(malformed(format!("{} bytes are too many", body.len())));
    }
    bincode::serde::decode_from_slice(body, CONFIG).map_err(|error| malformed(error.to_string()))
}

/// Encodes one value onto bytes.
struct Onto<'a>(&'a mut Vec<u8>);

impl Encoder for Onto<'_> {
    type Output = ();

    fn value<T: Serialize>(self, value: &T) {
        bincode::serde::encode_into_std_write(value, self.0, bincode::config::standard())
            .expect("every encoded type has sequences of known length");
    }
}

/// Decodes one value that fills the bytes.
struct Whole<'a>(&'a [u8]);

impl Decoder for Whole<'_> {
    type Error = DecodeError;

    fn value<T: DeserializeOwned>(self) -> Result<T, DecodeError> {
        whole(self.0)
    }
}

/// Encodes a value in the version that a cluster at `level` stores.
pub fn encode_at<T: Versioned>(value: &T, level: Level) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENCODE_BYTES_GUESS);
    encode_at_onto(value, level, &mut bytes);
    bytes
}

/// Appends what [`encode_at`] returns.
pub fn encode_at_onto<T: Versioned>(value: &T, level: Level, bytes: &mut Vec<u8>) {
    let version = T::version_at(level);
    bytes.push(version);
    value.encode(version, Onto(bytes));
}

/// Decodes what [`encode_at`] wrote, at whatever level that was; `what` is named in errors.
pub fn decode_versioned<T: Versioned>(bytes: &[u8], what: &str) -> Result<T, DecodeError> {
    let (&version, body) = bytes.split_first().ok_or_else(|| malformed("no bytes at all"))?;
    match T::decode(version, Whole(body)) {
        Some(Err(DecodeError::Malformed(detail))) => Err(malformed(format!("{what}: {detail}"))),
        Some(decoded) => decoded,
        None => Err(unknown_version(what, version)),
    }
}

/// What an unknown version means. Versions count from 1, so no release, however late, writes 0.
fn unknown_version(what: &str, version: u8) -> DecodeError {
    if version == 0 {
        return malformed(format!("{what}: version 0"));
    }
    DecodeError::Newer { what: format!("{what}, version {version},") }
}

/// Bytes before the actor of an encoded command: tag and version.
const COMMAND_HEAD_BYTES: usize = 3;

/// Encodes a command: tag (u16, little endian), version of its fields, actor and receipt key, fields.
pub fn encode_command(command: &Command, level: Level) -> Bytes {
    let Command { actor, receipt, action } = command;
    let version = action.version_at(level);
    let mut bytes = Vec::with_capacity(ENCODE_BYTES_GUESS);
    bytes.extend_from_slice(&action.tag().to_le_bytes());
    bytes.push(version);
    Onto(&mut bytes).value(&(actor, receipt));
    action.encode(version, Onto(&mut bytes));
    bytes.into()
}

/// Decodes what [`encode_command`] wrote.
pub fn decode_command(bytes: &[u8]) -> Result<Command, DecodeError> {
    let (tag, version, body) = command_head(bytes)?;
    let ((actor, receipt), used): ((Actor, Option<ReceiptKey>), usize) = front(body)?;
    let fields = body.get(used..).unwrap_or_default();
    let unknown = || Err(unknown_version(&format!("command {tag}"), version));
    let action = Action::decode(tag, version, Whole(fields)).unwrap_or_else(unknown)?;
    Ok(Command { actor, receipt, action })
}

/// Whether the bytes begin like a command that this release knows; looks at nothing behind that.
pub fn is_known_command(bytes: &[u8]) -> bool {
    command_head(bytes).is_ok_and(|(tag, version, _)| Action::knows(tag, version))
}

fn command_head(bytes: &[u8]) -> Result<(u16, u8, &[u8]), DecodeError> {
    let cut = || malformed("a command is cut short");
    let (head, body) = bytes.split_first_chunk::<COMMAND_HEAD_BYTES>().ok_or_else(cut)?;
    let [low, high, version] = *head;
    if version == 0 {
        return Err(malformed("no command has a version 0"));
    }
    Ok((u16::from_le_bytes([low, high]), version, body))
}

#[cfg(test)]
mod tests {
    use firstcome_domain::command::Tick;
    use firstcome_domain::settings::Settings;

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
    fn version_0_is_damage_and_an_unknown_version_is_a_later_release() {
        let row = encode_at(&Settings::default(), Level::FIRST);
        let tick = Command { actor: Actor::Node, receipt: None, action: Action::Tick(Tick) };
        let command = encode_command(&tick, Level::FIRST).to_vec();
        let with = |bytes: &[u8], place: usize, version: u8| {
            let mut bytes = bytes.to_vec();
            bytes[place] = version;
            bytes
        };
        let read = |bytes: &[u8]| decode_versioned::<Settings>(bytes, "settings");
        assert!(read(&with(&row, 0, 1)).is_ok());
        assert!(matches!(read(&with(&row, 0, 0)), Err(DecodeError::Malformed(_))));
        assert!(matches!(read(&with(&row, 0, 9)), Err(DecodeError::Newer { .. })));
        assert!(decode_command(&with(&command, 2, 1)).is_ok());
        let read = |version| decode_command(&with(&command, 2, version));
        assert!(matches!(read(0), Err(DecodeError::Malformed(_))));
        assert!(matches!(read(9), Err(DecodeError::Newer { .. })));
        assert!(!is_known_command(&with(&command, 2, 0)));
    }

    #[test]
    fn a_forged_length_allocates_nothing() {
        // Varint 253 announces eight bytes of length: 2^63 elements.
        let bytes = [1, 253, 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 2, 3];
        assert!(decode::<Vec<u8>>(&bytes).is_err());
        assert!(decode::<String>(&bytes).is_err());
    }
}
