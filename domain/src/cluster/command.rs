//! The command that raises the feature level.

use serde::{Deserialize, Serialize};

use crate::kernel::version::Versioned;

/// Raises the feature level by one, once every node runs a release that knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FeatureLevelRaise {
    /// The level to reach: one above the present one.
    pub to: u16,
    /// The release that asks for it. A node that does not know the level names it when it stops.
    pub release: String,
}

impl Versioned for FeatureLevelRaise {}
