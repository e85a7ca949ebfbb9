//! The typed view of rules, over the three levels, and the small things kept decoded for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Bound;

use firstcome_domain::View;
use firstcome_domain::event::Events;
use firstcome_domain::id::{OrderId, ProductId, SaleId, UserId};
use firstcome_domain::order::{Order, Status};
use firstcome_domain::product::Product;
use firstcome_domain::receipt::{Receipt, Scope};
use firstcome_domain::sale::Sale;
use firstcome_domain::settings::Settings;
use firstcome_domain::stock::{Pool, PoolId, Usage};
use firstcome_domain::value::{Millis, Revision};
use firstcome_domain::view::DueRow;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::key::Key;
use crate::query::ReadView;
use crate::rows::{Core, IndexRow};
use crate::scan::{Direction, prefix_end};
use crate::table::Table;

/// Decoded rows kept per kind; a sale reads the same few all the time.
const ROWS_MAX: usize = 4096;

/// The rows that nearly every decision reads, decoded, and where queues begin.
///
/// Apply updates it with each write under its exclusive lock; readers fill it under the shared
/// one, while nothing can change.
#[derive(Default)]
pub(crate) struct Hot(RwLock<HotRows>);

#[derive(Default)]
struct HotRows {
    settings: Option<Settings>,
    products: BTreeMap<ProductId, Product>,
    sales: BTreeMap<SaleId, Sale>,
    pools: BTreeMap<PoolId, Pool>,
    fronts: BTreeMap<IndexRow, Front>,
}

/// Where a queue (a table, or a prefix of it) begins. Rows leave queues at the front, and until
/// the next checkpoint each leaves a marker that a scan from the beginning would step over.
#[derive(Clone, Copy, Debug)]
struct Front {
    /// Nothing lives before this key.
    from: Key,
    /// What is known about the first row.
    first: First,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum First {
    /// It is `from`.
    Exact,
    /// There is none.
    None,
    /// It is `from` or later.
    Unknown,
}

/// The part of a queue's keys that names the queue.
fn queue_of(table: Table, key: &Key) -> Option<IndexRow> {
    match table {
        Table::Due | Table::Receipts | Table::Events => Some((table, Key::new())),
        // Pool: one byte of kind, sixteen of id.
        Table::HoldsDue => Some((table, Key::from_slice(key.as_slice().get(..17)?)?)),
        _ => None,
    }
}

fn keep<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, row: V) {
    if rows.len() >= ROWS_MAX {
        rows.clear();
    }
    rows.insert(key, row);
}

impl Hot {
    pub(crate) fn put_settings(&mut self, row: Settings) {
        self.0.get_mut().settings = Some(row);
    }

    pub(crate) fn put_product(&mut self, row: Product) {
        keep(&mut self.0.get_mut().products, row.id, row);
    }

    pub(crate) fn put_sale(&mut self, row: Sale) {
        keep(&mut self.0.get_mut().sales, row.id, row);
    }

    pub(crate) fn put_pool(&mut self, row: Pool) {
        keep(&mut self.0.get_mut().pools, row.id, row);
    }

    /// A row was written.
    pub(crate) fn inserted(&mut self, table: Table, key: &Key) {
        let Some(queue) = queue_of(table, key) else { return };
        if let Some(front) = self.0.get_mut().fronts.get_mut(&queue)
            && (front.first == First::None || *key < front.from)
        {
            *front = Front { from: *key, first: First::Exact };
        }
    }

    /// A row was removed.
    pub(crate) fn removed(&mut self, table: Table, key: &Key) {
        let Some(queue) = queue_of(table, key) else { return };
        if let Some(front) = self.0.get_mut().fronts.get_mut(&queue)
            && front.from == *key
        {
            front.first = First::Unknown;
        }
    }
}

impl<'a> ReadView<'a> {
    pub(crate) fn new(core: &'a Core) -> Self {
        Self { core, error: Cell::new(None), absent: RefCell::new(Vec::new()) }
    }

    /// The error that a read ran into, and the keys that were looked for in vain.
    pub(crate) fn finish(self) -> (Option<Error>, Vec<IndexRow>) {
        (self.error.into_inner(), self.absent.into_inner())
    }

