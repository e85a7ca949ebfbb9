//! Staff: products.

use firstcome_domain::command::{ProductCreate, ProductSetStatus, ProductUpdate};
use firstcome_domain::id::ProductId;
use firstcome_domain::value::{DESCRIPTION_CHARS_MAX, IMAGE_URL_CHARS_MAX, NAME_CHARS_MAX};
use firstcome_domain::{Action, Done, Outcome};
use firstcome_raft::Reply;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::routes::Routes;
use crate::access::Permission;
use crate::budget::Budget;
use crate::call::{Answer, Call, unexpected};
use crate::fields::{Fields, MoneyBody, nullable};
use crate::problem::{Code, Problem};
use crate::resource::product::ProductBody;
use crate::spec::{Spec, Success, schema_of};

const CREATE: Spec = Spec {
    path: "/v1/admin/products",
    operation: "create_product",
    tag: "staff: products",
    summary: "Creates a product with its initial stock.",
    permission: Permission::ProductsWrite,
    budget: Budget::Admin,
    body: Some(schema_of::<NewProduct>()),
    success: Success::One(schema_of::<ProductBody>()),
    codes: &[Code::IdInUse],
    ..Spec::POST
};
const UPDATE: Spec = Spec {
    path: "/v1/admin/products/{id}",
    operation: "update_product",
    tag: "staff: products",
    summary: "Changes a product. A change of status must be the only change.",
    permission: Permission::ProductsWrite,
    budget: Budget::Admin,
    body: Some(schema_of::<ProductChange>()),
    success: Success::One(schema_of::<ProductBody>()),
    codes: &[Code::CurrencyFixed],
    ..Spec::PATCH
};
const DISCONTINUE: Spec = Spec {
    path: "/v1/admin/products/{id}",
    operation: "discontinue_product",
    tag: "staff: products",
    summary: "Discontinues a product: it and its sales accept no new orders; existing orders continue.",
    permission: Permission::ProductsWrite,
    budget: Budget::Admin,
    ..Spec::DELETE
};
/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes.with(&CREATE, create).with(&UPDATE, update).with(&DISCONTINUE, discontinue)
}

/// A product and its initial stock.
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
    /// Whether it can be ordered without an address.
    #[serde(default)]
    no_shipping: bool,
    price: MoneyBody,
    /// Initial stock, in units.
    #[schema(maximum = 1_000_000_000)]
    stock: u64,
    /// Whether customers may join a waitlist when it is sold out. No effect yet: there are no
    /// waitlists.
    #[serde(default)]
    waitlist: bool,
}

/// The fields to change; all others keep their values.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a PATCH")]
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
    /// In the currency of the product.
    #[serde(default)]
    price: Option<MoneyBody>,
    #[serde(default)]
    waitlist: Option<bool>,
    /// Discontinues the product, or makes it available again. Must be the only field.
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

fn answer(call: &Call, reply: &Reply) -> Result<Answer, Problem> {
    let Outcome::Done(Done::Product(product, pool)) = &reply.outcome else {
        return Err(unexpected(reply));
    };
    let answer = call.wrote(&ProductBody::of(product, pool), reply)?;
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
            return Err(Problem::field("/status", "invalid", "must be the only field"));
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
