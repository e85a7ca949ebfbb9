//! Ranges of keys: which way they are walked, and how much is looked at under one lock.

use std::ops::Bound;

use firstcome_domain::kernel::key::Key;

/// Rows taken out of a memtable under one lock: a few microseconds.
pub(crate) const BATCH_ROWS_MAX: usize = 64;
/// Rows looked at under one lock: an old view skips what was written since it began.
pub(crate) const LOOKED_AT_MAX: usize = 4 * BATCH_ROWS_MAX;

/// Which way a scan or a list goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// In key order: oldest first.
    Up,
    /// Against it: newest first.
    #[default]
    Down,
}

/// Whether nothing lies between the bounds; map ranges must not be asked for such.
pub(crate) fn is_empty(low: &Bound<Key>, high: &Bound<Key>) -> bool {
    match (low, high) {
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high))
        | (Bound::Excluded(low), Bound::Included(high)) => low >= high,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}
