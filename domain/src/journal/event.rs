//! Events: published facts, in the row of the decision that caused them, numbered without gaps.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{OrderId, PaymentId, ProductId, SaleId, SessionId, UserId};
use crate::kernel::value::{Currency, Millis};
use crate::order::row::{Source, Status};
use crate::sale::row::Phase;
use crate::stock::row::{Accounts, PoolId};

/// A line as events show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventLine {
    /// Where the units come from.
    pub pool: PoolId,
    /// Units.
    pub quantity: u32,
    /// Minor units each.
    pub unit_price: i64,
}

/// One thing that happened. No personal data: ids, codes, amounts, quantities.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Fact {
    /// `order.created`
    OrderCreated {
        /// The order.
        order: OrderId,
        /// What was ordered.
        lines: Vec<EventLine>,
        /// Minor units.
        total: i64,
        /// Of what.
        currency: Currency,
        /// Until when it holds.
        pay_by: Millis,
        /// How it came to be.
        source: Source,
    },
    /// `order.paid`, `.expired`, `.canceled`, `.shipping`, `.delivered`, `.confirmed`,
    /// `.return_requested`, `.returned`, `.payment_failed`
    OrderStatus {
        /// The order.
        order: OrderId,
        /// Before.
        from: Status,
        /// After.
        to: Status,
        /// When it is looked at next.
        due_at: Option<Millis>,
        /// The carrier's number.
        tracking_no: Option<String>,
    },
    /// `payment.paid`, `.canceled`, `.refund_requested`, `.refunded`, `.duplicate_capture` ...
    Payment {
        /// The payment.
        payment: PaymentId,
        /// What happened to it.
        what: PaymentFact,
        /// Minor units.
        amount: i64,
        /// A decline's code.
        code: Option<String>,
    },
    /// `stock.changed`: one per touched pool and log entry.
    StockChanged {
        /// The pool.
        pool: PoolId,
        /// Where its units stand after the entry.
        accounts: Accounts,
    },
    /// `sale.created`, `.updated`, `.opened`, `.paused`, `.resumed`, `.closed`, `.sold_out`,
    /// `.available_again`
    Sale {
        /// The sale.
        sale: SaleId,
        /// What happened to it.
        what: SaleFact,
        /// Its phase after the entry.
        phase: Phase,
    },
    /// `product.created`, `.updated`, `.status_changed`
    Product {
        /// The product.
        product: ProductId,
        /// What happened to it.
        what: ProductFact,
        /// Whether it is discontinued after the entry.
        discontinued: bool,
    },
    /// `settings.changed`
    SettingsChanged,
    /// `user.signed_up`, `.updated`, `.password_changed`, `.role_changed`, `.blocked`, `.unblocked`
    User {
        /// The user.
        user: UserId,
        /// What happened to them.
        what: UserFact,
    },
    /// `session.opened`, `.closed`, `.reuse_detected`
    Session {
        /// The session.
        session: SessionId,
        /// Whose it is.
        user: UserId,
        /// What happened to it.
        what: SessionFact,
    },
}

/// What happened to a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum UserFact {
    /// The account is new.
    SignedUp,
    /// Changed by the user.
    Updated,
    /// The password was changed or reset.
    PasswordChanged,
    /// Staff gave them another role.
    RoleChanged,
    /// Blocked by staff.
    Blocked,
    /// Unblocked by staff.
    Unblocked,
    /// All personal data was removed.
    Erased,
}

/// What happened to a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SessionFact {
    /// Somebody logged in.
    Opened,
    /// Over before its time.
    Closed,
    /// Over because an old refresh token was used.
    ReuseDetected,
}

/// What happened to a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PaymentFact {
    /// Captured, amount equal.
    Paid,
    /// Declined for good.
    Failed,
    /// The order ended before money moved.
    Canceled,
    /// Money is to be given back.
    RefundRequested,
    /// Money was given back.
    Refunded,
    /// A second capture is to be given back.
    DuplicateCapture,
}

/// What happened to a sale.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SaleFact {
    /// Created by staff.
    Created,
    /// Changed by staff.
    Updated,
    /// `opens_at` came.
    Opened,
    /// Stopped for now.
    Paused,
    /// Goes on.
    Resumed,
    /// Over.
    Closed,
    /// The last available unit went.
    SoldOut,
    /// Units came back.
    AvailableAgain,
}

/// What happened to a product.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ProductFact {
    /// Created by staff.
    Created,
    /// Changed by staff.
    Updated,
    /// Discontinued, or offered again.
    StatusChanged,
}

impl Fact {
    /// The event's name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OrderCreated { .. } => "order.created",
            Self::OrderStatus { to, .. } => match to {
                Status::PaymentPending => "order.created",
                Status::Paid => "order.paid",
                Status::Shipping => "order.shipping",
                Status::Delivered => "order.delivered",
                Status::ReturnRequested => "order.return_requested",
                Status::PaymentFailed => "order.payment_failed",
                Status::Expired => "order.expired",
                Status::Confirmed => "order.confirmed",
                Status::Canceled => "order.canceled",
                Status::Returned => "order.returned",
            },
            Self::Payment { what, .. } => match what {
                PaymentFact::Paid => "payment.paid",
                PaymentFact::Failed => "payment.failed",
                PaymentFact::Canceled => "payment.canceled",
                PaymentFact::RefundRequested => "payment.refund_requested",
                PaymentFact::Refunded => "payment.refunded",
                PaymentFact::DuplicateCapture => "payment.duplicate_capture",
            },
            Self::StockChanged { .. } => "stock.changed",
            Self::Sale { what, .. } => match what {
                SaleFact::Created => "sale.created",
                SaleFact::Updated => "sale.updated",
                SaleFact::Opened => "sale.opened",
                SaleFact::Paused => "sale.paused",
                SaleFact::Resumed => "sale.resumed",
                SaleFact::Closed => "sale.closed",
                SaleFact::SoldOut => "sale.sold_out",
                SaleFact::AvailableAgain => "sale.available_again",
            },
            Self::Product { what, .. } => match what {
                ProductFact::Created => "product.created",
                ProductFact::Updated => "product.updated",
                ProductFact::StatusChanged => "product.status_changed",
            },
            Self::SettingsChanged => "settings.changed",
            Self::User { what, .. } => match what {
                UserFact::SignedUp => "user.signed_up",
                UserFact::Updated => "user.updated",
                UserFact::PasswordChanged => "user.password_changed",
                UserFact::RoleChanged => "user.role_changed",
                UserFact::Blocked => "user.blocked",
                UserFact::Unblocked => "user.unblocked",
                UserFact::Erased => "user.erased",
            },
            Self::Session { what, .. } => match what {
                SessionFact::Opened => "session.opened",
                SessionFact::Closed => "session.closed",
                SessionFact::ReuseDetected => "session.reuse_detected",
            },
        }
    }
}
