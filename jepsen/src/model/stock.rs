//! The stock model: sales, orders and keys, one operation after another.
//!
//! Written from the rules, not from the product: a judge must not share a mistake with the judged.
//! It knows sales with units and a per-customer limit, one unpaid order per customer and sale, ten
//! per customer in all, settling, canceling, expiring, stock reads and idempotency keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Unpaid orders a customer may have at once: the default setting.
const PENDING_MAX: usize = 10;

/// The accounts of a sale, as read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Accounts {
    /// All units.
    pub stocked: u64,
    /// Free to be ordered.
    pub available: u64,
    /// In unpaid orders.
    pub held: u64,
    /// Paid for.
    pub sold: u64,
    /// Written off.
    #[serde(default)]
    pub scrapped: u64,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// Create a sale.
    Sale {
        /// Its units.
        units: u64,
        /// Units per customer.
        limit: u64,
    },
    /// Order units of a sale.
    Order {
        /// Who.
        customer: String,
        /// How many.
        quantity: u64,
    },
    /// Staff: paid outside.
    Settle {
        /// Which order.
        order: String,
    },
    /// Call off an order.
    Cancel {
        /// Which order.
        order: String,
    },
    /// Read the accounts of a sale.
    Stock,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// The new sale.
    Sale {
        /// Its id.
        sale: String,
    },
    /// The new order.
    Ordered {
        /// Its id.
        order: String,
        /// When it expires, RFC 3339.
        pay_by: Option<String>,
    },
    /// The order's status after the call.
    Status(String),
    /// The accounts.
    Stock(Accounts),
    /// A rule said no.
    Refused(String),
}

/// Where an order is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// Holds its units.
    Pending,
    /// Paid for.
    Paid,
    /// Called off.
    Canceled,
    /// Not paid in time.
    Expired,
}

impl Status {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "payment_pending",
            Self::Paid => "paid",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Sale {
    limit: u64,
    accounts: Accounts,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Order {
    sale: String,
    customer: String,
    quantity: u64,
    status: Status,
    pay_by: Option<String>,
}

/// All sales and orders after some prefix of the log.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Model {
    sales: BTreeMap<String, Sale>,
    orders: BTreeMap<String, Order>,
    /// Units held or sold by (sale, customer).
    used: BTreeMap<(String, String), u64>,
    /// Unpaid orders of each customer, with their sales.
    pending: BTreeMap<String, BTreeMap<String, String>>,
    keys: BTreeMap<String, (Call, Answer)>,
}

impl Model {
    /// What would be answered now. `minted` is the answer the node gave, from which ids and
    /// deadlines are taken: they are the node's to choose, everything else is not.
    pub fn predict(&self, pool: &str, call: &Call, minted: &Answer) -> Answer {
        match call {
            Call::Sale { .. } => match minted {
                Answer::Sale { sale } if !self.sales.contains_key(sale) => minted.clone(),
                _ => Answer::Refused("a fresh sale".into()),
            },
            Call::Order { customer, quantity } => match self.refusal(pool, customer, *quantity) {
                Some(code) => Answer::Refused(code.into()),
                None => match minted {
                    Answer::Ordered { order, .. } if !self.orders.contains_key(order) => {
                        minted.clone()
                    }
                    _ => Answer::Ordered { order: "a fresh order".into(), pay_by: None },
                },
            },
            Call::Settle { order } => match self.orders.get(order).map(|o| o.status) {
                None => Answer::Refused("not_found".into()),
                Some(Status::Pending) => Answer::Status("paid".into()),
                Some(_) => Answer::Refused("order_not_payable".into()),
            },
            Call::Cancel { order } => match self.orders.get(order).map(|o| o.status) {
                None => Answer::Refused("not_found".into()),
                Some(Status::Pending | Status::Paid) => Answer::Status("canceled".into()),
                Some(_) => Answer::Refused("not_cancelable".into()),
            },
            Call::Stock => match self.accounts(pool) {
                Some(accounts) => Answer::Stock(accounts),
                None => Answer::Refused("not_found".into()),
            },
        }
    }

    /// The first rule that refuses an order, in the order the rules are promised.
    fn refusal(&self, pool: &str, customer: &str, quantity: u64) -> Option<&'static str> {
        let Some(sale) = self.sales.get(pool) else { return Some("not_found") };
        let pending = self.pending.get(customer);
        let here = pending.is_some_and(|orders| orders.values().any(|sale| sale == pool));
        let all = pending.map_or(0, BTreeMap::len);
        let used = self.used.get(&(pool.to_owned(), customer.to_owned())).copied().unwrap_or(0);
        if here {
            Some("already_holding")
        } else if all >= PENDING_MAX {
            Some("too_many_pending_orders")
        } else if used + quantity > sale.limit {
            Some("limit_reached")
        } else if sale.accounts.available < quantity {
            Some("sold_out")
        } else {
            None
        }
    }

    /// Does what `answer` says was decided; answers what should have been decided. A used key
    /// changes nothing and answers as it did the first time.
    pub fn step(&mut self, pool: &str, key: Option<&str>, call: &Call, answer: &Answer) -> Answer {
        if let Some((first, told)) = key.and_then(|key| self.keys.get(key)) {
            let reused = Answer::Refused("idempotency_key_reused".into());
            return if first == call { told.clone() } else { reused };
        }
        let predicted = self.predict(pool, call, answer);
        if let Some(key) = key {
            self.keys.insert(key.to_owned(), (call.clone(), predicted.clone()));
        }
        match (call, &predicted) {
            (Call::Sale { units, limit }, Answer::Sale { sale }) => {
                let accounts =
                    Accounts { stocked: *units, available: *units, ..Accounts::default() };
                self.sales.insert(sale.clone(), Sale { limit: *limit, accounts });
            }
            (Call::Order { customer, quantity }, Answer::Ordered { order, pay_by }) => {
                self.place(pool, customer, *quantity, order, pay_by.clone());
            }
            (Call::Settle { order }, Answer::Status(_)) => self.enter(order, Status::Paid),
            (Call::Cancel { order }, Answer::Status(_)) => self.enter(order, Status::Canceled),
            _ => {}
        }
        predicted
    }

