//! Invariants: what must hold between the rows of any state, checked offline.
//!
//! `inspect check`, simulation and the property tests run [`check`] over all rows. Pools and usages
//! are held in memory while it runs; the journal and the orders are streamed once each, and of an
//! order only its units in held and sold are kept between the two. `docs/rules.md` names the tests.
//!
//! | Rule | What holds |
//! |---|---|
//! | S1 | stocked = available + held + sold + scrapped = what came from outside and stayed |
//! | S2 | every account equals the ledger's sum |
//! | S3 | held = units in lines of unpaid orders |
//! | S4 | sold = units in lines of paid orders that did not come back |
//! | S5 | a customer's usage counts exactly their units of S3 and S4, and names their hold |
//! | S6 | held + sold never exceed stocked |
//! | S9 | an order's units moved as its status says: held once, released at most once |
//! | S10 | an order's units are sold exactly when its payment is paid |
//! | S11 | money kept equals the totals of the orders in sold |
//! | S12 | a closed sale has nothing available |
//! | A1 | a customer with saved addresses has exactly one default |
//! | U1 | no two users have the same e-mail address |
//! | U2 | a user has at most 10 logins |
//! | U3 | the audit log has no gap, each entry carries the hash of the one before, and its head is the last one |
//!
//! S7 is about a decision, not a state; S8 needs a waitlist.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::address::row::Address;
use crate::audit::row::{AuditEntry, AuditHead};
use crate::journal::row::{Journal, LedgerEntry};
use crate::kernel::id::{OrderId, SaleId, UserId};
use crate::kernel::value::{Currency, EmailIndex};
use crate::order::row::{Order, Status};
use crate::payment::row::{PaymentStatus, Refund};
use crate::registry::Declared;
use crate::sale::row::Sale;
use crate::session::row::{LOGINS_MAX, Session, SessionKind};
use crate::stock::row::{Account, Pool, PoolId, Usage};
use crate::user::row::User;

/// The rows of one state, one kind after the other. Storage reads its tables, in key order.
pub trait Rows {
    /// Why rows could not be read.
    type Error;

    /// Visits every row of a kind, in key order.
    fn each<R: Declared>(&self, visit: &mut dyn FnMut(&R)) -> Result<(), Self::Error>;
}

/// The name of an invariant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the table at the head of the file says what each one is")]
pub enum Rule {
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
    S9,
    S10,
    S11,
    S12,
    A1,
    U1,
    U2,
    U3,
}

/// One invariant that does not hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// For which row, and by how much.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}

/// Checks all rows; an empty list means that every invariant holds. Fails only when rows cannot
/// be read.
pub fn check<R: Rows>(rows: &R) -> Result<Vec<Violation>, R::Error> {
    let mut check = Check::default();
    rows.each::<Pool>(&mut |pool| {
        check.pools.insert(pool.id, *pool);
    })?;
    rows.each::<Journal>(&mut |row| row.movements.iter().for_each(|entry| check.entry(entry)))?;
    rows.each::<Order>(&mut |order| check.order(order))?;
    rows.each::<Usage>(&mut |usage| check.usage(usage))?;
    rows.each::<Sale>(&mut |sale| check.sale(sale))?;
    rows.each::<Address>(&mut |address| check.address(address))?;
    rows.each::<User>(&mut |user| check.user(user))?;
    rows.each::<Session>(&mut |session| check.session(session))?;
    rows.each::<AuditEntry>(&mut |entry| check.audit(entry))?;
    rows.each::<AuditHead>(&mut |head| check.audit_head(head))?;
    Ok(check.finish())
}

/// Sums per pool; signed and wide, so that a wrong state cannot overflow them.
#[derive(Clone, Copy, Default)]
struct PoolSums {
    /// Ledger, into minus out of each account.
    available: i128,
    held: i128,
    sold: i128,
    scrapped: i128,
    /// Ledger, from outside minus to outside.
    stocked: i128,
    /// Lines of orders.
    held_by_orders: i128,
    sold_by_orders: i128,
}

/// What the ledger says about one order on one pool.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct OrderUnits {
    held: i128,
    sold: i128,
    /// Units that ever entered held.
    ever_held: i128,
}

#[derive(Clone, Copy, Default)]
struct Use {
    used: i128,
    holding: Option<OrderId>,
    holds: u32,
}

#[derive(Default)]
struct Check {
    pools: BTreeMap<PoolId, Pool>,
    sums: BTreeMap<PoolId, PoolSums>,
    units: BTreeMap<(OrderId, PoolId), OrderUnits>,
    uses: BTreeMap<(SaleId, UserId), Use>,
    money: BTreeMap<Currency, (i128, i128)>,
    /// Default addresses per customer who has any address.
    defaults: BTreeMap<UserId, u32>,
    emails: BTreeSet<EmailIndex>,
    logins: BTreeMap<UserId, usize>,
    /// Number and hash of the last entry.
    audit: (u64, [u8; 32]),
    found: Vec<Violation>,
}

