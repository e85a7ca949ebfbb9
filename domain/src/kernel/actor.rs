//! Who asks.

use serde::{Deserialize, Serialize};

use super::id::UserId;

/// What a caller may do at most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Buys.
    Customer,
    /// Helps with orders.
    Support,
    /// Runs products, stock and sales.
    Operator,
    /// May do everything.
    Admin,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Actor {
    /// The leader itself: timers.
    Node,
    /// A user, with the role that the token names.
    User {
        /// `usr_...`
        id: UserId,
        /// The role.
        role: Role,
    },
}