    /// Reads cannot fail here: the first error is kept, and whoever opened the view drops
    /// everything that was concluded from it.
    pub(crate) fn ok<T>(&self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let first = self.error.take().unwrap_or(error);
                self.error.set(Some(first));
                None
            }
        }
    }

    pub(crate) fn row<T: DeserializeOwned>(&self, table: Table, key: &Key) -> Option<T> {
        self.ok(self.core.row(table, key)).flatten()
    }

    /// A row that apply may write next: remembers that it was not there.
    fn row_or_absent<T: DeserializeOwned>(&self, table: Table, key: Key) -> Option<T> {
        let row = self.ok(self.core.row(table, &key))?;
        if row.is_none() {
            self.absent.borrow_mut().push((table, key));
        }
        row
    }

    /// Hands rows to `f` in key order, either way, until it says stop.
    pub(crate) fn walk(
        &self,
        table: Table,
        low: Bound<Key>,
        high: Bound<Key>,
        direction: Direction,
        mut f: impl FnMut(&Key, &[u8]) -> Result<bool, Error>,
    ) {
        let mut walk = || -> Result<(), Error> {
            let mut scan = self.core.levels().scan(table, low, high, direction)?;
            while let Some((key, found)) = scan.next_row()? {
                if !f(&key, found.bytes())? {
                    break;
                }
            }
            Ok(())
        };
        self.ok(walk());
    }

    /// Walks a queue from its first live row on, up to `end`.
    fn walk_queue(
        &self,
        table: Table,
        prefix: Key,
        mut f: impl FnMut(&Key, &[u8]) -> Result<bool, Error>,
    ) {
        let queue = (table, prefix);
        let known = self.core.hot.0.read().fronts.get(&queue).copied();
        if known.is_some_and(|front| front.first == First::None) {
            return;
        }
        let from = known.map_or(prefix, |front| front.from);
        let mut first = None;
        self.walk(table, Bound::Included(from), prefix_end(prefix), Direction::Up, |key, value| {
            first.get_or_insert(*key);
            f(key, value)
        });
        if known.is_none_or(|front| front.first == First::Unknown) {
            let front = match first {
                Some(key) => Front { from: key, first: First::Exact },
                None => Front { from, first: First::None },
            };
            keep(&mut self.core.hot.0.write().fronts, queue, front);
        }
    }

    /// The first key of a queue, mostly without touching the rows.
    pub(crate) fn front(&self, table: Table, prefix: Key) -> Option<Key> {
        let known = self.core.hot.0.read().fronts.get(&(table, prefix)).copied();
        match known {
            Some(Front { from, first: First::Exact }) => return Some(from),
            Some(Front { first: First::None, .. }) => return None,
            Some(Front { first: First::Unknown, .. }) | None => {}
        }
        let mut first = None;
        self.walk_queue(table, prefix, |key, _| {
            first = Some(*key);
            Ok(false)
        });
        first
    }

    pub(crate) fn damaged(&self, table: Table, what: &str) -> Error {
        Error::corrupt(self.core.base.path(), format!("{}: {what}", table.name()))
    }
}

