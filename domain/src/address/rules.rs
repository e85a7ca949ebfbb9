//! What a customer does with their own addresses.

use std::sync::Arc;

use super::command::{AddressAdd, AddressRemove, AddressUpdate};
use super::row::{Address, AddressesByCustomer};
use crate::draft::Draft;
use crate::field;
use crate::kernel::actor::Actor;
use crate::kernel::id::{AddressId, UserId};
use crate::kernel::row::REVISIONS;
use crate::kernel::value::{ADDRESSES_MAX, RowStamp, SEALED_BYTES_MAX, Sealed};
use crate::outcome::{Done, Kind, Refusal};
use crate::permission::{Needs, user};
use crate::rule::Rule;
use crate::view::View;

impl Rule for AddressAdd {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn sealed(&self) -> Option<&Sealed> {
        Some(&self.body)
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        add(draft, user(actor)?, self)
    }
}

impl Rule for AddressUpdate {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn sealed(&self) -> Option<&Sealed> {
        Some(&self.body)
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        update(draft, user(actor)?, self)
    }
}

impl Rule for AddressRemove {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        remove(draft, user(actor)?, *self)
    }
}

/// Saves an address. A customer's first one becomes the default.
pub(crate) fn add<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &AddressAdd,
) -> Result<Done, Refusal> {
    require_fits(&ask.body)?;
    let own = own(draft, customer);
    if own.len() >= ADDRESSES_MAX {
        return Err(Refusal::AddressLimit);
    }
    if draft.get::<Address>((customer, ask.id)).is_some() {
        return Err(Refusal::IdInUse);
    }
    let address = draft.put(Address {
        customer,
        id: ask.id,
        body: ask.body.clone(),
        is_default: own.is_empty(),
        row: RowStamp::default(), // The draft sets it.
    });
    Ok(Done::Address(address))
}

/// Replaces what an address says, and may make it the default instead of another one.
fn update<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &AddressUpdate,
) -> Result<Done, Refusal> {
    require_fits(&ask.body)?;
    let address = named(draft, customer, ask.id, Some(ask.if_version))?;
    if ask.make_default {
        for id in own(draft, customer) {
            mark(draft, (customer, id), id == ask.id);
        }
    }
    let is_default = address.is_default || ask.make_default;
    let body = ask.body.clone();
    Ok(Done::Address(draft.put(Address { body, is_default, ..(*address).clone() })))
}

/// Removes an address. The oldest one left takes over from the default.
fn remove<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: AddressRemove,
) -> Result<Done, Refusal> {
    let address = named(draft, customer, ask.id, ask.if_version)?;
    let oldest_left = own(draft, customer).into_iter().find(|id| *id != ask.id);
    draft.delete::<Address>((customer, ask.id));
    if let Some(heir) = oldest_left.filter(|_| address.is_default) {
        mark(draft, (customer, heir), true);
    }
    Ok(Done::AddressRemoved)
}

/// Removes every address of a customer.
pub(crate) fn clear<V: View>(draft: &mut Draft<'_, V>, customer: UserId) {
    for id in own(draft, customer) {
        draft.delete::<Address>((customer, id));
    }
}

fn require_fits(body: &Sealed) -> Result<(), Refusal> {
    field::require(body.0.len() <= SEALED_BYTES_MAX, "", "too_long")
}

/// The customer's address of this id and version. Another customer's is not found.
fn named<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    id: AddressId,
    if_version: Option<u64>,
) -> Result<Arc<Address>, Refusal> {
    let address = draft.get::<Address>((customer, id)).ok_or(Refusal::NotFound(Kind::Address))?;
    field::version(address.row, if_version)?;
    Ok(address)
}

/// Makes an address the default or an ordinary one. Writes nothing if it is that already.
fn mark<V: View>(draft: &mut Draft<'_, V>, key: (UserId, AddressId), is_default: bool) {
    if let Some(address) = draft.get::<Address>(key)
        && address.is_default != is_default
    {
        draft.put(Address { is_default, ..(*address).clone() });
    }
}

/// The customer's addresses, oldest first. Nothing that is done ahead of a command changes
/// addresses, so the rows before the decision tell.
fn own<V: View>(draft: &Draft<'_, V>, customer: UserId) -> Vec<AddressId> {
    let first = (customer, REVISIONS.0, AddressId::new(0));
    let last = (customer, REVISIONS.1, AddressId::new(u128::MAX));
    let keys = draft.base().scan::<AddressesByCustomer>(first, last, ADDRESSES_MAX);
    keys.into_iter().map(|(.., id)| id).collect()
}
