//! Rows on real nodes: `jepsen run` with a bug in every node, until the named checker says false.
//!
//! Each run is a process of its own with another seed. Only the verdict of that checker in
//! `results.json` counts, not that of another checker or a failed run.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::table::{Catcher, Row, SILENT_NEMESIS};
use super::{Options, Outcome};
use crate::drive::child_run::{self, FinishedRun};
use crate::judge::check::{Finding, Judgement, Verdict};
use crate::record::history::{self, Event};

/// How many runs may miss a bug.
const RUNS_MAX: u64 = 3;
/// These rows do not depend on the calm after the faults.
const CALM_SECONDS: &str = "3";

/// Runs until the bug of this row is noticed.
pub(super) fn prove(options: &Options, row: &Row) -> Outcome {
    let missing = |why: &str| Outcome::NotRun(why.to_owned());
    let Catcher::Live { checker, .. } = row.catcher else {
        return missing("it needs no real nodes");
    };
    let Some(binary) = options.fault_binary.as_deref() else {
        return missing("it needs a fault build: --fault-binary");
    };
    let mut was_judged = false;
    for number in 1..=RUNS_MAX {
        let arguments = arguments(options, row, binary, options.seed + number - 1);
        let ran = match child_run::run(&arguments, options.seconds, &options.store) {
            Ok(ran) => ran,
            Err(error) => return Outcome::Worthless(format!("{error:#}")),
        };
        match judged(&ran, row.bug, checker) {
            Ok(Some((at, note))) => {
                let at = at.unwrap_or(Duration::from_secs(options.seconds));
                let before = (number - 1) * options.seconds;
                let words = format!("run {number}: {note} ({})", place(&ran));
                return Outcome::Caught(Duration::from_secs(before) + at, words);
            }
            Ok(None) => {
                tell(number, &ran, "not noticed");
                was_judged = true;
            }
            Err(error) => tell(number, &ran, &format!("{error:#}")),
        }
    }
    if was_judged {
        Outcome::Missed
    } else {
        Outcome::Worthless(format!("none of {RUNS_MAX} runs was judged"))
    }
}

fn place(ran: &FinishedRun) -> String {
    let dir = ran.dir.as_deref().map(Path::new).and_then(Path::file_name);
    dir.map_or_else(|| "no directory".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Prints the result of a run that noticed nothing, as a start for whoever looks into it.
fn tell(number: u64, ran: &FinishedRun, what: &str) {
    let mut out = io::stdout().lock();
    // The terminal may be gone; then there is nobody to tell.
    _ = writeln!(out, "    run {number}: {what}; verdict {} ({})", ran.verdict.text(), place(ran));
    for line in &ran.output {
        _ = writeln!(out, "      {line}");
    }
}

fn arguments(options: &Options, row: &Row, binary: &Path, seed: u64) -> Vec<String> {
    let Catcher::Live { workload, nemesis, .. } = row.catcher else { return Vec::new() };
    let (binary, store) = (binary.to_string_lossy(), options.store.to_string_lossy());
    let (seconds, seed) = (options.seconds.to_string(), seed.to_string());
    let mut words: Vec<&str> = vec!["--workload", workload, "--nemesis", nemesis];
    words.extend(["--seconds", &seconds, "--calm", CALM_SECONDS, "--seed", &seed]);
    words.extend(["--store", &store, "--binary", &binary, "--fault-binary", &binary]);
    words.extend(if row.bug == SILENT_NEMESIS {
        vec!["--silent-nemesis"]
    } else {
        vec!["--bug", row.bug]
    });
    words.into_iter().map(str::to_owned).collect()
}

/// When the first wrong thing was requested, if known, and the note about it.
type Noticed = Option<(Option<Duration>, String)>;

/// What the checker found; an error if the run was not judged.
fn judged(ran: &FinishedRun, bug: &str, checker: &str) -> anyhow::Result<Noticed> {
    let dir = ran.dir.as_deref().map(Path::new).context("the run was not judged")?;
    let text = fs::read_to_string(dir.join("results.json")).context("there are no results")?;
    let judgement: Judgement = serde_json::from_str(&text).context("no results")?;
    if bug != SILENT_NEMESIS {
        return Ok(noticed(&judgement, checker));
    }
    let file = fs::File::open(dir.join("history.jsonl")).context("there is no history")?;
    let faults = history::read(io::BufReader::new(file))?.faults;
    Ok(unmasked(&judgement, checker, &faults))
}

fn noticed(judgement: &Judgement, checker: &str) -> Noticed {
    let finding = judgement.findings.iter().find(|finding| finding.checker == checker)?;
    let said = finding.notes.first().cloned().unwrap_or_default();
    let at = finding.first_at.map(Duration::from_nanos);
    (finding.verdict == Verdict::False).then_some((at, said))
}

/// Faults without effect: the run must be unknown, because of this checker and its count of faults,
/// although faults were claimed.
fn unmasked(judgement: &Judgement, checker: &str, faults: &[Event]) -> Noticed {
    let over_faults = |finding: &&Finding| {
        finding.checker == checker
            && finding.verdict == Verdict::Unknown
            && finding.notes.iter().any(|note| note.contains("faults that took effect: 0"))
    };
    let finding = judgement.findings.iter().find(over_faults)?;
    let is_unknown = judgement.verdict == Verdict::Unknown && !faults.is_empty();
    let note = finding.notes.iter().find(|note| note.contains("faults that took effect"));
    is_unknown.then(|| (None, note.cloned().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(verdict: Verdict, findings: &[(&str, Verdict, &str)]) -> Judgement {
        let finding = |(checker, verdict, note): &(&str, Verdict, &str)| Finding {
            verdict: *verdict,
            notes: vec![(*note).to_owned()],
            first_at: Some(7_000_000_000),
            ..Finding::new(checker)
        };
        Judgement { verdict, findings: findings.iter().map(finding).collect() }
    }

    #[test]
    fn only_the_false_of_the_named_checker_counts() {
        let both = [("once", Verdict::Unknown, "a"), ("witness", Verdict::False, "b")];
        let judged = judgement(Verdict::False, &both);
        let at = Some(Duration::from_secs(7));
        assert_eq!(noticed(&judged, "witness"), Some((at, "b".to_owned())));
        assert_eq!(noticed(&judged, "once"), None);
        assert_eq!(noticed(&judged, "oversell"), None);
    }

    #[test]
    fn a_silent_nemesis_is_unmasked_over_its_faults_alone() {
        let none = "faults that took effect: 0, of 6";
        let over = |note| judgement(Verdict::Unknown, &[("coverage", Verdict::Unknown, note)]);
        let claimed = [Event::default()];
        assert!(unmasked(&over(none), "coverage", &claimed).is_some());
        assert_eq!(unmasked(&over(none), "coverage", &[]), None);
        assert_eq!(unmasked(&over("ok operations: 3, of 8000"), "coverage", &claimed), None);
        let wrong = judgement(Verdict::False, &[("coverage", Verdict::Unknown, none)]);
        assert_eq!(unmasked(&wrong, "coverage", &claimed), None);
    }
}
