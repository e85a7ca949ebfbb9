//! Sweep and settle: what time has made due is done before a command is decided.
//!
//! A command sees the rows as they are at its own `now`: every entry first handles a bounded
//! number of due rows (*sweep*), then whatever due row the command itself touches (*settle*), so
//! that no backlog ever changes an answer. What stays due is done by later entries.

use serde::{Deserialize, Serialize};

use crate::draft::Draft;
use crate::journal::retention;
use crate::kernel::actor::Actor;
use crate::kernel::id::{OrderId, ProductId, SaleId};
use crate::kernel::value::Millis;
use crate::kernel::version::Versioned;
use crate::order::row::Order;
use crate::outcome::{Done, Refusal};
use crate::permission::Needs;
use crate::product::row::Product;
use crate::registry::DueRow;
use crate::rule::{Rule, Touch};
use crate::sale::row::Sale;
use crate::seeded::values as seeded;
use crate::stock::row::{Pool, PoolId, Usage};
use crate::view::View;
use crate::{expiry, order, sale, wishlist};

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
/// Rows of the journal that retention handles in one Tick: each is a disk write.
pub const HOUSEKEEPING_ROWS_MAX: usize = 1_000;
/// Changes of one due row at most: an order of 20 lines on closed sales writes itself, and per
/// line two pools, a usage, the release and two movements that hand the units on.
const STEP_CHANGES_MAX: usize = 121;

/// Sweeps due rows, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tick;

impl Versioned for Tick {}

impl Rule for Tick {
    fn needs(&self) -> Needs {
        Needs::Node
    }

    /// Drops what is over, and says when the next Tick is wanted.
    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        let room = BACKGROUND_CHANGES_MAX.saturating_sub(draft.changes());
        let room = room.min(HOUSEKEEPING_ROWS_MAX);
        let dropped = expiry::run(draft, room);
        let full = retention::run(draft, room.saturating_sub(dropped));
        let next_due = draft.next_due();
        Ok(Done::Ticked { more: full || is_due(next_due, draft.now()), next_due })
    }
}

/// Handles due rows ahead of a command.
pub(crate) fn sweep<V: View>(draft: &mut Draft<'_, V>, limit: usize) {
    if draft.base_next_due().is_none_or(|at| draft.now() < at) {
        return;
    }
    let mut rows = draft.due(limit);
    seeded::reorder(&mut rows);
    for row in rows {
        if !has_room(draft) {
            return;
        }
        when_due(draft, row);
    }
}

/// Does what a due row's timer asks for.
fn when_due<V: View>(draft: &mut Draft<'_, V>, row: DueRow) {
    match row {
        DueRow::Product(id) => forget_timer(draft, id),
        DueRow::Sale(id) => sale::rules::when_due(draft, id),
        DueRow::Order(id) => order::life::when_due(draft, id),
    }
}

/// Products have no timers yet. One that has one anyway would stay due forever.
fn forget_timer<V: View>(draft: &mut Draft<'_, V>, id: ProductId) {
    if let Some(product) = draft.get::<Product>(id) {
        draft.put(Product { due_at: None, ..(*product).clone() });
    }
}

/// Brings the rows that a command touches to its own instant.
pub(crate) fn settle<V: View>(draft: &mut Draft<'_, V>, actor: Actor, touches: &[Touch]) {
    let mut needs: Vec<(PoolId, u64)> = Vec::new();
    for touch in touches {
        match *touch {
            Touch::Order(id) => settle_order(draft, id),
            Touch::Sale(id) => settle_sale(draft, id),
            Touch::OwnHold(sale) => {
                if let Some(customer) = actor.user()
                    && let Some(usage) = draft.get::<Usage>((sale, customer))
                    && let Some(holding) = usage.holding
                {
                    settle_order(draft, holding);
                }
            }
            Touch::OwnWishlist => {
                if let Some(customer) = actor.user() {
                    let lines = wishlist::rules::lines(draft, customer);
                    settle(draft, actor, &order::create::touches(&lines));
                }
            }
            Touch::Units(pool, quantity) => needs.push((pool, quantity)),
            Touch::GeneralUnits(sale, quantity) => {
                let sale = draft.get::<Sale>(sale);
                needs.extend(sale.map(|sale| (PoolId::Product(sale.product), quantity)));
            }
        }
    }
    settle_pools(draft, &needs);
}

fn settle_order<V: View>(draft: &mut Draft<'_, V>, id: OrderId) {
    let due_at = draft.get::<Order>(id).and_then(|order| order.due_at);
    if is_due(due_at, draft.now()) && has_room(draft) {
        order::life::when_due(draft, id);
    }
}

fn settle_sale<V: View>(draft: &mut Draft<'_, V>, id: SaleId) {
    let due_at = draft.get::<Sale>(id).and_then(|sale| sale.due_at);
    if is_due(due_at, draft.now()) && has_room(draft) {
        sale::rules::when_due(draft, id);
    }
}

/// Expires overdue orders of pools that are short, oldest first, until they cover the need.
fn settle_pools<V: View>(draft: &mut Draft<'_, V>, needs: &[(PoolId, u64)]) {
    let mut left = SHORT_POOL_ORDERS_MAX;
    for (pool, quantity) in needs {
        if !is_short(draft, *pool, *quantity) {
            continue;
        }
        for id in order::unpaid::overdue(draft, *pool, left) {
            if !is_short(draft, *pool, *quantity) || !has_room(draft) {
                break;
            }
            order::life::when_due(draft, id);
            left = left.saturating_sub(1);
        }
    }
}

fn is_short<V: View>(draft: &mut Draft<'_, V>, pool: PoolId, quantity: u64) -> bool {
    draft.get::<Pool>(pool).is_some_and(|pool| pool.accounts.available < quantity)
}

fn is_due(due_at: Option<Millis>, now: Millis) -> bool {
    due_at.is_some_and(|at| at <= now)
}

fn has_room<V: View>(draft: &Draft<'_, V>) -> bool {
    draft.changes().saturating_add(STEP_CHANGES_MAX) <= BACKGROUND_CHANGES_MAX
}
