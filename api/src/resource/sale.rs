//! Sales.

use firstcome_domain::Millis;
use firstcome_domain::sale::{Disclosure, Phase, Sale};
use firstcome_domain::stock::Pool;
use serde::Serialize;
use utoipa::ToSchema;

use super::stock::StockBody;
use super::words::{disclosure_word, phase_word};
use crate::fields::MoneyBody;
use crate::rfc3339;

/// A sale of a limited number of units of one product.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Sale)]
pub(crate) struct SaleBody {
    /// Always `sale`.
    #[schema(example = "sale")]
    object: &'static str,
    /// `sal_...`
    id: String,
    /// `prd_...`
    product_id: String,
    title: String,
    /// Price of one unit.
    price: MoneyBody,
    /// When it opens, in log time.
    opens_at: String,
    /// When it closes, in log time; `null`: when staff close it.
    closes_at: Option<String>,
    /// Maximum number of units one customer may hold or own.
    per_customer_limit: u32,
    /// How long an order may stay unpaid; `null`: the setting of the cluster.
    pay_within_seconds: Option<i64>,
    /// How much of the stock the public sees: `exact`, `bucketed` or `hidden`.
    disclosure: &'static str,
    /// Whether customers may join a waitlist when it is sold out. No effect yet: there are no
    /// waitlists.
    waitlist: bool,
    paused: bool,
    /// `scheduled`, `open`, `paused`, `closed`, `sold_out` or `discontinued`.
    state: &'static str,
    stock: StockBody,
    /// Also the `ETag`.
    version: u64,
    created_at: String,
    updated_at: String,
    /// The log entry that last wrote the sale.
    revision: u64,
}

/// A sale with everything its response depends on.
pub(crate) struct SaleContext<'a> {
    pub(crate) sale: &'a Sale,
    pub(crate) pool: &'a Pool,
    pub(crate) discontinued: bool,
    pub(crate) now: Millis,
    /// Staff see exact stock, whatever is disclosed to the public.
    pub(crate) staff: bool,
}

/// The current phase.
pub(crate) fn phase(context: &SaleContext<'_>) -> Phase {
    context.sale.phase(context.discontinued, context.pool.accounts.available, context.now)
}

/// The stock, as far as it is disclosed.
pub(crate) fn stock(context: &SaleContext<'_>) -> StockBody {
    let disclosure = if context.staff { Disclosure::Exact } else { context.sale.disclosure };
    StockBody::sale(context.pool, disclosure, Some(phase(context)))
}

impl SaleBody {
    /// Shows a sale.
    pub(crate) fn of(context: &SaleContext<'_>) -> Self {
        let sale = context.sale;
        Self {
            object: "sale",
            id: sale.id.to_string(),
            product_id: sale.product.to_string(),
            title: sale.title.clone(),
            price: MoneyBody::of(sale.price.amount, sale.price.currency),
            opens_at: rfc3339::format(sale.opens_at),
            closes_at: sale.closes_at.map(rfc3339::format),
            per_customer_limit: sale.per_customer_limit,
            pay_within_seconds: sale.pay_within_ms.map(|ms| ms / 1000),
            disclosure: disclosure_word(sale.disclosure),
            waitlist: sale.waitlist,
            paused: sale.paused,
            state: phase_word(phase(context)),
            stock: stock(context),
            version: sale.row.version,
            created_at: rfc3339::format(sale.row.created.now),
            updated_at: rfc3339::format(sale.row.updated.now),
            revision: sale.row.updated.revision.get(),
        }
    }
}
