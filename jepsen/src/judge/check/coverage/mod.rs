//! Did the run exercise what it claims to test? Unknown if it did not; never false.
//!
//! The floors are low on purpose. They tell a run that did nothing from one that did something on a
//! slow, shared machine, and change only in review.

mod faults;
mod load;

use super::{Evidence, Finding};

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("coverage");
    load::check(evidence, &mut finding);
    faults::check(evidence, &mut finding);
    finding
}

fn floor(what: &str, seen: u64, wanted: u64, finding: &mut Finding) {
    if seen < wanted {
        finding.unknown(format!("{what}: {seen}, below the floor of {wanted}"));
    }
}
