//! Adding to the audit log.

use super::command::{OrderReveal, UserReveal};
use super::row::{AuditEntry, AuditHead};
use crate::draft::Draft;
use crate::field;
use crate::kernel::actor::Actor;
use crate::kernel::value::{SEALED_BYTES_MAX, Sealed};
use crate::order::row::Order;
use crate::outcome::{Done, Kind, Refusal};
use crate::permission::{Needs, is_staff};
use crate::rule::Rule;
use crate::user::row::User;
use crate::view::View;

impl Rule for OrderReveal {
    fn needs(&self) -> Needs {
        Needs::OrdersAct
    }

    fn reason(&self) -> Option<&Sealed> {
        Some(&self.reason)
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        require_reason(&self.reason)?;
        let order = draft.get::<Order>(self.id).ok_or(Refusal::NotFound(Kind::Order))?;
        Ok(Done::Order(order))
    }
}

impl Rule for UserReveal {
    fn needs(&self) -> Needs {
        Needs::OrdersAct
    }

    fn reason(&self) -> Option<&Sealed> {
        Some(&self.reason)
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        require_reason(&self.reason)?;
        let user = draft.get::<User>(self.id).ok_or(Refusal::NotFound(Kind::User))?;
        Ok(Done::User(user))
    }
}

fn require_reason(reason: &Sealed) -> Result<(), Refusal> {
    field::require((1..=SEALED_BYTES_MAX).contains(&reason.0.len()), "/reason", "required")
}

/// Adds an entry for a command of staff. Customers' own actions are in the events.
pub(crate) fn record<V: View>(
    draft: &mut Draft<'_, V>,
    actor: Actor,
    action: &str,
    reason: Option<&Sealed>,
    done: &Done,
) {
    let Actor::User { id: actor, role } = actor else { return };
    if !is_staff(role) {
        return;
    }
    let head = draft.get::<AuditHead>(()).map(|head| (*head).clone()).unwrap_or_default();
    let mut entry = AuditEntry {
        seq: head.seq.saturating_add(1),
        stamp: draft.stamp(),
        actor,
        action: action.to_owned(),
        target: done.target(),
        reason: reason.cloned(),
        previous: head.hash,
        hash: [0; 32],
    };
    entry.hash = entry.chained();
    draft.put(AuditHead { seq: entry.seq, hash: entry.hash, ..head });
    draft.put(entry);
}