impl Check {
    fn require(&mut self, ok: bool, rule: Rule, detail: impl FnOnce() -> String) {
        if !ok {
            self.found.push(Violation { rule, detail: detail() });
        }
    }

    fn entry(&mut self, row: &LedgerEntry) {
        let quantity = i128::from(row.movement.quantity);
        for (account, change) in
            [(row.movement.from, quantity.saturating_neg()), (row.movement.to, quantity)]
        {
            let sums = self.sums.entry(row.pool).or_default();
            let (sum, change) = match account {
                Account::Outside => (&mut sums.stocked, change.saturating_neg()),
                Account::Available => (&mut sums.available, change),
                Account::Held => (&mut sums.held, change),
                Account::Sold => (&mut sums.sold, change),
                Account::Scrapped => (&mut sums.scrapped, change),
            };
            *sum = sum.saturating_add(change);
            if let Some(order) = row.order {
                self.order_units((order, row.pool), account, change);
            }
        }
    }

    /// Only held and sold belong to an order; a unit handed on after it is nobody's.
    fn order_units(&mut self, key: (OrderId, PoolId), account: Account, change: i128) {
        match account {
            Account::Held => {
                let units = self.units.entry(key).or_default();
                units.held = units.held.saturating_add(change);
                units.ever_held = units.ever_held.saturating_add(change.max(0));
            }
            Account::Sold => {
                let units = self.units.entry(key).or_default();
                units.sold = units.sold.saturating_add(change);
            }
            Account::Outside | Account::Available | Account::Scrapped => {}
        }
    }

    fn order(&mut self, order: &Order) {
        let (id, status) = (order.id, order.status);
        let unpaid = status == Status::PaymentPending;
        for line in &order.lines {
            let quantity = i128::from(line.quantity);
            let none = 0i128;
            let want = OrderUnits {
                held: if unpaid { quantity } else { none },
                sold: if status.is_sold() { quantity } else { none },
                ever_held: quantity,
            };
            let moved = self.units.remove(&(id, line.pool)).unwrap_or_default();
            self.require(moved == want, Rule::S9, || {
                format!(
                    "{id} is {} but the ledger moved {} into held, left {} held and {} sold",
                    status.as_str(),
                    moved.ever_held,
                    moved.held,
                    moved.sold
                )
            });
            let sums = self.sums.entry(line.pool).or_default();
            sums.held_by_orders = sums.held_by_orders.saturating_add(want.held);
            sums.sold_by_orders = sums.sold_by_orders.saturating_add(want.sold);
            if let PoolId::Sale(sale) = line.pool {
                let counted = self.uses.entry((sale, order.customer)).or_default();
                counted.used = counted.used.saturating_add(want.held.saturating_add(want.sold));
                if unpaid {
                    counted.holding = Some(id);
                    counted.holds = counted.holds.saturating_add(1);
                }
            }
        }
        let waits = if status.is_terminal() {
            order.due_at.is_none()
        } else {
            // Only the steps to shipping and to delivered may wait for staff alone.
            order.due_at.is_some() || matches!(status, Status::Paid | Status::Shipping)
        };
        let timed = !unpaid || (order.pay_by.is_some() && order.pay_by == order.due_at);
        self.require(waits && timed, Rule::S9, || {
            format!("{id} is {} but waits for {:?}", status.as_str(), order.due_at)
        });
        self.payment(order);
    }

    fn payment(&mut self, order: &Order) {
        let paid = order.payment.status == PaymentStatus::Paid;
        self.require(order.status.is_sold() == paid, Rule::S10, || {
            let status = order.status.as_str();
            format!("{} is {status} but its payment is {:?}", order.id, order.payment.status)
        });
        let (kept, owed) = self.money.entry(order.currency).or_default();
        let captures = order.payment.captures.iter();
        for capture in captures.filter(|capture| capture.refund == Refund::None) {
            *kept = kept.saturating_add(i128::from(capture.amount));
        }
        if order.status.is_sold() {
            *owed = owed.saturating_add(i128::from(order.total));
        }
    }

    fn usage(&mut self, usage: &Usage) {
        let want = self.uses.remove(&(usage.sale, usage.customer)).unwrap_or_default();
        let equal =
            i128::from(usage.used) == want.used && usage.holding == want.holding && want.holds <= 1;
        self.require(equal, Rule::S5, || {
            format!(
                "{} of {} uses {} and holds {:?}, but orders say {}, {:?}",
                usage.customer, usage.sale, usage.used, usage.holding, want.used, want.holding
            )
        });
    }

