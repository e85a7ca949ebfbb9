//! From a command to its decision: admission, early answer, the leader's log or forwarding to it.
//!
//! Failures say whether the command may have run. One that was refused before it entered a log is
//! `executed: no`, and the client may retry it anywhere. One that may be in a log is `executed:
//! maybe`: it is proposed again only if it carries a receipt key, because then the second copy
//! finds the receipt of the first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use firstcome_domain::{Command, Outcome, Stamp};
use firstcome_fault::{Bug, armed};
use firstcome_storage::state::{Applied, Decided};
use openraft::errors::ClientWriteError;
use tokio::sync::oneshot;

use crate::answer::{Failure, FailureReason, Reply, not_executed, outcome_unknown};
use crate::application::EarlyAnswer;
use crate::command;
use crate::config::{Callback, WriteError, WriteResult};
use crate::core::Core;
use crate::counters::Counters;
use crate::in_flight::Copy;
use crate::network::rpc::CallError;
use crate::protocol::{Failed, Request, Response};
use crate::seeded;
use crate::types::Proposal;

/// How long a caller waits for a known leader: shorter than an election, so that "no quorum" is
/// answered fast and the client can try another node.
const LEADER_PATIENCE: Duration = Duration::from_millis(300);

/// First pause before a retry after "not the leader". It doubles up to [`RETRY_PAUSE_MAX`], so
/// that thousands of waiting callers leave the CPU to the election.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Longest pause before a retry: the most that a buyer waits on top of a failover.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(100);

/// Age of the applied rows from which a command may be answered early.
const EARLY_AGE_MAX: Duration = Duration::from_millis(200);

/// Proposes a command that a client sent to this node.
pub(crate) async fn propose(core: &Arc<Core>, command: Command) -> Result<Reply, Failure> {
    if core.admission.is_draining() {
        return Err(not_executed(FailureReason::Draining));
    }
    let Some(_admitted) = core.admission.enter() else {
        Counters::add(&core.counters.overloaded);
        return Err(not_executed(FailureReason::Overloaded));
    };
    if let Some(reply) = unavailable(core, &command).await? {
        return Ok(reply);
    }
    let mut copy = command.receipt.map(|key| core.in_flight.enter(key.scope));
    if !copy.as_ref().is_some_and(Copy::is_repeat)
        && let Some(reply) = early(core, &command).await
    {
        return Ok(reply);
    }
    // Its caller may leave at any time, and come back with the key.
    if let Some(copy) = &mut copy {
        copy.proposed(core.options.admission_deadline);
    }
    Counters::add(&core.counters.proposed);
    let decision = drive(core, &command).await.inspect_err(|failure| match failure.reason {
        FailureReason::OutcomeUnknown => Counters::add(&core.counters.unknown),
        FailureReason::NoQuorum => Counters::add(&core.counters.no_quorum),
        _ => {}
    })?;
    // Early answers come from rows that are no older than this, and so show the receipt.
    if let Some(copy) = &mut copy {
        copy.decided(EARLY_AGE_MAX);
    }
    let outcome = decision.outcome().map_err(|error| {
        tracing::error!(%error, "the leader's answer cannot be read here");
        outcome_unknown()
    })?;
    Ok(Reply { outcome, decided: decision.decided, replayed: decision.replayed, early: false })
}

/// Retries until there is a decision, the deadline has passed, or a retry could run the command
/// twice.
pub(crate) async fn drive(core: &Arc<Core>, command: &Command) -> Result<Decided, Failure> {
    let keyed = command::is_keyed(command);
    let bytes = command::encode(command, core.state.level(), &core.counters);
    let began = Instant::now();
    let deadline = began + core.options.admission_deadline;
    let mut perhaps = false;
    let mut pause = RETRY_PAUSE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let failed = match attempt(core, bytes.clone(), left).await {
            Ok(decision) => return Ok(decision),
            Err(failed) => failed,
        };
        let reason = match failed {
            Failed::Unknown => {
                seeded::maybe_reported_as_no()?;
                perhaps = true;
                if !keyed && !armed(Bug::BlindRetryWithoutKey) {
                    return Err(outcome_unknown());
                }
                FailureReason::OutcomeUnknown
            }
            Failed::NotLeader | Failed::NoQuorum => FailureReason::NoQuorum,
            Failed::Overloaded => FailureReason::Overloaded,
            Failed::Rejected(ref reason) => FailureReason::Rejected(reason.clone()),
            Failed::Removed => FailureReason::Draining,
        };
        // A fresh leader has not heard from its majority yet.
        let again = matches!(failed, Failed::NotLeader | Failed::Unknown)
            || (failed == Failed::NoQuorum && began.elapsed() < LEADER_PATIENCE);
        let left = deadline.saturating_duration_since(Instant::now());
        if !again || left <= pause {
            return Err(if perhaps { outcome_unknown() } else { not_executed(reason) });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}

/// One try: here if this node leads, else at the leader.
async fn attempt(core: &Arc<Core>, command: Bytes, left: Duration) -> Result<Decided, Failed> {
    let Some(leader) = core.leadership.wait_leader(LEADER_PATIENCE.min(left)).await else {
        return Err(Failed::NoQuorum);
    };
    if leader == core.id() {
        let (tx, rx) = oneshot::channel();
        append(core, command, move |result| drop(tx.send(result))).await;
        return match tokio::time::timeout(left, rx).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Failed::Unknown),
        };
    }
    let Some(forward) = core.members.forward(leader, || core.leadership.address(leader)) else {
        return Err(Failed::NotLeader);
    };
    Counters::add(&core.counters.forwarded);
    let limit = left.min(core.options.forward_timeout);
    match forward.call(Request::Propose(seeded::forwarded(command)), limit).await {
        Ok(Response::Decided(decision)) => Ok(decision),
        Ok(Response::Failed(failed)) => Err(failed),
        Ok(_) | Err(CallError::Lost) => Err(Failed::Unknown),
        Err(CallError::NotSent) => Err(Failed::NotLeader),
    }
}

