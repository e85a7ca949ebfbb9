//! Nothing is undersold: nobody is told `sold_out` while units are left, and a sell-out sells every
//! unit.

use super::{Evidence, Finding, effects};
use crate::judge::model::stock::{Answer, Call};
use crate::judge::operation::Ended;
use crate::record::run_event::SOLD_OUT_PHASE;

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("undersell");
    if evidence.dumps.is_empty() {
        finding.unknown("no node was dumped");
        return finding;
    }
    let (taken, untold) = effects::taken(&evidence.operations, &evidence.effects);
    for sale in &untold {
        finding.unknown(format!("{sale}: no node shows when all of its units were released"));
    }
    for operation in evidence.operations.iter().filter(|operation| !operation.early) {
        let (Call::Order { quantity, .. }, Ended::Decided { rev, answer, .. }, Some(sale)) =
            (&operation.call, &operation.ended, operation.pool.as_deref())
        else {
            continue;
        };
        if *answer != Answer::Refused("sold_out".into()) || untold.iter().any(|u| u == sale) {
            continue;
        }
        let Some(taken) = taken.get(sale) else { continue };
        finding.count();
        let (units, taken) = taken.before(*rev);
        let left = units.saturating_sub(taken);
        if left >= *quantity {
            finding.wrong_at(
                operation.called,
                format!(
                    "revision {rev}: {sale} refused {quantity} as sold out while {left} were left"
                ),
            );
        }
    }
    if evidence.history.faults.iter().any(|fault| fault.f == SOLD_OUT_PHASE) {
        all_sold(evidence, &mut finding);
    } else {
        finding.unknown("the run has no sell-out phase");
    }
    finding
}

/// After the sell-out phase, `sold = stocked - scrapped` on every node.
fn all_sold(evidence: &Evidence, finding: &mut Finding) {
    for dump in &evidence.dumps {
        for (sale, accounts) in &dump.pools {
            finding.count();
            if accounts.sold + accounts.scrapped != accounts.stocked {
                finding.wrong(format!(
                    "{}: {sale} is not completely sold after the sell-out: {accounts:?}",
                    dump.node
                ));
            }
        }
    }
}
