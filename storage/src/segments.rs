//! The files of the log, below the queue and the thread of [`crate::log`].
//!
//! [`segment`] reads and writes the files, [`frame`] is what one commit adds to one, and [`index`]
//! remembers where which entry is.

pub(crate) mod frame;
pub(crate) mod index;
pub(crate) mod segment;

use bytes::Bytes;

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

/// What the log remembers besides entries.
#[derive(Clone, Default, Debug)]
pub(crate) struct Marks {
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
    pub(crate) purged: Option<Mark>,
}
