//! Reads through three layers: active memtable, frozen memtable, last checkpoint in redb.
//!
//! A newer layer hides the same key of an older one. Ranges come in key order, either way. The
//! locks of the memtables are held for one look-up or for a few rows at a time, so no reader
//! holds apply up for longer than that. An index that lives in memory has a memtable of its own and
//! no other layer.

use std::collections::VecDeque;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::TableId;
use parking_lot::RwLock;
use redb::{AccessGuard, ReadOnlyTable, ReadableDatabase, TableError};

use crate::dir::OpenFile;
use crate::error::Error;
use crate::file::failed;
use crate::live::{LiveIndexes, Walk};
use crate::memtable::{Memtable, RowKey, Slot};
use crate::packed;
use crate::range::{BATCH_ROWS_MAX, LOOKED_AT_MAX, is_empty};
use crate::table::{self, Table};

pub use crate::range::Direction;

type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;
type DiskRange = redb::Range<'static, &'static [u8], &'static [u8]>;
type Guard = AccessGuard<'static, &'static [u8]>;

/// The rows of the last checkpoint: one read transaction, its tables opened once.
pub(crate) struct Base {
    path: PathBuf,
    tables: Vec<(TableId, Option<Rows>)>,
    /// redb reads nothing more once its file is closed.
    _file: Arc<OpenFile>,
}

impl Base {
    pub(crate) fn open(file: &Arc<OpenFile>, path: &Path) -> Result<Self, Error> {
        let txn = file.begin_read().map_err(|error| failed(path, error))?;
        let open = |table: Table| match txn.open_table(table.definition()) {
            Ok(rows) => Ok((table.id, Some(rows))),
            Err(TableError::TableDoesNotExist(_)) => Ok((table.id, None)),
            Err(error) => Err(failed(path, error)),
        };
        let tables = table::all().filter(|table| table.is_stored()).map(open);
        let tables = tables.collect::<Result<_, Error>>()?;
        Ok(Self { path: path.to_owned(), tables, _file: Arc::clone(file) })
    }

    fn rows(&self, table: TableId) -> Option<&Rows> {
        self.tables.iter().find(|(id, _)| *id == table)?.1.as_ref()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn get(&self, table: TableId, key: &Key) -> Result<Option<Guard>, Error> {
        self.rows(table).map_or(Ok(None), |rows| {
            rows.get(key.as_slice()).map_err(|error| failed(&self.path, error))
        })
    }

    fn range(
        &self,
        table: TableId,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
    ) -> Result<Option<DiskRange>, Error> {
        let Some(rows) = self.rows(table) else { return Ok(None) };
        rows.range::<&[u8]>((low, high)).map(Some).map_err(|error| failed(&self.path, error))
    }

    /// The key of the last row of the file at or before `low`: a packed row that begins there may
    /// hold keys behind `low`.
    fn row_before(&self, table: TableId, low: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut range) = self.range(table, Bound::Unbounded, Bound::Included(low))? else {
            return Ok(None);
        };
        let row = range.next_back().transpose().map_err(|error| failed(&self.path, error))?;
        Ok(row.map(|(key, _)| key.value().to_vec()))
    }

    /// Rows of a table in the file, packed or not.
    pub(crate) fn file_rows(&self, table: TableId) -> Result<u64, Error> {
        use redb::ReadableTableMetadata as _;
        self.rows(table).map_or(Ok(0), |rows| rows.len().map_err(|error| failed(&self.path, error)))
    }
}

/// The bytes of a row, wherever they are.
pub(crate) enum Found {
    Memory(Bytes),
    Disk(Guard),
}

impl Found {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Disk(guard) => guard.value(),
        }
    }
}

/// The layers, newest first, and the indexes in memory.
#[derive(Clone)]
pub(crate) struct Layers {
    pub(crate) active: Arc<RwLock<Memtable>>,
    pub(crate) frozen: Option<Arc<RwLock<Memtable>>>,
    pub(crate) base: Arc<Base>,
    pub(crate) live: Arc<RwLock<LiveIndexes>>,
}

impl Layers {
    /// Layers over a file without anything in memory.
    pub(crate) fn over(base: Base) -> Self {
        Self { active: Arc::default(), frozen: None, base: Arc::new(base), live: Arc::default() }
    }

    /// One row as a reader at `revision` sees it.
    pub(crate) fn get(
        &self,
        table: TableId,
        key: &Key,
        revision: u64,
    ) -> Result<Option<Found>, Error> {
        let row_key = (table, *key);
        for layer in [Some(&self.active), self.frozen.as_ref()].into_iter().flatten() {
            if let Some(slot) = layer.read().get(&row_key, revision) {
                return Ok(slot.clone().map(Found::Memory));
            }
        }
        Ok(self.base.get(table, key)?.map(Found::Disk))
    }

