//! Did the clients do enough, and did it matter?

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Finding, floor};
use crate::judge::model::account::{self, Outcome};
use crate::judge::model::register;
use crate::judge::model::stock::{Answer, Call};
use crate::judge::operation::{Ended, Operation};
use crate::record::run_event::{NOT_RECOVERED, RECOVERED};

/// What a workload must have done in every ten seconds.
struct Floors {
    workload: &'static str,
    /// Decided operations of any kind.
    decided: u64,
    /// Kinds with their floors.
    kinds: &'static [(&'static str, u64)],
    /// Sales that ran out of units.
    sold_out: u64,
    /// Concurrent requests on one sale or product, so that there is contention.
    concurrency: u64,
}

/// Eight sequential clients with a response time of 100 ms, and no leader for half of the time.
const BUSY: u64 = 400;

/// The runs that gate a change, and the shortest way to them. These must reach the numbers of the
/// test plan, 8 000 decided operations and 50 sales sold out per minute. The lowest measured under
/// `kill` on two shared cores is 39 000 and 267.
const GATE_WORKLOADS: [&str; 2] = ["flash_sale", "orders_once"];
const GATE_NEMESES: [&str; 3] = ["none", "kill", "chaos"];
const GATE_DECIDED_PER_MINUTE: u64 = 8_000;
const GATE_SOLD_OUT_PER_MINUTE: u64 = 50;

/// The floors. A kind that makes up at least a tenth of the requests must be decided once a second;
/// a rarer one, or one that needs several steps before it, once in two to ten seconds. Sales have 1
/// to 100 units, so even the slowest run sells one out every other second when nothing else is done
/// on them. `deadline` orders every 400 ms, and `cold_start` waits for whole restarts. `accounts` hashes
/// a password for every sign-up and login, one at a time on each node.
const FLOORS: &[Floors] = &[
    Floors {
        workload: "flash_sale",
        decided: BUSY,
        kinds: &[("order", 10), ("settle", 10), ("cancel", 10), ("stock", 10)],
        sold_out: 5,
        concurrency: 3,
    },
    Floors {
        workload: "orders_once",
        decided: BUSY,
        kinds: &[("order", 10), ("settle", 10), ("stock", 10), ("replay", 10), ("reuse", 5)],
        sold_out: 2,
        concurrency: 3,
    },
    Floors {
        workload: "order_set",
        decided: BUSY,
        kinds: &[("order", 10), ("settle", 10), ("orders", 20)],
        sold_out: 1,
        concurrency: 3,
    },
    Floors {
        workload: "sessions",
        decided: BUSY,
        kinds: &[("order", 10), ("settle", 10), ("cancel", 5), ("look", 10), ("stock", 10)],
        sold_out: 1,
        concurrency: 3,
    },
    Floors {
        workload: "register",
        decided: BUSY,
        kinds: &[("read", 50), ("price", 50), ("version_mismatch", 5)],
        sold_out: 0,
        concurrency: 3,
    },
    Floors {
        workload: "conservation",
        decided: BUSY,
        kinds: &[
            ("order", 10),
            ("settle", 10),
            ("cancel", 5),
            ("ship", 5),
            ("deliver", 5),
            ("return", 2),
            ("receive", 2),
            ("adjust", 5),
            ("allot", 5),
            ("close", 1),
            ("stock", 10),
        ],
        sold_out: 1,
        concurrency: 3,
    },
    Floors {
        workload: "deadline",
        decided: 60,
        kinds: &[("order", 30), ("settle", 5), ("cancel", 5), ("expired", 5), ("late", 2)],
        sold_out: 0,
        concurrency: 2,
    },
    Floors {
        workload: "cold_start",
        decided: 40,
        kinds: &[("order", 5), ("orders", 5)],
        sold_out: 0,
        concurrency: 2,
    },
    Floors {
        workload: "accounts",
        decided: 150,
        kinds: &[
            ("sign_up", 1),
            ("login", 5),
            ("refresh", 5),
            ("logout", 1),
            ("me", 5),
            ("rename", 5),
            ("staff_read", 5),
            ("staff_write", 5),
            ("manage", 5),
            ("token_revoked", 10),
            ("permission_denied", 5),
            ("code_invalid", 5),
            ("user_blocked", 1),
            ("session_reuse", 1),
        ],
        sold_out: 0,
        concurrency: 0,
    },
];

