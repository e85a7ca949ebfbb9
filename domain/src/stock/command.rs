//! Commands about stock.

use serde::{Deserialize, Serialize};

use super::row::PoolId;
use crate::kernel::version::Versioned;

/// How units are corrected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Adjustment {
    /// outside -> available
    In,
    /// available -> outside
    Out,
    /// available -> scrapped
    Scrap,
    /// scrapped -> available
    Unscrap,
}

/// `POST /v1/admin/{products,sales}/{id}/stock-adjustments`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StockAdjust {
    /// Which pool.
    pub pool: PoolId,
    /// Direction.
    pub adjustment: Adjustment,
    /// Units, 1..=10^9.
    pub quantity: u64,
    /// What staff wrote about it; 1..=200 characters.
    pub note: Option<String>,
}

impl Versioned for StockAdjust {}
