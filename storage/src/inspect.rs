//! Looking into a stopped directory without changing it.
//!
//! The directory is locked while it is looked at, so a node cannot start meanwhile. The state is
//! opened through a scratch layer: what redb writes when it opens a file stays in memory.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use firstcome_domain::invariant;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::TableId;
use firstcome_domain::registry::Declared;
use parking_lot::Mutex;

use crate::dir::{self, Identity, LockedDir, OpenFile, STATE_FILE};
use crate::disk::{Disk, RealDisk};
use crate::error::Error;
use crate::file;
use crate::indexes::{self, each_index_row};

use crate::memtable::NEWEST;
use crate::scan::{Base, Direction, Layers};
use crate::segments::segment::Loaded;
use crate::segments::{Entry, Mark, Marks, index};
use crate::stored::{Applied, StateHash, StateMeta, load_meta};
use crate::table::{self, Table};
use crate::view::{ReadView, row_hash};

/// Looking around needs no large page cache: 64 MiB.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Of the log at a time: 4 MiB.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A stopped directory, looked at.
pub struct Inspection {
    identity: Identity,
    layers: Layers,
    meta: Arc<StateMeta>,
    /// A damaged log must not hide the state.
    log: Result<Loaded, Error>,
    /// Whether the indexes in memory are there.
    filled: Mutex<bool>,
    /// Holds the directory's lock. Declared last, so that it is released last.
    _locked: Arc<LockedDir>,
}

/// What the log holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogSummary {
    /// What was purged last.
    pub purged: Option<Mark>,
    /// Index of the last entry, or of the purged mark.
    pub last: Option<u64>,
    /// Raft's vote.
    pub vote: Option<Bytes>,
    /// Raft's committed mark.
    pub committed: Option<Bytes>,
    /// Entries after the purged mark.
    pub entries: u64,
    /// Bytes of those entries.
    pub bytes: u64,
}

/// What a table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableSummary {
    /// Its name.
    pub name: &'static str,
    /// Whether it is part of the state hash.
    pub is_primary: bool,
    /// How many rows it has.
    pub rows: u64,
    /// How many rows that are in the file: fewer for an index whose keys are packed, none for one
    /// that lives in memory.
    pub file_rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Something that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which check: `hash`, `counts`, `index`, `log`, or the name of an invariant.
    pub check: String,
    /// What is wrong.
    pub detail: String,
}

/// Rows of one table, counted and hashed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Sum {
    rows: u64,
    bytes: u64,
    hash: u128,
}

impl Sum {
    fn add(&mut self, scratch: &mut Vec<u8>, table: TableId, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.bytes += u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX);
        self.hash = self.hash.wrapping_add(row_hash(scratch, table, key, value));
    }
}

