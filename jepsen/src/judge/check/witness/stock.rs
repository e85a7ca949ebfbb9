//! The witness for stock: expiries are taken from the events, and every order and account of every
//! dump must be the model's.
//!
//! Lost responses leave traces: an order in the list of orders, its later statuses in the events.
//! Sales, corrections, allotments and closings leave no trace that names their request, so
//! workloads send them until their outcome is known. If one stays open all the same, the result is
//! unknown.

use std::collections::BTreeMap;

use super::{Entry, Rank, What, entries, replayed};
use crate::judge::check::{Evidence, Finding};
use crate::judge::model::stock::{Call, Model};
use crate::judge::operation::{Ended, Operation};
use crate::record::dump::{Dump, EventRow};

pub(super) fn check(evidence: &Evidence, finding: &mut Finding) {
    if let Some(why) = unplaced(evidence) {
        finding.unknown(why);
        return;
    }
    let mut entries = entries::<Model>(&evidence.operations, &evidence.effects.resolved);
    let events = || evidence.effects.events.iter().flatten();
    entries.extend(events().filter(|event| event.name == "order.expired").map(expiry));
    if let Some(model) = replayed(entries, finding) {
        for dump in &evidence.dumps {
            compare_dump(&model, dump, finding);
        }
    }
    in_time(events(), finding);
    ended_when_needed(evidence, finding);
}

fn expiry(event: &EventRow) -> Entry<'_, Model> {
    Entry {
        revision: event.revision,
        rank: Rank::Sweep,
        what: What::Given(Box::new(|model: &mut Model| {
            model.expire(&event.order, event.at.as_deref())
        })),
        span: None,
    }
}

/// Why the lost responses cannot be placed, if they cannot.
fn unplaced(evidence: &Evidence) -> Option<String> {
    let lost = |is: fn(&Operation) -> bool| {
        evidence.operations.iter().find(|o| o.ended == Ended::Unknown && is(o))
    };
    let end = lost(|operation| operation.call.enters().is_some());
    if end.is_some() && evidence.effects.events.is_none() {
        return Some("responses about orders were lost, and no node lists its events".into());
    }
    let traceless = lost(|operation| {
        matches!(
            operation.call,
            Call::Sale { product: Some(_), .. }
                | Call::Adjust { .. }
                | Call::Allot { .. }
                | Call::Close
        )
    })?;
    Some(format!("the outcome of {:?} on {:?} is unknown", traceless.call, traceless.pool))
}

/// Every order of the model is on the node with the same status, no other order is there, and the
/// accounts are equal.
fn compare_dump(model: &Model, dump: &Dump, finding: &mut Finding) {
    let node = &dump.node;
    let rows: BTreeMap<&str, &str> =
        dump.orders.iter().map(|row| (row.id.as_str(), row.status.as_str())).collect();
    let mut known = 0;
    for (id, status) in model.orders() {
        match rows.get(id) {
            Some(shown) if *shown == status.name() => known += 1,
            Some(shown) => {
                finding.wrong(format!("{node} shows {id} as {shown}, not {}", status.name()));
            }
            None => finding.wrong(format!("{node} has lost {id} ({})", status.name())),
        }
    }
    if finding.notes.is_empty() && known < rows.len() {
        finding.wrong(format!("{node} shows {} orders that nobody placed", rows.len() - known));
    }
    for (pool, accounts) in model.pools() {
        let product = || dump.products.get(pool).map(|row| &row.accounts);
        match dump.pools.get(pool).or_else(product) {
            Some(shown) if accounts == *shown => {}
            Some(shown) => {
                finding.wrong(format!("{node} shows {pool} as {shown:?}, not {accounts:?}"));
            }
            None => finding.wrong(format!("{node} has lost {pool}")),
        }
    }
}

/// One decision expires at most this many overdue holds of a sale.
const ENDED_AT_ONCE: usize = 100;

/// When an order is due, and the revisions at which it was placed and stopped being pending.
#[derive(Default)]
struct Hold<'a> {
    pay_by: Option<&'a str>,
    placed: u64,
    left: Option<u64>,
}

/// An overdue hold expires as soon as its units are wanted: nobody is told that a sale is sold out
/// while some of its orders are overdue by log time.
fn ended_when_needed(evidence: &Evidence, finding: &mut Finding) {
    let mut times: Vec<(u64, &str)> = Vec::new();
    let mut holds: BTreeMap<&str, Hold<'_>> = BTreeMap::new();
    for event in evidence.effects.events.iter().flatten() {
        times.extend(event.at.as_deref().map(|at| (event.revision, at)));
        let hold = holds.entry(&event.order).or_default();
        if let Some(by) = event.pay_by.as_deref() {
            (hold.pay_by, hold.placed) = (Some(by), event.revision);
        }
        if event.from.as_deref() == Some("payment_pending") {
            hold.left = Some(event.revision);
        }
    }
    times.sort_unstable();
    let mut latest = "";
    for (_, at) in &mut times {
        latest = latest.max(at);
        *at = latest;
    }
    let mut of_sale: BTreeMap<&str, Vec<&Hold<'_>>> = BTreeMap::new();
    for row in evidence.effects.orders.values() {
        of_sale.entry(&row.pool).or_default().extend(holds.get(row.id.as_str()));
    }
    for operation in evidence.operations.iter().filter(|operation| !operation.early) {
        let (Some((rev, answer)), Some(sale)) = (operation.decided(), operation.pool.as_deref())
        else {
            continue;
        };
        if answer.refused() != Some("sold_out") {
            continue;
        }
        let known = times.partition_point(|(revision, _)| *revision <= rev);
        let Some((_, now)) = times.get(..known).and_then(<[_]>::last) else { continue };
        let is_over = |hold: &&&Hold<'_>| {
            let is_pending = hold.placed < rev && hold.left.is_none_or(|left| left > rev);
            is_pending && hold.pay_by.is_some_and(|by| by <= *now)
        };
        let overdue = of_sale.get(sale).into_iter().flatten().filter(is_over).count();
        if (1..=ENDED_AT_ONCE).contains(&overdue) {
            let note = format!(
                "revision {rev}: {sale} was sold out at {now} or later, although {overdue} of its \
                 orders were overdue"
            );
            finding.wrong_at(operation.called, note);
        }
    }
}

/// A hold ends at its due time: nothing is paid or canceled at or after `pay_by` in log time.
fn in_time<'a>(events: impl Iterator<Item = &'a EventRow>, finding: &mut Finding) {
    let mut pay_by: BTreeMap<&str, &str> = BTreeMap::new();
    for event in events {
        if let Some(by) = &event.pay_by {
            pay_by.insert(&event.order, by);
        }
        let left_pending = event.from.as_deref() == Some("payment_pending");
        if let (Some(at), Some(by)) = (event.at.as_deref(), pay_by.get(event.order.as_str()))
            && left_pending
            && event.name != "order.expired"
            && at >= *by
        {
            finding.wrong(format!(
                "revision {}: {} of {} at {at}, but it was due at {by}",
                event.revision, event.name, event.order
            ));
        }
    }
}
