//! The witness: the order of the revisions is a linearization.
//!
//! 1. Attempts are merged by key.
//! 2. Writes without a response take their revision from the final dump, or are dropped when no
//!    node shows a trace of them.
//! 3. What no client requested (expiry of orders) is added from the events.
//! 4. Everything is sorted by revision, expiries before writes before reads, and replayed through
//!    the model. Every answer must be the model's, and at the end so must every dump.
//! 5. If A returned before B was called, B sorts after A; a read may share A's revision. An early
//!    refusal is a read that must include what returned more than 200 ms before its call. A local
//!    read promises no age at all; `session` checks what it does promise.
//!
//! If all of this holds, that order is a linearization, found without a search. The steps are the
//! same for every specification and are in this file. What differs (where lost responses left
//! traces, what no client requested, what a dump shows) is in `register` and `stock`.

mod register;
mod stock;

use super::{EARLY_AGE_NS, Evidence, Finding};
use crate::judge::model::Specification;
use crate::judge::operation::{Ended, OperationOf};

/// A write without a response that did take effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved<A = crate::judge::model::stock::Answer> {
    /// Index of the operation in the list of operations.
    pub operation: usize,
    /// The revision that decided it.
    pub revision: u64,
    /// What was decided.
    pub answer: A,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rank {
    Sweep,
    Write,
    Read,
}

/// Changes the state, or says why that is not allowed.
type Change<'a, S> = Box<dyn Fn(&mut S) -> Result<(), String> + 'a>;

enum What<'a, S: Specification> {
    /// Requested by nobody.
    Given(Change<'a, S>),
    Asked {
        operation: &'a OperationOf<S>,
        answer: &'a S::Answer,
    },
}

struct Entry<'a, S: Specification> {
    revision: u64,
    rank: Rank,
    what: What<'a, S>,
    /// When it was called and returned. An expiry has neither; a lost response never returned.
    span: Option<(u64, u64)>,
}

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("witness");
    if evidence.dumps.is_empty() {
        finding.unknown("no node was dumped, so lost responses cannot be placed");
        return finding;
    }
    stock::check(evidence, &mut finding);
    register::check(evidence, &mut finding);
    finding
}

/// The operations with an answer, and those found to have taken effect.
fn entries<'a, S: Specification>(
    operations: &'a [OperationOf<S>],
    resolved: &'a [Resolved<S::Answer>],
) -> Vec<Entry<'a, S>> {
    let mut entries = Vec::with_capacity(operations.len());
    for operation in operations {
        if let Ended::Decided { at, rev, answer } = &operation.ended {
            let read = operation.early || S::is_read(&operation.call);
            entries.push(Entry {
                revision: *rev,
                rank: if read { Rank::Read } else { Rank::Write },
                what: What::Asked { operation, answer },
                span: Some((operation.called, *at)),
            });
        }
    }
    for resolved in resolved {
        if let Some(operation) = operations.get(resolved.operation) {
            entries.push(Entry {
                revision: resolved.revision,
                rank: Rank::Write,
                what: What::Asked { operation, answer: &resolved.answer },
                span: Some((operation.called, u64::MAX)),
            });
        }
    }
    entries
}

/// Steps 4 and 5; returns the final state if the replay got that far.
fn replayed<S: Specification>(mut entries: Vec<Entry<'_, S>>, finding: &mut Finding) -> Option<S> {
    entries.sort_by_key(|entry| (entry.revision, entry.rank));
    finding.checked += entries.len() as u64;
    one_write_each(&entries, finding);
    let state = replay(&entries, finding);
    real_time(&entries, finding);
    state
}

