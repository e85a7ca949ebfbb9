//! Stock: where every unit of a pool stands, and the ledger of how it came there.
//!
//! Each product has one pool, each sale has one. Every change of an account is a [`Movement`]
//! with a reason, written to an append-only ledger, so that any account can be rebuilt from it
//! (invariants S1 and S2). Corrections are new rows, never edits.

use firstcome_fault::{Bug, armed};
use serde::{Deserialize, Serialize};

use crate::command::{Actor, Adjustment, StockAdjust};
use crate::draft::Draft;
use crate::field;
use crate::id::{OrderId, ProductId, SaleId};
use crate::outcome::{Done, Kind, Refusal};
use crate::sale::{Sale, hand_on};
use crate::value::{NOTE_CHARS_MAX, Revision, RowStamp, STOCK_QUANTITY_MAX, Stamp};
use crate::view::View;

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
            *from = match from.checked_sub(movement.quantity) {
                None if armed(Bug::OversellOffByOne) => 0,
                left => left?,
            };
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

/// What a movement is about, besides its reason.
#[derive(Clone, Default)]
pub(crate) struct Cause {
    /// The order that caused it.
    pub(crate) order: Option<OrderId>,
    /// What staff wrote about it.
    pub(crate) note: Option<String>,
}

impl Cause {
    pub(crate) const fn order(id: OrderId) -> Self {
        Self { order: Some(id), note: None }
    }

    pub(crate) const fn note(note: Option<String>) -> Self {
        Self { order: None, note }
    }
}

/// Moves units inside a pool, or in from outside. Units that become available in a closed sale
/// go on to its product at once (S12). The caller has checked that the source covers it.
pub(crate) fn shift<V: View>(
    draft: &mut Draft<'_, V>,
    pool: PoolId,
    reason: Reason,
    quantity: u64,
    cause: Cause,
) {
    let (from, to) = reason.way();
    let order = cause.order;
    write(draft, pool, Movement { from, to, quantity, reason }, cause, None);
    if let (Account::Available, PoolId::Sale(id)) = (to, pool) {
        let sale = draft.sale(id).expect("a sale's pool is created with its sale, and stays");
        if sale.closed {
            hand_on(draft, &sale, order);
        }
    }
}

/// Moves available units from one pool to another: two rows that name each other.
pub(crate) fn transfer<V: View>(
    draft: &mut Draft<'_, V>,
    (from, to): (PoolId, PoolId),
    reason: Reason,
    quantity: u64,
    cause: Cause,
) {
    let (inside, outside) = (Account::Available, Account::Outside);
    let leaves = Movement { from: inside, to: outside, quantity, reason };
    let arrives = Movement { from: outside, to: inside, quantity, reason };
    write(draft, from, leaves, cause.clone(), Some(to));
    write(draft, to, arrives, cause, Some(from));
}

fn write<V: View>(
    draft: &mut Draft<'_, V>,
    id: PoolId,
    movement: Movement,
    cause: Cause,
    peer: Option<PoolId>,
) {
    let mut pool = *draft.pool_of(id);
    pool.accounts = pool.accounts.after(movement).expect(
        "S1: rules move only what the source covers, and 10^9 units per command cannot fill u64",
    );
    draft.put_pool(pool);
    draft.append(id, movement, cause.order, peer, cause.note);
}

/// Creates the empty pool of a new product or sale.
pub(crate) fn open_pool<V: View>(draft: &mut Draft<'_, V>, id: PoolId) {
    let row = RowStamp::default(); // The draft sets it.
    draft.put_pool(Pool { id, accounts: Accounts::default(), waiting: 0, row });
}

/// `not_enough_units` unless the account covers the quantity.
pub(crate) fn require_units(pool: &Pool, account: Account, quantity: u64) -> Result<(), Refusal> {
    let available = pool.accounts.units(account);
    if available < quantity { Err(Refusal::NotEnoughUnits { available }) } else { Ok(()) }
}

/// Whether a stock command may name this many units.
pub(crate) fn require_stock_quantity(pointer: &str, quantity: u64) -> Result<(), Refusal> {
    field::require((1..=STOCK_QUANTITY_MAX).contains(&quantity), pointer, "out_of_range")
}

/// Adds, takes, scraps or unscraps units of a pool.
pub(crate) fn adjust<V: View>(
    draft: &mut Draft<'_, V>,
    ask: &StockAdjust,
) -> Result<Done, Refusal> {
    require_stock_quantity("/delta", ask.quantity)?;
    field::text_if_any("/reason", ask.note.as_ref(), NOTE_CHARS_MAX)?;
    let sale = match ask.pool {
        PoolId::Product(id) => {
            draft.product(id).ok_or(Refusal::NotFound(Kind::Product))?;
            None
        }
        PoolId::Sale(id) => Some(draft.sale(id).ok_or(Refusal::NotFound(Kind::Sale))?),
    };
    let reason = match ask.adjustment {
        Adjustment::In => Reason::StockIn,
        Adjustment::Out => Reason::StockOut,
        Adjustment::Scrap => Reason::Scrap,
        Adjustment::Unscrap => Reason::Unscrap,
    };
    if ask.adjustment == Adjustment::In {
        sale.as_deref().map_or(Ok(()), |sale: &Sale| sale.require_not_over(draft.now()))?;
    } else {
        let (source, _) = reason.way();
        require_units(&draft.pool_of(ask.pool), source, ask.quantity)?;
    }
    shift(draft, ask.pool, reason, ask.quantity, Cause::note(ask.note.clone()));
    Ok(Done::Stock(*draft.pool_of(ask.pool)))
}
