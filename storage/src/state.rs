//! The rows: applied in memory, checkpointed to `state.redb` behind the log barrier.

use bytes::Bytes;
use firstcome_domain::{Command, Millis, Outcome, Revision, Stamp};

use crate::query::ReadView;
use crate::snapshot::{SnapshotReader, SnapshotWriter};
use crate::{DataDir, Error, Log};

/// Limits of the state.
#[derive(Clone, Copy, Debug)]
pub struct StateOptions {
    /// redb's page cache.
    pub cache_bytes: usize,
    /// Longest time between checkpoints while there is something to save.
    pub checkpoint_interval: std::time::Duration,
    /// Changed bytes after which a checkpoint starts at once.
    pub checkpoint_bytes: usize,
}

/// 128-bit additive hash over all primary rows; equal at equal revisions on every node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StateHash(pub u128);

/// How far the state is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The last applied log entry; `None` before the first.
    pub revision: Option<Revision>,
    /// Log time of the last command.
    pub now: Millis,
    /// Raft's own encoding of last applied log id and membership, as given to `apply`.
    pub meta: Bytes,
    /// Hash of all primary rows.
    pub hash: StateHash,
}

/// One committed log entry.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Revision and the leader's time; `now` is clamped so that log time never goes back.
    pub stamp: Stamp,
    /// `None` for Raft's own entries: only the revision moves.
    pub command: Option<Command>,
}

/// What became of one command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decided {
    /// The answer.
    pub outcome: Outcome,
    /// The stamp that decided it; an earlier one for a replay.
    pub decided: Stamp,
    /// Whether it came from a receipt.
    pub replayed: bool,
}

/// Handle to the state; cheap to clone.
#[derive(Clone)]
pub struct State {}

impl State {
    /// Opens `state.redb` and starts the checkpoint thread; checkpoints wait for `log`.
    pub fn open(_dir: &DataDir, _options: StateOptions, _log: Log) -> Result<Self, Error> {
        unimplemented!()
    }
    /// How far it is, memory included.
    pub fn applied(&self) -> Applied {
        unimplemented!()
    }
    /// How far the last durable checkpoint is.
    pub fn checkpointed(&self) -> Applied {
        unimplemented!()
    }
    /// Applies committed entries in order; answers one item for each that has a command.
    /// `meta` is what `applied().meta` gives from then on.
    pub fn apply(&self, _entries: &[Committed], _meta: Bytes) -> Result<Vec<Decided>, Error> {
        unimplemented!()
    }
    /// Reads rows as the last applied entry left them; apply waits meanwhile, so be short.
    pub fn read<R>(&self, _f: impl FnOnce(&ReadView<'_>) -> R) -> Result<R, Error> {
        unimplemented!()
    }
    /// The hash right after a revision (or the last applied one before it), while remembered.
    pub fn hash_at(&self, _revision: Revision) -> Option<StateHash> {
        unimplemented!()
    }
    /// Makes everything applied so far durable; blocks.
    pub fn checkpoint(&self) -> Result<Applied, Error> {
        unimplemented!()
    }
    /// A stream of everything at one revision; checkpoints first.
    pub fn snapshot(&self) -> Result<SnapshotReader, Error> {
        unimplemented!()
    }
    /// Starts receiving a snapshot into `state.new.redb`.
    pub fn receive(&self) -> Result<SnapshotWriter, Error> {
        unimplemented!()
    }
    /// Verifies what was received, swaps it in, and answers how far the state is now.
    pub fn install(&self, _writer: SnapshotWriter) -> Result<Applied, Error> {
        unimplemented!()
    }
    /// Last checkpoint, then ends the thread.
    pub fn close(&self) -> Result<(), Error> {
        unimplemented!()
    }
}
