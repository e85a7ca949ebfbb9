//! Staff: personal data with a reason, and the log of what staff did.

use firstcome_domain::audit::AuditEntry;
use firstcome_domain::command::{OrderReveal, UserReveal};
use firstcome_domain::user::{User, UserStatus};
use firstcome_domain::value::Sealed;
use firstcome_domain::{Action, Done, OrderId, Outcome, UserId, View as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::routes::Routes;
use crate::access::Permission;
use crate::account::Opened;
use crate::budget::Budget;
use crate::call::{Answer, Call, PageRequest, Read, unexpected};
use crate::fields::Fields;
use crate::paging::ListName;
use crate::problem::Problem;
use crate::rfc3339;
use crate::seal::{DeliveryAddress, Owner, open_address, open_reason, seal_reason};
use crate::spec::{KeyRule, Spec, Success, schema_of};

/// The longest reason.
const REASON_CHARS_MAX: usize = 200;

const REVEAL_ORDER: Spec = Spec {
    path: "/v1/admin/orders/{id}/reveals",
    operation: "reveal_order",
    tag: "staff: orders",
    summary: "Shows the delivery address of an order. Who asks, and why, goes into the audit log.",
    // A key would answer a repeat from its receipt, and the audit log would not have it.
    key: KeyRule::Unused,
    permission: Permission::PiiReveal,
    budget: Budget::Admin,
    body: Some(schema_of::<RevealRequest>()),
    success: Success::One(schema_of::<OrderRevealBody>()),
    ..Spec::POST
};
const REVEAL_USER: Spec = Spec {
    path: "/v1/admin/users/{id}/reveals",
    operation: "reveal_user",
    tag: "staff: users",
    summary: "Shows a user's address, name and phone number. Who asks, and why, goes into the audit log.",
    // A key would answer a repeat from its receipt, and the audit log would not have it.
    key: KeyRule::Unused,
    permission: Permission::PiiReveal,
    budget: Budget::Admin,
    body: Some(schema_of::<RevealRequest>()),
    success: Success::One(schema_of::<UserRevealBody>()),
    ..Spec::POST
};
const LIST: Spec = Spec {
    path: "/v1/admin/audit-log",
    operation: "list_audit_log",
    tag: "staff: audit",
    summary: "Lists what staff did, newest first by default. Each entry has the hash of the one before.",
    permission: Permission::AuditRead,
    budget: Budget::Admin,
    sortable: true,
    success: Success::List(schema_of::<AuditEntryBody>()),
    ..Spec::GET
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes.with(&REVEAL_ORDER, reveal_order).with(&REVEAL_USER, reveal_user).with(&LIST, list)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RevealRequest {
    /// 1 to 200 characters.
    #[schema(max_length = 200)]
    reason: String,
}

/// The personal data of an order.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderReveal)]
struct OrderRevealBody {
    /// Always `order_reveal`.
    #[schema(example = "order_reveal")]
    object: &'static str,
    order_id: String,
    customer_id: String,
    /// `null` if nothing is shipped, or the customer was erased.
    address: Option<DeliveryAddress>,
}

/// The personal data of a user; `null` without an account.
#[derive(Serialize, ToSchema)]
#[schema(as = UserReveal)]
struct UserRevealBody {
    /// Always `user_reveal`.
    #[schema(example = "user_reveal")]
    object: &'static str,
    user_id: String,
    email: Option<String>,
    name: Option<String>,
    phone: Option<String>,
}

/// What one command of staff did.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct AuditEntryBody {
    /// Always `audit_entry`.
    #[schema(example = "audit_entry")]
    object: &'static str,
    /// Counts up from 1 without gaps.
    seq: u64,
    /// The log entry that decided it.
    revision: u64,
    at: String,
    /// `usr_...`
    actor_id: String,
    /// The name of the command.
    #[schema(example = "OrderShip")]
    action: String,
    /// The id of what it was done to, or a word for it.
    target: String,
    /// Why, where staff have to say.
    reason: Option<String>,
    /// The reason as the hash covers it, in hex.
    reason_sealed: Option<String>,
    /// SHA-256 of the entry before, in hex.
    previous: String,
    /// SHA-256 over `previous` and this entry, in hex; docs/operations.md says how.
    hash: String,
}

impl AuditEntryBody {
    fn of(call: &Call, entry: &AuditEntry) -> Self {
        let reason = entry.reason.as_ref();
        Self {
            object: "audit_entry",
            seq: entry.seq,
            revision: entry.stamp.revision.get(),
            at: rfc3339::format(entry.stamp.now),
            actor_id: entry.actor.to_string(),
            action: entry.action.clone(),
            target: entry.target.clone(),
            reason: reason.and_then(|it| open_reason(&call.app.keys, &entry.target, it)),
            reason_sealed: reason.map(|reason| hex(&reason.0)),
            previous: hex(&entry.previous),
            hash: hex(&entry.hash),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The reason in a request, sealed for its target.
fn reason(call: &Call, target: &str) -> Result<Sealed, Problem> {
    let RevealRequest { reason } = call.json()?;
    let mut fields = Fields::default();
    let reason = fields.text("/reason", &reason, REASON_CHARS_MAX, false);
    fields.finish()?;
    seal_reason(&call.app.keys, target, &reason)
}

async fn reveal_order(call: Call) -> Result<Answer, Problem> {
    let id: OrderId = call.id()?;
    let reason = reason(&call, &id.to_string())?;
    let reply = call.propose(Action::OrderReveal(OrderReveal { id, reason })).await?;
    let Outcome::Done(Done::Order(order)) = &reply.outcome else { return Err(unexpected(&reply)) };
    let customer = call.app.node.read(|rows| rows.get::<User>(order.customer))?;
    let is_erased = customer.as_ref().is_some_and(|user| user.status == UserStatus::Erased);
    let owner = Owner::of(&call.app.keys, order.customer, customer.as_deref())?;
    let sealed = order.address.as_ref().filter(|_| !is_erased);
    let open = |sealed| open_address(&call.app.keys, &owner, sealed, order.id);
    let body = OrderRevealBody {
        object: "order_reveal",
        order_id: order.id.to_string(),
        customer_id: order.customer.to_string(),
        address: sealed.map(open).transpose()?,
    };
    call.wrote(&body, &reply)
}

async fn reveal_user(call: Call) -> Result<Answer, Problem> {
    let id: UserId = call.id()?;
    let reason = reason(&call, &id.to_string())?;
    let reply = call.propose(Action::UserReveal(UserReveal { id, reason })).await?;
    let Outcome::Done(Done::User(user)) = &reply.outcome else { return Err(unexpected(&reply)) };
    let opened = Opened::of(&call.app.keys, user)?;
    let email = opened.as_ref().map(Opened::email).transpose()?;
    let profile = opened.as_ref().map(Opened::profile).transpose()?;
    let (name, phone) = profile.map(|profile| (profile.name, profile.phone)).unzip();
    let body = UserRevealBody {
        object: "user_reveal",
        user_id: user.id.to_string(),
        email: email.map(|email| email.as_str().to_owned()),
        name,
        phone,
    };
    call.wrote(&body, &reply)
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let PageRequest { list, direction, after, limit } =
        call.page_of(ListName::new("audit_log"), &[])?;
    let Read { value: page, revision } =
        call.read(|rows| rows.audit(direction, after, limit)).await?;
    let items: Vec<_> = page.items.iter().map(|entry| AuditEntryBody::of(&call, entry)).collect();
    call.page(&list, &items, page.next.as_ref(), revision)
}