/// One log entry carries one command.
fn one_write_each<S: Specification>(entries: &[Entry<'_, S>], finding: &mut Finding) {
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

/// Replays in the order of the revisions; stops at the first wrong answer, as nothing after it
/// counts.
fn replay<S: Specification>(entries: &[Entry<'_, S>], finding: &mut Finding) -> Option<S> {
    let mut model = S::default();
    for entry in entries {
        match &entry.what {
            What::Given(change) => {
                if let Err(why) = change(&mut model) {
                    finding.wrong(format!("revision {}: {why}", entry.revision));
                    return None;
                }
            }
            What::Asked { operation, answer } => {
                let pool = operation.pool.as_deref().unwrap_or_default();
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

/// Nothing sorts before an operation that had returned when it was called.
fn real_time<S: Specification>(entries: &[Entry<'_, S>], finding: &mut Finding) {
    let mut returned: Vec<(u64, u64)> =
        entries.iter().filter_map(|e| Some((e.span?.1, e.revision))).collect();
    returned.sort_unstable();
    // The highest revision among everything that returned up to each time.
    let mut highest = 0;
    for (_, revision) in &mut returned {
        highest = highest.max(*revision);
        *revision = highest;
    }
    for entry in entries {
        let (Some((called, _)), What::Asked { operation, .. }) = (entry.span, &entry.what) else {
            continue;
        };
        if operation.local {
            continue;
        }
        let since = if operation.early { called.saturating_sub(EARLY_AGE_NS) } else { called };
        let count = returned.partition_point(|(at, _)| *at < since);
        let Some((_, seen)) = returned.get(..count).and_then(<[_]>::last) else { continue };
        let late =
            if entry.rank == Rank::Read { entry.revision < *seen } else { entry.revision <= *seen };
        if late {
            let note = format!(
                "{:?} called at {called} ns carries revision {}, but revision {seen} had already \
                 been answered",
                operation.call, entry.revision
            );
            finding.wrong_at(called, note);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::judge::check::Verdict::{False, True};
    use crate::judge::model::{register, stock};
    use crate::judge::operation::Operation;

    /// An operation without a key.
    fn asked<C, A>(
        pool: &str,
        call: C,
        answer: A,
        rev: u64,
        (called, at): (u64, u64),
    ) -> Operation<C, A> {
        let (pool, ended) = (Some(pool.to_owned()), Ended::Decided { at, rev, answer });
        Operation { pool, key: None, call, called, ended, early: false, local: false }
    }

    fn judged<S: Specification>(operations: &[OperationOf<S>]) -> Finding {
        let mut finding = Finding::new("witness");
        replayed::<S>(entries::<S>(operations, &[]), &mut finding);
        assert_eq!(finding.checked, operations.len() as u64, "{finding:?}");
        finding
    }

    #[track_caller]
    fn says<S: Specification>(operations: &[OperationOf<S>], said: &str)
    where
        OperationOf<S>: Debug,
    {
        let finding = judged::<S>(operations);
        let heard = finding.notes.first().is_some_and(|note| note.contains(said));
        assert!(finding.verdict == False && heard, "{operations:?}: {finding:?}");
    }

    fn created(product: &str, rev: u64, time: (u64, u64)) -> OperationOf<register::Model> {
        let answer = register::Answer::Created { product: product.into(), version: 1 };
        asked(product, register::Call::Create { price: 5 }, answer, rev, time)
    }

    fn read(rev: u64, time: (u64, u64)) -> OperationOf<register::Model> {
        let answer = register::Answer::Value { price: 5, version: 1 };
        asked("prd_1", register::Call::Read, answer, rev, time)
    }

    #[test]
    fn an_entry_of_the_log_decides_one_write() {
        let two = |rev| [created("prd_1", 3, (0, 10)), created("prd_2", rev, (0, 10))];
        assert_eq!(judged::<register::Model>(&two(4)).verdict, True);
        says::<register::Model>(&two(3), "two writes were decided at revision 3");
    }

    #[test]
    fn what_had_been_answered_comes_first() {
        let read_at = |called| {
            let other = created("prd_2", 7, (0, 20));
            [created("prd_1", 3, (0, 10)), other, read(5, (called, 30))]
        };
        assert_eq!(judged::<register::Model>(&read_at(20)).verdict, True, "the same instant");
        says::<register::Model>(&read_at(21), "but revision 7 had already been answered");
        let write_at = |called| [created("prd_1", 7, (0, 10)), created("prd_2", 4, (called, 30))];
        assert_eq!(judged::<register::Model>(&write_at(10)).verdict, True, "the same instant");
        says::<register::Model>(&write_at(11), "but revision 7 had already been answered");
    }

    #[test]
    fn an_early_refusal_leaves_its_key_unused() {
        use stock::{Answer, Call};
        let order = |customer: &str, id: &str, rev, time| {
            let call = Call::Order { customer: customer.into(), quantity: 1 };
            let answer = Answer::Ordered { order: id.into(), pay_by: None };
            asked("sal_1", call, answer, rev, time)
        };
        let sale = Call::Sale { product: None, units: 1, limit: 1 };
        let sale = asked("", sale, Answer::Sale { sale: "sal_1".into() }, 10, (0, 1));
        let cancel = Call::Cancel { order: "ord_a".into() };
        let cancel = asked("sal_1", cancel, Answer::Status("canceled".into()), 12, (4, 5));
        let key = || Some("k-1".to_owned());
        let second = Operation { key: key(), ..order("usr_b", "ord_b", 13, (6, 7)) };
        let refused = Answer::Refused("sold_out".into());
        let ended = Ended::Decided { at: 8, rev: 11, answer: refused };
        let early = Operation { key: key(), ended, early: true, ..second.clone() };
        let all = [sale, order("usr_a", "ord_a", 11, (2, 3)), early, cancel, second];
        let finding = judged::<stock::Model>(&all);
        assert_eq!(finding.verdict, True, "{finding:?}");
    }
}
