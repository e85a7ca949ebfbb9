//! Seeded bugs of receipts.

use firstcome_fault::{Bug, armed};

use crate::command::{Action, Command};
use crate::draft::Draft;
use crate::order::create;
use crate::outcome::Refusal;
use crate::view::View;

/// [`Bug::LimitBeforeReceipt`]: whether the customer's limit hides their receipt.
pub(crate) fn limit_hides_receipt<V: View>(draft: &mut Draft<'_, V>, command: &Command) -> bool {
    if !armed(Bug::LimitBeforeReceipt) {
        return false;
    }
    let (Action::OrderCreate(ask), Some(customer)) = (&command.action, command.actor.user()) else {
        return false;
    };
    let refusal = create::refusal(draft, customer, ask);
    matches!(refusal, Some(Refusal::AlreadyHolding { .. } | Refusal::LimitReached { .. }))
}

/// [`Bug::ReceiptIgnoresBody`]: a key answers for any request.
pub(crate) fn ignores_body() -> bool {
    armed(Bug::ReceiptIgnoresBody)
}

/// [`Bug::NoReceipt`]: no outcome is remembered.
pub(crate) fn forgets_receipt() -> bool {
    armed(Bug::NoReceipt)
}
