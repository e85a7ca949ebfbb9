//! Lists for people, each from an index, in the order of the log.
//!
//! A list never sorts by ids: they carry the clock of the node that took the request. A call looks
//! at a bounded number of rows, so a page may be short, even empty, and still have a `next`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Bound;
use std::sync::Arc;

use firstcome_domain::address::Address;
use firstcome_domain::address::row::AddressesByCustomer;
use firstcome_domain::audit::{AuditEntry, AuditHead};
use firstcome_domain::effect::Effect;
use firstcome_domain::effect::row::{EffectsByNext, EffectsByTicket};
use firstcome_domain::id::{AddressId, EffectId, OrderId, ProductId, SaleId, SessionId, UserId};
use firstcome_domain::journal::row::LedgerByPool;
use firstcome_domain::journal::{Journal, LedgerKey, LedgerRow};
use firstcome_domain::kernel::key::{Key, KeyPart};
use firstcome_domain::kernel::row::{Index, Row as _, TableId};
use firstcome_domain::order::row::{
    EndedOrders, EndedOrdersByPool, LiveOrders, LiveOrdersByPool, OrdersByCustomer, OrdersByPool,
    OrdersByTicket,
};
use firstcome_domain::order::{Order, Status};
use firstcome_domain::product::Product;
use firstcome_domain::product::row::{ProductsByName, ProductsByTicket, ProductsOffered, words};
use firstcome_domain::registry::Declared;
use firstcome_domain::sale::Sale;
use firstcome_domain::sale::row::{SalesByClosed, SalesByProduct, SalesByTicket};
use firstcome_domain::session::Session;
use firstcome_domain::session::row::LoginsByUser;
use firstcome_domain::stock::PoolId;
use firstcome_domain::user::User;
use firstcome_domain::user::row::{StaffByRole, UsersByTicket};
use firstcome_domain::value::{ADDRESSES_MAX, Millis, Revision, WISHLIST_ITEMS_MAX};
use firstcome_domain::wishlist::WishlistItem;
use firstcome_domain::wishlist::row::WishlistByCustomer;
use firstcome_domain::{Role, View as _};

use crate::error::Error;
use crate::scan::{Scan, prefix_end};
use crate::table;

pub use crate::scan::Direction;
pub use crate::view::ReadView;

/// Rows that one call of a filtered list looks at: about a millisecond.
const LOOKED_AT_MAX: usize = 1000;

/// Pools of one product whose orders are merged: each costs a scan, even if it is empty. For a
/// product with more, all orders are searched.
const POOLS_MAX: usize = 64;

/// Products that a part of a name may have for the index of names to be used; for more, every few
/// products match, and the list by ticket finds them as fast.
const NAMES_MAX: usize = 1000;

/// Where a row stands in lists: by the log entry that created it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place<I> {
    /// The log entry; an order's ticket.
    pub ticket: Revision,
    /// The row.
    pub id: I,
}

/// Where an order stands in lists.
pub type OrderPlace = Place<OrderId>;

impl OrderPlace {
    /// The place of an order.
    pub fn of(order: &Order) -> Self {
        Self { ticket: order.ticket.revision, id: order.id }
    }
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

/// One beginning of keys that end with (revision, id), in one index.
#[derive(Clone, Copy)]
struct Source {
    table: TableId,
    prefix: Key,
}

impl Source {
    fn of<I: Index, P: KeyPart>(prefix: &P) -> Self {
        // Every id is as wide as this one.
        const { assert!(P::WIDTH + <(Revision, OrderId)>::WIDTH == I::Key::WIDTH) };
        Self { table: I::TABLE, prefix: Key::of(prefix) }
    }

