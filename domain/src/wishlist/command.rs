//! Commands about the actor's own wishlist.

use serde::{Deserialize, Serialize};

use crate::kernel::id::OrderId;
use crate::kernel::value::Money;
use crate::kernel::version::Versioned;
use crate::order::command::ShipTo;
use crate::stock::row::PoolId;

/// `PUT /v1/me/wishlist/{target_id}`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WishlistSet {
    /// The pool of the named sale or product.
    pub target: PoolId,
    /// Units, 1..=100; they replace those of an item that is there.
    pub quantity: u32,
}

/// `DELETE /v1/me/wishlist/{target_id}`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WishlistRemove {
    /// The target of the item.
    pub target: PoolId,
}

/// `DELETE /v1/me/wishlist`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WishlistClear;

/// `POST /v1/me/wishlist/orders`: an [`OrderCreate`](crate::command::OrderCreate) whose lines are
/// the items that are on the list when it is decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WishlistOrder {
    /// Fresh id.
    pub id: OrderId,
    /// Where it goes.
    pub address: Option<ShipTo>,
    /// The total the buyer saw, if they said.
    pub expected_total: Option<Money>,
}

impl Versioned for WishlistSet {}
impl Versioned for WishlistRemove {}
impl Versioned for WishlistClear {}
impl Versioned for WishlistOrder {}
