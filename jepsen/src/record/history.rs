//! The history: one JSON object per line, with what each process asked and what it was told.
//!
//! ```text
//! {"i":0,"type":"header","format":1,"run":"..."}
//! {"i":1,"t":18,"p":7,"type":"invoke","f":"order","pool":"sal_3","key":"k-9","value":{...},"node":"n2"}
//! {"i":2,"t":36,"p":7,"type":"ok","f":"order","pool":"sal_3","key":"k-9","value":{...},"node":"n2","rev":31}
//! {"i":3,"t":40,"p":"nemesis","type":"info","f":"kill","value":{...}}
//! ```
//!
//! `i` counts lines without gaps; `t` is nanoseconds since the run began, from one monotonic clock.
//! A process has at most one open operation, and none after `info`: its request may still take
//! effect, so the process and its customer are retired. Reading rejects a file that breaks these
//! rules, and names the line.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The only format so far.
pub const FORMAT: u32 = 1;

/// The type of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A process sends a request.
    #[default]
    Invoke,
    /// It was answered.
    Ok,
    /// The request never takes effect.
    Fail,
    /// The outcome is unknown, or the line is from the nemesis.
    Info,
}

/// Who wrote a line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Process {
    /// A client, by number.
    Client(u64),
    /// The nemesis or the harness: `"nemesis"`.
    Named(String),
}

impl Default for Process {
    fn default() -> Self {
        Self::Client(0)
    }
}

/// One line after the header.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Line number, from 1 without gaps.
    pub i: u64,
    /// Nanoseconds since the run began.
    pub t: u64,
    /// Who wrote it.
    pub p: Process,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The operation, as in [`super::invocation`] (`sale`, `order`, `settle`, ...), or the fault.
    pub f: String,
    /// The sale it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool: Option<String>,
    /// Its idempotency key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// The request or the answer.
    #[serde(default)]
    pub value: Value,
    /// The node it was sent to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// The revision of the answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rev: Option<u64>,
    /// The answer came from a receipt.
    #[serde(skip_serializing_if = "is_false", default)]
    pub replayed: bool,
    /// A refusal answered from a read.
    #[serde(skip_serializing_if = "is_false", default)]
    pub early: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    i: u64,
    #[serde(rename = "type")]
    kind: String,
    format: u32,
    run: String,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Debug)]
pub enum End {
    /// Answered.
    Ok {
        /// When.
        at: u64,
        /// With what.
        value: Value,
        /// At which revision.
        rev: u64,
        /// From a receipt.
        replayed: bool,
        /// From a read.
        early: bool,
    },
    /// The node promised that it never takes effect.
    Fail,
    /// Unknown, or never completed.
    Info {
        /// What was seen instead of an answer.
        value: Value,
    },
}

/// One request and its answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Attempt {
    /// The process.
    pub process: u64,
    /// The operation.
    pub f: String,
    /// The sale.
    pub pool: Option<String>,
    /// The idempotency key.
    pub key: Option<String>,
    /// What was asked.
    pub asked: Value,
    /// When it was asked.
    pub called: u64,
    /// The node it was sent to.
    pub node: Option<String>,
    /// When it ended, in any way.
    pub ended: Option<u64>,
    /// How it ended.
    pub end: End,
}

/// A whole history, with every answer paired with its request.
#[derive(Clone, PartialEq, Debug)]
pub struct History {
    /// Name of the run.
    pub run: String,
    /// Requests, by the time they were sent.
    pub attempts: Vec<Attempt>,
    /// Lines of the nemesis and the harness.
    pub faults: Vec<Event>,
}

/// Writes the header line.
pub fn write_header(out: &mut impl Write, run: &str) -> anyhow::Result<()> {
    let header = Header { i: 0, kind: "header".into(), format: FORMAT, run: run.to_owned() };
    serde_json::to_writer(&mut *out, &header)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Writes one line.
pub fn write_event(out: &mut impl Write, event: &Event) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, event)?;
    out.write_all(b"\n")?;
    Ok(())
}

impl Event {
    /// Whether this line of the nemesis is about a fault: not a step of one, and not clocks that
    /// are set forward together so that holds expire.
    pub fn is_of_fault(&self) -> bool {
        let is = |name: &str, word: &str| self.value.get(name).is_some_and(|said| said == word);
        let is_advance = self.f == "clock" && is("mode", "advance");
        !is_advance && !is("phase", "step")
    }
}

/// Reads a history and pairs its lines. An error names the line.
pub fn read(input: impl BufRead) -> anyhow::Result<History> {
    let mut lines = input.lines().enumerate();
    let (_, first) = lines.next().context("line 1: the file is empty, expected a header")?;
    let header: Header =
        serde_json::from_str(&first.context("line 1")?).context("line 1: not a header")?;
    ensure!(header.kind == "header" && header.i == 0, "line 1: not a header");
    ensure!(header.format == FORMAT, "line 1: format {} is not {FORMAT}", header.format);

    let mut pairing = Pairing::default();
    for (at, line) in lines {
        let number = at + 1;
        let line = line.with_context(|| format!("line {number}"))?;
        let event: Event = serde_json::from_str(&line)
            .with_context(|| format!("line {number}: not an event of this format"))?;
        ensure!(event.i == at as u64, "line {number}: i is {}, expected {at}", event.i);
        pairing.take(event).with_context(|| format!("line {number}"))?;
    }
    Ok(History { run: header.run, attempts: pairing.attempts, faults: pairing.faults })
}