/// Takes a command that another node forwarded; answers through `answer`, once.
pub(crate) async fn take_forwarded(
    core: &Arc<Core>,
    command: Bytes,
    answer: impl FnOnce(Result<Decided, Failed>) + Send + 'static,
) {
    if core.admission.is_draining() {
        return answer(Err(Failed::NotLeader));
    }
    if !command::has_known_header(&command) {
        tracing::warn!(
            "refused a forwarded command of an unknown format: the peer may run another release"
        );
        return answer(Err(Failed::NotLeader));
    }
    let Some(admitted) = core.admission.enter() else {
        Counters::add(&core.counters.overloaded);
        return answer(Err(Failed::Overloaded));
    };
    append(core, command, move |result| {
        drop(admitted);
        answer(result);
    })
    .await;
}

/// Stamps a command and hands it to this node's log; `answer` is called with the result. Returns
/// as soon as openraft has it. If openraft stops, `answer` is dropped and the result is unknown.
async fn append(
    core: &Arc<Core>,
    command: Bytes,
    answer: impl FnOnce(Result<Decided, Failed>) + Send + 'static,
) {
    if !core.leadership.is_leader() || !core.clock.is_fit() {
        return answer(Err(Failed::NotLeader));
    }
    if !core.leadership.has_quorum() {
        return answer(Err(Failed::NoQuorum));
    }
    // Apply clamps, so a stamp behind the last one cannot turn log time back.
    let proposal = Proposal { now: core.clock.now().get(), command };
    let responder: Callback<WriteResult> = Callback::new(move |result| answer(decided(result)));
    drop(core.raft.client_write_ff(proposal, Some(responder)).await);
}

fn decided(result: WriteResult) -> Result<Decided, Failed> {
    match result {
        Ok(written) => match written.data {
            Some(decided) => Ok(decided),
            None => Err(Failed::Unknown),
        },
        Err(error) => Err(match error {
            ClientWriteError::ForwardToLeader(_) => Failed::NotLeader,
            ClientWriteError::LogEntryDiscarded(_) => Failed::Unknown,
            other => rejected(&other),
        }),
    }
}

fn rejected(error: &WriteError) -> Failed {
    Failed::Rejected(error.to_string())
}

/// Refuses a command that the cluster's feature level does not have: in the log, it would stop nodes
/// of earlier releases. The level is read again after a linearizable read, so that nobody is refused
/// here who was told before that the level was raised.
async fn unavailable(core: &Arc<Core>, command: &Command) -> Result<Option<Reply>, Failure> {
    let refusal = || command::unavailable(command, core.state.level());
    if refusal().is_none() {
        return Ok(None);
    }
    crate::read_index::linearize(core).await?;
    Ok(refusal().map(|refusal| early_reply(Outcome::Refused(refusal), &core.state.applied())))
}

/// Answers a command without a log entry, if the application can do so from rows that were
/// current at most [`EARLY_AGE_MAX`] ago, or for some answers: that are current.
async fn early(core: &Arc<Core>, command: &Command) -> Option<Reply> {
    let answer = || {
        core.read(|rows| {
            let clock = core.clock.is_fit().then(|| core.clock.now());
            let answer = core.application.answer_early(command, rows, clock)?;
            Some((answer, rows.applied()))
        })
        .ok()
        .flatten()
    };
    // Taken before the rows are read: they are at least as new as this.
    let mut known_at = core.readers.fresh_since();
    let mut found = answer()?;
    let is_fresh = |at: Option<Instant>| {
        armed(Bug::EarlyRefusalTooOld) || at.is_some_and(|at| at.elapsed() < EARLY_AGE_MAX)
    };
    let needs_current = matches!(found.0, EarlyAnswer::FromCurrent(_));
    if needs_current || !is_fresh(known_at) {
        crate::read_index::linearize(core).await.ok()?;
        known_at = core.readers.fresh_since();
        found = answer()?;
    }
    let (outcome, applied) = match found {
        // Read after it: a read index that was asked for when the command had come is applied.
        (EarlyAnswer::FromCurrent(outcome), applied) => (outcome, applied),
        (EarlyAnswer::FromRecent(outcome), applied) if is_fresh(known_at) => (outcome, applied),
        (EarlyAnswer::FromRecent(_), _) => return None,
    };
    Counters::add(&core.counters.early);
    Some(early_reply(outcome, &applied))
}

/// An answer that was read from rows.
fn early_reply(outcome: Outcome, rows: &Applied) -> Reply {
    let decided = Stamp { revision: rows.revision.unwrap_or_default(), now: rows.now };
    Reply { outcome, decided, replayed: false, early: true }
}
