//! A code from a mail: after five wrong tries, on whatever nodes, the right one is worthless; and it
//! is exchanged once.

use std::collections::BTreeMap;

use super::{Evidence, Finding};
use crate::judge::model::account::{Access, accesses};

/// Wrong tries after which a code is used up.
const TRIES: usize = 5;

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("tries");
    let accesses = accesses(&evidence.history);
    let mut addresses: BTreeMap<&str, Vec<&Access<'_>>> = BTreeMap::new();
    for access in accesses.iter().filter(|access| matches!(access.f, "verify" | "guess")) {
        addresses.entry(access.text("email").unwrap_or_default()).or_default().push(access);
    }
    let mut used_up = 0_u64;
    for (email, accesses) in addresses {
        let codes = accesses.iter().filter(|it| it.f == "verify" && it.may_have_run()).count();
        if codes != 1 {
            continue; // Nobody knows which code was tried.
        }
        finding.count();
        let is_right = |access: &&&Access<'_>| access.asked["right"] == true;
        let guesses = || accesses.iter().filter(|access| access.f == "guess");
        let wrong: Vec<u64> = guesses()
            .filter(|guess| !is_right(guess))
            .filter_map(|guess| guess.refused("code_invalid"))
            .collect();
        let mut exchanged = None;
        for guess in guesses() {
            let judged = wrong.iter().filter(|at| **at < guess.called).count();
            used_up += u64::from(is_right(&guess) && judged >= TRIES);
            if guess.done().is_none() {
                continue;
            }
            let about = format!("the code of {email} at {} ns", guess.called);
            if !is_right(&guess) {
                finding.wrong_at(guess.called, format!("{about} was taken, and is wrong"));
            } else if judged >= TRIES {
                let note = format!("{about} was taken after {judged} wrong ones");
                finding.wrong_at(guess.called, note);
            } else if let Some(first) = exchanged.replace(guess.called) {
                finding.wrong_at(guess.called, format!("{about} was taken before, at {first} ns"));
            }
        }
    }
    if used_up == 0 {
        finding.unknown("no code was tried again after five wrong tries");
    }
    finding
}