    /// All live rows between the bounds, in order, as a reader at `revision` sees them.
    pub(crate) fn scan(
        &self,
        table: Table,
        low: Bound<Key>,
        high: Bound<Key>,
        direction: Direction,
        revision: u64,
    ) -> Result<Scan, Error> {
        let mut scan = Scan { direction, memory: Vec::new(), disk: None };
        if is_empty(&low, &high) {
            return Ok(scan);
        }
        let layer = |rows: &Arc<RwLock<Memtable>>| {
            let source = Source::Rows(Arc::clone(rows));
            Batch::new(source, table.id, low, high, direction, revision)
        };
        if table.is_stored() {
            scan.memory.push(layer(&self.active));
            scan.memory.extend(self.frozen.as_ref().map(layer));
            scan.disk = DiskScan::open(&self.base, table, low, high, direction)?;
        } else {
            let walk = Walk::new(table.id, (low, high), direction, revision);
            let source = Source::Live(Arc::clone(&self.live), walk);
            scan.memory.push(Batch::new(source, table.id, low, high, direction, revision));
        }
        Ok(scan)
    }
}

/// Where the keys with a prefix end.
pub(crate) fn prefix_end(prefix: Key) -> Bound<Key> {
    prefix.successor().map_or(Bound::Unbounded, Bound::Excluded)
}

/// What a batch is taken out of.
enum Source {
    Rows(Arc<RwLock<Memtable>>),
    Live(Arc<RwLock<LiveIndexes>>, Walk),
}

/// One memtable's place in a scan: a few rows, taken out under the lock.
struct Batch {
    source: Source,
    table: TableId,
    low: Bound<RowKey>,
    high: Bound<RowKey>,
    direction: Direction,
    revision: u64,
    ahead: VecDeque<(Key, Slot)>,
    wanted: usize,
    ended: bool,
}

impl Batch {
    fn new(
        source: Source,
        table: TableId,
        low: Bound<Key>,
        high: Bound<Key>,
        direction: Direction,
        revision: u64,
    ) -> Self {
        let row_key = |bound: Bound<Key>| bound.map(|key| (table, key));
        let low = match low {
            Bound::Unbounded => Bound::Included((table, Key::EMPTY)),
            bound => row_key(bound),
        };
        let high = match high {
            Bound::Unbounded => Bound::Excluded((TableId(table.0 + 1), Key::EMPTY)),
            bound => row_key(bound),
        };
        let ahead = VecDeque::new();
        // Most scans want only the first row or two.
        let wanted = 4;
        let mut batch =
            Self { source, table, low, high, direction, revision, ahead, wanted, ended: false };
        batch.fill();
        batch
    }

    fn head(&self) -> Option<&Key> {
        self.ahead.front().map(|(key, _)| key)
    }

    fn take(&mut self) -> Option<Slot> {
        let (_, slot) = self.ahead.pop_front()?;
        if self.ahead.is_empty() {
            self.fill();
        }
        Some(slot)
    }

    fn fill(&mut self) {
        while self.ahead.is_empty() && !self.ended {
            self.take_some();
            self.wanted = (self.wanted * 4).min(BATCH_ROWS_MAX);
        }
    }

    /// Takes some rows out under the lock.
    fn take_some(&mut self) {
        let rows = match &mut self.source {
            Source::Rows(rows) => rows,
            Source::Live(indexes, walk) => {
                let mut keys = Vec::new();
                walk.step(indexes, self.wanted, &mut keys);
                self.ahead.extend(keys.into_iter().map(|key| (key, Some(Bytes::new()))));
                self.ended = walk.has_ended();
                return;
            }
        };
        let (mut looked_at, mut last) = (0, None);
        let mut look = |(key, slot): (Key, Option<&Slot>)| {
            self.ahead.extend(slot.map(|slot| (key, slot.clone())));
            looked_at += 1;
            let is_enough = self.ahead.len() == self.wanted || looked_at == LOOKED_AT_MAX;
            last = is_enough.then_some(key);
            !is_enough
        };
        {
            let rows = rows.read();
            let mut range = rows.range(self.low, self.high, self.revision);
            match self.direction {
                Direction::Up => range.all(&mut look),
                Direction::Down => range.rev().all(&mut look),
            };
        }
        match (last.map(|last| Bound::Excluded((self.table, last))), self.direction) {
            (None, _) => self.ended = true,
            (Some(edge), Direction::Up) => self.low = edge,
            (Some(edge), Direction::Down) => self.high = edge,
        }
        self.ended |= is_over(&self.low, &self.high);
    }
}

/// Whether nothing can lie between two bounds.
fn is_over(low: &Bound<RowKey>, high: &Bound<RowKey>) -> bool {
    let at = |bound: &Bound<RowKey>| match bound {
        Bound::Included(row_key) | Bound::Excluded(row_key) => Some(*row_key),
        Bound::Unbounded => None,
    };
    at(low) >= at(high)
}

/// The file's place in a scan.
struct DiskScan {
    path: PathBuf,
    table: Table,
    range: DiskRange,
    low: Bound<Key>,
    high: Bound<Key>,
    direction: Direction,
    /// Keys of a packed row that come next.
    ahead: VecDeque<Key>,
    head: Option<(Key, Option<Guard>)>,
}

