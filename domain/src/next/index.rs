//! The indexes over orders: one that is kept up, one that only grows.

use std::collections::BTreeSet;

use crate::kernel::id::{OrderId, ProductId};
use crate::kernel::row::{IndexKind, IndexRows, indexes};
use crate::kernel::value::Revision;

indexes! {
    /// Orders by total.
    OrdersByTotal(1900, "orders_by_total", IndexKind::Stored): (u64, OrderId);
    /// Orders of a product, by ticket.
    OrdersByProduct(1901, "orders_by_product", IndexKind::Appended { term_bytes: 16 }):
        (ProductId, Revision, OrderId);
}

/// Adds the index rows of an order.
pub(crate) fn add(
    rows: &mut IndexRows,
    (ticket, id): (Revision, OrderId),
    total: i64,
    products: BTreeSet<ProductId>,
) {
    rows.add::<OrdersByTotal>((u64::try_from(total).unwrap_or(0), id));
    for product in products {
        rows.add::<OrdersByProduct>((product, ticket, id));
    }
}
