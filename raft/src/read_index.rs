//! Reads that see everything decided before them, on any node.
//!
//! One request is in flight at a time; readers that arrive meanwhile share the next one, so a
//! thousand readers cost one round of heartbeats. See section 6.4 of the Raft thesis
//! (`ReadIndex`). Leases are never used, because a paused leader would serve stale rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use firstcome_domain::Revision;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::raft::ReadPolicy;
use tokio::sync::mpsc;

use crate::answer::{Failure, FailureReason, not_executed};
use crate::core::Core;
use crate::counters::Counters;
use crate::protocol::{Failed, Request, Response};
use crate::readers::Reader;
use crate::seeded;

/// How long a reader waits for a leader and its majority.
const ROUND_MAX: Duration = Duration::from_millis(1500);

/// Makes sure that reads from now on see everything decided before the call.
pub(crate) async fn linearize(core: &Arc<Core>) -> Result<Revision, Failure> {
    if let Some(stale) = seeded::stale_read(core.leadership.is_leader(), &core.state) {
        return Ok(stale);
    }
    let confirmed = core.readers.wait().await;
    let (index, asked_at) = confirmed.ok_or_else(|| not_executed(FailureReason::Draining))??;
    core.wait_index(index, core.options.forward_timeout).await?;
    core.readers.note_applied(asked_at);
    Ok(core.state.applied().revision.unwrap_or_default())
}

/// Serves readers, one round at a time, until the node ends.
pub(crate) async fn run(core: Arc<Core>, mut queue: mpsc::UnboundedReceiver<Reader>) {
    while let Some(first) = queue.recv().await {
        let mut waiting = vec![first];
        while let Ok(reader) = queue.try_recv() {
            waiting.push(reader);
        }
        let asked_at = Instant::now();
        Counters::add(&core.counters.read_index_rounds);
        let round = tokio::time::timeout(ROUND_MAX, confirmed_index(&core)).await;
        let result = round.unwrap_or_else(|_| Err(not_executed(FailureReason::NoQuorum)));
        for reader in waiting {
            reader.answer(result.clone().map(|index| (index, asked_at)));
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
    if let Some(index) =
        seeded::unconfirmed_index(core.leadership.is_leader(), *core.applied.borrow())
    {
        return Ok(index);
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