impl DiskScan {
    fn open(
        base: &Base,
        table: Table,
        low: Bound<Key>,
        high: Bound<Key>,
        direction: Direction,
    ) -> Result<Option<Self>, Error> {
        let from = match (table.packed_term(), &low) {
            (Some(_), Bound::Included(key) | Bound::Excluded(key)) => {
                base.row_before(table.id, key.as_slice())?
            }
            _ => None,
        };
        let begin = match &from {
            Some(key) => Bound::Included(key.as_slice()),
            None => low.as_ref().map(Key::as_slice),
        };
        let Some(range) = base.range(table.id, begin, high.as_ref().map(Key::as_slice))? else {
            return Ok(None);
        };
        let path = base.path().to_owned();
        let ahead = VecDeque::new();
        let mut scan = Self { path, table, range, low, high, direction, ahead, head: None };
        scan.step()?;
        Ok(Some(scan))
    }

    fn step(&mut self) -> Result<(), Error> {
        self.head = None;
        loop {
            if let Some(key) = self.ahead.pop_front() {
                self.head = Some((key, None));
                return Ok(());
            }
            let row = match self.direction {
                Direction::Up => self.range.next(),
                Direction::Down => self.range.next_back(),
            };
            let Some(row) = row else { return Ok(()) };
            let (key, value) = row.map_err(|error| failed(&self.path, error))?;
            let damaged = || Error::corrupt(&self.path, format!("{}: bad key", self.table.name));
            let Some(term_bytes) = self.table.packed_term() else {
                let key = Key::from_slice(key.value())
                    .filter(|key| key.as_slice().len() == self.table.key_bytes);
                self.head = Some((key.ok_or_else(damaged)?, Some(value)));
                return Ok(());
            };
            let keys = packed::unpack(self.table, term_bytes, key.value(), value.value());
            let keys = keys.ok_or_else(damaged)?;
            let wanted = keys.into_iter().filter(|key| {
                use std::ops::RangeBounds as _;
                (self.low.as_ref(), self.high.as_ref()).contains(key)
            });
            match self.direction {
                Direction::Up => self.ahead.extend(wanted),
                Direction::Down => wanted.for_each(|key| self.ahead.push_front(key)),
            }
        }
    }
}

/// A walk over the live rows of a range.
pub(crate) struct Scan {
    direction: Direction,
    memory: Vec<Batch>,
    disk: Option<DiskScan>,
}

impl Scan {
    /// The key that comes next among all layers.
    fn next_key(&self) -> Option<Key> {
        let memory = self.memory.iter().filter_map(Batch::head).copied();
        let disk = self.disk.as_ref().and_then(|disk| Some(disk.head.as_ref()?.0));
        let keys = memory.chain(disk);
        match self.direction {
            Direction::Up => keys.min(),
            Direction::Down => keys.max(),
        }
    }

    /// The next live row; an index row has no bytes.
    pub(crate) fn next_row(&mut self) -> Result<Option<(Key, Found)>, Error> {
        while let Some(key) = self.next_key() {
            let mut newest: Option<Slot> = None;
            for layer in &mut self.memory {
                if layer.head() == Some(&key) {
                    let slot = layer.take();
                    newest = newest.or(slot);
                }
            }
            let mut on_disk = None;
            if let Some(disk) = &mut self.disk
                && disk.head.as_ref().is_some_and(|(head, _)| *head == key)
            {
                on_disk = disk.head.take();
                disk.step()?;
            }
            match (newest, on_disk) {
                (Some(Some(bytes)), _) => return Ok(Some((key, Found::Memory(bytes)))),
                (Some(None), _) | (None, None) => {}
                (None, Some((_, Some(guard)))) => return Ok(Some((key, Found::Disk(guard)))),
                (None, Some((_, None))) => return Ok(Some((key, Found::Memory(Bytes::new())))),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::Readers;

    const TABLE: TableId = TableId(1);

    /// Story: an old view looked for its next row, under the lock, through all that was written
    /// since it began.
    #[test]
    fn an_old_view_passes_by_new_rows_a_few_at_a_time() {
        const ROWS: u64 = 10 * LOOKED_AT_MAX as u64;
        let mut rows = Memtable::default();
        let readers = Readers { oldest: 1, newest: 1 };
        for n in 0..=ROWS {
            // The first and the last row are old.
            let revision = if n % ROWS == 0 { 1 } else { 2 };
            rows.set((TABLE, Key::of(&n)), Some(Bytes::new()), revision, readers);
        }
        let rows = Arc::new(RwLock::new(rows));
        for direction in [Direction::Up, Direction::Down] {
            let batch = |revision| {
                let source = Source::Rows(Arc::clone(&rows));
                Batch::new(source, TABLE, Bound::Unbounded, Bound::Unbounded, direction, revision)
            };
            let mut old = batch(1);
            let mut found = Vec::new();
            let mut locks = 1;
            loop {
                found.extend(old.ahead.drain(..).map(|(key, _)| key));
                if old.ended {
                    break;
                }
                old.take_some();
                locks += 1;
            }
            found.sort_unstable();
            assert_eq!(found, [Key::of(&0u64), Key::of(&ROWS)]);
            assert!(locks >= 10, "{ROWS} rows under {locks} locks");
            assert_eq!(batch(2).ahead.len(), 4, "a new view finds its rows at once");
        }
    }
}
