//! A log entry: for openraft its log id and payload, for the log and for peers its bytes.
//!
//! ```text
//! format u8 | kind u8 | term u64 | leader u64 | index u64 | rest     all little endian
//!
//! kind 0  blank       rest is empty
//! kind 1  command     rest is the leader's time in ms (i64), then the command as the node that
//!                     took the request encoded it
//! kind 2  membership  rest is an encoded `Membership`
//! ```
//!
//! The bytes are made once, where an entry gets its place in the log. Log rows, append frames,
//! the follower's log and apply share them; nobody decodes a command on the way.

use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use firstcome_storage::codec::{self, DecodeError};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;

use crate::log_format::Membership;
use crate::types::{self, LeaderId, LogId, Payload, Proposal};

const FORMAT: u8 = 1;

const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Format, kind, term, leader, index.
const HEAD_BYTES: usize = 2 + 3 * 8;

/// The leader's time, in front of a command.
const TIME_BYTES: usize = 8;

/// An entry with its bytes; cheap to clone.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) log_id: LogId,
    /// A command is a slice of `bytes`.
    pub(crate) payload: Payload,
    bytes: Bytes,
}

impl Entry {
    /// What is stored and sent.
    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Reads an entry from stored or received bytes. Decodes a membership, but no command.
    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let error = |what: &str| DecodeError::malformed(format!("log entry: {what}"));
        let newer = |what: String| DecodeError::Newer { what: format!("a log entry of {what}") };
        // The format first: it says what the rest looks like.
        match bytes.first() {
            None => return Err(error("no bytes at all")),
            Some(&FORMAT) => {}
            Some(&format) if format > FORMAT => return Err(newer(format!("format {format}"))),
            Some(format) => return Err(error(&format!("format {format}"))),
        }
        let Some((mut head, rest)) = bytes.split_at_checked(HEAD_BYTES) else {
            return Err(error("cut short"));
        };
        let (_, kind) = (head.get_u8(), head.get_u8());
        let leader_id = LeaderId { term: head.get_u64_le(), node_id: head.get_u64_le() };
        let log_id = LogId { leader_id, index: head.get_u64_le() };
        let payload = match kind {
            BLANK if rest.is_empty() => Payload::Blank,
            BLANK => return Err(error("a blank entry with something in it")),
            COMMAND => {
                let Some((now, _)) = rest.split_first_chunk() else {
                    return Err(error("a command without a time"));
                };
                let command = bytes.slice(HEAD_BYTES + TIME_BYTES..);
                Payload::Normal(Proposal { now: i64::from_le_bytes(*now), command })
            }
            MEMBERSHIP => Payload::Membership(codec::decode::<Membership>(rest)?.into_raft()),
            _ => return Err(newer(format!("kind {kind}"))),
        };
        Ok(Self { log_id, payload, bytes })
    }
}

impl RaftEntry for Entry {
    type CommittedLeaderId = LeaderId;
    type Payload = Payload;