    fn sale(&mut self, sale: &Sale) {
        let available = self.pools.get(&PoolId::Sale(sale.id)).map(|pool| pool.accounts.available);
        self.require(!sale.closed || available == Some(0), Rule::S12, || {
            format!("{} is closed with {available:?} available", sale.id)
        });
    }

    fn address(&mut self, address: &Address) {
        let defaults = self.defaults.entry(address.customer).or_default();
        *defaults = defaults.saturating_add(address.is_default.into());
    }

    fn user(&mut self, user: &User) {
        let Some(account) = &user.account else { return };
        let is_new = self.emails.insert(account.email_index);
        self.require(is_new, Rule::U1, || format!("{} has another user's address", user.id));
    }

    fn audit(&mut self, entry: &AuditEntry) {
        let (seq, hash) = self.audit;
        let follows = entry.seq == seq.saturating_add(1) && entry.previous == hash;
        self.require(follows && entry.hash == entry.chained(), Rule::U3, || {
            format!("entry {} of the audit log does not follow {seq}", entry.seq)
        });
        self.audit = (entry.seq, entry.hash);
    }

    fn audit_head(&mut self, head: &AuditHead) {
        let is_last = self.audit == (head.seq, head.hash);
        let last = self.audit.0;
        self.require(is_last, Rule::U3, || {
            format!("the head of the audit log is {}, its last entry {last}", head.seq)
        });
    }

    fn session(&mut self, session: &Session) {
        if session.kind == SessionKind::Login {
            let logins = self.logins.entry(session.user).or_default();
            *logins = logins.saturating_add(1);
        }
    }

    fn finish(mut self) -> Vec<Violation> {
        for (user, logins) in std::mem::take(&mut self.logins) {
            self.require(logins <= LOGINS_MAX, Rule::U2, || format!("{user} has {logins} logins"));
        }
        let pools = std::mem::take(&mut self.pools);
        let mut sums = std::mem::take(&mut self.sums);
        for (id, pool) in pools {
            self.pool(&pool, sums.remove(&id).unwrap_or_default());
        }
        for id in sums.into_keys() {
            self.require(false, Rule::S1, || format!("{id:?} has movements but no pool"));
        }
        for (order, pool) in std::mem::take(&mut self.units).into_keys() {
            self.require(false, Rule::S9, || format!("{order} moved units of {pool:?} unasked"));
        }
        for ((sale, customer), counted) in std::mem::take(&mut self.uses) {
            self.require(counted.used == 0, Rule::S5, || {
                format!("{customer} has {} of {sale} but no usage", counted.used)
            });
        }
        for (currency, (kept, owed)) in std::mem::take(&mut self.money) {
            self.require(kept == owed, Rule::S11, || {
                format!("{currency:?} {kept} kept, but orders in sold total {owed}")
            });
        }
        for (customer, defaults) in std::mem::take(&mut self.defaults) {
            self.require(defaults == 1, Rule::A1, || {
                format!("{customer} has {defaults} default addresses")
            });
        }
        self.found
    }

    fn pool(&mut self, pool: &Pool, sums: PoolSums) {
        let id = pool.id;
        let accounts = pool.accounts;
        let [available, held, sold, scrapped] =
            [accounts.available, accounts.held, accounts.sold, accounts.scrapped].map(i128::from);
        let stocked = [available, held, sold, scrapped].into_iter().fold(0, i128::saturating_add);
        self.require(stocked == sums.stocked, Rule::S1, || {
            format!("{id:?} counts {stocked}, but {} came in and stayed", sums.stocked)
        });
        for (account, counted, in_ledger) in [
            ("available", available, sums.available),
            ("held", held, sums.held),
            ("sold", sold, sums.sold),
            ("scrapped", scrapped, sums.scrapped),
        ] {
            self.require(counted == in_ledger, Rule::S2, || {
                format!("{id:?} counts {counted} {account}, the ledger {in_ledger}")
            });
        }
        self.require(held == sums.held_by_orders, Rule::S3, || {
            format!("{id:?} holds {held}, unpaid orders {}", sums.held_by_orders)
        });
        self.require(sold == sums.sold_by_orders, Rule::S4, || {
            format!("{id:?} sold {sold}, paid orders {}", sums.sold_by_orders)
        });
        self.require(held.saturating_add(sold) <= sums.stocked, Rule::S6, || {
            format!("{id:?} holds {held} and sold {sold} of {}", sums.stocked)
        });
    }
}
