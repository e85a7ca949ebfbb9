//! View: how rules read rows.
//!
//! There are two implementations: storage's, and one in memory for tests. Reads cannot fail here:
//! storage keeps the read error, drops everything that was concluded from it and stops the node,
//! because one node's disk must never become a replicated outcome.

use std::sync::Arc;

use crate::cluster::row::FeatureLevel;
use crate::journal::row::Retention;
use crate::kernel::row::{Due, Index};
use crate::kernel::value::Millis;
use crate::kernel::version::Level;
use crate::registry::Declared;
use crate::settings::row::Settings;

/// Reads of the rows as the last applied log entry left them.
///
/// Lists come in key order and stop at `limit`, so the work of a decision is bounded.
pub trait View {
    /// One row.
    fn get<R: Declared>(&self, key: R::Key) -> Option<Arc<R>>;

    /// Keys of an index from `first` to `last`, both included.
    fn scan<I: Index>(&self, first: I::Key, last: I::Key, limit: usize) -> Vec<I::Key>;

    /// Rows of a table from `first` on.
    fn rows<R: Declared>(&self, first: R::Key, limit: usize) -> Vec<Arc<R>>;

    /// The earliest due time of all rows.
    fn next_due(&self) -> Option<Millis> {
        self.scan::<Due>(FIRST_DUE, LAST_DUE, 1).first().map(|(at, ..)| *at)
    }

    /// The settings; the defaults while nobody changed them.
    fn settings(&self) -> Settings {
        self.get::<Settings>(()).map(|row| *row).unwrap_or_default()
    }

    /// How far retention is.
    fn retention(&self) -> Retention {
        self.get::<Retention>(()).map(|row| *row).unwrap_or_default()
    }

    /// The feature level.
    fn level(&self) -> Level {
        self.get::<FeatureLevel>(()).map_or(Level::FIRST, |row| row.level())
    }
}

/// The first key that [`Due`] can hold.
pub const FIRST_DUE: (Millis, u16, u128) = (Millis::new(i64::MIN), 0, 0);
/// The last key that [`Due`] can hold.
pub const LAST_DUE: (Millis, u16, u128) = (Millis::new(i64::MAX), u16::MAX, u128::MAX);
