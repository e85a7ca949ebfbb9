//! Commands that report what became of a payment.

use serde::{Deserialize, Serialize};

use crate::kernel::id::OrderId;
use crate::kernel::version::Versioned;

/// What became of a payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Settlement {
    /// Staff took the money outside: counts as captured in full, only while the order is live.
    PaidOutside {
        /// What staff wrote about it; 1..=200 characters.
        reference: Option<String>,
    },
    /// The provider took the money.
    Captured {
        /// What the provider calls it.
        provider_ref: String,
        /// Minor units.
        amount: i64,
    },
    /// The provider refused for good.
    Declined {
        /// Why.
        code: String,
    },
}

/// `POST /v1/admin/orders/{id}/settlements`; later also the provider runner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentSettle {
    /// The payment's order.
    pub order: OrderId,
    /// What became of it.
    pub settlement: Settlement,
}

impl Versioned for PaymentSettle {}
