//! The stock model: products, sales, orders and keys, one operation after another.
//!
//! Written from the rules, not from the product: a judge must not share a mistake with what it
//! judges. It covers products and sales with their units, a per-customer limit, one unpaid order
//! per customer and sale and ten per customer in total, the life of an order from hold to return,
//! expiry, corrections and allotments, closing, reads, and idempotency keys.
//!
//! A sale whose product the model does not know gets its units from outside: the general stock that
//! the harness creates for itself is not judged.

#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeMap;

use serde_json::Value;

pub use self::types::{Accounts, Answer, Call, Status};
use super::Specification;

/// Unpaid orders that a customer may have at once: the default setting.
const PENDING_MAX: usize = 10;

/// The terms of a sale.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Terms {
    product: Option<String>,
    limit: u64,
    closed: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Pool {
    accounts: Accounts,
    /// `None`: the general stock of a product.
    terms: Option<Terms>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Order {
    sale: String,
    customer: String,
    quantity: u64,
    status: Status,
    pay_by: Option<String>,
}

/// The account of its pool that a unit is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Account {
    Available,
    Held,
    Sold,
    Scrapped,
}

/// All pools and orders at some point of the log.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Model {
    pools: BTreeMap<String, Pool>,
    orders: BTreeMap<String, Order>,
    /// Orders of each sale.
    of_sale: BTreeMap<String, Vec<String>>,
    /// Units held or sold by (sale, customer).
    used: BTreeMap<(String, String), u64>,
    /// Unpaid orders of each customer, with their sales.
    pending: BTreeMap<String, BTreeMap<String, String>>,
    keys: BTreeMap<String, (Call, Answer)>,
}

impl Specification for Model {
    type Call = Call;
    type Answer = Answer;

    fn call(f: &str, asked: &Value) -> anyhow::Result<Option<Call>> {
        Call::read(f, asked)
    }

    fn answer(f: &str, given: &Value) -> anyhow::Result<Answer> {
        Answer::read(f, given)
    }

    fn is_read(call: &Call) -> bool {
        call.is_read()
    }

    fn predict(&self, pool: &str, call: &Call, given: &Answer) -> Answer {
        self.predict(pool, call, given)
    }

    fn step(&mut self, pool: &str, key: Option<&str>, call: &Call, given: &Answer) -> Answer {
        self.step(pool, key, call, given)
    }
}

impl Model {
    /// What the answer would be now. `minted` is the answer the node gave; only ids and deadlines
    /// are taken from it, because the node chooses those.
    pub fn predict(&self, pool: &str, call: &Call, minted: &Answer) -> Answer {
        match self.refusal(pool, call, minted) {
            Some(code) => Answer::Refused(code.into()),
            None if call.is_read() => self.answer(pool, call, minted),
            None => self.clone().step(pool, None, call, minted),
        }
    }

    /// Applies a call; returns what the answer should have been. A used key changes nothing and
    /// gets its first answer again.
    pub fn step(&mut self, pool: &str, key: Option<&str>, call: &Call, answer: &Answer) -> Answer {
        if let Some((first, given)) = key.and_then(|key| self.keys.get(key)) {
            let reused = Answer::Refused("idempotency_key_reused".into());
            return if first == call { given.clone() } else { reused };
        }
        let decided = if let Some(code) = self.refusal(pool, call, answer) {
            Answer::Refused(code.into())
        } else {
            self.apply(pool, call, answer);
            self.answer(pool, call, answer)
        };
        if let Some(key) = key {
            self.keys.insert(key.to_owned(), (call.clone(), decided.clone()));
        }
        decided
    }

