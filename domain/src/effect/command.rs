//! The result of an attempt.

use serde::{Deserialize, Serialize};

use crate::kernel::id::EffectId;
use crate::kernel::version::Versioned;

/// The result of an attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Attempt {
    /// It is done.
    Done,
    /// It may succeed later.
    Retry {
        /// How long to wait.
        wait_ms: i64,
        /// Why it failed.
        code: String,
    },
    /// It will never succeed.
    Failed {
        /// Why.
        code: String,
    },
}

/// Reports an attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EffectReport {
    /// Which effect.
    pub id: EffectId,
    /// How many attempts had failed before this one.
    pub attempts: u32,
    /// The result.
    pub attempt: Attempt,
}

impl Versioned for EffectReport {}
