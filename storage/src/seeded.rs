//! Seeded bugs: the wrong code that a fault build can be asked to run, and the tests must notice.

use std::path::Path;

use firstcome_domain::journal::row::ReceiptsByScope;
use firstcome_domain::kernel::row::{Index as _, TableId};
use firstcome_domain::value::Millis;
use firstcome_fault::{Bug, armed};
use redb::{Database, WriteTransaction};

use crate::error::Error;
use crate::stored::begin_durable;

/// Entries that [`Bug::PurgeTooFar`] takes away besides.
const PURGED_TOO_FAR: u64 = 20;

/// Takes a step that a bug leaves out.
pub(crate) fn unless<E>(bug: Bug, step: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    if armed(bug) { Ok(()) } else { step() }
}

/// [`Bug::ReceiptNotInSnapshot`]: the index that a snapshot does not bring back.
pub(crate) fn index_lost_with_snapshot() -> Option<TableId> {
    armed(Bug::ReceiptNotInSnapshot).then_some(ReceiptsByScope::TABLE)
}

/// [`Bug::ApplyReadsWallClock`]: the time of an entry.
pub(crate) fn log_time(now: Millis) -> Millis {
    if armed(Bug::ApplyReadsWallClock) {
        return now.max(Millis::new(firstcome_fault::wall_ms()));
    }
    now
}

/// [`Bug::TruncateSkipped`]: the first entry that is dropped.
pub(crate) fn first_truncated(first: u64) -> u64 {
    if armed(Bug::TruncateSkipped) { u64::MAX } else { first }
}

/// [`Bug::PurgeTooFar`]: the last entry that is removed.
pub(crate) fn purged_upto(last: u64) -> u64 {
    if armed(Bug::PurgeTooFar) { last + PURGED_TOO_FAR } else { last }
}

/// [`Bug::AckBeforeFsync`] and [`Bug::VoteNotSynced`]: whether a commit of the log is synced.
pub(crate) fn log_syncs(appends: bool, votes: bool) -> bool {
    !(appends && armed(Bug::AckBeforeFsync) || votes && armed(Bug::VoteNotSynced))
}

/// [`Bug::AppliedIndexInSecondTransaction`]: the transaction for the position of a checkpoint,
/// given that of its rows.
pub(crate) fn before_position(
    txn: WriteTransaction,
    db: &Database,
    path: &Path,
) -> Result<WriteTransaction, Error> {
    if !armed(Bug::AppliedIndexInSecondTransaction) {
        return Ok(txn);
    }
    txn.commit().map_err(|error| crate::file::failed(path, error))?;
    begin_durable(db, path)
}
