//! Seeded bugs: the wrong code that a fault build can be asked to run, and the tests must notice.

use firstcome_domain::journal::row::ReceiptsByScope;
use firstcome_domain::kernel::row::{Index as _, TableId};
use firstcome_fault::{Bug, armed};

/// [`Bug::ReceiptNotInSnapshot`]: the index that a snapshot does not bring back.
pub(crate) fn index_lost_with_snapshot() -> Option<TableId> {
    armed(Bug::ReceiptNotInSnapshot).then_some(ReceiptsByScope::TABLE)
}
