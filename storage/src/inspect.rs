//! Looking into a stopped directory without changing it.
//!
//! The directory is locked while it is looked at, so a node cannot start meanwhile. Both files
//! are opened through a scratch layer: a log that was not closed in order needs redb's repair,
//! and what the repair writes stays in memory.

use std::ops::{Bound, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use firstcome_domain::event::Events;
use firstcome_domain::invariant;
use firstcome_domain::order::Order;
use firstcome_domain::product::Product;
use firstcome_domain::receipt::Receipt;
use firstcome_domain::sale::Sale;
use firstcome_domain::settings::Settings;
use firstcome_domain::stock::{LedgerRow, Pool, Usage};
use redb::{Database, ReadableDatabase};
use serde::de::DeserializeOwned;

use crate::Error;
use crate::codec;
use crate::dir::{self, Identity, LOG_FILE, Place, STATE_FILE};
use crate::disk::{Disk, RealDisk};
use crate::file::{self, failed};
use crate::key::Key;
use crate::log::{Entry, Mark, row};
use crate::query::ReadView;
use crate::rows::{Core, IndexRow, order_indexes, product_indexes, row_hash, sale_indexes};
use crate::scan::{Base, Direction};
use crate::state::checkpoint::load_meta;
use crate::state::{Applied, StateHash};
use crate::table::{PRIMARY_TABLES, TABLES, Table};

/// Looking around needs no large page cache: 64 MiB.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// A stopped directory, looked at.
pub struct Inspection {
    identity: Identity,
    log_path: PathBuf,
    core: Core,
    log: Database,
    /// The rows are read out of it.
    _state: Database,
    /// Holds the lock; last, so that it is let go last.
    _place: Arc<Place>,
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
    fn add(&mut self, scratch: &mut Vec<u8>, table: Table, key: &[u8], value: &[u8]) {
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
        let place = dir::lock(disk, path, &identity)?;
        let open = |name: &str| -> Result<Database, Error> {
            let file = place.file(name);
            let handle =
                place.disk.open_read_only(&file).map_err(|error| dir::missing(&file, error))?;
            let db = file::look_into(handle, &file, CACHE_BYTES)?;
            let found = file::identity(&db, &file)?;
            dir::check_identity(&file, &found, &identity, name == LOG_FILE)?;
            Ok(db)
        };
        let (log, state) = (open(LOG_FILE)?, open(STATE_FILE)?);
        let path = place.file(STATE_FILE);
        let core = Core::new(Base::open(&state, &path)?, load_meta(&state, &path)?);
        let log_path = place.file(LOG_FILE);
        Ok(Self { identity, log_path, core, log, _state: state, _place: place })
    }

    /// Whose directory it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How far the last checkpoint is; `hash` is the stored one.
    pub fn applied(&self) -> Applied {
        self.core.meta.applied()
    }

    /// Reads rows as the last checkpoint left them.
    pub fn read<R>(&self, f: impl FnOnce(&ReadView<'_>) -> R) -> Result<R, Error> {
        let view = ReadView::new(&self.core);
        let answer = f(&view);
        view.finish().0.map_or(Ok(answer), Err)
    }

    /// The hash of all primary rows, computed anew.
    pub fn recomputed_hash(&self) -> Result<StateHash, Error> {
        let sums = self.sums()?;
        let primary = sums.iter().take(PRIMARY_TABLES);
        Ok(StateHash(primary.fold(0, |sum, table| sum.wrapping_add(table.hash))))
    }

    /// Every table, counted.
    pub fn tables(&self) -> Result<Vec<TableSummary>, Error> {
        let summary = |(table, sum): (Table, Sum)| TableSummary {
            name: table.name(),
            is_primary: table.is_primary(),
            rows: sum.rows,
            bytes: sum.bytes,
        };
        Ok(Table::ALL.into_iter().zip(self.sums()?).map(summary).collect())
    }

    /// What the log holds; walks all of it.
    pub fn log(&self) -> Result<LogSummary, Error> {
        let (marks, last) = row::load(&self.log_path, &self.log_read()?)?;
        let last = last.max(marks.purged.as_ref().map(|mark| mark.index));
        let (mut entries, mut bytes) = (0, 0);
        self.entries(0..u64::MAX, &mut |entry| {
            entries += 1;
            bytes += u64::try_from(entry.bytes.len()).unwrap_or(u64::MAX);
            true
        })?;
        let (vote, committed) = (marks.vote, marks.committed);
        Ok(LogSummary { purged: marks.purged, last, vote, committed, entries, bytes })
    }

    /// Visits the entries of a range that the log has, in order, until told to stop. A gap is
    /// `Corrupt`.
    pub fn entries(
        &self,
        range: Range<u64>,
        visit: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<(), Error> {
        let txn = self.log_read()?;
        let (marks, last) = row::load(&self.log_path, &txn)?;
        let first = range.start.max(marks.purged.map_or(0, |mark| mark.index + 1));
        match (last, range.end.checked_sub(1)) {
            (Some(last), Some(end)) if first <= last.min(end) => {
                row::read(&self.log_path, &txn, first, last.min(end), visit)
            }
            _ => Ok(()),
        }
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
        let hash = sums.iter().take(PRIMARY_TABLES).fold(0_u128, |a, b| a.wrapping_add(b.hash));
        if hash != self.core.meta.hash {
            found(
                "hash",
                format!("stored {:032x}, the rows give {hash:032x}", self.core.meta.hash),
            );
        }
        for (table, (sum, stored)) in Table::ALL.iter().zip(sums.iter().zip(self.core.meta.counts))
        {
            if sum.rows != stored {
                found("counts", format!("{}: {stored} stored, {} found", table.name(), sum.rows));
            }
        }
        for (table, (sum, derived)) in
            Table::ALL.iter().zip(sums.iter().zip(self.derived_sums()?)).skip(PRIMARY_TABLES)
        {
            if (sum.rows, sum.hash) != (derived.rows, derived.hash) {
                let (name, rows, wanted) = (table.name(), sum.rows, derived.rows);
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

    fn log_read(&self) -> Result<redb::ReadTransaction, Error> {
        self.log.begin_read().map_err(|error| failed(&self.log_path, error))
    }

    /// Hands every row of a table to `visit`, in key order.
    fn each(
        &self,
        table: Table,
        mut visit: impl FnMut(&Key, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let levels = self.core.levels();
        let mut scan = levels.scan(table, Bound::Unbounded, Bound::Unbounded, Direction::Up)?;
        while let Some((key, found)) = scan.next_row()? {
            visit(&key, found.bytes())?;
        }
        Ok(())
    }

    /// Hands every row of a table to `visit`, decoded.
    fn each_decoded<T: DeserializeOwned>(
        &self,
        table: Table,
        mut visit: impl FnMut(&T),
    ) -> Result<(), Error> {
        self.each(table, |key, value| {
            let row = codec::decode(value).map_err(|error| {
                let detail = format!("{} {key:?}: {error}", table.name());
                Error::corrupt(self.core.base.path(), detail)
            })?;
            visit(&row);
            Ok(())
        })
    }

    fn sums(&self) -> Result<[Sum; TABLES], Error> {
        let mut sums = [Sum::default(); TABLES];
        let mut scratch = Vec::new();
        for (table, sum) in Table::ALL.into_iter().zip(&mut sums) {
            self.each(table, |key, value| {
                sum.add(&mut scratch, table, key.as_slice(), value);
                Ok(())
            })?;
        }
        Ok(sums)
    }

    /// What the indexes should hold, from the primary rows. Primary tables are only decoded.
    fn derived_sums(&self) -> Result<[Sum; TABLES], Error> {
        let mut sums = [Sum::default(); TABLES];
        let mut scratch = Vec::new();
        let mut add = |(table, key): IndexRow, value: &[u8]| {
            if let Some(sum) = sums.get_mut(table.place()) {
                sum.add(&mut scratch, table, key.as_slice(), value);
            }
        };
        self.each_decoded(Table::Products, |row: &Product| {
            for index in product_indexes(row) {
                add(index, &[]);
            }
        })?;
        self.each_decoded(Table::Sales, |row: &Sale| {
            for index in sale_indexes(row) {
                add(index, &[]);
            }
        })?;
        self.each_decoded(Table::Orders, |row: &Order| {
            for index in order_indexes(row) {
                add(index, &[]);
            }
        })?;
        self.each_decoded(Table::Receipts, |row: &Receipt| {
            let revision = row.stamp.revision.get().to_be_bytes();
            add((Table::ReceiptScopes, Key::new().scope(row.key.scope)), &revision);
        })?;
        self.each_decoded(Table::Events, |_: &Events| {})?;
        self.each_decoded(Table::Settings, |_: &Settings| {})?;
        Ok(sums)
    }
}

impl invariant::Rows for Inspection {
    type Error = Error;

    fn each_pool(&self, visit: &mut dyn FnMut(&Pool)) -> Result<(), Error> {
        self.each_decoded(Table::Pools, visit)
    }

    fn each_sale(&self, visit: &mut dyn FnMut(&Sale)) -> Result<(), Error> {
        self.each_decoded(Table::Sales, visit)
    }

    fn each_ledger_row(&self, visit: &mut dyn FnMut(&LedgerRow)) -> Result<(), Error> {
        self.each_decoded(Table::Ledger, visit)
    }

    fn each_order(&self, visit: &mut dyn FnMut(&Order)) -> Result<(), Error> {
        self.each_decoded(Table::Orders, visit)
    }

    fn each_usage(&self, visit: &mut dyn FnMut(&Usage)) -> Result<(), Error> {
        self.each_decoded(Table::Usage, visit)
    }
}
