//! How an order goes from one status to the next, by its timer or because something was done.

use std::sync::Arc;

use super::row::{EndReason, Line, Order, Status};
use crate::draft::Draft;
use crate::journal::event::Fact;
use crate::kernel::id::OrderId;
use crate::outcome::{Done, Kind, Refusal};
use crate::payment::state;
use crate::seeded::orders as seeded;
use crate::stock::moves::{Cause, shift};
use crate::stock::row::{PoolId, Reason, Usage};
use crate::view::View;

/// Does what the order's timer asks for.
pub(crate) fn when_due<V: View>(draft: &mut Draft<'_, V>, id: OrderId) {
    let Some(order) = draft.get::<Order>(id).map(|row| (*row).clone()) else { return };
    match order.status {
        Status::PaymentPending => expire(draft, order),
        Status::Canceled if seeded::expires_when_canceled() => expire(draft, order),
        Status::Paid => drop(enter(draft, order, Status::Shipping)),
        Status::Shipping => drop(enter(draft, order, Status::Delivered)),
        Status::Delivered => drop(enter(draft, order, Status::Confirmed)),
        Status::ReturnRequested => drop(take_back(draft, order, Reason::Restock)),
        Status::PaymentFailed
        | Status::Expired
        | Status::Confirmed
        | Status::Canceled
        | Status::Returned => panic!("S9: terminal order {id} has a timer"),
    }
}

fn expire<V: View>(draft: &mut Draft<'_, V>, mut order: Order) {
    order.reason = Some(EndReason::Unpaid);
    give_back(draft, &order, Reason::Release);
    state::cancel(draft, &mut order);
    enter(draft, order, Status::Expired);
}

pub(crate) fn take_back<V: View>(
    draft: &mut Draft<'_, V>,
    mut order: Order,
    reason: Reason,
) -> Arc<Order> {
    give_back(draft, &order, reason);
    state::refund(draft, &mut order);
    enter(draft, order, Status::Returned)
}

/// Gives a live order up because its payment was refused.
pub(crate) fn fail<V: View>(draft: &mut Draft<'_, V>, mut order: Order) -> Arc<Order> {
    order.reason = Some(EndReason::PaymentRefused);
    give_back(draft, &order, Reason::Release);
    enter(draft, order, Status::PaymentFailed)
}

/// Turns the hold of a live order into sold units.
pub(crate) fn pay<V: View>(draft: &mut Draft<'_, V>, order: Order) -> Arc<Order> {
    for line in &order.lines {
        shift(draft, line.pool, Reason::Pay, u64::from(line.quantity), Cause::order(order.id));
        change_usage(draft, &order, line, 0);
    }
    enter(draft, order, Status::Paid)
}

/// Moves the order's units out of held or sold; they no longer count for its customer.
pub(crate) fn give_back<V: View>(draft: &mut Draft<'_, V>, order: &Order, reason: Reason) {
    for line in &order.lines {
        let quantity = u64::from(line.quantity);
        if !seeded::loses_units(order) {
            shift(draft, line.pool, reason, quantity, Cause::order(order.id));
        }
        change_usage(draft, order, line, quantity);
    }
}

/// Ends the customer's open hold on the line's sale, and takes units off their usage.
fn change_usage<V: View>(draft: &mut Draft<'_, V>, order: &Order, line: &Line, given_back: u64) {
    let PoolId::Sale(sale) = line.pool else { return };
    let usage = draft.get::<Usage>((sale, order.customer));
    let mut usage = *usage.expect("S5: an order on a sale wrote its customer's usage");
    usage.used = usage.used.checked_sub(given_back).expect("S5: used counts this order's units");
    if usage.holding == Some(order.id) {
        usage.holding = None;
    }
    draft.put(usage);
}

/// Enters a status: sets its timer from this log entry, writes the row, publishes the fact.
pub(crate) fn enter<V: View>(draft: &mut Draft<'_, V>, mut order: Order, to: Status) -> Arc<Order> {
    let from = order.status;
    order.status = to;
    order.entered_at = draft.now();
    order.due_at = draft.settings().stay_ms(to).map(|span_ms| draft.now().plus(span_ms));
    seeded::keep_timer(&mut order);
    let order = draft.put(order);
    draft.publish(Fact::OrderStatus {
        order: order.id,
        from,
        to,
        due_at: order.due_at,
        tracking_no: order.tracking_no.clone(),
    });
    order
}

pub(crate) fn named<V: View>(draft: &mut Draft<'_, V>, id: OrderId) -> Result<Order, Refusal> {
    draft.get::<Order>(id).map(|row| (*row).clone()).ok_or(Refusal::NotFound(Kind::Order))
}

pub(crate) fn done(order: impl Into<Arc<Order>>) -> Done {
    Done::Order(order.into())
}
