//! Snapshots as a peer streams them.
//!
//! An even first byte: the chunks are taken as they are. An odd one: each gets its checksum, so
//! that mutations reach the records behind it. Its second bit: the first chunk is made to agree
//! with itself (row counts, state hash, checksum over its records), so that mutations reach the
//! rows. Then chunks, each after its length (two bytes, little endian).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use firstcome_storage::dir::IdentityState;
use firstcome_storage::disk::sim::SimDisk;
use firstcome_storage::state::Committed;
use firstcome_storage::{DataDir, Error, Identity, Log, LogOptions, State, StateOptions, codec};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::{Reached, shop};

/// Chunks of one input; a real snapshot of a small shop is one.
const CHUNKS_MAX: usize = 16;

/// A snapshot coming in: refused and nothing has changed, or installed and given out again as
/// the same bytes.
pub fn snapshot_bytes(data: &[u8]) -> Reached {
    let Some((&selector, rest)) = data.split_first() else { return Reached::Refused };
    let mut chunks = split(rest);
    let is_resealed = selector & 2 != 0;
    if is_resealed
        && let Some(chunk) = chunks.first_mut()
        && let Some(records) = Records::read(chunk)
    {
        *chunk = records.chunk();
    }
    if selector & 1 != 0 {
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
            if is_resealed {
                // It may lack indexes, which were made, or have others, which were left out.
                let further = empty_state();
                install(&further, &again).expect("what was installed can be given out");
                assert_eq!(further.applied(), state.applied());
                assert_eq!(snapshot_of(&further), again, "a snapshot changes on its way");
            } else {
                assert_eq!(again.concat(), chunks.concat(), "a snapshot changes on its way");
            }
            Reached::Accepted
        }
        Err(error) => {
            let refused = matches!(
                error,
                Error::Corrupt { .. } | Error::Foreign { .. } | Error::Invariant(_)
            );
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

/// Format and sequence of a chunk, before its records.
const HEAD_BYTES: usize = 9;
/// Tables of rows have lower numbers, indexes this one and higher ones.
const FIRST_INDEX: u16 = 1000;

/// What the first record says: release, feature level, revision, log time, Raft's part, state hash,
/// rows per table, indexes.
type Meta = (String, u16, Option<u64>, i64, Vec<u8>, u128, BTreeMap<u16, u64>, Vec<u16>);

/// A whole snapshot in one chunk, taken apart.
pub struct Records {
    head: Vec<u8>,
    meta: Meta,
    /// Table, key, value.
    pub rows: Vec<(u16, Vec<u8>, Vec<u8>)>,
}

impl Records {
    /// Reads a chunk without its checksum; `None` if it does not begin like a snapshot. What follows
    /// the rows is left out.
    pub fn read(chunk: &[u8]) -> Option<Self> {
        let (head, records) = chunk.split_at_checked(HEAD_BYTES)?;
        let (b'H', records) = records.split_first().map(|(tag, rest)| (*tag, rest))? else {
            return None;
        };
        let (length, records) = records.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (meta, mut records) = records.split_at_checked(length)?;
        let mut rows = Vec::new();
        while let Some((&b'R', row)) = records.split_first() {
            let (table, row) = row.split_first_chunk::<2>()?;
            let (key_length, row) = row.split_first()?;
            let (value_length, row) = row.split_first_chunk::<4>()?;
            let value_length = usize::try_from(u32::from_le_bytes(*value_length)).ok()?;
            let (key, row) = row.split_at_checked(usize::from(*key_length))?;
            let (value, rest) = row.split_at_checked(value_length)?;
            rows.push((u16::from_le_bytes(*table), key.to_vec(), value.to_vec()));
            records = rest;
        }
        Some(Self { head: head.to_vec(), meta: codec::decode(meta).ok()?, rows })
    }

    /// Leaves out an index, as a release does that does not have it.
    pub fn leave_out(&mut self, index: u16) {
        self.rows.retain(|(table, ..)| *table != index);
        self.meta.7.retain(|table| *table != index);
    }

    /// The chunk, with the counts, the hash and the checksum that these rows ask for.
    pub fn chunk(&self) -> Vec<u8> {
        let (mut rows, mut counts, mut hash) = (Vec::new(), BTreeMap::<u16, u64>::new(), 0_u128);
        for (table, key, value) in &self.rows {
            *counts.entry(*table).or_default() += 1;
            if *table < FIRST_INDEX {
                let hashed = xxh3_128(&[&table.to_be_bytes()[..], key, value].concat());
                hash = hash.wrapping_add(hashed);
            }
            rows.push(b'R');
            rows.extend(table.to_le_bytes());
            rows.push(u8::try_from(key.len()).expect("it was read with such a length"));
            rows.extend(length(value));
            rows.extend_from_slice(key);
            rows.extend_from_slice(value);
        }
        let mut meta = self.meta.clone();
        meta.5 = hash;
        meta.6 = counts.range(..FIRST_INDEX).map(|(table, rows)| (*table, *rows)).collect();
        let meta = codec::encode(&meta);
        let records = [&b"H"[..], &length(&meta), &meta, &rows].concat();
        let trailer = codec::encode(&(counts, hash, xxh3_128(&records)));
        [&self.head, &records, &b"T"[..], &length(&trailer), &trailer].concat()
    }
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("a small snapshot").to_le_bytes()
}

fn install(state: &State, chunks: &[impl AsRef<[u8]>]) -> Result<(), Error> {
    let mut writer = state.receive()?;
    for chunk in chunks {
        writer.write_chunk(chunk.as_ref())?;
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
    let log = Log::open_inline(&dir, LogOptions { cache_bytes: 1024, ..LogOptions::default() })
        .expect("a log");
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
