//! The Raft log on disk: one thread, one transaction, one fsync for everything queued.

use std::ops::Range;

use bytes::Bytes;

use crate::{DataDir, Error};

/// One log entry; opaque but for its index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Place in the log, from 0 (openraft's membership entry) up, without gaps.
    pub index: u64,
    /// Raft's own encoding of log id and payload.
    pub bytes: Bytes,
}

/// A position that was purged: the index, and Raft's own encoding of its log id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Last index that is gone.
    pub index: u64,
    /// Opaque.
    pub bytes: Bytes,
}

/// Called by the log thread after the commit; `Err` stops the node.
pub type Done = Box<dyn FnOnce(std::io::Result<()>) + Send>;

/// Limits of the log.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Entries kept in memory for replication and apply, in bytes of `Entry::bytes`.
    pub cache_bytes: usize,
}

/// Handle to the log; cheap to clone.
#[derive(Clone)]
pub struct Log {}

impl Log {
    /// Opens `log.redb` and starts the log thread.
    pub fn open(_dir: &DataDir, _options: LogOptions) -> Result<Self, Error> {
        unimplemented!()
    }
    /// What was purged last.
    pub fn purged(&self) -> Option<Mark> {
        unimplemented!()
    }
    /// The last entry's index; `None` in an empty log that was never purged; the purged index if
    /// everything was purged.
    pub fn last_index(&self) -> Option<u64> {
        unimplemented!()
    }
    /// The last saved vote, durable.
    pub fn vote(&self) -> Option<Bytes> {
        unimplemented!()
    }
    /// The last saved committed mark (rides on commits, so it may be behind after a crash).
    pub fn committed(&self) -> Option<Bytes> {
        unimplemented!()
    }
    /// Queues entries; readable when this returns, durable when `done` is called. An index at or
    /// below the last one is a caller's bug: truncate first.
    pub fn append(&self, _entries: Vec<Entry>, _done: Done) {
        unimplemented!()
    }
    /// Queues a vote; `done` after it is durable.
    pub fn save_vote(&self, _vote: Bytes, _done: Done) {
        unimplemented!()
    }
    /// Remembers the committed mark; it rides on the next commit.
    pub fn save_committed(&self, _mark: Bytes) {
        unimplemented!()
    }
    /// Drops all entries after `last` (`None`: all). Takes effect for readers at once.
    pub fn truncate_after(&self, _last: Option<u64>, _done: Done) {
        unimplemented!()
    }
    /// Drops all entries up to and including the mark, in small transactions.
    pub fn purge(&self, _mark: Mark, _done: Done) {
        unimplemented!()
    }
    /// Reads entries in order, stopping after `bytes_max` (but at least one). Missing indexes
    /// inside the log are an error.
    pub fn read(&self, _range: Range<u64>, _bytes_max: usize) -> Result<Vec<Entry>, Error> {
        unimplemented!()
    }
    /// Blocks until everything queued so far (truncations included) is durable. The barrier that
    /// runs before a checkpoint.
    pub fn wait_durable(&self) -> Result<(), Error> {
        unimplemented!()
    }
    /// Ends the thread after committing what is queued.
    pub fn close(&self) {
        unimplemented!()
    }
}
