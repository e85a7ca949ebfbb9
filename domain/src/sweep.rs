//! Sweep and settle: what time has made due is done before a command is decided.
//!
//! A command sees the rows as they are at its own `now`: every entry first handles a bounded
//! number of due rows (*sweep*), then whatever due row the command itself touches (*settle*), so
//! that no backlog ever changes an answer. What stays due is done by later entries.

use firstcome_fault::{Bug, armed};

use crate::change::Change;
use crate::command::{Action, Actor, Adjustment, Allotment, Command, OrderCreate, SaleCommand};
use crate::draft::Draft;
use crate::id::{OrderId, ProductId, SaleId};
use crate::outcome::Done;
use crate::stock::PoolId;
use crate::value::Millis;
use crate::view::{DueRow, View};
use crate::{order, sale};

/// Due rows handled by one Tick: about a millisecond of work, far below a heartbeat.
pub const TICK_ROWS_MAX: usize = 256;
/// Due rows handled ahead of another command: its caller is waiting.
pub const AHEAD_ROWS_MAX: usize = 32;
/// Overdue orders expired for short pools in one log entry. One line wants at most 100 units,
/// and each order gives back at least one, so this always serves one line.
pub const SHORT_POOL_ORDERS_MAX: usize = 100;
/// Changes that background work may make in one log entry: the 12-bit row counter of derived
/// ids counts to 4,096, and the command and its events need the rest.
pub const BACKGROUND_CHANGES_MAX: usize = 2_000;
/// Old receipts and events deleted by one Tick; deletions are cheap, but each is a disk write.
pub const HOUSEKEEPING_ROWS_MAX: usize = 1_000;
/// Changes of one due row at most: an order of 20 lines on closed sales writes itself, and per
/// line two pools, a usage, the release and two rows that hand the units on.
const STEP_CHANGES_MAX: usize = 121;

/// Handles due rows ahead of a command.
pub(crate) fn sweep<V: View>(draft: &mut Draft<'_, V>, command: &Command) {
    if draft.base_next_due().is_none_or(|at| draft.now() < at) {
        return;
    }
    let is_tick = command.action == Action::Tick && command.actor == Actor::Node;
    let limit = if is_tick { TICK_ROWS_MAX } else { AHEAD_ROWS_MAX };
    let mut rows = draft.due(limit);
    if armed(Bug::UnorderedIteration) {
        firstcome_fault::shuffle(&mut rows);
    }
    for row in rows {
        if !has_room(draft) {
            return;
        }
        match row {
            DueRow::Order(id) => order::when_due(draft, id),
            DueRow::Sale(id) => sale::when_due(draft, id),
            DueRow::Product(id) => forget_timer(draft, id),
        }
    }
}

/// Products wait for nothing yet; a timer on one would otherwise stay due for ever.
fn forget_timer<V: View>(draft: &mut Draft<'_, V>, id: ProductId) {
    if let Some(product) = draft.product(id) {
        let mut product = (*product).clone();
        product.due_at = None;
        draft.put_product(product);
    }
}

/// Brings the rows that the command touches to its own instant.
pub(crate) fn settle<V: View>(draft: &mut Draft<'_, V>, command: &Command) {
    match &command.action {
        Action::OrderCreate(ask) => settle_targets(draft, command.actor, ask),
        Action::OrderCancel(ask) => settle_order(draft, ask.id),
        Action::OrderShip(ask) => settle_order(draft, ask.id),
        Action::OrderDeliver(ask) => settle_order(draft, ask.id),
        Action::OrderConfirm(ask) => settle_order(draft, ask.id),
        Action::OrderReturn(ask) => settle_order(draft, ask.id),
        Action::ReturnReceive(ask) => settle_order(draft, ask.id),
        Action::PaymentSettle(ask) => settle_order(draft, ask.order),
        Action::SalePause(SaleCommand { id, .. })
        | Action::SaleResume(SaleCommand { id, .. })
        | Action::SaleClose(SaleCommand { id, .. }) => settle_sale(draft, *id),
        Action::SaleUpdate(ask) => settle_sale(draft, ask.id),
        Action::SaleCreate(ask) => {
            settle_pools(draft, &[(PoolId::Product(ask.product), ask.units)]);
        }
        Action::SaleAllot(ask) => {
            settle_sale(draft, ask.id);
            let source = match ask.allotment {
                Allotment::UpFromNew => None,
                Allotment::UpFromGeneral => {
                    draft.sale(ask.id).map(|sale| PoolId::Product(sale.product))
                }
                Allotment::Down => Some(PoolId::Sale(ask.id)),
            };
            if let Some(source) = source {
                settle_pools(draft, &[(source, ask.quantity)]);
            }
        }
        Action::StockAdjust(ask) => {
            if let PoolId::Sale(id) = ask.pool {
                settle_sale(draft, id);
            }
            match ask.adjustment {
                Adjustment::Out | Adjustment::Scrap => {
                    settle_pools(draft, &[(ask.pool, ask.quantity)]);
                }
                Adjustment::In | Adjustment::Unscrap => {}
            }
        }
        Action::ProductCreate(_)
        | Action::ProductUpdate(_)
        | Action::ProductSetStatus(_)
        | Action::SettingsUpdate(_)
        | Action::Tick => {}
    }
}

