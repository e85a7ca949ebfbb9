//! Products: a thing with a price and general stock.

use serde::{Deserialize, Serialize};

use crate::command::{ProductCreate, ProductSetStatus, ProductUpdate};
use crate::decide::require_version;
use crate::draft::Draft;
use crate::event::{Fact, ProductFact};
use crate::field;
use crate::id::ProductId;
use crate::outcome::{Done, Kind, Refusal};
use crate::stock::{Cause, PoolId, Reason, open_pool, shift};
use crate::value::{
    DESCRIPTION_CHARS_MAX, IMAGE_URL_CHARS_MAX, Millis, Money, NAME_CHARS_MAX, RowStamp,
    STOCK_QUANTITY_MAX,
};
use crate::view::View;

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

/// Creates a product, its pool and its first units.
pub(crate) fn create<V: View>(
    draft: &mut Draft<'_, V>,
    ask: &ProductCreate,
) -> Result<Done, Refusal> {
    field::text("/name", &ask.name, NAME_CHARS_MAX)?;
    require_description(ask.description.as_ref())?;
    field::text_if_any("/image_url", ask.image_url.as_ref(), IMAGE_URL_CHARS_MAX)?;
    field::price("/price", ask.price)?;
    field::require(ask.stock <= STOCK_QUANTITY_MAX, "/stock", "out_of_range")?;
    if draft.product(ask.id).is_some() {
        return Err(Refusal::IdInUse);
    }
    let product = draft.put_product(Product {
        id: ask.id,
        name: ask.name.clone(),
        description: ask.description.clone(),
        image_url: ask.image_url.clone(),
        no_shipping: ask.no_shipping,
        price: ask.price,
        discontinued: false,
        waitlist: ask.waitlist,
        due_at: None,
        row: RowStamp::default(), // The draft sets it.
    });
    publish(draft, &product, ProductFact::Created);
    let pool = PoolId::Product(ask.id);
    open_pool(draft, pool);
    if ask.stock > 0 {
        shift(draft, pool, Reason::StockIn, ask.stock, Cause::default());
    }
    Ok(done(draft, &product))
}

/// Changes what is offered; existing orders keep their copies.
pub(crate) fn update<V: View>(
    draft: &mut Draft<'_, V>,
    ask: &ProductUpdate,
) -> Result<Done, Refusal> {
    field::text_if_any("/name", ask.name.as_ref(), NAME_CHARS_MAX)?;
    require_description(ask.description.as_ref().and_then(Option::as_ref))?;
    let image_url = ask.image_url.as_ref().and_then(Option::as_ref);
    field::text_if_any("/image_url", image_url, IMAGE_URL_CHARS_MAX)?;
    ask.price.map_or(Ok(()), |price| field::price("/price", price))?;
    let mut product = named(draft, ask.id)?;
    require_version(product.row, Some(ask.if_version))?;
    if ask.price.is_some_and(|price| price.currency != product.price.currency) {
        return Err(Refusal::CurrencyFixed);
    }
    if let Some(name) = &ask.name {
        product.name.clone_from(name);
    }
    if let Some(description) = &ask.description {
        product.description.clone_from(description);
    }
    if let Some(image_url) = &ask.image_url {
        product.image_url.clone_from(image_url);
    }
    product.no_shipping = ask.no_shipping.unwrap_or(product.no_shipping);
    product.price = ask.price.unwrap_or(product.price);
    product.waitlist = ask.waitlist.unwrap_or(product.waitlist);
    let product = draft.put_product(product);
    publish(draft, &product, ProductFact::Updated);
    Ok(done(draft, &product))
}

/// Stops new orders on the product and its sales, or allows them again. Running orders go on.
pub(crate) fn set_status<V: View>(
    draft: &mut Draft<'_, V>,
    ask: &ProductSetStatus,
) -> Result<Done, Refusal> {
    let mut product = named(draft, ask.id)?;
    require_version(product.row, Some(ask.if_version))?;
    if product.discontinued != ask.discontinued {
        product.discontinued = ask.discontinued;
        product = (*draft.put_product(product)).clone();
        publish(draft, &product, ProductFact::StatusChanged);
    }
    Ok(done(draft, &product))
}

fn named<V: View>(draft: &mut Draft<'_, V>, id: ProductId) -> Result<Product, Refusal> {
    draft.product(id).map(|row| (*row).clone()).ok_or(Refusal::NotFound(Kind::Product))
}

fn require_description(description: Option<&String>) -> Result<(), Refusal> {
    description.map_or(Ok(()), |text| field::long_text("/description", text, DESCRIPTION_CHARS_MAX))
}

fn publish<V: View>(draft: &mut Draft<'_, V>, product: &Product, what: ProductFact) {
    let discontinued = product.discontinued;
    draft.publish(Fact::Product { product: product.id, what, discontinued });
}

fn done<V: View>(draft: &mut Draft<'_, V>, product: &Product) -> Done {
    let pool = *draft.pool_of(PoolId::Product(product.id));
    Done::Product(Box::new(product.clone()), pool)
}
