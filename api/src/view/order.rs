//! Orders as answers show them.

use firstcome_domain::order::{EndReason, Line, Order, PaymentStatus, Source};
use firstcome_domain::stock::PoolId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fields::MoneyBody;
use crate::instant;
use crate::seal::Address;

/// A purchase.
#[derive(Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderView {
    /// Always `order`.
    #[schema(example = "order")]
    object: &'static str,
    /// `ord_...`
    id: String,
    /// `payment_pending`, `paid`, `shipping`, `delivered`, `return_requested`, `payment_failed`,
    /// `expired`, `confirmed`, `canceled` or `returned`.
    status: &'static str,
    /// `usr_...`
    customer_id: String,
    lines: Vec<LineView>,
    total: MoneyBody,
    /// First instant at which the unpaid order no longer holds its units, in log time.
    pay_by: Option<String>,
    placed_at: String,
    /// When the status was entered.
    entered_at: String,
    payment: PaymentView,
    /// `direct`, `wishlist` or `waitlist`.
    source: &'static str,
    /// The carrier's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_no: Option<String>,
    /// Why it ended early: `unpaid`, `by_customer`, `by_staff` or `payment_refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Where it goes; only its owner sees it, when reading one order.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    /// Also the `ETag`.
    version: u64,
    /// The log entry that last wrote the order.
    revision: u64,
    /// The log entry that placed the order: its place in the line.
    ticket: u64,
}

/// One target of an order.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderLine)]
struct LineView {
    /// `sal_...`; absent for general stock.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale_id: Option<String>,
    /// `prd_...`
    product_id: String,
    /// The product's name when the order was placed.
    name: String,
    quantity: u32,
    unit_price: MoneyBody,
}

/// The one payment of an order.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment)]
struct PaymentView {
    /// `pay_...`
    id: String,
    /// `pending`, `confirming`, `paid`, `failed`, `canceled`, `refund_pending` or `refunded`.
    status: &'static str,
}

const fn payment_word(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Pending => "pending",
        PaymentStatus::Confirming => "confirming",
        PaymentStatus::Paid => "paid",
        PaymentStatus::Failed => "failed",
        PaymentStatus::Canceled => "canceled",
        PaymentStatus::RefundPending => "refund_pending",
        PaymentStatus::Refunded => "refunded",
    }
}

/// The word of a source.
pub(crate) const fn source_word(source: Source) -> &'static str {
    match source {
        Source::Direct => "direct",
        Source::Wishlist => "wishlist",
        Source::Waitlist => "waitlist",
    }
}

const fn reason_word(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Unpaid => "unpaid",
        EndReason::ByCustomer => "by_customer",
        EndReason::ByStaff => "by_staff",
        EndReason::PaymentRefused => "payment_refused",
    }
}

impl LineView {
    fn of(line: &Line) -> Self {
        let sale_id = match line.pool {
            PoolId::Product(_) => None,
            PoolId::Sale(id) => Some(id.to_string()),
        };
        Self {
            sale_id,
            product_id: line.product.to_string(),
            name: line.name.clone(),
            quantity: line.quantity,
            unit_price: MoneyBody::of(line.unit_price.amount, line.unit_price.currency),
        }
    }
}

impl OrderView {
    /// Shows an order without its address.
    pub(crate) fn of(order: &Order) -> Self {
        Self {
            object: "order",
            id: order.id.to_string(),
            status: order.status.as_str(),
            customer_id: order.customer.to_string(),
            lines: order.lines.iter().map(LineView::of).collect(),
            total: MoneyBody::of(order.total, order.currency),
            pay_by: order.pay_by.map(instant::format),
            placed_at: instant::format(order.ticket.now),
            entered_at: instant::format(order.entered_at),
            payment: PaymentView {
                id: order.payment_id().to_string(),
                status: payment_word(order.payment.status),
            },
            source: source_word(order.source),
            tracking_no: order.tracking_no.clone(),
            reason: order.reason.map(reason_word),
            address: None,
            version: order.row.version,
            revision: order.row.updated.revision.get(),
            ticket: order.ticket.revision.get(),
        }
    }

    /// Adds where it goes, for its owner.
    #[must_use]
    pub(crate) fn with_address(mut self, address: Option<Address>) -> Self {
        self.address = address;
        self
    }
}
