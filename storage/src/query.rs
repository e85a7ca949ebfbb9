//! Reads for people: the typed view of rules, and the lists of the API, each from an index.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Bound;

use firstcome_domain::View;
use firstcome_domain::event::Events;
use firstcome_domain::id::{OrderId, ProductId, SaleId, UserId};
use firstcome_domain::order::{Order, Status};
use firstcome_domain::product::Product;
use firstcome_domain::sale::Sale;
use firstcome_domain::stock::{LedgerKey, LedgerRow, PoolId};
use firstcome_domain::value::{Millis, Revision};
use serde::de::DeserializeOwned;

use crate::Error;
use crate::codec;
use crate::key::Key;
use crate::rows::{Core, IndexRow};
use crate::scan::{Scan, prefix_end};
use crate::state::Applied;
use crate::table::Table;

pub use crate::scan::Direction;

/// Rows that one call of a filtered list looks at: about a millisecond.
const LOOKED_AT_MAX: usize = 1000;

/// Rows at one revision. Also implements [`firstcome_domain::View`].
pub struct ReadView<'a> {
    pub(crate) core: &'a Core,
    pub(crate) error: Cell<Option<Error>>,
    pub(crate) absent: RefCell<Vec<IndexRow>>,
}

/// Which orders a list wants; every given field must match.
#[derive(Clone, Copy, Default, Debug)]
pub struct OrderFilter {
    /// Whose.
    pub customer: Option<UserId>,
    /// In which status.
    pub status: Option<Status>,
    /// With a line on this pool.
    pub pool: Option<PoolId>,
    /// With a line of this product, in any pool.
    pub product: Option<ProductId>,
    /// Placed later than this ticket.
    pub ticket_after: Option<Revision>,
    /// Placed later than this instant of log time.
    pub placed_after: Option<Millis>,
    /// Placed earlier than this instant of log time.
    pub placed_before: Option<Millis>,
}

impl OrderFilter {
    fn matches(&self, order: &Order) -> bool {
        self.customer.is_none_or(|customer| order.customer == customer)
            && self.status.is_none_or(|status| order.status == status)
            && self.pool.is_none_or(|pool| order.lines.iter().any(|line| line.pool == pool))
            && self.product.is_none_or(|id| order.lines.iter().any(|line| line.product == id))
            && self.ticket_after.is_none_or(|ticket| order.ticket.revision > ticket)
            && self.placed_after.is_none_or(|at| order.ticket.now > at)
            && self.placed_before.is_none_or(|at| order.ticket.now < at)
    }

    /// Whether no order from this one on can match: log time never goes back along tickets.
    fn is_past(&self, order: &Order, direction: Direction) -> bool {
        match direction {
            Direction::Up => self.placed_before.is_some_and(|at| order.ticket.now >= at),
            Direction::Down => self.placed_after.is_some_and(|at| order.ticket.now <= at),
        }
    }
}

/// Where an order stands in lists: by its ticket, which the log gives. Ids carry the clock of the
/// node that took the request, and would list a later order behind an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OrderPlace {
    /// The log entry that placed the order.
    pub ticket: Revision,
    /// The order.
    pub id: OrderId,
}

impl OrderPlace {
    /// The place of an order.
    pub fn of(order: &Order) -> Self {
        Self { ticket: order.ticket.revision, id: order.id }
    }
}

/// A page of a list: what was found, and where to go on if there may be more.
#[derive(Clone, Debug)]
pub struct Page<T, K> {
    /// Found, in list order.
    pub items: Vec<T>,
    /// Pass as `after` for the next page; `None` at the end.
    pub next: Option<K>,
}

/// Fills a page until it is full or enough rows were looked at.
struct Filling<T, K> {
    items: Vec<T>,
    limit: usize,
    looked_at: usize,
    last: Option<K>,
    full: bool,
}

impl<T, K: Copy> Filling<T, K> {
    fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Self { items: Vec::new(), limit, looked_at: 0, last: None, full: false }
    }

    /// Takes the next row into account; `false` when the page is over before it.
    fn take(&mut self, key: K, item: Option<T>) -> bool {
        if self.items.len() == self.limit || self.looked_at == LOOKED_AT_MAX {
            self.full = true;
            return false;
        }
        self.looked_at += 1;
        self.last = Some(key);
        self.items.extend(item);
        true
    }

    fn page(self) -> Page<T, K> {
        Page { items: self.items, next: self.last.filter(|_| self.full) }
    }
}

impl<'a> ReadView<'a> {
    /// How far the rows are.
    pub fn applied(&self) -> Applied {
        self.core.meta.applied()
    }

