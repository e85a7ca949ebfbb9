//! Draft: one decision being made, as a view over the rows before it and its own writes so far.
//!
//! A row is read from the base view at most once, because each read may cost a disk lookup, and
//! is written at most once in the final change list, however often rules touched it; its version
//! goes up by one. [`Draft::finish`] derives what follows from the writes (one `stock.changed`
//! per touched pool, sold out and available again) and checks S1, S2 and S9 for touched rows. A
//! false invariant there is a bug in a rule: it panics, and the node stops before it spreads.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use firstcome_fault::{Bug, armed};

use crate::change::Change;
use crate::command::Actor;
use crate::event::{Events, Fact, SaleFact};
use crate::id::{OrderId, ProductId, SaleId, UserId};
use crate::order::{Order, Status};
use crate::product::Product;
use crate::receipt::{Receipt, Scope};
use crate::sale::{Phase, Sale};
use crate::settings::Settings;
use crate::stock::{Accounts, LedgerKey, LedgerRow, Movement, Pool, PoolId, Usage};
use crate::value::{Millis, Revision, RowStamp, Stamp};
use crate::view::{DueRow, View};

/// A row that carries its version and stamps.
pub(crate) trait Row: Clone {
    /// Where they are.
    fn row_mut(&mut self) -> &mut RowStamp;
    /// What they are.
    fn row(&self) -> RowStamp;
}

macro_rules! rows {
    ($($name:ty),*) => {$(
        impl Row for $name {
            fn row_mut(&mut self) -> &mut RowStamp {
                &mut self.row
            }
            fn row(&self) -> RowStamp {
                self.row
            }
        }
    )*};
}

rows!(Product, Sale, Pool, Order, Usage, Settings);

/// One row in the draft: as it was, as it is now.
struct Slot<T> {
    before: Option<Rc<T>>,
    now: Option<Rc<T>>,
    written: bool,
}

/// All rows of one kind that the decision has seen.
struct Slots<K, T> {
    slots: BTreeMap<K, Slot<T>>,
    written: usize,
}

impl<K: Ord + Copy, T: Row> Slots<K, T> {
    const fn new() -> Self {
        Self { slots: BTreeMap::new(), written: 0 }
    }

    /// The row as it is now; `load` runs at most once per key.
    fn read(&mut self, key: K, load: impl FnOnce() -> Option<T>) -> Option<Rc<T>> {
        let slot = self.slots.entry(key).or_insert_with(|| {
            let before = load().map(Rc::new);
            Slot { now: before.clone(), before, written: false }
        });
        slot.now.clone()
    }

    /// Writes a row that was read before, or whose key is known to be new.
    fn write(&mut self, key: K, mut row: T, stamp: Stamp) -> Rc<T> {
        let slot =
            self.slots.entry(key).or_insert(Slot { before: None, now: None, written: false });
        *row.row_mut() = match &slot.before {
            None => RowStamp::first(stamp),
            Some(before) => before.row().next(stamp),
        };
        if !slot.written {
            slot.written = true;
            self.written = self.written.saturating_add(1);
        }
        let row = Rc::new(row);
        slot.now = Some(Rc::clone(&row));
        row
    }

    fn written(&self) -> impl Iterator<Item = (K, Option<&T>, &T)> {
        self.slots.iter().filter(|(_, slot)| slot.written).filter_map(|(key, slot)| {
            slot.now.as_deref().map(|now| (*key, slot.before.as_deref(), now))
        })
    }

    fn into_written(self) -> impl Iterator<Item = (bool, T)> {
        self.slots.into_values().filter(|slot| slot.written).filter_map(|slot| {
            let fresh = slot.before.is_none();
            slot.now.map(|now| (fresh, Rc::unwrap_or_clone(now)))
        })
    }
}

/// The decision in the making.
pub(crate) struct Draft<'a, V: View> {
    base: &'a V,
    stamp: Stamp,
    acting: Actor,
    events_actor: Actor,
    settings: Option<Settings>,
    settings_written: bool,
    products: Slots<ProductId, Product>,
    sales: Slots<SaleId, Sale>,
    pools: Slots<PoolId, Pool>,
    orders: Slots<OrderId, Order>,
    usages: Slots<(SaleId, UserId), Usage>,
    ledger: Vec<LedgerRow>,
    facts: Vec<Fact>,
    dropped: Vec<Change>,
    base_next_due: OnceCell<Option<Millis>>,
}

