//! What a frame's body is, for each thing that peers send.
//!
//! ```text
//! most        one encoded value
//! first       see `greeting`
//! append      length u32 | encoded `AppendHead` | per entry: length u32, the bytes of the entry
//! requests    per request:  id u64 | kind u8 | length u32 | body
//! responses   per response: id u64 | kind u8 | length u32 | body
//!             kind 0: body is one encoded value
//!             kind 1: body of a request is the command, as bytes
//!                     body of a response is replayed u8 | revision u64 | log time i64 | outcome
//! ```
//!
//! Numbers are little endian. Entries and commands go out as the bytes they are and are sliced
//! from the frame when they come in, so that neither end decodes a command.

use bytes::{Buf, BufMut, Bytes};
use firstcome_domain::receipt::OutcomeBytes;
use firstcome_domain::{Millis, Revision, Stamp};
use firstcome_storage::codec::{self, DecodeError};
use firstcome_storage::state::Decided;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::AppendRequest;
use crate::entry::Entry;
use crate::log_format::{Vote, log_id, raft_log_id};
use crate::protocol::{
    AppendHead, Appended, Contact, ContactReply, Request, Response, SnapshotHead,
};

/// Something that fills one frame.
pub(crate) trait Frame: Sized {
    /// Appends the body.
    fn put(&self, body: &mut Vec<u8>);
    /// Reads a whole body; refuses trailing bytes.
    fn take(body: Bytes) -> Result<Self, DecodeError>;
}

macro_rules! one_encoded_value {
    ($($type:ty),*) => {$(
        impl Frame for $type {
            fn put(&self, body: &mut Vec<u8>) {
                codec::encode_into(self, body);
            }

            fn take(body: Bytes) -> Result<Self, DecodeError> {
                codec::decode(&body)
            }
        }
    )*};
}

one_encoded_value!(Contact, ContactReply, Appended, SnapshotHead, Vote);

const LENGTH_BYTES: usize = 4;

/// Id, kind, length.
const ITEM_HEAD_BYTES: usize = 8 + 1 + LENGTH_BYTES;

const VALUE: u8 = 0;
const BYTES: u8 = 1;

/// 16 KiB. Entries stay in the log's cache as slices of their frame, which is itself a slice of
/// the reader's buffer. Those of a smaller frame are copied once, together: otherwise one entry
/// among the heartbeats of a quiet hour would keep 64 KiB alive.
const SLICED_BYTES_MIN: usize = 16 << 10;

fn error(what: &str) -> DecodeError {
    DecodeError::malformed(format!("frame: {what}"))
}