    /// Products, newest first, those that `keep` accepts. Looks at a bounded number of rows per
    /// call, so a page may be short (even empty) and still have a `next`.
    pub fn products(
        &self,
        after: Option<ProductId>,
        limit: usize,
        keep: impl Fn(&Product) -> bool,
    ) -> Page<Product, ProductId> {
        let high = after.map(|id| Key::new().product(id));
        self.newest_first(Table::Products, high, limit, |row: &Product| row.id, keep)
    }

    /// Sales, newest first, those that `keep` accepts; bounded like `products`.
    pub fn sales(
        &self,
        after: Option<SaleId>,
        limit: usize,
        keep: impl Fn(&Sale) -> bool,
    ) -> Page<Sale, SaleId> {
        let high = after.map(|id| Key::new().sale(id));
        self.newest_first(Table::Sales, high, limit, |row: &Sale| row.id, keep)
    }

    /// Sales of one product that are not closed, newest first, from an index.
    pub fn open_sales_of(&self, product: ProductId, limit: usize) -> Vec<Sale> {
        let prefix = Key::new().product(product).byte(0);
        let mut ids = Vec::new();
        if limit > 0 {
            let (low, high) = (Bound::Included(prefix), prefix_end(prefix));
            self.walk(Table::SalesByProduct, low, high, Direction::Down, |key, _| {
                ids.extend(key.id_at(17).map(SaleId::new));
                Ok(ids.len() < limit)
            });
        }
        ids.into_iter().filter_map(|id| self.sale(id)).collect()
    }

    /// Orders by ticket, from the narrowest index the filter allows: customer, pool, product
    /// (through its pools), or status. Looks at a bounded number of orders per call, like
    /// `products`.
    pub fn orders(
        &self,
        filter: OrderFilter,
        direction: Direction,
        after: Option<OrderPlace>,
        limit: usize,
    ) -> Page<Order, OrderPlace> {
        let mut filling = Filling::new(limit);
        let (table, prefixes) = self.order_prefixes(&filter);
        let visit = |place: OrderPlace| {
            let order = self.order(place.id);
            if order.as_ref().is_some_and(|order| filter.is_past(order, direction)) {
                return false;
            }
            filling.take(place, order.filter(|order| filter.matches(order)))
        };
        self.ok(self.merge(table, &prefixes, filter.ticket_after, direction, after, visit));
        filling.page()
    }

    /// Ledger rows, oldest first; of one pool, or of all (by pool, then place).
    pub fn ledger(
        &self,
        pool: Option<PoolId>,
        after: Option<LedgerKey>,
        limit: usize,
    ) -> Page<LedgerRow, LedgerKey> {
        let prefix = pool.map_or(Key::new(), |pool| Key::new().pool(pool));
        let low =
            after.map_or(Bound::Included(prefix), |key| Bound::Excluded(Key::new().ledger(key)));
        let mut filling = Filling::new(limit);
        self.walk(Table::Ledger, low, prefix_end(prefix), Direction::Up, |_, value| {
            let row: LedgerRow = self.decoded(Table::Ledger, value)?;
            Ok(filling.take(row.key, Some(row)))
        });
        filling.page()
    }

    /// Event rows of revisions greater than or equal to `from`, oldest first.
    pub fn events(&self, from: Revision, limit: usize) -> Vec<Events> {
        let mut rows: Vec<Events> = Vec::new();
        if limit == 0 {
            return rows;
        }
        // Removed rows leave markers until the next checkpoint: begin behind them.
        let from = from.max(Revision::new(self.events_removed_until().get() + 1));
        let low = Bound::Included(Key::new().revision(from));
        self.walk(Table::Events, low, Bound::Unbounded, Direction::Up, |_, value| {
            rows.push(self.decoded(Table::Events, value)?);
            Ok(rows.len() < limit)
        });
        rows
    }

    /// The oldest revision that still has its events, if any has.
    pub fn oldest_event(&self) -> Option<Revision> {
        self.front(Table::Events, Key::new())?.revision_at(0)
    }

    /// The newest revision whose events were removed by retention (0 if none was).
    pub fn events_removed_until(&self) -> Revision {
        self.core.meta.events_removed
    }

    fn decoded<T: DeserializeOwned>(&self, table: Table, value: &[u8]) -> Result<T, Error> {
        codec::decode(value).map_err(|error| self.damaged(table, &error.to_string()))
    }

