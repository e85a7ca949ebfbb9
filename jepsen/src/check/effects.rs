//! What took effect, told by the final dumps: the revision of every order and of its end.
//!
//! A write whose answer was lost gets its revision from here, or is dropped when no node shows a
//! trace of it. Rows are matched to requests by customer, sale and quantity; a customer of a lost
//! answer never orders again, so the match is not a guess.

use std::collections::{BTreeMap, BTreeSet};

use crate::dump::{Dump, EventRow, OrderRow};
use crate::model::stock::{Answer, Call};
use crate::operation::{Ended, Operation};

/// A write of unknown outcome that did take effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// Place of the operation in the list of operations.
    pub operation: usize,
    /// The revision that decided it.
    pub revision: u64,
    /// What was decided.
    pub answer: Answer,
}

/// What the dumps show beyond the answers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effects {
    /// Every order of every node, as the most advanced node shows it.
    pub orders: BTreeMap<String, OrderRow>,
    /// Every order event of every node; `None` when no node could list them.
    pub events: Option<BTreeSet<EventRow>>,
    /// Lost answers that took effect.
    pub resolved: Vec<Resolved>,
    /// Orders that no request explains.
    pub orphans: Vec<OrderRow>,
    /// `order.paid` and `order.canceled` events that no request explains.
    pub unasked: Vec<EventRow>,
}

impl Effects {
    /// Matches what nodes show to what clients asked.
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
        for row in self.orders.values().filter(|row| !answered.contains(row.id.as_str())) {
            let key = (row.customer.as_str(), row.pool.as_str(), row.quantity);
            match lost.get_mut(&key).and_then(Vec::pop) {
                Some(operation) => self.resolved.push(Resolved {
                    operation,
                    revision: row.revision,
                    answer: Answer::Ordered { order: row.id.clone(), pay_by: None },
                }),
                None => self.orphans.push(row.clone()),
            }
        }
    }

    fn resolve_ends(&mut self, operations: &[Operation]) {
        let Some(events) = &self.events else { return };
        let mut answered: BTreeSet<(u64, &str)> = BTreeSet::new();
        let mut lost: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (at, operation) in operations.iter().enumerate() {
            let (order, name) = match &operation.call {
                Call::Settle { order } => (order.as_str(), "order.paid"),
                Call::Cancel { order } => (order.as_str(), "order.canceled"),
                Call::Sale { .. } | Call::Order { .. } | Call::Stock => continue,
            };
            match &operation.ended {
                Ended::Decided { rev, answer: Answer::Status(_), .. } => {
                    answered.insert((*rev, order));
                }
                Ended::Unknown => lost.entry((order, name)).or_default().push(at),
                Ended::Decided { .. } | Ended::Never => {}
            }
        }
        for event in events {
            let word = match event.name.as_str() {
                "order.paid" => "paid",
                "order.canceled" => "canceled",
                _ => continue,
            };
            if answered.contains(&(event.revision, event.order.as_str())) {
                continue;
            }
            match lost.get_mut(&(event.order.as_str(), event.name.as_str())).and_then(Vec::pop) {
                Some(operation) => self.resolved.push(Resolved {
                    operation,
                    revision: event.revision,
                    answer: Answer::Status(word.into()),
                }),
                None => self.unasked.push(event.clone()),
            }
        }
    }
}

/// Units of one sale that are held or sold, revision by revision, counted from the dumps alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The units of the sale.
    pub units: u64,
    /// (revision, taken after it), by revision.
    pub steps: Vec<(u64, u64)>,
}

impl Taken {
    /// Units taken right before `revision` was decided.
    pub fn before(&self, revision: u64) -> u64 {
        let at = self.steps.partition_point(|(step, _)| *step < revision);
        at.checked_sub(1).and_then(|last| self.steps.get(last)).map_or(0, |(_, taken)| *taken)
    }
}

/// Counts every sale whose creation was acknowledged; the second list names sales with orders of
/// which no node tells when they gave their units back.
pub fn taken(
    operations: &[Operation],
    effects: &Effects,
) -> (BTreeMap<String, Taken>, Vec<String>) {
    let mut released: BTreeMap<&str, u64> = BTreeMap::new();
    for event in effects.events.iter().flatten() {
        if matches!(
            event.name.as_str(),
            "order.canceled" | "order.expired" | "order.payment_failed" | "order.returned"
        ) {
            released.insert(&event.order, event.revision);
        }
    }
    let mut deltas: BTreeMap<&str, Vec<(u64, i64)>> = BTreeMap::new();
    let mut untold: BTreeSet<String> = BTreeSet::new();
    for row in effects.orders.values() {
        let quantity = i64::try_from(row.quantity).unwrap_or(i64::MAX);
        let steps = deltas.entry(&row.pool).or_default();
        steps.push((row.revision, quantity));
        match released.get(row.id.as_str()) {
            _ if row.takes_units() => {}
            Some(revision) => steps.push((*revision, -quantity)),
            None => {
                untold.insert(row.pool.clone());
            }
        }
    }
    let mut counted = BTreeMap::new();
    for operation in operations {
        let (Call::Sale { units, .. }, Ended::Decided { answer: Answer::Sale { sale }, .. }) =
            (&operation.call, &operation.ended)
        else {
            continue;
        };
        let mut steps = deltas.remove(sale.as_str()).unwrap_or_default();
        steps.sort_unstable();
        let mut sum = 0i64;
        let steps = steps
            .into_iter()
            .map(|(revision, delta)| {
                sum = sum.saturating_add(delta);
                (revision, u64::try_from(sum).unwrap_or(0))
            })
            .collect();
        counted.insert(sale.clone(), Taken { units: *units, steps });
    }
    (counted, untold.into_iter().collect())
}