impl<'a, V: View> Draft<'a, V> {
    /// A draft without writes. Until [`Draft::act_as`], the node itself acts.
    pub(crate) const fn new(base: &'a V, stamp: Stamp) -> Self {
        Self {
            base,
            stamp,
            acting: Actor::Node,
            events_actor: Actor::Node,
            settings: None,
            settings_written: false,
            products: Slots::new(),
            sales: Slots::new(),
            pools: Slots::new(),
            orders: Slots::new(),
            usages: Slots::new(),
            ledger: Vec::new(),
            facts: Vec::new(),
            dropped: Vec::new(),
            base_next_due: OnceCell::new(),
        }
    }

    /// From here on, ledger rows and events name this actor.
    pub(crate) fn act_as(&mut self, actor: Actor) {
        self.acting = actor;
    }

    /// The log entry that decides.
    pub(crate) const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Log time of the decision.
    pub(crate) const fn now(&self) -> Millis {
        self.stamp.now
    }

    /// How many changes the draft holds so far, to bound the work of one log entry.
    pub(crate) fn changes(&self) -> usize {
        [
            self.products.written,
            self.sales.written,
            self.pools.written,
            self.orders.written,
            self.usages.written,
            self.ledger.len(),
            self.dropped.len(),
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }

    // Reads. Each asks the base view at most once per row.

    pub(crate) fn settings(&mut self) -> Settings {
        *self.settings.get_or_insert_with(|| self.base.settings())
    }

    pub(crate) fn product(&mut self, id: ProductId) -> Option<Rc<Product>> {
        self.products.read(id, || self.base.product(id))
    }

    pub(crate) fn sale(&mut self, id: SaleId) -> Option<Rc<Sale>> {
        self.sales.read(id, || self.base.sale(id))
    }

    pub(crate) fn pool(&mut self, id: PoolId) -> Option<Rc<Pool>> {
        self.pools.read(id, || self.base.pool(id))
    }

    pub(crate) fn order(&mut self, id: OrderId) -> Option<Rc<Order>> {
        self.orders.read(id, || self.base.order(id))
    }

    pub(crate) fn usage(&mut self, sale: SaleId, customer: UserId) -> Option<Rc<Usage>> {
        self.usages.read((sale, customer), || self.base.usage(sale, customer))
    }

    /// The receipt of a scope, expired or not. Read once per decision by its one caller.
    pub(crate) fn receipt(&self, scope: Scope) -> Option<Receipt> {
        self.base.receipt(scope)
    }

    /// The product of a sale that exists.
    pub(crate) fn product_of(&mut self, sale: &Sale) -> Rc<Product> {
        self.product(sale.product).expect("a sale is created on a product, and products stay")
    }

    /// The pool of a product or sale that exists.
    pub(crate) fn pool_of(&mut self, id: PoolId) -> Rc<Pool> {
        self.pool(id).expect("a pool is created with its product or sale, and stays")
    }

    /// Rows with `due_at <= now` that this draft has not written. Rules that handle a due row
    /// move its `due_at` past `now`, so a written row is not due.
    pub(crate) fn due(&self, limit: usize) -> Vec<DueRow> {
        let wide = limit.saturating_add(self.rows_with_timers_written());
        let mut due: Vec<DueRow> = self
            .base
            .due(self.now(), wide)
            .into_iter()
            .map(|(_, row)| row)
            .filter(|row| !self.has_written(*row))
            .collect();
        due.truncate(limit);
        due
    }

    /// The earliest `due_at` after this draft's writes. Costs a list: once per Tick.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        let wide = self.rows_with_timers_written().saturating_add(1);
        let untouched = if wide == 1 {
            self.base_next_due()
        } else {
            let rows = self.base.due(Millis::MAX, wide);
            rows.into_iter().find(|(_, row)| !self.has_written(*row)).map(|(at, _)| at)
        };
        let products = self.products.written().filter_map(|(_, _, row)| row.due_at);
        let sales = self.sales.written().filter_map(|(_, _, row)| row.due_at);
        let orders = self.orders.written().filter_map(|(_, _, row)| row.due_at);
        products.chain(sales).chain(orders).chain(untouched).min()
    }

