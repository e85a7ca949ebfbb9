//! The command: staff note something on an order.

use serde::{Deserialize, Serialize};

use crate::kernel::id::OrderId;
use crate::kernel::version::Versioned;

/// Notes something on an order, instead of what was noted before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderAnnotate {
    /// The order.
    pub order: OrderId,
    /// 1 to 200 characters.
    pub text: String,
}

impl Versioned for OrderAnnotate {}
