//! Sales as answers show them.

use firstcome_domain::Millis;
use firstcome_domain::sale::{Disclosure, Phase, Sale};
use firstcome_domain::stock::Pool;
use serde::Serialize;
use utoipa::ToSchema;

use super::stock::StockView;
use crate::fields::MoneyBody;
use crate::instant;

/// A limited offer on one product.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Sale)]
pub(crate) struct SaleView {
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
    stock: StockView,
    /// Also the `ETag`.
    version: u64,
    created_at: String,
    updated_at: String,
    /// The log entry that last wrote the sale.
    revision: u64,
}

/// The word of a phase.
pub(crate) const fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Closed => "closed",
        Phase::Discontinued => "discontinued",
        Phase::Paused => "paused",
        Phase::Scheduled => "scheduled",
        Phase::SoldOut => "sold_out",
        Phase::Open => "open",
    }
}

/// Every phase with its word, for filters.
pub(crate) const PHASES: [(&str, Phase); 6] = [
    ("scheduled", Phase::Scheduled),
    ("open", Phase::Open),
    ("closed", Phase::Closed),
    ("sold_out", Phase::SoldOut),
    ("paused", Phase::Paused),
    ("discontinued", Phase::Discontinued),
];

/// The word of a disclosure.
pub(crate) const fn disclosure_word(disclosure: Disclosure) -> &'static str {
    match disclosure {
        Disclosure::Exact => "exact",
        Disclosure::Bucketed => "bucketed",
        Disclosure::Hidden => "hidden",
    }
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

impl Facts<'_> {
    pub(crate) fn phase(&self) -> Phase {
        self.sale.phase(self.discontinued, self.pool.accounts.available, self.now)
    }

    pub(crate) fn stock(&self) -> StockView {
        let disclosure = if self.staff { Disclosure::Exact } else { self.sale.disclosure };
        StockView::sale(self.pool, disclosure, Some(self.phase()))
    }
}

impl SaleView {
    /// Shows a sale.
    pub(crate) fn of(facts: &Facts<'_>) -> Self {
        let sale = facts.sale;
        Self {
            object: "sale",
            id: sale.id.to_string(),
            product_id: sale.product.to_string(),
            title: sale.title.clone(),
            price: MoneyBody::of(sale.price.amount, sale.price.currency),
            opens_at: instant::format(sale.opens_at),
            closes_at: sale.closes_at.map(instant::format),
            per_customer_limit: sale.per_customer_limit,
            pay_within_seconds: sale.pay_within_ms.map(|ms| ms / 1000),
            disclosure: disclosure_word(sale.disclosure),
            waitlist: sale.waitlist,
            paused: sale.paused,
            state: phase_word(facts.phase()),
            stock: facts.stock(),
            version: sale.row.version,
            created_at: instant::format(sale.row.created.now),
            updated_at: instant::format(sale.row.updated.now),
            revision: sale.row.updated.revision.get(),
        }
    }
}
