//! Commands about sales.

use serde::{Deserialize, Serialize};

use super::row::Disclosure;
use crate::kernel::id::{ProductId, SaleId};
use crate::kernel::value::{Millis, Money};
use crate::kernel::version::Versioned;

/// `POST /v1/admin/sales`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SaleCreate {
    /// Fresh id.
    pub id: SaleId,
    /// What is offered.
    pub product: ProductId,
    /// 1..=100 characters.
    pub title: String,
    /// Units to allot, 0..=10^9.
    pub units: u64,
    /// Price of one unit; `None`: the product's.
    pub price: Option<Money>,
    /// First instant.
    pub opens_at: Millis,
    /// Later than `opens_at`.
    pub closes_at: Option<Millis>,
    /// 1..=100.
    pub per_customer_limit: u32,
    /// 1 min..=24 h.
    pub pay_within_ms: Option<i64>,
    /// What the public sees of the stock.
    pub disclosure: Disclosure,
    /// Whether customers may queue.
    pub waitlist: bool,
}

/// `PATCH /v1/admin/sales/{id}`; `None` leaves a field as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SaleUpdate {
    /// Which sale.
    pub id: SaleId,
    /// The version the editor saw.
    pub if_version: u64,
    /// New title.
    pub title: Option<String>,
    /// New price; only before opening.
    pub price: Option<Money>,
    /// New opening; only before opening.
    pub opens_at: Option<Millis>,
    /// New closing, later than now; `Some(None)`: until closed by staff.
    pub closes_at: Option<Option<Millis>>,
    /// New limit. Lowering it takes no units away.
    pub per_customer_limit: Option<u32>,
    /// New hold time; only before opening. `Some(None)`: the setting.
    pub pay_within_ms: Option<Option<i64>>,
    /// What the public sees of the stock.
    pub disclosure: Option<Disclosure>,
    /// Whether customers may queue.
    pub waitlist: Option<bool>,
}

/// Where a sale's units come from or go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Allotment {
    /// From the product's available stock to the sale.
    UpFromGeneral,
    /// New units, through the product's ledger, to the sale.
    UpFromNew,
    /// From the sale's available units back to the product.
    Down,
}

/// `POST /v1/admin/sales/{id}/allotments`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SaleAllot {
    /// Which sale.
    pub id: SaleId,
    /// Direction.
    pub allotment: Allotment,
    /// Units, 1..=10^9.
    pub quantity: u64,
    /// What staff wrote about it.
    pub note: Option<String>,
}

/// `POST /v1/admin/sales/{id}/pauses`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SalePause {
    /// Which sale.
    pub id: SaleId,
    /// The version the editor saw, if they said.
    pub if_version: Option<u64>,
}

/// `POST /v1/admin/sales/{id}/resumptions`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SaleResume {
    /// Which sale.
    pub id: SaleId,
    /// The version the editor saw, if they said.
    pub if_version: Option<u64>,
}

/// `POST /v1/admin/sales/{id}/closures`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SaleClose {
    /// Which sale.
    pub id: SaleId,
    /// The version the editor saw, if they said.
    pub if_version: Option<u64>,
}

impl Versioned for SaleCreate {}
impl Versioned for SaleUpdate {}
impl Versioned for SaleAllot {}
impl Versioned for SalePause {}
impl Versioned for SaleResume {}
impl Versioned for SaleClose {}
