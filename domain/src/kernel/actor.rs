//! Who asks.

use serde::{Deserialize, Serialize};

use super::id::{SessionId, UserId};

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

impl Role {
    /// Its place in the list above, for indexes.
    pub const fn place(self) -> u8 {
        match self {
            Self::Customer => 0,
            Self::Support => 1,
            Self::Operator => 2,
            Self::Admin => 3,
        }
    }
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
    /// Someone who is not logged in: sign-up, login, verification and password reset.
    Anyone,
    /// A user who logged in. Rules never see this one: [`decide`](crate::decide::decide) looks up
    /// the session and makes it a [`Actor::User`] with the role that the user has now.
    Session {
        /// `usr_...`
        user: UserId,
        /// `ses_...`
        session: SessionId,
        /// What the route is for: a user with a higher role acts with this one.
        role: Role,
    },
}

impl Actor {
    /// The user, if one asks.
    pub const fn user(self) -> Option<UserId> {
        match self {
            Self::User { id, .. } | Self::Session { user: id, .. } => Some(id),
            Self::Node | Self::Anyone => None,
        }
    }
}
