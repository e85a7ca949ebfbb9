//! Products: a thing with a price and general stock.

use serde::{Deserialize, Serialize};

use crate::id::ProductId;
use crate::value::{Millis, Money, RowStamp};

/// One product row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Product {
    /// `prd_...`
    pub id: ProductId,
    /// 1..=100 characters.
    pub name: String,
    /// 1..=5000 characters.
    pub description: Option<String>,
    /// 1..=500 characters.
    pub image_url: Option<String>,
    /// Orders of it need no address.
    pub no_shipping: bool,
    /// Price of one unit; its currency is fixed at creation.
    pub price: Money,
    /// No new orders on the product and its sales.
    pub discontinued: bool,
    /// Whether customers may queue behind sold-out stock.
    pub waitlist: bool,
    /// When the row wants to be looked at.
    pub due_at: Option<Millis>,
    /// Version and stamps.
    pub row: RowStamp,
}