impl View for ReadView<'_> {
    fn settings(&self) -> Settings {
        if let Some(row) = self.core.hot.0.read().settings {
            return row;
        }
        let row: Settings = self.row(Table::Settings, &Key::new()).unwrap_or_default();
        self.core.hot.0.write().settings = Some(row);
        row
    }

    fn product(&self, id: ProductId) -> Option<Product> {
        if let Some(row) = self.core.hot.0.read().products.get(&id) {
            return Some(row.clone());
        }
        let row: Product = self.row(Table::Products, &Key::new().product(id))?;
        keep(&mut self.core.hot.0.write().products, id, row.clone());
        Some(row)
    }

    fn sale(&self, id: SaleId) -> Option<Sale> {
        if let Some(row) = self.core.hot.0.read().sales.get(&id) {
            return Some(row.clone());
        }
        let row: Sale = self.row(Table::Sales, &Key::new().sale(id))?;
        keep(&mut self.core.hot.0.write().sales, id, row.clone());
        Some(row)
    }

    fn pool(&self, id: PoolId) -> Option<Pool> {
        if let Some(row) = self.core.hot.0.read().pools.get(&id) {
            return Some(*row);
        }
        let row: Pool = self.row(Table::Pools, &Key::new().pool(id))?;
        keep(&mut self.core.hot.0.write().pools, id, row);
        Some(row)
    }

    fn order(&self, id: OrderId) -> Option<Order> {
        self.row(Table::Orders, &Key::new().order(id))
    }

    fn usage(&self, sale: SaleId, customer: UserId) -> Option<Usage> {
        self.row_or_absent(Table::Usage, Key::new().sale(sale).user(customer))
    }

    fn receipt(&self, scope: Scope) -> Option<Receipt> {
        let key = Key::new().scope(scope);
        let Some(revision) = self.ok(self.core.receipt_of(&key))? else {
            self.absent.borrow_mut().push((Table::ReceiptScopes, key));
            return None;
        };
        self.row(Table::Receipts, &Key::new().revision(revision))
    }

    fn due(&self, now: Millis, limit: usize) -> Vec<(Millis, DueRow)> {
        let mut rows = Vec::new();
        if self.next_due().is_none_or(|due| due > now) || limit == 0 {
            return rows;
        }
        self.walk_queue(Table::Due, Key::new(), |key, _| {
            let row = key.due_row().ok_or_else(|| self.damaged(Table::Due, "unknown key"))?;
            if row.0 > now {
                return Ok(false);
            }
            rows.push(row);
            Ok(rows.len() < limit)
        });
        rows
    }

    fn next_due(&self) -> Option<Millis> {
        self.front(Table::Due, Key::new())?.millis_at(0)
    }

    fn overdue(&self, pool: PoolId, now: Millis, limit: usize) -> Vec<OrderId> {
        let prefix = Key::new().pool(pool);
        let start = prefix.as_slice().len();
        let mut orders = Vec::new();
        let first = self.front(Table::HoldsDue, prefix).and_then(|key| key.millis_at(start));
        if first.is_none_or(|pay_by| pay_by > now) || limit == 0 {
            return orders;
        }
        self.walk_queue(Table::HoldsDue, prefix, |key, _| {
            let damaged = || self.damaged(Table::HoldsDue, "unknown key");
            if key.millis_at(start).ok_or_else(damaged)? > now {
                return Ok(false);
            }
            orders.push(OrderId::new(key.id_at(start + 8).ok_or_else(damaged)?));
            Ok(orders.len() < limit)
        });
        orders
    }

    fn pending_orders(&self, customer: UserId, limit: usize) -> usize {
        let prefix = Key::new().user(customer).status(Status::PaymentPending);
        let mut count = 0;
        if limit > 0 {
            let (low, high) = (Bound::Included(prefix), prefix_end(prefix));
            self.walk(Table::OrdersByCustomer, low, high, Direction::Up, |_, _| {
                count += 1;
                Ok(count < limit)
            });
        }
        count
    }

    fn expired_receipts(&self, now: Millis, limit: usize) -> Vec<Revision> {
        let mut revisions = Vec::new();
        if limit == 0 {
            return revisions;
        }
        self.walk_queue(Table::Receipts, Key::new(), |_, value| {
            let row: Receipt = crate::codec::decode(value)
                .map_err(|error| self.damaged(Table::Receipts, &error.to_string()))?;
            if row.expires_at > now {
                return Ok(false);
            }
            revisions.push(row.stamp.revision);
            Ok(revisions.len() < limit)
        });
        revisions
    }

    fn events_until(&self, until: Millis, limit: usize) -> Vec<Revision> {
        let mut revisions = Vec::new();
        if limit == 0 {
            return revisions;
        }
        self.walk_queue(Table::Events, Key::new(), |_, value| {
            let row: Events = crate::codec::decode(value)
                .map_err(|error| self.damaged(Table::Events, &error.to_string()))?;
            if row.stamp.now > until {
                return Ok(false);
            }
            revisions.push(row.stamp.revision);
            Ok(revisions.len() < limit)
        });
        revisions
    }
}
