//! Unpaid orders: those of a pool that are overdue, and how many a customer has.

use super::row::{HoldsDue, LiveOrdersByPool, Order, PaidOrders, Status, UnpaidOrders};
use crate::draft::Draft;
use crate::kernel::id::{OrderId, UserId};
use crate::kernel::row::REVISIONS;
use crate::kernel::value::Millis;
use crate::stock::row::PoolId;
use crate::view::View;

/// Unpaid orders on `pool` whose time is over and that this draft has not written, oldest first.
pub(crate) fn overdue<V: View>(draft: &Draft<'_, V>, pool: PoolId, limit: usize) -> Vec<OrderId> {
    let first = (pool, Millis::new(i64::MIN), OrderId::new(0));
    let last = (pool, draft.now(), OrderId::new(u128::MAX));
    let most = limit.saturating_add(draft.written::<Order>().count());
    let ids = draft.base().scan::<HoldsDue>(first, last, most).into_iter().map(|(.., id)| id);
    ids.filter(|id| !draft.has_written::<Order>(*id)).take(limit).collect()
}

/// Whether rows that are due by `now` may give units to `pool`.
pub(crate) fn may_be_refilled(view: &impl View, pool: PoolId, now: Millis) -> bool {
    if matches!(pool, PoolId::Product(_)) {
        // A sale that closes hands on what is left of it, and so do orders on one that did.
        return true;
    }
    let held = (pool, Millis::new(i64::MIN), OrderId::new(0));
    let held = view.scan::<HoldsDue>(held, (pool, now, OrderId::new(u128::MAX)), 1);
    // A return that is due gives its units back too. The index does not say when it is due.
    let status = Status::ReturnRequested;
    let first = (pool, status, REVISIONS.0, OrderId::new(0));
    let last = (pool, status, REVISIONS.1, OrderId::new(u128::MAX));
    !held.is_empty() || !view.scan::<LiveOrdersByPool>(first, last, 1).is_empty()
}

/// Orders that are looked at: more than can have ended ahead of the command that asks.
const OPEN_MAX: usize = 2_000;

/// Whether a customer has an order that goes on.
pub(crate) fn has_open<V: View>(draft: &mut Draft<'_, V>, customer: UserId) -> bool {
    let first = (customer, REVISIONS.0, OrderId::new(0));
    let last = (customer, REVISIONS.1, OrderId::new(u128::MAX));
    let unpaid = draft.base().scan::<UnpaidOrders>(first, last, OPEN_MAX);
    let paid = draft.base().scan::<PaidOrders>(first, last, OPEN_MAX);
    let mut orders = unpaid.into_iter().chain(paid).map(|(.., id)| id);
    orders.any(|id| draft.get::<Order>(id).is_some_and(|order| !order.status.is_terminal()))
}

/// How many unpaid orders a customer has, counted up to `limit`.
pub(crate) fn count<V: View>(draft: &Draft<'_, V>, customer: UserId, limit: usize) -> usize {
    let mine = |order: &Order| order.customer == customer && order.status == Status::PaymentPending;
    let (mut ended, mut begun) = (0usize, 0usize);
    for (before, now) in draft.written::<Order>() {
        match (before.is_some_and(mine), mine(now)) {
            (true, false) => ended = ended.saturating_add(1),
            (false, true) => begun = begun.saturating_add(1),
            (true, true) | (false, false) => {}
        }
    }
    let first = (customer, REVISIONS.0, OrderId::new(0));
    let last = (customer, REVISIONS.1, OrderId::new(u128::MAX));
    let base = draft.base().scan::<UnpaidOrders>(first, last, limit.saturating_add(ended)).len();
    base.saturating_sub(ended).saturating_add(begun).min(limit)
}
