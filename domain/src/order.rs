//! Orders: units set aside for one customer until paid for or run out of time.
//!
//! An unpaid order *is* the hold: there is no hold object. It leaves `payment_pending` exactly
//! once and releases its units at most once (S9). Times are log time, so every node ends it at
//! the same log entry.

use serde::{Deserialize, Serialize};

use crate::id::{OrderId, PaymentId, ProductId, UserId};
use crate::stock::PoolId;
use crate::value::{Currency, Millis, Money, RowStamp, Sealed, Stamp};

/// Where an order is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Status {
    /// Holds its units until `pay_by`.
    PaymentPending,
    /// Paid for; ships next.
    Paid,
    /// On its way.
    Shipping,
    /// Arrived; may be returned for a while.
    Delivered,
    /// The customer sends it back.
    ReturnRequested,
    /// Terminal: declined for good.
    PaymentFailed,
    /// Terminal: unpaid at `pay_by`.
    Expired,
    /// Terminal: kept.
    Confirmed,
    /// Terminal: called off before shipping.
    Canceled,
    /// Terminal: came back.
    Returned,
}

impl Status {
    /// Every status, in the order of the declaration.
    pub const ALL: [Self; 10] = [
        Self::PaymentPending,
        Self::Paid,
        Self::Shipping,
        Self::Delivered,
        Self::ReturnRequested,
        Self::PaymentFailed,
        Self::Expired,
        Self::Confirmed,
        Self::Canceled,
        Self::Returned,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentPending => "payment_pending",
            Self::Paid => "paid",
            Self::Shipping => "shipping",
            Self::Delivered => "delivered",
            Self::ReturnRequested => "return_requested",
            Self::PaymentFailed => "payment_failed",
            Self::Expired => "expired",
            Self::Confirmed => "confirmed",
            Self::Canceled => "canceled",
            Self::Returned => "returned",
        }
    }

    /// Whether the order never changes status again.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::PaymentFailed
            | Self::Expired
            | Self::Confirmed
            | Self::Canceled
            | Self::Returned => true,
            Self::PaymentPending
            | Self::Paid
            | Self::Shipping
            | Self::Delivered
            | Self::ReturnRequested => false,
        }
    }

    /// Whether the order's units are in `sold` (S4).
    pub const fn is_sold(self) -> bool {
        match self {
            Self::Paid
            | Self::Shipping
            | Self::Delivered
            | Self::Confirmed
            | Self::ReturnRequested => true,
            Self::PaymentPending
            | Self::PaymentFailed
            | Self::Expired
            | Self::Canceled
            | Self::Returned => false,
        }
    }
}

/// One pool with a quantity inside an order. Names and prices are copies from decision time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Where the units come from.
    pub pool: PoolId,
    /// What they are units of.
    pub product: ProductId,
    /// The product's name.
    pub name: String,
    /// Price of one unit.
    pub unit_price: Money,
    /// Units, 1..=100.
    pub quantity: u32,
}

/// How the order came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Source {
    /// The customer named the lines.
    Direct,
    /// From the wishlist.
    Wishlist,
    /// Promoted from the waitlist.
    Waitlist,
}

/// Why an order ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EndReason {
    /// `pay_by` passed.
    Unpaid,
    /// Called off by its owner.
    ByCustomer,
    /// Called off by staff.
    ByStaff,
    /// The payment was declined for good, or of another amount.
    PaymentRefused,
}

/// Where a payment stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PaymentStatus {
    /// Nothing asked of a provider yet.
    Pending,
    /// The provider was told to take the money.
    Confirming,
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
    /// Tries so far.
    pub attempt: u32,
    /// What was taken.
    pub captures: Vec<Capture>,
    /// The last decline's code.
    pub last_code: Option<String>,
}

/// One order row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// `ord_...`
    pub id: OrderId,
    /// Whose it is.
    pub customer: UserId,
    /// 1..=20 lines, one per pool.
    pub lines: Vec<Line>,
    /// Sum of all lines, minor units.
    pub total: i64,
    /// The one currency of all lines.
    pub currency: Currency,
    /// Where it goes; absent when every product is `no_shipping`.
    pub address: Option<Sealed>,
    /// How it came to be.
    pub source: Source,
    /// Where it is in its life.
    pub status: Status,
    /// Log time of the entry that set the status.
    pub entered_at: Millis,
    /// First instant at which the unpaid order no longer holds its units.
    pub pay_by: Option<Millis>,
    /// The last instant any extension of `pay_by` can reach.
    pub pay_by_max: Option<Millis>,
    /// When the row wants to be looked at; none when terminal.
    pub due_at: Option<Millis>,
    /// Its one payment.
    pub payment: Payment,
    /// The carrier's number.
    pub tracking_no: Option<String>,
    /// Why it ended early.
    pub reason: Option<EndReason>,
    /// The log entry that placed it: its place in the line.
    pub ticket: Stamp,
    /// Version and stamps.
    pub row: RowStamp,
}

impl Order {
    /// Its payment's id.
    pub const fn payment_id(&self) -> PaymentId {
        self.id.payment()
    }
}
