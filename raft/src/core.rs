//! What all parts of a running node share. Each part keeps its own state behind its own methods.

use std::sync::Arc;
use std::time::Duration;

use firstcome_storage::query::ReadView;
use firstcome_storage::{DataDir, Identity, Log, State};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::admission::Admission;
use crate::answer::{Failure, FailureReason, not_executed};
use crate::application::Application;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::failure::{FailureSlot, exit};
use crate::in_flight::InFlight;
use crate::leadership::Leadership;
use crate::log_format;
use crate::members::Members;
use crate::options::Options;
use crate::readers::Readers;
use crate::state_machine::{Raft, meta_of};
use crate::transfers::Transfers;

pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) identity: Identity,
    /// Holds the directory's lock for as long as the node lives.
    pub(crate) dir: Mutex<Option<DataDir>>,
    pub(crate) raft: Raft,
    pub(crate) log: Log,
    pub(crate) state: State,
    /// The last index that is applied here.
    pub(crate) applied: watch::Receiver<u64>,
    pub(crate) application: Arc<dyn Application>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) in_flight: InFlight,
    pub(crate) leadership: Leadership,
    pub(crate) readers: Readers,
    pub(crate) clock: Clock,
    pub(crate) members: Arc<Members>,
    pub(crate) transfers: Arc<Transfers>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) failure: FailureSlot,
}

impl Core {
    pub(crate) const fn id(&self) -> u64 {
        self.identity.node_id
    }

    /// Reads rows; if they cannot be read, the process ends.
    pub(crate) fn read<R>(&self, f: impl FnOnce(&ReadView) -> R) -> Result<R, Failure> {
        self.trusted(self.state.read(f))
    }

    /// Raft's own row of the state; if it cannot be read, the process ends.
    pub(crate) fn meta(&self) -> Result<log_format::Meta, Failure> {
        self.trusted(meta_of(&self.state.applied()))
    }

    /// A storage error ends the process, because nothing true can be answered.
    fn trusted<T>(&self, read: Result<T, firstcome_storage::Error>) -> Result<T, Failure> {
        read.map_err(|error| {
            self.failure.set_storage(&error);
            not_executed(FailureReason::Draining)
        })
    }

    pub(crate) fn fatal(&self, reason: impl Into<String>) {
        self.failure.set(exit::BUG, reason);
    }

    /// Waits until this node has applied `index`.
    pub(crate) async fn wait_index(&self, index: u64, limit: Duration) -> Result<(), Failure> {
        let mut applied = self.applied.clone();
        match tokio::time::timeout(limit, applied.wait_for(|now| *now >= index)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(not_executed(FailureReason::RevisionNotReached)),
        }
    }
}
