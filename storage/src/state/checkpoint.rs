//! Checkpoints: from memory to `state.redb`, never ahead of the log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::TableId;
use firstcome_domain::kernel::version::Level;
use firstcome_fault::{Bug, Point, armed, reach};
use redb::{Database, Durability, ReadableDatabase, TableError};

use super::{Applied, Saved, Shared};
use crate::Error;
use crate::codec;
use crate::file::{Definition, failed, guarded};
use crate::memtable::Memtable;
use crate::packed;
use crate::scan::Base;
use crate::table::{self, Table};
use crate::write::{Core, StateMeta};

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
    let meta: StateMeta =
        codec::decode(row.value()).map_err(|error| Error::undecodable(path, error))?;
    check_known(&meta, path)?;
    Ok(meta)
}

/// Refuses rows of a feature level or of a table that this release does not know.
pub(crate) fn check_known(meta: &StateMeta, path: &Path) -> Result<(), Error> {
    let StateMeta { release, level, counts, .. } = meta;
    let (own, known) = (codec::RELEASE, Level::KNOWN.0);
    let foreign = |detail| Err(Error::Foreign { path: path.to_owned(), detail });
    if *level > known {
        return foreign(format!(
            "release {release} wrote it at feature level {level}; this is release {own}, which \
             knows levels up to {known}"
        ));
    }
    let is_known = |id: u16| table::find(TableId(id)).is_some_and(Table::is_primary);
    let unknown = counts.iter().find(|(id, rows)| **rows > 0 && !is_known(**id));
    if let Some((id, _)) = unknown {
        return foreign(format!(
            "release {release} wrote rows of table {id}; this is release {own}, which does not \
             know it"
        ));
    }
    Ok(())
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
    let mut rows = rows.newest().peekable();
    while let Some((first, _)) = rows.peek() {
        let id = first.0;
        let table = table::find(id)
            .ok_or_else(|| Error::Invariant(format!("a row of table {} was written", id.0)))?;
        let changed = std::iter::from_fn(|| rows.next_if(|((table, _), _)| *table == id));
        write_table(&txn, path, table, changed.map(|((_, key), slot)| (*key, slot.as_ref())))?;
    }
    if armed(Bug::AppliedIndexInSecondTransaction) {
        txn.commit().map_err(|error| failed(path, error))?;
        txn = begin_durable(db, path)?;
    }
    put_meta(&txn, path, meta)?;
    txn.commit().map_err(|error| failed(path, error))
}

/// Writes rows of one table, in key order; `None` removes.
pub(crate) fn write_table<'a>(
    txn: &redb::WriteTransaction,
    path: &Path,
    table: Table,
    mut rows: impl Iterator<Item = (Key, Option<&'a Bytes>)>,
) -> Result<(), Error> {
    let mut stored = txn.open_table(table.definition()).map_err(|error| failed(path, error))?;
    if let Some(term_bytes) = table.packed_term() {
        let mut removed = false;
        let keys = std::iter::from_fn(|| {
            let (key, slot) = rows.next()?;
            removed |= slot.is_none();
            Some(key)
        });
        packed::pack(table, term_bytes, keys, |first, rest| {
            stored.insert(first, rest).map(drop).map_err(|error| failed(path, error))
        })?;
        if removed {
            return Err(Error::Invariant(format!("a row of {} was removed", table.name)));
        }
        return Ok(());
    }
    for (key, slot) in rows {
        match slot {
            Some(value) => stored.insert(key.as_slice(), &**value),
            None => stored.remove(key.as_slice()),
        }
        .map_err(|error| failed(path, error))?;
    }
    Ok(())
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

    /// New views begin with the same rows in other levels.
    fn publish_levels(&self, core: &Core) {
        self.published.write().levels = core.levels.clone();
    }

    pub(super) fn save(&self, saved: &mut Saved) -> Result<Applied, Error> {
        let (rows, meta) = {
            let mut core = self.core.lock();
            // Apply may have failed while this waited for it.
            self.check()?;
            if core.meta == saved.meta {
                self.unsaved_bytes.store(0, Ordering::Relaxed);
                self.notify_taken();
                return Ok(saved.meta.applied());
            }
            let rows = std::mem::take(&mut core.levels.active);
            core.levels.frozen = Some(Arc::clone(&rows));
            self.publish_levels(&core);
            self.unsaved_bytes.store(0, Ordering::Relaxed);
            (rows, core.meta.clone())
        };
        self.notify_taken();
        // The barrier: a state ahead of its own log cannot start after a power loss.
        if !armed(Bug::CheckpointAheadOfLog) {
            self.log.wait_durable()?;
        }
        reach(Point::CheckpointBefore);
        guarded(&self.path, || write_rows(&saved.db, &self.path, &rows.read(), &meta))?;
        reach(Point::CheckpointAfter);
        let base = Base::open(&saved.db, &self.path)?;
        {
            let mut core = self.core.lock();
            core.levels.base = Arc::new(base);
            core.levels.frozen = None;
            self.publish_levels(&core);
        }
        let applied = meta.applied();
        saved.meta = meta;
        *self.checkpointed.lock() = applied.clone();
        Ok(applied)
    }
}
