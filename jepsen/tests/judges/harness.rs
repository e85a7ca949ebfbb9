//! The harness fails when it should: a broken run, idle faults or a lie never count as true.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use firstcome_jepsen::judge::check::{Evidence, Finding, Verdict, judge};

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(name)
}

/// A copy of a recorded run with a changed history.
fn copied(name: &str, spoil: impl Fn(String) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let from = recorded(name);
    fs::create_dir(dir.path().join("dump")).expect("a directory");
    for place in ["test.json", "dump/n1.json", "dump/n2.json", "dump/n3.json"] {
        fs::copy(from.join(place), dir.path().join(place)).expect("a recorded file");
    }
    let history = fs::read_to_string(from.join("history.jsonl")).expect("a recorded history");
    fs::write(dir.path().join("history.jsonl"), spoil(history)).expect("a history");
    dir
}

fn jepsen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jepsen")).args(arguments).output().expect("jepsen")
}

fn said(output: &Output) -> String {
    let printed = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&printed).into_owned()
}

fn finding(place: &Path, checker: &str) -> Finding {
    let judgement = judge(&Evidence::read(place).expect("a recorded run"));
    let found = judgement.findings.into_iter().find(|finding| finding.checker == checker);
    found.expect("the checker was asked")
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
        let kept = history.lines().enumerate().filter(|(at, _)| *at != 4).map(|(_, line)| line);
        kept.collect::<Vec<_>>().join("\n")
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
    assert_eq!((found.verdict, found.checked), (Verdict::Unknown, 0), "{found:?}");
    assert!(found.notes.iter().any(|note| note.contains("without a request")), "{found:?}");
}

#[test]
fn a_report_names_the_verdict_and_the_first_error_without_the_network() {
    let dir = copied("invalid/wgl/one_unit_to_two_customers", |history| history);
    let output = jepsen(&["check", &dir.path().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report = fs::read_to_string(dir.path().join("report.html")).unwrap();
    for expected in [
        "The nodes broke a promise",
        "id=first-error",
        "Where the search got stuck: sal_1",
        "What was not tested",
        "jepsen run --workload flash_sale --set 'a.b=&quot;two words&quot;'",
    ] {
        assert!(report.contains(expected), "no {expected:?} in {report}");
    }
    let outside = ["http://", "https://", "src=", "@import", "url("];
    assert!(!outside.iter().any(|text| report.contains(text)), "{report}");
}

#[test]
fn what_a_client_wrote_cannot_break_out_of_a_report() {
    let spoil = |history: String| history.replace("usr_b", "<script>x</script>");
    let dir = copied("invalid/witness/stale_read", spoil);
    jepsen(&["check", &dir.path().to_string_lossy()]);
    let report = fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(report.contains("&lt;script&gt;") && !report.contains("<script"), "{report}");
}

#[test]
fn one_unreadable_directory_does_not_hide_the_verdict_of_another() {
    let wrong = recorded("invalid/wgl/one_unit_to_two_customers");
    let output = jepsen(&["check", "--no-write", "no-such-run", &wrong.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("is this a run directory?"), "{}", said(&output));
}

#[test]
fn a_missing_binary_is_named_before_anything_starts() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path().to_string_lossy().into_owned();
    for verb in ["run", "matrix", "soak"] {
        let output = jepsen(&[verb, "--binary", "no-such-binary", "--store", &store]);
        assert_eq!(output.status.code(), Some(3), "{verb}: {}", said(&output));
        assert!(said(&output).contains("cargo build --release"), "{verb}: {}", said(&output));
    }
    assert_eq!(fs::read_dir(&store).unwrap().count(), 0);
}
