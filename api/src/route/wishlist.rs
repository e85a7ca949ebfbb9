//! The caller's wishlist: what they keep for later, at the prices of now.

use firstcome_domain::command::{WishlistClear, WishlistOrder, WishlistRemove, WishlistSet};
use firstcome_domain::product::Product;
use firstcome_domain::sale::Sale;
use firstcome_domain::stock::PoolId;
use firstcome_domain::wishlist::{Wish, WishlistItem};
use firstcome_domain::{Action, Done, Outcome, View as _};
use firstcome_storage::query::ReadView;
use serde::Deserialize;
use utoipa::ToSchema;

use super::catalogue::{is_staff, pool_of};
use super::order::{self, Delivery, check_quantity, fresh_id};
use super::routes::Routes;
use crate::budget::Budget;
use crate::call::{Answer, Call, PageRequest, unexpected};
use crate::fields::{Fields, MoneyBody};
use crate::paging::ListName;
use crate::problem::{Code, Problem};
use crate::resource::order::OrderBody;
use crate::resource::wishlist::WishBody;
use crate::resource::words;
use crate::seal::DeliveryAddress;
use crate::spec::{IfMatch, KeyRule, Spec, Success, schema_of};

const TAG: &str = "wishlist";

const LIST: Spec = Spec {
    path: "/v1/me/wishlist",
    operation: "list_wishlist",
    tag: TAG,
    summary: "Lists what is on the wishlist with current prices and stock, newest first by default.",
    sortable: true,
    success: Success::List(schema_of::<WishBody>()),
    ..Spec::GET
};
const SET: Spec = Spec {
    path: "/v1/me/wishlist/{target_id}",
    operation: "set_wishlist_item",
    tag: TAG,
    summary: "Puts a sale or product on the wishlist, or changes its quantity. Stock is not checked.",
    body: Some(schema_of::<NewQuantity>()),
    success: Success::One(schema_of::<WishBody>()),
    codes: &[Code::ProductDiscontinued, Code::WishlistFull],
    ..Spec::PUT
};
const REMOVE: Spec = Spec {
    path: "/v1/me/wishlist/{target_id}",
    operation: "remove_wishlist_item",
    tag: TAG,
    summary: "Removes a sale or product from the wishlist.",
    if_match: IfMatch::Unused,
    ..Spec::DELETE
};
const CLEAR: Spec = Spec {
    path: "/v1/me/wishlist",
    operation: "clear_wishlist",
    summary: "Removes everything from the wishlist.",
    ..REMOVE
};
const ORDER: Spec = Spec {
    path: "/v1/me/wishlist/orders",
    operation: "order_wishlist",
    tag: TAG,
    summary: "Orders everything on the wishlist at its current prices, or nothing; at most 20 items. What was bought leaves the wishlist.",
    budget: Budget::Purchase,
    key: KeyRule::Required,
    body: Some(schema_of::<NewWishlistOrder>()),
    body_optional: true,
    success: Success::One(schema_of::<OrderBody>()),
    codes: &ORDER_CODES,
    ..Spec::POST
};
/// Those of any order, and one more.
const ORDER_CODES: [Code; order::CREATE.codes.len() + 1] = {
    let mut codes = [Code::WishlistEmpty; order::CREATE.codes.len() + 1];
    let (_, of_orders) = codes.split_at_mut(1);
    of_orders.copy_from_slice(order::CREATE.codes);
    codes
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&LIST, list)
        .with(&SET, set)
        .with(&REMOVE, remove)
        .with(&CLEAR, |call: Call| take_off(call, Action::WishlistClear(WishlistClear)))
        .with(&ORDER, order)
}

/// How many units.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewQuantity {
    /// Replaces the quantity of an item that is on the list.
    #[schema(minimum = 1, maximum = 100)]
    quantity: u32,
}

/// Where the order goes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWishlistOrder {
    /// A saved address, instead of `address`.
    #[serde(default)]
    address_id: Option<String>,
    /// Required unless every product has `no_shipping`.
    #[serde(default)]
    address: Option<DeliveryAddress>,
    /// The total the buyer saw. If it differs, the order is refused with `price_changed`.
    #[serde(default)]
    expected_total: Option<MoneyBody>,
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let customer = call.caller()?.id;
    let list = ListName::new("wishlist").filter("customer", Some(&customer.to_string()));
    let PageRequest { list, direction, after, limit } = call.page_of(list, &[])?;
    let (now, staff) = (call.now(), is_staff(&call));
    let read = call.read(|view| {
        let page = view.wishlist(customer, direction, after, limit);
        let wishes = page.items.iter().filter_map(|item| wish(view, item));
        let shown: Vec<_> = wishes.map(|wish| WishBody::of(&wish, now, staff)).collect();
        (shown, page.next)
    });
    let read = read.await?;
    let (items, next) = read.value;
    call.page(&list, &items, next.as_ref(), read.revision)
}

/// An item with the rows of its target, which are never deleted.
fn wish(view: &ReadView, item: &WishlistItem) -> Option<Wish> {
    let (product, sale) = match item.target {
        PoolId::Product(id) => (id, None),
        PoolId::Sale(id) => {
            let sale = view.get::<Sale>(id)?;
            (sale.product, Some(sale))
        }
    };
    let product = view.get::<Product>(product)?;
    Some(Wish::of(*item, &product, sale.as_deref(), pool_of(view, item.target)))
}

/// The sale or product of the path. Text that is not an id names none.
fn target(call: &Call) -> Result<PoolId, Problem> {
    words::pool_of(&call.path_id).ok_or_else(order::no_target)
}

async fn set(call: Call) -> Result<Answer, Problem> {
    let target = target(&call)?;
    let NewQuantity { quantity } = call.json()?;
    let mut fields = Fields::default();
    check_quantity(&mut fields, "/quantity", quantity);
    fields.finish()?;
    let reply = call.propose(Action::WishlistSet(WishlistSet { target, quantity })).await?;
    let Outcome::Done(Done::Wish(wish)) = &reply.outcome else { return Err(unexpected(&reply)) };
    // Without a tag: what is shown changes with stock, and nobody else edits the list.
    call.wrote(&WishBody::of(wish, reply.decided.now, is_staff(&call)), &reply)
}

async fn remove(call: Call) -> Result<Answer, Problem> {
    let target = target(&call)?;
    take_off(call, Action::WishlistRemove(WishlistRemove { target })).await
}

async fn take_off(call: Call, action: Action) -> Result<Answer, Problem> {
    let reply = call.propose(action).await?;
    let Outcome::Done(Done::WishesRemoved) = reply.outcome else { return Err(unexpected(&reply)) };
    call.wrote(&(), &reply)
}

async fn order(call: Call) -> Result<Answer, Problem> {
    let NewWishlistOrder { address_id, address, expected_total } = call.json()?;
    let mut fields = Fields::default();
    let delivery = Delivery::clean(&call, address_id, address, &mut fields);
    let expected_total = expected_total.and_then(|total| fields.total("/expected_total", &total));
    fields.finish()?;
    let address = delivery.ship_to(&call)?;
    let ask = WishlistOrder { id: fresh_id(), address, expected_total };
    let reply = call.propose(Action::WishlistOrder(ask)).await?;
    order::answer(&call, &reply, "/v1/orders")
}
