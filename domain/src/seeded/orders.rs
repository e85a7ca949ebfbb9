//! Seeded bugs of orders and their payments.

use firstcome_fault::{Bug, armed};

use crate::draft::Draft;
use crate::order::row::{EndReason, Line, Order, Status};
use crate::stock::moves::{Cause, pool_of, shift};
use crate::stock::row::{PoolId, Reason, Usage};
use crate::view::View;

/// [`Bug::ExpiryLosesUnit`]: units of an order that expires stay held.
pub(crate) fn loses_units(order: &Order) -> bool {
    order.reason == Some(EndReason::Unpaid) && armed(Bug::ExpiryLosesUnit)
}

/// [`Bug::CancelAndExpireBothRelease`]: a canceled order may have a timer, and expires by it.
pub(crate) fn expires_when_canceled() -> bool {
    armed(Bug::CancelAndExpireBothRelease)
}

/// [`Bug::CancelAndExpireBothRelease`]: a canceled order keeps its timer.
pub(crate) fn keep_timer(order: &mut Order) {
    if order.status == Status::Canceled && armed(Bug::CancelAndExpireBothRelease) {
        order.due_at = order.pay_by;
    }
}

/// [`Bug::LateCaptureRevivesOrder`]: whether an order in this status, though it ended, may go on.
pub(crate) fn may_go_on(status: Status) -> bool {
    status == Status::Expired && armed(Bug::LateCaptureRevivesOrder)
}

/// [`Bug::LateCaptureRevivesOrder`]: an expired order holds its units again, as far as there are
/// any.
pub(crate) fn revive<V: View>(draft: &mut Draft<'_, V>, order: &Order) -> bool {
    let mut covered =
        |line: &Line| pool_of(draft, line.pool).accounts.available >= u64::from(line.quantity);
    if !may_go_on(order.status) || !order.lines.iter().all(&mut covered) {
        return false;
    }
    for line in &order.lines {
        let quantity = u64::from(line.quantity);
        shift(draft, line.pool, Reason::Hold, quantity, Cause::order(order.id));
        if let PoolId::Sale(sale) = line.pool
            && let Some(usage) = draft.get::<Usage>((sale, order.customer))
        {
            draft.put(Usage { used: usage.used.saturating_add(quantity), ..*usage });
        }
    }
    true
}

/// [`Bug::RefundForgotten`]: money for an order that has ended stays.
pub(crate) fn forgets_refund() -> bool {
    armed(Bug::RefundForgotten)
}
