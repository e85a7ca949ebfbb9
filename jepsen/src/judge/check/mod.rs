//! The judges: pure functions of a run directory, and the verdict made of theirs.
//!
//! False beats unknown beats true. A run that did not exercise what it claims is unknown, never a
//! silent pass.

pub mod conservation;
pub mod contract;
pub mod convergence;
pub mod coverage;
pub mod effects;
mod injected;
pub mod log_scan;
pub mod once;
pub mod oversell;
pub mod product_edits;
pub mod recovery;
pub mod session;
pub mod set_full;
pub mod undersell;
pub mod wgl;
pub mod witness;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::judge::model::{Specification as _, register, stock};
use crate::judge::operation::{self, Operation};
use crate::record::dump::{self, Dump};
use crate::record::history::{self, History};
use crate::record::inspect::{self, Inspected};
use crate::record::invocation::TIME;
use crate::record::node_log::{self, Scan};
pub use crate::record::run_metadata::RunMetadata;
use effects::Effects;
use product_edits::ProductEdits;

/// An early refusal may be this much older than its call: 200 ms, in nanoseconds.
pub const EARLY_AGE_NS: u64 = 200_000_000;

/// How many findings of one checker are written out; the rest is counted.
const NOTES_MAX: usize = 10;

/// What may be said; the greater beats the smaller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing was found against it.
    True,
    /// Not enough was seen to tell.
    Unknown,
    /// It was seen to be wrong.
    False,
}

/// What a checker found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The checker.
    pub checker: String,
    /// Its word.
    pub verdict: Verdict,
    /// What it looked at.
    pub looked_at: u64,
    /// What it found, the first ten.
    pub notes: Vec<String>,
    /// When the first wrong thing was asked, in ns of the history, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<u64>,
}

impl Finding {
    /// A finding that starts as true.
    pub fn new(checker: &str) -> Self {
        Self {
            checker: checker.into(),
            verdict: Verdict::True,
            looked_at: 0,
            notes: Vec::new(),
            first_at: None,
        }
    }

    /// One more was looked at.
    pub fn look(&mut self) {
        self.looked_at += 1;
    }

    /// Something is wrong.
    pub fn wrong(&mut self, note: impl Into<String>) {
        self.note(Verdict::False, note.into());
    }

    /// Something that was asked at this time, if that is known, is wrong.
    pub fn wrong_at(&mut self, at: impl Into<Option<u64>>, note: impl Into<String>) {
        self.first_at = self.first_at.into_iter().chain(at.into()).min();
        self.wrong(note);
    }

    /// Something worth knowing that is neither.
    pub fn tell(&mut self, note: impl Into<String>) {
        self.note(Verdict::True, note.into());
    }

    /// Something could not be told.
    pub fn unsure(&mut self, note: impl Into<String>) {
        self.note(Verdict::Unknown, note.into());
    }

    fn note(&mut self, verdict: Verdict, note: String) {
        self.verdict = self.verdict.max(verdict);
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }
}

/// All that is known about a run.
#[derive(Debug)]
pub struct Evidence {
    /// What was meant.
    pub metadata: RunMetadata,
    /// What the clients saw, line by line.
    pub history: History,
    /// What it says about stock, collapsed by key.
    pub operations: Vec<Operation>,
    /// What it says about products.
    pub edits: ProductEdits,
    /// What the nodes showed afterwards.
    pub dumps: Vec<Dump>,
    /// What took effect, according to the dumps.
    pub effects: Effects,
    /// What the nodes logged and should not have.
    pub logs: Scan,
    /// What the stopped nodes left on disk.
    pub inspected: Vec<Inspected>,
}

/// The verdict over a run, with its reasons.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Judgement {
    /// The worst of all.
    pub verdict: Verdict,
    /// One each.
    pub findings: Vec<Finding>,
}

impl Evidence {
    /// When what took effect at this revision was first asked, if its answer came.
    fn asked_at(&self, revision: u64) -> Option<u64> {
        let mut writes = self.operations.iter().filter(|o| !o.early && !o.call.is_read());
        let asked = |operation: &Operation| operation.decided().map(|(rev, _)| rev);
        writes.find(|operation| asked(operation) == Some(revision)).map(|write| write.called)
    }

