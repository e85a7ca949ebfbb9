//! Snapshots as a peer streams them.
//!
//! An even first byte: the chunks are taken as they are. An odd one: each gets its checksum, so
//! that mutations reach the records behind it. Then chunks, each after its length (two bytes,
//! little endian).

use std::sync::Arc;

use bytes::Bytes;
use firstcome_storage::dir::IdentityState;
use firstcome_storage::disk::sim::SimDisk;
use firstcome_storage::state::Committed;
use firstcome_storage::{DataDir, Error, Identity, Log, LogOptions, State, StateOptions};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Reached, shop};

/// Chunks of one input; a real snapshot of a small shop is one.
const CHUNKS_MAX: usize = 16;

/// A snapshot coming in: refused and nothing has changed, or installed and given out again as
/// the same bytes.
pub fn snapshot_bytes(data: &[u8]) -> Reached {
    let Some((&selector, rest)) = data.split_first() else { return Reached::Refused };
    let mut chunks = split(rest);
    if selector % 2 == 1 {
        for chunk in &mut chunks {
            let sum = xxh3_64(chunk);
            chunk.extend_from_slice(&sum.to_le_bytes());
        }
    }
    let state = empty_state();
    let before = state.applied();
    match install(&state, &chunks) {
        Ok(()) => {
            let again = snapshot_of(&state);
            assert_eq!(again.concat(), chunks.concat(), "a snapshot changes on its way");
            Reached::Accepted
        }
        Err(error) => {
            let refused = matches!(error, Error::Corrupt { .. } | Error::Invariant(_));
            assert!(refused, "{error:?} is no fault of the bytes");
            assert_eq!(state.applied(), before, "refused, and yet something has changed");
            // A refusal is the sender's problem: this node goes on.
            state.apply(&[first_entry()], Bytes::new()).expect("the state still works");
            Reached::Refused
        }
    }
}

fn split(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(tail.len());
        let (chunk, tail) = tail.split_at(length);
        chunks.push(chunk.to_vec());
        rest = tail;
        if chunks.len() == CHUNKS_MAX {
            break;
        }
    }
    chunks
}

fn install(state: &State, chunks: &[Vec<u8>]) -> Result<(), Error> {
    let mut writer = state.receive()?;
    for chunk in chunks {
        writer.write_chunk(chunk)?;
    }
    state.install(writer).map(drop)
}

/// A state without rows on a disk of its own.
fn empty_state() -> State {
    let identity = Identity {
        format: 1,
        cluster_uuid: "0192f0c1-2345-7abc-8def-0123456789ab".to_owned(),
        incarnation: 0,
        node_id: 1,
        name: "n1".to_owned(),
        state: IdentityState::Active,
    };
    let dir = DataDir::create_on(Arc::new(SimDisk::new()), "/data".as_ref(), &identity);
    let dir = dir.expect("a directory");
    let log = Log::open_inline(&dir, LogOptions { cache_bytes: 1024 }).expect("a log");
    let options = StateOptions { cache_bytes: 1 << 20, ..StateOptions::default() };
    State::open_inline(&dir, options, log).expect("a state")
}

fn first_entry() -> Committed {
    let stamp = firstcome_domain::Stamp {
        revision: firstcome_domain::Revision::new(u64::MAX),
        now: firstcome_domain::Millis::new(0),
    };
    Committed { stamp, command: Some(shop::by(shop::STAFF, shop::product(1))) }
}

/// A state's snapshot, chunk by chunk.
pub fn snapshot_of(state: &State) -> Vec<Bytes> {
    let mut reader = state.snapshot().expect("a snapshot");
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_chunk().expect("a chunk") {
        chunks.push(chunk);
    }
    chunks
}

/// The whole snapshot of a shop with these entries, as this target's input without checksums.
pub fn checked_chunks(entries: &[Committed]) -> Vec<u8> {
    let state = empty_state();
    state.apply(entries, Bytes::from_static(b"meta")).expect("applied");
    let mut input = vec![1];
    for chunk in snapshot_of(&state) {
        let body = &chunk[..chunk.len() - 8];
        input.extend(u16::try_from(body.len()).expect("a small shop").to_le_bytes());
        input.extend_from_slice(body);
    }
    input
}
