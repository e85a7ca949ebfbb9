//! The witness: the order told by the revisions is a linearization.
//!
//! 1. Attempts are collapsed by key.
//! 2. Writes without an answer take their revision from the final dump, or are dropped when no
//!    node shows a trace of them.
//! 3. What no client sent (orders that expired) is added from the events.
//! 4. Everything is sorted by revision, sweeps before writes before reads, and replayed through
//!    the model; every answer must be the model's. In the end the dumps must be the model's too.
//! 5. If A returned before B was called, B sorts after A; a read may share A's revision. An early
//!    refusal is a read that must include what returned more than 200 ms before its call.
//!
//! If all hold, that order is a linearization: sound, and no search.

use super::{EARLY_AGE_NS, Evidence, Finding};
use crate::dump::Dump;
use crate::model::stock::{Answer, Call, Model};
use crate::operation::{Ended, Operation};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rank {
    Sweep,
    Write,
    Read,
}

enum What<'a> {
    Expiry { order: &'a str, at: Option<&'a str> },
    Asked { operation: &'a Operation, answer: &'a Answer },
}

struct Entry<'a> {
    revision: u64,
    rank: Rank,
    what: What<'a>,
    /// Called and returned; a sweep has neither, a lost answer never returned.
    span: Option<(u64, u64)>,
}

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("witness");
    if evidence.dumps.is_empty() {
        finding.unsure("no node was dumped, so lost answers cannot be placed");
        return finding;
    }
    let mut entries = entries(evidence);
    entries.sort_by_key(|entry| (entry.revision, entry.rank));
    finding.looked_at = entries.len() as u64;
    if evidence.effects.events.is_none() && has_lost_ends(&evidence.operations) {
        finding.unsure("answers to settle or cancel were lost and no node lists its events");
        return finding;
    }
    one_write_each(&entries, &mut finding);
    if let Some(model) = replay(&entries, &mut finding) {
        for dump in &evidence.dumps {
            compare_dump(&model, dump, &mut finding);
        }
    }
    real_time(&entries, &mut finding);
    finding
}

fn entries(evidence: &Evidence) -> Vec<Entry<'_>> {
    let mut entries = Vec::with_capacity(evidence.operations.len());
    for operation in &evidence.operations {
        if let Ended::Decided { at, rev, answer } = &operation.ended {
            let read = operation.early || operation.call == Call::Stock;
            entries.push(Entry {
                revision: *rev,
                rank: if read { Rank::Read } else { Rank::Write },
                what: What::Asked { operation, answer },
                span: Some((operation.called, *at)),
            });
        }
    }
    for resolved in &evidence.effects.resolved {
        if let Some(operation) = evidence.operations.get(resolved.operation) {
            entries.push(Entry {
                revision: resolved.revision,
                rank: Rank::Write,
                what: What::Asked { operation, answer: &resolved.answer },
                span: Some((operation.called, u64::MAX)),
            });
        }
    }
    for event in evidence.effects.events.iter().flatten() {
        if event.name == "order.expired" {
            entries.push(Entry {
                revision: event.revision,
                rank: Rank::Sweep,
                what: What::Expiry { order: &event.order, at: event.at.as_deref() },
                span: None,
            });
        }
    }
    entries
}

fn has_lost_ends(operations: &[Operation]) -> bool {
    operations.iter().any(|operation| {
        operation.ended == Ended::Unknown
            && matches!(operation.call, Call::Settle { .. } | Call::Cancel { .. })
    })
}

/// One log entry carries one command.
fn one_write_each(entries: &[Entry<'_>], finding: &mut Finding) {
    let writes: Vec<u64> =
        entries.iter().filter(|e| e.rank == Rank::Write).map(|e| e.revision).collect();
    for pair in writes.windows(2) {
        if let [a, b] = pair
            && a == b
        {
            finding.wrong(format!("two writes were decided at revision {a}"));
        }
    }
}

/// Replays in label order; stops at the first answer that differs, as nothing after it counts.
fn replay(entries: &[Entry<'_>], finding: &mut Finding) -> Option<Model> {
    let mut model = Model::default();
    for entry in entries {
        match &entry.what {
            What::Expiry { order, at } => {
                if let Err(why) = model.expire(order, *at) {
                    finding.wrong(format!("revision {}: {why}", entry.revision));
                    return None;
                }
            }
            What::Asked { operation, answer } => {
                let created = match answer {
                    Answer::Sale { sale } => Some(sale.as_str()),
                    _ => None,
                };
                let pool = operation.pool.as_deref().or(created).unwrap_or_default();
                let expected = match entry.rank {
                    Rank::Read => model.predict(pool, &operation.call, answer),
                    _ => model.step(pool, operation.key.as_deref(), &operation.call, answer),
                };
                if expected != **answer {
                    let note = format!(
                        "revision {}: {:?} on {pool} was answered {answer:?}, the model says \
                         {expected:?}",
                        entry.revision, operation.call
                    );
                    finding.wrong_at(operation.called, note);
                    return None;
                }
            }
        }
    }
    Some(model)
}

/// Every order the model knows is on the node as the model says; no order is there besides; and
/// the accounts are equal.
fn compare_dump(model: &Model, dump: &Dump, finding: &mut Finding) {
    let node = &dump.node;
    let rows: std::collections::BTreeMap<&str, &str> =
        dump.orders.iter().map(|row| (row.id.as_str(), row.status.as_str())).collect();
    let mut known = 0;
    for (id, status) in model.orders() {
        match rows.get(id) {
            Some(shown) if *shown == status.word() => known += 1,
            Some(shown) => {
                finding.wrong(format!("{node} shows {id} as {shown}, not {}", status.word()));
            }
            None => finding.wrong(format!("{node} has lost {id} ({})", status.word())),
        }
    }
    if finding.notes.is_empty() && known < rows.len() {
        finding.wrong(format!("{node} shows {} orders nobody made", rows.len() - known));
    }
    for (pool, shown) in &dump.pools {
        if let Some(accounts) = model.accounts(pool)
            && accounts != *shown
        {
            finding.wrong(format!("{node} shows {pool} as {shown:?}, not {accounts:?}"));
        }
    }
}

/// Nothing sorts before what had returned when it was called.
fn real_time(entries: &[Entry<'_>], finding: &mut Finding) {
    let mut returned: Vec<(u64, u64)> =
        entries.iter().filter_map(|e| Some((e.span?.1, e.revision))).collect();
    returned.sort_unstable();
    // The highest revision among all that returned up to each instant.
    let mut highest = 0;
    for (_, revision) in &mut returned {
        highest = highest.max(*revision);
        *revision = highest;
    }
    for entry in entries {
        let (Some((called, _)), What::Asked { operation, .. }) = (entry.span, &entry.what) else {
            continue;
        };
        let since = if operation.early { called.saturating_sub(EARLY_AGE_NS) } else { called };
        let count = returned.partition_point(|(at, _)| *at < since);
        let seen = count.checked_sub(1).and_then(|last| returned.get(last)).map_or(0, |r| r.1);
        let late =
            if entry.rank == Rank::Read { entry.revision < seen } else { entry.revision <= seen };
        if late && seen > 0 {
            let note = format!(
                "{:?} called at {called} ns carries revision {}, but revision {seen} had already \
                 been answered",
                operation.call, entry.revision
            );
            finding.wrong_at(called, note);
        }
    }
}
