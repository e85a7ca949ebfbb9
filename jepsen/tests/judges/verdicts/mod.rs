//! The checkers, one change at a time: a correct run, one thing changed in it, the verdict that
//! must follow, and the facts that one of its notes must name.
//!
//! Facts are ids, nodes, revisions and counts. The wording of a note is free.

mod accounts;
mod coverage;
mod fixture;
mod nodes;
mod once;
mod sessions;
mod stock;
mod wgl;
mod witness;

use firstcome_jepsen::judge::check::{CHECKERS, Checker, RunMetadata, Verdict};
use serde_json::{Value, json};

use Verdict::{False, True, Unknown};
use fixture::{Run, stock as accounts};

/// What is changed, the verdict, and the facts that one note names. A fact that starts with `!`
/// must not be named. A true finding without facts has no notes at all.
type Case = (fn(&mut Run), Verdict, &'static [&'static str]);

/// Checks every case with this checker.
#[track_caller]
fn check(checker: &str, cases: &[Case]) {
    for (at, (change, verdict, facts)) in cases.iter().enumerate() {
        let mut run = Run::correct();
        change(&mut run);
        let finding = run.finding(checker);
        let place = format!("case {at} of {checker}, {facts:?}: {finding:?}");
        assert_eq!(finding.verdict, *verdict, "{place}");
        if *verdict == True && facts.is_empty() {
            assert!(finding.notes.is_empty(), "{place}");
            continue;
        }
        let names = |note: &String, fact: &&str| match fact.strip_prefix('!') {
            Some(other) => !note.contains(other),
            None => note.contains(*fact),
        };
        let names_all = |note: &String| facts.iter().all(|fact| names(note, fact));
        assert!(finding.notes.iter().any(names_all), "{place}");
    }
}

#[test]
fn a_correct_run_is_true_for_every_checker() {
    let run = Run::correct();
    let applies = |c: &&Checker| c.name != "coverage" && !accounts::CHECKERS.contains(&c.name);
    for checker in CHECKERS.iter().filter(applies) {
        let finding = run.finding(checker.name);
        assert_eq!(finding.verdict, True, "{finding:?}");
        assert!(finding.checked > 0, "{finding:?}");
    }
}

#[test]
fn a_checker_applies_only_to_runs_it_can_judge() {
    let asked = |workload: &str| -> Vec<&str> {
        let test = RunMetadata { workload: workload.into(), ..RunMetadata::default() };
        CHECKERS.iter().filter(|c| (c.applies)(&test)).map(|c| c.name).collect()
    };
    let always = ["convergence", "recovery", "contract", "log_scan", "coverage"];
    let trades = ["witness", "wgl", "once"];
    let sells = ["oversell", "undersell", "conservation"];
    for (workload, more) in [
        ("accounts", &[][..]),
        ("register", &[]),
        ("flash_sale", &sells),
        ("order_set", &["oversell", "undersell", "conservation", "set_full"]),
        ("cold_start", &["oversell", "undersell", "conservation", "set_full"]),
        ("sessions", &["oversell", "undersell", "conservation", "session"]),
    ] {
        let kind: &[&str] = if workload == "accounts" { &accounts::CHECKERS } else { &trades };
        let mut expected: Vec<&str> = always.iter().chain(kind).chain(more).copied().collect();
        let mut found = asked(workload);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{workload}");
    }
    // Their holds expire, so they cannot be searched.
    for workload in ["conservation", "deadline"] {
        assert!(!asked(workload).contains(&"wgl"), "{workload}");
    }
}

#[test]
fn the_first_error_has_the_time_of_its_request() {
    let mut run = Run::correct();
    // A read at the same revision, before it, is not the decision.
    run.lines[2]["f"] = json!("stock");
    run.lines[3]["f"] = json!("stock");
    run.lines[3]["value"] = accounts(2, [2, 0, 0, 0]);
    run.lines[3]["rev"] = json!(12);
    run.each_dump(|dump| {
        dump.orders[0].customer = "usr_b".into();
        dump.ledger.as_mut().unwrap()[0].quantity = 1;
    });
    let finding = run.finding("conservation");
    assert_eq!(finding.verdict, False);
    let asked = run.lines.iter().find(|line| line["key"] == "k-2").unwrap();
    assert_eq!(json!(finding.first_at), asked["t"], "{finding:?}");
}

#[test]
fn an_unknown_operation_is_rejected() {
    let mut run = Run::correct();
    run.keyed(90, "time", "", Value::Null, json!({"now": "2026-01-01T00:00:00.000Z"}), 30);
    run.evidence();
    run.keyed(90, "dance", "", Value::Null, Value::Null, 30);
    assert!(run.read().is_err());
}
