//! Commands as agreement sees them: bytes that begin with a header, and whether they have a key.
//!
//! The one file of this crate that encodes or decodes a command. A command is encoded once, by the
//! node that took the request, and decoded once per node, when it is applied; both are counted.

use bytes::Bytes;
use firstcome_domain::kernel::version::Level;
use firstcome_domain::{Command, Refusal};
use firstcome_storage::codec::{self, DecodeError};

use crate::counters::Counters;

/// Why a command must not be proposed to a cluster at `level`, if it must not.
pub(crate) fn unavailable(command: &Command, level: Level) -> Option<Refusal> {
    firstcome_domain::unavailable(&command.action, level)
}

/// Encodes a command that this node is about to propose.
pub(crate) fn encode(command: &Command, level: Level, counters: &Counters) -> Bytes {
    Counters::add(&counters.commands_encoded);
    codec::encode_command(command, level)
}

/// Decodes a command that is being applied.
pub(crate) fn decode(bytes: &[u8], counters: &Counters) -> Result<Command, DecodeError> {
    Counters::add(&counters.commands_decoded);
    codec::decode_command(bytes)
}

/// Whether bytes that a peer forwarded begin as a command of a format that this release reads.
///
/// A member of the cluster is trusted with the rest. This keeps the commands of another release
/// out of the log, where they would stop every node that cannot read them.
pub(crate) fn has_known_header(bytes: &[u8]) -> bool {
    codec::is_known_command(bytes)
}

/// Whether a second copy of this command would find the receipt of the first.
pub(crate) const fn is_keyed(command: &Command) -> bool {
    command.receipt.is_some()
}

/// What a stored command asks for, by name.
pub(crate) fn name(bytes: &[u8]) -> Result<&'static str, DecodeError> {
    codec::decode_command(bytes).map(|command| command.action.name())
}