    fn new(log_id: LogId, payload: Payload) -> Self {
        let (kind, room) = match &payload {
            EntryPayload::Blank => (BLANK, 0),
            EntryPayload::Normal(proposal) => (COMMAND, TIME_BYTES + proposal.command.len()),
            EntryPayload::Membership(_) => (MEMBERSHIP, 0),
        };
        let mut bytes = Vec::with_capacity(HEAD_BYTES + room);
        bytes.put_u8(FORMAT);
        bytes.put_u8(kind);
        bytes.put_u64_le(log_id.leader_id.term);
        bytes.put_u64_le(log_id.leader_id.node_id);
        bytes.put_u64_le(log_id.index);
        match &payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(proposal) => {
                bytes.put_i64_le(proposal.now);
                bytes.put_slice(&proposal.command);
            }
            EntryPayload::Membership(m) => codec::encode_into(&Membership::from(m), &mut bytes),
        }
        let bytes = Bytes::from(bytes);
        let payload = match payload {
            EntryPayload::Normal(Proposal { now, .. }) => {
                let command = bytes.slice(HEAD_BYTES + TIME_BYTES..);
                EntryPayload::Normal(Proposal { now, command })
            }
            other => other,
        };
        Self { log_id, payload, bytes }
    }

    fn log_id_parts(&self) -> (&LeaderId, u64) {
        (&self.log_id.leader_id, self.log_id.index)
    }

    fn set_log_id(&mut self, new: LogId) {
        *self = Self::new(new, self.payload.clone());
    }

    fn get_membership(&self) -> Option<types::Membership> {
        match &self.payload {
            EntryPayload::Membership(membership) => Some(membership.clone()),
            EntryPayload::Blank | EntryPayload::Normal(_) => None,
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.log_id, self.payload)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::types::Address;

    const ID: LogId = LogId { leader_id: LeaderId { term: 3, node_id: 2 }, index: 0x0102 };

    fn command() -> Entry {
        let command = Bytes::from_static(b"\x01order");
        Entry::new(ID, Payload::Normal(Proposal { now: -2, command }))
    }

    fn membership() -> Entry {
        let nodes = BTreeMap::from([(1, Address::default())]);
        let voters = vec![BTreeSet::from([1])];
        Entry::new(ID, Payload::Membership(types::Membership::new(voters, nodes).unwrap()))
    }

    /// These bytes are in logs: another layout needs another format byte.
    #[test]
    fn the_layout_of_a_command_is_fixed() {
        let expected = [
            &[1, 1][..],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            b"\x01order",
        ];
        assert_eq!(command().bytes()[..], expected.concat());
    }

    #[test]
    fn entries_survive_their_bytes() {
        for entry in [Entry::new(ID, Payload::Blank), command(), membership()] {
            let again = Entry::decode(entry.bytes().clone()).unwrap();
            assert_eq!((again.log_id, &again.payload), (ID, &entry.payload));
            assert_eq!(again.bytes(), entry.bytes());
        }
    }

    #[test]
    fn a_command_is_not_copied_out_of_its_entry() {
        let bytes = command().bytes().clone();
        let within = bytes.as_ptr_range();
        let Payload::Normal(proposal) = Entry::decode(bytes).unwrap().payload else { panic!() };
        assert!(within.contains(&proposal.command.as_ptr()));
    }

    #[test]
    fn another_place_in_the_log_makes_other_bytes() {
        let mut moved = command();
        moved.set_log_id(LogId { index: 7, ..ID });
        let read = Entry::decode(moved.bytes().clone()).unwrap();
        assert_eq!(read.log_id.index, 7);
        assert_eq!(read.payload, command().payload);
    }

    #[test]
    fn damaged_entries_are_refused() {
        let read = |bytes: Vec<u8>| Entry::decode(Bytes::from(bytes));
        let refused = |bytes| matches!(read(bytes), Err(DecodeError::Malformed(_)));
        let with = |at: usize, byte: u8| {
            let mut bytes = command().bytes().to_vec();
            bytes[at] = byte;
            bytes
        };
        assert!(read(with(0, FORMAT)).is_ok());
        assert!(refused(Vec::new()), "nothing");
        assert!(refused(with(0, 0)), "a format that never was");
        assert!(refused(with(1, BLANK)), "a blank entry with a command");
        assert!(refused(command().bytes()[..HEAD_BYTES - 1].to_vec()), "cut in its head");
        assert!(refused(command().bytes()[..HEAD_BYTES + 7].to_vec()), "cut in its time");
        let membership = membership().bytes().to_vec();
        assert!(refused(membership[..=HEAD_BYTES].to_vec()), "no membership");
        assert!(refused([membership.as_slice(), &[0]].concat()), "bytes left over");
    }

    /// Story: they were called damaged (exit code 65), and operators looked for a bad disk.
    #[test]
    fn entries_of_a_later_release_are_not_called_damaged() {
        let mut format = command().bytes().to_vec();
        format[0] = FORMAT + 1;
        let mut kind = command().bytes().to_vec();
        kind[1] = MEMBERSHIP + 1;
        let mut membership = membership().bytes().to_vec();
        membership[HEAD_BYTES] += 1;
        for later in [format.clone(), format[..2].to_vec(), kind, membership] {
            let read = Entry::decode(Bytes::from(later));
            assert!(matches!(read, Err(DecodeError::Newer { .. })), "{read:?}");
        }
    }
}
