//! What a customer does with their own wishlist. Nobody else reaches it: commands name targets,
//! never whose list.

use super::command::{WishlistClear, WishlistOrder, WishlistRemove, WishlistSet};
use super::row::{Wish, WishlistByCustomer, WishlistItem};
use crate::draft::Draft;
use crate::field;
use crate::kernel::actor::Actor;
use crate::kernel::id::{ProductId, SaleId, UserId};
use crate::kernel::row::REVISIONS;
use crate::kernel::value::{LINE_QUANTITY_MAX, LINES_MAX, RowStamp, Sealed, WISHLIST_ITEMS_MAX};
use crate::order::command::{OrderCreate, ShipTo, WantedLine};
use crate::order::create;
use crate::order::row::Source;
use crate::outcome::{Done, Kind, Refusal};
use crate::permission::{Needs, user};
use crate::rule::{Rule, Touch};
use crate::stock::moves::pool_of;
use crate::stock::row::PoolId;
use crate::view::View;

impl Rule for WishlistSet {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        set(draft, user(actor)?, self)
    }
}

impl Rule for WishlistRemove {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        remove(draft, user(actor)?, self.target)
    }
}

impl Rule for WishlistClear {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        clear(draft, user(actor)?);
        Ok(Done::WishesRemoved)
    }
}

impl Rule for WishlistOrder {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::OwnWishlist]
    }

    fn sealed(&self) -> Option<&Sealed> {
        self.address.as_ref().and_then(ShipTo::sealed)
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        order(draft, user(actor)?, self)
    }
}

/// Puts a target on the list, or changes its quantity. Stock is not looked at.
fn set<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &WishlistSet,
) -> Result<Done, Refusal> {
    let WishlistSet { target, quantity } = *ask;
    field::require((1..=LINE_QUANTITY_MAX).contains(&quantity), "/quantity", "out_of_range")?;
    let (product, sale) = create::target(draft, target)?;
    if product.discontinued {
        return Err(Refusal::ProductDiscontinued { product: product.id });
    }
    if draft.get::<WishlistItem>((customer, target)).is_none()
        && targets(draft, customer, WISHLIST_ITEMS_MAX).len() == WISHLIST_ITEMS_MAX
    {
        return Err(Refusal::WishlistFull);
    }
    let pool = pool_of(draft, target);
    let row = RowStamp::default(); // The draft sets it.
    let item = draft.put(WishlistItem { customer, target, quantity, row });
    Ok(Done::Wish(Box::new(Wish::of(*item, &product, sale.as_deref(), *pool))))
}

fn remove<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    target: PoolId,
) -> Result<Done, Refusal> {
    let key = (customer, target);
    draft.get::<WishlistItem>(key).ok_or(Refusal::NotFound(Kind::WishlistItem))?;
    draft.delete::<WishlistItem>(key);
    Ok(Done::WishesRemoved)
}

/// Takes everything off a wishlist.
pub(crate) fn clear<V: View>(draft: &mut Draft<'_, V>, customer: UserId) {
    for target in targets(draft, customer, WISHLIST_ITEMS_MAX) {
        draft.delete::<WishlistItem>((customer, target));
    }
}

/// Orders everything on the list, or refuses with the first rule that says no. `create` takes what
/// was bought off the list.
fn order<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &WishlistOrder,
) -> Result<Done, Refusal> {
    let lines = lines(draft, customer);
    if lines.is_empty() {
        return Err(Refusal::WishlistEmpty);
    }
    field::require(lines.len() <= LINES_MAX, "/wishlist", "too_long")?;
    let WishlistOrder { id, address, expected_total } = ask.clone();
    let ask = OrderCreate { id, lines, address, expected_total };
    create::create(draft, customer, &ask, Source::Wishlist)
}

/// What an order of the whole list asks for, in the order in which it was put there: at most one
/// line more than an order may have.
pub(crate) fn lines<V: View>(draft: &mut Draft<'_, V>, customer: UserId) -> Vec<WantedLine> {
    let targets = targets(draft, customer, LINES_MAX.saturating_add(1));
    let keys = targets.into_iter().map(|target| (customer, target));
    let items = keys.filter_map(|key| draft.get::<WishlistItem>(key));
    items.map(|item| WantedLine { target: item.target, quantity: item.quantity }).collect()
}

/// The targets on the list, in the order in which they were put there. Nothing that is done ahead
/// of a command changes a wishlist, so the rows before the decision tell.
fn targets<V: View>(draft: &Draft<'_, V>, customer: UserId, limit: usize) -> Vec<PoolId> {
    let first = (customer, REVISIONS.0, PoolId::Product(ProductId::new(0)));
    let last = (customer, REVISIONS.1, PoolId::Sale(SaleId::new(u128::MAX)));
    let keys = draft.base().scan::<WishlistByCustomer>(first, last, limit);
    keys.into_iter().map(|(.., target)| target).collect()
}