    /// The earliest `due_at` before this draft's writes.
    pub(crate) fn base_next_due(&self) -> Option<Millis> {
        *self.base_next_due.get_or_init(|| self.base.next_due())
    }

    /// Unpaid orders on `pool` whose time is over, oldest first.
    pub(crate) fn overdue(&self, pool: PoolId, limit: usize) -> Vec<OrderId> {
        let wide = limit.saturating_add(self.orders.written);
        let mut overdue = self.base.overdue(pool, self.now(), wide);
        overdue.retain(|id| !self.has_written(DueRow::Order(*id)));
        overdue.truncate(limit);
        overdue
    }

    /// How many `payment_pending` orders a customer has, counted up to `limit`.
    pub(crate) fn pending_orders(&self, customer: UserId, limit: usize) -> usize {
        let mine =
            |order: &Order| order.customer == customer && order.status == Status::PaymentPending;
        let mut ended = 0usize;
        let mut begun = 0usize;
        for (_, before, now) in self.orders.written() {
            match (before.is_some_and(mine), mine(now)) {
                (true, false) => ended = ended.saturating_add(1),
                (false, true) => begun = begun.saturating_add(1),
                (true, true) | (false, false) => {}
            }
        }
        let base = self.base.pending_orders(customer, limit.saturating_add(ended));
        base.saturating_sub(ended).saturating_add(begun).min(limit)
    }

    /// Revisions of receipts that are over.
    pub(crate) fn expired_receipts(&self, limit: usize) -> Vec<Revision> {
        self.base.expired_receipts(self.now(), limit)
    }

    /// Revisions of events stamped at or before `until`.
    pub(crate) fn events_until(&self, until: Millis, limit: usize) -> Vec<Revision> {
        self.base.events_until(until, limit)
    }

