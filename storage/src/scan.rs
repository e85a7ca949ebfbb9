//! Reads through three levels: active memtable, frozen memtable, last checkpoint in redb.
//!
//! A newer level hides the same key of an older one. Ranges come in key order, either way.

use std::collections::btree_map::Range;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use redb::{AccessGuard, Database, ReadOnlyTable, ReadableDatabase, TableError};

use crate::Error;
use crate::file::failed;
use crate::key::Key;
use crate::memtable::{Memtable, Slot};
use crate::table::Table;

type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;
type DiskRange = redb::Range<'static, &'static [u8], &'static [u8]>;
type Guard = AccessGuard<'static, &'static [u8]>;

/// The rows of the last checkpoint: one read transaction, its tables opened once.
pub(crate) struct Base {
    path: PathBuf,
    tables: Vec<Option<Rows>>,
}

impl Base {
    pub(crate) fn open(db: &Database, path: &Path) -> Result<Self, Error> {
        let txn = db.begin_read().map_err(|error| failed(path, error))?;
        let open = |table: &Table| match txn.open_table(table.definition()) {
            Ok(rows) => Ok(Some(rows)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(failed(path, error)),
        };
        let tables = Table::ALL.iter().map(open).collect::<Result<_, Error>>()?;
        Ok(Self { path: path.to_owned(), tables })
    }

    fn rows(&self, table: Table) -> Option<&Rows> {
        self.tables.get(table.place())?.as_ref()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn get(&self, table: Table, key: &Key) -> Result<Option<Guard>, Error> {
        self.rows(table).map_or(Ok(None), |rows| {
            rows.get(key.as_slice()).map_err(|error| failed(&self.path, error))
        })
    }

    fn range(
        &self,
        table: Table,
        low: Bound<Key>,
        high: Bound<Key>,
    ) -> Result<Option<DiskRange>, Error> {
        let Some(rows) = self.rows(table) else { return Ok(None) };
        let bounds = (low.as_ref().map(Key::as_slice), high.as_ref().map(Key::as_slice));
        rows.range::<&[u8]>(bounds).map(Some).map_err(|error| failed(&self.path, error))
    }
}

/// The bytes of a row, wherever they are.
pub(crate) enum Found<'a> {
    Memory(&'a [u8]),
    Disk(Guard),
}

impl Found<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Disk(guard) => guard.value(),
        }
    }
}

/// The three levels, newest first.
#[derive(Clone, Copy)]
pub(crate) struct Levels<'a> {
    pub(crate) active: &'a Memtable,
    pub(crate) frozen: Option<&'a Memtable>,
    pub(crate) base: &'a Base,
}

/// Which way a scan or a list goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// In key order: oldest first.
    Up,
    /// Against it: newest first.
    #[default]
    Down,
}

impl<'a> Levels<'a> {
    pub(crate) fn get(self, table: Table, key: &Key) -> Result<Option<Found<'a>>, Error> {
        for level in [Some(self.active), self.frozen].into_iter().flatten() {
            if let Some(slot) = level.get(table, key) {
                return Ok(slot.as_deref().map(Found::Memory));
            }
        }
        Ok(self.base.get(table, key)?.map(Found::Disk))
    }

    /// All live rows between the bounds, in order.
    pub(crate) fn scan(
        self,
        table: Table,
        low: Bound<Key>,
        high: Bound<Key>,
        direction: Direction,
    ) -> Result<Scan<'a>, Error> {
        if is_empty(&low, &high) {
            return Ok(Scan::nothing(self.base, direction));
        }
        let mut scan = Scan {
            path: self.base.path(),
            direction,
            memory: [
                Some(MemoryHead::new(self.active.range(table, low, high), direction)),
                self.frozen.map(|level| MemoryHead::new(level.range(table, low, high), direction)),
            ],
            disk: self.base.range(table, low, high)?,
            disk_head: None,
        };
        scan.step_disk()?;
        Ok(scan)
    }
}

/// Where the keys with a prefix end.
pub(crate) fn prefix_end(prefix: Key) -> Bound<Key> {
    prefix.successor().map_or(Bound::Unbounded, Bound::Excluded)
}

/// Whether nothing lies between the bounds; map ranges must not be asked for such.
fn is_empty(low: &Bound<Key>, high: &Bound<Key>) -> bool {
    match (low, high) {
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high))
        | (Bound::Excluded(low), Bound::Included(high)) => low >= high,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

/// One memtable's place in a scan.
struct MemoryHead<'a> {
    range: Range<'a, Key, Slot>,
    head: Option<(&'a Key, &'a Slot)>,
}

impl<'a> MemoryHead<'a> {
    fn new(range: Range<'a, Key, Slot>, direction: Direction) -> Self {
        let mut level = Self { range, head: None };
        level.step(direction);
        level
    }

    fn step(&mut self, direction: Direction) {
        self.head = match direction {
            Direction::Up => self.range.next(),
            Direction::Down => self.range.next_back(),
        };
    }
}

/// A walk over the live rows of a range.
pub(crate) struct Scan<'a> {
    path: &'a Path,
    direction: Direction,
    memory: [Option<MemoryHead<'a>>; 2],
    disk: Option<DiskRange>,
    disk_head: Option<(Key, Guard)>,
}

impl<'a> Scan<'a> {
    fn nothing(base: &'a Base, direction: Direction) -> Self {
        Self { path: base.path(), direction, memory: [None, None], disk: None, disk_head: None }
    }

    fn step_disk(&mut self) -> Result<(), Error> {
        self.disk_head = None;
        let Some(range) = &mut self.disk else { return Ok(()) };
        let row = match self.direction {
            Direction::Up => range.next(),
            Direction::Down => range.next_back(),
        };
        if let Some(row) = row {
            let (key, value) = row.map_err(|error| failed(self.path, error))?;
            let key = Key::from_slice(key.value())
                .ok_or_else(|| Error::corrupt(self.path, "a key is longer than any key"))?;
            self.disk_head = Some((key, value));
        }
        Ok(())
    }

    /// The key that comes next among all levels.
    fn next_key(&self) -> Option<Key> {
        let memory =
            self.memory.iter().flatten().filter_map(|level| level.head.map(|(key, _)| *key));
        let keys = memory.chain(self.disk_head.as_ref().map(|(key, _)| *key));
        match self.direction {
            Direction::Up => keys.min(),
            Direction::Down => keys.max(),
        }
    }

    /// The next live row.
    pub(crate) fn next_row(&mut self) -> Result<Option<(Key, Found<'a>)>, Error> {
        while let Some(key) = self.next_key() {
            let mut newest: Option<&'a Slot> = None;
            for level in self.memory.iter_mut().flatten() {
                if let Some((_, slot)) = level.head.filter(|(head, _)| **head == key) {
                    newest = newest.or(Some(slot));
                    level.step(self.direction);
                }
            }
            let mut disk = None;
            if self.disk_head.as_ref().is_some_and(|(head, _)| *head == key) {
                disk = self.disk_head.take().map(|(_, value)| value);
                self.step_disk()?;
            }
            match (newest, disk) {
                (Some(Some(bytes)), _) => return Ok(Some((key, Found::Memory(bytes)))),
                (Some(None), _) | (None, None) => {}
                (None, Some(guard)) => return Ok(Some((key, Found::Disk(guard)))),
            }
        }
        Ok(None)
    }
}
