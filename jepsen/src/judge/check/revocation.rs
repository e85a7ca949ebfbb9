//! What was revoked stays revoked: no access that begins after the acknowledged end of its session,
//! its role, its password or its user is carried out, on any node.

use super::{Evidence, Finding};
use crate::judge::model::account::{Revocations, accesses};

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("revocation");
    let accesses = accesses(&evidence.history);
    let revocations = Revocations::of(&accesses);
    if revocations.is_empty() {
        finding.unknown("nothing was revoked");
    }
    for access in &accesses {
        finding.count();
        if let Some((why, since)) = revocations.forbid(access) {
            let who = access.session().or_else(|| access.text("email")).unwrap_or_default();
            let note = format!(
                "{} of {who} ({}) at {} ns was carried out, but {why} since {since} ns",
                access.f,
                access.user().unwrap_or_default(),
                access.called
            );
            finding.wrong_at(access.called, note);
        }
    }
    finding
}
