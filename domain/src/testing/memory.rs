//! Memory: all rows in ordered maps, for tests, simulation and benchmarks.
//!
//! It behaves as storage does: changes of one decision are applied together, indexes are derived
//! from the rows, and log time never goes back. It is also what a snapshot holds: two memories
//! are equal exactly when all their rows are.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use crate::change::Change;
use crate::command::Command;
use crate::decide::{Decision, decide};
use crate::event::Events;
use crate::id::{OrderId, ProductId, SaleId, UserId};
use crate::invariant::Rows;
use crate::order::{Order, Status};
use crate::product::Product;
use crate::receipt::{Receipt, Scope};
use crate::sale::Sale;
use crate::settings::Settings;
use crate::stock::{LedgerKey, LedgerRow, Pool, PoolId, Usage};
use crate::value::{Millis, Revision, Stamp};
use crate::view::{DueRow, View};

/// All rows of the state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    last: Stamp,
    settings: Settings,
    products: BTreeMap<ProductId, Product>,
    sales: BTreeMap<SaleId, Sale>,
    pools: BTreeMap<PoolId, Pool>,
    orders: BTreeMap<OrderId, Order>,
    usages: BTreeMap<(SaleId, UserId), Usage>,
    ledger: BTreeMap<LedgerKey, LedgerRow>,
    receipts: BTreeMap<Revision, Receipt>,
    events: BTreeMap<Revision, Events>,
    // Indexes, derived from the rows above.
    due: BTreeSet<(Millis, DueRow)>,
    unpaid_by_pool: BTreeSet<(PoolId, Millis, OrderId)>,
    unpaid_by_customer: BTreeSet<(UserId, OrderId)>,
    receipts_by_scope: BTreeMap<Scope, Revision>,
}

impl Memory {
    /// A state without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the command the next place in the log, decides it, and applies the decision. Log
    /// time is clamped as storage clamps it: it never goes back.
    pub fn step(&mut self, command: &Command, now: Millis) -> Decision {
        let revision = Revision::new(self.last.revision.get().saturating_add(1));
        let stamp = Stamp { revision, now: self.last.now.log_time(now) };
        let decision = decide(self, command, stamp);
        self.apply(stamp, &decision.changes);
        decision
    }

    /// Applies the changes of the log entry with this stamp.
    pub fn apply(&mut self, stamp: Stamp, changes: &[Change]) {
        self.last = stamp;
        for change in changes {
            self.apply_one(change);
        }
    }

    fn apply_one(&mut self, change: &Change) {
        match change {
            Change::PutProduct(row) => self.put_product(row.clone()),
            Change::PutSale(row) => self.put_sale(row.clone()),
            Change::PutPool(row) => self.put_pool(*row),
            Change::PutOrder { order, fresh } => {
                assert!(
                    *fresh != self.orders.contains_key(&order.id),
                    "`fresh` of {} is wrong",
                    order.id
                );
                self.put_order(order.clone());
            }
            Change::PutUsage(row) => self.put_usage(*row),
            Change::AppendLedger(row) => {
                let old = self.ledger.insert(row.key, row.clone());
                assert!(old.is_none(), "ledger key {:?} is not new", row.key);
            }
            Change::AppendEvents(events) => {
                let old = self.events.insert(events.stamp.revision, events.clone());
                assert!(old.is_none(), "events of {} are not new", events.stamp.revision);
            }
            Change::PutReceipt(receipt) => {
                let revision = receipt.stamp.revision;
                let old = self.receipts_by_scope.insert(receipt.key.scope, revision);
                if let Some(old) = old {
                    self.receipts.remove(&old);
                }
                self.receipts.insert(revision, receipt.clone());
            }
            Change::DeleteReceipt(revision) => {
                if let Some(receipt) = self.receipts.remove(revision) {
                    self.receipts_by_scope.remove(&receipt.key.scope);
                }
            }
            Change::DeleteEvents(revision) => drop(self.events.remove(revision)),
            Change::PutSettings(settings) => self.settings = *settings,
        }
    }

    /// Writes a product as it stands, without rules: to set up or to break a state.
    pub fn put_product(&mut self, row: Product) {
        let key = DueRow::Product(row.id);
        let old = self.products.get(&row.id).and_then(|old| old.due_at);
        self.move_timer(key, old, row.due_at);
        self.products.insert(row.id, row);
    }

    /// Writes a sale as it stands, without rules.
    pub fn put_sale(&mut self, row: Sale) {
        let key = DueRow::Sale(row.id);
        let old = self.sales.get(&row.id).and_then(|old| old.due_at);
        self.move_timer(key, old, row.due_at);
        self.sales.insert(row.id, row);
    }

    /// Writes an order as it stands, without rules.
    pub fn put_order(&mut self, row: Order) {
        let id = row.id;
        let old = self.orders.get(&id);
        let (old_due, old_holds) = (old.and_then(|old| old.due_at), old.map(holds));
        for (pool, pay_by, customer) in old_holds.unwrap_or_default() {
            self.unpaid_by_pool.remove(&(pool, pay_by, id));
            self.unpaid_by_customer.remove(&(customer, id));
        }
        for (pool, pay_by, customer) in holds(&row) {
            self.unpaid_by_pool.insert((pool, pay_by, id));
            self.unpaid_by_customer.insert((customer, id));
        }
        self.move_timer(DueRow::Order(id), old_due, row.due_at);
        self.orders.insert(id, row);
    }

