//! Recorded histories: valid ones stay valid, invalid ones stay caught.
//!
//! `regressions/valid/<name>` may not be called false by any checker, and the witness calls it
//! true. `regressions/invalid/<checker>/<name>` is false by that checker (`coverage`: unknown).

use std::fs;
use std::path::{Path, PathBuf};

use firstcome_jepsen::judge::check::{CHECKERS, Evidence, Verdict, judge};

fn places(of: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(of);
    let mut places: Vec<PathBuf> = fs::read_dir(&root)
        .expect("regressions")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    places.sort();
    assert!(!places.is_empty(), "{} is empty", root.display());
    places
}

#[test]
fn valid_histories_stay_valid() {
    for place in places("valid") {
        let evidence = Evidence::read(&place).unwrap();
        for finding in judge(&evidence).findings {
            let place = place.display();
            assert_ne!(finding.verdict, Verdict::False, "{place}: {finding:?}");
            if finding.checker == "witness" {
                assert_eq!(finding.verdict, Verdict::True, "{place}: {finding:?}");
            }
        }
    }
}

#[test]
fn every_checker_rejects_a_history() {
    for checker in CHECKERS {
        let name = checker.name;
        let expected = if name == "coverage" { Verdict::Unknown } else { Verdict::False };
        for place in places(&format!("invalid/{name}")) {
            let finding = (checker.check)(&Evidence::read(&place).unwrap());
            assert_eq!(finding.verdict, expected, "{}: {finding:?}", place.display());
        }
    }
}

#[test]
fn an_error_has_the_time_of_its_request() {
    for (name, what) in [
        ("conservation", "read_does_not_add_up"),
        ("oversell", "one_unit_twice"),
        ("undersell", "refused_with_units_left"),
    ] {
        let checker = CHECKERS.iter().find(|checker| checker.name == name).expect("a checker");
        let places = places(&format!("invalid/{name}"));
        let place = places.iter().find(|place| place.ends_with(what)).expect("a history");
        let evidence = Evidence::read(place).unwrap();
        let at = (checker.check)(&evidence).first_at;
        let asked = evidence.operations.iter().any(|operation| Some(operation.called) == at);
        assert!(asked, "{}: {at:?}", place.display());
    }
}

#[test]
fn a_judged_directory_ends_with_the_code_of_its_verdict() {
    let code = |place: &Path| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_jepsen"))
            .args(["check", "--no-write"])
            .arg(place)
            .output()
            .unwrap();
        output.status.code()
    };
    let wrong = places("invalid/witness").remove(0);
    assert_eq!(code(&wrong), Some(1));
    // Too small to have exercised anything: neither false nor true.
    assert_eq!(code(&places("valid").remove(0)), Some(2));
    assert_eq!(code(Path::new("no-such-run")), Some(3));
    let usage = std::process::Command::new(env!("CARGO_BIN_EXE_jepsen")).arg("judge").output();
    assert_eq!(usage.unwrap().status.code(), Some(64));
}
