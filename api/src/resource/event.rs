//! Events: ids, words and numbers; no personal data.

use firstcome_domain::event::Fact;
use firstcome_domain::id::OrderId;
use firstcome_domain::journal::Journal;
use firstcome_domain::value::{Currency, Stamp};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::words::{actor_text, phase_word, pool_text, source_word};
use crate::rfc3339;

/// A published event.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventBody {
    /// Always `event`.
    #[schema(example = "event")]
    object: &'static str,
    /// `evt_...`; use it to detect duplicates.
    id: String,
    /// `order.created`, `stock.changed`, ...
    r#type: &'static str,
    /// Resume after this event with `?after=REVISION:OFFSET`.
    revision: u64,
    /// Position within the revision, from 0.
    offset: u32,
    /// Log time.
    at: String,
    /// `usr_...`, or `node` for timers.
    actor: String,
    /// IDs, amounts and quantities; depends on the type.
    #[schema(value_type = Object)]
    data: Value,
}

impl EventBody {
    /// Shows the events of one log entry, each with its offset.
    pub(crate) fn all(
        entry: &Journal,
        currency_of: impl Fn(OrderId) -> Option<Currency>,
    ) -> impl Iterator<Item = (u32, Self)> {
        (0_u16..).zip(&entry.facts).map(move |(offset, fact)| {
            let body = Self {
                object: "event",
                id: entry.event_id(offset).to_string(),
                r#type: fact.name(),
                revision: entry.stamp.revision.get(),
                offset: offset.into(),
                at: rfc3339::format(entry.stamp.now),
                actor: actor_text(entry.actor),
                data: data(fact, entry.stamp, &currency_of),
            };
            (offset.into(), body)
        })
    }
}

fn money(amount: i64, currency: Option<Currency>) -> Value {
    json!({ "amount": amount, "currency": currency.as_ref().map(Currency::as_str) })
}

fn data(fact: &Fact, stamp: Stamp, currency_of: impl Fn(OrderId) -> Option<Currency>) -> Value {
    match fact {
        Fact::OrderCreated { order, lines, total, currency, pay_by, source } => {
            let lines = lines.iter().map(|line| {
                json!({
                    "pool": pool_text(line.pool),
                    "quantity": line.quantity,
                    "unit_price": money(line.unit_price, Some(*currency)),
                })
            });
            json!({
                "order_id": order.to_string(),
                "lines": lines.collect::<Vec<_>>(),
                "total": money(*total, Some(*currency)),
                "pay_by": rfc3339::format(*pay_by),
                "source": source_word(*source),
                "ticket": stamp.revision.get(),
            })
        }
        Fact::OrderStatus { order, from, to, due_at, tracking_no } => json!({
            "order_id": order.to_string(),
            "payment_id": order.payment().to_string(),
            "from": from.as_str(),
            "to": to.as_str(),
            "due_at": due_at.map(rfc3339::format),
            "tracking_no": tracking_no,
        }),
        Fact::Payment { payment, what: _, amount, code } => json!({
            "payment_id": payment.to_string(),
            "order_id": payment.order().to_string(),
            "amount": money(*amount, currency_of(payment.order())),
            "code": code,
        }),
        Fact::StockChanged { pool, accounts } => json!({
            "pool": pool_text(*pool),
            "stocked": accounts.stocked(),
            "available": accounts.available,
            "held": accounts.held,
            "sold": accounts.sold,
            "scrapped": accounts.scrapped,
            "waiting": 0,
        }),
        Fact::Sale { sale, what: _, phase } => {
            json!({ "sale_id": sale.to_string(), "state": phase_word(*phase) })
        }
        Fact::Product { product, what: _, discontinued } => {
            let status = if *discontinued { "discontinued" } else { "available" };
            json!({ "product_id": product.to_string(), "status": status })
        }
        Fact::SettingsChanged => Value::Object(Map::new()),
        Fact::User { user, what: _ } => json!({ "user_id": user.to_string() }),
        Fact::Session { session, user, what: _ } => {
            json!({ "session_id": session.to_string(), "user_id": user.to_string() })
        }
    }
}
