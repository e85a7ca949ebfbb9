//! The feature level of the cluster; no row while it was never raised.

use serde::{Deserialize, Serialize};

use crate::kernel::row::{Row, TableId};
use crate::kernel::value::RowStamp;
use crate::kernel::version::{Level, Versioned};

/// The one row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FeatureLevel {
    /// Encodings and rules up to this level are in use.
    pub level: u16,
    /// The release that asked for the level.
    pub release: String,
    /// Version and stamps.
    pub row: RowStamp,
}

impl FeatureLevel {
    /// The level as rules ask for it.
    pub const fn level(&self) -> Level {
        Level(self.level)
    }
}

impl Versioned for FeatureLevel {}

impl Row for FeatureLevel {
    const TABLE: TableId = TableId(9);
    const NAME: &'static str = "feature_level";
    const HOT: bool = true;
    type Key = ();

    fn key(&self) {}

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }
}
