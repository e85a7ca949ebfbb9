//! Sessions: a process sees its own writes, never goes back in time, and gets at least the
//! `Min-Revision` it asks for.
//!
//! A process is a session. Its revision is the highest one it was told. Replays and early refusals
//! are left out, because they may carry an older revision.

use std::collections::BTreeMap;

use super::{Evidence, Finding};
use crate::judge::operation::is_local;
use crate::record::history::{Attempt, End};
use crate::record::invocation::MIN_REVISION;

/// What a session knows.
#[derive(Default)]
struct Session<'a> {
    revision: u64,
    /// The furthest known status of each of its orders.
    orders: BTreeMap<&'a str, usize>,
}

/// The statuses of an order in sequence. A read must not show an earlier one than its own session
/// reached.
const STATUS_ORDER: [&str; 8] = [
    "payment_pending",
    "paid",
    "shipping",
    "delivered",
    "return_requested",
    "returned",
    "canceled",
    "expired",
];

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("session");
    let mut sessions: BTreeMap<u64, Session<'_>> = BTreeMap::new();
    let mut since = 0_u64;
    for attempt in &evidence.history.attempts {
        let End::Ok { replayed: false, early: false, rev, value, .. } = &attempt.end else {
            continue;
        };
        finding.count();
        let session = sessions.entry(attempt.process).or_default();
        let min = attempt.asked.get(MIN_REVISION).and_then(serde_json::Value::as_u64);
        since += u64::from(min.is_some());
        let about =
            || format!("process {}, {} at {} ns", attempt.process, attempt.f, attempt.called);
        if let Some(min) = min
            && *rev < min
        {
            finding
                .wrong_at(attempt.called, format!("{}: wanted revision {min}, got {rev}", about()));
        } else if *rev < session.revision && !is_local(&attempt.asked) {
            let seen = session.revision;
            finding.wrong_at(
                attempt.called,
                format!("{}: revision {rev} after revision {seen}", about()),
            );
        }
        // A local read that asks for less than its session knows may show less.
        let whole = !is_local(&attempt.asked) || min.is_some_and(|min| min >= session.revision);
        if let Some(why) = session.take(attempt, value, whole) {
            finding.wrong_at(attempt.called, format!("{}: {why}", about()));
        }
        session.revision = session.revision.max(*rev);
    }
    if since == 0 {
        finding.unknown("no read named a minimum revision");
    }
    finding
}

impl<'a> Session<'a> {
    /// Learns from a response; returns what it fails to show of the session's own writes.
    fn take(
        &mut self,
        attempt: &'a Attempt,
        value: &'a serde_json::Value,
        whole: bool,
    ) -> Option<String> {
        let text = |value: &'a serde_json::Value, name: &str| value.get(name)?.as_str();
        let order = text(&attempt.asked, "order").or_else(|| text(value, "order"))?;
        let shown =
            text(value, "status").and_then(|word| STATUS_ORDER.iter().position(|way| *way == word));
        let known = self.orders.get(order).copied();
        if attempt.f == "look" {
            let known = known.filter(|_| whole)?;
            return match shown {
                None => Some(format!("its own {order} is missing: {value}")),
                Some(shown) if shown < known => {
                    Some(format!("its own {order} is shown as {value}"))
                }
                Some(_) => None,
            };
        }
        if let Some(shown) = shown {
            self.orders.insert(order, shown.max(known.unwrap_or(0)));
        }
        None
    }
}
