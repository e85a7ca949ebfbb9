//! What all parts of a running node share.

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use firstcome_storage::query::ReadView;
use firstcome_storage::{Identity, Log, State, codec};
use openraft::type_config::alias::WatchReceiverOf;
use tokio::sync::{mpsc, watch};

use crate::application::Application;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::failure::{FailureSlot, exit};
use crate::log_format;
use crate::members::Members;
use crate::network::greeting::Strangers;
use crate::node::{Executed, Failure, FailureReason};
use crate::options::Options;
use crate::read_index::Ask;
use crate::transfers::Transfers;
use crate::types::{Address, Metrics, Raft, ServerMetrics, TypeConfig};

pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) application: Box<dyn Application>,
    pub(crate) identity: Identity,
    /// Holds the directory's lock for as long as the node lives.
    pub(crate) dir: parking_lot::Mutex<Option<firstcome_storage::DataDir>>,
    pub(crate) raft: Raft,
    pub(crate) log: Log,
    pub(crate) state: State,
    pub(crate) clock: Clock,
    pub(crate) members: Arc<Members>,
    pub(crate) transfers: Arc<Transfers>,
    pub(crate) strangers: Strangers,
    pub(crate) metrics: WatchReceiverOf<TypeConfig, Metrics>,
    /// The part of the metrics that changes only with leaders and members.
    pub(crate) server: WatchReceiverOf<TypeConfig, ServerMetrics>,
    /// How many voters there are; kept by the watch, because openraft counts them anew.
    pub(crate) voters: AtomicUsize,
    pub(crate) applied: watch::Receiver<u64>,
    pub(crate) failure: FailureSlot,
    pub(crate) draining: AtomicBool,
    /// Commands taken here and not answered yet.
    pub(crate) in_flight: AtomicUsize,
    pub(crate) read_index: mpsc::UnboundedSender<Ask>,
    /// The last read index that was confirmed and applied: when it was asked for.
    pub(crate) fresh_since: parking_lot::Mutex<Option<std::time::Instant>>,
    /// When the last append or heartbeat arrived.
    pub(crate) heard_leader: parking_lot::Mutex<Option<std::time::Instant>>,
    /// This clock's offset from the voters' median, for status; ms.
    pub(crate) clock_offset_ms: AtomicI64,
    /// Whether the clock is fit to lead.
    pub(crate) clock_fit: AtomicBool,
    pub(crate) counters: Arc<Counters>,
}

/// How often a caller without a leader looks again.
const LEADER_POLL: Duration = Duration::from_millis(20);

/// Shorthands for failures.
pub(crate) fn not_executed(reason: FailureReason) -> Failure {
    Failure { reason, executed: Executed::No }
}

pub(crate) fn outcome_unknown() -> Failure {
    Failure { reason: FailureReason::OutcomeUnknown, executed: Executed::Maybe }
}

impl Core {
    pub(crate) const fn id(&self) -> u64 {
        self.identity.node_id
    }

    /// The leader, if it was heard of lately.
    ///
    /// openraft keeps naming the last leader until a new one is elected, also on a node that is
    /// cut off. Two election timeouts of silence mean that nobody leads as far as this node can
    /// tell.
    pub(crate) fn leader(&self) -> Option<u64> {
        let metrics = self.metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let heard = if leader == self.id() {
            self.was_acked(&metrics)
        } else {
            self.heard_leader.lock().is_some_and(|at| at.elapsed() < self.options.election_max * 2)
        };
        heard.then_some(leader)
    }

    /// Whether openraft takes this node for the leader, with or without a majority.
    pub(crate) fn is_leader(&self) -> bool {
        self.metrics.borrow_watched().current_leader == Some(self.id())
    }

    /// Where a member is reached.
    pub(crate) fn address(&self, id: u64) -> Option<Address> {
        self.metrics.borrow_watched().membership_config.get_node(&id).cloned()
    }

    /// Whether this leader heard from a majority lately; a lone voter always has.
    ///
    /// Two election timeouts: by then a majority that cannot hear us has elected somebody else.
    pub(crate) fn has_quorum(&self) -> bool {
        self.was_acked(&self.metrics.borrow_watched())
    }

    fn was_acked(&self, metrics: &Metrics) -> bool {
        let limit = self.options.election_max * 2;
        self.voters.load(Ordering::Relaxed) <= 1
            || metrics.last_quorum_acked.is_some_and(|acked| acked.elapsed() < limit)
    }

    /// Reads rows; a storage error ends the process, because nothing true can be answered.
    pub(crate) fn read<R>(&self, f: impl FnOnce(&ReadView<'_>) -> R) -> Result<R, Failure> {
        self.state.read(f).map_err(|error| {
            self.failure.set_storage(&error);
            not_executed(FailureReason::Draining)
        })
    }

    /// Raft's own row of the state.
    pub(crate) fn meta(&self) -> log_format::Meta {
        codec::decode(&self.state.applied().meta).unwrap_or_default()
    }

    pub(crate) fn fatal(&self, reason: impl Into<String>) {
        self.failure.set(exit::BUG, reason);
    }

    /// Waits until some leader is known, or `limit` passed.
    pub(crate) async fn wait_leader(&self, limit: Duration) -> Option<u64> {
        let end = tokio::time::Instant::now() + limit;
        loop {
            let leader = self.leader();
            if leader.is_some() || tokio::time::Instant::now() >= end {
                return leader;
            }
            tokio::time::sleep(LEADER_POLL).await;
        }
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
