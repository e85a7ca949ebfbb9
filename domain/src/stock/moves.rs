//! Moving units: the only code that changes accounts, each time with a movement in the ledger.

use std::sync::Arc;

use super::row::{Account, Accounts, Movement, Pool, PoolId, Reason};
use crate::draft::Draft;
use crate::field;
use crate::journal::row::LedgerEntry;
use crate::kernel::id::OrderId;
use crate::kernel::value::{RowStamp, STOCK_QUANTITY_MAX};
use crate::outcome::Refusal;
use crate::sale::row::Sale;
use crate::view::View;

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
        let sale =
            draft.get::<Sale>(id).expect("a sale's pool is created with its sale, and stays");
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
    let mut pool = *pool_of(draft, id);
    pool.accounts = pool.accounts.after(movement).expect(
        "S1: rules move only what the source covers, and 10^9 units per command cannot fill u64",
    );
    draft.put(pool);
    let Cause { order, note } = cause;
    // The draft says who moved them.
    draft.enter(LedgerEntry { pool: id, movement, order, peer, by_node: false, note });
}

/// The pool of a product or sale that exists.
pub(crate) fn pool_of<V: View>(draft: &mut Draft<'_, V>, id: PoolId) -> Arc<Pool> {
    draft.get::<Pool>(id).expect("a pool is created with its product or sale, and stays")
}

/// Creates the empty pool of a new product or sale.
pub(crate) fn open_pool<V: View>(draft: &mut Draft<'_, V>, id: PoolId) {
    let row = RowStamp::default(); // The draft sets it.
    draft.put(Pool { id, accounts: Accounts::default(), row });
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

/// Sends what is available in a closed sale on to its product (S12).
pub(crate) fn hand_on<V: View>(draft: &mut Draft<'_, V>, sale: &Sale, order: Option<OrderId>) {
    let (general, allotted) = (PoolId::Product(sale.product), PoolId::Sale(sale.id));
    let available = pool_of(draft, allotted).accounts.available;
    if available > 0 {
        let cause = Cause { order, note: None };
        transfer(draft, (allotted, general), Reason::Leftover, available, cause);
    }
}
