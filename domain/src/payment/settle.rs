//! Payments: what became of the money of an order.
//!
//! Every report of a provider (browser return, callback, lookup) and every "paid outside" of
//! staff ends in [`settle`], so there is one path and one winner. Money that arrives without
//! units to sell for it is given back, and the payment says so: `refund_pending`. Reports may
//! come twice, late, or in any order; a report that was heard before changes nothing.

use firstcome_fault::{Bug, armed};

use crate::command::{PaymentSettle, Settlement};
use crate::draft::Draft;
use crate::event::{Fact, PaymentFact};
use crate::field;
use crate::order::{self, Capture, Order, PaymentStatus, Refund, Status};
use crate::outcome::{Done, Refusal};
use crate::value::NOTE_CHARS_MAX;
use crate::view::View;

/// A provider's name for a capture.
const PROVIDER_REF_CHARS_MAX: usize = 200;
/// A provider's code for a decline.
const DECLINE_CODE_CHARS_MAX: usize = 64;

/// Records what became of a payment.
pub(crate) fn settle<V: View>(
    draft: &mut Draft<'_, V>,
    ask: &PaymentSettle,
) -> Result<Done, Refusal> {
    require_fields(&ask.settlement)?;
    let order = order::named(draft, ask.order)?;
    match &ask.settlement {
        Settlement::PaidOutside { reference } => {
            let status = order.status;
            let late = status == Status::Expired && armed(Bug::LateCaptureRevivesOrder);
            if status != Status::PaymentPending && !late {
                return Err(Refusal::OrderNotPayable { status });
            }
            let amount = order.total;
            Ok(capture(draft, order, reference.as_deref().unwrap_or("outside"), amount))
        }
        Settlement::Captured { provider_ref, amount, .. } => {
            Ok(capture(draft, order, provider_ref, *amount))
        }
        Settlement::Declined { attempt, code, last } => {
            Ok(decline(draft, order, *attempt, code, *last))
        }
    }
}

fn require_fields(settlement: &Settlement) -> Result<(), Refusal> {
    match settlement {
        Settlement::PaidOutside { reference } => {
            field::text_if_any("/reference", reference.as_ref(), NOTE_CHARS_MAX)
        }
        Settlement::Captured { provider_ref, amount, .. } => {
            field::text("/provider_ref", provider_ref, PROVIDER_REF_CHARS_MAX)?;
            field::require(*amount > 0, "/amount", "out_of_range")
        }
        Settlement::Declined { code, .. } => field::text("/code", code, DECLINE_CODE_CHARS_MAX),
    }
}

/// Money was taken. It counts whichever attempt took it: only the first capture of a live order
/// with the exact amount pays; all other money goes back.
fn capture<V: View>(
    draft: &mut Draft<'_, V>,
    mut order: Order,
    provider_ref: &str,
    amount: i64,
) -> Done {
    if order.payment.captures.iter().any(|known| known.provider_ref == provider_ref) {
        return order::done(&order);
    }
    let first = order.payment.captures.is_empty();
    let live = order.status == Status::PaymentPending;
    let revives = armed(Bug::LateCaptureRevivesOrder) && first && order::revive(draft, &order);
    let pays = first && (live || revives) && amount == order.total;
    let keeps = pays || armed(Bug::RefundForgotten);
    let refund = if keeps { Refund::None } else { Refund::Pending };
    order.payment.captures.push(Capture { provider_ref: provider_ref.into(), amount, refund });
    if pays {
        order.payment.status = PaymentStatus::Paid;
        publish(draft, &order, PaymentFact::Paid, amount, None);
        return order::done(&order::pay(draft, order));
    }
    if first || order.payment.status != PaymentStatus::Paid {
        order.payment.status = PaymentStatus::RefundPending;
    }
    let what = if first { PaymentFact::RefundRequested } else { PaymentFact::DuplicateCapture };
    publish(draft, &order, what, amount, None);
    if live {
        order::done(&order::fail(draft, order))
    } else {
        order::done(&draft.put_order(order))
    }
}

/// The provider refused. Counts only for the try that is running; a payment that no try was
/// begun for can only be declined for good.
fn decline<V: View>(
    draft: &mut Draft<'_, V>,
    mut order: Order,
    attempt: u32,
    code: &str,
    last: bool,
) -> Done {
    let running = match order.payment.status {
        PaymentStatus::Confirming => attempt == order.payment.attempt,
        PaymentStatus::Pending => last && attempt == 0 && order.payment.attempt == 0,
        PaymentStatus::Paid
        | PaymentStatus::Failed
        | PaymentStatus::Canceled
        | PaymentStatus::RefundPending
        | PaymentStatus::Refunded => false,
    };
    if !running {
        return order::done(&order);
    }
    let live = order.status == Status::PaymentPending;
    let fails = last || !live || attempt >= draft.settings().pay_attempts;
    order.payment.last_code = Some(code.into());
    order.payment.status = if fails { PaymentStatus::Failed } else { PaymentStatus::Pending };
    let what = if fails { PaymentFact::Failed } else { PaymentFact::Declined };
    let total = order.total;
    publish(draft, &order, what, total, Some(code));
    if fails && live {
        order::done(&order::fail(draft, order))
    } else {
        order::done(&draft.put_order(order))
    }
}

/// The order ended before money moved. A try that is running stays visible as `confirming`
/// until its result is known.
pub(crate) fn call_off<V: View>(draft: &mut Draft<'_, V>, order: &mut Order) {
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

fn publish<V: View>(
    draft: &mut Draft<'_, V>,
    order: &Order,
    what: PaymentFact,
    amount: i64,
    code: Option<&str>,
) {
    let (payment, code) = (order.payment_id(), code.map(Into::into));
    draft.publish(Fact::Payment { payment, what, amount, code });
}
