//! Checkpoints: from memory to `state.redb`, never ahead of the log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use firstcome_fault::{Bug, Point, armed, reach};
use redb::{Database, Durability, ReadableDatabase, TableError};

use super::{Applied, Saved, Shared};
use crate::Error;
use crate::codec;
use crate::file::{Definition, failed, guarded};
use crate::memtable::Memtable;
use crate::rows::StateMeta;
use crate::scan::Base;
use crate::table::Table;

/// How far the rows of a file are; one row.
const APPLIED: Definition = Definition::new("applied");
const APPLIED_KEY: &[u8] = b"applied";

/// How far a state file is; the beginning, if nothing was ever saved.
pub(crate) fn load_meta(db: &Database, path: &Path) -> Result<StateMeta, Error> {
    let txn = db.begin_read().map_err(|error| failed(path, error))?;
    let table = match txn.open_table(APPLIED) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(StateMeta::default()),
        Err(error) => return Err(failed(path, error)),
    };
    let row = table.get(APPLIED_KEY).map_err(|error| failed(path, error))?;
    let row = row.ok_or_else(|| Error::corrupt(path, "it does not say how far it is"))?;
    codec::decode(row.value()).map_err(|error| Error::corrupt(path, format!("applied: {error}")))
}

/// Writes how far the rows of this transaction are.
pub(crate) fn put_meta(
    txn: &redb::WriteTransaction,
    path: &Path,
    meta: &StateMeta,
) -> Result<(), Error> {
    let mut table = txn.open_table(APPLIED).map_err(|error| failed(path, error))?;
    table
        .insert(APPLIED_KEY, codec::encode(meta).as_slice())
        .map_err(|error| failed(path, error))?;
    Ok(())
}

/// Begins a transaction that survives a crash once committed, and that a reopening need not
/// repair: quick repair, because a state file is large.
pub(crate) fn begin_durable(db: &Database, path: &Path) -> Result<redb::WriteTransaction, Error> {
    let mut txn = db.begin_write().map_err(|error| failed(path, error))?;
    txn.set_durability(Durability::Immediate)
        .map_err(|error| Error::Invariant(error.to_string()))?;
    txn.set_quick_repair(true);
    Ok(txn)
}

fn write_rows(db: &Database, path: &Path, rows: &Memtable, meta: &StateMeta) -> Result<(), Error> {
    let mut txn = begin_durable(db, path)?;
    for table in Table::ALL {
        let mut changed = rows.rows(table).peekable();
        if changed.peek().is_none() {
            continue;
        }
        let mut stored = txn.open_table(table.definition()).map_err(|error| failed(path, error))?;
        for (key, slot) in changed {
            match slot {
                Some(value) => stored.insert(key.as_slice(), &**value),
                None => stored.remove(key.as_slice()),
            }
            .map_err(|error| failed(path, error))?;
        }
    }
    if armed(Bug::AppliedIndexInSecondTransaction) {
        txn.commit().map_err(|error| failed(path, error))?;
        txn = begin_durable(db, path)?;
    }
    put_meta(&txn, path, meta)?;
    txn.commit().map_err(|error| failed(path, error))
}

impl Shared {
    /// Makes everything applied so far durable.
    pub(super) fn checkpoint(&self) -> Result<Applied, Error> {
        let mut saved = self.saved.lock();
        self.checkpoint_into(&mut saved)
    }

    /// [`Shared::checkpoint`], by whoever holds the file.
    pub(super) fn checkpoint_into(&self, saved: &mut Saved) -> Result<Applied, Error> {
        self.check()?;
        self.save(saved).map_err(|error| self.fail(error))
    }

    fn save(&self, saved: &mut Saved) -> Result<Applied, Error> {
        let (rows, meta) = {
            let mut core = self.core.write();
            if core.meta == saved.meta {
                self.unsaved_bytes.store(0, Ordering::Relaxed);
                let _wake = self.wake.lock();
                self.taken.notify_all();
                return Ok(saved.meta.applied());
            }
            let rows = Arc::new(std::mem::take(&mut core.active));
            core.frozen = Some(Arc::clone(&rows));
            self.unsaved_bytes.store(0, Ordering::Relaxed);
            (rows, core.meta.clone())
        };
        {
            // Under the lock that waiting appliers hold between their check and their sleep.
            let _wake = self.wake.lock();
            self.taken.notify_all();
        }
        // The barrier: a state ahead of its own log cannot start after a power loss.
        if !armed(Bug::CheckpointAheadOfLog) {
            self.log.wait_durable()?;
        }
        reach(Point::CheckpointBefore);
        guarded(&self.path, || write_rows(&saved.db, &self.path, &rows, &meta))?;
        reach(Point::CheckpointAfter);
        let base = Base::open(&saved.db, &self.path)?;
        {
            let mut core = self.core.write();
            core.base = base;
            core.frozen = None;
        }
        let applied = meta.applied();
        saved.meta = meta;
        *self.checkpointed.lock() = applied.clone();
        Ok(applied)
    }
}
