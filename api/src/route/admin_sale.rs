//! Staff: sales and their units.

use firstcome_domain::command::{
    Allotment, SaleAllot, SaleClose, SaleCreate, SalePause, SaleResume, SaleUpdate,
};
use firstcome_domain::id::SaleId;
use firstcome_domain::sale::Disclosure;
use firstcome_domain::settings::PAY_WITHIN_MS;
use firstcome_domain::value::{NOTE_CHARS_MAX, TITLE_CHARS_MAX};
use firstcome_domain::{Action, Done, Outcome};
use firstcome_raft::Reply;
use http::header::IF_MATCH;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::routes::Routes;
use crate::access::Permission;
use crate::body::EmptyBody;
use crate::budget::Budget;
use crate::call::{Answer, Call, unexpected};
use crate::fields::{Fields, MoneyBody, nullable};
use crate::problem::{Code, Problem};
use crate::resource::sale::{SaleBody, SaleContext};
use crate::spec::{KeyRule, Spec, Success, schema_of};

const CREATE: Spec = Spec {
    path: "/v1/admin/sales",
    operation: "create_sale",
    tag: "staff: sales",
    summary: "Creates a sale. Its units come out of the product's available stock.",
    permission: Permission::SalesWrite,
    budget: Budget::Admin,
    body: Some(schema_of::<NewSale>()),
    success: Success::One(schema_of::<SaleBody>()),
    codes: &[Code::NotFound, Code::ProductDiscontinued, Code::NotEnoughUnits, Code::IdInUse],
    ..Spec::POST
};
const UPDATE: Spec = Spec {
    path: "/v1/admin/sales/{id}",
    operation: "update_sale",
    tag: "staff: sales",
    summary: "Changes a sale. Once open, only title, closing time, limit, disclosure and waitlist.",
    permission: Permission::SalesWrite,
    budget: Budget::Admin,
    body: Some(schema_of::<SaleChange>()),
    success: Success::One(schema_of::<SaleBody>()),
    codes: &[Code::SaleOpen, Code::SaleClosed],
    ..Spec::PATCH
};
const STEP: Spec = Spec {
    tag: "staff: sales",
    permission: Permission::SalesWrite,
    budget: Budget::Admin,
    body: Some(schema_of::<EmptyBody>()),
    body_optional: true,
    success: Success::One(schema_of::<SaleBody>()),
    codes: &[Code::SaleClosed, Code::VersionMismatch],
    ..Spec::POST
};
const PAUSE: Spec = Spec {
    path: "/v1/admin/sales/{id}/pauses",
    operation: "pause_sale",
    summary: "Pauses new orders for a sale. Payments and timers continue.",
    ..STEP
};
const RESUME: Spec = Spec {
    path: "/v1/admin/sales/{id}/resumptions",
    operation: "resume_sale",
    summary: "Resumes a paused sale.",
    ..STEP
};
const CLOSE: Spec = Spec {
    path: "/v1/admin/sales/{id}/closures",
    operation: "close_sale",
    summary: "Closes a sale now. Unsold units return to the product.",
    ..STEP
};
const ALLOT: Spec = Spec {
    path: "/v1/admin/sales/{id}/allotments",
    operation: "allot_units",
    tag: "staff: stock",
    summary: "Moves units between a sale and its product's general stock.",
    permission: Permission::StockAdjust,
    budget: Budget::Admin,
    key: KeyRule::Required,
    body: Some(schema_of::<AllotmentChange>()),
    success: Success::One(schema_of::<SaleBody>()),
    codes: &[Code::SaleClosed, Code::NotEnoughUnits],
    ..Spec::POST
};
/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&CREATE, create)
        .with(&UPDATE, update)
        .with(&PAUSE, |call: Call| {
            step(call, |id, if_version| Action::SalePause(SalePause { id, if_version }))
        })
        .with(&RESUME, |call: Call| {
            step(call, |id, if_version| Action::SaleResume(SaleResume { id, if_version }))
        })
        .with(&CLOSE, |call: Call| {
            step(call, |id, if_version| Action::SaleClose(SaleClose { id, if_version }))
        })
        .with(&ALLOT, allot)
}

