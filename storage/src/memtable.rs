//! Row writes in memory that are not in `state.redb` yet.
//!
//! A removal is kept as `None`: it hides the row of an older level.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::Bound;

use crate::key::Key;
use crate::table::{TABLES, Table};

/// What a row costs beside key and value: its share of tree nodes and the allocator.
const ROW_OVERHEAD_BYTES: usize = 96;

/// The bytes of a row, or `None` for a removed one.
pub(crate) type Slot = Option<Box<[u8]>>;

/// Written rows, by table and key.
#[derive(Default, Debug)]
pub(crate) struct Memtable {
    tables: [BTreeMap<Key, Slot>; TABLES],
    bytes: usize,
}

impl Memtable {
    pub(crate) fn put(&mut self, table: Table, key: Key, value: Vec<u8>) {
        self.set(table, key, Some(value.into_boxed_slice()));
    }

    pub(crate) fn remove(&mut self, table: Table, key: Key) {
        self.set(table, key, None);
    }

    fn set(&mut self, table: Table, key: Key, slot: Slot) {
        let size = |slot: &Slot| slot.as_ref().map_or(0, |bytes| bytes.len());
        let new = size(&slot);
        if let Some(rows) = self.tables.get_mut(table.place()) {
            match rows.insert(key, slot) {
                Some(old) => self.bytes = (self.bytes + new).saturating_sub(size(&old)),
                None => self.bytes += new + key.as_slice().len() + ROW_OVERHEAD_BYTES,
            }
        }
    }

    /// The row's slot; `None` if this level says nothing about it.
    pub(crate) fn get(&self, table: Table, key: &Key) -> Option<&Slot> {
        self.tables.get(table.place())?.get(key)
    }

    pub(crate) fn range(
        &self,
        table: Table,
        low: Bound<Key>,
        high: Bound<Key>,
    ) -> Range<'_, Key, Slot> {
        static NOTHING: BTreeMap<Key, Slot> = BTreeMap::new();
        self.tables.get(table.place()).unwrap_or(&NOTHING).range((low, high))
    }

    /// All rows of one table, in key order.
    pub(crate) fn rows(&self, table: Table) -> impl Iterator<Item = (&Key, &Slot)> {
        self.tables.get(table.place()).into_iter().flatten()
    }

    /// Roughly how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
