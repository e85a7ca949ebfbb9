//! Every acknowledged order is in every later list of its sale, once.
//!
//! An order is in the set from its acknowledgement on, or from the first list that shows it. If a
//! later list misses it, that list is stale when a still later one has it; otherwise the order is
//! lost. Lists are linearizable, so both are wrong at any time, not only at the end.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Finding};
use crate::judge::model::stock::{Answer, Call};
use crate::judge::operation::Ended;

/// One list of a sale.
struct List<'a> {
    called: u64,
    returned: u64,
    ids: BTreeSet<&'a str>,
}

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("set_full");
    let mut lists: BTreeMap<&str, Vec<List<'_>>> = BTreeMap::new();
    // By sale and order: since when it is in the set.
    let mut added: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for operation in &evidence.operations {
        let sale = operation.pool.as_deref().unwrap_or_default();
        let Ended::Decided { at, answer, .. } = &operation.ended else { continue };
        match (&operation.call, answer) {
            (Call::Order { .. }, Answer::Ordered { order, .. }) => {
                added.insert((sale, order), *at);
            }
            (Call::Orders, Answer::Orders(rows)) => {
                let ids: BTreeSet<&str> = rows.iter().map(|(id, _)| id.as_str()).collect();
                if ids.len() < rows.len() {
                    let note = format!("a list of {sale} at {at} ns shows an order twice");
                    finding.wrong_at(operation.called, note);
                }
                let list = List { called: operation.called, returned: *at, ids };
                lists.entry(sale).or_default().push(list);
            }
            _ => {}
        }
    }
    finding.checked = lists.values().map(|lists| lists.len() as u64).sum();
    if finding.checked == 0 {
        finding.unknown("no list was answered");
    }
    nothing_invented(evidence, &lists, &added, &mut finding);
    for (sale, lists) in &mut lists {
        lists.sort_by_key(|list| list.called);
        for list in lists.iter() {
            for id in &list.ids {
                let since = added.entry((sale, id)).or_insert(u64::MAX);
                *since = list.returned.min(*since);
            }
        }
        let elements = added.range((*sale, "")..).take_while(|((of, _), _)| of == sale);
        for ((_, id), since) in elements {
            held(sale, id, *since, lists, &mut finding);
        }
    }
    finding
}

/// Every list from `since` on has it.
fn held(sale: &str, id: &str, since: u64, lists: &[List<'_>], finding: &mut Finding) {
    let later = lists.iter().filter(|list| list.called > since);
    let Some(missing) = later.clone().find(|list| !list.ids.contains(id)) else { return };
    let again = later.clone().any(|list| list.called > missing.called && list.ids.contains(id));
    let what = if again { "stale" } else { "lost" };
    let called = missing.called;
    finding.wrong_at(
        called,
        format!(
            "{what}: {id} of {sale} was there at {since} ns, but not in the list requested at \
             {called} ns"
        ),
    );
}

/// Everything listed was requested.
fn nothing_invented(
    evidence: &Evidence,
    lists: &BTreeMap<&str, Vec<List<'_>>>,
    added: &BTreeMap<(&str, &str), u64>,
    finding: &mut Finding,
) {
    let explained: BTreeSet<&str> = evidence
        .effects
        .resolved
        .iter()
        .filter_map(|resolved| match &resolved.answer {
            Answer::Ordered { order, .. } => Some(order.as_str()),
            _ => None,
        })
        .collect();
    let mut seen = BTreeSet::new();
    for (sale, lists) in lists {
        for id in lists.iter().flat_map(|list| &list.ids) {
            let known = added.contains_key(&(*sale, *id)) || explained.contains(id);
            if !known && seen.insert(*id) {
                finding.wrong(format!("{id} of {sale} is listed, but nobody added it"));
            }
        }
    }
}
