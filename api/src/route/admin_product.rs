//! Staff: products and the units of a product's general stock.

use firstcome_domain::command::{
    Adjustment, ProductCreate, ProductSetStatus, ProductUpdate, StockAdjust,
};
use firstcome_domain::id::ProductId;
use firstcome_domain::stock::PoolId;
use firstcome_domain::value::{
    DESCRIPTION_CHARS_MAX, IMAGE_URL_CHARS_MAX, NAME_CHARS_MAX, NOTE_CHARS_MAX,
};
use firstcome_domain::{Action, Done};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Table;
use crate::access::Permission;
use crate::budget::Budget;
use crate::call::{Answer, Call, Written, unexpected};
use crate::fields::{Fields, MoneyBody, nullable};
use crate::problem::{Code, Problem};
use crate::spec::{KeyRule, Spec, Success, schema_of};
use crate::view::product::ProductView;
use crate::view::stock::StockView;

const CREATE: Spec = Spec {
    path: "/v1/admin/products",
    operation: "create_product",
    tag: "staff: products",
    summary: "Creates a product with its first units.",
    permission: Permission::ProductsWrite,
    budget: Budget::Admin,
    body: Some(schema_of::<NewProduct>()),
    success: Success::One(schema_of::<ProductView>()),
    codes: &[Code::IdInUse],
    ..Spec::POST
};
const UPDATE: Spec = Spec {
    path: "/v1/admin/products/{id}",
    operation: "update_product",
    tag: "staff: products",
    summary: "Changes a product, or its status alone.",
    permission: Permission::ProductsWrite,
    budget: Budget::Admin,
    body: Some(schema_of::<ProductChange>()),
    success: Success::One(schema_of::<ProductView>()),
    codes: &[Code::CurrencyFixed],
    ..Spec::PATCH
};
const DISCONTINUE: Spec = Spec {
    path: "/v1/admin/products/{id}",
    operation: "discontinue_product",
    tag: "staff: products",
    summary: "Takes no new orders on a product and its sales; running orders go on.",
    permission: Permission::ProductsWrite,
    budget: Budget::Admin,
    ..Spec::DELETE
};
const ADJUST: Spec = Spec {
    path: "/v1/admin/products/{id}/stock-adjustments",
    operation: "adjust_product_stock",
    tag: "staff: stock",
    summary: "Adds or takes units of a product's general stock.",
    ..ADJUST_ANY
};
/// Stock adjustments of products and sales differ in their pool only.
pub(super) const ADJUST_ANY: Spec = Spec {
    permission: Permission::StockAdjust,
    budget: Budget::Admin,
    key: KeyRule::Required,
    body: Some(schema_of::<StockChange>()),
    success: Success::One(schema_of::<StockView>()),
    codes: &[Code::NotEnoughUnits, Code::SaleClosed],
    ..Spec::POST
};

/// Adds the routes of this file.
pub(super) fn register(table: Table) -> Table {
    table.with(&CREATE, create).with(&UPDATE, update).with(&DISCONTINUE, discontinue).with(
        &ADJUST,
        |call: Call| async move {
            let id: ProductId = call.id()?;
            adjust(&call, PoolId::Product(id)).await
        },
    )
}

/// A product and its first units.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProduct {
    #[schema(max_length = 100)]
    name: String,
    #[serde(default)]
    #[schema(max_length = 5000)]
    description: Option<String>,
    #[serde(default)]
    #[schema(max_length = 500)]
    image_url: Option<String>,
    /// Orders of it need no address.
    #[serde(default)]
    no_shipping: bool,
    price: MoneyBody,
    /// First units.
    #[schema(maximum = 1_000_000_000)]
    stock: u64,
    /// Whether customers may queue behind sold-out stock.
    #[serde(default)]
    waitlist: bool,
}

/// What changes; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProductChange {
    #[serde(default)]
    #[schema(max_length = 100)]
    name: Option<String>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 5000)]
    description: Option<Option<String>>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 500)]
    image_url: Option<Option<String>>,
    #[serde(default)]
    no_shipping: Option<bool>,
    /// In the product's currency.
    #[serde(default)]
    price: Option<MoneyBody>,
    #[serde(default)]
    waitlist: Option<bool>,
    /// Offers a discontinued product again, or discontinues it; alone in its request.
    #[serde(default)]
    status: Option<ProductStatus>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ProductStatus {
    Available,
    Discontinued,
}

