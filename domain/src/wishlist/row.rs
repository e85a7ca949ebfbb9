//! An item of a wishlist, and how it is shown.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{ProductId, UserId};
use crate::kernel::row::{IndexKind, IndexRows, Row, TableId, indexes};
use crate::kernel::value::{Money, Revision, RowStamp};
use crate::kernel::version::Versioned;
use crate::product::row::Product;
use crate::sale::row::Sale;
use crate::stock::row::{Pool, PoolId};

/// One item row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WishlistItem {
    /// Whose list it is on.
    pub customer: UserId,
    /// The pool of the sale or product.
    pub target: PoolId,
    /// Units, 1..=100.
    pub quantity: u32,
    /// Version and stamps.
    pub row: RowStamp,
}

/// An item with what it costs now, and whether it can be had.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wish {
    /// The item.
    pub item: WishlistItem,
    /// The product that its target is, or is a sale of.
    pub product: ProductId,
    /// The product's name.
    pub name: String,
    /// Price of one unit.
    pub unit_price: Money,
    /// Whether the product takes no orders.
    pub discontinued: bool,
    /// The sale, if the target is one.
    pub sale: Option<Box<Sale>>,
    /// The stock of the target.
    pub pool: Pool,
}

impl Wish {
    /// An item with the rows of its target.
    pub fn of(item: WishlistItem, product: &Product, sale: Option<&Sale>, pool: Pool) -> Self {
        Self {
            item,
            product: product.id,
            name: product.name.clone(),
            unit_price: sale.map_or(product.price, |sale| sale.price),
            discontinued: product.discontinued,
            sale: sale.map(|sale| Box::new(sale.clone())),
            pool,
        }
    }
}

indexes! {
    /// A customer's items, by the entry that put them on the list.
    WishlistByCustomer(1060, "wishlist_by_customer", IndexKind::Stored): (UserId, Revision, PoolId);
}

impl Versioned for WishlistItem {}

impl Row for WishlistItem {
    const TABLE: TableId = TableId(30);
    const NAME: &'static str = "wishlist_items";
    type Key = (UserId, PoolId);

    fn key(&self) -> (UserId, PoolId) {
        (self.customer, self.target)
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }

    fn index(&self, rows: &mut IndexRows) {
        rows.add::<WishlistByCustomer>((self.customer, self.row.created.revision, self.target));
    }
}
