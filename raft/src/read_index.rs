//! Reads that see everything decided before them, on any node.
//!
//! One request is in flight at a time; readers that arrive meanwhile share the next one, so a
//! thousand readers cost one round of heartbeats. See section 6.4 of the Raft thesis
//! (`ReadIndex`). Leases are never used, because a paused leader would serve stale rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use firstcome_domain::Revision;
use firstcome_fault::{Bug, armed};
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::raft::ReadPolicy;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::core::{Core, not_executed};
use crate::counters::Counters;
use crate::node::{Failure, FailureReason};
use crate::protocol::{Failed, Request, Response};

/// How long a reader waits for a leader and its majority.
const ROUND_MAX: Duration = Duration::from_millis(1500);

/// Where readers ask, and how fresh the rows here are known to be.
pub(crate) struct ReadIndex {
    asks: mpsc::UnboundedSender<Ask>,
    fresh_since: Mutex<Option<Instant>>,
}

impl ReadIndex {
    /// With the questions, for [`run`].
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Ask>) {
        let (asks, waiting) = mpsc::unbounded_channel();
        (Self { asks, fresh_since: Mutex::new(None) }, waiting)
    }

    /// When the newest read index was asked for that is confirmed and applied here: rows read
    /// from now on are at least as new.
    pub(crate) fn fresh_since(&self) -> Option<Instant> {
        *self.fresh_since.lock()
    }
}

/// One waiting reader.
pub(crate) struct Ask(oneshot::Sender<Result<(u64, Instant), Failure>>);

/// Makes sure that reads from now on see everything decided before the call.
pub(crate) async fn linearize(core: &Arc<Core>) -> Result<Revision, Failure> {
    if armed(Bug::StaleFollowerRead) && !core.leadership.is_leader() {
        return Ok(core.state.applied().revision.unwrap_or_default());
    }
    let (tx, rx) = oneshot::channel();
    let gone = || not_executed(FailureReason::Draining);
    core.read_index.asks.send(Ask(tx)).map_err(|_| gone())?;
    let (index, asked_at) = rx.await.map_err(|_| gone())??;
    core.wait_index(index, core.options.forward_timeout).await?;
    let mut fresh = core.read_index.fresh_since.lock();
    *fresh = (*fresh).max(Some(asked_at));
    drop(fresh);
    Ok(core.state.applied().revision.unwrap_or_default())
}

/// Serves readers, one round at a time, until the node ends.
pub(crate) async fn run(core: Arc<Core>, mut asks: mpsc::UnboundedReceiver<Ask>) {
    while let Some(first) = asks.recv().await {
        let mut waiting = vec![first];
        while let Ok(ask) = asks.try_recv() {
            waiting.push(ask);
        }
        let asked_at = Instant::now();
        Counters::add(&core.counters.read_index_rounds);
        let round = tokio::time::timeout(ROUND_MAX, confirmed_index(&core)).await;
        let result = round.unwrap_or_else(|_| Err(not_executed(FailureReason::NoQuorum)));
        for Ask(answer) in waiting {
            drop(answer.send(result.clone().map(|index| (index, asked_at))));
        }
    }
}

async fn confirmed_index(core: &Arc<Core>) -> Result<u64, Failure> {
    loop {
        let Some(leader) = core.leadership.wait_leader(ROUND_MAX / 2).await else {
            return Err(not_executed(FailureReason::NoQuorum));
        };
        let answer = if leader == core.id() {
            local_index(core).await
        } else {
            ask_leader(core, leader).await
        };
        match answer {
            Ok(index) => return Ok(index),
            Err(Failed::NotLeader) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(_) => return Err(not_executed(FailureReason::NoQuorum)),
        }
    }
}

/// The read index of this node as the leader, confirmed by a majority.
pub(crate) async fn local_index(core: &Core) -> Result<u64, Failed> {
    if armed(Bug::LeaseReadAfterPause) && core.leadership.is_leader() {
        return Ok(*core.applied.borrow());
    }
    match core.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
        Ok(linearizer) => Ok(linearizer.read_log_id().index()),
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
            Err(Failed::NotLeader)
        }
        Err(_) => Err(Failed::NoQuorum),
    }
}

async fn ask_leader(core: &Core, leader: u64) -> Result<u64, Failed> {
    let Some(address) = core.leadership.address(leader) else { return Err(Failed::NotLeader) };
    let control = core.members.control(leader, &address);
    match control.call(Request::ReadIndex, core.options.rpc_timeout).await {
        Ok(Response::ReadIndex(index)) => Ok(index),
        Ok(Response::Failed(failed)) => Err(failed),
        Ok(_) | Err(_) => Err(Failed::NotLeader),
    }
}
