//! Every response is one that the contract allows. The recorder marks those that are not.

use super::{Evidence, Finding};
use crate::record::classify::BREACH;
use crate::record::history::End;

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("contract");
    for attempt in &evidence.history.attempts {
        finding.count();
        if let End::Info { value } = &attempt.end
            && let Some(breach) = value.get(BREACH)
        {
            let note = format!("{} at {} ns: {breach}", attempt.f, attempt.called);
            finding.wrong_at(attempt.called, note);
        }
    }
    finding
}
