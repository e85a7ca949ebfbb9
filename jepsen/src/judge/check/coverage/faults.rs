//! Did the faults happen and take effect? Only what was observed counts, not what was planned.

use std::collections::BTreeSet;

use super::{Evidence, Finding, floor};
use crate::judge::check::RunMetadata;
use crate::record::history::Event;

/// A fault every 5 to 10 s.
const FAULT_EVERY_SECONDS: u64 = 10;

/// In chaos one fault may keep another from taking effect: a full disk on a node that is cut off
/// never gets a write. So a run must show most kinds, not all of them.
const CHAOS_PERCENT: usize = 75;

/// Judges what the nemesis did.
pub(super) fn check(evidence: &Evidence, finding: &mut Finding) {
    judge(&evidence.metadata, &evidence.history.faults, finding);
}

fn judge(test: &RunMetadata, faults: &[Event], finding: &mut Finding) {
    for missing in &test.missing {
        finding.unknown(format!("did not run: {missing}"));
    }
    if test.nemesis == "none" {
        return;
    }
    let mut took: BTreeSet<String> = BTreeSet::new();
    let mut all = 0;
    for fault in faults.iter().filter(|fault| fault.is_of_fault()) {
        if fault.value.get("took_effect").is_none_or(|took| took != true) {
            continue;
        }
        all += 1;
        let mode = fault.value.get("mode").and_then(|mode| mode.as_str()).unwrap_or_default();
        took.extend([fault.f.clone(), format!("{}/{mode}", fault.f)]);
    }
    let wanted = (test.seconds / FAULT_EVERY_SECONDS).max(1);
    floor("faults that took effect", all, wanted, finding);
    if test.nemesis == "chaos" {
        let kinds = test.required.iter().filter(|kind| took.contains(*kind)).count();
        let wanted = test.required.len() * CHAOS_PERCENT / 100;
        let none: Vec<&str> =
            test.required.iter().map(String::as_str).filter(|k| !took.contains(*k)).collect();
        let what = format!("kinds of faults that took effect (without {})", none.join(", "));
        floor(&what, kinds as u64, wanted as u64, finding);
        if !none.is_empty() && kinds >= wanted {
            finding.note(format!("kinds of faults without effect: {}", none.join(", ")));
        }
        return;
    }
    for mode in &test.required {
        floor(&format!("{mode} that took effect"), took.contains(mode).into(), 1, finding);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::judge::check::Verdict;

    fn fault(f: &str, mode: &str, took_effect: bool) -> Event {
        let value = json!({"mode": mode, "took_effect": took_effect});
        Event { f: f.to_owned(), value, ..Event::default() }
    }

    #[track_caller]
    fn check(test: &RunMetadata, faults: &[Event], expected: &[&str]) {
        let mut finding = Finding::new("coverage");
        judge(test, faults, &mut finding);
        assert_eq!(finding.notes.len(), expected.len(), "{finding:?}");
        for (note, part) in finding.notes.iter().zip(expected) {
            assert!(note.contains(part), "{note}");
        }
        let verdict = if expected.is_empty() { Verdict::True } else { Verdict::Unknown };
        assert_eq!(finding.verdict, verdict);
    }

    #[test]
    fn faults_that_did_nothing_leave_the_run_unknown() {
        let required = vec!["kill/leader".to_owned()];
        let test =
            RunMetadata { nemesis: "kill".into(), seconds: 20, required, ..RunMetadata::default() };
        let took = [fault("kill", "leader", true), fault("kill", "one", true)];
        check(&test, &took, &[]);
        // The seeded bug `silent_nemesis`: every fault is claimed and none is carried out.
        let silent = [fault("kill", "leader", false), fault("kill", "one", false)];
        check(&test, &silent, &["faults that took effect: 0", "kill/leader"]);
        check(&test, &[], &["faults that took effect: 0", "kill/leader"]);
        let others = [fault("kill", "one", true), fault("kill", "all", true)];
        check(&test, &others, &["kill/leader that took effect: 0"]);
        let few = ["faults that took effect: 1, below the floor of 2"];
        check(&test, &took[..1], &few);
        // Clocks set forward together so that holds expire break nothing, and a step is not a
        // fault.
        let advance = fault("clock", "advance", true);
        let mut step = fault("kill", "one", true);
        step.value["phase"] = json!("step");
        check(&test, &[took[0].clone(), advance, step], &few);
    }

    #[test]
    fn in_chaos_most_kinds_are_asked_for_in_any_mode() {
        let required = ["kill", "link", "stop", "pause"].map(str::to_owned).to_vec();
        let test = RunMetadata {
            nemesis: "chaos".into(),
            seconds: 10,
            required,
            ..RunMetadata::default()
        };
        let took = ["kill", "link", "pause"].map(|kind| fault(kind, "all", true));
        let mut finding = Finding::new("coverage");
        judge(&test, &took, &mut finding);
        assert_eq!(finding.verdict, Verdict::True);
        assert_eq!(finding.notes, ["kinds of faults without effect: stop"]);
        check(&test, &took[..2], &["without stop, pause"]);
    }

    #[test]
    fn what_could_not_be_carried_out_is_named() {
        let missing = vec!["disk/eio needs a fault build".to_owned()];
        let test = RunMetadata { nemesis: "none".into(), missing, ..RunMetadata::default() };
        check(&test, &[], &["did not run: disk/eio needs a fault build"]);
    }
}
