//! Stock: where every unit of a pool stands, and the ledger of how it came there.
//!
//! Each product has one pool, each sale has one. Every change of an account is a [`Movement`]
//! with a reason, written to an append-only ledger, so that any account can be rebuilt from it
//! (invariants S1 and S2). Corrections are new rows, never edits.

use serde::{Deserialize, Serialize};

use crate::command::Actor;
use crate::id::{OrderId, ProductId, SaleId};
use crate::value::{Revision, RowStamp, Stamp};

/// The place units are counted: a product's general stock, or a sale's allotment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum PoolId {
    /// General stock of a product.
    Product(ProductId),
    /// Allotment of a sale.
    Sale(SaleId),
}

/// The accounts of one pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Accounts {
    /// Free to be ordered.
    pub available: u64,
    /// Set aside for unpaid orders.
    pub held: u64,
    /// Paid for.
    pub sold: u64,
    /// Written off.
    pub scrapped: u64,
}

impl Accounts {
    /// All units of the pool (S1).
    pub fn stocked(self) -> u64 {
        [self.available, self.held, self.sold, self.scrapped]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// One pool row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// Which pool.
    pub id: PoolId,
    /// Where its units stand.
    pub accounts: Accounts,
    /// Waiting entries behind the pool.
    pub waiting: u32,
    /// Version and stamps.
    pub row: RowStamp,
}

/// Where units come from or go to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Account {
    /// Not in this pool.
    Outside,
    /// Free to be ordered.
    Available,
    /// Set aside for unpaid orders.
    Held,
    /// Paid for.
    Sold,
    /// Written off.
    Scrapped,
}

/// Why units moved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// outside -> available, by staff.
    StockIn,
    /// available -> outside, by staff.
    StockOut,
    /// available -> scrapped, by staff.
    Scrap,
    /// scrapped -> available, by staff.
    Unscrap,
    /// Paired rows between a product's pool and its sale's.
    Allot,
    /// Paired rows: what a closed sale gives back.
    Leftover,
    /// available -> held, an order.
    Hold,
    /// held -> sold, a capture.
    Pay,
    /// held -> available: expired, failed, or canceled while unpaid.
    Release,
    /// sold -> available: canceled while paid.
    Cancel,
    /// sold -> available: returned in good state.
    Restock,
    /// sold -> scrapped: returned broken.
    ReturnScrap,
}

/// Units going from one account of a pool to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Movement {
    /// Account that shrinks.
    pub from: Account,
    /// Account that grows.
    pub to: Account,
    /// Units, at least 1.
    pub quantity: u64,
    /// Why.
    pub reason: Reason,
}

/// Key of a ledger row: the pool, then the place in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct LedgerKey {
    /// The pool whose accounts changed.
    pub pool: PoolId,
    /// The deciding log entry.
    pub revision: Revision,
    /// Counts up from 0 over all ledger rows of that log entry.
    pub offset: u32,
}

/// One row of the ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LedgerRow {
    /// Pool, revision, offset.
    pub key: LedgerKey,
    /// What moved.
    pub movement: Movement,
    /// The order that caused it, if one did.
    pub order: Option<OrderId>,
    /// The other pool of a paired row.
    pub peer: Option<PoolId>,
    /// Who asked.
    pub actor: Actor,
    /// What staff wrote about it.
    pub note: Option<String>,
    /// When it was decided.
    pub stamp: Stamp,
}

/// The units of one sale that one customer holds or bought, and their open hold there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// The sale.
    pub sale: SaleId,
    /// The customer.
    pub customer: crate::id::UserId,
    /// Units in held or sold (S5).
    pub used: u64,
    /// The customer's `payment_pending` order on this sale, if there is one (D8).
    pub holding: Option<OrderId>,
    /// Version and stamps.
    pub row: RowStamp,
}
