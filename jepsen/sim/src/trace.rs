//! What happened in a run: the last events for people, a hash of all of them for the meta-test, and
//! the first violation.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use crate::time::Axis;

/// Events kept for a failure report.
const KEPT: usize = 200;

struct Inner {
    last: VecDeque<String>,
    hash: Xxh3,
    events: u64,
    violation: Option<Violation>,
}

/// A claim that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Who says so; `jepsen prove` compares it.
    pub check: String,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line, whatever a panic or a checker has to say.
        let text: Vec<&str> = self.text.lines().map(str::trim).collect();
        write!(f, "{}: {}", self.check, text.join(" "))
    }
}

/// The record of a run.
pub struct Trace {
    axis: Axis,
    /// Prints every event as it happens.
    verbose: bool,
    inner: Mutex<Inner>,
}

impl Trace {
    /// An empty record.
    pub fn new(axis: Axis, verbose: bool) -> Self {
        let inner = Inner { last: VecDeque::new(), hash: Xxh3::new(), events: 0, violation: None };
        Self { axis, verbose, inner: Mutex::new(inner) }
    }

    /// An event that people want to read: who, what, and on a node its term and index.
    pub fn event(&self, who: &str, what: &str) {
        let now = self.axis.now();
        let mut line = String::new();
        _ = write!(line, "{:>10.3} {who:<8} {what}", to_seconds(now));
        let mut inner = self.inner.lock();
        inner.hash.update(line.as_bytes());
        inner.events += 1;
        if self.verbose {
            println!("{line}");
        }
        if inner.last.len() == KEPT {
            inner.last.pop_front();
        }
        inner.last.push_back(line);
    }

    /// Something too frequent to read; it only goes into the hash.
    pub fn note(&self, numbers: &[u64], bytes: &[u8]) {
        let mut inner = self.inner.lock();
        inner.events += 1;
        for number in numbers {
            inner.hash.update(&number.to_le_bytes());
        }
        inner.hash.update(bytes);
    }

    /// A claim that does not hold; the first one ends the run.
    pub fn violated(&self, check: &str, text: impl Into<String>) {
        let violation = Violation { check: check.to_owned(), text: text.into() };
        self.event("VIOLATED", &violation.to_string());
        self.inner.lock().violation.get_or_insert(violation);
    }

    /// The first violation.
    pub fn violation(&self) -> Option<Violation> {
        self.inner.lock().violation.clone()
    }

    /// Hash and number of all events so far.
    pub fn digest(&self) -> (u64, u64) {
        let inner = self.inner.lock();
        (inner.hash.digest(), inner.events)
    }

    /// The last events, oldest first.
    pub fn last(&self) -> Vec<String> {
        self.inner.lock().last.iter().cloned().collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn to_seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
