//! What took effect, according to the final dumps: the revision of every order and of its end.
//!
//! A write whose response was lost gets its revision from here, or is dropped when no node shows a
//! trace of it. Rows are matched to requests by customer, sale and quantity. A customer whose
//! response was lost never orders again, so the match is unambiguous.

use std::collections::{BTreeMap, BTreeSet};

use super::witness::Resolved;
use crate::judge::model::stock::{Answer, Call};
use crate::judge::operation::{Ended, Operation};
use crate::record::dump::{Dump, EventRow, LedgerRow, OrderRow};

/// What the dumps show beyond the responses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effects {
    /// Every order of every node, as the most advanced node shows it.
    pub orders: BTreeMap<String, OrderRow>,
    /// Every order event of every node; `None` when no node could list them.
    pub events: Option<BTreeSet<EventRow>>,
    /// Writes that took effect although their response was lost.
    pub resolved: Vec<Resolved>,
    /// Orders that no request explains.
    pub unexplained_orders: Vec<OrderRow>,
    /// Order events that need a request, and that no request explains.
    pub unexplained_events: Vec<EventRow>,
    /// Every movement of units of every node; `None` when no node could list them.
    pub ledger: Option<BTreeSet<LedgerRow>>,
}

impl Effects {
    /// Matches the rows of the dumps to the requests of the clients.
    pub fn of(operations: &[Operation], dumps: &[Dump]) -> Self {
        let mut effects = Self::default();
        let mut by_revision: Vec<&Dump> = dumps.iter().collect();
        by_revision.sort_by_key(|dump| dump.revision);
        for dump in by_revision {
            for row in &dump.orders {
                effects.orders.insert(row.id.clone(), row.clone());
            }
            if let Some(events) = &dump.events {
                effects.events.get_or_insert_default().extend(events.iter().cloned());
            }
            if let Some(ledger) = &dump.ledger {
                effects.ledger.get_or_insert_default().extend(ledger.iter().cloned());
            }
        }
        effects.resolve_orders(operations);
        effects.resolve_ends(operations);
        effects
    }

    fn resolve_orders(&mut self, operations: &[Operation]) {
        let answered: BTreeSet<&str> = operations
            .iter()
            .filter_map(|operation| match &operation.ended {
                Ended::Decided { answer: Answer::Ordered { order, .. }, .. } => {
                    Some(order.as_str())
                }
                _ => None,
            })
            .collect();
        let mut lost: BTreeMap<(&str, &str, u64), Vec<usize>> = BTreeMap::new();
        for (at, operation) in operations.iter().enumerate() {
            if let (Call::Order { customer, quantity }, Ended::Unknown, Some(pool)) =
                (&operation.call, &operation.ended, operation.pool.as_deref())
            {
                lost.entry((customer, pool, *quantity)).or_default().push(at);
            }
        }
        let created =
            self.events.iter().flatten().filter_map(|event| {
                event.pay_by.clone().map(|pay_by| (event.order.as_str(), pay_by))
            });
        let mut pay_by: BTreeMap<&str, String> = created.collect();
        for row in self.orders.values().filter(|row| !answered.contains(row.id.as_str())) {
            let key = (row.customer.as_str(), row.pool.as_str(), row.quantity);
            match lost.get_mut(&key).and_then(Vec::pop) {
                Some(operation) => self.resolved.push(Resolved {
                    operation,
                    revision: row.revision,
                    answer: Answer::Ordered {
                        order: row.id.clone(),
                        pay_by: pay_by.remove(row.id.as_str()),
                    },
                }),
                None => self.unexplained_orders.push(row.clone()),
            }
        }
    }

    /// What became of the orders: a lost response is explained by an event with the status it asked
    /// for.
    fn resolve_ends(&mut self, operations: &[Operation]) {
        let Some(events) = &self.events else { return };
        let mut answered: BTreeSet<(u64, &str)> = BTreeSet::new();
        let mut lost: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (at, operation) in operations.iter().enumerate() {
            let (Some(order), Some(status)) = (operation.call.order(), operation.call.enters())
            else {
                continue;
            };
            match &operation.ended {
                Ended::Decided { rev, answer: Answer::Status(_), .. } => {
                    answered.insert((*rev, order));
                }
                Ended::Unknown => lost.entry((order, status.name())).or_default().push(at),
                Ended::Decided { .. } | Ended::Never => {}
            }
        }
        for event in events {
            let word = event.name.strip_prefix("order.").unwrap_or_default();
            if !REQUESTED.contains(&word)
                || answered.contains(&(event.revision, event.order.as_str()))
            {
                continue;
            }
            match lost.get_mut(&(event.order.as_str(), word)).and_then(Vec::pop) {
                Some(operation) => self.resolved.push(Resolved {
                    operation,
                    revision: event.revision,
                    answer: Answer::Status(word.into()),
                }),
                None => self.unexplained_events.push(event.clone()),
            }
        }
    }
}