    fn rows_with_timers_written(&self) -> usize {
        [self.products.written, self.sales.written, self.orders.written]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    fn has_written(&self, row: DueRow) -> bool {
        match row {
            DueRow::Product(id) => self.products.slots.get(&id).is_some_and(|slot| slot.written),
            DueRow::Sale(id) => self.sales.slots.get(&id).is_some_and(|slot| slot.written),
            DueRow::Order(id) => self.orders.slots.get(&id).is_some_and(|slot| slot.written),
        }
    }

    // Writes. Each returns the row with its final stamp.

    pub(crate) fn put_settings(&mut self, mut settings: Settings) -> Settings {
        let before = self.settings();
        settings.row = match before.row.version {
            0 => RowStamp::first(self.stamp),
            _ => before.row.next(self.stamp),
        };
        self.settings = Some(settings);
        self.settings_written = true;
        settings
    }

    pub(crate) fn put_product(&mut self, product: Product) -> Rc<Product> {
        self.products.write(product.id, product, self.stamp)
    }

    pub(crate) fn put_sale(&mut self, sale: Sale) -> Rc<Sale> {
        self.sales.write(sale.id, sale, self.stamp)
    }

    pub(crate) fn put_pool(&mut self, pool: Pool) -> Rc<Pool> {
        self.pools.write(pool.id, pool, self.stamp)
    }

    pub(crate) fn put_order(&mut self, order: Order) -> Rc<Order> {
        self.orders.write(order.id, order, self.stamp)
    }

    pub(crate) fn put_usage(&mut self, usage: Usage) -> Rc<Usage> {
        self.usages.write((usage.sale, usage.customer), usage, self.stamp)
    }

    /// Adds a ledger row; the caller has changed the pool's accounts likewise.
    pub(crate) fn append(
        &mut self,
        pool: PoolId,
        movement: Movement,
        order: Option<OrderId>,
        peer: Option<PoolId>,
        note: Option<String>,
    ) {
        self.named();
        let offset = u32::try_from(self.ledger.len()).expect("work per log entry is bounded");
        let key = LedgerKey { pool, revision: self.stamp.revision, offset };
        let row =
            LedgerRow { key, movement, order, peer, actor: self.acting, note, stamp: self.stamp };
        self.ledger.push(row);
    }

    /// Publishes a fact.
    pub(crate) fn publish(&mut self, fact: Fact) {
        self.named();
        self.facts.push(fact);
    }

    /// Forgets an old receipt or old events.
    pub(crate) fn forget(&mut self, change: Change) {
        self.dropped.push(change);
    }

    /// Events name who asked, once the asker did anything; otherwise the node, which swept.
    fn named(&mut self) {
        if self.acting != Actor::Node {
            self.events_actor = self.acting;
        }
    }

    /// The change list: rows, ledger, events, receipt.
    pub(crate) fn finish(mut self, receipt: Option<Receipt>) -> Vec<Change> {
        self.assert_ledger_explains_accounts();
        self.assert_orders_move_forward();
        self.publish_stock();
        let room = self.changes().saturating_add(3);
        let mut changes = Vec::with_capacity(room);
        changes.extend(self.products.into_written().map(|(_, row)| Change::PutProduct(row)));
        changes.extend(self.sales.into_written().map(|(_, row)| Change::PutSale(row)));
        changes.extend(self.pools.into_written().map(|(_, row)| Change::PutPool(row)));
        changes.extend(
            self.orders.into_written().map(|(fresh, order)| Change::PutOrder { order, fresh }),
        );
        changes.extend(self.usages.into_written().map(|(_, row)| Change::PutUsage(row)));
        if let (true, Some(settings)) = (self.settings_written, self.settings) {
            changes.push(Change::PutSettings(settings));
        }
        changes.extend(self.ledger.into_iter().map(Change::AppendLedger));
        changes.append(&mut self.dropped);
        if !self.facts.is_empty() {
            let actor = self.events_actor;
            let events = Events { stamp: self.stamp, actor, facts: self.facts };
            changes.push(Change::AppendEvents(events));
        }
        changes.extend(receipt.map(Change::PutReceipt));
        changes
    }

    /// One `stock.changed` per touched pool, then what it means for its sale.
    fn publish_stock(&mut self) {
        let mut emptied_or_filled = Vec::new();
        for (id, before, now) in self.pools.written() {
            let (accounts, waiting) = (now.accounts, now.waiting);
            self.facts.push(Fact::StockChanged { pool: id, accounts, waiting });
            if let (PoolId::Sale(sale), Some(before)) = (id, before) {
                let (had, has) = (before.accounts.available, accounts.available);
                if (had == 0) != (has == 0) {
                    emptied_or_filled.push((sale, has));
                }
            }
        }
        for (id, available) in emptied_or_filled {
            let Some(sale) = self.sale(id) else { continue };
            let discontinued = self.product_of(&sale).discontinued;
            let phase = sale.phase(discontinued, available, self.now());
            let what = match phase {
                Phase::SoldOut => SaleFact::SoldOut,
                Phase::Open => SaleFact::AvailableAgain,
                Phase::Closed | Phase::Discontinued | Phase::Paused | Phase::Scheduled => continue,
            };
            self.facts.push(Fact::Sale { sale: id, what, phase });
        }
    }

    /// S1 and S2 for touched pools: the ledger rows of this decision, played on the accounts
    /// before it, give the accounts after it.
    fn assert_ledger_explains_accounts(&self) {
        let mut rebuilt: BTreeMap<PoolId, Accounts> = self
            .pools
            .written()
            .map(|(id, before, _)| (id, before.map(|pool| pool.accounts).unwrap_or_default()))
            .collect();
        for row in &self.ledger {
            let accounts = rebuilt.get_mut(&row.key.pool).expect("S2: a ledger row moves a pool");
            *accounts = accounts.after(row.movement).expect("S1: no account goes below zero");
        }
        for (id, _, now) in self.pools.written() {
            let accounts = rebuilt.get(&id).copied();
            assert!(accounts == Some(now.accounts), "S2: the ledger does not explain pool {id:?}");
        }
    }

    /// S9 for touched orders: a terminal status stays, a hold ends once, and a row has a timer
    /// only while something is to come.
    fn assert_orders_move_forward(&self) {
        for (id, before, now) in self.orders.written() {
            if let Some(before) = before {
                let stays = !before.status.is_terminal()
                    || before.status == now.status
                    || armed(Bug::LateCaptureRevivesOrder);
                assert!(stays, "S9: terminal order {id} changed status");
                let revived =
                    before.status != Status::PaymentPending && now.status == Status::PaymentPending;
                assert!(!revived, "S9: order {id} holds its units a second time");
            }
            let waits = !now.status.is_terminal()
                || now.due_at.is_none()
                || armed(Bug::CancelAndExpireBothRelease);
            assert!(waits, "S9: terminal order {id} has a timer");
        }
    }
}
