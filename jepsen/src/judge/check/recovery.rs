//! The cluster recovers: after the last fault every node serves again within 30 s, without help. A
//! node that ended for no known reason, or with an error when asked to stop, counts as not
//! recovered.

use std::time::Duration;

use super::{Evidence, Finding};
use crate::record::run_event::{NODE_EXITED, NOT_RECOVERED, RECOVERED, STILL_OPEN, UNEXPECTED};

/// The time limit after the last fault: first for a leader, then for every node to serve.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("recovery");
    let faults = &evidence.history.faults;
    let said = |name: &str| faults.iter().find(|fault| fault.f == name);
    finding.checked = evidence.metadata.nodes as u64;
    for fault in faults {
        let unexplained = fault.value.get("explained").is_none_or(|explained| explained != true);
        if fault.f == NODE_EXITED && unexplained {
            finding.wrong_at(
                fault.t,
                format!("a node exited, and no fault explains it: {}", fault.value),
            );
        } else if fault.f == UNEXPECTED {
            finding.wrong_at(fault.t, format!("no fault explains it: {}", fault.value));
        }
    }
    if let Some(open) = said(STILL_OPEN) {
        let since = open.value.as_str().unwrap_or_default();
        finding.unknown(format!("some requests still had no outcome {since} on a healed cluster"));
    }
    if let Some(fault) = said(NOT_RECOVERED) {
        let note = format!("not every node served within 30 s: {}", fault.value);
        finding.wrong_at(fault.t, note);
    } else if said(RECOVERED).is_none() {
        finding.unknown("the run does not say whether the cluster recovered");
    }
    finding
}
