//! An order: units set aside for one customer until paid for or run out of time.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{OrderId, PaymentId, ProductId, UserId};
use crate::kernel::key::{Key, KeyPart};
use crate::kernel::row::{IndexKind, IndexRows, Row, TableId, indexes};
use crate::kernel::value::{Currency, Millis, Money, Revision, RowStamp, Sealed, Stamp};
use crate::payment::row::Payment;
use crate::stock::row::PoolId;

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
    /// Terminal: canceled before shipping.
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
    /// The lines are all that was on the customer's wishlist.
    Wishlist,
}

/// Why an order ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EndReason {
    /// `pay_by` passed.
    Unpaid,
    /// Canceled by its owner.
    ByCustomer,
    /// Canceled by staff.
    ByStaff,
    /// The payment was declined for good, or of another amount.
    PaymentRefused,
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
    /// When the row wants to be looked at; none when terminal.
    pub due_at: Option<Millis>,
    /// Its one payment.
    pub payment: Payment,
    /// The carrier's number.
    pub tracking_no: Option<String>,
    /// Why it ended early.
    pub reason: Option<EndReason>,
    /// When something was last noted on it.
    #[cfg(feature = "next")]
    pub noted_at: Option<Millis>,
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

/// Its place in [`Status::ALL`].
impl KeyPart for Status {
    const WIDTH: usize = 1;

    fn put(&self, key: &mut Key) {
        let place = Self::ALL.iter().position(|status| status == self);
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX).put(key);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Self::ALL.get(usize::from(u8::take(bytes)?)).copied()
    }
}

indexes! {
    /// All orders, by ticket.
    OrdersByTicket(1030, "orders_by_ticket", IndexKind::Appended { term_bytes: 0 }):
        (Revision, OrderId);
    /// A customer's orders, by ticket.
    OrdersByCustomer(1031, "orders_by_customer", IndexKind::Appended { term_bytes: 16 }):
        (UserId, Revision, OrderId);
    /// Orders with a line on a pool, by ticket.
    OrdersByPool(1032, "orders_by_pool", IndexKind::Appended { term_bytes: 17 }):
        (PoolId, Revision, OrderId);
    /// Orders that go on, by status and ticket.
    LiveOrders(1033, "live_orders", IndexKind::Live): (Status, Revision, OrderId);
    /// Orders that ended, by status and ticket.
    EndedOrders(1034, "ended_orders", IndexKind::Stored): (Status, Revision, OrderId);
    /// Orders on a pool that go on, by status and ticket.
    LiveOrdersByPool(1035, "live_orders_by_pool", IndexKind::Live):
        (PoolId, Status, Revision, OrderId);
    /// Orders on a pool that ended, by status and ticket.
    EndedOrdersByPool(1036, "ended_orders_by_pool", IndexKind::Stored):
        (PoolId, Status, Revision, OrderId);
    /// Unpaid orders on a pool, by the end of their hold.
    HoldsDue(1037, "holds_due", IndexKind::Live): (PoolId, Millis, OrderId);
    /// A customer's unpaid orders.
    UnpaidOrders(1038, "unpaid_orders", IndexKind::Live): (UserId, Revision, OrderId);
    /// A customer's orders that are paid and go on.
    PaidOrders(1039, "paid_orders", IndexKind::Live): (UserId, Revision, OrderId);
}

#[cfg(not(feature = "next"))]
impl crate::kernel::version::Versioned for Order {}

impl Row for Order {
    const TABLE: TableId = TableId(5);
    const NAME: &'static str = "orders";
    const LIVE: bool = true;
    type Key = OrderId;

    fn key(&self) -> OrderId {
        self.id
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }

    fn index(&self, rows: &mut IndexRows) {
        let (id, ticket, status) = (self.id, self.ticket.revision, self.status);
        rows.0.reserve(self.lines.len().saturating_mul(3).saturating_add(5));
        rows.add::<OrdersByTicket>((ticket, id));
        rows.add::<OrdersByCustomer>((self.customer, ticket, id));
        if status.is_terminal() {
            rows.add::<EndedOrders>((status, ticket, id));
        } else {
            rows.add::<LiveOrders>((status, ticket, id));
        }
        let unpaid = status == Status::PaymentPending;
        if unpaid {
            rows.add::<UnpaidOrders>((self.customer, ticket, id));
        } else if !status.is_terminal() {
            rows.add::<PaidOrders>((self.customer, ticket, id));
        }
        for line in &self.lines {
            rows.add::<OrdersByPool>((line.pool, ticket, id));
            if status.is_terminal() {
                rows.add::<EndedOrdersByPool>((line.pool, status, ticket, id));
            } else {
                rows.add::<LiveOrdersByPool>((line.pool, status, ticket, id));
            }
            if let (true, Some(pay_by)) = (unpaid, self.pay_by) {
                rows.add::<HoldsDue>((line.pool, pay_by, id));
            }
        }
        #[cfg(feature = "next")]
        crate::next::index::add(
            rows,
            (ticket, id),
            self.total,
            self.lines.iter().map(|line| line.product).collect(),
        );
    }

    fn due_at(&self) -> Option<Millis> {
        self.due_at
    }
}
