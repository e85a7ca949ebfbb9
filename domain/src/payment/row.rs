//! The one payment of an order; it lives in the order's row.

use serde::{Deserialize, Serialize};

/// Where a payment stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PaymentStatus {
    /// Nothing asked of a provider yet.
    Pending,
    /// Captured, amount equal.
    Paid,
    /// Declined for good.
    Failed,
    /// The order ended before money moved.
    Canceled,
    /// Money is being given back.
    RefundPending,
    /// Money was given back.
    Refunded,
}

/// How far the giving back of one capture is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refund {
    /// Kept.
    None,
    /// Being given back.
    Pending,
    /// Given back.
    Done,
}

/// Money that was taken for a payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Capture {
    /// What the provider calls it; 1..=200 characters.
    pub provider_ref: String,
    /// Minor units, in the order's currency.
    pub amount: i64,
    /// Whether it goes back.
    pub refund: Refund,
}

/// The one payment of an order; lives inside the order's row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Payment {
    /// Where it stands.
    pub status: PaymentStatus,
    /// What was taken.
    pub captures: Vec<Capture>,
    /// The last decline's code.
    pub last_code: Option<String>,
}
