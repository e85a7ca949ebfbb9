//! Items of a wishlist.

use firstcome_domain::Millis;
use firstcome_domain::wishlist::Wish;
use serde::Serialize;
use utoipa::ToSchema;

use super::product::status_word;
use super::sale::{SaleContext, phase, stock};
use super::stock::StockBody;
use super::words::{phase_word, pool_text};
use crate::fields::MoneyBody;
use crate::rfc3339;

/// A sale or product on a wishlist, with what it costs now. Nothing is held for it.
#[derive(Serialize, ToSchema)]
#[schema(as = WishlistItem)]
pub(crate) struct WishBody {
    /// Always `wishlist_item`.
    #[schema(example = "wishlist_item")]
    object: &'static str,
    /// `sal_...` or `prd_...`
    target_id: String,
    /// `sal_...`; absent for general stock.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale_id: Option<String>,
    /// `prd_...`
    product_id: String,
    /// The product's name.
    name: String,
    /// The sale's title; absent for general stock.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    quantity: u32,
    /// Price of one unit, now.
    unit_price: MoneyBody,
    /// The state of the sale; `available`, `out_of_stock` or `discontinued` for general stock.
    state: &'static str,
    stock: StockBody,
    /// Counts the changes of the item.
    version: u64,
    created_at: String,
    updated_at: String,
    /// The log entry that last set the quantity.
    revision: u64,
}

impl WishBody {
    /// Shows an item. Staff see exact stock.
    pub(crate) fn of(wish: &Wish, now: Millis, staff: bool) -> Self {
        let Wish { item, pool, discontinued, .. } = wish;
        let sale = wish.sale.as_ref().map(|sale| SaleContext {
            sale,
            pool,
            discontinued: *discontinued,
            now,
            staff,
        });
        let sale_row = wish.sale.as_ref();
        Self {
            object: "wishlist_item",
            target_id: pool_text(item.target),
            sale_id: sale_row.map(|sale| sale.id.to_string()),
            product_id: wish.product.to_string(),
            name: wish.name.clone(),
            title: sale_row.map(|sale| sale.title.clone()),
            quantity: item.quantity,
            unit_price: MoneyBody::of(wish.unit_price.amount, wish.unit_price.currency),
            state: sale
                .as_ref()
                .map_or_else(|| status_word(*discontinued, pool), |sale| phase_word(phase(sale))),
            stock: sale.as_ref().map_or_else(|| StockBody::exact(pool), stock),
            version: item.row.version,
            created_at: rfc3339::format(item.row.created.now),
            updated_at: rfc3339::format(item.row.updated.now),
            revision: item.row.updated.revision.get(),
        }
    }
}