    fn place(&mut self, pool: &str, customer: &str, quantity: u64, id: &str, by: Option<String>) {
        if let Some(sale) = self.sales.get_mut(pool) {
            sale.accounts.available = sale.accounts.available.saturating_sub(quantity);
            sale.accounts.held += quantity;
        }
        let pending = self.pending.entry(customer.to_owned()).or_default();
        pending.insert(id.to_owned(), pool.to_owned());
        *self.used.entry((pool.to_owned(), customer.to_owned())).or_default() += quantity;
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
    fn enter(&mut self, id: &str, status: Status) {
        let Some(order) = self.orders.get_mut(id) else { return };
        let Some(sale) = self.sales.get_mut(&order.sale) else { return };
        let from = match order.status {
            Status::Pending => &mut sale.accounts.held,
            Status::Paid => &mut sale.accounts.sold,
            Status::Canceled | Status::Expired => return,
        };
        *from = from.saturating_sub(order.quantity);
        if let Some(pending) = self.pending.get_mut(&order.customer) {
            pending.remove(id);
        }
        if status == Status::Paid {
            sale.accounts.sold += order.quantity;
        } else {
            sale.accounts.available += order.quantity;
            let used = self.used.entry((order.sale.clone(), order.customer.clone())).or_default();
            *used = used.saturating_sub(order.quantity);
        }
        order.status = status;
    }

    /// Ends an unpaid order for want of money; says what was wrong with that.
    pub fn expire(&mut self, id: &str, at: Option<&str>) -> Result<(), String> {
        let Some(order) = self.orders.get(id) else { return Err(format!("{id} is unknown")) };
        if order.status != Status::Pending {
            return Err(format!("{id} expired while {}", order.status.word()));
        }
        if let (Some(pay_by), Some(at)) = (order.pay_by.as_deref(), at)
            && at < pay_by
        {
            return Err(format!("{id} expired at {at}, before pay_by {pay_by}"));
        }
        self.enter(id, Status::Expired);
        Ok(())
    }

    /// The accounts of a sale.
    pub fn accounts(&self, pool: &str) -> Option<Accounts> {
        self.sales.get(pool).map(|sale| sale.accounts)
    }

    /// Every order with its status.
    pub fn orders(&self) -> impl Iterator<Item = (&str, Status)> {
        self.orders.iter().map(|(id, order)| (id.as_str(), order.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale(units: u64, limit: u64) -> Model {
        let mut model = Model::default();
        let answer = Answer::Sale { sale: "s".into() };
        model.step("s", None, &Call::Sale { units, limit }, &answer);
        model
    }

    fn order(model: &mut Model, customer: &str, quantity: u64, id: &str) -> Answer {
        let answer = Answer::Ordered { order: id.into(), pay_by: Some("2026-01-02".into()) };
        model.step("s", None, &Call::Order { customer: customer.into(), quantity }, &answer)
    }

    fn refused(answer: &Answer, code: &str) {
        assert_eq!(answer, &Answer::Refused(code.into()));
    }

    #[test]
    fn the_last_unit_goes_to_the_first() {
        let mut model = sale(1, 1);
        assert!(matches!(order(&mut model, "a", 1, "o1"), Answer::Ordered { .. }));
        refused(&order(&mut model, "b", 1, "o2"), "sold_out");
        let accounts = model.accounts("s").unwrap();
        assert_eq!((accounts.available, accounts.held, accounts.sold), (0, 1, 0));
    }

    #[test]
    fn own_hold_and_limit_are_told_before_stock() {
        let mut model = sale(2, 2);
        order(&mut model, "a", 2, "o1");
        refused(&order(&mut model, "a", 1, "o2"), "already_holding");
        model.step("s", None, &Call::Settle { order: "o1".into() }, &Answer::Status("paid".into()));
        refused(&order(&mut model, "a", 1, "o3"), "limit_reached");
        refused(&order(&mut model, "b", 1, "o4"), "sold_out");
    }

    #[test]
    fn canceled_and_expired_orders_give_their_units_back_once() {
        let mut model = sale(2, 1);
        order(&mut model, "a", 1, "o1");
        order(&mut model, "b", 1, "o2");
        let cancel = Call::Cancel { order: "o1".into() };
        model.step("s", None, &cancel, &Answer::Status("canceled".into()));
        let again = model.step("s", None, &cancel, &Answer::Status("canceled".into()));
        refused(&again, "not_cancelable");
        assert!(model.expire("o2", Some("2026-01-01")).is_err(), "before its pay_by");
        model.expire("o2", Some("2026-01-03")).unwrap();
        assert!(model.expire("o2", Some("2026-01-03")).is_err(), "twice");
        assert_eq!(model.accounts("s").unwrap().available, 2);
    }

    #[test]
    fn a_used_key_answers_as_the_first_time_and_changes_nothing() {
        let mut model = sale(2, 2);
        let call = Call::Order { customer: "a".into(), quantity: 1 };
        let told = Answer::Ordered { order: "o1".into(), pay_by: None };
        model.step("s", Some("k"), &call, &told);
        assert_eq!(model.step("s", Some("k"), &call, &told), told);
        assert_eq!(model.accounts("s").unwrap().held, 1);
        let other = Call::Order { customer: "a".into(), quantity: 2 };
        refused(&model.step("s", Some("k"), &other, &told), "idempotency_key_reused");
    }
}
