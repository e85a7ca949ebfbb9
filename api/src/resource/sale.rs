//! Sales as answers show them.

use firstcome_domain::Millis;
use firstcome_domain::sale::{Disclosure, Phase, Sale};
use firstcome_domain::stock::Pool;
use serde::Serialize;
use utoipa::ToSchema;

use super::stock::StockBody;
use super::words::{disclosure_word, phase_word};
use crate::fields::MoneyBody;
use crate::rfc3339;

/// A limited offer on one product.
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
    /// First instant at which it can be bought, in log time.
    opens_at: String,
    /// First instant at which it can no longer be bought.
    closes_at: Option<String>,
    /// Units one customer may hold or own.
    per_customer_limit: u32,
    /// How long an order may stay unpaid; `null`: the cluster's setting.
    pay_within_seconds: Option<i64>,
    /// What the public sees of the stock: `exact`, `bucketed` or `hidden`.
    disclosure: &'static str,
    /// Whether customers may queue behind sold-out stock.
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

/// A sale with what its view is derived from.
pub(crate) struct Facts<'a> {
    pub(crate) sale: &'a Sale,
    pub(crate) pool: &'a Pool,
    pub(crate) discontinued: bool,
    pub(crate) now: Millis,
    /// Staff see exact stock whatever the disclosure.
    pub(crate) staff: bool,
}

/// The phase that the facts give.
pub(crate) fn phase(facts: &Facts<'_>) -> Phase {
    facts.sale.phase(facts.discontinued, facts.pool.accounts.available, facts.now)
}

/// The stock, as far as it may be shown.
pub(crate) fn stock(facts: &Facts<'_>) -> StockBody {
    let disclosure = if facts.staff { Disclosure::Exact } else { facts.sale.disclosure };
    StockBody::sale(facts.pool, disclosure, Some(phase(facts)))
}

impl SaleBody {
    /// Shows a sale.
    pub(crate) fn of(facts: &Facts<'_>) -> Self {
        let sale = facts.sale;
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
            state: phase_word(phase(facts)),
            stock: stock(facts),
            version: sale.row.version,
            created_at: rfc3339::format(sale.row.created.now),
            updated_at: rfc3339::format(sale.row.updated.now),
            revision: sale.row.updated.revision.get(),
        }
    }
}