    /// The prefix with a revision, or a revision and an id, behind it.
    fn key(&self, parts: &impl KeyPart) -> Key {
        let bytes = [self.prefix.as_slice(), Key::of(parts).as_slice()].concat();
        Key::from_slice(&bytes).expect("Source::of compared the widths")
    }
}

/// Tickets from the first on, up to but not including the second.
#[derive(Clone, Copy)]
struct Tickets {
    first: Revision,
    end: Option<Revision>,
}

impl Tickets {
    const ALL: Self = Self { first: Revision::new(0), end: None };
}

impl ReadView {
    /// Products that `keep` accepts, by the entry that created them; `offered` leaves discontinued
    /// ones out. With a part of a `name`, only products that may have it are looked at: `keep` must
    /// still compare.
    pub fn products(
        &self,
        offered: bool,
        name: Option<&str>,
        direction: Direction,
        after: Option<Place<ProductId>>,
        limit: usize,
        keep: impl Fn(&Product) -> bool,
    ) -> Page<Arc<Product>, Place<ProductId>> {
        let mut filling = Filling::new(limit);
        let mut visit = |place: Place<ProductId>| {
            let row = self.get::<Product>(place.id).filter(|row| !offered || !row.discontinued);
            filling.take(place, row.filter(|row| keep(row)))
        };
        if let Some(named) = name.and_then(|name| self.named(name)) {
            let comes = |place: &Place<ProductId>| match (direction, after) {
                (_, None) => true,
                (Direction::Up, Some(after)) => *place > after,
                (Direction::Down, Some(after)) => *place < after,
            };
            let mut places: Vec<_> = named.into_iter().filter(comes).collect();
            if direction == Direction::Down {
                places.reverse();
            }
            for place in places {
                if !visit(place) {
                    break;
                }
            }
        } else {
            let source = if offered {
                Source::of::<ProductsOffered, _>(&())
            } else {
                Source::of::<ProductsByTicket, _>(&())
            };
            self.ok(self.merge(&[source], Tickets::ALL, direction, after, &mut visit));
        }
        filling.page()
    }

    /// Products with a word that holds the longest word of `text`, by ticket; `None` if there are
    /// many, or if `text` has no word.
    fn named(&self, text: &str) -> Option<BTreeSet<Place<ProductId>>> {
        let word = words(text).into_iter().max_by_key(String::len)?;
        let part = word.as_bytes().get(..word.len().min(22))?;
        let prefix = Key::from_slice(part)?;
        let (low, high) = (Bound::Included(prefix), prefix_end(prefix));
        let keys = self.rows().keys::<ProductsByName>(low, high, Direction::Up, NAMES_MAX + 1);
        let keys = self.ok(keys)?;
        let places = keys.iter().map(|(_, ticket, id)| Place { ticket: *ticket, id: *id });
        (keys.len() <= NAMES_MAX).then(|| places.collect())
    }

    /// Sales that `keep` accepts, by the entry that created them; only closed ones or only others if
    /// `closed` says so.
    pub fn sales(
        &self,
        closed: Option<bool>,
        direction: Direction,
        after: Option<Place<SaleId>>,
        limit: usize,
        keep: impl Fn(&Sale) -> bool,
    ) -> Page<Arc<Sale>, Place<SaleId>> {
        let mut filling = Filling::new(limit);
        let source = match closed {
            None => Source::of::<SalesByTicket, _>(&()),
            Some(closed) => Source::of::<SalesByClosed, _>(&closed),
        };
        let visit = |place: Place<SaleId>| {
            let row = self.get::<Sale>(place.id).filter(|row| keep(row));
            filling.take(place, row)
        };
        self.ok(self.merge(&[source], Tickets::ALL, direction, after, visit));
        filling.page()
    }

    /// Sales of one product that are not closed, newest first.
    pub fn open_sales_of(&self, product: ProductId, limit: usize) -> Vec<Arc<Sale>> {
        let prefix = Key::of(&(product, false));
        let (low, high) = (Bound::Included(prefix), prefix_end(prefix));
        let keys = self.rows().keys::<SalesByProduct>(low, high, Direction::Down, limit);
        let keys = self.ok(keys).unwrap_or_default();
        keys.into_iter().filter_map(|(.., id)| self.get::<Sale>(id)).collect()
    }

    /// A customer's wishlist, by the entry that put the item on it.
    pub fn wishlist(
        &self,
        customer: UserId,
        direction: Direction,
        after: Option<Place<PoolId>>,
        limit: usize,
    ) -> Page<Arc<WishlistItem>, Place<PoolId>> {
        let most = WISHLIST_ITEMS_MAX;
        self.own_rows::<WishlistByCustomer, _, _>(customer, direction, after, limit, most)
    }

