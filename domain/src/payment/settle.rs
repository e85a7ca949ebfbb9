//! Reports about payments, from staff and from providers: all take one path, and the first one wins.

use super::command::{PaymentSettle, Settlement};
use super::row::{Capture, PaymentStatus, Refund};
use super::state::publish;
use crate::draft::Draft;
use crate::field;
use crate::journal::event::PaymentFact;
use crate::kernel::actor::Actor;
use crate::kernel::value::NOTE_CHARS_MAX;
use crate::order::life as order;
use crate::order::row::{Order, Status};
use crate::outcome::{Done, Refusal};
use crate::permission::Needs;
use crate::rule::{Rule, Touch};
use crate::seeded::orders as seeded;
use crate::view::View;

impl Rule for PaymentSettle {
    fn needs(&self) -> Needs {
        match self.settlement {
            Settlement::PaidOutside { .. } => Needs::OrdersAct,
            Settlement::Captured { .. } | Settlement::Declined { .. } => Needs::Node,
        }
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Order(self.order)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        settle(draft, self)
    }
}

/// A provider's name for a capture.
const PROVIDER_REF_CHARS_MAX: usize = 200;
/// A provider's code for a decline.
const DECLINE_CODE_CHARS_MAX: usize = 64;

/// Records what became of a payment.
fn settle<V: View>(draft: &mut Draft<'_, V>, ask: &PaymentSettle) -> Result<Done, Refusal> {
    require_fields(&ask.settlement)?;
    let order = order::named(draft, ask.order)?;
    match &ask.settlement {
        Settlement::PaidOutside { reference } => {
            let status = order.status;
            if status != Status::PaymentPending && !seeded::may_go_on(status) {
                return Err(Refusal::OrderNotPayable { status });
            }
            let amount = order.total;
            Ok(capture(draft, order, reference.as_deref().unwrap_or("outside"), amount))
        }
        Settlement::Captured { provider_ref, amount } => {
            Ok(capture(draft, order, provider_ref, *amount))
        }
        Settlement::Declined { code } => Ok(decline(draft, order, code)),
    }
}

fn require_fields(settlement: &Settlement) -> Result<(), Refusal> {
    match settlement {
        Settlement::PaidOutside { reference } => {
            field::text_if_any("/reference", reference.as_ref(), NOTE_CHARS_MAX)
        }
        Settlement::Captured { provider_ref, amount } => {
            field::text("/provider_ref", provider_ref, PROVIDER_REF_CHARS_MAX)?;
            field::require(*amount > 0, "/amount", "out_of_range")
        }
        Settlement::Declined { code } => field::text("/code", code, DECLINE_CODE_CHARS_MAX),
    }
}

/// Money was taken. Only the first capture of a live order with the exact amount pays; all other
/// money goes back.
fn capture<V: View>(
    draft: &mut Draft<'_, V>,
    mut order: Order,
    provider_ref: &str,
    amount: i64,
) -> Done {
    if order.payment.captures.iter().any(|known| known.provider_ref == provider_ref) {
        return order::done(order);
    }
    let first = order.payment.captures.is_empty();
    let live = order.status == Status::PaymentPending;
    let pays = first && (live || seeded::revive(draft, &order)) && amount == order.total;
    let refund = if pays || seeded::forgets_refund() { Refund::None } else { Refund::Pending };
    order.payment.captures.push(Capture { provider_ref: provider_ref.into(), amount, refund });
    if pays {
        order.payment.status = PaymentStatus::Paid;
        publish(draft, &order, PaymentFact::Paid, amount, None);
        return order::done(order::pay(draft, order));
    }
    if first || order.payment.status != PaymentStatus::Paid {
        order.payment.status = PaymentStatus::RefundPending;
    }
    let what = if first { PaymentFact::RefundRequested } else { PaymentFact::DuplicateCapture };
    publish(draft, &order, what, amount, None);
    if live { order::done(order::fail(draft, order)) } else { order::done(draft.put(order)) }
}

/// The provider refused for good. Once the payment has an outcome, that changes nothing.
fn decline<V: View>(draft: &mut Draft<'_, V>, mut order: Order, code: &str) -> Done {
    if order.payment.status != PaymentStatus::Pending {
        return order::done(order);
    }
    order.payment.last_code = Some(code.into());
    order.payment.status = PaymentStatus::Failed;
    publish(draft, &order, PaymentFact::Failed, order.total, Some(code));
    order::done(order::fail(draft, order))
}