    /// The answer to a call that was not refused; for a write, after it.
    fn answer(&self, pool: &str, call: &Call, minted: &Answer) -> Answer {
        match call {
            Call::Product { .. } | Call::Sale { .. } | Call::Order { .. } => minted.clone(),
            Call::Adjust { .. } | Call::Allot { .. } | Call::Close | Call::Stock => {
                Answer::Stock(self.accounts(pool).unwrap_or_default())
            }
            Call::Orders => {
                let ids = self.of_sale.get(pool).into_iter().flatten();
                let rows = ids.filter_map(|id| Some((id.clone(), self.status(id)?.name().into())));
                let mut rows: Vec<(String, String)> = rows.collect();
                rows.sort();
                Answer::Orders(rows)
            }
            _ => {
                let status = call.order().and_then(|id| self.status(id));
                Answer::Status(status.map_or("", Status::name).into())
            }
        }
    }

    /// The first rule that refuses the call, in the order that the API promises.
    fn refusal(&self, pool: &str, call: &Call, minted: &Answer) -> Option<&'static str> {
        let known = self.pools.get(pool);
        let status = call.order().map(|order| self.status(order));
        match (call, status) {
            (_, Some(None)) => Some("not_found"),
            (Call::Look { .. }, _) | (Call::Orders, None) => None,
            (Call::Settle { .. }, Some(Some(status))) => {
                (status != Status::Pending).then_some("order_not_payable")
            }
            (Call::Cancel { .. }, Some(Some(status))) => {
                (!matches!(status, Status::Pending | Status::Paid)).then_some("not_cancelable")
            }
            (Call::Return { .. }, Some(Some(status))) => {
                (status != Status::Delivered).then_some("not_returnable")
            }
            (_, Some(Some(status))) => {
                let wanted = match call {
                    Call::Ship { .. } => Status::Paid,
                    Call::Deliver { .. } => Status::Shipping,
                    _ => Status::ReturnRequested,
                };
                (status != wanted).then_some("wrong_status")
            }
            (Call::Product { .. }, None) => match minted {
                Answer::Product { product } if !self.pools.contains_key(product) => None,
                _ => Some("a fresh product"),
            },
            (Call::Sale { product, units, .. }, None) => {
                self.sale_refusal(product.as_deref(), *units, minted)
            }
            (Call::Order { customer, quantity }, None) => {
                self.order_refusal(pool, customer, *quantity).or(match minted {
                    Answer::Ordered { order, .. } if !self.orders.contains_key(order) => None,
                    _ => Some("a fresh order"),
                })
            }
            (Call::Stock, None) => known.is_none().then_some("not_found"),
            _ => self.units_refusal(known, call),
        }
    }

    fn sale_refusal(
        &self,
        from: Option<&str>,
        units: u64,
        minted: &Answer,
    ) -> Option<&'static str> {
        let product = from.and_then(|id| self.pools.get(id));
        if product.is_some_and(|product| product.accounts.available < units) {
            return Some("not_enough_units");
        }
        match minted {
            Answer::Sale { sale } if !self.pools.contains_key(sale) => None,
            _ => Some("a fresh sale"),
        }
    }

    fn order_refusal(&self, pool: &str, customer: &str, quantity: u64) -> Option<&'static str> {
        let Some(Pool { accounts, terms: Some(terms) }) = self.pools.get(pool) else {
            return Some("not_found");
        };
        let pending = self.pending.get(customer);
        let here = pending.is_some_and(|orders| orders.values().any(|sale| sale == pool));
        let all = pending.map_or(0, BTreeMap::len);
        let used = self.used.get(&(pool.to_owned(), customer.to_owned())).copied().unwrap_or(0);
        if terms.closed {
            Some("sale_closed")
        } else if here {
            Some("already_holding")
        } else if all >= PENDING_MAX {
            Some("too_many_pending_orders")
        } else if used + quantity > terms.limit {
            Some("limit_reached")
        } else if accounts.available < quantity {
            Some("sold_out")
        } else {
            None
        }
    }

    /// Corrections, allotments and closing.
    fn units_refusal(&self, pool: Option<&Pool>, call: &Call) -> Option<&'static str> {
        let Some(Pool { accounts, terms }) = pool else { return Some("not_found") };
        let closed = terms.as_ref().is_some_and(|terms| terms.closed);
        let product = terms.as_ref().and_then(|terms| self.pools.get(terms.product.as_deref()?));
        let (closed, source) = match *call {
            Call::Adjust { delta: 1.., scrap: false } | Call::Allot { delta: 1.., fresh: true } => {
                (closed, None)
            }
            Call::Adjust { delta: 1.., scrap: true } => (false, Some(accounts.scrapped)),
            Call::Adjust { .. } => (false, Some(accounts.available)),
            Call::Allot { delta: 1.., fresh: false } => {
                (closed, product.map(|product| product.accounts.available))
            }
            Call::Allot { .. } => (closed, Some(accounts.available)),
            _ => (closed, None),
        };
        let wanted = match *call {
            Call::Adjust { delta, .. } | Call::Allot { delta, .. } => delta.unsigned_abs(),
            _ => 0,
        };
        if closed {
            Some("sale_closed")
        } else if source.is_some_and(|source| source < wanted) {
            Some("not_enough_units")
        } else {
            None
        }
    }

    fn apply(&mut self, pool: &str, call: &Call, minted: &Answer) {
        match (call, minted) {
            (Call::Product { units }, Answer::Product { product }) => {
                self.add_pool(product, *units, None);
            }
            (Call::Sale { product, units, limit }, Answer::Sale { sale }) => {
                let terms = Terms { product: product.clone(), limit: *limit, closed: false };
                self.add_pool(sale, 0, Some(terms));
                self.allot(sale, i64::try_from(*units).unwrap_or(i64::MAX), false);
            }
            (Call::Order { customer, quantity }, Answer::Ordered { order, pay_by }) => {
                self.place(pool, customer, *quantity, order, pay_by.clone());
            }
            (Call::Adjust { delta, scrap: false }, _) => self.supply(pool, *delta),
            (Call::Adjust { delta, scrap: true }, _) => {
                let (from, to) = if *delta > 0 {
                    (Account::Scrapped, Account::Available)
                } else {
                    (Account::Available, Account::Scrapped)
                };
                self.shift(pool, from, to, delta.unsigned_abs());
            }
            (Call::Allot { delta, fresh }, _) => self.allot(pool, *delta, *fresh),
            (Call::Close, _) => {
                if let Some(terms) = self.pools.get_mut(pool).and_then(|pool| pool.terms.as_mut()) {
                    terms.closed = true;
                }
                self.hand_back(pool);
            }
            _ => {
                let restock = !matches!(call, Call::Receive { restock: false, .. });
                if let (Some(order), Some(status)) = (call.order(), call.enters()) {
                    self.enter(order, status, restock);
                }
            }
        }
    }

    fn add_pool(&mut self, id: &str, units: u64, terms: Option<Terms>) {
        let accounts = Accounts { stocked: units, available: units, ..Accounts::default() };
        self.pools.insert(id.to_owned(), Pool { accounts, terms });
    }

    fn place(&mut self, pool: &str, customer: &str, quantity: u64, id: &str, by: Option<String>) {
        self.shift(pool, Account::Available, Account::Held, quantity);
        let pending = self.pending.entry(customer.to_owned()).or_default();
        pending.insert(id.to_owned(), pool.to_owned());
        *self.used.entry((pool.to_owned(), customer.to_owned())).or_default() += quantity;
        self.of_sale.entry(pool.to_owned()).or_default().push(id.to_owned());
        let order = Order {
            sale: pool.to_owned(),
            customer: customer.to_owned(),
            quantity,
            status: Status::Pending,
            pay_by: by,
        };
        self.orders.insert(id.to_owned(), order);
    }

    /// Moves an order and its units to a new status.
    fn enter(&mut self, id: &str, status: Status, restock: bool) {
        let Some(order) = self.orders.get_mut(id) else { return };
        let (Some(from), to) = (holds(order.status), holds(status)) else { return };
        order.status = status;
        let (sale, customer, quantity) =
            (order.sale.clone(), order.customer.clone(), order.quantity);
        if let Some(pending) = self.pending.get_mut(&customer) {
            pending.remove(id);
        }
        if to.is_none() {
            let used = self.used.entry((sale.clone(), customer)).or_default();
            *used = used.saturating_sub(quantity);
        }
        let freed = if restock { Account::Available } else { Account::Scrapped };
        self.shift(&sale, from, to.unwrap_or(freed), quantity);
    }

    /// Moves units within a pool.
    fn shift(&mut self, id: &str, from: Account, to: Account, quantity: u64) {
        let Some(pool) = self.pools.get_mut(id) else { return };
        let source = account(&mut pool.accounts, from);
        *source = source.saturating_sub(quantity);
        *account(&mut pool.accounts, to) += quantity;
        if to == Account::Available {
            self.hand_back(id);
        }
    }

    /// Adds units to a pool, or removes available ones.
    fn supply(&mut self, id: &str, delta: i64) {
        let Some(Pool { accounts, .. }) = self.pools.get_mut(id) else { return };
        accounts.available = accounts.available.saturating_add_signed(delta);
        accounts.stocked = accounts.stocked.saturating_add_signed(delta);
    }

    fn allot(&mut self, sale: &str, delta: i64, fresh: bool) {
        self.supply(sale, delta);
        let terms = self.pools.get(sale).and_then(|pool| pool.terms.as_ref());
        if let (Some(product), false) = (terms.and_then(|terms| terms.product.clone()), fresh) {
            self.supply(&product, delta.saturating_neg());
        }
    }

    /// A closed sale keeps nothing available.
    fn hand_back(&mut self, sale: &str) {
        let Some(Pool { accounts, terms: Some(Terms { closed: true, .. }) }) = self.pools.get(sale)
        else {
            return;
        };
        let left = i64::try_from(accounts.available).unwrap_or(i64::MAX);
        self.allot(sale, left.saturating_neg(), false);
    }

    /// Expires an unpaid order; returns what is wrong with that.
    pub fn expire(&mut self, id: &str, at: Option<&str>) -> Result<(), String> {
        let Some(order) = self.orders.get(id) else { return Err(format!("{id} is unknown")) };
        if order.status != Status::Pending {
            return Err(format!("{id} expired while {}", order.status.name()));
        }
        if let (Some(pay_by), Some(at)) = (order.pay_by.as_deref(), at)
            && at < pay_by
        {
            return Err(format!("{id} expired at {at}, before pay_by {pay_by}"));
        }
        self.enter(id, Status::Expired, true);
        Ok(())
    }

    /// The accounts of a pool.
    pub fn accounts(&self, pool: &str) -> Option<Accounts> {
        self.pools.get(pool).map(|pool| pool.accounts)
    }

    /// Every sale and product with its accounts.
    pub fn pools(&self) -> impl Iterator<Item = (&str, Accounts)> {
        self.pools.iter().map(|(id, pool)| (id.as_str(), pool.accounts))
    }

    fn status(&self, order: &str) -> Option<Status> {
        self.orders.get(order).map(|order| order.status)
    }

    /// Every order with its status.
    pub fn orders(&self) -> impl Iterator<Item = (&str, Status)> {
        self.orders.iter().map(|(id, order)| (id.as_str(), order.status))
    }
}

/// The account that holds the units of an order with this status; `None` if it released them.
const fn holds(status: Status) -> Option<Account> {
    match status {
        Status::Pending => Some(Account::Held),
        Status::Paid | Status::Shipping | Status::Delivered | Status::ReturnRequested => {
            Some(Account::Sold)
        }
        Status::Returned | Status::Canceled | Status::Expired => None,
    }
}

const fn account(accounts: &mut Accounts, name: Account) -> &mut u64 {
    match name {
        Account::Available => &mut accounts.available,
        Account::Held => &mut accounts.held,
        Account::Sold => &mut accounts.sold,
        Account::Scrapped => &mut accounts.scrapped,
    }
}
