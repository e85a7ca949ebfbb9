//! View: how rules read rows.
//!
//! Two implementations stand behind it: storage's, and [`crate::memory::Memory`] for tests and
//! simulation. Reads cannot fail here: storage keeps the read error, drops the transaction and
//! stops the node, because one node's disk must never become a replicated outcome.

use crate::id::{OrderId, ProductId, SaleId, UserId};
use crate::order::Order;
use crate::product::Product;
use crate::receipt::{Receipt, Scope};
use crate::sale::Sale;
use crate::settings::Settings;
use crate::stock::{Pool, PoolId, Usage};
use crate::value::{Millis, Revision};

/// A row that wants to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DueRow {
    /// A product.
    Product(ProductId),
    /// A sale.
    Sale(SaleId),
    /// An order.
    Order(OrderId),
}

/// Typed reads of the rows as the last applied log entry left them.
///
/// Lists come in a fixed order and stop at `limit`, so the work of a decision is bounded.
pub trait View {
    /// The settings; the defaults while nobody changed them.
    fn settings(&self) -> Settings;
    /// One product.
    fn product(&self, id: ProductId) -> Option<Product>;
    /// One sale.
    fn sale(&self, id: SaleId) -> Option<Sale>;
    /// One pool.
    fn pool(&self, id: PoolId) -> Option<Pool>;
    /// One order.
    fn order(&self, id: OrderId) -> Option<Order>;
    /// What a customer has of a sale.
    fn usage(&self, sale: SaleId, customer: UserId) -> Option<Usage>;
    /// The receipt of a scope, expired or not.
    fn receipt(&self, scope: Scope) -> Option<Receipt>;
    /// Rows with `due_at <= now`, by (`due_at`, row), with their `due_at`.
    fn due(&self, now: Millis, limit: usize) -> Vec<(Millis, DueRow)>;
    /// The earliest `due_at` of all rows.
    fn next_due(&self) -> Option<Millis>;
    /// `payment_pending` orders on `pool` with `pay_by <= now`, by (`pay_by`, id).
    fn overdue(&self, pool: PoolId, now: Millis, limit: usize) -> Vec<OrderId>;
    /// How many `payment_pending` orders a customer has, counted up to `limit`.
    fn pending_orders(&self, customer: UserId, limit: usize) -> usize;
    /// Revisions whose receipts have `expires_at <= now`, from the oldest receipt on, stopping
    /// at the first that has not expired.
    fn expired_receipts(&self, now: Millis, limit: usize) -> Vec<Revision>;
    /// Revisions of event rows stamped at or before `until`, oldest first.
    fn events_until(&self, until: Millis, limit: usize) -> Vec<Revision>;
}
