//! The typed view of rules, over the layers: for apply at the newest revision, and for readers at
//! the revision at which they began.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use firstcome_domain::View;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::{Index, TableId};
use firstcome_domain::registry::Declared;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128;

use crate::codec;
use crate::error::Error;
use crate::hot::{HotRow, HotRows};
use crate::live::Walk;
use crate::memtable::{NEWEST, Readers};
use crate::range::Direction;
use crate::scan::{Found, Layers, Scan};
use crate::stored::Applied;
use crate::table::{self, Table};

/// The hash of one primary row.
pub(crate) fn row_hash(scratch: &mut Vec<u8>, table: TableId, key: &[u8], value: &[u8]) -> u128 {
    scratch.clear();
    scratch.extend_from_slice(&table.0.to_be_bytes());
    scratch.extend_from_slice(key);
    scratch.extend_from_slice(value);
    xxh3_128(scratch)
}

/// Reads of rows at one revision; the base of both views.
pub(crate) struct Rows<'a> {
    pub(crate) layers: &'a Layers,
    pub(crate) hot: &'a HotRows,
    pub(crate) revision: u64,
}

impl Rows<'_> {
    fn path(&self) -> &std::path::Path {
        self.layers.base.path()
    }

    pub(crate) fn get(&self, table: TableId, key: &Key) -> Result<Option<Found>, Error> {
        self.layers.get(table, key, self.revision)
    }

    pub(crate) fn decode<R: Declared>(&self, bytes: &[u8]) -> Result<Arc<R>, Error> {
        let row = codec::decode_versioned::<R>(bytes, R::NAME);
        row.map(Arc::new).map_err(|error| Error::undecodable(self.path(), error))
    }

    pub(crate) fn scan(
        &self,
        table: Table,
        low: Bound<Key>,
        high: Bound<Key>,
        direction: Direction,
    ) -> Result<Scan, Error> {
        self.layers.scan(table, low, high, direction, self.revision)
    }

    pub(crate) fn damaged(&self, table: &str) -> Error {
        Error::corrupt(self.path(), format!("{table}: unknown key"))
    }

    /// Keys of an index between two bounds, either way.
    pub(crate) fn keys<I: Index>(
        &self,
        low: Bound<Key>,
        high: Bound<Key>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<I::Key>, Error> {
        let table = table::find(I::TABLE).ok_or_else(|| self.damaged(I::NAME))?;
        let damaged = || self.damaged(I::NAME);
        if !table.is_stored() {
            let mut walk = Walk::new(I::TABLE, (low, high), direction, self.revision);
            let mut keys = Vec::new();
            while keys.len() < limit && !walk.has_ended() {
                walk.step(&self.layers.live, limit - keys.len(), &mut keys);
            }
            keys.truncate(limit);
            return keys.iter().map(|key| key.decode().ok_or_else(damaged)).collect();
        }
        let mut keys = Vec::new();
        if limit == 0 {
            return Ok(keys);
        }
        let mut scan = self.scan(table, low, high, direction)?;
        while let Some((key, _)) = scan.next_row()? {
            keys.push(key.decode::<I::Key>().ok_or_else(|| self.damaged(I::NAME))?);
            if keys.len() >= limit {
                break;
            }
        }
        Ok(keys)
    }

    fn rows<R: Declared>(&self, first: R::Key, limit: usize) -> Result<Vec<Arc<R>>, Error> {
        let table = table::find(R::TABLE).ok_or_else(|| self.damaged(R::NAME))?;
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        let low = Bound::Included(Key::of(&first));
        let mut scan = self.scan(table, low, Bound::Unbounded, Direction::Up)?;
        while let Some((_, found)) = scan.next_row()? {
            rows.push(self.decode(found.bytes())?);
            if rows.len() >= limit {
                break;
            }
        }
        Ok(rows)
    }
}

/// Hashes of the rows that were read for a decision: its changes need those of the rows before.
#[derive(Default)]
pub(crate) struct Seen(Vec<(TableId, Key, u128)>);