/// A sale of a limited number of units.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSale {
    /// `prd_...`
    product_id: String,
    #[schema(max_length = 100)]
    title: String,
    /// Units to take from the product's available stock.
    #[schema(maximum = 1_000_000_000)]
    units: u64,
    /// Price of one unit; default: the product's.
    #[serde(default)]
    price: Option<MoneyBody>,
    /// When it opens.
    opens_at: String,
    /// When it closes; default: when staff close it.
    #[serde(default)]
    closes_at: Option<String>,
    /// Maximum number of units one customer may hold or own; default 1.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 100)]
    per_customer_limit: u32,
    /// How long an order may stay unpaid, 60 to 86400; default: the setting of the cluster.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 86400)]
    pay_within_seconds: Option<i64>,
    /// How much of the stock the public sees; default `exact`.
    #[serde(default)]
    disclosure: DisclosureBody,
    /// Whether customers may join a waitlist when it is sold out. No effect yet: there are no
    /// waitlists.
    #[serde(default)]
    waitlist: bool,
}

const fn one() -> u32 {
    1
}

/// How much of the stock the public sees.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Disclosure)]
enum DisclosureBody {
    #[default]
    Exact,
    Bucketed,
    Hidden,
}

impl From<DisclosureBody> for Disclosure {
    fn from(body: DisclosureBody) -> Self {
        match body {
            DisclosureBody::Exact => Self::Exact,
            DisclosureBody::Bucketed => Self::Bucketed,
            DisclosureBody::Hidden => Self::Hidden,
        }
    }
}

/// The fields to change; all others keep their values.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a PATCH")]
struct SaleChange {
    #[serde(default)]
    #[schema(max_length = 100)]
    title: Option<String>,
    /// Only before the sale opens.
    #[serde(default)]
    price: Option<MoneyBody>,
    /// Only before the sale opens.
    #[serde(default)]
    opens_at: Option<String>,
    /// In the future; `null`: when staff close it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    closes_at: Option<Option<String>>,
    /// Lowering it does not take units from customers who have more.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    per_customer_limit: Option<u32>,
    /// Only before the sale opens; `null`: the setting of the cluster.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 60, maximum = 86400)]
    pay_within_seconds: Option<Option<i64>>,
    #[serde(default)]
    disclosure: Option<DisclosureBody>,
    #[serde(default)]
    waitlist: Option<bool>,
}

fn limit(fields: &mut Fields, limit: u32) {
    let right = (1..=100).contains(&limit);
    fields.check(right, "/per_customer_limit", "out_of_range", "must be 1 to 100");
}

fn pay_within(fields: &mut Fields, seconds: i64) -> i64 {
    let ms = seconds.saturating_mul(1000);
    let right = PAY_WITHIN_MS.contains(&ms);
    fields.check(right, "/pay_within_seconds", "out_of_range", "must be 60 to 86400");
    ms
}

async fn create(call: Call) -> Result<Answer, Problem> {
    let body: NewSale = call.json()?;
    let mut fields = Fields::default();
    let title = fields.text("/title", &body.title, TITLE_CHARS_MAX, false);
    fields.units("/units", body.units, 0);
    let price = body.price.and_then(|price| fields.unit_price("/price", &price));
    let opens_at = fields.instant("/opens_at", &body.opens_at);
    let closes_at = body.closes_at.map(|at| fields.instant("/closes_at", &at));
    let ordered = closes_at.is_none_or(|end| opens_at < end);
    fields.check(ordered, "/closes_at", "out_of_range", "must be later than opens_at");
    limit(&mut fields, body.per_customer_limit);
    let pay_within_ms = body.pay_within_seconds.map(|seconds| pay_within(&mut fields, seconds));
    fields.finish()?;
    let product = body
        .product_id
        .parse()
        .map_err(|_| Problem::new(Code::NotFound).detail("There is no such product."))?;
    let command = SaleCreate {
        id: SaleId::new(Uuid::now_v7().as_u128()),
        product,
        title,
        units: body.units,
        price,
        opens_at,
        closes_at,
        per_customer_limit: body.per_customer_limit,
        pay_within_ms,
        disclosure: body.disclosure.into(),
        waitlist: body.waitlist,
    };
    answer(&call, &call.propose(Action::SaleCreate(command)).await?)
}