    /// A customer's saved addresses, by the entry that added them.
    pub fn addresses(
        &self,
        customer: UserId,
        direction: Direction,
        after: Option<Place<AddressId>>,
        limit: usize,
    ) -> Page<Arc<Address>, Place<AddressId>> {
        let most = ADDRESSES_MAX;
        self.own_rows::<AddressesByCustomer, _, _>(customer, direction, after, limit, most)
    }

    /// Rows of which a customer has at most `most`, by the entry that created them.
    fn own_rows<I, R, T>(
        &self,
        customer: UserId,
        direction: Direction,
        after: Option<Place<T>>,
        limit: usize,
        most: usize,
    ) -> Page<Arc<R>, Place<T>>
    where
        I: Index<Key = (UserId, Revision, T)>,
        R: Declared<Key = (UserId, T)>,
        T: KeyPart + Copy,
    {
        let mut filling = Filling::new(limit);
        let prefix = Key::of(&customer);
        let (mut low, mut high) = (Bound::Included(prefix), prefix_end(prefix));
        if let Some(place) = after {
            let key = Bound::Excluded(Key::of(&(customer, place.ticket, place.id)));
            match direction {
                Direction::Up => low = key,
                Direction::Down => high = key,
            }
        }
        let keys = self.rows().keys::<I>(low, high, direction, most);
        for (_, ticket, id) in self.ok(keys).unwrap_or_default() {
            if !filling.take(Place { ticket, id }, self.get::<R>((customer, id))) {
                break;
            }
        }
        filling.page()
    }

    /// Users by the entry that created their row; of one role, or all.
    pub fn users(
        &self,
        role: Option<Role>,
        direction: Direction,
        after: Option<Place<UserId>>,
        limit: usize,
    ) -> Page<Arc<User>, Place<UserId>> {
        let mut filling = Filling::new(limit);
        let source = match role {
            None | Some(Role::Customer) => Source::of::<UsersByTicket, _>(&()),
            Some(role) => Source::of::<StaffByRole, _>(&role.place()),
        };
        let visit = |place: Place<UserId>| {
            let user = self.get::<User>(place.id);
            filling.take(place, user.filter(|user| role.is_none_or(|role| user.role == role)))
        };
        self.ok(self.merge(&[source], Tickets::ALL, direction, after, visit));
        filling.page()
    }

    /// A user's logins, by the entry that opened them.
    pub fn logins(
        &self,
        user: UserId,
        direction: Direction,
        after: Option<Place<SessionId>>,
        limit: usize,
    ) -> Page<Arc<Session>, Place<SessionId>> {
        let mut filling = Filling::new(limit);
        let source = Source::of::<LoginsByUser, _>(&user);
        let visit = |place: Place<SessionId>| filling.take(place, self.get::<Session>(place.id));
        self.ok(self.merge(&[source], Tickets::ALL, direction, after, visit));
        filling.page()
    }

    /// Effects that are not done, by the entry that asked for them; failed ones or others, or all.
    pub fn effects(
        &self,
        failed: Option<bool>,
        direction: Direction,
        after: Option<Place<EffectId>>,
        limit: usize,
    ) -> Page<Arc<Effect>, Place<EffectId>> {
        let mut filling = Filling::new(limit);
        let source = Source::of::<EffectsByTicket, _>(&());
        let visit = |place: Place<EffectId>| {
            let effect = self.get::<Effect>(place.id);
            filling.take(place, effect.filter(|it| failed.is_none_or(|failed| it.failed == failed)))
        };
        self.ok(self.merge(&[source], Tickets::ALL, direction, after, visit));
        filling.page()
    }