    /// Reads a run directory; a file that cannot be read is a failure of the harness.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let place = dir.join("test.json");
        let description = std::fs::read_to_string(&place).with_context(|| {
            format!("cannot read {}; is this a run directory?", place.display())
        })?;
        let metadata: RunMetadata = serde_json::from_str(&description)
            .with_context(|| format!("{} does not describe a run", place.display()))?;
        let place = dir.join("history.jsonl");
        let file =
            File::open(&place).with_context(|| format!("cannot open {}", place.display()))?;
        let history = history::read(BufReader::new(file))
            .with_context(|| format!("in {}", place.display()))?;
        let mut dumps = dump::read_all(dir)?;
        for dump in &mut dumps {
            dump.since(metadata.baseline);
        }
        let mut evidence = Self::of(metadata, history, dumps)?;
        (evidence.logs, evidence.inspected) = (node_log::scan(dir)?, inspect::read(dir)?);
        Ok(evidence)
    }

    /// Puts together what was meant, seen and shown; of logs and files nothing is known.
    pub fn of(metadata: RunMetadata, history: History, dumps: Vec<Dump>) -> anyhow::Result<Self> {
        for attempt in &history.attempts {
            let (f, asked) = (&attempt.f, &attempt.asked);
            let known = f == TIME
                || stock::Model::call(f, asked)?.is_some()
                || register::Model::call(f, asked)?.is_some();
            ensure!(known, "unknown operation {f:?} at {} ns", attempt.called);
        }
        let operations = operation::collapse::<stock::Model>(&history)?;
        let edits = ProductEdits::of(&history, &dumps)?;
        let effects = Effects::of(&operations, &dumps);
        let (logs, inspected) = (Scan::default(), Vec::new());
        Ok(Self { metadata, history, operations, edits, dumps, effects, logs, inspected })
    }
}

/// One checker.
#[derive(Clone, Copy, Debug)]
pub struct Checker {
    /// Its name in reports and regressions.
    pub name: &'static str,
    /// Whether it has something to say about such a run.
    pub applies: fn(&RunMetadata) -> bool,
    /// Its function.
    pub check: fn(&Evidence) -> Finding,
}

const fn always(_: &RunMetadata) -> bool {
    true
}

/// Runs whose clients buy: their rows are orders and sales.
fn sells(test: &RunMetadata) -> bool {
    test.workload != "register"
}

/// Runs with sales or products that can be searched one at a time: not those whose holds end.
fn searches(test: &RunMetadata) -> bool {
    !matches!(test.workload.as_str(), "conservation" | "deadline")
}

/// Runs whose clients list what they added.
fn lists(test: &RunMetadata) -> bool {
    matches!(test.workload.as_str(), "order_set" | "cold_start")
}

/// Runs with reads that name the revision they want.
fn reads_since(test: &RunMetadata) -> bool {
    test.workload == "sessions"
}

const fn checker(
    name: &'static str,
    applies: fn(&RunMetadata) -> bool,
    check: fn(&Evidence) -> Finding,
) -> Checker {
    Checker { name, applies, check }
}

/// Every checker, in the order of the report.
pub const CHECKERS: &[Checker] = &[
    checker("witness", always, witness::check),
    checker("wgl", searches, wgl::check),
    checker("once", always, once::check),
    checker("oversell", sells, oversell::check),
    checker("undersell", sells, undersell::check),
    checker("conservation", sells, conservation::check),
    checker("set_full", lists, set_full::check),
    checker("session", reads_since, session::check),
    checker("convergence", always, convergence::check),
    checker("recovery", always, recovery::check),
    checker("contract", always, contract::check),
    checker("log_scan", always, log_scan::check),
    checker("coverage", always, coverage::check),
];

/// Judges a run.
pub fn judge(evidence: &Evidence) -> Judgement {
    let asked = CHECKERS.iter().filter(|checker| (checker.applies)(&evidence.metadata));
    let findings: Vec<Finding> = asked.map(|checker| (checker.check)(evidence)).collect();
    let verdict = findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::Unknown);
    let mut judgement = Judgement { verdict, findings };
    wgl::tell_label_from_result(&mut judgement);
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn false_beats_unknown_beats_true() {
        let mut finding = Finding::new("x");
        assert_eq!(finding.verdict, Verdict::True);
        finding.unsure("a");
        assert_eq!(finding.verdict, Verdict::Unknown);
        finding.wrong("b");
        finding.unsure("c");
        assert_eq!(finding.verdict, Verdict::False);
    }

    #[test]
    fn a_finding_counts_everything_and_writes_out_ten() {
        let mut finding = Finding::new("x");
        for at in [7, 5, 6] {
            finding.look();
            finding.wrong_at(at, "one");
        }
        assert_eq!((finding.looked_at, finding.first_at), (3, Some(5)));
        for _ in 0..NOTES_MAX {
            finding.tell("another");
        }
        assert_eq!(finding.notes.len(), NOTES_MAX);
    }
}
