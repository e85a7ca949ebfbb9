//! Revealing personal data: only the audit log changes.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{OrderId, UserId};
use crate::kernel::value::Sealed;
use crate::kernel::version::Versioned;

/// `POST /v1/admin/orders/{id}/reveals`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderReveal {
    /// Which order.
    pub id: OrderId,
    /// Why, sealed for the order.
    pub reason: Sealed,
}

/// `POST /v1/admin/users/{id}/reveals`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserReveal {
    /// Whose account.
    pub id: UserId,
    /// Why, sealed for them.
    pub reason: Sealed,
}

impl Versioned for OrderReveal {}
impl Versioned for UserReveal {}
