//! Did the clients do enough, and did it matter?

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Finding, floor};
use crate::model::stock::{Answer, Call};
use crate::operation::Ended;

/// Eight sequential clients that wait 100 ms for every answer, with no leader half of the time.
const DECIDED_PER_SECOND: u64 = 40;
/// Every kind is drawn at least once in ten operations.
const KIND_PER_SECOND: u64 = 1;
/// Sales have 1 to 100 units, so even the slowest cell sells one out every other second.
const SOLD_OUT_PER_10_SECONDS: u64 = 5;
/// Open requests on one sale that make it hot.
const CONCURRENCY: usize = 3;

/// Judges what the clients did.
pub(super) fn check(evidence: &Evidence, finding: &mut Finding) {
    let seconds = evidence.test.seconds;
    let mut decided: BTreeMap<&str, u64> = BTreeMap::new();
    let mut sold_out: BTreeSet<&str> = BTreeSet::new();
    for operation in &evidence.operations {
        let Ended::Decided { answer, .. } = &operation.ended else { continue };
        let kind = match operation.call {
            Call::Sale { .. } => "sale",
            Call::Order { .. } => "order",
            Call::Settle { .. } => "settle",
            Call::Cancel { .. } => "cancel",
            Call::Stock => "stock",
        };
        *decided.entry(kind).or_default() += 1;
        if let (Answer::Refused(code), Some(pool)) = (answer, operation.pool.as_deref())
            && code == "sold_out"
        {
            sold_out.insert(pool);
        }
    }
    let all: u64 = decided.values().sum();
    finding.looked_at = all;
    floor("decided operations", all, seconds * DECIDED_PER_SECOND, finding);
    for kind in ["order", "settle", "cancel", "stock"] {
        let count = decided.get(kind).copied().unwrap_or(0);
        floor(&format!("decided {kind}"), count, seconds * KIND_PER_SECOND, finding);
    }
    let edges = sold_out.len() as u64;
    floor("sales sold out", edges, seconds * SOLD_OUT_PER_10_SECONDS / 10, finding);
    let hot = concurrency(evidence) as u64;
    floor("concurrency on one sale", hot, CONCURRENCY as u64, finding);
}

/// The most requests that were open on one sale at once.
fn concurrency(evidence: &Evidence) -> usize {
    let mut edges: Vec<(u64, bool, &str)> = Vec::new();
    for operation in &evidence.operations {
        if let (Ended::Decided { at, .. }, Some(pool)) = (&operation.ended, &operation.pool) {
            edges.push((operation.called, true, pool));
            edges.push((*at, false, pool));
        }
    }
    edges.sort_unstable();
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    let mut most = 0;
    for (_, starts, pool) in edges {
        let count = open.entry(pool).or_default();
        *count = if starts { *count + 1 } else { count.saturating_sub(1) };
        most = most.max(*count);
    }
    most
}
