//! Who leads, as far as this node can tell.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use openraft::type_config::alias::WatchReceiverOf;
use parking_lot::Mutex;

use crate::config::{Metrics, ServerMetrics, TypeConfig};
use crate::state_machine::Raft;
use crate::types::Address;

/// How often a caller without a leader looks again.
const LEADER_POLL: Duration = Duration::from_millis(20);

/// What openraft says about leaders and members, and what this node heard itself.
pub(crate) struct Leadership {
    id: u64,
    /// Two election timeouts: by then a majority that cannot hear a leader has elected another.
    silence_max: Duration,
    metrics: WatchReceiverOf<TypeConfig, Metrics>,
    /// The part of the metrics that changes only with leaders and members.
    server: WatchReceiverOf<TypeConfig, ServerMetrics>,
    /// Kept here, because openraft counts them anew each time.
    voters: AtomicUsize,
    /// When the last append or heartbeat arrived.
    heard_leader: Mutex<Option<Instant>>,
}

impl Leadership {
    /// As node `id` sees it.
    pub(crate) fn new(id: u64, raft: &Raft, election_max: Duration) -> Self {
        Self {
            id,
            silence_max: election_max * 2,
            metrics: raft.metrics(),
            server: raft.server_metrics(),
            voters: AtomicUsize::new(usize::MAX),
            heard_leader: Mutex::new(None),
        }
    }

    /// Everything openraft tells about this node.
    pub(crate) const fn metrics(&self) -> &WatchReceiverOf<TypeConfig, Metrics> {
        &self.metrics
    }

    /// A receiver of changes of leaders and members.
    pub(crate) fn changes(&self) -> WatchReceiverOf<TypeConfig, ServerMetrics> {
        self.server.clone()
    }

    /// Notes that an append or heartbeat of the leader was accepted.
    pub(crate) fn heard(&self) {
        *self.heard_leader.lock() = Some(Instant::now());
    }

    /// Notes how many voters there are.
    pub(crate) fn set_voters(&self, voters: usize) {
        self.voters.store(voters, Ordering::Relaxed);
    }

    /// The leader, if it was heard of lately.
    ///
    /// openraft keeps naming the last leader until a new one is elected, even on a node that is
    /// cut off. After two election timeouts of silence nobody leads as far as this node can tell.
    pub(crate) fn leader(&self) -> Option<u64> {
        self.leader_within(self.silence_max)
    }

    /// The leader, if it was heard of within a span of time.
    pub(crate) fn leader_within(&self, span: Duration) -> Option<u64> {
        let metrics = self.metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let heard = if leader == self.id {
            self.was_acked(&metrics, span)
        } else {
            self.heard_leader.lock().is_some_and(|at| at.elapsed() < span)
        };
        heard.then_some(leader)
    }

    /// Whether openraft takes this node for the leader, with or without a majority.
    pub(crate) fn is_leader(&self) -> bool {
        self.metrics.borrow_watched().current_leader == Some(self.id)
    }

    /// Whether this leader heard from a majority lately; a lone voter always has.
    pub(crate) fn has_quorum(&self) -> bool {
        self.was_acked(&self.metrics.borrow_watched(), self.silence_max)
    }

    fn was_acked(&self, metrics: &Metrics, span: Duration) -> bool {
        self.voters.load(Ordering::Relaxed) <= 1
            || metrics.last_quorum_acked.is_some_and(|acked| acked.elapsed() < span)
    }

    /// How to reach a member.
    pub(crate) fn address(&self, id: u64) -> Option<Address> {
        self.metrics.borrow_watched().membership_config.get_node(&id).cloned()
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
}
