//! The ceiling of the HTTP side: everything a purchase costs here, but nothing is proposed.
//! Offered only when the options say so, never in production.

use serde::Serialize;

use super::Table;
use super::order::NewOrder;
use crate::budget::Budget;
use crate::call::{Answer, Call};
use crate::instant;
use crate::problem::Problem;
use crate::spec::{KeyRule, Spec, Success, schema_of};
use crate::view::stock::StockView;

/// `POST /v1/bench/noop`
pub(crate) const NOOP: Spec = Spec {
    path: "/v1/bench/noop",
    operation: "noop",
    tag: "bench",
    summary: "Parses an order and answers without proposing it.",
    budget: Budget::Purchase,
    key: KeyRule::Accepted,
    body: Some(schema_of::<crate::route::order::Nothing>()),
    success: Success::One(schema_of::<StockView>()),
    hidden: true,
    ..Spec::POST
};

/// Adds the route of this file.
pub(super) fn register(table: Table) -> Table {
    table.with(&NOOP, noop)
}

/// As large as an order.
#[derive(Serialize)]
struct NoopView {
    object: &'static str,
    id: String,
    status: &'static str,
    customer_id: String,
    lines: usize,
    placed_at: String,
    pay_by: String,
    padding: &'static str,
    revision: u64,
    ticket: u64,
}

async fn noop(call: Call) -> Result<Answer, Problem> {
    let command = call.json::<NewOrder>()?.into_command(&call)?;
    let stamp = call.app.node.applied();
    let view = NoopView {
        object: "noop",
        id: command.id.to_string(),
        status: "payment_pending",
        customer_id: call.caller()?.id.to_string(),
        lines: command.lines.len(),
        placed_at: instant::format(stamp.now),
        pay_by: instant::format(stamp.now),
        padding: PADDING,
        revision: stamp.revision.get(),
        ticket: stamp.revision.get(),
    };
    Ok(call.wrote(&view, stamp, false)?.located(format!("/v1/orders/{}", command.id)))
}

/// What one line, the total and the payment of an order take.
const PADDING: &str = "................................................................\
    ................................................................\
    ................................................................\
    ................................................................";
