//! Products.

use firstcome_domain::product::Product;
use firstcome_domain::stock::Pool;
use serde::Serialize;
use utoipa::ToSchema;

use super::sale::SaleBody;
use super::stock::StockBody;
use crate::fields::MoneyBody;
use crate::rfc3339;

/// A product with its price and general stock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Product)]
pub(crate) struct ProductBody {
    /// Always `product`.
    #[schema(example = "product")]
    object: &'static str,
    /// `prd_...`
    id: String,
    name: String,
    description: Option<String>,
    image_url: Option<String>,
    /// Whether it can be ordered without an address.
    no_shipping: bool,
    /// Price of one unit.
    price: MoneyBody,
    /// `available`, `out_of_stock` or `discontinued`.
    status: &'static str,
    /// Whether customers may join a waitlist when it is sold out. No effect yet: there are no
    /// waitlists.
    waitlist: bool,
    stock: StockBody,
    /// Open and upcoming sales; only for a single product.
    #[serde(skip_serializing_if = "Option::is_none")]
    sales: Option<Vec<SaleBody>>,
    /// Also the `ETag`.
    version: u64,
    created_at: String,
    updated_at: String,
    /// The log entry that last wrote the product.
    revision: u64,
}

/// The derived status.
pub(super) fn status_word(discontinued: bool, pool: &Pool) -> &'static str {
    if discontinued {
        "discontinued"
    } else if pool.accounts.available == 0 {
        "out_of_stock"
    } else {
        "available"
    }
}

impl ProductBody {
    /// Shows a product with its stock.
    pub(crate) fn of(product: &Product, pool: &Pool) -> Self {
        Self {
            object: "product",
            id: product.id.to_string(),
            name: product.name.clone(),
            description: product.description.clone(),
            image_url: product.image_url.clone(),
            no_shipping: product.no_shipping,
            price: MoneyBody::of(product.price.amount, product.price.currency),
            status: status_word(product.discontinued, pool),
            waitlist: product.waitlist,
            stock: StockBody::exact(pool),
            sales: None,
            version: product.row.version,
            created_at: rfc3339::format(product.row.created.now),
            updated_at: rfc3339::format(product.row.updated.now),
            revision: product.row.updated.revision.get(),
        }
    }

    /// Adds the open and upcoming sales.
    #[must_use]
    pub(crate) fn with_sales(mut self, sales: Vec<SaleBody>) -> Self {
        self.sales = Some(sales);
        self
    }
}
