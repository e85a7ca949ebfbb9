//! Rows of the simulation (L3): runs seed after seed with the bug armed, until one fails.
//!
//! The last line of a failed run names the check that noticed: `violation: <check>: <text>`. Only a
//! check named by the row counts. A panic, a node that stops by itself and a timeout are reported
//! in the same way, but no row names them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;

use super::{Outcome, TestResult, finish};
use crate::drive::binary;

/// A bug that this many seeds do not notice is missed.
const SEEDS: u64 = 100;
/// Start of the line that names the check.
const SAID: &str = "violation: ";

/// Runs seed after seed; `checks` names the checks that may notice, separated by " or ".
pub(super) fn prove(sim: &Path, bug: &str, checks: &str) -> Outcome {
    if let Err(error) = binary::ensure_built(sim, "--sim", "cd jepsen/sim && cargo build") {
        return Outcome::NotRun(format!("{error:#}"));
    }
    let began = Instant::now();
    // A bug may break something else first. Such a seed shows nothing, but the next one may.
    let mut other = None;
    for seed in 1..=SEEDS {
        match run(sim, bug, seed).map(|said| judge(&said, seed, checks)) {
            Ok(TestResult::Passed) => {}
            Ok(TestResult::Failed(words)) => return Outcome::Caught(began.elapsed(), words),
            Ok(TestResult::Nothing(why)) => other = other.or(Some(why)),
            Err(error) => return Outcome::Worthless(format!("seed {seed}: {error:#}")),
        }
    }
    other.map_or(Outcome::Missed, Outcome::Worthless)
}

/// The output of one run; empty if it took too long.
fn run(sim: &Path, bug: &str, seed: u64) -> anyhow::Result<String> {
    let store = std::env::temp_dir().join(format!("firstcome-prove-{}", std::process::id()));
    let mut command = Command::new(sim);
    command.args(["run", "--short", "--bug", bug, "--seed", &seed.to_string(), "--store"]);
    command.arg(&store).env_remove("FIRSTCOME_FAULT_BUG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().with_context(|| format!("cannot start {}", sim.display()))?;
    Ok(finish(child)?.unwrap_or_default())
}

/// Whether a run failed, and by which check.
fn judge(said: &str, seed: u64, checks: &str) -> TestResult {
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    if last.starts_with(&format!("seed {seed} held, ")) {
        return TestResult::Passed;
    }
    let Some(violation) = last.strip_prefix(SAID) else {
        return TestResult::Nothing(format!(
            "seed {seed}: names no violation; its last line is: {last}"
        ));
    };
    let short: String = violation.chars().take(300).collect();
    let named = |check| violation.strip_prefix(check).is_some_and(|text| text.starts_with(": "));
    if checks.split(" or ").any(named) {
        TestResult::Failed(format!("seed {seed}: {short}"))
    } else {
        TestResult::Nothing(format!("seed {seed}: another check failed first: {short}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_named_check_in_the_last_line_counts() {
        let said = |last: &str| format!("seed 7 FAILED, digest 0: x\n\nfiles: y\n{last}\n");
        let hash = said("violation: hash: n1 differs");
        assert_eq!(
            judge(&hash, 7, "clock or hash"),
            TestResult::Failed("seed 7: hash: n1 differs".into())
        );
        for said in [
            said("violation: panic: hash: at 7"),
            said("violation: hashes: n1 differs"),
            said("violation: hash: n1 differs") + "killed",
            "seed 8 held, digest 0: x".to_owned(),
            String::new(),
        ] {
            assert!(matches!(judge(&said, 7, "clock or hash"), TestResult::Nothing(_)), "{said}");
        }
        assert_eq!(judge("seed 7 held, digest 0: x\n", 7, "hash"), TestResult::Passed);
    }

    #[test]
    fn without_a_simulation_nothing_is_proved() {
        let outcome = prove(Path::new("/nowhere/sim"), "no_receipt", "once");
        assert!(matches!(&outcome, Outcome::NotRun(why) if why.contains("--sim")), "{outcome:?}");
    }
}
