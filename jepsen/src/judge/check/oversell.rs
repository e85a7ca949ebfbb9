//! Nothing is oversold: counted from reads and dumps, without the model.

use std::collections::BTreeMap;

use super::{Evidence, Finding, effects};
use crate::judge::model::stock::{Accounts, Answer, Call};
use crate::judge::operation::Ended;

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("oversell");
    if evidence.dumps.is_empty() {
        finding.unknown("no node was dumped");
        return finding;
    }
    let (taken, untold) = effects::taken(&evidence.operations, &evidence.effects);
    for (sale, taken) in &taken {
        finding.count();
        if let Some((revision, units, sum)) = taken.overdrawn()
            && !untold.contains(sale)
        {
            let note = format!("{sale} had {sum} of {units} units taken at revision {revision}");
            finding.wrong_at(evidence.asked_at(revision), note);
        }
    }
    for sale in &untold {
        finding.unknown(format!("{sale}: no node shows when all of its units were released"));
    }
    for operation in &evidence.operations {
        if let Ended::Decided { rev, answer: Answer::Stock(read), .. } = &operation.ended {
            let sale = operation.pool.as_deref().unwrap_or_default();
            balanced(sale, read, Some(operation.called), &format!("revision {rev}"), &mut finding);
        }
    }
    for dump in &evidence.dumps {
        for (sale, accounts) in &dump.pools {
            balanced(sale, accounts, None, &dump.node, &mut finding);
        }
    }
    limits(evidence, &mut finding);
    finding
}

fn balanced(sale: &str, read: &Accounts, at: Option<u64>, place: &str, finding: &mut Finding) {
    finding.count();
    let sum = read.available + read.held + read.sold + read.scrapped;
    if read.held + read.sold + read.scrapped > read.stocked {
        finding.wrong_at(at, format!("{place}: {sale} is oversold: {read:?}"));
    } else if sum != read.stocked {
        finding.wrong_at(at, format!("{place}: the accounts of {sale} do not add up: {read:?}"));
    }
}

/// No customer ends up with more units of a sale than its limit.
fn limits(evidence: &Evidence, finding: &mut Finding) {
    let mut limits: BTreeMap<&str, u64> = BTreeMap::new();
    for operation in &evidence.operations {
        if let (Call::Sale { limit, .. }, Ended::Decided { answer: Answer::Sale { sale }, .. }) =
            (&operation.call, &operation.ended)
        {
            limits.insert(sale, *limit);
        }
    }
    let mut used: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in evidence.effects.orders.values().filter(|row| row.takes_units()) {
        *used.entry((&row.pool, &row.customer)).or_default() += row.quantity;
    }
    for ((sale, customer), units) in used {
        if limits.get(sale).is_some_and(|limit| units > *limit) {
            finding.wrong(format!("{customer} has {units} units of {sale}, more than its limit"));
        }
    }
}
