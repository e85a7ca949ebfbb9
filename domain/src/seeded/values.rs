//! Seeded bugs of values and rows.

use firstcome_fault::{Bug, armed, shuffle};

/// [`Bug::StampGoesBack`]: the leader's stamp counts as it is, even behind the last one.
pub(crate) fn time_goes_back() -> bool {
    armed(Bug::StampGoesBack)
}

/// [`Bug::OversellOffByOne`]: one unit more than there is.
pub(crate) fn available(units: u64) -> u64 {
    if armed(Bug::OversellOffByOne) { units.saturating_add(1) } else { units }
}

/// [`Bug::OversellOffByOne`]: an account that does not cover a movement is empty after it.
pub(crate) fn left(units: Option<u64>) -> Option<u64> {
    if units.is_none() && armed(Bug::OversellOffByOne) { Some(0) } else { units }
}

/// [`Bug::UnorderedIteration`]: rows that are due come in an order of this node's own.
pub(crate) fn reorder<T>(rows: &mut [T]) {
    if armed(Bug::UnorderedIteration) {
        shuffle(rows);
    }
}
