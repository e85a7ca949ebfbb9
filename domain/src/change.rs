//! Changes: typed row writes. Storage applies a decision's changes in one transaction and
//! derives every index from the old and the new row, so the domain cannot forget one.

use crate::event::Events;
use crate::order::Order;
use crate::product::Product;
use crate::receipt::Receipt;
use crate::sale::Sale;
use crate::settings::Settings;
use crate::stock::{LedgerRow, Pool, Usage};
use crate::value::Revision;

/// One row write. A put replaces the row with the same key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Writes a product.
    PutProduct(Product),
    /// Writes a sale.
    PutSale(Sale),
    /// Writes a pool.
    PutPool(Pool),
    /// Writes an order. `fresh` promises that no order had this id.
    PutOrder {
        /// The row.
        order: Order,
        /// Whether it is new.
        fresh: bool,
    },
    /// Writes a usage.
    PutUsage(Usage),
    /// Adds a ledger row; its key is new.
    AppendLedger(LedgerRow),
    /// Adds the events of this log entry; at most one such change in a decision.
    AppendEvents(Events),
    /// Stores a receipt; replaces an expired one of the same scope.
    PutReceipt(Receipt),
    /// Forgets the receipt that the log entry at this revision stored.
    DeleteReceipt(Revision),
    /// Forgets the events of the log entry at this revision.
    DeleteEvents(Revision),
    /// Writes the settings.
    PutSettings(Settings),
}
