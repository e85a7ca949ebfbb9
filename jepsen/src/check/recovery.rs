//! It comes back: after the last fault every node serves again within 30 s, without help.

use super::{Evidence, Finding};

/// What the harness says when every node was ready again.
pub const RECOVERED: &str = "recovered";
/// What it says when one was not within the time.
pub const NOT_RECOVERED: &str = "not_recovered";

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("recovery");
    let said = |name: &str| evidence.history.faults.iter().find(|fault| fault.f == name);
    finding.looked_at = evidence.test.nodes as u64;
    if let Some(fault) = said(NOT_RECOVERED) {
        finding.wrong(format!("not every node was ready within 30 s: {}", fault.value));
    } else if said(RECOVERED).is_none() {
        finding.unsure("the run does not say whether the cluster came back");
    }
    finding
}
