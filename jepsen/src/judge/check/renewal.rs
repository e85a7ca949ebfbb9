//! Renewing a session: the same token gives everybody the same successor, no older one is taken,
//! and a renewal within the grace period does not count as reuse.

use std::collections::BTreeMap;

use super::{Evidence, Finding};
use crate::judge::model::account::{Access, accesses};

/// A token still gives its successor for 30 s of log time after it was used first. Log time may run
/// ahead of the time of this machine by less than the difference.
const GRACE_NS: u64 = 25_000_000_000;

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("renewal");
    let accesses = accesses(&evidence.history);
    let mut sessions: BTreeMap<&str, Vec<&Access<'_>>> = BTreeMap::new();
    for access in accesses.iter().filter(|access| access.f == "refresh") {
        sessions.entry(access.session().unwrap_or_default()).or_default().push(access);
    }
    // Where clocks were wrong, nobody knows how long the grace was.
    let clocks_were_right = !evidence.history.faults.iter().any(|fault| fault.f == "clock");
    let mut shared = 0_u64;
    for renewals in sessions.values() {
        for renewal in renewals {
            finding.count();
            renewed(renewal, renewals, &mut finding, &mut shared);
            if clocks_were_right {
                in_time(renewal, renewals, &mut finding);
            }
        }
    }
    if shared == 0 {
        finding.unknown("no token was used twice");
    }
    finding
}

fn generation(access: &Access<'_>) -> u64 {
    access.number("generation").unwrap_or_default()
}

/// A renewal gives the successor that the others got, and not after that one was used.
fn renewed(
    renewal: &Access<'_>,
    of_session: &[&Access<'_>],
    finding: &mut Finding,
    shared: &mut u64,
) {
    let Some((_, answer)) = renewal.done() else { return };
    let used = generation(renewal);
    let about = || {
        let session = renewal.session().unwrap_or_default();
        format!("{session} was renewed with generation {used} at {} ns", renewal.called)
    };
    if answer.get("generation").and_then(serde_json::Value::as_u64) != Some(used + 1) {
        let note = format!("{}: the next one is {:?}", about(), answer.get("generation"));
        finding.wrong_at(renewal.called, note);
    }
    for other in of_session {
        let Some((at, theirs)) = other.done().filter(|_| other.called < renewal.called) else {
            continue;
        };
        if generation(other) == used {
            *shared += 1;
            if theirs.get("refresh") != answer.get("refresh") {
                let note = format!("{}: another successor than at {} ns", about(), other.called);
                finding.wrong_at(renewal.called, note);
            }
        } else if generation(other) > used && at < renewal.called {
            let newer = generation(other);
            let note = format!("{}, after generation {newer} had been used at {at} ns", about());
            finding.wrong_at(renewal.called, note);
        }
    }
}

/// Nobody is taken for a thief whose token was the newest, or the one before for a short time.
fn in_time(renewal: &Access<'_>, of_session: &[&Access<'_>], finding: &mut Finding) {
    let Some(at) = renewal.refused("session_reuse") else { return };
    let used = generation(renewal);
    let ran = |other: &&&Access<'_>| other.may_have_run() && other.called < at;
    let was_outdated = of_session.iter().filter(ran).any(|other| generation(other) > used);
    let same = of_session.iter().filter(ran).filter(|other| generation(other) == used);
    let first = same.map(|other| other.called).min().unwrap_or(renewal.called);
    if !was_outdated && at.saturating_sub(first) < GRACE_NS {
        let note = format!(
            "{} was closed at {} ns because of generation {used}, which was first used at {first} \
             ns, and its successor never",
            renewal.session().unwrap_or_default(),
            renewal.called
        );
        finding.wrong_at(renewal.called, note);
    }
}
