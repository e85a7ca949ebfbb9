//! Commands about products.

use serde::{Deserialize, Serialize};

use crate::kernel::id::ProductId;
use crate::kernel::value::Money;
use crate::kernel::version::Versioned;

/// `POST /v1/admin/products`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProductCreate {
    /// Fresh id.
    pub id: ProductId,
    /// 1..=100 characters.
    pub name: String,
    /// 1..=5000 characters.
    pub description: Option<String>,
    /// 1..=500 characters.
    pub image_url: Option<String>,
    /// Orders of it need no address.
    pub no_shipping: bool,
    /// Price of one unit.
    pub price: Money,
    /// First units, 0..=10^9.
    pub stock: u64,
    /// Whether customers may queue.
    pub waitlist: bool,
}

/// `PATCH /v1/admin/products/{id}`; `None` leaves a field as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProductUpdate {
    /// Which product.
    pub id: ProductId,
    /// The version the editor saw.
    pub if_version: u64,
    /// New name.
    pub name: Option<String>,
    /// New description; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// New image; `Some(None)` removes it.
    pub image_url: Option<Option<String>>,
    /// Whether orders of it need no address.
    pub no_shipping: Option<bool>,
    /// New price, same currency.
    pub price: Option<Money>,
    /// Whether customers may queue.
    pub waitlist: Option<bool>,
}

/// `DELETE /v1/admin/products/{id}`, or `status` in a PATCH.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProductSetStatus {
    /// Which product.
    pub id: ProductId,
    /// The version the editor saw.
    pub if_version: u64,
    /// Whether it is discontinued from now on.
    pub discontinued: bool,
}

impl Versioned for ProductCreate {}
impl Versioned for ProductUpdate {}
impl Versioned for ProductSetStatus {}