    /// Writes a pool as it stands, without rules.
    pub fn put_pool(&mut self, row: Pool) {
        self.pools.insert(row.id, row);
    }

    /// Writes a usage as it stands, without rules.
    pub fn put_usage(&mut self, row: Usage) {
        self.usages.insert((row.sale, row.customer), row);
    }

    /// Writes a ledger row as it stands, without rules.
    pub fn put_ledger_row(&mut self, row: LedgerRow) {
        self.ledger.insert(row.key, row);
    }

    fn move_timer(&mut self, row: DueRow, old: Option<Millis>, new: Option<Millis>) {
        if let Some(at) = old {
            self.due.remove(&(at, row));
        }
        if let Some(at) = new {
            self.due.insert((at, row));
        }
    }

    /// The stamp of the last applied log entry.
    pub const fn last(&self) -> Stamp {
        self.last
    }

    /// All products.
    pub fn products(&self) -> impl Iterator<Item = &Product> {
        self.products.values()
    }

    /// All sales.
    pub fn sales(&self) -> impl Iterator<Item = &Sale> {
        self.sales.values()
    }

    /// All pools.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.values()
    }

    /// All orders.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values()
    }

    /// All usages.
    pub fn usages(&self) -> impl Iterator<Item = &Usage> {
        self.usages.values()
    }

    /// All ledger rows, by pool, then by place in the log.
    pub fn ledger(&self) -> impl Iterator<Item = &LedgerRow> {
        self.ledger.values()
    }

    /// All receipts, oldest first.
    pub fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.receipts.values()
    }

    /// All events, by log entry.
    pub fn events(&self) -> impl Iterator<Item = &Events> {
        self.events.values()
    }
}

/// Where an order holds units, until when, and for whom: nowhere once it is not unpaid.
fn holds(order: &Order) -> Vec<(PoolId, Millis, UserId)> {
    match (order.status, order.pay_by) {
        (Status::PaymentPending, Some(pay_by)) => {
            order.lines.iter().map(|line| (line.pool, pay_by, order.customer)).collect()
        }
        _ => Vec::new(),
    }
}

impl View for Memory {
    fn settings(&self) -> Settings {
        self.settings
    }

    fn product(&self, id: ProductId) -> Option<Product> {
        self.products.get(&id).cloned()
    }

    fn sale(&self, id: SaleId) -> Option<Sale> {
        self.sales.get(&id).cloned()
    }

    fn pool(&self, id: PoolId) -> Option<Pool> {
        self.pools.get(&id).copied()
    }

    fn order(&self, id: OrderId) -> Option<Order> {
        self.orders.get(&id).cloned()
    }

    fn usage(&self, sale: SaleId, customer: UserId) -> Option<Usage> {
        self.usages.get(&(sale, customer)).copied()
    }

    fn receipt(&self, scope: Scope) -> Option<Receipt> {
        self.receipts.get(self.receipts_by_scope.get(&scope)?).cloned()
    }

    fn due(&self, now: Millis, limit: usize) -> Vec<(Millis, DueRow)> {
        self.due.iter().take_while(|(at, _)| *at <= now).take(limit).copied().collect()
    }

    fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|(at, _)| *at)
    }

    fn overdue(&self, pool: PoolId, now: Millis, limit: usize) -> Vec<OrderId> {
        let first = (pool, Millis::new(i64::MIN), OrderId::new(0));
        let last = (pool, now, OrderId::new(u128::MAX));
        self.unpaid_by_pool.range(first..=last).take(limit).map(|(_, _, id)| *id).collect()
    }

    fn pending_orders(&self, customer: UserId, limit: usize) -> usize {
        let (first, last) = (OrderId::new(0), OrderId::new(u128::MAX));
        self.unpaid_by_customer.range((customer, first)..=(customer, last)).take(limit).count()
    }

    fn expired_receipts(&self, now: Millis, limit: usize) -> Vec<Revision> {
        let receipts = self.receipts.iter().take_while(|(_, receipt)| receipt.expires_at <= now);
        receipts.take(limit).map(|(revision, _)| *revision).collect()
    }

    fn events_until(&self, until: Millis, limit: usize) -> Vec<Revision> {
        let events = self.events.iter().take_while(|(_, events)| events.stamp.now <= until);
        events.take(limit).map(|(revision, _)| *revision).collect()
    }
}

impl Rows for Memory {
    type Error = Infallible;

    fn each_pool(&self, visit: &mut dyn FnMut(&Pool)) -> Result<(), Infallible> {
        self.pools().for_each(visit);
        Ok(())
    }

    fn each_sale(&self, visit: &mut dyn FnMut(&Sale)) -> Result<(), Infallible> {
        self.sales().for_each(visit);
        Ok(())
    }

    fn each_ledger_row(&self, visit: &mut dyn FnMut(&LedgerRow)) -> Result<(), Infallible> {
        self.ledger().for_each(visit);
        Ok(())
    }

    fn each_order(&self, visit: &mut dyn FnMut(&Order)) -> Result<(), Infallible> {
        self.orders().for_each(visit);
        Ok(())
    }

    fn each_usage(&self, visit: &mut dyn FnMut(&Usage)) -> Result<(), Infallible> {
        self.usages().for_each(visit);
        Ok(())
    }
}
