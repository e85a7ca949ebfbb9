//! What becomes of a payment when its order ends.

use crate::draft::Draft;
use crate::journal::event::{Fact, PaymentFact};
use crate::order::row::Order;
use crate::payment::row::{PaymentStatus, Refund};
use crate::view::View;

/// The order ended before money moved.
pub(crate) fn cancel<V: View>(draft: &mut Draft<'_, V>, order: &mut Order) {
    if order.payment.status == PaymentStatus::Pending {
        order.payment.status = PaymentStatus::Canceled;
        publish(draft, order, PaymentFact::Canceled, order.total, None);
    }
}

/// The order of a paid payment ended: what was kept goes back.
pub(crate) fn refund<V: View>(draft: &mut Draft<'_, V>, order: &mut Order) {
    order.payment.status = PaymentStatus::RefundPending;
    let mut amount = 0i64;
    for capture in order.payment.captures.iter_mut().filter(|kept| kept.refund == Refund::None) {
        capture.refund = Refund::Pending;
        amount = amount.saturating_add(capture.amount);
    }
    publish(draft, order, PaymentFact::RefundRequested, amount, None);
}

pub(crate) fn publish<V: View>(
    draft: &mut Draft<'_, V>,
    order: &Order,
    what: PaymentFact,
    amount: i64,
    code: Option<&str>,
) {
    let (payment, code) = (order.payment_id(), code.map(Into::into));
    draft.publish(Fact::Payment { payment, what, amount, code });
}