fn answer(call: &Call, reply: &Reply) -> Result<Answer, Problem> {
    let Outcome::Done(Done::Sale(sale, pool, discontinued)) = &reply.outcome else {
        return Err(unexpected(reply));
    };
    let context = SaleContext {
        sale,
        pool,
        discontinued: *discontinued,
        now: reply.decided.now,
        staff: true,
    };
    let answer = call.wrote(&SaleBody::of(&context), reply)?;
    let answer = answer.tagged(sale.row.version);
    let created = call.route.status == 201;
    Ok(if created { answer.located(format!("/v1/sales/{}", sale.id)) } else { answer })
}

async fn update(call: Call) -> Result<Answer, Problem> {
    let id: SaleId = call.id()?;
    let if_version = call.if_match()?;
    let body: SaleChange = call.json()?;
    let mut fields = Fields::default();
    let title = fields.optional_text("/title", body.title, TITLE_CHARS_MAX, false);
    let price = body.price.and_then(|price| fields.unit_price("/price", &price));
    let opens_at = body.opens_at.map(|at| fields.instant("/opens_at", &at));
    let closes_at = body.closes_at.map(|at| at.map(|at| fields.instant("/closes_at", &at)));
    if let Some(units) = body.per_customer_limit {
        limit(&mut fields, units);
    }
    let pay_within_ms = body
        .pay_within_seconds
        .map(|seconds| seconds.map(|seconds| pay_within(&mut fields, seconds)));
    fields.finish()?;
    let command = SaleUpdate {
        id,
        if_version,
        title,
        price,
        opens_at,
        closes_at,
        per_customer_limit: body.per_customer_limit,
        pay_within_ms,
        disclosure: body.disclosure.map(Disclosure::from),
        waitlist: body.waitlist,
    };
    answer(&call, &call.propose(Action::SaleUpdate(command)).await?)
}

async fn step(call: Call, action: fn(SaleId, Option<u64>) -> Action) -> Result<Answer, Problem> {
    let id: SaleId = call.id()?;
    let EmptyBody {} = call.json()?;
    // Pausing must be quick, so the version is optional here.
    let sent = call.headers.contains_key(IF_MATCH);
    let if_version = sent.then(|| call.if_match()).transpose()?;
    answer(&call, &call.propose(action(id, if_version)).await?)
}

/// Units to move.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AllotmentChange {
    /// Units to move into the sale; negative to return them to the product. Not 0.
    #[schema(minimum = -1_000_000_000, maximum = 1_000_000_000)]
    delta: i64,
    /// Where the units for the sale come from; default `general`.
    #[serde(default)]
    from: AllotFrom,
    /// The reason, recorded in the ledger.
    #[serde(default)]
    #[schema(max_length = 200)]
    reason: Option<String>,
}

/// Where the units for a sale come from.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AllotFrom {
    /// The product's available stock.
    #[default]
    General,
    /// New units, added to the product first.
    New,
}

async fn allot(call: Call) -> Result<Answer, Problem> {
    let id: SaleId = call.id()?;
    let body: AllotmentChange = call.json()?;
    let mut fields = Fields::default();
    let quantity = body.delta.unsigned_abs();
    fields.units("/delta", quantity, 1);
    let backwards = body.delta < 0 && body.from == AllotFrom::New;
    fields.check(!backwards, "/from", "invalid", "units can only be returned to general stock");
    let note = fields.optional_text("/reason", body.reason, NOTE_CHARS_MAX, false);
    fields.finish()?;
    let allotment = match (body.delta > 0, body.from) {
        (true, AllotFrom::General) => Allotment::UpFromGeneral,
        (true, AllotFrom::New) => Allotment::UpFromNew,
        (false, _) => Allotment::Down,
    };
    let command = SaleAllot { id, allotment, quantity, note };
    answer(&call, &call.propose(Action::SaleAllot(command)).await?)
}
