//! Orders.

use firstcome_domain::order::{Line, Order};
use firstcome_domain::stock::PoolId;
use serde::Serialize;
use utoipa::ToSchema;

use super::words::{end_reason_word, payment_word, source_word};
use crate::fields::MoneyBody;
use crate::rfc3339;
use crate::seal::DeliveryAddress;

/// A purchase.
#[derive(Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderBody {
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
    lines: Vec<LineBody>,
    total: MoneyBody,
    /// When the unpaid order stops holding its units, in log time.
    pay_by: Option<String>,
    placed_at: String,
    /// When the order entered its status.
    entered_at: String,
    payment: PaymentBody,
    /// `direct`: the customer named the lines. `wishlist`: they are all that was on the wishlist.
    source: &'static str,
    /// The tracking number of the carrier.
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_no: Option<String>,
    /// Why it ended early: `unpaid`, `by_customer`, `by_staff` or `payment_refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The delivery address; shown only to the owner, and only for a single order.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<DeliveryAddress>,
    /// Also the `ETag`.
    version: u64,
    /// The log entry that last wrote the order.
    revision: u64,
    /// The log entry that placed the order: its place in the queue.
    ticket: u64,
}

/// One line of an order.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderLine)]
struct LineBody {
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

/// The payment of an order.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment)]
struct PaymentBody {
    /// `pay_...`
    id: String,
    /// `pending`, `paid`, `failed`, `canceled`, `refund_pending` or `refunded`.
    status: &'static str,
}

impl LineBody {
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

impl OrderBody {
    /// Shows an order without its address.
    pub(crate) fn of(order: &Order) -> Self {
        Self {
            object: "order",
            id: order.id.to_string(),
            status: order.status.as_str(),
            customer_id: order.customer.to_string(),
            lines: order.lines.iter().map(LineBody::of).collect(),
            total: MoneyBody::of(order.total, order.currency),
            pay_by: order.pay_by.map(rfc3339::format),
            placed_at: rfc3339::format(order.ticket.now),
            entered_at: rfc3339::format(order.entered_at),
            payment: PaymentBody {
                id: order.payment_id().to_string(),
                status: payment_word(order.payment.status),
            },
            source: source_word(order.source),
            tracking_no: order.tracking_no.clone(),
            reason: order.reason.map(end_reason_word),
            address: None,
            version: order.row.version,
            revision: order.row.updated.revision.get(),
            ticket: order.ticket.revision.get(),
        }
    }

    /// Adds the address, for its owner.
    #[must_use]
    pub(crate) fn with_address(mut self, address: Option<DeliveryAddress>) -> Self {
        self.address = address;
        self
    }
}
