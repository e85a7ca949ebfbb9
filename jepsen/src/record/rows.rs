//! Turns orders, events, movements and products of the REST API into rows of a dump.

use anyhow::Context;
use serde_json::Value;

use super::dump::{EditRow, EventRow, LedgerRow, OrderRow, ProductRow};
use super::invocation;

/// An order of an admin list.
pub fn order_row(row: &Value) -> anyhow::Result<OrderRow> {
    let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    let line = row.get("lines").and_then(|lines| lines.get(0));
    let shortened = || {
        Some(OrderRow {
            id: text("id")?,
            customer: text("customer_id")?,
            pool: line?.get("sale_id").and_then(Value::as_str)?.to_owned(),
            quantity: line?.get("quantity").and_then(Value::as_u64)?,
            status: text("status")?,
            revision: row.get("ticket").and_then(Value::as_u64)?,
            pay_by: text("pay_by"),
            payment: row.get("payment")?.get("status").and_then(Value::as_str).map(str::to_owned),
        })
    };
    shortened().with_context(|| format!("not an order: {row}"))
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name).and_then(Value::as_u64)
}

/// An event of the admin list, if it is about an order.
pub fn event_row(row: &Value) -> Option<EventRow> {
    let name = text(row, "type")?;
    let data = row.get("data")?;
    name.starts_with("order.").then_some(EventRow {
        revision: number(row, "revision")?,
        name,
        order: text(data, "order_id")?,
        at: text(row, "at"),
        from: text(data, "from"),
        pay_by: text(data, "pay_by"),
    })
}

/// An event of the admin list, if it made a new version of a product.
pub fn edit_row(row: &Value) -> Option<EditRow> {
    let name = text(row, "type")?;
    let product = text(row.get("data")?, "product_id")?;
    name.starts_with("product.").then_some(EditRow { revision: number(row, "revision")?, product })
}

/// A row of the ledger.
pub fn ledger_row(row: &Value) -> Option<LedgerRow> {
    Some(LedgerRow {
        revision: number(row, "revision")?,
        offset: number(row, "offset")?,
        pool: text(row, "pool")?,
        from: text(row, "from")?,
        to: text(row, "to")?,
        quantity: number(row, "quantity")?,
        order: text(row, "order_id"),
    })
}

/// A product as it is shown.
pub fn product_row(body: &Value) -> Option<ProductRow> {
    Some(ProductRow {
        price: number(body.get("price")?, "amount")?,
        version: number(body, "version")?,
        accounts: serde_json::from_value(invocation::accounts(body.get("stock")?)?).ok()?,
    })
}
