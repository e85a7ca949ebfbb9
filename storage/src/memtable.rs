//! Row writes in memory that are not in `state.redb` yet.
//!
//! Each write keeps its revision, so that a reader goes on seeing the rows as they were when it
//! began while apply writes the next ones. Of a row only those earlier versions are kept that
//! somebody can still ask for. A removal is a version without a value: it hides the row of an older
//! layer.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::TableId;

/// What a row costs beside key and value: its share of tree nodes and the allocator.
const ROW_OVERHEAD_BYTES: usize = 96;

/// What an earlier version costs beside its value.
const VERSION_OVERHEAD_BYTES: usize = size_of::<Version>();

/// The bytes of a row, or `None` for a removed one. An index row has no bytes.
pub(crate) type Slot = Option<Bytes>;

/// What a row is found by: its table, and its key there.
pub(crate) type RowKey = (TableId, Key);

/// Reads whatever is newest: for apply itself.
pub(crate) const NEWEST: u64 = u64::MAX;

/// One version of a row.
#[derive(Clone, Debug)]
struct Version {
    revision: u64,
    slot: Slot,
}

/// A row: its newest version, and earlier ones that are still asked for, oldest first.
#[derive(Debug)]
struct Row {
    newest: Version,
    older: Vec<Version>,
}

impl Row {
    /// The version that a reader at `revision` sees; `None` if the row was not written by then.
    fn at(&self, revision: u64) -> Option<&Slot> {
        if self.newest.revision <= revision {
            return Some(&self.newest.slot);
        }
        let seen = self.older.iter().rev().find(|version| version.revision <= revision);
        seen.map(|version| &version.slot)
    }
}

/// Which revisions may be asked for: those of open views, and the published one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readers {
    /// The oldest.
    pub(crate) oldest: u64,
    /// The newest.
    pub(crate) newest: u64,
}

/// Written rows.
#[derive(Default, Debug)]
pub(crate) struct Memtable {
    rows: BTreeMap<RowKey, Row>,
    bytes: usize,
}

impl Memtable {
    /// Writes a row at a revision later than all before.
    pub(crate) fn set(&mut self, row_key: RowKey, slot: Slot, revision: u64, readers: Readers) {
        let size = |slot: &Slot| slot.as_ref().map_or(0, Bytes::len);
        let new = Version { revision, slot };
        self.bytes += size(&new.slot);
        match self.rows.entry(row_key) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                self.bytes += row_key.1.as_slice().len() + ROW_OVERHEAD_BYTES;
                entry.insert(Row { newest: new, older: Vec::new() });
            }
            std::collections::btree_map::Entry::Occupied(entry) => {
                let row = entry.into_mut();
                let old = std::mem::replace(&mut row.newest, new);
                if old.revision <= readers.newest {
                    self.bytes += VERSION_OVERHEAD_BYTES;
                    row.older.push(old);
                } else {
                    self.bytes = self.bytes.saturating_sub(size(&old.slot));
                }
                // The last version that the oldest reader sees is needed, those before it are not.
                let seen = row.older.partition_point(|version| version.revision <= readers.oldest);
                for gone in row.older.drain(..seen.saturating_sub(1)) {
                    let bytes = size(&gone.slot) + VERSION_OVERHEAD_BYTES;
                    self.bytes = self.bytes.saturating_sub(bytes);
                }
            }
        }
    }

    /// The row's slot for a reader at `revision`; `None` if this layer says nothing about it.
    pub(crate) fn get(&self, row_key: &RowKey, revision: u64) -> Option<&Slot> {
        self.rows.get(row_key)?.at(revision)
    }

    /// The rows between two bounds in key order, each with what a reader at `revision` sees of it.
    pub(crate) fn range(
        &self,
        low: Bound<RowKey>,
        high: Bound<RowKey>,
        revision: u64,
    ) -> impl DoubleEndedIterator<Item = (Key, Option<&Slot>)> {
        self.rows.range((low, high)).map(move |((_, key), row)| (*key, row.at(revision)))
    }

    /// The newest version of every row, in the order of tables and keys.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (&RowKey, &Slot)> {
        self.rows.iter().map(|(row_key, row)| (row_key, &row.newest.slot))
    }

    /// Roughly how much memory it takes, earlier versions included.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many versions of each row are kept beside its newest one.
    #[cfg(test)]
    pub(crate) fn older(&self) -> impl Iterator<Item = usize> {
        self.rows.values().map(|row| row.older.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW_KEY: RowKey = (TableId(1), Key::EMPTY);

    #[expect(clippy::unnecessary_wraps, reason = "slots read better so")]
    fn value(text: &'static str) -> Slot {
        Some(Bytes::from_static(text.as_bytes()))
    }

    fn readers(oldest: u64, newest: u64) -> Readers {
        Readers { oldest, newest }
    }

    #[test]
    fn a_reader_sees_the_row_as_it_was_at_its_revision() {
        let mut rows = Memtable::default();
        rows.set(ROW_KEY, value("a"), 5, readers(4, 4));
        rows.set(ROW_KEY, value("b"), 7, readers(5, 6));
        rows.set(ROW_KEY, None, 9, readers(5, 8));
        let at = |revision| rows.get(&ROW_KEY, revision).cloned();
        assert_eq!(at(4), None, "written later");
        assert_eq!(at(5), Some(value("a")));
        assert_eq!(at(6), Some(value("a")));
        assert_eq!(at(8), Some(value("b")));
        assert_eq!(at(9), Some(None), "removed");
        assert_eq!(at(NEWEST), Some(None));
    }

    #[test]
    fn versions_that_nobody_can_ask_for_are_dropped() {
        let mut rows = Memtable::default();
        let older = |rows: &Memtable| rows.rows[&ROW_KEY].older.len();
        // One chunk of entries: only what the published revision 10 sees is kept.
        for revision in 5..10 {
            rows.set(ROW_KEY, value("x"), revision, readers(4, 4));
        }
        assert_eq!(older(&rows), 0);
        rows.set(ROW_KEY, value("y"), 11, readers(10, 10));
        rows.set(ROW_KEY, value("z"), 12, readers(10, 10));
        assert_eq!(older(&rows), 1);
        let two = rows.bytes();
        // A view at 10 stays open while the published revision moves on.
        rows.set(ROW_KEY, value("z"), 14, readers(10, 13));
        assert_eq!(older(&rows), 2);
        assert_eq!(rows.bytes(), two + 1 + VERSION_OVERHEAD_BYTES, "each version is counted");
        rows.set(ROW_KEY, value("z"), 16, readers(15, 15));
        assert_eq!(older(&rows), 1);
        assert_eq!(rows.bytes(), two, "and those that are dropped are not");
    }
}
