//! Checkpoints: from memory to `state.redb`, never ahead of the log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use firstcome_fault::{Bug, Point, reach};
use redb::Database;

use super::{Applied, Saved, Shared};
use crate::error::Error;
use crate::file::{failed, guarded};
use crate::memtable::Memtable;
use crate::scan::Base;
use crate::seeded;
use crate::stored::{StateMeta, begin_durable, put_meta, write_table};
use crate::table;
use crate::write::Head;

fn write_rows(db: &Database, path: &Path, rows: &Memtable, meta: &StateMeta) -> Result<(), Error> {
    let txn = begin_durable(db, path)?;
    let mut rows = rows.newest().peekable();
    while let Some((first, _)) = rows.peek() {
        let id = first.0;
        let table = table::find(id)
            .ok_or_else(|| Error::Invariant(format!("a row of table {} was written", id.0)))?;
        let changed = std::iter::from_fn(|| rows.next_if(|((table, _), _)| *table == id));
        write_table(&txn, path, table, changed.map(|((_, key), slot)| (*key, slot.as_ref())))?;
    }
    let txn = seeded::before_position(txn, db, path)?;
    put_meta(&txn, path, meta)?;
    txn.commit().map_err(|error| failed(path, error))
}

impl Shared {
    /// Makes everything applied so far durable.
    pub(super) fn checkpoint(&self) -> Result<Applied, Error> {
        let mut saved = self.saved.lock();
        self.checkpoint_into(&mut saved)
    }

    /// [`Shared::checkpoint`] for a caller that holds the lock of the file.
    pub(super) fn checkpoint_into(&self, saved: &mut Saved) -> Result<Applied, Error> {
        self.check()?;
        self.save(saved).map_err(|error| self.fail(error))
    }

    /// New views begin with the same rows in other layers.
    fn publish_layers(&self, head: &Head) {
        self.published.write().layers = head.layers.clone();
    }

    pub(super) fn save(&self, saved: &mut Saved) -> Result<Applied, Error> {
        let (rows, meta) = {
            let mut head = self.head.lock();
            // Apply may have failed while this waited for it.
            self.check()?;
            if head.meta == saved.meta {
                self.unsaved_bytes.store(0, Ordering::Relaxed);
                self.notify_taken();
                return Ok(saved.meta.applied());
            }
            let rows = std::mem::take(&mut head.layers.active);
            head.layers.frozen = Some(Arc::clone(&rows));
            self.publish_layers(&head);
            self.unsaved_bytes.store(0, Ordering::Relaxed);
            (rows, head.meta.clone())
        };
        self.notify_taken();
        // The barrier: a state ahead of its own log cannot start after a power loss.
        seeded::unless(Bug::CheckpointAheadOfLog, || self.log.wait_durable())?;
        reach(Point::CheckpointBefore);
        guarded(&self.path, || write_rows(&saved.db, &self.path, &rows.read(), &meta))?;
        reach(Point::CheckpointAfter);
        let base = Base::open(&saved.db, &self.path)?;
        {
            let mut head = self.head.lock();
            head.layers.base = Arc::new(base);
            head.layers.frozen = None;
            self.publish_layers(&head);
        }
        let applied = meta.applied();
        saved.meta = meta;
        *self.checkpointed.lock() = applied.clone();
        Ok(applied)
    }
}
