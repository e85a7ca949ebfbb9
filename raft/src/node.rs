//! One node: proposes, forwards, reads, and tells what it knows.

use std::time::Duration;

use firstcome_domain::{Command, Millis, Outcome, Revision, Stamp};
use firstcome_storage::query::ReadView;

use crate::options::Options;
use crate::status::{ClusterStatus, NodeHash};

/// Whether a failed request may have taken effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Executed {
    /// This request never takes effect.
    No,
    /// It may take effect, now or later.
    Maybe,
}

/// Why there is no outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FailureReason {
    /// No leader, or no majority behind it.
    NoQuorum,
    /// Too much in flight here or on the leader.
    Overloaded,
    /// This node is shutting down or draining.
    Draining,
    /// The wanted revision was not applied in time.
    RevisionNotReached,
    /// No answer in time; the outcome is unknown.
    OutcomeUnknown,
    /// A membership or leadership request that cannot be carried out, with the reason.
    Rejected(String),
}

/// A request without an outcome.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason:?} (executed: {executed:?})")]
pub struct Failure {
    /// Why.
    pub reason: FailureReason,
    /// Whether it may have run.
    pub executed: Executed,
}

/// An outcome and where it was decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The answer.
    pub outcome: Outcome,
    /// The stamp that decided it (of the first execution for a replay); for an early refusal the
    /// revision and log time that were read.
    pub decided: Stamp,
    /// Whether it came from a receipt.
    pub replayed: bool,
    /// Whether it is a refusal answered from applied state, without a log entry.
    pub early: bool,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    Storage(#[from] firstcome_storage::Error),
    /// The peer port (75).
    #[error("cannot listen on {address} for peers")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Bootstrap found nodes that already hold data (76).
    #[error("cannot bootstrap: {0}")]
    Bootstrap(String),
    /// The settings contradict each other (78).
    #[error("invalid settings: {0}")]
    Settings(String),
    /// The node was removed from its cluster (77).
    #[error("this node was removed from the cluster")]
    Removed,
    /// openraft refused to start (70).
    #[error("raft cannot start: {0}")]
    Raft(String),
}

/// A running node; cheap to clone.
#[derive(Clone)]
pub struct Node {}

impl Node {
    /// Opens the directory, joins or forms the cluster, and starts. Returns as soon as requests
    /// can be taken (there may be no leader yet).
    pub async fn start(_options: Options) -> Result<Self, StartError> {
        unimplemented!()
    }
    /// Proposes a command through whoever leads; answers after commit and apply here.
    pub async fn propose(&self, _command: Command) -> Result<Reply, Failure> {
        unimplemented!()
    }
    /// Makes sure that reads from now on see everything decided before the call; answers the
    /// revision that is applied here.
    pub async fn linearize(&self) -> Result<Revision, Failure> {
        unimplemented!()
    }
    /// Waits until this node has applied `revision`, or fails with `RevisionNotReached`.
    pub async fn wait_applied(&self, _revision: Revision, _limit: Duration) -> Result<(), Failure> {
        unimplemented!()
    }
    /// Reads rows as applied here; short closures only. A storage error stops the node.
    pub fn read<R>(&self, _f: impl FnOnce(&ReadView<'_>) -> R) -> R {
        unimplemented!()
    }
    /// Last applied revision and log time here.
    pub fn applied(&self) -> Stamp {
        unimplemented!()
    }
    /// Log time as this node would stamp now: never behind the last stamp. For countdowns.
    pub fn log_time(&self) -> Millis {
        unimplemented!()
    }
    /// The cluster as this node sees it; fresh figures of other members come from the leader.
    pub async fn cluster(&self, _local: bool) -> Result<ClusterStatus, Failure> {
        unimplemented!()
    }
    /// The leader's name as known here, cheaply.
    pub fn leader_name(&self) -> Option<String> {
        unimplemented!()
    }
    /// This node's name.
    pub fn name(&self) -> &str {
        unimplemented!()
    }
    /// State hashes of all members at one revision (default: the last one applied here).
    pub async fn hashes(
        &self,
        _revision: Option<Revision>,
    ) -> Result<(Revision, Vec<NodeHash>), Failure> {
        unimplemented!()
    }
    /// What keeps this node from being ready; empty when it is.
    pub fn not_ready(&self) -> Vec<String> {
        unimplemented!()
    }
    /// Adds the node that listens at `peer` (started with an empty directory and without
    /// `--bootstrap`, waiting to be added) as a learner; answers its new id.
    pub async fn add_member(
        &self,
        _name: String,
        _api: String,
        _peer: String,
    ) -> Result<u64, Failure> {
        unimplemented!()
    }
    /// Makes a learner in sync a voter.
    pub async fn promote(&self, _id: u64) -> Result<(), Failure> {
        unimplemented!()
    }
    /// Removes a member; its id is never used again.
    pub async fn remove_member(&self, _id: u64) -> Result<(), Failure> {
        unimplemented!()
    }
    /// Hands leadership to `to` (default: the most advanced voter) and waits for it.
    pub async fn transfer_leader(&self, _to: Option<u64>) -> Result<u64, Failure> {
        unimplemented!()
    }
    /// Moves the snapshot mark now and purges what retention allows; answers the mark.
    pub async fn snapshot(&self) -> Result<Revision, Failure> {
        unimplemented!()
    }
    /// Prometheus lines of this crate, ready to append to `/metrics`.
    pub fn metrics_text(&self) -> String {
        unimplemented!()
    }
    /// Stops taking requests, hands leadership away, saves a checkpoint, closes the files.
    pub async fn shutdown(&self) {
        unimplemented!()
    }
    /// Resolves when the node cannot go on (fatal Raft or storage error), with the exit code.
    pub async fn failed(&self) -> (i32, String) {
        unimplemented!()
    }
}
