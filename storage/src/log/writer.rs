//! The one writer of the log: a batch of ops in, one frame, one sync, callbacks out.

use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use firstcome_fault::{Bug, Point, reach};

use super::queue::Op;
use super::{Done, Entry, Marks, Shared};
use crate::error::Error;
use crate::seeded;
use crate::segments::frame::FrameBuilder;
use crate::segments::index::Row;
use crate::segments::segment::Tail;

/// Ops and bytes of entries in one frame at most, unless a single op has more: bounds the frame, not
/// the throughput.
const BATCH_OPS_MAX: usize = 4096;
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// State of the writer between commits.
pub(super) struct Writer {
    tail: Tail,
    /// As the segments say.
    marks: Marks,
    segment_bytes: u64,
    frame: FrameBuilder,
    /// Whether there may be segments that nobody needs any more.
    is_purging: bool,
}

/// What one commit does.
#[derive(Default)]
struct Batch {
    ops: Vec<Op>,
    committed: Option<Bytes>,
    seq: u64,
}

/// What a frame changes in the index once it is durable.
enum Change {
    Append { first: u64, count: u32, record: u32 },
    Truncate(u64),
    Purge(u64),
}

impl Writer {
    pub(super) fn new(tail: Tail, marks: Marks, segment_bytes: u64) -> Self {
        // Some segments may be left from before a crash.
        let is_purging = marks.purged.is_some();
        Self { tail, marks, segment_bytes, frame: FrameBuilder::default(), is_purging }
    }

    pub(super) fn is_purging(&self) -> bool {
        self.is_purging
    }

    /// Takes what is queued, commits it, and runs the callbacks in order. Then removes one segment
    /// that nobody needs.
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
        if error.is_none()
            && let Err(error) = self.remove_obsolete(shared)
        {
            shared.fail(error);
        }
    }

    fn drain(shared: &Shared) -> Batch {
        let mut queue = shared.queue.lock();
        let mut bytes = 0;
        let fits = |op: &&Op| {
            let before = bytes;
            bytes += op.bytes();
            before < BATCH_BYTES_MAX
        };
        let count = queue.ops.iter().take(BATCH_OPS_MAX).take_while(fits).count();
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

    /// One frame. The callbacks land in `done` whatever happens.
    fn commit(
        &mut self,
        shared: &Shared,
        batch: Batch,
        done: &mut Vec<(Done, Option<Bytes>)>,
    ) -> Result<(), Error> {
        let syncs = syncs(&batch.ops);
        let (frame, mut marks) = (&mut self.frame, self.marks.clone());
        frame.clear();
        if let Some(mark) = batch.committed {
            frame.committed(&mark);
            marks.committed = Some(mark);
        }
        let mut changes = Vec::new();
        let mut run: Vec<Entry> = Vec::new();
        for op in batch.ops {
            if !matches!(op, Op::Append(..)) {
                append(frame, &mut run, &mut changes);
            }
            match op {
                Op::Append(entries, callback) => {
                    done.push((callback, None));
                    count(shared, &entries);
                    run.extend(entries);
                }
                Op::Vote(vote, callback) => {
                    frame.vote(&vote);
                    marks.vote = Some(vote.clone());
                    done.push((callback, Some(vote)));
                }
                Op::Truncate(from, callback) => {
                    done.push((callback, None));
                    frame.truncated(from);
                    changes.push(Change::Truncate(from));
                }
                Op::Purge(mark, callback) => {
                    done.push((callback, None));
                    frame.purged(&mark);
                    changes.push(Change::Purge(seeded::purged_upto(mark.index)));
                    marks.purged = Some(mark);
                    self.is_purging = true;
                }
            }
        }
        append(frame, &mut run, &mut changes);
        if frame.is_empty() {
            return Ok(());
        }
        if self.tail.is_full_for(frame, self.segment_bytes) {
            let earlier = shared.index.lock().extent();
            self.tail.rotate(&*shared.locked.disk, &self.marks, earlier)?;
            shared.index.lock().segments.push_back(self.tail.segment());
        }
        let at = self.tail.write(frame)?;
        if syncs {
            self.tail.sync()?;
        }
        self.marks = marks;
        self.change(shared, at, changes);
        Ok(())
    }

    fn change(&self, shared: &Shared, frame: u64, changes: Vec<Change>) {
        let mut index = shared.index.lock();
        for change in changes {
            match change {
                Change::Append { first, count, record } => index.append(Row {
                    first,
                    count,
                    segment: self.tail.segment().number,
                    frame: u32::try_from(frame).unwrap_or(u32::MAX),
                    payload_bytes: self.frame.payload_bytes(),
                    record,
                }),
                Change::Truncate(from) => index.truncate(from),
                Change::Purge(upto) => index.purge(upto),
            }
        }
    }

    /// One segment at a time, so that a crash never leaves a hole in front of one that is left.
    fn remove_obsolete(&mut self, shared: &Shared) -> Result<(), Error> {
        if !self.is_purging {
            return Ok(());
        }
        let obsolete = shared.index.lock().obsolete();
        let Some(segment) = obsolete else {
            self.is_purging = false;
            return Ok(());
        };
        let (disk, path) = (&shared.locked.disk, &segment.path);
        disk.remove(path).map_err(|error| Error::io(path, error))?;
        disk.sync_dir(&shared.locked.path).map_err(|error| Error::io(path, error))?;
        shared.index.lock().segments.pop_front();
        Ok(())
    }
}

/// Adds the entries collected so far.
fn append(frame: &mut FrameBuilder, run: &mut Vec<Entry>, changes: &mut Vec<Change>) {
    if let Some(first) = run.first().map(|entry| entry.index) {
        let (count, record) = frame.entries(run);
        changes.push(Change::Append { first, count, record });
        run.clear();
    }
}

/// Whatever is in a commit, it is synced before anybody hears of it.
fn syncs(ops: &[Op]) -> bool {
    let has = |wanted: fn(&Op) -> bool| ops.iter().any(wanted);
    seeded::log_syncs(has(|op| matches!(op, Op::Append(..))), has(|op| matches!(op, Op::Vote(..))))
}

fn count(shared: &Shared, entries: &[Entry]) {
    let bytes: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
    let add = |counter: &std::sync::atomic::AtomicU64, by: usize| {
        counter.fetch_add(u64::try_from(by).unwrap_or(u64::MAX), Ordering::Relaxed);
    };
    add(&shared.counters.entries, entries.len());
    add(&shared.counters.bytes, bytes);
}
