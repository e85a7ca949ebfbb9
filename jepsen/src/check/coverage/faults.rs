//! Did the faults happen, and did they take effect? Only what was seen counts: a plan does not.

use std::collections::BTreeMap;

use super::{Evidence, Finding, floor};

/// A fault every 5 to 10 s.
const FAULT_EVERY_SECONDS: u64 = 10;

/// Judges what the nemesis did.
pub(super) fn check(evidence: &Evidence, finding: &mut Finding) {
    let test = &evidence.test;
    for missing in &test.missing {
        finding.unsure(format!("did not run: {missing}"));
    }
    if test.nemesis == "none" {
        return;
    }
    let mut took: BTreeMap<String, u64> = BTreeMap::new();
    let mut all = 0;
    for fault in &evidence.history.faults {
        if fault.value.get("took_effect").is_none_or(|took| took != true) {
            continue;
        }
        all += 1;
        let mode = fault.value.get("mode").and_then(|mode| mode.as_str()).unwrap_or_default();
        *took.entry(fault.f.clone()).or_default() += 1;
        *took.entry(format!("{}/{mode}", fault.f)).or_default() += 1;
    }
    let wanted = (test.seconds / FAULT_EVERY_SECONDS).max(1);
    floor("faults that took effect", all, wanted, finding);
    for mode in &test.required {
        let seen = took.get(mode).copied().unwrap_or(0);
        floor(&format!("{mode} that took effect"), seen, 1, finding);
    }
}