/// Statuses that an order enters only by request. The timers that move a parcel on take a day,
/// which is longer than any run.
const REQUESTED: [&str; 6] =
    ["paid", "canceled", "shipping", "delivered", "return_requested", "returned"];

/// The units of one sale, revision by revision: how many there were, and how many of them were held
/// or sold. Counted from orders, events and corrections, not from accounts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitsTaken {
    /// The units it was created with.
    first: u64,
    /// (revision, units, taken) after it, by revision.
    steps: Vec<(u64, u64, u64)>,
}

impl UnitsTaken {
    /// The units, and how many of them were taken, just before `revision` was decided.
    pub fn before(&self, revision: u64) -> (u64, u64) {
        let at = self.steps.partition_point(|(step, ..)| *step < revision);
        let last = at.checked_sub(1).and_then(|last| self.steps.get(last));
        last.map_or((self.first, 0), |(_, units, taken)| (*units, *taken))
    }

    /// The first revision at which more units were taken than existed: (revision, units, taken).
    pub fn overdrawn(&self) -> Option<(u64, u64, u64)> {
        self.steps.iter().copied().find(|(_, units, taken)| taken > units)
    }
}

/// (units, taken) that a revision adds.
type Delta = (i64, i64);

/// Counts every sale whose creation was acknowledged. The second list names sales whose orders
/// released units at a time that no node shows.
pub fn taken(
    operations: &[Operation],
    effects: &Effects,
) -> (BTreeMap<String, UnitsTaken>, Vec<String>) {
    let mut deltas: BTreeMap<&str, BTreeMap<u64, Delta>> = BTreeMap::new();
    let untold = count_orders(effects, &mut deltas);
    let supplied = count_supply(effects, &mut deltas);
    let mut counted = BTreeMap::new();
    for operation in operations {
        let (Call::Sale { units, .. }, Ended::Decided { answer: Answer::Sale { sale }, .. }) =
            (&operation.call, &operation.ended)
        else {
            continue;
        };
        // A ledger includes the initial units.
        let first = if supplied.contains(sale.as_str()) { 0 } else { *units };
        let mut sum: Delta = (i64::try_from(first).unwrap_or(i64::MAX), 0);
        let steps = deltas.remove(sale.as_str()).unwrap_or_default();
        let steps = steps.into_iter().map(|(revision, (units, taken))| {
            sum = (sum.0.saturating_add(units), sum.1.saturating_add(taken));
            (revision, u64::try_from(sum.0).unwrap_or(0), u64::try_from(sum.1).unwrap_or(0))
        });
        counted.insert(sale.clone(), UnitsTaken { first, steps: steps.collect() });
    }
    (counted, untold.into_iter().collect())
}

fn signed(quantity: u64) -> i64 {
    i64::try_from(quantity).unwrap_or(i64::MAX)
}

fn count_orders<'a>(
    effects: &'a Effects,
    deltas: &mut BTreeMap<&'a str, BTreeMap<u64, Delta>>,
) -> BTreeSet<String> {
    let mut released: BTreeMap<&str, u64> = BTreeMap::new();
    for event in effects.events.iter().flatten() {
        if matches!(
            event.name.as_str(),
            "order.canceled" | "order.expired" | "order.payment_failed" | "order.returned"
        ) {
            released.insert(&event.order, event.revision);
        }
    }
    let mut untold: BTreeSet<String> = BTreeSet::new();
    for row in effects.orders.values() {
        let quantity = signed(row.quantity);
        let steps = deltas.entry(&row.pool).or_default();
        steps.entry(row.revision).or_default().1 += quantity;
        match released.get(row.id.as_str()) {
            _ if row.takes_units() => {}
            Some(revision) => steps.entry(*revision).or_default().1 -= quantity,
            None => {
                untold.insert(row.pool.clone());
            }
        }
    }
    untold
}

/// Counts units added, removed or written off; returns the pools with such rows.
fn count_supply<'a>(
    effects: &'a Effects,
    deltas: &mut BTreeMap<&'a str, BTreeMap<u64, Delta>>,
) -> BTreeSet<&'a str> {
    let mut supplied = BTreeSet::new();
    let gone = |account: &str| matches!(account, "outside" | "scrapped");
    for row in effects.ledger.iter().flatten() {
        let delta = match (gone(&row.from), gone(&row.to)) {
            (true, false) => signed(row.quantity),
            (false, true) => -signed(row.quantity),
            _ => continue,
        };
        supplied.insert(row.pool.as_str());
        deltas.entry(&row.pool).or_default().entry(row.revision).or_default().0 += delta;
    }
    supplied
}
