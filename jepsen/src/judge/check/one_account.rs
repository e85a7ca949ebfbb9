//! An address has at most one account, ever, and a user who signed up can log in.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Evidence, Finding};
use crate::judge::model::account::{Access, accesses};

/// The accesses of one address.
type OfAddress<'a, 'b> = Vec<&'b Access<'a>>;

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("one_account");
    let accesses = accesses(&evidence.history);
    let mut addresses: BTreeMap<&str, OfAddress<'_, '_>> = BTreeMap::new();
    for access in &accesses {
        if let Some(email) = access.text("email") {
            addresses.entry(email).or_default().push(access);
        }
    }
    let blocked: Vec<&Access<'_>> = accesses
        .iter()
        .filter(|access| access.may_have_run() && access.asked.get("blocked").is_some())
        .collect();
    for (email, accesses) in addresses {
        let created: Vec<(u64, &str, u64)> = accesses.iter().filter_map(|it| created(it)).collect();
        if let [_, second, ..] = created.as_slice() {
            let users: Vec<&str> = created.iter().map(|(_, user, _)| *user).collect();
            let note = format!("{email} has the accounts {}", users.join(", "));
            finding.wrong_at(second.0, note);
        }
        finding.checked += u64::from(!created.is_empty());
        same_user(email, created.first().map(|(_, user, _)| *user), &accesses, &mut finding);
        let Some((_, user, since)) = created.first() else { continue };
        for login in accesses.iter().filter(|access| access.refused("login_refused").is_some()) {
            let is_blocked = blocked.iter().any(|access| access.text("user") == Some(*user));
            if !is_blocked && counts(login, *since, &accesses) {
                let note = format!("{email} could not log in at {} ns", login.called);
                finding.wrong_at(login.called, note);
            }
        }
    }
    if finding.checked == 0 {
        finding.unknown("nobody signed up");
    }
    finding
}

/// When an account was asked for, whose it is, and when it was there.
fn created<'a>(access: &Access<'a>) -> Option<(u64, &'a str, u64)> {
    let (at, answer) = access.done().filter(|_| matches!(access.f, "sign_up" | "bootstrap"))?;
    Some((access.called, answer.get("user")?.as_str()?, at))
}

/// Everybody who logs in with one address is the same user.
fn same_user<'a>(
    email: &str,
    mut known: Option<&'a str>,
    accesses: &OfAddress<'a, '_>,
    finding: &mut Finding,
) {
    for login in accesses.iter().filter(|access| access.f == "login") {
        let Some(user) = login.user() else { continue };
        let first = *known.get_or_insert(user);
        if user != first {
            let note = format!("{email} is {first}, and at {} ns it is {user}", login.called);
            finding.wrong_at(login.called, note);
        }
    }
}

/// Whether a login names the password that counts.
fn counts(login: &Access<'_>, signed_up: u64, accesses: &OfAddress<'_, '_>) -> bool {
    let number = login.number("password").unwrap_or_default();
    let sets = |access: &&&Access<'_>| access.f == "set_password" && access.may_have_run();
    let since = if number == 0 {
        Some(signed_up)
    } else {
        let mut set = accesses.iter().filter(sets);
        let set = set.find(|access| access.number("password") == Some(number));
        set.and_then(|access| access.done()).map(|(at, _): (u64, &Value)| at)
    };
    let replaced = accesses.iter().filter(sets).any(|set| set.number("password") > Some(number));
    since.is_some_and(|since| since < login.called) && !replaced
}
