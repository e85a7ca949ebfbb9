//! Staff: stock adjustments of a product or a sale.

use std::str::FromStr;

use firstcome_domain::command::{Adjustment, StockAdjust};
use firstcome_domain::stock::PoolId;
use firstcome_domain::value::NOTE_CHARS_MAX;
use firstcome_domain::{Action, Done, Outcome};
use serde::Deserialize;
use utoipa::ToSchema;

use super::routes::Routes;
use crate::access::Permission;
use crate::budget::Budget;
use crate::call::{Answer, Call, unexpected};
use crate::fields::Fields;
use crate::problem::{Code, Problem};
use crate::resource::stock::StockBody;
use crate::spec::{KeyRule, Spec, Success, schema_of};

const ADJUST: Spec = Spec {
    tag: "staff: stock",
    permission: Permission::StockAdjust,
    budget: Budget::Admin,
    key: KeyRule::Required,
    body: Some(schema_of::<StockChange>()),
    success: Success::One(schema_of::<StockBody>()),
    codes: &[Code::NotEnoughUnits, Code::SaleClosed],
    ..Spec::POST
};
const ADJUST_PRODUCT: Spec = Spec {
    path: "/v1/admin/products/{id}/stock-adjustments",
    operation: "adjust_product_stock",
    summary: "Adds or removes units of a product's general stock.",
    ..ADJUST
};
const ADJUST_SALE: Spec = Spec {
    path: "/v1/admin/sales/{id}/stock-adjustments",
    operation: "adjust_sale_stock",
    summary: "Adds or removes units of a sale.",
    ..ADJUST
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&ADJUST_PRODUCT, |call: Call| adjust(call, PoolId::Product))
        .with(&ADJUST_SALE, |call: Call| adjust(call, PoolId::Sale))
}

/// Units to add or remove.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StockChange {
    /// Units to add; negative to remove. Not 0.
    #[schema(minimum = -1_000_000_000, maximum = 1_000_000_000)]
    delta: i64,
    /// The reason, recorded in the ledger.
    #[schema(max_length = 200)]
    reason: String,
    /// Scrap available units (negative) or make scrapped ones available again (positive), instead
    /// of adding and removing units.
    #[serde(default)]
    scrap: bool,
}

/// Adjusts one pool.
async fn adjust<T: FromStr>(call: Call, pool: fn(T) -> PoolId) -> Result<Answer, Problem> {
    let pool = pool(call.id()?);
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
    let reply = call.propose(Action::StockAdjust(command)).await?;
    let Outcome::Done(Done::Stock(pool)) = &reply.outcome else { return Err(unexpected(&reply)) };
    let answer = call.wrote(&StockBody::exact(pool), &reply)?;
    Ok(answer.located(match pool.id {
        PoolId::Product(id) => format!("/v1/products/{id}/stock"),
        PoolId::Sale(id) => format!("/v1/sales/{id}/stock"),
    }))
}
