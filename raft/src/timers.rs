//! What a node does on its own: due work, snapshot marks, clock checks, and noticing that Raft
//! has stopped.

use openraft::async_runtime::WatchReceiver;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firstcome_domain::Command;
use futures_util::future::join_all;

use crate::clock;
use crate::core::Core;
use crate::failure::exit;
use crate::network::server::is_removed;
use crate::propose;
use crate::protocol::{Failed, Request, Response};
use crate::{admin, log_format};

/// How often the leader asks whether something is due, which is how late due work may be.
const DUE_PERIOD: Duration = Duration::from_millis(20);

/// How often the leader asks whether there is something to clean up.
const HOUSEKEEPING_PERIOD: Duration = Duration::from_mins(1);

/// How often clocks are compared.
const CLOCK_PERIOD: Duration = Duration::from_secs(1);

/// How often until the first verdict, before which no node stands for election.
const CLOCK_PERIOD_FIRST: Duration = Duration::from_millis(50);

/// Proposes what the application says is due. Two leaders may do so at once.
pub(crate) async fn run_due(core: Arc<Core>) {
    let mut housekept = Instant::now();
    loop {
        tokio::time::sleep(DUE_PERIOD).await;
        if !core.leadership.is_leader() || core.admission.is_draining() {
            continue;
        }
        let now = core.clock.now();
        let cleans_up = housekept.elapsed() >= HOUSEKEEPING_PERIOD;
        let Ok(command) = core.read(|rows| {
            let application = &core.application;
            let due = application.due(rows, now);
            if due.is_none() && cleans_up { application.housekeeping(rows, now) } else { due }
        }) else {
            return;
        };
        if cleans_up {
            housekept = Instant::now();
        }
        if let Some(command) = command {
            propose_until_finished(&core, &command).await;
        }
    }
}

async fn propose_until_finished(core: &Arc<Core>, command: &Command) {
    loop {
        match propose::drive(core, command).await {
            Ok(decided) => {
                let unfinished = |outcome| core.application.is_unfinished(&outcome);
                if !decided.outcome().is_ok_and(unfinished) {
                    return;
                }
            }
            Err(failure) => {
                tracing::debug!(%failure, "due work was not decided");
                return;
            }
        }
    }
}

/// Moves the snapshot mark and purges behind it, with a margin for slow followers and pending
/// applies (openraft#2116).
pub(crate) async fn run_snapshots(core: Arc<Core>) {
    let options = &core.options;
    let period = options.snapshot_interval.min(Duration::from_secs(1));
    let mut marked_at = Instant::now();
    loop {
        tokio::time::sleep(period).await;
        let applied = *core.applied.borrow();
        let marked = core.leadership.metrics().borrow_watched().snapshot.map_or(0, |id| id.index);
        let new = applied.saturating_sub(marked);
        let by_time = new > 0 && marked_at.elapsed() >= options.snapshot_interval;
        if new < options.snapshot_entries && !by_time {
            continue;
        }
        marked_at = Instant::now();
        if mark_and_purge(&core).await.is_err() {
            return;
        }
    }
}

/// Asks Raft for a new mark, and to purge up to the last durable checkpoint, but not to the mark
/// before that is made. Keeps the retained entries and those that receivers of snapshots read next.
pub(crate) async fn mark_and_purge(core: &Core) -> Result<(), ()> {
    core.raft.trigger().snapshot().await.map_err(drop)?;
    let saved = core.state.checkpointed().revision.map_or(0, firstcome_domain::Revision::get);
    let upto = saved.saturating_sub(core.options.retain_entries);
    let upto = {
        let metrics = core.leadership.metrics().borrow_watched();
        let matched = |id| {
            let log_id = metrics.replication.as_ref()?.get(&id)?;
            Some(log_id.map_or(0, |log_id| log_id.index))
        };
        core.transfers.purgeable(upto, core.options.chunk_timeout, matched)
    };
    if upto > 0 {
        core.raft.trigger().purge_log(upto).await.map_err(drop)?;
    }
    Ok(())
}

