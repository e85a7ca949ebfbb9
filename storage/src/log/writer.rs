//! The one writer of `log.redb`: a batch of ops in, one commit, callbacks out.

use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use firstcome_fault::{Bug, Point, reach};
use redb::Durability;

use super::queue::Op;
use super::row::{self, COMMITTED, ENTRIES, PURGED, VOTE};
use super::{Done, Entry, Shared};
use crate::error::Error;
use crate::file::failed;
use crate::seeded;

/// Rows removed per commit while purging: about 10 ms, so that appends do not wait longer.
const PURGE_ROWS_MAX: usize = 4096;

/// Entries drained into one commit at most: bounds the transaction, not the throughput.
const BATCH_OPS_MAX: usize = 4096;

/// State of the writer between commits.
#[derive(Default)]
pub(super) struct Writer {
    /// Rows up to this index are being removed.
    purging: Option<u64>,
}

/// What one commit does.
#[derive(Default)]
struct Batch {
    ops: Vec<Op>,
    committed: Option<Bytes>,
    seq: u64,
}

impl Writer {
    pub(super) fn is_purging(&self) -> bool {
        self.purging.is_some()
    }

    /// Takes what is queued, commits it, and runs the callbacks in order.
    pub(super) fn run(&mut self, shared: &Shared) {
        let batch = Self::drain(shared);
        let seq = batch.seq;
        let started = Instant::now();
        reach(Point::LogAppendBefore);
        let mut done: Vec<(Done, Option<Bytes>)> = Vec::with_capacity(batch.ops.len());
        let result = self.commit(shared, batch, &mut done);
        reach(Point::LogAppendAfter);
        let result = seeded::unless(Bug::IoErrorIgnored, || result);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let error = match result {
            Ok(()) => {
                let mut queue = shared.queue.lock();
                queue.settle(seq);
                if let Some(vote) = done.iter_mut().rev().find_map(|(_, vote)| vote.take()) {
                    queue.marks.vote = Some(vote);
                }
                None
            }
            Err(error) => {
                let answer = error.to_io();
                shared.fail(error);
                Some(answer)
            }
        };
        let counters = &shared.counters;
        counters.commits.fetch_add(1, Ordering::Relaxed);
        counters.commit_micros_last.store(micros, Ordering::Relaxed);
        counters.commit_micros_total.fetch_add(micros, Ordering::Relaxed);
        shared.settled.notify_all();
        reach(Point::FlushCallback);
        for (done, _) in done {
            done(error.as_ref().map_or(Ok(()), |error| Err(crate::error::same_io_error(error))));
        }
    }

    fn drain(shared: &Shared) -> Batch {
        let mut queue = shared.queue.lock();
        let count = queue.ops.len().min(BATCH_OPS_MAX);
        let ops: Vec<Op> = queue.ops.drain(..count).collect();
        let left = u64::try_from(queue.ops.len()).unwrap_or(u64::MAX);
        let seq = queue.queued.saturating_sub(left);
        let committed = if queue.committed_unsaved {
            queue.committed_unsaved = false;
            queue.marks.committed.clone()
        } else {
            None
        };
        Batch { ops, committed, seq }
    }

    /// One transaction. The callbacks land in `done` whatever happens.
    fn commit(
        &mut self,
        shared: &Shared,
        batch: Batch,
        done: &mut Vec<(Done, Option<Bytes>)>,
    ) -> Result<(), Error> {
        let path = &shared.path;
        let durability = durability(&batch.ops);
        let mut ops = batch.ops.into_iter();
        let mut work = || -> Result<(), Error> {
            let mut txn = shared.db.begin_write().map_err(|error| failed(path, error))?;
            txn.set_durability(durability).map_err(|error| Error::Invariant(error.to_string()))?;
            if let Some(mark) = &batch.committed {
                row::put_mark(path, &txn, COMMITTED, mark)?;
            }
            {
                let mut rows = txn.open_table(ENTRIES).map_err(|error| failed(path, error))?;
                let mut run: Vec<Entry> = Vec::new();
                for op in ops.by_ref() {
                    if !matches!(op, Op::Append(..)) {
                        row::append(path, &mut rows, &run)?;
                        run.clear();
                    }
                    match op {
                        Op::Append(entries, callback) => {
                            done.push((callback, None));
                            count(shared, &entries);
                            run.extend(entries);
                        }
                        Op::Vote(vote, callback) => {
                            done.push((callback, Some(vote.clone())));
                            row::put_mark(path, &txn, VOTE, &vote)?;
                        }
                        Op::Truncate(from, callback) => {
                            done.push((callback, None));
                            row::truncate(path, &mut rows, from)?;
                        }
                        Op::Purge(mark, callback) => {
                            done.push((callback, None));
                            row::put_mark(path, &txn, PURGED, &row::encode_mark(&mark))?;
                            let upto = seeded::purged_upto(mark.index);
                            self.purging = self.purging.max(Some(upto));
                        }
                    }
                }
                row::append(path, &mut rows, &run)?;
                if let Some(upto) = self.purging
                    && !row::purge(path, &mut rows, upto, PURGE_ROWS_MAX)?
                {
                    self.purging = None;
                }
            }
            txn.commit().map_err(|error| failed(path, error))
        };
        let result = work();
        done.extend(ops.map(|op| (op.into_done(), None)));
        result
    }
}

/// Whatever is in a commit, it is synced before anybody hears of it.
fn durability(ops: &[Op]) -> Durability {
    let has = |wanted: fn(&Op) -> bool| ops.iter().any(wanted);
    seeded::durability(has(|op| matches!(op, Op::Append(..))), has(|op| matches!(op, Op::Vote(..))))
}

fn count(shared: &Shared, entries: &[Entry]) {
    let bytes: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
    let add = |counter: &std::sync::atomic::AtomicU64, by: usize| {
        counter.fetch_add(u64::try_from(by).unwrap_or(u64::MAX), Ordering::Relaxed);
    };
    add(&shared.counters.entries, entries.len());
    add(&shared.counters.bytes, bytes);
}
