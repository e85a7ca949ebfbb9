//! Log entries as text, for `firstcome inspect log`.

use firstcome_storage::codec::{self, DecodeError};

use crate::log_format::{Entry, Payload};

/// A stored log entry, summarised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntrySummary {
    /// Term of the leader that wrote it.
    pub term: u64,
    /// That leader.
    pub leader: u64,
    /// `blank`, `membership of 1, 2, 3`, or the command's name.
    pub kind: String,
    /// The leader's time in ms, for commands; apply clamps it.
    pub now: Option<i64>,
}

/// Summarises what `storage::Log` stores for one entry.
pub fn describe_entry(bytes: &[u8]) -> Result<EntrySummary, DecodeError> {
    let entry: Entry = codec::decode(bytes)?;
    let (kind, now) = match entry.payload {
        Payload::Blank => ("blank".to_owned(), None),
        Payload::Membership(m) => {
            let ids = m.ids().map(|id| id.to_string()).collect::<Vec<_>>().join(", ");
            (format!("membership of {ids}"), None)
        }
        Payload::Command { now, command } => {
            let command: firstcome_domain::Command = codec::decode(&command)?;
            (command.action.name().to_owned(), Some(now))
        }
    };
    Ok(EntrySummary { term: entry.id.term(), leader: entry.id.leader(), kind, now })
}
