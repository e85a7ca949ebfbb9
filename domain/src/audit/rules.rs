//! How the audit log grows.

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
use crate::stock::row::PoolId;
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

/// Takes note of what staff did. What customers do to their own rows is in the events.
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
        target: target(done),
        reason: reason.cloned(),
        previous: head.hash,
        hash: [0; 32],
    };
    entry.hash = entry.chained();
    draft.put(AuditHead { seq: entry.seq, hash: entry.hash, ..head });
    draft.put(entry);
}

/// What a command was done to.
fn target(done: &Done) -> String {
    match done {
        Done::Product(product, _) => product.id.to_string(),
        Done::Sale(sale, _, _) => sale.id.to_string(),
        Done::Stock(pool) => match pool.id {
            PoolId::Product(id) => id.to_string(),
            PoolId::Sale(id) => id.to_string(),
        },
        Done::Order(order) => order.id.to_string(),
        Done::User(user) => user.id.to_string(),
        Done::Session(session) => session.user.to_string(),
        Done::Settings(_) => "settings".to_owned(),
        Done::Keyring(_) => "keyring".to_owned(),
        Done::FeatureLevel(_) => "feature_level".to_owned(),
        Done::Address(address) => address.id.to_string(),
        Done::Ticked { .. }
        | Done::Wish(_)
        | Done::WishesRemoved
        | Done::AddressRemoved
        | Done::Accepted => String::new(),
    }
}
