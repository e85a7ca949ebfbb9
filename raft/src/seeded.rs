//! The wrong code of the seeded bugs of this crate. None of it runs unless a test arms its bug.
//!
//! Each function stands where the right code calls it, and does nothing otherwise.

use std::collections::BTreeMap;

use bytes::Bytes;
use firstcome_domain::kernel::version::Level;
use firstcome_domain::{Command, Millis, Revision, Stamp};
use firstcome_fault::{Bug, armed};
use firstcome_storage::snapshot::SnapshotReader;
use firstcome_storage::state::Applied;
use firstcome_storage::{State, codec};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use openraft::OptionalSend;

use crate::answer::{Failure, FailureReason, not_executed};
use crate::application::Application;
use crate::config::{AppendRequest, AppendResult, RpcError};
use crate::types::Address;

/// [`Bug::MaybeReportedAsNo`]: a command that may run is reported as one that never will.
pub(crate) fn maybe_reported_as_no() -> Result<(), Failure> {
    if armed(Bug::MaybeReportedAsNo) {
        return Err(not_executed(FailureReason::NoQuorum));
    }
    Ok(())
}

/// [`Bug::ForwardDropsKey`]: the key is lost on the way to the leader.
pub(crate) fn forwarded(command: Bytes) -> Bytes {
    if !armed(Bug::ForwardDropsKey) {
        return command;
    }
    match codec::decode_command(&command) {
        Ok(decoded) => codec::encode_command(&Command { receipt: None, ..decoded }, Level::FIRST),
        Err(_) => command,
    }
}

/// [`Bug::ExpireByLocalTime`]: each node ends orders by its own clock.
pub(crate) fn stamped(application: &dyn Application, stamp: Stamp, command: &Command) -> Stamp {
    if armed(Bug::ExpireByLocalTime) && application.is_due_work(command) {
        return Stamp { now: Millis::new(firstcome_fault::wall_ms()), ..stamp };
    }
    stamp
}

/// [`Bug::SnapshotMetaAhead`]: a snapshot says that it is further than its rows are.
pub(crate) fn applied_of(reader: &SnapshotReader, state: &State) -> Applied {
    if armed(Bug::SnapshotMetaAhead) { state.applied() } else { reader.applied().clone() }
}

/// [`Bug::StaleFollowerRead`]: a follower reads what it has, without asking how far "now" is.
pub(crate) fn stale_read(is_leader: bool, state: &State) -> Option<Revision> {
    let unasked = armed(Bug::StaleFollowerRead) && !is_leader;
    unasked.then(|| state.applied().revision.unwrap_or_default())
}

/// [`Bug::LeaseReadAfterPause`]: a leader reads what it has for as long as it believes to lead.
pub(crate) fn unconfirmed_index(is_leader: bool, applied: u64) -> Option<u64> {
    (armed(Bug::LeaseReadAfterPause) && is_leader).then_some(applied)
}

/// [`Bug::WipedNodeKeepsId`]: the id of a node that lost its disk, for it to come back under.
pub(crate) fn former_id(founders: &BTreeMap<u64, Address>, name: &str) -> Option<u64> {
    let own = founders.iter().find(|(_, address)| address.name == name);
    armed(Bug::WipedNodeKeepsId).then(|| own.map_or(1, |(id, _)| *id))
}

/// [`Bug::CommitWithoutQuorum`]: as if a peer that cannot be reached had taken everything.
pub(crate) fn as_if_heard<'s>(
    input: impl Stream<Item = AppendRequest> + OptionalSend + 'static,
) -> BoxStream<'s, Result<AppendResult, RpcError>> {
    let heard = input.take(1).map(|request| {
        let last = request.entries.last().map(|entry| entry.log_id);
        Ok(Ok(last.or(request.prev_log_id)))
    });
    heard.boxed()
}
