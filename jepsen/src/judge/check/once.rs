//! Exactly once: one key has one effect and one answer, and a `fail` has no effect.

use std::collections::BTreeMap;

use super::{EARLY_AGE_NS, Evidence, Finding};
use crate::judge::model::stock::{Answer, Call};
use crate::judge::operation::{Ended, Operation, is_reuse};
use crate::record::history::{Attempt, End};

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("once");
    let mut by_key: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
    for attempt in &evidence.history.attempts {
        if let Some(key) = attempt.key.as_deref() {
            by_key.entry(key).or_default().push(attempt);
        }
    }
    finding.checked = by_key.len() as u64;
    for (key, attempts) in &by_key {
        one_answer(key, attempts, &mut finding);
    }
    one_order_each(&evidence.operations, &mut finding);
    nothing_lost(evidence, &mut finding);
    nothing_unasked(evidence, &mut finding);
    finding
}

fn one_answer(key: &str, attempts: &[&Attempt], finding: &mut Finding) {
    let mut first: Option<(&Attempt, u64, &serde_json::Value, u64)> = None;
    let mut decided_now = 0_u64;
    for attempt in attempts {
        let End::Ok { at, value, rev, early: false, replayed } = &attempt.end else { continue };
        if is_reuse(attempt) {
            continue;
        }
        decided_now += u64::from(!replayed);
        let Some((given, _, answer, decided)) = first else {
            first = Some((attempt, *at, value, *rev));
            continue;
        };
        if given.asked != attempt.asked {
            finding.wrong_at(attempt.called, format!("{key}: a second body was accepted"));
        } else if answer != value || decided != *rev {
            finding.wrong_at(
                attempt.called,
                format!(
                    "{key}: answered {answer} at revision {decided}, then {value} at revision {rev}"
                ),
            );
        }
    }
    refused_as_used(key, attempts, finding);
    let Some((given, at, answer, _)) = first else { return };
    if decided_now > 1 {
        finding.wrong(format!("{key}: {decided_now} answers claim to be the first"));
    }
    for attempt in attempts {
        if is_reuse(attempt) && attempt.asked == given.asked {
            finding
                .wrong(format!("{key}: answered {answer}, and refused as used with another body"));
        }
        let early = matches!(attempt.end, End::Ok { early: true, .. });
        if early && attempt.called > at.saturating_add(EARLY_AGE_NS) {
            finding.wrong(format!("{key}: answered {answer}, later refused from a read"));
        }
    }
}

/// A key may be refused as used with another body only if somebody may have used it so by then,
/// answered or not.
fn refused_as_used(key: &str, attempts: &[&Attempt], finding: &mut Finding) {
    for refused in attempts.iter().filter(|attempt| is_reuse(attempt)) {
        let used_otherwise = attempts.iter().any(|other| {
            let is_other = (&other.f, &other.pool, &other.asked)
                != (&refused.f, &refused.pool, &refused.asked);
            let is_before = refused.ended.is_none_or(|ended| other.called <= ended);
            is_other && is_before && !matches!(other.end, End::Fail) && !is_reuse(other)
        });
        if !used_otherwise {
            let note = format!("{key}: refused as used with another body, but nobody used it so");
            finding.wrong_at(refused.called, note);
        }
    }
}

/// No order answers two different keys.
fn one_order_each(operations: &[Operation], finding: &mut Finding) {
    let mut seen: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for operation in operations {
        if let Ended::Decided { answer: Answer::Ordered { order, .. }, .. } = &operation.ended
            && let Some(other) = seen.insert(order, operation.key.as_deref())
        {
            finding.wrong(format!("{order} answers two keys: {other:?}, {:?}", operation.key));
        }
    }
}

/// Once is not never: an order that was acknowledged is shown at the end.
fn nothing_lost(evidence: &Evidence, finding: &mut Finding) {
    if evidence.dumps.is_empty() {
        return;
    }
    for operation in &evidence.operations {
        if let Ended::Decided { answer: Answer::Ordered { order, .. }, .. } = &operation.ended
            && !evidence.effects.orders.contains_key(order)
        {
            let key = operation.key.as_deref().unwrap_or("an order without a key");
            let note = format!("{key}: acknowledged {order}, which no node shows at the end");
            finding.wrong_at(operation.called, note);
        }
    }
}

/// Everything that happened was requested, and not by a request that was told `executed: "no"`.
fn nothing_unasked(evidence: &Evidence, finding: &mut Finding) {
    for row in &evidence.effects.unexplained_orders {
        let denied = denied(&evidence.operations, |operation| {
            operation.pool.as_ref() == Some(&row.pool)
                && matches!(&operation.call, Call::Order { customer, .. } if *customer == row.customer)
        });
        finding.wrong(format!("{} of {} on {}: {denied}", row.id, row.customer, row.pool));
    }
    for event in &evidence.effects.unexplained_events {
        let denied = denied(&evidence.operations, |operation| {
            operation.call.order() == Some(&event.order) && !operation.call.is_read()
        });
        finding.wrong(format!(
            "{} of {} at revision {}: {denied}",
            event.name, event.order, event.revision
        ));
    }
    for (product, version) in &evidence.edits.unexplained_versions {
        finding.wrong(format!("nobody made version {version} of {product}"));
    }
}

fn denied(operations: &[Operation], about: impl Fn(&Operation) -> bool) -> &'static str {
    let told_no = operations.iter().any(|o| o.ended == Ended::Never && about(o));
    if told_no {
        "a request that was answered with `executed: no` took effect"
    } else {
        "no request explains it, so one took effect twice or nobody sent one"
    }
}