/// So few rows are found faster one after the other than by sorting them first.
const UNSORTED_MAX: usize = 32;

impl Seen {
    fn of(mut rows: Vec<(TableId, Key, u128)>) -> Self {
        if rows.len() > UNSORTED_MAX {
            rows.sort_unstable_by_key(|(table, key, _)| (*table, *key));
        }
        Self(rows)
    }

    pub(crate) fn hash(&self, table: TableId, key: &Key) -> Option<u128> {
        let Self(rows) = self;
        let row = if rows.len() > UNSORTED_MAX {
            let found = rows.binary_search_by(|(at, seen, _)| (at, seen).cmp(&(&table, key)));
            found.ok().and_then(|place| rows.get(place))
        } else {
            rows.iter().find(|(at, seen, _)| *at == table && seen == key)
        };
        row.map(|(_, _, hash)| *hash)
    }
}

/// The rows as apply sees them, with the writes of all entries so far.
pub(crate) struct Working<'a> {
    rows: Rows<'a>,
    applied: u64,
    error: Cell<Option<Error>>,
    /// The hash of each row that was read.
    seen: RefCell<Vec<(TableId, Key, u128)>>,
    scratch: RefCell<Vec<u8>>,
}

impl<'a> Working<'a> {
    /// `applied`: the revision of the last entry whose writes are in the layers.
    pub(crate) fn new(layers: &'a Layers, hot: &'a HotRows, applied: u64) -> Self {
        Self {
            applied,
            rows: Rows { layers, hot, revision: NEWEST },
            error: Cell::new(None),
            seen: RefCell::default(),
            scratch: RefCell::default(),
        }
    }

    /// The error that a read ran into, and the hashes of the rows that were read.
    pub(crate) fn finish(self) -> (Option<Error>, Seen) {
        (self.error.into_inner(), Seen::of(self.seen.into_inner()))
    }

    /// Reads cannot fail here: the first error is kept, and apply drops everything that was
    /// concluded from the view.
    fn ok<T>(&self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.error.set(Some(self.error.take().unwrap_or(error)))).ok()
    }

    fn read<R: Declared>(&self, key: Key) -> Result<Option<Arc<R>>, Error> {
        let see = |hash| self.seen.borrow_mut().push((R::TABLE, key, hash));
        if R::HOT
            && let Some(hot) = self.rows.hot.get(R::TABLE, &key)
        {
            see(hot.hash);
            return Ok(hot.row.as_ref().and_then(R::from_any).cloned());
        }
        let found = self.rows.get(R::TABLE, &key)?;
        let (mut hash, mut bytes) = (0, 0);
        let mut row = None;
        if let Some(found) = found {
            bytes = found.bytes().len();
            let mut scratch = self.scratch.borrow_mut();
            hash = row_hash(&mut scratch, R::TABLE, key.as_slice(), found.bytes());
            see(hash);
            row = Some(self.rows.decode::<R>(found.bytes())?);
        }
        if R::HOT {
            let (any, since) = (row.clone().map(R::into_any), self.applied);
            self.rows.hot.keep(R::TABLE, key, HotRow { row: any, hash, since, bytes });
        }
        Ok(row)
    }
}

impl View for Working<'_> {
    fn get<R: Declared>(&self, key: R::Key) -> Option<Arc<R>> {
        self.ok(self.read(Key::of(&key))).flatten()
    }

    fn scan<I: Index>(&self, first: I::Key, last: I::Key, limit: usize) -> Vec<I::Key> {
        let (low, high) = (Bound::Included(Key::of(&first)), Bound::Included(Key::of(&last)));
        self.ok(self.rows.keys::<I>(low, high, Direction::Up, limit)).unwrap_or_default()
    }

    fn rows<R: Declared>(&self, first: R::Key, limit: usize) -> Vec<Arc<R>> {
        self.ok(self.rows.rows(first, limit)).unwrap_or_default()
    }
}

