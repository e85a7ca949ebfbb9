//! What staff do with products.

use super::command::{ProductCreate, ProductSetStatus, ProductUpdate};
use super::row::Product;
use crate::draft::Draft;
use crate::field;
use crate::journal::event::{Fact, ProductFact};
use crate::kernel::actor::Actor;
use crate::kernel::id::ProductId;
use crate::kernel::value::{
    DESCRIPTION_CHARS_MAX, IMAGE_URL_CHARS_MAX, NAME_CHARS_MAX, RowStamp, STOCK_QUANTITY_MAX,
};
use crate::outcome::{Done, Kind, Refusal};
use crate::permission::Needs;
use crate::rule::Rule;
use crate::stock::moves::{Cause, open_pool, pool_of, shift};
use crate::stock::row::{PoolId, Reason};
use crate::view::View;

impl Rule for ProductCreate {
    fn needs(&self) -> Needs {
        Needs::Shop
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        create(draft, self)
    }
}

impl Rule for ProductUpdate {
    fn needs(&self) -> Needs {
        Needs::Shop
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        update(draft, self)
    }
}

impl Rule for ProductSetStatus {
    fn needs(&self) -> Needs {
        Needs::Shop
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        set_status(draft, self)
    }
}

/// Creates a product, its pool and its first units.
fn create<V: View>(draft: &mut Draft<'_, V>, ask: &ProductCreate) -> Result<Done, Refusal> {
    field::text("/name", &ask.name, NAME_CHARS_MAX)?;
    require_description(ask.description.as_ref())?;
    field::text_if_any("/image_url", ask.image_url.as_ref(), IMAGE_URL_CHARS_MAX)?;
    field::price("/price", ask.price)?;
    field::require(ask.stock <= STOCK_QUANTITY_MAX, "/stock", "out_of_range")?;
    if draft.get::<Product>(ask.id).is_some() {
        return Err(Refusal::IdInUse);
    }
    let product = draft.put(Product {
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
fn update<V: View>(draft: &mut Draft<'_, V>, ask: &ProductUpdate) -> Result<Done, Refusal> {
    field::text_if_any("/name", ask.name.as_ref(), NAME_CHARS_MAX)?;
    require_description(ask.description.as_ref().and_then(Option::as_ref))?;
    let image_url = ask.image_url.as_ref().and_then(Option::as_ref);
    field::text_if_any("/image_url", image_url, IMAGE_URL_CHARS_MAX)?;
    ask.price.map_or(Ok(()), |price| field::price("/price", price))?;
    let mut product = named(draft, ask.id)?;
    field::version(product.row, Some(ask.if_version))?;
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
    let product = draft.put(product);
    publish(draft, &product, ProductFact::Updated);
    Ok(done(draft, &product))
}

/// Stops new orders on the product and its sales, or allows them again. Running orders go on.
fn set_status<V: View>(draft: &mut Draft<'_, V>, ask: &ProductSetStatus) -> Result<Done, Refusal> {
    let mut product = named(draft, ask.id)?;
    field::version(product.row, Some(ask.if_version))?;
    if product.discontinued != ask.discontinued {
        product.discontinued = ask.discontinued;
        product = (*draft.put(product)).clone();
        publish(draft, &product, ProductFact::StatusChanged);
    }
    Ok(done(draft, &product))
}

fn named<V: View>(draft: &mut Draft<'_, V>, id: ProductId) -> Result<Product, Refusal> {
    draft.get::<Product>(id).map(|row| (*row).clone()).ok_or(Refusal::NotFound(Kind::Product))
}

fn require_description(description: Option<&String>) -> Result<(), Refusal> {
    description.map_or(Ok(()), |text| field::long_text("/description", text, DESCRIPTION_CHARS_MAX))
}

fn publish<V: View>(draft: &mut Draft<'_, V>, product: &Product, what: ProductFact) {
    let discontinued = product.discontinued;
    draft.publish(Fact::Product { product: product.id, what, discontinued });
}

fn done<V: View>(draft: &mut Draft<'_, V>, product: &Product) -> Done {
    let pool = *pool_of(draft, PoolId::Product(product.id));
    Done::Product(Box::new(product.clone()), pool)
}