async fn create(call: Call) -> Result<Answer, Problem> {
    let body: NewProduct = call.json()?;
    let mut fields = Fields::default();
    let name = fields.text("/name", &body.name, NAME_CHARS_MAX, false);
    let description =
        fields.optional_text("/description", body.description, DESCRIPTION_CHARS_MAX, true);
    let image_url = fields.optional_text("/image_url", body.image_url, IMAGE_URL_CHARS_MAX, false);
    let price = fields.unit_price("/price", &body.price);
    fields.units("/stock", body.stock, 0);
    fields.finish()?;
    let price = price.ok_or_else(|| Problem::new(Code::Internal))?;
    let command = ProductCreate {
        id: ProductId::new(Uuid::now_v7().as_u128()),
        name,
        description,
        image_url,
        no_shipping: body.no_shipping,
        price,
        stock: body.stock,
        waitlist: body.waitlist,
    };
    answer(&call, &call.propose(Action::ProductCreate(command)).await?)
}

fn answer(call: &Call, written: &Written) -> Result<Answer, Problem> {
    let Done::Product(product, pool) = &written.done else { return Err(unexpected(&written.done)) };
    let answer = call.wrote(&ProductView::of(product, pool), written.decided, written.replayed)?;
    let answer = answer.tagged(product.row.version);
    let created = call.route.status == 201;
    Ok(if created { answer.located(format!("/v1/products/{}", product.id)) } else { answer })
}

async fn update(call: Call) -> Result<Answer, Problem> {
    let id: ProductId = call.id()?;
    let if_version = call.if_match()?;
    let body: ProductChange = call.json()?;
    if let Some(status) = body.status {
        let alone = body.name.is_none()
            && body.description.is_none()
            && body.image_url.is_none()
            && body.no_shipping.is_none()
            && body.price.is_none()
            && body.waitlist.is_none();
        if !alone {
            return Err(Problem::field("/status", "invalid", "send status alone"));
        }
        let discontinued = status == ProductStatus::Discontinued;
        return set_status(&call, ProductSetStatus { id, if_version, discontinued }).await;
    }
    let mut fields = Fields::default();
    let mut text = |pointer: &str, text: Option<Option<String>>, chars_max, multiline| {
        text.map(|text| fields.optional_text(pointer, text, chars_max, multiline))
    };
    let description = text("/description", body.description, DESCRIPTION_CHARS_MAX, true);
    let image_url = text("/image_url", body.image_url, IMAGE_URL_CHARS_MAX, false);
    let name = fields.optional_text("/name", body.name, NAME_CHARS_MAX, false);
    let price = body.price.and_then(|price| fields.unit_price("/price", &price));
    fields.finish()?;
    let command = ProductUpdate {
        id,
        if_version,
        name,
        description,
        image_url,
        no_shipping: body.no_shipping,
        price,
        waitlist: body.waitlist,
    };
    answer(&call, &call.propose(Action::ProductUpdate(command)).await?)
}

async fn discontinue(call: Call) -> Result<Answer, Problem> {
    let command =
        ProductSetStatus { id: call.id()?, if_version: call.if_match()?, discontinued: true };
    set_status(&call, command).await
}

async fn set_status(call: &Call, command: ProductSetStatus) -> Result<Answer, Problem> {
    answer(call, &call.propose(Action::ProductSetStatus(command)).await?)
}

/// Units to add or to take.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StockChange {
    /// Units; negative ones are taken away. Not 0.
    #[schema(minimum = -1_000_000_000, maximum = 1_000_000_000)]
    delta: i64,
    /// Why; kept in the ledger.
    #[schema(max_length = 200)]
    reason: String,
    /// Write available units off (negative), or bring scrapped ones back (positive), instead of
    /// moving units in and out.
    #[serde(default)]
    scrap: bool,
}

/// Corrects one pool.
pub(super) async fn adjust(call: &Call, pool: PoolId) -> Result<Answer, Problem> {
    let body: StockChange = call.json()?;
    let mut fields = Fields::default();
    let quantity = body.delta.unsigned_abs();
    fields.units("/delta", quantity, 1);
    let note = fields.text("/reason", &body.reason, NOTE_CHARS_MAX, false);
    fields.finish()?;
    let adjustment = match (body.delta > 0, body.scrap) {
        (true, false) => Adjustment::In,
        (false, false) => Adjustment::Out,
        (false, true) => Adjustment::Scrap,
        (true, true) => Adjustment::Unscrap,
    };
    let command = StockAdjust { pool, adjustment, quantity, note: Some(note) };
    let written = call.propose(Action::StockAdjust(command)).await?;
    let Done::Stock(pool) = &written.done else { return Err(unexpected(&written.done)) };
    let answer = call.wrote(&StockView::exact(pool), written.decided, written.replayed)?;
    Ok(answer.located(match pool.id {
        PoolId::Product(id) => format!("/v1/products/{id}/stock"),
        PoolId::Sale(id) => format!("/v1/sales/{id}/stock"),
    }))
}