    /// The audit log.
    pub fn audit(
        &self,
        direction: Direction,
        after: Option<u64>,
        limit: usize,
    ) -> Page<Arc<AuditEntry>, u64> {
        let mut filling = Filling::new(limit);
        let newest = self.get::<AuditHead>(()).map_or(0, |head| head.seq);
        let mut next = match (direction, after) {
            (Direction::Up, after) => after.unwrap_or_default().checked_add(1),
            (Direction::Down, None) => Some(newest),
            (Direction::Down, Some(after)) => after.min(newest.saturating_add(1)).checked_sub(1),
        };
        while let Some(seq) = next.filter(|seq| (1..=newest).contains(seq)) {
            if !filling.take(seq, self.get::<AuditEntry>(seq)) {
                break;
            }
            next = match direction {
                Direction::Up => seq.checked_add(1),
                Direction::Down => seq.checked_sub(1),
            };
        }
        filling.page()
    }

    /// Effects whose next attempt is due, longest due first.
    pub fn due_effects(&self, now: Millis, limit: usize) -> Vec<Arc<Effect>> {
        let first = (Millis::new(i64::MIN), EffectId::new(0));
        let keys = self.scan::<EffectsByNext>(first, (now, EffectId::new(u128::MAX)), limit);
        keys.into_iter().filter_map(|(_, id)| self.get::<Effect>(id)).collect()
    }

    /// Orders by ticket, from the narrowest index the filter allows: customer, pool, product
    /// (through its pools, unless they are many), status, or all.
    pub fn orders(
        &self,
        filter: OrderFilter,
        direction: Direction,
        after: Option<OrderPlace>,
        limit: usize,
    ) -> Page<Arc<Order>, OrderPlace> {
        let mut filling = Filling::new(limit);
        let visit = |place: OrderPlace| {
            let order = self.get::<Order>(place.id);
            filling.take(place, order.filter(|order| filter.matches(order)))
        };
        let sources = self.order_sources(&filter);
        self.ok(self.merge(&sources, self.tickets(&filter), direction, after, visit));
        filling.page()
    }

    /// The tickets of all orders that the filter can match.
    fn tickets(&self, filter: &OrderFilter) -> Tickets {
        let first = filter.ticket_after.map_or(0, |ticket| ticket.get().saturating_add(1));
        let placed_after = filter.placed_after.map(|at| self.first_ticket(|now| now > at));
        let first = placed_after.map_or(first, |ticket| ticket.get().max(first));
        let end = filter.placed_before.map(|at| self.first_ticket(|now| now >= at));
        Tickets { first: Revision::new(first), end }
    }

    /// The lowest ticket from which on all orders were placed at a time that fits. Log time never
    /// goes back along tickets, so a binary search finds it.
    fn first_ticket(&self, fits: impl Fn(Millis) -> bool) -> Revision {
        let newest = self.applied().revision.map_or(0, Revision::get);
        let (mut low, mut high) = (0, newest.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            let from = Bound::Included(Key::of(&Revision::new(middle)));
            let keys = self.rows().keys::<OrdersByTicket>(from, Bound::Unbounded, Direction::Up, 1);
            let next = self.ok(keys).and_then(|keys| keys.first().copied());
            match next.and_then(|(_, id)| self.get::<Order>(id)) {
                Some(order) if !fits(order.ticket.now) => {
                    low = order.ticket.revision.get().saturating_add(1);
                }
                _ => high = middle,
            }
        }
        Revision::new(low)
    }

    /// The beginnings of index keys that hold every order the filter can match.
    fn order_sources(&self, filter: &OrderFilter) -> Vec<Source> {
        let of_pool = |pool: PoolId| match filter.status {
            None => Source::of::<OrdersByPool, _>(&pool),
            Some(status) if status.is_terminal() => {
                Source::of::<EndedOrdersByPool, _>(&(pool, status))
            }
            Some(status) => Source::of::<LiveOrdersByPool, _>(&(pool, status)),
        };
        if let Some(customer) = filter.customer {
            vec![Source::of::<OrdersByCustomer, _>(&customer)]
        } else if let Some(pool) = filter.pool {
            vec![of_pool(pool)]
        } else if let Some(pools) = filter.product.and_then(|product| self.pools_of(product)) {
            pools.into_iter().map(of_pool).collect()
        } else {
            vec![match filter.status {
                None => Source::of::<OrdersByTicket, _>(&()),
                Some(status) if status.is_terminal() => Source::of::<EndedOrders, _>(&status),
                Some(status) => Source::of::<LiveOrders, _>(&status),
            }]
        }
    }