    fn newest_first<T: DeserializeOwned, K: Copy>(
        &self,
        table: Table,
        after: Option<Key>,
        limit: usize,
        id: impl Fn(&T) -> K,
        keep: impl Fn(&T) -> bool,
    ) -> Page<T, K> {
        let high = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut filling = Filling::new(limit);
        self.walk(table, Bound::Unbounded, high, Direction::Down, |_, value| {
            let row: T = self.decoded(table, value)?;
            Ok(filling.take(id(&row), keep(&row).then_some(row)))
        });
        filling.page()
    }

    /// The index, and the beginnings of its keys, that hold every order the filter can match.
    fn order_prefixes(&self, filter: &OrderFilter) -> (Table, Vec<Key>) {
        let statuses = |prefix: Key| -> Vec<Key> {
            match filter.status {
                Some(status) => vec![prefix.status(status)],
                None => Status::ALL.into_iter().map(|status| prefix.status(status)).collect(),
            }
        };
        if let Some(customer) = filter.customer {
            (Table::OrdersByCustomer, statuses(Key::new().user(customer)))
        } else if let Some(pool) = filter.pool {
            (Table::OrdersByPool, statuses(Key::new().pool(pool)))
        } else if let Some(product) = filter.product {
            let pools = self.pools_of(product).into_iter();
            let prefixes = pools.flat_map(|pool| statuses(Key::new().pool(pool))).collect();
            (Table::OrdersByPool, prefixes)
        } else {
            (Table::OrdersByStatus, statuses(Key::new()))
        }
    }

    /// A product's own pool and those of all its sales.
    fn pools_of(&self, product: ProductId) -> Vec<PoolId> {
        let prefix = Key::new().product(product);
        let mut pools = vec![PoolId::Product(product)];
        let (low, high) = (Bound::Included(prefix), prefix_end(prefix));
        self.walk(Table::SalesByProduct, low, high, Direction::Up, |key, _| {
            pools.extend(key.id_at(17).map(|id| PoolId::Sale(SaleId::new(id))));
            Ok(true)
        });
        pools
    }

    /// Visits the orders behind several prefixes by ticket, each once.
    fn merge(
        &self,
        table: Table,
        prefixes: &[Key],
        ticket_after: Option<Revision>,
        direction: Direction,
        after: Option<OrderPlace>,
        mut visit: impl FnMut(OrderPlace) -> bool,
    ) -> Result<(), Error> {
        let mut scans: Vec<Scan<'a>> = Vec::with_capacity(prefixes.len());
        let mut heads: BinaryHeap<(Ranked, usize)> = BinaryHeap::new();
        let next = |scan: &mut Scan<'a>, start: usize| -> Result<Option<Ranked>, Error> {
            let Some((key, _)) = scan.next_row()? else { return Ok(None) };
            let place = key.place_at(start).ok_or_else(|| self.damaged(table, "unknown key"))?;
            Ok(Some(Ranked::new(place, direction)))
        };
        for prefix in prefixes {
            let mut low = ticket_after.map_or(Bound::Included(*prefix), |ticket| {
                let last = OrderPlace { ticket, id: OrderId::new(u128::MAX) };
                Bound::Excluded(prefix.place(last))
            });
            let mut high = prefix_end(*prefix);
            match (direction, after) {
                (Direction::Up, Some(place)) => {
                    let place = ticket_after.map_or(place, |ticket| {
                        place.max(OrderPlace { ticket, id: OrderId::new(u128::MAX) })
                    });
                    low = Bound::Excluded(prefix.place(place));
                }
                (Direction::Down, Some(place)) => high = Bound::Excluded(prefix.place(place)),
                (_, None) => {}
            }
            let mut scan = self.core.levels().scan(table, low, high, direction)?;
            heads.extend(next(&mut scan, prefix.as_slice().len())?.map(|head| (head, scans.len())));
            scans.push(scan);
        }
        let mut last = None;
        while let Some((head, scan)) = heads.pop() {
            let place = head.place();
            if last != Some(place) && !visit(place) {
                break;
            }
            last = Some(place);
            if let (Some(rows), Some(prefix)) = (scans.get_mut(scan), prefixes.get(scan)) {
                heads.extend(next(rows, prefix.as_slice().len())?.map(|head| (head, scan)));
            }
        }
        Ok(())
    }
}

/// A place as a heap sorts it: what a list shows first is the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ranked {
    Up(Reverse<OrderPlace>),
    Down(OrderPlace),
}

impl Ranked {
    const fn new(place: OrderPlace, direction: Direction) -> Self {
        match direction {
            Direction::Up => Self::Up(Reverse(place)),
            Direction::Down => Self::Down(place),
        }
    }

    const fn place(self) -> OrderPlace {
        match self {
            Self::Up(Reverse(place)) | Self::Down(place) => place,
        }
    }
}