/// Judges what the clients did.
pub(super) fn check(evidence: &Evidence, finding: &mut Finding) {
    let Some(floors) = FLOORS.iter().find(|f| f.workload == evidence.metadata.workload) else {
        finding.unknown(format!("{} has no floors", evidence.metadata.workload));
        return;
    };
    let accounts: Vec<&str> = account::accesses(&evidence.history)
        .into_iter()
        .filter_map(|access| match access.outcome {
            Outcome::Done { .. } => Some(access.f),
            Outcome::Refused { code, .. } => Some(code),
            Outcome::Never | Outcome::Unknown => None,
        })
        .collect();
    let mut decided = decided(evidence);
    for kind in &accounts {
        *decided.entry(kind).or_default() += 1;
    }
    let sold_out: BTreeSet<&str> = evidence
        .operations
        .iter()
        .filter(|o| o.decided().is_some_and(|(_, a)| a.refused() == Some("sold_out")))
        .filter_map(|o| o.pool.as_deref())
        .collect();
    let all = (evidence.operations.iter().filter(|o| o.decided().is_some()).count()
        + evidence.edits.operations.iter().filter(|o| o.decided().is_some()).count()
        + accounts.len()) as u64;
    finding.checked = all;
    let wanted = |per_ten_seconds| evidence.metadata.seconds * per_ten_seconds / 10;
    let (mut least, mut edges) = (wanted(floors.decided), wanted(floors.sold_out));
    if gates(evidence) {
        least = least.max(evidence.metadata.seconds * GATE_DECIDED_PER_MINUTE / 60);
        edges = edges.max(evidence.metadata.seconds * GATE_SOLD_OUT_PER_MINUTE / 60);
    }
    floor("decided operations", all, least, finding);
    for (kind, per_ten_seconds) in floors.kinds {
        let count = decided.get(kind).copied().unwrap_or(0);
        floor(&format!("decided {kind}"), count, wanted(*per_ten_seconds), finding);
    }
    floor("sales sold out", sold_out.len() as u64, edges, finding);
    let hot = concurrency(&evidence.operations).max(concurrency(&evidence.edits.operations));
    floor("concurrent requests on one sale or product", hot, floors.concurrency, finding);
    began_empty(evidence, finding);
    began_healthy(evidence, floors.decided, finding);
}

fn gates(evidence: &Evidence) -> bool {
    let (workload, nemesis) =
        (evidence.metadata.workload.as_str(), evidence.metadata.nemesis.as_str());
    GATE_WORKLOADS.contains(&workload) && GATE_NEMESES.contains(&nemesis)
}

/// How often each kind was decided. Also counts what only attempts, events or refusals show.
fn decided(evidence: &Evidence) -> BTreeMap<&str, u64> {
    let mut decided: BTreeMap<&str, u64> = BTreeMap::new();
    let mut count = |kind: &'static str| *decided.entry(kind).or_default() += 1;
    for operation in &evidence.operations {
        let Some((_, answer)) = operation.decided() else { continue };
        count(operation.call.name());
        if matches!(answer.refused(), Some("order_not_payable" | "not_cancelable")) {
            count("late");
        }
    }
    for operation in &evidence.edits.operations {
        match (operation.call, operation.decided()) {
            (_, None) | (register::Call::Create { .. }, _) => {}
            (register::Call::Read, _) => count("read"),
            (_, Some((_, register::Answer::Refused(_)))) => count("version_mismatch"),
            _ => count("price"),
        }
    }
    for attempt in &evidence.history.attempts {
        if crate::judge::operation::is_reuse(attempt) {
            count("reuse");
        } else if matches!(attempt.end, crate::record::history::End::Ok { replayed: true, .. }) {
            count("replay");
        }
    }
    for event in evidence.effects.events.iter().flatten() {
        if event.name == "order.expired" {
            count("expired");
        }
    }
    decided
}

/// The run began with an empty cluster: nothing is older than its first decision.
fn began_empty(evidence: &Evidence, finding: &mut Finding) {
    let first = evidence
        .operations
        .iter()
        .filter(|o| matches!(o.call, Call::Sale { .. } | Call::Product { .. }))
        .filter_map(Operation::decided)
        .filter(|(_, answer)| !matches!(answer, Answer::Refused(_)))
        .map(|(rev, _)| rev)
        .min();
    let older =
        evidence.effects.orders.values().filter(|row| first.is_none_or(|f| row.revision < f));
    let older = older.count();
    if older > 0 {
        finding.unknown(format!("{older} orders were there before the run began"));
    }
}

/// Before the first fault the clients were at least as fast as they must be on average.
fn began_healthy(evidence: &Evidence, per_ten_seconds: u64, finding: &mut Finding) {
    let by_harness = [RECOVERED, NOT_RECOVERED];
    let first = evidence.history.faults.iter().find(|f| !by_harness.contains(&f.f.as_str()));
    let Some(until) = first.map(|fault| fault.t) else { return };
    let seconds = until / 1_000_000_000;
    if evidence.metadata.nemesis == "none" || seconds >= evidence.metadata.seconds {
        return;
    }
    let before = |attempt: &&crate::record::history::Attempt| matches!(attempt.end, crate::record::history::End::Ok { at, .. } if at < until);
    let count = evidence.history.attempts.iter().filter(before).count() as u64;
    floor("answers before the first fault", count, seconds * per_ten_seconds / 10, finding);
}

/// The largest number of concurrent requests on one sale or product.
fn concurrency<C, A>(operations: &[Operation<C, A>]) -> u64 {
    let mut edges: Vec<(u64, bool, &str)> = Vec::new();
    for operation in operations {
        if let (Ended::Decided { at, .. }, Some(pool)) = (&operation.ended, &operation.pool) {
            edges.push((operation.called, true, pool));
            edges.push((*at, false, pool));
        }
    }
    edges.sort_unstable();
    let mut open: BTreeMap<&str, u64> = BTreeMap::new();
    let mut most = 0;
    for (_, starts, pool) in edges {
        let count = open.entry(pool).or_default();
        *count = if starts { *count + 1 } else { count.saturating_sub(1) };
        most = most.max(*count);
    }
    most
}
