//! The harness fails when it should: what is broken, silent or a lie is never passed as true.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use firstcome_jepsen::check::{Evidence, Finding, Verdict, judge};

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(name)
}

/// A copy of a recorded run whose history may be spoilt.
fn copied(name: &str, spoil: impl Fn(String) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = recorded(name);
    fs::create_dir(dir.path().join("dump")).unwrap();
    for place in ["test.json", "dump/n1.json", "dump/n2.json", "dump/n3.json"] {
        fs::copy(from.join(place), dir.path().join(place)).unwrap();
    }
    let history = fs::read_to_string(from.join("history.jsonl")).unwrap();
    fs::write(dir.path().join("history.jsonl"), spoil(history)).unwrap();
    dir
}

fn jepsen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jepsen")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    let printed = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&printed).into_owned()
}

fn finding(place: &Path, checker: &str) -> Finding {
    let judgement = judge(&Evidence::read(place).unwrap());
    judgement.findings.into_iter().find(|finding| finding.checker == checker).unwrap()
}

#[test]
fn a_broken_line_of_a_history_fails_the_harness_and_is_named() {
    let dir = copied("valid/whole_life", |history| history.replacen("\"ok\"", "\"okay\"", 1));
    let output = jepsen(&["check", "--no-write", &dir.path().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("line 3"), "{}", said(&output));
}

#[test]
fn a_history_with_a_line_missing_fails_the_harness() {
    let without_the_fifth = |history: String| {
        let kept = history.lines().enumerate().filter(|(at, _)| *at != 4);
        kept.map(|(_, line)| format!("{line}\n")).collect()
    };
    let dir = copied("valid/whole_life", without_the_fifth);
    let output = jepsen(&["check", "--no-write", &dir.path().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("line 5: i is 5, expected 4"), "{}", said(&output));
}

#[test]
fn a_nemesis_that_did_nothing_leaves_the_run_unknown() {
    let place = recorded("invalid/coverage/kills_that_hit_nobody");
    let judgement = judge(&Evidence::read(&place).unwrap());
    assert_eq!(judgement.verdict, Verdict::Unknown, "{judgement:?}");
    let notes = finding(&place, "coverage").notes;
    assert!(notes.iter().any(|note| note.contains("took effect")), "{notes:?}");
}

#[test]
fn a_node_that_lies_about_executed_is_caught() {
    let place = recorded("invalid/once/fail_took_effect");
    let found = finding(&place, "once");
    assert_eq!(found.verdict, Verdict::False);
    assert!(found.notes.iter().any(|note| note.contains("executed: no")), "{:?}", found.notes);
    assert_eq!(judge(&Evidence::read(&place).unwrap()).verdict, Verdict::False);
}

#[test]
fn the_second_opinion_tells_a_wrong_label_from_a_wrong_result() {
    let label = recorded("invalid/witness/two_writes_at_one_revision");
    assert_eq!(finding(&label, "witness").verdict, Verdict::False);
    let second = finding(&label, "wgl");
    assert_eq!(second.verdict, Verdict::True, "{second:?}");
    assert!(second.notes.iter().any(|note| note.contains("a wrong revision")), "{second:?}");

    let result = recorded("invalid/wgl/one_unit_to_two_customers");
    assert_eq!(finding(&result, "witness").verdict, Verdict::False);
    assert_eq!(finding(&result, "wgl").verdict, Verdict::False);
}

#[test]
fn units_that_come_back_without_a_request_are_not_searched() {
    let place = recorded("valid/expired_in_the_entry_of_the_next_order");
    let found = finding(&place, "wgl");
    assert_eq!((found.verdict, found.looked_at), (Verdict::Unknown, 0), "{found:?}");
    assert!(found.notes.iter().any(|note| note.contains("without a request")), "{found:?}");
}
