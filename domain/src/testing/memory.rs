//! Memory: all rows in ordered maps, for tests and benchmarks.
//!
//! It behaves as storage does: changes of one decision are applied together, indexes follow from
//! the rows, and log time never goes back. Two memories are equal exactly when all their rows are.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use crate::change::Change;
use crate::command::Command;
use crate::decide::decide;
use crate::event::Fact;
use crate::id::{OrderId, ProductId, SaleId, UserId};
use crate::invariant::Rows;
use crate::journal::receipt::OutcomeBytes;
use crate::journal::{Journal, LedgerRow};
use crate::kernel::key::Key;
use crate::kernel::row::{Index, TableId};
use crate::order::Order;
use crate::outcome::Outcome;
use crate::product::Product;
use crate::registry::{AnyRow, Declared};
use crate::sale::Sale;
use crate::settings::Settings;
use crate::stock::{Pool, PoolId, Usage};
use crate::value::{Millis, Revision, Stamp};
use crate::view::View;

/// All rows of the state.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Memory {
    last: Stamp,
    rows: BTreeMap<(TableId, Key), AnyRow>,
    indexes: BTreeSet<(TableId, Key)>,
}

/// What one command did, with its outcome decoded.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// The answer.
    pub outcome: Outcome,
    /// The stamp of the log entry that decided it; an earlier one for a replay.
    pub decided: Stamp,
    /// Whether the outcome comes from a receipt.
    pub replayed: bool,
    /// Row writes.
    pub changes: Vec<Change>,
}

impl Step {
    /// What happened, in order.
    pub fn facts(&self) -> Vec<Fact> {
        let rows = self.changes.iter().filter(|change| change.before.is_none());
        let rows = rows.filter_map(|change| Journal::from_any(change.after.as_ref()?));
        rows.flat_map(|row| row.facts.clone()).collect()
    }
}

/// Stands in for storage's codec.
fn encode(outcome: &Outcome) -> Vec<u8> {
    serde_json::to_vec(outcome).expect("outcomes are plain values")
}

/// Reads an outcome that a memory stored.
pub fn decode(bytes: &OutcomeBytes) -> Outcome {
    serde_json::from_slice(&bytes.0).expect("a memory stores what it encoded")
}

impl Memory {
    /// A state without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the command the next place in the log, decides it, and applies the decision. Log
    /// time is clamped as storage clamps it: it never goes back.
    pub fn step(&mut self, command: &Command, now: Millis) -> Step {
        let revision = Revision::new(self.last.revision.get().saturating_add(1));
        let stamp = Stamp { revision, now: self.last.now.log_time(now) };
        let recorded = decide(self, command, stamp).record(encode);
        self.apply(stamp, &recorded.changes);
        let outcome = decode(&recorded.outcome);
        let (decided, replayed) = (recorded.decided, recorded.replayed);
        Step { outcome, decided, replayed, changes: recorded.changes }
    }

    /// Applies the changes of the log entry with this stamp.
    pub fn apply(&mut self, stamp: Stamp, changes: &[Change]) {
        self.last = stamp;
        for Change { table, key, before, after } in changes {
            let place = (*table, *key);
            assert_eq!(self.rows.get(&place), before.as_ref(), "`before` of {place:?} is wrong");
            self.set(place, after.as_ref());
        }
    }

    fn set(&mut self, place: (TableId, Key), row: Option<&AnyRow>) {
        let old = match row {
            Some(row) => self.rows.insert(place, row.clone()),
            None => self.rows.remove(&place),
        };
        for index in old.iter().flat_map(AnyRow::index_rows) {
            self.indexes.remove(&(index.table, index.key));
        }
        for index in row.into_iter().flat_map(AnyRow::index_rows) {
            self.indexes.insert((index.table, index.key));
        }
    }

    /// Writes a row as it stands, without rules: to set up or to break a state.
    pub fn put<R: Declared>(&mut self, row: R) {
        let place = (R::TABLE, Key::of(&row.key()));
        self.set(place, Some(&R::into_any(Arc::new(row))));
    }

    /// The stamp of the last applied log entry.
    pub const fn last(&self) -> Stamp {
        self.last
    }

    /// All rows of a kind, in key order.
    pub fn all<R: Declared>(&self) -> impl Iterator<Item = &R> {
        let rows = self.rows.range((R::TABLE, Key::EMPTY)..);
        let rows = rows.take_while(|((table, _), _)| *table == R::TABLE);
        rows.filter_map(|(_, row)| R::from_any(row)).map(|row| &**row)
    }

    /// All index rows, in the order of indexes and keys.
    pub fn index_rows(&self) -> impl Iterator<Item = (TableId, Key)> + '_ {
        self.indexes.iter().copied()
    }

    /// All products.
    pub fn products(&self) -> impl Iterator<Item = &Product> {
        self.all::<Product>()
    }

    /// All sales.
    pub fn sales(&self) -> impl Iterator<Item = &Sale> {
        self.all::<Sale>()
    }

    /// All pools.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.all::<Pool>()
    }

    /// All orders.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.all::<Order>()
    }

    /// All usages.
    pub fn usages(&self) -> impl Iterator<Item = &Usage> {
        self.all::<Usage>()
    }

    /// All entries of the journal, oldest first.
    pub fn journal(&self) -> impl Iterator<Item = &Journal> {
        self.all::<Journal>()
    }

    /// All ledger rows, oldest first.
    pub fn ledger(&self) -> impl Iterator<Item = LedgerRow> {
        self.journal().flat_map(Journal::ledger)
    }

    /// The settings.
    pub fn settings(&self) -> Settings {
        View::settings(self)
    }
}

/// Shorthands for tests.
pub trait Look: View {
    /// One product.
    fn product(&self, id: ProductId) -> Option<Arc<Product>> {
        self.get(id)
    }
    /// One sale.
    fn sale(&self, id: SaleId) -> Option<Arc<Sale>> {
        self.get(id)
    }
    /// One pool.
    fn pool(&self, id: PoolId) -> Option<Arc<Pool>> {
        self.get(id)
    }
    /// One order.
    fn order(&self, id: OrderId) -> Option<Arc<Order>> {
        self.get(id)
    }
    /// What a customer has of a sale.
    fn usage(&self, sale: SaleId, customer: UserId) -> Option<Arc<Usage>> {
        self.get((sale, customer))
    }
}

impl<V: View> Look for V {}

impl View for Memory {
    fn get<R: Declared>(&self, key: R::Key) -> Option<Arc<R>> {
        self.rows.get(&(R::TABLE, Key::of(&key))).and_then(R::from_any).cloned()
    }

    fn scan<I: Index>(&self, first: I::Key, last: I::Key, limit: usize) -> Vec<I::Key> {
        let (first, last) = (Key::of(&first), Key::of(&last));
        let keys = self.indexes.range((I::TABLE, first)..=(I::TABLE, last)).take(limit);
        keys.map(|(_, key)| key.decode::<I::Key>().expect("indexes hold keys")).collect()
    }

    fn rows<R: Declared>(&self, first: R::Key, limit: usize) -> Vec<Arc<R>> {
        let rows = self.rows.range((R::TABLE, Key::of(&first))..);
        let rows = rows.take_while(|((table, _), _)| *table == R::TABLE).take(limit);
        rows.filter_map(|(_, row)| R::from_any(row)).cloned().collect()
    }
}

impl Rows for Memory {
    type Error = Infallible;

    fn each<R: Declared>(&self, visit: &mut dyn FnMut(&R)) -> Result<(), Infallible> {
        self.all::<R>().for_each(visit);
        Ok(())
    }
}