/// Compares this clock with those of the other voters. A node whose clock is off does not stand
/// for election, and gives up leadership if it has it.
pub(crate) async fn run_clock(core: Arc<Core>) {
    let max_ms = i64::try_from(core.options.clock_max.as_millis()).unwrap_or(i64::MAX);
    let mut last: Option<bool> = None;
    loop {
        let (offsets, voters) = offsets(&core).await;
        // Before the first log entry there are no voters to compare with.
        let verdict = if voters == 0 { None } else { clock::verdict(&offsets, voters, max_ms) };
        if let Some(fit) = verdict {
            // Only with a verdict: without one the median means nothing.
            let mut sorted = offsets.clone();
            sorted.push(0);
            sorted.sort_unstable();
            let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
            core.clock.judge(fit, -median);
            core.raft.runtime_config().elect(fit);
            if last != Some(fit) && !fit {
                tracing::error!(
                    ?offsets,
                    "this node's clock is more than {max_ms} ms off the voters' median: it does \
                     not lead until the clock is repaired"
                );
            }
            if !fit && core.leadership.is_leader() {
                drop(admin::transfer(&core, None).await);
            }
            last = Some(fit);
        }
        tokio::time::sleep(if last.is_some() { CLOCK_PERIOD } else { CLOCK_PERIOD_FIRST }).await;
    }
}

/// The offsets of the other voters' clocks from this one in ms, corrected for network delay.
async fn offsets(core: &Arc<Core>) -> (Vec<i64>, usize) {
    let membership = core.leadership.metrics().borrow_watched().membership_config.clone();
    let voters: Vec<u64> = membership.voter_ids().collect();
    let others = voters.iter().filter(|id| **id != core.id());
    let asked = join_all(others.filter_map(|id| Some((id, membership.get_node(id)?))).map(
        |(id, node)| async move {
            let control = core.members.control(*id, node);
            let sent = Instant::now();
            let answer = control.call(Request::Clock, core.options.rpc_timeout).await;
            match answer {
                Ok(Response::Clock { now }) => {
                    // The error is half the round trip, so a slow answer is ignored.
                    let trip = sent.elapsed();
                    let way = i64::try_from(trip.as_millis() / 2).unwrap_or(0);
                    (trip < core.options.clock_max).then(|| now + way - core.clock.wall())
                }
                Ok(Response::Failed(Failed::Removed)) => {
                    let reason = format!("{} says this node was removed", node.name);
                    core.failure.set(exit::REMOVED, reason);
                    None
                }
                Ok(_) | Err(_) => None,
            }
        },
    ))
    .await;
    (asked.into_iter().flatten().collect(), voters.len())
}

/// How often a leader looks for a change of voters that is half done.
const CHANGE_PERIOD: Duration = Duration::from_secs(1);

/// Finishes changes of voters that have stopped between their two steps.
pub(crate) async fn run_changes(core: Arc<Core>) {
    let mut before = None;
    loop {
        tokio::time::sleep(CHANGE_PERIOD).await;
        let half_done = admin::half_done(&core);
        let stands_still = half_done.is_some() && half_done == before;
        if stands_still && !core.admission.is_draining() {
            admin::finish_change(&core).await;
        }
        before = half_done;
    }
}

/// How often Raft's own state is checked when nothing else changes.
const WATCH_PERIOD: Duration = Duration::from_millis(200);

/// Counts voters, closes links to former members, and ends the node when Raft has stopped, the
/// node was removed, or its release cannot talk to a majority.
pub(crate) async fn run_watch(core: Arc<Core>) {
    let mut server = core.leadership.changes();
    let mut seen_membership = None;
    loop {
        let (membership, voters) = {
            let now = server.borrow_and_update();
            let voters: Vec<u64> = now.membership_config.voter_ids().collect();
            core.leadership.set_voters(voters.len());
            // Every time: a request that was in flight may have opened a link again.
            core.members.keep(|id| now.membership_config.get_node(&id).is_some());
            let committed = now.committed_membership_config.log_id().as_ref();
            (committed.map(log_format::LogId::from), voters)
        };
        if membership != seen_membership {
            seen_membership = membership;
            // A committed membership counts once it is applied.
            let index = seen_membership.map_or(0, log_format::LogId::index);
            drop(core.wait_index(index, core.options.chunk_timeout).await);
            if is_removed(&core, core.id()) {
                core.failure.set(exit::REMOVED, "this node was removed from the cluster");
                return;
            }
        }
        if let Some(why) = core.members.strangers().majority(&voters) {
            core.failure
                .set(exit::IDENTITY, format!("this node runs an incompatible release: {why}"));
            return;
        }
        let changed = tokio::time::timeout(WATCH_PERIOD, server.changed()).await;
        let running = core.leadership.metrics().borrow_watched().running_state.clone();
        if running.is_err() || matches!(changed, Ok(Err(_))) {
            if !core.admission.is_draining() {
                let reason = running.err().map_or("it is gone".to_owned(), |f| f.to_string());
                core.fatal(format!("raft stopped: {reason}"));
            }
            return;
        }
    }
}
