//! Writing changes: rows, the index rows that follow from them, hash and counts.
//!
//! Every index row is derived here from the row before and the row after, so a rule cannot forget
//! one. The state hash is the wrapping sum of one 128-bit hash per row: a write takes the old
//! row's hash out and puts the new one's in. The old row is not read for it: the
//! decision has read it, and its hash was kept.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use firstcome_domain::Change;
use firstcome_domain::cluster::FeatureLevel;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::{IndexKind, TableId};
use firstcome_domain::kernel::version::Level;
use firstcome_domain::registry::{AnyRow, Declared, INDEXES, RowVisitor};
use firstcome_domain::value::Revision;

use crate::codec::{self, RELEASE};
use crate::error::Error;
use crate::hot::{HotRow, HotRows};
use crate::memtable::{NEWEST, Readers, RowKey, Slot};
use crate::scan::Layers;
use crate::stored::{StateHash, StateMeta};
use crate::view::{Seen, row_hash};

/// Hashes remembered for comparing nodes: a few seconds at full speed, a few megabytes.
const HASHES_MAX: usize = 100_000;

/// What apply owns: the layers it writes to, how far they are, and what it keeps beside them.
pub(crate) struct Head {
    pub(crate) layers: Layers,
    pub(crate) meta: StateMeta,
    pub(crate) hot: Arc<HotRows>,
    hashes: VecDeque<(Revision, u128)>,
    scratch: Vec<u8>,
    /// Empty between entries; kept for its room.
    writes: Writes,
}

/// What one log entry writes.
#[derive(Default)]
struct Writes {
    /// To the active memtable.
    rows: Vec<(RowKey, Slot)>,
    /// To indexes in memory.
    live: Vec<(RowKey, Slot)>,
}

impl Writes {
    fn add(&mut self, index_row: RowKey, slot: Slot) {
        let to = if is_in_memory(index_row.0) { &mut self.live } else { &mut self.rows };
        to.push((index_row, slot));
    }
}

/// Encodes a row of whatever kind. The bytes stay in memory until the next checkpoint, so they get
/// no more room than they need.
struct Encode<'a>(Level, &'a mut Vec<u8>);

impl RowVisitor for Encode<'_> {
    type Output = Bytes;

    fn row<R: Declared>(self, row: &R) -> Bytes {
        let Self(level, scratch) = self;
        scratch.clear();
        codec::encode_at_onto(row, level, scratch);
        Bytes::copy_from_slice(scratch)
    }
}

/// Whether a kind of row is kept decoded.
struct IsHot;

impl RowVisitor for IsHot {
    type Output = bool;

    fn row<R: Declared>(self, _: &R) -> bool {
        R::HOT
    }
}

impl Head {
    pub(crate) fn new(layers: Layers, meta: StateMeta) -> Self {
        let mut head = Self {
            layers,
            meta,
            hot: Arc::default(),
            hashes: VecDeque::new(),
            scratch: Vec::new(),
            writes: Writes::default(),
        };
        head.remember_hash();
        head
    }

    /// Remembers the hash of the revision that was just applied.
    pub(crate) fn remember_hash(&mut self) {
        if let Some(revision) = self.meta.revision {
            if self.hashes.len() == HASHES_MAX {
                self.hashes.pop_front();
            }
            self.hashes.push_back((revision, self.meta.hash));
        }
    }

    /// The hash right after `revision`; `None` if that is forgotten or still ahead.
    pub(crate) fn hash_at(&self, revision: Revision) -> Option<StateHash> {
        if self.meta.revision < Some(revision) {
            return None;
        }
        let place = self.hashes.partition_point(|(at, _)| *at <= revision).checked_sub(1)?;
        self.hashes.get(place).map(|(_, hash)| StateHash(*hash))
    }