#[derive(Default)]
struct Pairing {
    attempts: Vec<Attempt>,
    faults: Vec<Event>,
    open: BTreeMap<u64, usize>,
    retired: BTreeSet<u64>,
    now: u64,
}

impl Pairing {
    fn take(&mut self, event: Event) -> anyhow::Result<()> {
        ensure!(event.t >= self.now, "time goes back from {} to {}", self.now, event.t);
        self.now = event.t;
        match (&event.p, event.kind) {
            (Process::Named(_), Kind::Info) => {
                self.faults.push(event);
                Ok(())
            }
            (Process::Named(name), _) => bail!("{name} may only write info"),
            (&Process::Client(p), Kind::Invoke) => self.invoke(p, event),
            (&Process::Client(p), _) => self.complete(p, event),
        }
    }

    fn invoke(&mut self, p: u64, event: Event) -> anyhow::Result<()> {
        ensure!(!self.retired.contains(&p), "process {p} sends a request after info");
        ensure!(!self.open.contains_key(&p), "process {p} has an open operation");
        self.open.insert(p, self.attempts.len());
        self.attempts.push(Attempt {
            process: p,
            f: event.f,
            pool: event.pool,
            key: event.key,
            asked: event.value,
            called: event.t,
            node: event.node,
            ended: None,
            end: End::Info { value: Value::Null },
        });
        Ok(())
    }

    fn complete(&mut self, p: u64, event: Event) -> anyhow::Result<()> {
        let Some(attempt) = self.open.remove(&p).and_then(|at| self.attempts.get_mut(at)) else {
            bail!("process {p} got an answer without a request");
        };
        ensure!(
            attempt.f == event.f && attempt.key == event.key,
            "process {p} requested {} and got an answer to {}",
            attempt.f,
            event.f
        );
        attempt.ended = Some(event.t);
        attempt.end = match event.kind {
            Kind::Ok => End::Ok {
                at: event.t,
                value: event.value,
                rev: event.rev.context("ok without rev")?,
                replayed: event.replayed,
                early: event.early,
            },
            Kind::Fail => End::Fail,
            Kind::Info | Kind::Invoke => {
                self.retired.insert(p);
                End::Info { value: event.value }
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"i":0,"type":"header","format":1,"run":"r"}"#;

    fn refused(lines: &[&str], expected: &str) {
        let text = [&[HEADER], lines].concat().join("\n");
        let error = format!("{:#}", read(text.as_bytes()).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn written_lines_read_back_paired() {
        let mut text = Vec::new();
        write_header(&mut text, "r").unwrap();
        let mut event = Event {
            i: 1,
            t: 5,
            p: Process::Client(3),
            kind: Kind::Invoke,
            f: "stock".into(),
            pool: Some("sal_1".into()),
            key: None,
            value: Value::Null,
            node: Some("n1".into()),
            rev: None,
            replayed: false,
            early: false,
        };
        write_event(&mut text, &event).unwrap();
        event = Event { i: 2, t: 9, kind: Kind::Ok, rev: Some(4), ..event };
        write_event(&mut text, &event).unwrap();
        let history = read(text.as_slice()).unwrap();
        assert_eq!(history.attempts.len(), 1);
        let end = &history.attempts[0].end;
        assert!(matches!(end, End::Ok { at: 9, rev: 4, early: false, .. }), "{end:?}");
    }

    #[test]
    fn an_operation_without_an_answer_is_info() {
        let text = format!("{HEADER}\n{}", r#"{"i":1,"t":1,"p":1,"type":"invoke","f":"stock"}"#);
        let history = read(text.as_bytes()).unwrap();
        assert!(matches!(history.attempts[0].end, End::Info { .. }));
    }

    #[test]
    fn broken_lines_are_refused_with_their_number() {
        refused(&["{"], "line 2: not an event");
        refused(&[r#"{"i":2,"t":1,"p":1,"type":"invoke","f":"x"}"#], "line 2: i is 2, expected 1");
        refused(&[r#"{"i":1,"t":1,"p":1,"type":"ok","f":"x","rev":1}"#], "line 2: process 1 got");
        let invocation = r#"{"i":1,"t":5,"p":1,"type":"invoke","f":"x"}"#;
        refused(
            &[invocation, r#"{"i":2,"t":6,"p":1,"type":"invoke","f":"x"}"#],
            "line 3: process 1 has",
        );
        refused(
            &[invocation, r#"{"i":2,"t":4,"p":1,"type":"fail","f":"x"}"#],
            "line 3: time goes back",
        );
        refused(
            &[invocation, r#"{"i":2,"t":6,"p":1,"type":"ok","f":"x"}"#],
            "line 3: ok without rev",
        );
        let lost = r#"{"i":2,"t":6,"p":1,"type":"info","f":"x"}"#;
        let again = r#"{"i":3,"t":7,"p":1,"type":"invoke","f":"x"}"#;
        refused(&[invocation, lost, again], "line 4: process 1 sends");
    }
}
