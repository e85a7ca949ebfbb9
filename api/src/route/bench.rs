//! The upper bound of the HTTP side: does everything a purchase does here, except propose it.
//! Served only if the options enable it, never in production.

use serde::Serialize;

use super::order::NewOrder;
use super::routes::Routes;
use crate::body::EmptyBody;
use crate::budget::Budget;
use crate::call::{Answer, Call};
use crate::problem::Problem;
use crate::resource::stock::StockBody;
use crate::rfc3339;
use crate::spec::{KeyRule, Spec, Success, schema_of};

/// `POST /v1/bench/noop`
const NOOP: Spec = Spec {
    path: "/v1/bench/noop",
    operation: "noop",
    tag: "bench",
    summary: "Parses an order and responds without proposing it.",
    budget: Budget::Purchase,
    key: KeyRule::Accepted,
    body: Some(schema_of::<EmptyBody>()),
    success: Success::One(schema_of::<StockBody>()),
    hidden: true,
    ..Spec::POST
};

/// Adds the route of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes.with(&NOOP, noop)
}

/// A response as large as an order.
#[derive(Serialize)]
struct NoopBody {
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
    let body = NoopBody {
        object: "noop",
        id: command.id.to_string(),
        status: "payment_pending",
        customer_id: call.caller()?.id.to_string(),
        lines: command.lines.len(),
        placed_at: rfc3339::format(stamp.now),
        pay_by: rfc3339::format(stamp.now),
        padding: PADDING,
        revision: stamp.revision.get(),
        ticket: stamp.revision.get(),
    };
    Ok(call.shown(&body, stamp.revision)?.located(format!("/v1/orders/{}", command.id)))
}

/// As long as one line, the total and the payment of an order.
const PADDING: &str = "................................................................\
    ................................................................\
    ................................................................\
    ................................................................";