    /// Writes the changes of one log entry. `seen` are hashes of rows that were read for it.
    ///
    /// Readers wait for the locks of the layers, so these are held only while what is ready is put in.
    pub(crate) fn write(
        &mut self,
        changes: Vec<Change>,
        revision: Revision,
        seen: &Seen,
        readers: Readers,
    ) -> Result<(), Error> {
        // A level that these changes raise counts from the next entry on.
        let level = Level(self.meta.level);
        let at = revision.get();
        let mut writes = std::mem::take(&mut self.writes);
        for Change { table, key, before, after } in changes {
            let old_hash = match &before {
                None => None,
                Some(_) => Some(self.hash_of(seen, table, &key)?),
            };
            let bytes = after.as_ref().map(|row| row.visit(Encode(level, &mut self.scratch)));
            let new_hash = bytes
                .as_ref()
                .map(|bytes| row_hash(&mut self.scratch, table, key.as_slice(), bytes));
            let hash = self.meta.hash.wrapping_sub(old_hash.unwrap_or(0));
            self.meta.hash = hash.wrapping_add(new_hash.unwrap_or(0));
            let count = self.meta.counts.entry(table.0).or_default();
            match (&before, &after) {
                (None, Some(_)) => *count += 1,
                (Some(_), None) => *count = count.saturating_sub(1),
                (Some(_), Some(_)) | (None, None) => {}
            }
            let is_hot = after.as_ref().or(before.as_ref()).is_some_and(|row| row.visit(IsHot));
            let old = before.as_ref().map(AnyRow::index_rows).unwrap_or_default();
            let new = after.as_ref().map(AnyRow::index_rows).unwrap_or_default();
            for index in old.iter().filter(|row| !new.contains(row)) {
                writes.add((index.table, index.key), None);
            }
            for index in new.iter().filter(|row| !old.contains(row)) {
                writes.add((index.table, index.key), Some(Bytes::new()));
            }
            if let Some(AnyRow::FeatureLevel(row)) = &after {
                self.meta.level = known_level(row, self.layers.base.path())?.0;
            }
            if is_hot {
                let (hash, bytes) = (new_hash.unwrap_or(0), bytes.as_ref().map_or(0, Bytes::len));
                self.hot.keep(table, key, HotRow { row: after, hash, since: at, bytes });
            }
            writes.rows.push(((table, key), bytes));
        }
        if !writes.live.is_empty() {
            let mut live = self.layers.live.write();
            for ((table, key), slot) in writes.live.drain(..) {
                match slot {
                    Some(_) => live.add(table, key, at),
                    None => live.remove(table, key, at),
                }
            }
        }
        let mut active = self.layers.active.write();
        for (row_key, slot) in writes.rows.drain(..) {
            active.set(row_key, slot, at, readers);
        }
        drop(active);
        self.writes = writes;
        Ok(())
    }

    fn hash_of(&mut self, seen: &Seen, table: TableId, key: &Key) -> Result<u128, Error> {
        if let Some(hash) = seen.hash(table, key) {
            return Ok(hash);
        }
        // Rows of a list that retention went through were read without their hash.
        let found = self.layers.get(table, key, NEWEST)?.ok_or_else(|| {
            Error::Invariant(format!("a change names row {key:?} of table {}", table.0))
        })?;
        Ok(row_hash(&mut self.scratch, table, key.as_slice(), found.bytes()))
    }

    /// Forgets what no reader sees any more.
    pub(crate) fn tidy(&mut self, readers: Readers) {
        self.layers.live.write().tidy(readers);
    }
}

/// The level that a cluster was raised to; an error if this release does not know it. It must not
/// go on then: others write and decide by rules that it does not have.
fn known_level(row: &FeatureLevel, path: &Path) -> Result<Level, Error> {
    let (level, known) = (row.level(), Level::KNOWN);
    if level <= known {
        return Ok(level);
    }
    let detail = format!(
        "the cluster was raised to feature level {} by release {}; this is release {RELEASE}, \
         which knows levels up to {}",
        level.0, row.release, known.0
    );
    Err(Error::Foreign { path: path.to_owned(), detail })
}

/// Asked for every index row that is written: it looks at numbers alone.
fn is_in_memory(id: TableId) -> bool {
    INDEXES.iter().any(|index| index.table == id && index.kind == IndexKind::Live)
}
