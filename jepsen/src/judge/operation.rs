//! Operations: attempts that share a key, seen as one request with one answer.
//!
//! An operation lasts from its first call to its first definite answer. An early refusal stores no
//! receipt and so says nothing about its key: it counts as a read beside the operation.
//!
//! Every specification reads the history once and picks its own requests.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::Value;

use crate::judge::model::{Specification, stock};
use crate::record::history::{Attempt, End, History};

/// How an operation ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Ended<A = stock::Answer> {
    /// Decided at a revision.
    Decided {
        /// When the first definite answer came.
        at: u64,
        /// The deciding (or read) revision.
        rev: u64,
        /// What was decided.
        answer: A,
    },
    /// Every attempt was refused before it could run.
    Never,
    /// It may have run.
    Unknown,
}

/// One request, however often it was sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Operation<C = stock::Call, A = stock::Answer> {
    /// The sale or product, where it is known.
    pub pool: Option<String>,
    /// Its key; reads have none.
    pub key: Option<String>,
    /// What was asked.
    pub call: C,
    /// When it was first asked.
    pub called: u64,
    /// How it ended.
    pub ended: Ended<A>,
    /// Whether this is an early refusal: a read of what an order would have been told.
    pub early: bool,
    /// Whether this is a local read: of whatever its node had applied, however old.
    pub local: bool,
}

/// An operation of a specification.
pub type OperationOf<S> = Operation<<S as Specification>::Call, <S as Specification>::Answer>;

impl<C, A> Operation<C, A> {
    /// What was decided, with its revision.
    pub const fn decided(&self) -> Option<(u64, &A)> {
        match &self.ended {
            Ended::Decided { rev, answer, .. } => Some((*rev, answer)),
            Ended::Never | Ended::Unknown => None,
        }
    }
}

/// Whether an attempt is a local read.
pub fn is_local(asked: &Value) -> bool {
    asked.get("local").is_some_and(|local| local == true)
}

/// Merges the attempts of a history by key.
pub fn collapse<S: Specification>(history: &History) -> anyhow::Result<Vec<OperationOf<S>>> {
    let mut operations: Vec<OperationOf<S>> = Vec::new();
    let mut by_key: BTreeMap<&str, usize> = BTreeMap::new();
    for attempt in &history.attempts {
        let place = || format!("process {} at {} ns", attempt.process, attempt.called);
        let Some(call) = S::call(&attempt.f, &attempt.asked).with_context(place)? else {
            continue;
        };
        if is_reuse(attempt) {
            continue; // Another body under a used key: its own request, refused; `once` judges it.
        }
        let operation = Operation {
            pool: attempt.pool.clone(),
            key: attempt.key.clone(),
            call,
            called: attempt.called,
            ended: ended::<S>(attempt).with_context(place)?,
            early: matches!(attempt.end, End::Ok { early: true, .. }),
            local: is_local(&attempt.asked),
        };
        let known = attempt.key.as_deref().and_then(|key| by_key.get(key).copied());
        match known.and_then(|at| operations.get_mut(at)) {
            Some(first) if !operation.early => {
                // An attempt that is known not to have run never will, so its call does not count.
                if first.ended == Ended::Never {
                    first.called = operation.called;
                }
                merge(&mut first.ended, operation.ended);
            }
            _ => {
                if let (Some(key), false) = (attempt.key.as_deref(), operation.early) {
                    by_key.insert(key, operations.len());
                }
                operations.push(operation);
            }
        }
    }
    Ok(operations)
}

fn ended<S: Specification>(attempt: &Attempt) -> anyhow::Result<Ended<S::Answer>> {
    Ok(match &attempt.end {
        End::Ok { at, value, rev, .. } => {
            Ended::Decided { at: *at, rev: *rev, answer: S::answer(&attempt.f, value)? }
        }
        End::Fail => Ended::Never,
        End::Info { .. } => Ended::Unknown,
    })
}

/// Whether an attempt was refused because its key had been used with another body.
pub fn is_reuse(attempt: &Attempt) -> bool {
    let End::Ok { value, .. } = &attempt.end else { return false };
    value.get("refused").is_some_and(|code| code == "idempotency_key_reused")
}

/// The first decision stands. Doubt about one attempt outlives a `fail` of another.
fn merge<A>(first: &mut Ended<A>, next: Ended<A>) {
    let better = match (&*first, &next) {
        (Ended::Decided { at: old, .. }, Ended::Decided { at: new, .. }) => new < old,
        (_, Ended::Decided { .. }) | (Ended::Never, Ended::Unknown) => true,
        _ => false,
    };
    if better {
        *first = next;
    }
}
