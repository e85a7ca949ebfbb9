//! Somebody always stays who can sign in as an admin.
//!
//! Changes of roles are replayed in the order of their revisions. Whoever may have become an admin
//! by a request without a response counts as one, until a later change of the same user settles it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Finding};
use crate::judge::model::account::{Access, Outcome, accesses};

const ADMIN: &str = "admin";

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("last_admin");
    let accesses = accesses(&evidence.history);
    let mut changes: Vec<(u64, u64, &Access<'_>)> = Vec::new();
    for access in accesses.iter().filter(|access| access.f == "manage") {
        if let Outcome::Done { at, rev, .. } = access.outcome {
            changes.push((rev, at, access));
        }
    }
    changes.sort_by_key(|(rev, ..)| *rev);
    let mut admins = first_admins(&accesses);
    let is_known = !admins.is_empty();
    // The version up to which each user is settled.
    let mut settled: BTreeMap<&str, u64> = BTreeMap::new();
    for (rev, at, access) in changes {
        let Some(user) = access.text("user") else { continue };
        settled.insert(user, access.number("version").unwrap_or_default());
        if access.text("role") == Some(ADMIN) {
            admins.insert(user);
        } else if takes_away(access) && admins.remove(user) {
            finding.count();
            let may_be = || accesses.iter().any(|other| may_become_admin(other, at, &settled));
            if is_known && admins.is_empty() && !may_be() {
                let note = format!("revision {rev} took the last admin, {user}");
                finding.wrong_at(access.called, note);
            }
        }
    }
    if finding.checked == 0 {
        finding.unknown("no admin was demoted");
    }
    finding
}

/// The user who logged in with the address of the first admin: its creation may have had no answer.
fn first_admins<'a>(accesses: &[Access<'a>]) -> BTreeSet<&'a str> {
    let created = accesses.iter().filter(|access| access.f == "bootstrap");
    let emails: BTreeSet<&str> = created.filter_map(|access| access.text("email")).collect();
    let logins = accesses.iter().filter(|access| access.f == "login");
    let theirs = logins.filter(|login| login.text("email").is_some_and(|it| emails.contains(it)));
    theirs.filter_map(Access::user).collect()
}

fn takes_away(access: &Access<'_>) -> bool {
    let blocks = access.asked.get("blocked").is_some_and(|blocked| blocked == true);
    blocks || access.text("role").is_some_and(|role| role != ADMIN)
}

/// Whether an access without a response may have made an admin by this time.
fn may_become_admin(access: &Access<'_>, by: u64, settled: &BTreeMap<&str, u64>) -> bool {
    let makes = access.f == "manage" && access.text("role") == Some(ADMIN);
    let user = access.text("user").unwrap_or_default();
    let is_open = settled.get(user).is_none_or(|version| Some(*version) < access.number("version"));
    makes && access.outcome == Outcome::Unknown && access.called < by && is_open
}
