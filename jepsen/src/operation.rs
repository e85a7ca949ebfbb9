//! Operations: attempts that share a key, seen as one request with one answer.
//!
//! An operation runs from its first call to its first definite answer. An early refusal stores no
//! receipt, so it says nothing about its key: it stands beside the operation as a read.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::history::{Attempt, End, History};
use crate::model::stock::{Accounts, Answer, Call};

/// How an operation ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Ended {
    /// Decided at a revision.
    Decided {
        /// When the first definite answer came.
        at: u64,
        /// The deciding (or read) revision.
        rev: u64,
        /// What was decided.
        answer: Answer,
    },
    /// Every attempt was refused before it could run.
    Never,
    /// It may have run.
    Unknown,
}

/// One request, however often it was sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Operation {
    /// The sale, where it is known.
    pub pool: Option<String>,
    /// Its key; reads have none.
    pub key: Option<String>,
    /// What was asked.
    pub call: Call,
    /// When it was first asked.
    pub called: u64,
    /// How it ended.
    pub ended: Ended,
    /// Whether this is an early refusal: a read of what an order would have been told.
    pub early: bool,
}

#[derive(Deserialize)]
struct SaleAsk {
    units: u64,
    limit: u64,
}

#[derive(Deserialize)]
struct OrderAsk {
    customer: String,
    qty: u64,
}

#[derive(Deserialize)]
struct OrderRef {
    order: String,
}

/// Reads what an attempt asked for.
pub fn call_of(attempt: &Attempt) -> anyhow::Result<Call> {
    let asked = || attempt.asked.clone();
    Ok(match attempt.f.as_str() {
        "sale" => {
            let SaleAsk { units, limit } = serde_json::from_value(asked())?;
            Call::Sale { units, limit }
        }
        "order" => {
            let OrderAsk { customer, qty } = serde_json::from_value(asked())?;
            Call::Order { customer, quantity: qty }
        }
        "settle" => Call::Settle { order: serde_json::from_value::<OrderRef>(asked())?.order },
        "cancel" => Call::Cancel { order: serde_json::from_value::<OrderRef>(asked())?.order },
        "stock" => Call::Stock,
        other => bail!("unknown operation {other:?}"),
    })
}

/// Reads what an attempt was told.
pub fn answer_of(f: &str, value: &Value) -> anyhow::Result<Answer> {
    let text = |name: &str| -> anyhow::Result<String> {
        let field = value.get(name).and_then(Value::as_str);
        Ok(field.with_context(|| format!("answer to {f} without {name}"))?.to_owned())
    };
    if value.get("refused").is_some() {
        return Ok(Answer::Refused(text("refused")?));
    }
    Ok(match f {
        "sale" => Answer::Sale { sale: text("sale")? },
        "order" => Answer::Ordered {
            order: text("order")?,
            pay_by: value.get("pay_by").and_then(Value::as_str).map(str::to_owned),
        },
        "settle" | "cancel" => Answer::Status(text("status")?),
        "stock" => Answer::Stock(serde_json::from_value::<Accounts>(value.clone())?),
        other => bail!("unknown operation {other:?}"),
    })
}

/// Collapses the attempts of a history by key.
pub fn collapse(history: &History) -> anyhow::Result<Vec<Operation>> {
    let mut operations: Vec<Operation> = Vec::new();
    let mut by_key: BTreeMap<&str, usize> = BTreeMap::new();
    for attempt in &history.attempts {
        let call = call_of(attempt)
            .with_context(|| format!("process {} at {} ns", attempt.process, attempt.called))?;
        let ended = match &attempt.end {
            End::Ok { at, value, rev, .. } => {
                let answer = answer_of(&attempt.f, value)?;
                Ended::Decided { at: *at, rev: *rev, answer }
            }
            End::Fail => Ended::Never,
            End::Info { .. } => Ended::Unknown,
        };
        if is_reuse(&ended) {
            continue; // Another body under a used key: its own request, refused; `once` judges it.
        }
        let operation = Operation {
            pool: attempt.pool.clone(),
            key: attempt.key.clone(),
            call,
            called: attempt.called,
            ended,
            early: matches!(attempt.end, End::Ok { early: true, .. }),
        };
        let known = attempt.key.as_deref().and_then(|key| by_key.get(key).copied());
        match known.and_then(|at| operations.get_mut(at)) {
            Some(first) if !operation.early => merge(first, operation.ended),
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

fn is_reuse(ended: &Ended) -> bool {
    let Ended::Decided { answer: Answer::Refused(code), .. } = ended else { return false };
    code == "idempotency_key_reused"
}

/// The first decision stands; doubt outlives a `fail` of another attempt.
fn merge(first: &mut Operation, next: Ended) {
    let better = match (&first.ended, &next) {
        (Ended::Decided { at: old, .. }, Ended::Decided { at: new, .. }) => new < old,
        (_, Ended::Decided { .. }) | (Ended::Never, Ended::Unknown) => true,
        _ => false,
    };
    if better {
        first.ended = next;
    }
}