/// The sales an order names, the customer's own overdue hold on them, and short pools.
fn settle_targets<V: View>(draft: &mut Draft<'_, V>, actor: Actor, ask: &OrderCreate) {
    let sums = order::sums(&ask.lines);
    for (pool, _) in &sums {
        let PoolId::Sale(id) = *pool else { continue };
        settle_sale(draft, id);
        if let Actor::User { id: customer, .. } = actor
            && let Some(holding) = draft.usage(id, customer).and_then(|usage| usage.holding)
        {
            settle_order(draft, holding);
        }
    }
    let needs: Vec<(PoolId, u64)> =
        sums.into_iter().map(|(pool, quantity)| (pool, u64::from(quantity))).collect();
    settle_pools(draft, &needs);
}

fn settle_order<V: View>(draft: &mut Draft<'_, V>, id: OrderId) {
    let due_at = draft.order(id).and_then(|order| order.due_at);
    if is_due(due_at, draft.now()) && has_room(draft) {
        order::when_due(draft, id);
    }
}

fn settle_sale<V: View>(draft: &mut Draft<'_, V>, id: SaleId) {
    let due_at = draft.sale(id).and_then(|sale| sale.due_at);
    if is_due(due_at, draft.now()) && has_room(draft) {
        sale::when_due(draft, id);
    }
}

/// Expires overdue orders of pools that are short, oldest first, until they cover the need.
fn settle_pools<V: View>(draft: &mut Draft<'_, V>, needs: &[(PoolId, u64)]) {
    let mut left = SHORT_POOL_ORDERS_MAX;
    for (pool, quantity) in needs {
        if !is_short(draft, *pool, *quantity) {
            continue;
        }
        for id in draft.overdue(*pool, left) {
            if !is_short(draft, *pool, *quantity) || !has_room(draft) {
                break;
            }
            order::when_due(draft, id);
            left = left.saturating_sub(1);
        }
    }
}

fn is_short<V: View>(draft: &mut Draft<'_, V>, pool: PoolId, quantity: u64) -> bool {
    draft.pool(pool).is_some_and(|pool| pool.accounts.available < quantity)
}

fn is_due(due_at: Option<Millis>, now: Millis) -> bool {
    due_at.is_some_and(|at| at <= now)
}

fn has_room<V: View>(draft: &Draft<'_, V>) -> bool {
    draft.changes().saturating_add(STEP_CHANGES_MAX) <= BACKGROUND_CHANGES_MAX
}

/// Ends a Tick: deletes what is over, and says when the next one is wanted.
pub(crate) fn tick<V: View>(draft: &mut Draft<'_, V>) -> Done {
    let room = BACKGROUND_CHANGES_MAX.saturating_sub(draft.changes()).min(HOUSEKEEPING_ROWS_MAX);
    let receipts = draft.expired_receipts(room);
    let kept_after = draft.now().get().saturating_sub(draft.settings().event_retention_ms);
    let events_room = room.saturating_sub(receipts.len());
    let events = draft.events_until(Millis::new(kept_after), events_room);
    let full = receipts.len().saturating_add(events.len()) >= room;
    let receipts = receipts.into_iter().map(Change::DeleteReceipt);
    for change in receipts.chain(events.into_iter().map(Change::DeleteEvents)) {
        draft.forget(change);
    }
    let next_due = draft.next_due();
    Done::Ticked { more: full || is_due(next_due, draft.now()), next_due }
}
