//! What callers of the log see at once: the queue, the entries in memory, and the marks.
//!
//! An entry that is not durable yet exists only here, so it is never dropped; older ones go when
//! the cache is full.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Done, Entry, Mark, Marks};
use crate::error::Error;

/// One thing to make durable, in the order of the queue.
pub(super) enum Op {
    Append(Vec<Entry>, Done),
    Vote(Bytes, Done),
    /// Drops all entries from this index on.
    Truncate(u64, Done),
    Purge(Mark, Done),
}

impl Op {
    /// Bytes of its entries.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append(entries, _) => entries.iter().map(|entry| entry.bytes.len()).sum(),
            Self::Vote(..) | Self::Truncate(..) | Self::Purge(..) => 0,
        }
    }

    pub(super) fn into_done(self) -> Done {
        match self {
            Self::Append(_, done)
            | Self::Vote(_, done)
            | Self::Truncate(_, done)
            | Self::Purge(_, done) => done,
        }
    }
}

/// Entries of one append that are not durable yet.
struct Pending {
    seq: u64,
    first: u64,
    last: u64,
}

/// Everything behind the log's one lock.
pub(super) struct Queue {
    pub(super) ops: VecDeque<Op>,
    /// Number of ops ever queued, and of those that are durable.
    pub(super) queued: u64,
    pub(super) durable: u64,
    /// Marks as callers see them; the vote only once it is durable.
    pub(super) marks: Marks,
    pub(super) committed_unsaved: bool,
    pub(super) last: Option<u64>,
    /// Where a log that was never purged begins; an empty one begins wherever it is told to.
    began: u64,
    pub(super) closing: bool,
    pub(super) failure: Option<Error>,
    /// Entries that follow each other.
    cache: VecDeque<Entry>,
    cache_bytes: usize,
    cache_bytes_max: usize,
    pending: VecDeque<Pending>,
}

impl Queue {
    pub(super) fn new(marks: Marks, began: u64, last: Option<u64>, cache_bytes_max: usize) -> Self {
        Self {
            ops: VecDeque::new(),
            queued: 0,
            durable: 0,
            marks,
            committed_unsaved: false,
            last,
            began,
            closing: false,
            failure: None,
            cache: VecDeque::new(),
            cache_bytes: 0,
            cache_bytes_max,
            pending: VecDeque::new(),
        }
    }

    pub(super) fn purged_index(&self) -> Option<u64> {
        self.marks.purged.as_ref().map(|mark| mark.index)
    }

    /// The first index that exists or will exist.
    pub(super) fn first(&self) -> u64 {
        self.purged_index().map_or(self.began, |index| index + 1)
    }

    pub(super) fn push(&mut self, op: Op) {
        self.queued += 1;
        match &op {
            Op::Append(entries, _) => self.remember(entries),
            Op::Truncate(from, _) => self.forget_from(*from),
            Op::Purge(mark, _) => self.forget_to(mark),
            Op::Vote(..) => {}
        }
        self.ops.push_back(op);
    }

    fn remember(&mut self, entries: &[Entry]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        if self.cache.back().is_some_and(|newest| newest.index + 1 != first.index) {
            self.cache.clear();
            self.cache_bytes = 0;
        }
        self.pending.push_back(Pending { seq: self.queued, first: first.index, last: last.index });
        self.cache_bytes += entries.iter().map(|entry| entry.bytes.len()).sum::<usize>();
        self.cache.extend(entries.iter().cloned());
        if self.last.is_none() {
            self.began = first.index;
        }
        self.last = Some(last.index);
        self.evict();
    }

    fn forget_from(&mut self, from: u64) {
        while self.cache.back().is_some_and(|entry| entry.index >= from) {
            self.drop_newest();
        }
        self.pending.retain(|pending| pending.first < from);
        if let Some(newest) = self.pending.back_mut() {
            newest.last = newest.last.min(from.saturating_sub(1));
        }
        if self.last.is_some_and(|last| last >= from) {
            let kept = from.checked_sub(1).filter(|last| *last >= self.first());
            self.last = kept.or(self.purged_index());
        }
    }

    fn forget_to(&mut self, mark: &Mark) {
        while self.cache.front().is_some_and(|entry| entry.index <= mark.index) {
            self.drop_oldest();
        }
        self.pending.retain(|pending| pending.last > mark.index);
        self.last = self.last.max(Some(mark.index));
        self.marks.purged = Some(mark.clone());
    }

    /// Notes that the first `seq` ops are durable.
    pub(super) fn settle(&mut self, seq: u64) {
        self.durable = seq;
        while self.pending.front().is_some_and(|pending| pending.seq <= seq) {
            self.pending.pop_front();
        }
        self.evict();
    }

    fn evict(&mut self) {
        let pinned = self.pending.front().map_or(u64::MAX, |pending| pending.first);
        while self.cache_bytes > self.cache_bytes_max
            && self.cache.front().is_some_and(|entry| entry.index < pinned)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.cache.pop_front() {
            self.cache_bytes -= entry.bytes.len();
        }
    }

    fn drop_newest(&mut self) {
        if let Some(entry) = self.cache.pop_back() {
            self.cache_bytes -= entry.bytes.len();
        }
    }

    /// Index of the oldest entry in memory.
    pub(super) fn cached_from(&self) -> Option<u64> {
        self.cache.front().map(|entry| entry.index)
    }

    /// Entries in memory from `first` on.
    pub(super) fn cached(&self, first: u64) -> impl Iterator<Item = &Entry> {
        let skip = self.cached_from().map_or(0, |oldest| first.saturating_sub(oldest));
        self.cache.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX))
    }
}