/// Which revisions have open views.
#[derive(Default)]
pub(crate) struct OpenViews(Mutex<BTreeMap<u64, usize>>);

impl OpenViews {
    fn enter(&self, revision: u64) {
        *self.0.lock().entry(revision).or_default() += 1;
    }

    fn leave(&self, revision: u64) {
        let mut open = self.0.lock();
        if let Some(count) = open.get_mut(&revision) {
            *count -= 1;
            if *count == 0 {
                open.remove(&revision);
            }
        }
    }

    /// Who may read, while `published` is what new views begin at.
    pub(crate) fn readers(&self, published: u64) -> Readers {
        let oldest = self.0.lock().keys().next().copied();
        Readers { oldest: oldest.unwrap_or(published).min(published), newest: published }
    }
}

/// Rows at one revision, whatever is applied meanwhile. Implements [`View`].
pub struct ReadView {
    layers: Layers,
    hot: Arc<HotRows>,
    open: Arc<OpenViews>,
    applied: Applied,
    error: Mutex<Option<Error>>,
}

impl ReadView {
    /// The caller sees to it that `applied` is still the published position.
    pub(crate) fn new(
        layers: Layers,
        hot: Arc<HotRows>,
        open: Arc<OpenViews>,
        applied: Applied,
    ) -> Self {
        open.enter(applied.index());
        Self { layers, hot, open, applied, error: Mutex::new(None) }
    }

    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { layers: &self.layers, hot: &self.hot, revision: self.applied.index() }
    }

    /// How far the rows are.
    pub fn applied(&self) -> Applied {
        self.applied.clone()
    }

    /// The error that a read ran into: nothing that was concluded from the view may be used.
    pub fn error(&self) -> Option<Error> {
        self.error.lock().take()
    }

    pub(crate) fn ok<T>(&self, result: Result<T, Error>) -> Option<T> {
        result
            .map_err(|error| {
                self.error.lock().get_or_insert(error);
            })
            .ok()
    }

    fn read<R: Declared>(&self, key: Key) -> Result<Option<Arc<R>>, Error> {
        let rows = self.rows();
        if R::HOT
            && let Some(hot) = self.hot.get(R::TABLE, &key)
            && hot.since <= rows.revision
        {
            return Ok(hot.row.as_ref().and_then(R::from_any).cloned());
        }
        rows.get(R::TABLE, &key)?.map(|found| rows.decode(found.bytes())).transpose()
    }
}

impl Drop for ReadView {
    fn drop(&mut self) {
        self.open.leave(self.applied.index());
    }
}

impl View for ReadView {
    fn get<R: Declared>(&self, key: R::Key) -> Option<Arc<R>> {
        self.ok(self.read(Key::of(&key))).flatten()
    }

    fn scan<I: Index>(&self, first: I::Key, last: I::Key, limit: usize) -> Vec<I::Key> {
        let (low, high) = (Bound::Included(Key::of(&first)), Bound::Included(Key::of(&last)));
        self.ok(self.rows().keys::<I>(low, high, Direction::Up, limit)).unwrap_or_default()
    }

    fn rows<R: Declared>(&self, first: R::Key, limit: usize) -> Vec<Arc<R>> {
        self.ok(self.rows().rows(first, limit)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_every_row_that_was_read_is_found() {
        let few = u16::try_from(UNSORTED_MAX).unwrap();
        for count in [0, 1, few, few + 1, 1000] {
            let row = |n: u16| (TableId(n % 3), Key::of(&u64::from(n)), u128::from(n));
            // Neither in order nor without repeats.
            let seen = Seen::of((0..count).rev().chain(0..count).map(row).collect());
            for (table, key, hash) in (0..count).map(row) {
                assert_eq!(seen.hash(table, &key), Some(hash));
                assert_eq!(seen.hash(TableId(9), &key), None);
            }
        }
    }
}
