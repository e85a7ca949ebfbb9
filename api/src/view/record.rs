//! Ledger rows and events as answers show them: ids, words, numbers; no personal data.

use firstcome_domain::Actor;
use firstcome_domain::event::{Events, Fact};
use firstcome_domain::id::OrderId;
use firstcome_domain::stock::{Account, LedgerRow, PoolId};
use firstcome_domain::value::{Currency, Stamp};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::order::source_word;
use super::sale::phase_word;
use crate::instant;

/// One movement of units.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerRow)]
pub(crate) struct LedgerView {
    /// Always `ledger_row`.
    #[schema(example = "ledger_row")]
    object: &'static str,
    /// The pool whose accounts changed: `prd_...` or `sal_...`.
    pool: String,
    /// The deciding log entry.
    revision: u64,
    /// Counts up from 0 within that log entry.
    offset: u32,
    /// Account that shrinks: `outside`, `available`, `held`, `sold` or `scrapped`.
    from: &'static str,
    /// Account that grows.
    to: &'static str,
    quantity: u64,
    /// Why units moved: `hold`, `pay`, `release`, `stock_in`, ...
    reason: &'static str,
    order_id: Option<String>,
    /// The other pool of a paired row.
    peer: Option<String>,
    /// `usr_...`, or `node` for timers.
    actor: String,
    note: Option<String>,
    decided_at: String,
}

/// The id of a pool is that of its product or sale.
pub(crate) fn pool_text(pool: PoolId) -> String {
    match pool {
        PoolId::Product(id) => id.to_string(),
        PoolId::Sale(id) => id.to_string(),
    }
}

/// Reads the id of a pool.
pub(crate) fn pool_of(text: &str) -> Option<PoolId> {
    let sale = text.parse().map(PoolId::Sale).ok();
    sale.or_else(|| text.parse().map(PoolId::Product).ok())
}

fn actor_text(actor: Actor) -> String {
    match actor {
        Actor::Node => "node".to_owned(),
        Actor::User { id, .. } => id.to_string(),
    }
}

const fn account_word(account: Account) -> &'static str {
    match account {
        Account::Outside => "outside",
        Account::Available => "available",
        Account::Held => "held",
        Account::Sold => "sold",
        Account::Scrapped => "scrapped",
    }
}

impl LedgerView {
    /// Shows a ledger row.
    pub(crate) fn of(row: &LedgerRow) -> Self {
        Self {
            object: "ledger_row",
            pool: pool_text(row.key.pool),
            revision: row.key.revision.get(),
            offset: row.key.offset,
            from: account_word(row.movement.from),
            to: account_word(row.movement.to),
            quantity: row.movement.quantity,
            reason: row.movement.reason.as_str(),
            order_id: row.order.map(|id| id.to_string()),
            peer: row.peer.map(pool_text),
            actor: actor_text(row.actor),
            note: row.note.clone(),
            decided_at: instant::format(row.stamp.now),
        }
    }
}

/// A published fact.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView {
    /// Always `event`.
    #[schema(example = "event")]
    object: &'static str,
    /// `evt_...`; removes repeats.
    id: String,
    /// `order.created`, `stock.changed`, ...
    r#type: &'static str,
    /// With `offset` the place to go on after: `?after=REVISION:OFFSET`.
    revision: u64,
    /// Counts up from 0 within the revision.
    offset: u32,
    /// Log time.
    at: String,
    /// `usr_...`, or `node` for timers.
    actor: String,
    /// Ids, amounts, quantities; depends on the type.
    #[schema(value_type = Object)]
    data: Value,
}

impl EventView {
    /// Shows the events of one log entry, each with its offset.
    pub(crate) fn all(
        events: &Events,
        currency_of: impl Fn(OrderId) -> Option<Currency>,
    ) -> impl Iterator<Item = (u32, Self)> {
        (0_u16..).zip(&events.facts).map(move |(offset, fact)| {
            let view = Self {
                object: "event",
                id: events.id(offset).to_string(),
                r#type: fact.name(),
                revision: events.stamp.revision.get(),
                offset: offset.into(),
                at: instant::format(events.stamp.now),
                actor: actor_text(events.actor),
                data: data(fact, events.stamp, &currency_of),
            };
            (offset.into(), view)
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
                "pay_by": instant::format(*pay_by),
                "source": source_word(*source),
                "ticket": stamp.revision.get(),
            })
        }
        Fact::OrderStatus { order, from, to, due_at, tracking_no } => json!({
            "order_id": order.to_string(),
            "payment_id": order.payment().to_string(),
            "from": from.as_str(),
            "to": to.as_str(),
            "due_at": due_at.map(instant::format),
            "tracking_no": tracking_no,
        }),
        Fact::Payment { payment, what: _, amount, code } => json!({
            "payment_id": payment.to_string(),
            "order_id": payment.order().to_string(),
            "amount": money(*amount, currency_of(payment.order())),
            "code": code,
        }),
        Fact::StockChanged { pool, accounts, waiting } => json!({
            "pool": pool_text(*pool),
            "stocked": accounts.stocked(),
            "available": accounts.available,
            "held": accounts.held,
            "sold": accounts.sold,
            "scrapped": accounts.scrapped,
            "waiting": waiting,
        }),
        Fact::Sale { sale, what: _, phase } => {
            json!({ "sale_id": sale.to_string(), "state": phase_word(*phase) })
        }
        Fact::Product { product, what: _, discontinued } => {
            let status = if *discontinued { "discontinued" } else { "available" };
            json!({ "product_id": product.to_string(), "status": status })
        }
        Fact::SettingsChanged => Value::Object(Map::new()),
    }
}
