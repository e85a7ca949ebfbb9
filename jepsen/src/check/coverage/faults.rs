//! Did the faults happen, and did they take effect?

use super::{Evidence, Finding, floor};

/// A fault every 8 s and 2 s to come back.
const FAULT_EVERY_SECONDS: u64 = 15;

/// Judges what the nemesis did.
pub(super) fn check(evidence: &Evidence, finding: &mut Finding) {
    if evidence.test.nemesis == "none" {
        return;
    }
    let took = evidence.history.faults.iter().filter(|fault| {
        fault.f == evidence.test.nemesis
            && fault.value.get("took_effect").is_some_and(|took| took == true)
    });
    let wanted = (evidence.test.seconds / FAULT_EVERY_SECONDS).max(1);
    floor("faults that took effect", took.count() as u64, wanted, finding);
}