impl Inspection {
    /// Opens a stopped directory; `InUse` while its node runs.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_on(Arc::new(RealDisk), path)
    }

    /// [`Inspection::open`] on any disk.
    pub fn open_on(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, Error> {
        let identity = dir::read_identity(&*disk, path)?;
        let locked = dir::lock(disk, path, &identity)?;
        let log = match dir::open_log(&locked, &identity, |disk, path| disk.open_read_only(path)) {
            Err(damage @ Error::Corrupt { .. }) => Err(damage),
            loaded => Ok(loaded?),
        };
        let file = locked.file(STATE_FILE);
        let handle =
            locked.disk.open_read_only(&file).map_err(|error| Error::missing(&file, error))?;
        let state = file::look_into(handle, &file, CACHE_BYTES)?;
        dir::check_identity(&file, &file::identity(&state, &file)?, &identity)?;
        let meta = Arc::new(load_meta(&state, &file)?);
        let state = Arc::new(OpenFile::new(state, Arc::clone(&locked)));
        let layers = Layers::over(Base::open(&state, &file)?);
        Ok(Self { identity, layers, meta, log, filled: Mutex::new(false), _locked: locked })
    }

    /// The rows and indexes. Those in memory are made when they are first asked for: a look at the
    /// log must not need rows that can be decoded.
    fn layers(&self) -> Result<&Layers, Error> {
        let mut filled = self.filled.lock();
        if !*filled {
            indexes::fill_live(&self.layers, None)?;
            *filled = true;
        }
        Ok(&self.layers)
    }

    /// Whose directory it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How far the last checkpoint is; `hash` is the stored one.
    pub fn applied(&self) -> Applied {
        self.meta.applied()
    }

    /// Reads rows as the last checkpoint left them.
    pub fn read<R>(&self, f: impl FnOnce(&ReadView) -> R) -> Result<R, Error> {
        let view = ReadView::new(
            self.layers()?.clone(),
            Arc::default(),
            Arc::default(),
            self.meta.applied(),
        );
        let answer = f(&view);
        view.error().map_or(Ok(answer), Err)
    }

    /// The hash of all primary rows, computed anew.
    pub fn recomputed_hash(&self) -> Result<StateHash, Error> {
        Ok(StateHash(hash_of(&self.sums()?)))
    }

    /// Every table, counted.
    pub fn tables(&self) -> Result<Vec<TableSummary>, Error> {
        let summary = |(table, sum): (Table, Sum)| {
            let file_rows = self.layers.base.file_rows(table.id)?;
            let is_primary = table.is_primary();
            let (name, rows, bytes) = (table.name, sum.rows, sum.bytes);
            Ok(TableSummary { name, is_primary, rows, file_rows, bytes })
        };
        self.sums()?.into_iter().map(summary).collect()
    }

    /// What the log holds; walks all of it.
    pub fn log(&self) -> Result<LogSummary, Error> {
        let (mut entries, mut bytes) = (0, 0);
        self.entries(0..u64::MAX, &mut |entry| {
            entries += 1;
            bytes += u64::try_from(entry.bytes.len()).unwrap_or(u64::MAX);
            true
        })?;
        let log = self.loaded()?;
        let Marks { vote, committed, purged } = log.marks.clone();
        let last = log.index.last().max(purged.as_ref().map(|mark| mark.index));
        Ok(LogSummary { purged, last, vote, committed, entries, bytes })
    }

    /// Visits the entries of a range that the log has, in order, until told to stop.
    pub fn entries(
        &self,
        range: Range<u64>,
        visit: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<(), Error> {
        let log = self.loaded()?;
        let purged = log.marks.purged.as_ref().map_or(0, |mark| mark.index + 1);
        let first = range.start.max(purged).max(log.index.first().unwrap_or(0));
        let Some(last) = log.index.last() else { return Ok(()) };
        let end = range.end.min(last.saturating_add(1));
        let mut next = first;
        while next < end {
            for (segment, row) in log.index.find(next, end - 1, READ_BYTES_MAX)? {
                let go_on = index::read(&segment, &row, |entry| {
                    let index = entry.index;
                    let go_on = !(next..end).contains(&index) || visit(entry);
                    next = next.max(index + 1);
                    go_on
                })?;
                if !go_on {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn loaded(&self) -> Result<&Loaded, Error> {
        self.log.as_ref().map_err(Error::again)
    }

    /// Checks what can be checked offline: stored hash and counts, indexes against primary rows,
    /// gaps of the log, and the invariants of the shop. An empty list means all is well; an
    /// error, that not even reading works.
    pub fn check(&self) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let mut found = |check: &str, detail: String| {
            findings.push(Finding { check: check.into(), detail });
        };
        let sums = self.sums()?;
        let (hash, stored) = (hash_of(&sums), self.meta.hash);
        if hash != stored {
            found("hash", format!("stored {stored:032x}, the rows give {hash:032x}"));
        }
        let derived = self.derived_sums()?;
        for (table, sum) in &sums {
            let (name, rows) = (table.name, sum.rows);
            if table.is_primary() {
                let stored = self.meta.count(table.id);
                if rows != stored {
                    found("counts", format!("{name}: {stored} stored, {rows} found"));
                }
                continue;
            }
            // The next start makes an index that the file does not have yet.
            if table.is_stored() && !self.meta.indexes.contains(&table.id.0) {
                continue;
            }
            let wanted = derived.get(&table.id).copied().unwrap_or_default();
            if (rows, sum.hash) != (wanted.rows, wanted.hash) {
                let wanted = wanted.rows;
                found("index", format!("{name}: {rows} rows, not the {wanted} that should be"));
            }
        }
        if let Err(error) = self.log() {
            found("log", error.to_string());
        }
        for violation in invariant::check(self)? {
            found(&format!("{:?}", violation.rule), violation.detail);
        }
        Ok(findings)
    }

    /// Hands every row of a table to `visit`, in key order.
    fn each(
        &self,
        table: Table,
        mut visit: impl FnMut(&Key, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let mut scan = self.layers()?.scan(table, all.0, all.1, Direction::Up, NEWEST)?;
        while let Some((key, found)) = scan.next_row()? {
            visit(&key, found.bytes())?;
        }
        Ok(())
    }

    fn sums(&self) -> Result<Vec<(Table, Sum)>, Error> {
        let mut scratch = Vec::new();
        let mut sums = Vec::new();
        for table in table::all() {
            let mut sum = Sum::default();
            self.each(table, |key, value| {
                sum.add(&mut scratch, table.id, key.as_slice(), value);
                Ok(())
            })?;
            sums.push((table, sum));
        }
        Ok(sums)
    }

    /// What the indexes should hold, from the primary rows.
    fn derived_sums(&self) -> Result<BTreeMap<TableId, Sum>, Error> {
        let mut sums: BTreeMap<TableId, Sum> = BTreeMap::new();
        let mut scratch = Vec::new();
        for table in table::all().filter(|table| table.is_primary()) {
            each_index_row(self.layers()?, table, Bound::Unbounded, |row| {
                let sum = sums.entry(row.table).or_default();
                sum.add(&mut scratch, row.table, row.key.as_slice(), &[]);
            })?;
        }
        Ok(sums)
    }
}

fn hash_of(sums: &[(Table, Sum)]) -> u128 {
    let primary = sums.iter().filter(|(table, _)| table.is_primary());
    primary.fold(0, |sum: u128, (_, table)| sum.wrapping_add(table.hash))
}

impl invariant::Rows for Inspection {
    type Error = Error;

    fn each<R: Declared>(&self, visit: &mut dyn FnMut(&R)) -> Result<(), Error> {
        let table = table::find(R::TABLE)
            .ok_or_else(|| Error::Invariant(format!("{} is no table", R::NAME)))?;
        Self::each(self, table, |key, value| {
            let row = crate::codec::decode_versioned::<R>(value, R::NAME);
            let row =
                row.map_err(|error| match Error::undecodable(self.layers.base.path(), error) {
                    Error::Corrupt { path, detail } => {
                        Error::Corrupt { path, detail: format!("{key:?}: {detail}") }
                    }
                    other => other,
                });
            visit(&row?);
            Ok(())
        })
    }
}
