//! Where every unit of a pool stands, and how units move.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{OrderId, ProductId, SaleId, UserId};
use crate::kernel::key::{Key, KeyPart};
use crate::kernel::row::{Row, TableId};
use crate::kernel::value::RowStamp;
use crate::kernel::version::Versioned;
use crate::seeded::values as seeded;

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

    /// The units in one account; none are counted outside.
    pub const fn units(self, account: Account) -> u64 {
        match account {
            Account::Outside => 0,
            Account::Available => self.available,
            Account::Held => self.held,
            Account::Sold => self.sold,
            Account::Scrapped => self.scrapped,
        }
    }

    /// The accounts after a movement; `None` when the source does not cover it.
    #[must_use]
    pub fn after(mut self, movement: Movement) -> Option<Self> {
        if let Some(from) = self.units_mut(movement.from) {
            *from = seeded::left(from.checked_sub(movement.quantity))?;
        }
        if let Some(to) = self.units_mut(movement.to) {
            *to = to.checked_add(movement.quantity)?;
        }
        Some(self)
    }

    const fn units_mut(&mut self, account: Account) -> Option<&mut u64> {
        match account {
            Account::Outside => None,
            Account::Available => Some(&mut self.available),
            Account::Held => Some(&mut self.held),
            Account::Sold => Some(&mut self.sold),
            Account::Scrapped => Some(&mut self.scrapped),
        }
    }
}

/// One pool row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// Which pool.
    pub id: PoolId,
    /// Where its units stand.
    pub accounts: Accounts,
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

impl Reason {
    /// Where units come from and go to; paired reasons have one way in each pool, and this is
    /// the way out of the giving one.
    pub const fn way(self) -> (Account, Account) {
        match self {
            Self::StockIn => (Account::Outside, Account::Available),
            Self::StockOut | Self::Allot | Self::Leftover => (Account::Available, Account::Outside),
            Self::Scrap => (Account::Available, Account::Scrapped),
            Self::Unscrap => (Account::Scrapped, Account::Available),
            Self::Hold => (Account::Available, Account::Held),
            Self::Pay => (Account::Held, Account::Sold),
            Self::Release => (Account::Held, Account::Available),
            Self::Cancel | Self::Restock => (Account::Sold, Account::Available),
            Self::ReturnScrap => (Account::Sold, Account::Scrapped),
        }
    }

    /// The word in listings of the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StockIn => "stock_in",
            Self::StockOut => "stock_out",
            Self::Scrap => "scrap",
            Self::Unscrap => "unscrap",
            Self::Allot => "allot",
            Self::Leftover => "leftover",
            Self::Hold => "hold",
            Self::Pay => "pay",
            Self::Release => "release",
            Self::Cancel => "cancel",
            Self::Restock => "restock",
            Self::ReturnScrap => "return_scrap",
        }
    }
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

/// The units of one sale that one customer holds or bought, and their open hold there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// The sale.
    pub sale: SaleId,
    /// The customer.
    pub customer: UserId,
    /// Units in held or sold (S5).
    pub used: u64,
    /// The customer's `payment_pending` order on this sale, if there is one (D8).
    pub holding: Option<OrderId>,
    /// Version and stamps.
    pub row: RowStamp,
}

/// A byte for the kind, then the id.
impl KeyPart for PoolId {
    const WIDTH: usize = 17;

    fn put(&self, key: &mut Key) {
        match self {
            Self::Product(id) => (0u8, *id).put(key),
            Self::Sale(id) => (1u8, *id).put(key),
        }
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        match u8::take(bytes)? {
            0 => ProductId::take(bytes).map(Self::Product),
            1 => SaleId::take(bytes).map(Self::Sale),
            _ => None,
        }
    }
}

impl Versioned for Pool {}

impl Row for Pool {
    const TABLE: TableId = TableId(4);
    const NAME: &'static str = "pools";
    const HOT: bool = true;
    type Key = PoolId;

    fn key(&self) -> PoolId {
        self.id
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }
}

impl Versioned for Usage {}

impl Row for Usage {
    const TABLE: TableId = TableId(6);
    const NAME: &'static str = "usage";
    type Key = (SaleId, UserId);

    fn key(&self) -> (SaleId, UserId) {
        (self.sale, self.customer)
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }
}
