//! Health and counters, for monitoring. Tokens are ignored.

use serde::Serialize;
use utoipa::ToSchema;

use super::routes::Routes;
use crate::access::Permission;
use crate::budget::Budget;
use crate::call::{Answer, Call};
use crate::problem::{Code, Problem};
use crate::spec::{Reads, Spec, Success, schema_of};

const OPEN: Spec = Spec {
    tag: "health",
    permission: Permission::Open,
    budget: Budget::Unbounded,
    reads: Reads::None,
    ..Spec::GET
};
const LIVE: Spec = Spec {
    path: "/livez",
    operation: "live",
    summary: "Whether the process serves requests, with or without a quorum.",
    success: Success::One(schema_of::<HealthBody>()),
    ..OPEN
};
const READY: Spec = Spec {
    path: "/readyz",
    operation: "ready",
    summary: "Whether the node is ready for traffic; otherwise 503 lists what it is waiting for.",
    success: Success::One(schema_of::<HealthBody>()),
    codes: &[Code::NotReady],
    ..OPEN
};
const METRICS: Spec = Spec {
    path: "/metrics",
    operation: "metrics",
    summary: "Returns metrics as Prometheus text.",
    success: Success::Media("text/plain"),
    ..OPEN
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes.with(&LIVE, live).with(&READY, ready).with(&METRICS, metrics)
}

/// The node is healthy.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
struct HealthBody {
    /// `live` or `ready`.
    status: &'static str,
}

async fn live(call: Call) -> Result<Answer, Problem> {
    Answer::json(call.route, &HealthBody { status: "live" })
}

async fn ready(call: Call) -> Result<Answer, Problem> {
    let mut failing = call.app.node.not_ready();
    failing.extend(call.app.keyring.failing());
    if failing.is_empty() {
        Answer::json(call.route, &HealthBody { status: "ready" })
    } else {
        Err(Problem::new(Code::NotReady).member("failing", failing))
    }
}

async fn metrics(call: Call) -> Result<Answer, Problem> {
    let mut text = call.app.metrics.text();
    text.push_str(&call.app.node.metrics_text());
    if let Some(mailer) = &call.app.options.mailer {
        text.push_str(&mailer.metrics_text());
    }
    Ok(Answer::media(call.route, "text/plain; version=0.0.4; charset=utf-8", text.into()))
}