    /// A product's own pool and those of all its sales; `None` if there are many.
    fn pools_of(&self, product: ProductId) -> Option<Vec<PoolId>> {
        let prefix = Key::of(&product);
        let (low, high) = (Bound::Included(prefix), prefix_end(prefix));
        let sales = self.rows().keys::<SalesByProduct>(low, high, Direction::Up, POOLS_MAX);
        let sales = self.ok(sales)?;
        let own = std::iter::once(PoolId::Product(product));
        (sales.len() < POOLS_MAX)
            .then(|| own.chain(sales.into_iter().map(|(.., id)| PoolId::Sale(id))).collect())
    }

    /// Visits the rows behind several beginnings by ticket, each once, until told to stop.
    fn merge<I: KeyPart + Copy + Ord>(
        &self,
        sources: &[Source],
        tickets: Tickets,
        direction: Direction,
        after: Option<Place<I>>,
        mut visit: impl FnMut(Place<I>) -> bool,
    ) -> Result<(), Error> {
        let mut scans: Vec<(Scan, usize, &'static str)> = Vec::with_capacity(sources.len());
        let mut heads: BinaryHeap<(Ranked<I>, usize)> = BinaryHeap::new();
        let next = |(scan, start, name): &mut (Scan, usize, &'static str)| {
            let Some((key, _)) = scan.next_row()? else { return Ok(None) };
            let mut place = key.as_slice().get(*start..).unwrap_or_default();
            let place = Revision::take(&mut place).zip(I::take(&mut place));
            let (ticket, id) = place.ok_or_else(|| self.rows().damaged(name))?;
            Ok::<_, Error>(Some(Ranked::new(Place { ticket, id }, direction)))
        };
        for source in sources {
            let table = table::find(source.table).ok_or_else(|| self.rows().damaged("an index"))?;
            let first = source.key(&tickets.first);
            let end = tickets.end.map(|ticket| source.key(&ticket));
            let (mut low, mut high) =
                (Bound::Included(first), end.map_or(prefix_end(source.prefix), Bound::Excluded));
            match (direction, after.map(|place| source.key(&(place.ticket, place.id)))) {
                (Direction::Up, Some(key)) if first <= key => low = Bound::Excluded(key),
                (Direction::Down, Some(key)) if end.is_none_or(|end| key < end) => {
                    high = Bound::Excluded(key);
                }
                _ => {}
            }
            let scan = self.rows().scan(table, low, high, direction)?;
            let mut scan = (scan, source.prefix.as_slice().len(), table.name);
            heads.extend(next(&mut scan)?.map(|head| (head, scans.len())));
            scans.push(scan);
        }
        let mut last = None;
        while let Some((head, place)) = heads.pop() {
            let row = head.place();
            if last != Some(row) && !visit(row) {
                break;
            }
            last = Some(row);
            if let Some(scan) = scans.get_mut(place) {
                heads.extend(next(scan)?.map(|head| (head, place)));
            }
        }
        Ok(())
    }

    /// Ledger rows in the order of the log, oldest first; of one pool, or of all.
    pub fn ledger(
        &self,
        pool: Option<PoolId>,
        after: Option<LedgerKey>,
        limit: usize,
    ) -> Page<LedgerRow, LedgerKey> {
        let mut filling = Filling::new(limit);
        let mut visit = |journal: &Journal| {
            let mut wanted = journal
                .ledger()
                .filter(|row| {
                    let place = |key: LedgerKey| (key.revision, key.offset);
                    pool.is_none_or(|pool| row.key.pool == pool)
                        && after.is_none_or(|after| place(row.key) > place(after))
                })
                .peekable();
            if wanted.peek().is_none() {
                // An entry without movements was looked at too: the list goes on behind it.
                let pool = pool.unwrap_or(PoolId::Product(ProductId::new(0)));
                let (revision, offset) = (journal.stamp.revision, u32::MAX);
                return filling.take(LedgerKey { pool, revision, offset }, None);
            }
            wanted.all(|row| filling.take(row.key, Some(row)))
        };
        let first = after.map_or(Revision::new(0), |after| after.revision);
        let walked = match pool {
            Some(pool) => self.walk_pool(pool, first, &mut visit),
            None => self.walk_journal(first, |row| visit(&row)),
        };
        self.ok(walked);
        filling.page()
    }

    fn walk_pool(
        &self,
        pool: PoolId,
        first: Revision,
        visit: &mut impl FnMut(&Journal) -> bool,
    ) -> Result<(), Error> {
        let table =
            table::find(LedgerByPool::TABLE).ok_or_else(|| self.rows().damaged("ledger"))?;
        let (low, high) = (Bound::Included(Key::of(&(pool, first))), prefix_end(Key::of(&pool)));
        let mut scan = self.rows().scan(table, low, high, Direction::Up)?;
        while let Some((key, _)) = scan.next_row()? {
            let damaged = || self.rows().damaged(LedgerByPool::NAME);
            let (_, revision): (PoolId, Revision) = key.decode().ok_or_else(damaged)?;
            if let Some(row) = self.get::<Journal>(revision)
                && !visit(&row)
            {
                break;
            }
        }
        Ok(())
    }

    /// Hands the journal's rows from `first` on to `visit` until it says stop.
    fn walk_journal(
        &self,
        first: Revision,
        mut visit: impl FnMut(Arc<Journal>) -> bool,
    ) -> Result<(), Error> {
        let table = table::find(Journal::TABLE).ok_or_else(|| self.rows().damaged("journal"))?;
        let low = Bound::Included(Key::of(&first));
        let mut scan = self.rows().scan(table, low, Bound::Unbounded, Direction::Up)?;
        while let Some((_, found)) = scan.next_row()? {
            if !visit(self.rows().decode(found.bytes())?) {
                break;
            }
        }
        Ok(())
    }

    /// Entries with events from revision `from` on, oldest first. `next` is where to go on if the
    /// call ended because it had looked at enough.
    pub fn events(&self, from: Revision, limit: usize) -> Page<Arc<Journal>, Revision> {
        let mut page = Page { items: Vec::new(), next: None };
        if limit == 0 {
            return page;
        }
        let gone = self.retention().facts;
        let from = from.max(Revision::new(gone.get().saturating_add(1)));
        let mut looked_at = 0;
        let walked = self.walk_journal(from, |row| {
            if looked_at == LOOKED_AT_MAX {
                page.next = Some(row.stamp.revision);
                return false;
            }
            looked_at += 1;
            if !row.facts.is_empty() {
                page.items.push(row);
            }
            page.items.len() < limit
        });
        self.ok(walked);
        page
    }

    /// The newest revision whose events were removed by retention (0 if none was).
    pub fn events_removed_until(&self) -> Revision {
        self.retention().facts
    }

    /// Every row of a kind, in key order, until told to stop: for checks, not for requests.
    pub fn each<R: Declared>(&self, mut visit: impl FnMut(&R) -> bool) {
        let mut walk = || -> Result<(), Error> {
            let table = table::find(R::TABLE).ok_or_else(|| self.rows().damaged(R::NAME))?;
            let all = (Bound::Unbounded, Bound::Unbounded);
            let mut scan = self.rows().scan(table, all.0, all.1, Direction::Up)?;
            while let Some((_, found)) = scan.next_row()? {
                if !visit(&*self.rows().decode::<R>(found.bytes())?) {
                    break;
                }
            }
            Ok(())
        };
        self.ok(walk());
    }
}

/// A place as a heap sorts it: what a list shows first is the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ranked<I> {
    Up(Reverse<Place<I>>),
    Down(Place<I>),
}

impl<I: Copy> Ranked<I> {
    const fn new(place: Place<I>, direction: Direction) -> Self {
        match direction {
            Direction::Up => Self::Up(Reverse(place)),
            Direction::Down => Self::Down(place),
        }
    }

    const fn place(self) -> Place<I> {
        match self {
            Self::Up(Reverse(place)) | Self::Down(place) => place,
        }
    }
}
