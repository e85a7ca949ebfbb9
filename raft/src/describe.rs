//! Log entries as text, for `firstcome inspect log`.

use bytes::Bytes;
use firstcome_storage::codec::DecodeError;
use openraft::EntryPayload;

use crate::command;
use crate::entry::Entry;

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
    let entry = Entry::decode(Bytes::copy_from_slice(bytes))?;
    let (kind, now) = match entry.payload {
        EntryPayload::Blank => ("blank".to_owned(), None),
        EntryPayload::Membership(m) => {
            let ids = m.nodes().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ");
            (format!("membership of {ids}"), None)
        }
        EntryPayload::Normal(proposal) => {
            (command::name(&proposal.command)?.to_owned(), Some(proposal.now))
        }
    };
    let leader_id = entry.log_id.leader_id;
    Ok(EntrySummary { term: leader_id.term, leader: leader_id.node_id, kind, now })
}
