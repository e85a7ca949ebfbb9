//! What callers of a node get: replies, failures, and why a node did not start.

use firstcome_domain::{Outcome, Stamp};

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

/// A failure of something that certainly did not run.
pub(crate) fn not_executed(reason: FailureReason) -> Failure {
    Failure { reason, executed: Executed::No }
}

/// The failure of something that may have run.
pub(crate) fn outcome_unknown() -> Failure {
    Failure { reason: FailureReason::OutcomeUnknown, executed: Executed::Maybe }
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
    /// The disk failed, or what is on it is damaged, while Raft read it.
    #[error("{reason}")]
    Failed {
        /// The exit code for it.
        code: i32,
        /// What failed.
        reason: String,
    },
    /// openraft refused to start (70).
    #[error("raft cannot start: {0}")]
    Raft(String),
}