/// Appends what `fill` appends, behind its length.
fn put_with_length(body: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = body.len();
    body.put_u32_le(0);
    fill(body);
    // A frame is at most 16 MiB; one whose part is longer than 4 GiB is refused as a whole.
    let length = u32::try_from(body.len() - at - LENGTH_BYTES).unwrap_or(u32::MAX);
    body[at..at + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// Takes a length, and as many bytes.
fn take_with_length(body: &mut Bytes) -> Result<Bytes, DecodeError> {
    if body.len() < LENGTH_BYTES {
        return Err(error("cut short"));
    }
    let length = usize::try_from(body.get_u32_le()).unwrap_or(usize::MAX);
    if body.len() < length { Err(error("cut short")) } else { Ok(body.split_to(length)) }
}

impl Frame for AppendRequest {
    fn put(&self, body: &mut Vec<u8>) {
        let head = AppendHead {
            vote: (&self.vote).into(),
            prev: log_id(self.prev_log_id.as_ref()),
            commit: log_id(self.leader_commit.as_ref()),
        };
        put_with_length(body, |body| codec::encode_into(&head, body));
        for entry in &self.entries {
            put_with_length(body, |body| body.put_slice(entry.bytes()));
        }
    }

    fn take(mut body: Bytes) -> Result<Self, DecodeError> {
        let head: AppendHead = codec::decode(&take_with_length(&mut body)?)?;
        if body.len() < SLICED_BYTES_MIN {
            body = Bytes::copy_from_slice(&body);
        }
        let mut entries = Vec::new();
        while !body.is_empty() {
            entries.push(Entry::decode(take_with_length(&mut body)?)?);
        }
        Ok(Self {
            vote: head.vote.into_raft(),
            prev_log_id: raft_log_id(head.prev),
            leader_commit: raft_log_id(head.commit),
            entries,
        })
    }
}

/// One of many in a frame: a value, or bytes that go as they are.
trait Item: Serialize + DeserializeOwned {
    /// Appends the bytes, if it is of that kind.
    fn put_bytes(&self, body: &mut Vec<u8>) -> bool;
    fn take_bytes(bytes: Bytes) -> Result<Self, DecodeError>;
}

impl<T: Item> Frame for Vec<(u64, T)> {
    fn put(&self, body: &mut Vec<u8>) {
        for (id, item) in self {
            body.put_u64_le(*id);
            let kind_at = body.len();
            body.put_u8(BYTES);
            put_with_length(body, |body| {
                if !item.put_bytes(body) {
                    body[kind_at] = VALUE;
                    codec::encode_into(item, body);
                }
            });
        }
    }

    fn take(mut body: Bytes) -> Result<Self, DecodeError> {
        let mut items = Self::new();
        while !body.is_empty() {
            if body.len() < ITEM_HEAD_BYTES {
                return Err(error("cut short"));
            }
            let (id, kind) = (body.get_u64_le(), body.get_u8());
            let bytes = take_with_length(&mut body)?;
            let item = match kind {
                VALUE => codec::decode(&bytes)?,
                BYTES => T::take_bytes(bytes)?,
                _ => return Err(error("unknown kind of item")),
            };
            items.push((id, item));
        }
        Ok(items)
    }
}

impl Item for Request {
    fn put_bytes(&self, body: &mut Vec<u8>) -> bool {
        let Self::Propose(command) = self else { return false };
        body.put_slice(command);
        true
    }

    fn take_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(Self::Propose(bytes))
    }
}

impl Item for Response {
    fn put_bytes(&self, body: &mut Vec<u8>) -> bool {
        let Self::Decided(Decided { outcome, decided, replayed }) = self else { return false };
        body.put_u8(u8::from(*replayed));
        body.put_u64_le(decided.revision.get());
        body.put_i64_le(decided.now.get());
        body.extend_from_slice(&outcome.0);
        true
    }

    fn take_bytes(mut bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() < 1 + 8 + 8 {
            return Err(error("a decision cut short"));
        }
        let replayed = match bytes.get_u8() {
            0 => false,
            1 => true,
            _ => return Err(error("neither replayed nor not")),
        };
        let revision = Revision::new(bytes.get_u64_le());
        let now = Millis::new(bytes.get_i64_le());
        let outcome = OutcomeBytes(bytes.to_vec());
        Ok(Self::Decided(Decided { outcome, decided: Stamp { revision, now }, replayed }))
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;
    use openraft::entry::RaftEntry;

    use super::*;
    use crate::protocol::Failed;
    use crate::types::{LeaderId, LogId, Payload, Proposal, Vote};

    fn put(value: &impl Frame) -> Vec<u8> {
        let mut body = Vec::new();
        value.put(&mut body);
        body
    }

    fn append(entries: u64, command: &Bytes) -> AppendRequest {
        let entry = |index| {
            let log_id = LogId { leader_id: LeaderId { term: 3, node_id: 1 }, index };
            Entry::new(log_id, Payload::Normal(Proposal { now: 7, command: command.clone() }))
        };
        AppendRequest {
            vote: Vote::new_committed(3, 1),
            prev_log_id: None,
            entries: (0..entries).map(entry).collect(),
            leader_commit: None,
        }
    }

    fn is_slice_of(frame: &Bytes, append: &AppendRequest) -> bool {
        append.entries.iter().all(|entry| {
            let EntryPayload::Normal(proposal) = &entry.payload else { panic!("{entry}") };
            frame.as_ptr_range().contains(&proposal.command.as_ptr())
        })
    }

    #[test]
    fn an_append_survives_its_frame() {
        for sent in [append(0, &Bytes::new()), append(3, &Bytes::from_static(b"order"))] {
            let taken = AppendRequest::take(put(&sent).into()).unwrap();
            assert_eq!((taken.vote, taken.prev_log_id), (sent.vote, sent.prev_log_id));
            assert_eq!((taken.leader_commit, taken.entries), (sent.leader_commit, sent.entries));
        }
    }

    #[test]
    fn entries_of_a_large_frame_are_slices_of_it_and_those_of_a_small_one_do_not_keep_it() {
        let large = Bytes::from(put(&append(3, &Bytes::from(vec![7; SLICED_BYTES_MIN]))));
        assert!(is_slice_of(&large, &AppendRequest::take(large.clone()).unwrap()));
        let small = Bytes::from(put(&append(1, &Bytes::from_static(b"order"))));
        assert!(!is_slice_of(&small, &AppendRequest::take(small.clone()).unwrap()));
    }

    #[test]
    fn questions_and_answers_survive_their_frames() {
        let command = Bytes::from_static(b"\x01order");
        let asked =
            vec![(1, Request::ReadIndex), (9, Request::Propose(command)), (2, Request::Clock)];
        let frame = Bytes::from(put(&asked));
        let taken = Vec::<(u64, Request)>::take(frame.clone()).unwrap();
        assert_eq!(taken, asked);
        let (_, Request::Propose(command)) = &taken[1] else { panic!("{taken:?}") };
        assert!(frame.as_ptr_range().contains(&command.as_ptr()), "it was copied");

        let outcome = OutcomeBytes(b"any bytes".to_vec());
        let decided = Stamp { revision: Revision::new(70_000), now: Millis::new(-5) };
        let answered = vec![
            (9, Response::Decided(Decided { outcome, decided, replayed: true })),
            (1, Response::Failed(Failed::NotLeader)),
        ];
        assert_eq!(Vec::<(u64, Response)>::take(put(&answered).into()).unwrap(), answered);
    }

    #[test]
    fn frames_that_are_cut_short_are_refused() {
        let whole = put(&append(2, &Bytes::from_static(b"order")));
        let heads: Vec<usize> = (0..whole.len())
            .filter(|cut| AppendRequest::take(whole[..*cut].to_vec().into()).is_ok())
            .collect();
        // A frame may end after its head and after each entry.
        assert_eq!(heads.len(), 2, "{heads:?} of {}", whole.len());
        let asked = put(&vec![(1, Request::ReadIndex)]);
        for cut in 1..asked.len() {
            assert!(Vec::<(u64, Request)>::take(asked[..cut].to_vec().into()).is_err());
        }
    }
}
