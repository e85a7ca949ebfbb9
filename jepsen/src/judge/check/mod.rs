//! The checkers, and the verdict on a run.
//!
//! Every checker is a pure function of a run directory. False beats unknown beats true. A run that
//! did not exercise what it claims to test is unknown, never silently true.

pub mod conservation;
pub mod contract;
pub mod convergence;
pub mod coverage;
pub mod effects;
mod injected;
pub mod last_admin;
pub mod log_scan;
pub mod once;
pub mod one_account;
pub mod oversell;
pub mod product_edits;
pub mod recovery;
pub mod renewal;
pub mod revocation;
pub mod session;
pub mod set_full;
pub mod tries;
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
use crate::record::account;
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

/// How many notes of one checker are kept. Further ones are counted, not shown.
const NOTES_MAX: usize = 10;

/// A verdict; the greater one wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing wrong was found.
    True,
    /// Not enough was seen to decide.
    Unknown,
    /// Something wrong was seen.
    False,
}

/// The result of one checker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The checker.
    pub checker: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// How many things it checked.
    #[serde(rename = "looked_at")]
    pub checked: u64,
    /// What it found; the first ten notes.
    pub notes: Vec<String>,
    /// When the first wrong thing was requested, in nanoseconds since the run began, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<u64>,
}

impl Finding {
    /// A finding without any notes: true.
    pub fn new(checker: &str) -> Self {
        Self {
            checker: checker.into(),
            verdict: Verdict::True,
            checked: 0,
            notes: Vec::new(),
            first_at: None,
        }
    }

    /// Counts one more thing as checked.
    pub fn count(&mut self) {
        self.checked += 1;
    }

    /// Something is wrong.
    pub fn wrong(&mut self, note: impl Into<String>) {
        self.add(Verdict::False, note.into());
    }

    /// Something is wrong with a request made at this time, if the time is known.
    pub fn wrong_at(&mut self, at: impl Into<Option<u64>>, note: impl Into<String>) {
        self.first_at = self.first_at.into_iter().chain(at.into()).min();
        self.wrong(note);
    }

    /// Something worth knowing that does not change the verdict.
    pub fn note(&mut self, note: impl Into<String>) {
        self.add(Verdict::True, note.into());
    }

    /// Something could not be decided.
    pub fn unknown(&mut self, note: impl Into<String>) {
        self.add(Verdict::Unknown, note.into());
    }

    fn add(&mut self, verdict: Verdict, note: String) {
        self.verdict = self.verdict.max(verdict);
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }
}

/// Everything that is known about a run.
#[derive(Debug)]
pub struct Evidence {
    /// How the run was set up.
    pub metadata: RunMetadata,
    /// What the clients saw, request by request.
    pub history: History,
    /// The stock operations in it, with attempts merged by key.
    pub operations: Vec<Operation>,
    /// The product operations in it.
    pub edits: ProductEdits,
    /// What the nodes showed at the end.
    pub dumps: Vec<Dump>,
    /// What took effect, according to the dumps.
    pub effects: Effects,
    /// Log lines that should not be there.
    pub logs: Scan,
    /// What `firstcome inspect` said of the files of the stopped nodes.
    pub inspected: Vec<Inspected>,
}

/// The verdict on a run, with the findings behind it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Judgement {
    /// The worst of all findings.
    pub verdict: Verdict,
    /// One finding per checker.
    pub findings: Vec<Finding>,
}

impl Evidence {
    /// When the write that was decided at this revision was requested, if its response arrived.
    fn asked_at(&self, revision: u64) -> Option<u64> {
        let mut writes = self.operations.iter().filter(|o| !o.early && !o.call.is_read());
        let asked = |operation: &Operation| operation.decided().map(|(rev, _)| rev);
        writes.find(|operation| asked(operation) == Some(revision)).map(|write| write.called)
    }

    /// Reads a run directory. A file that cannot be read is a failure of the harness.
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

    /// Puts evidence together from its parts, without logs and inspected files.
    pub fn of(metadata: RunMetadata, history: History, dumps: Vec<Dump>) -> anyhow::Result<Self> {
        for attempt in &history.attempts {
            let (f, asked) = (&attempt.f, &attempt.asked);
            let known = f == TIME
                || account::covers(f)
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
    /// Its name in reports and in the regression corpus.
    pub name: &'static str,
    /// Whether it applies to such a run.
    pub applies: fn(&RunMetadata) -> bool,
    /// The checker itself.
    pub check: fn(&Evidence) -> Finding,
}

const fn always(_: &RunMetadata) -> bool {
    true
}

/// Runs with accounts and sessions.
fn has_accounts(test: &RunMetadata) -> bool {
    test.workload == "accounts"
}

/// Runs with sales or products.
fn trades(test: &RunMetadata) -> bool {
    !has_accounts(test)
}

/// Runs with orders and sales.
fn sells(test: &RunMetadata) -> bool {
    trades(test) && test.workload != "register"
}

/// Runs with sales or products that can be searched one at a time: not those whose holds expire.
fn searches(test: &RunMetadata) -> bool {
    trades(test) && !matches!(test.workload.as_str(), "conservation" | "deadline")
}

/// Runs whose clients list the orders they added.
fn lists(test: &RunMetadata) -> bool {
    matches!(test.workload.as_str(), "order_set" | "cold_start")
}

/// Runs with reads that name a minimum revision.
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
    checker("witness", trades, witness::check),
    checker("wgl", searches, wgl::check),
    checker("once", trades, once::check),
    checker("oversell", sells, oversell::check),
    checker("undersell", sells, undersell::check),
    checker("conservation", sells, conservation::check),
    checker("set_full", lists, set_full::check),
    checker("session", reads_since, session::check),
    checker("revocation", has_accounts, revocation::check),
    checker("renewal", has_accounts, renewal::check),
    checker("one_account", has_accounts, one_account::check),
    checker("tries", has_accounts, tries::check),
    checker("last_admin", has_accounts, last_admin::check),
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
    wgl::explain_false_witness(&mut judgement);
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn false_beats_unknown_beats_true() {
        let mut finding = Finding::new("x");
        assert_eq!(finding.verdict, Verdict::True);
        finding.unknown("a");
        assert_eq!(finding.verdict, Verdict::Unknown);
        finding.wrong("b");
        finding.unknown("c");
        assert_eq!(finding.verdict, Verdict::False);
    }

    #[test]
    fn a_finding_counts_everything_and_writes_out_ten() {
        let mut finding = Finding::new("x");
        for at in [7, 5, 6] {
            finding.count();
            finding.wrong_at(at, "one");
        }
        assert_eq!((finding.checked, finding.first_at), (3, Some(5)));
        for _ in 0..NOTES_MAX {
            finding.note("another");
        }
        assert_eq!(finding.notes.len(), NOTES_MAX);
    }
}
