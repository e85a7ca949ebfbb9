//! What the build with the feature `next` can be asked for, and this release cannot: for tests of
//! both releases in one cluster.

use firstcome_domain::command::{FeatureLevelRaise, OrderAnnotate};
use firstcome_domain::kernel::version::RELEASE;
use firstcome_domain::{Action, OrderId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::order::answer;
use super::routes::Routes;
use crate::access::Permission;
use crate::budget::Budget;
use crate::call::{Answer, Call};
use crate::problem::Problem;
use crate::resource::order::OrderBody;
use crate::spec::{Spec, Success, schema_of};

const NOTE: Spec = Spec {
    path: "/v1/admin/orders/{id}/notes",
    operation: "annotate_order",
    tag: "next",
    summary: "Notes something on an order.",
    permission: Permission::OrdersAct,
    budget: Budget::Admin,
    body: Some(schema_of::<Note>()),
    success: Success::One(schema_of::<OrderBody>()),
    hidden: true,
    ..Spec::POST
};
const RAISE: Spec = Spec {
    path: "/v1/cluster/feature-levels",
    operation: "raise_feature_level",
    tag: "next",
    summary: "Raises the feature level of the cluster by one.",
    permission: Permission::ClusterAdmin,
    budget: Budget::Admin,
    body: Some(schema_of::<Raise>()),
    success: Success::One(schema_of::<Raise>()),
    hidden: true,
    ..Spec::POST
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes.with(&NOTE, note).with(&RAISE, raise)
}

/// A note.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
}

async fn note(call: Call) -> Result<Answer, Problem> {
    let order: OrderId = call.id()?;
    let Note { text } = call.json()?;
    let reply = call.propose(Action::OrderAnnotate(OrderAnnotate { order, text })).await?;
    answer(&call, &reply, "/v1/admin/orders")
}

/// A feature level.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Raise {
    to: u16,
}

async fn raise(call: Call) -> Result<Answer, Problem> {
    let body: Raise = call.json()?;
    let (to, release) = (body.to, RELEASE.to_owned());
    let raise = FeatureLevelRaise { to, release };
    let reply = call.propose(Action::FeatureLevelRaise(raise)).await?;
    call.wrote(&body, &reply)
}
