//! Writes the history of a run while it happens.
//!
//! `i` and `t` are assigned under one lock, so both only grow. The clock is the machine's monotonic
//! one for a live run and a virtual one for a simulation.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::record::account;
use crate::record::classify::{BREACH, Class, classify};
use crate::record::history::{self, Event, Kind, Process};
use crate::record::http::{Lost, Response};
use crate::record::invocation::{Invocation, Reply, answer};

struct Lines {
    out: Box<dyn Write + Send>,
    next: u64,
    /// The first line that could not be written.
    broken: Option<String>,
}

/// The history being written.
pub struct Recorder {
    lines: Mutex<Lines>,
    /// Nanoseconds since the run began.
    now: Box<dyn Fn() -> u64 + Send + Sync>,
    next_process: AtomicU64,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Starts a history on the machine's monotonic clock.
    pub fn new(out: impl Write + Send + 'static, run: &str) -> anyhow::Result<Self> {
        let started = Instant::now();
        let now = move || u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Self::with_clock(out, run, now)
    }

    /// Starts a history on a clock of nanoseconds that never goes back.
    pub fn with_clock(
        mut out: impl Write + Send + 'static,
        run: &str,
        now: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        history::write_header(&mut out, run)?;
        let lines = Lines { out: Box::new(out), next: 1, broken: None };
        Ok(Self { lines: Mutex::new(lines), now: Box::new(now), next_process: AtomicU64::new(0) })
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds since the run began.
    pub fn now(&self) -> u64 {
        (self.now)()
    }

    /// A new process number.
    pub fn process(&self) -> u64 {
        self.next_process.fetch_add(1, Ordering::Relaxed)
    }

    /// Records an event of the nemesis or the harness.
    pub fn record_event(&self, f: &str, value: Value) {
        self.write(Event {
            p: Process::Named("nemesis".into()),
            kind: Kind::Info,
            f: f.to_owned(),
            value,
            ..Event::default()
        });
    }

    /// Records a request. Its outcome goes to [`Self::complete`].
    pub fn invoke(&self, process: u64, invocation: &Invocation, node: &str) -> Event {
        let event = Event {
            p: Process::Client(process),
            kind: Kind::Invoke,
            f: invocation.f.to_owned(),
            pool: invocation.pool.clone(),
            key: invocation.request.key.clone(),
            value: invocation.value.clone(),
            node: Some(node.to_owned()),
            ..Event::default()
        };
        self.write(event.clone());
        event
    }

    /// Classifies the outcome and records it. If it is recorded as `info`, the process is retired.
    pub fn complete(
        &self,
        invoke: Event,
        invocation: &Invocation,
        seen: Result<&Response, &Lost>,
    ) -> Completed {
        let is_write = invocation.request.method != "GET";
        let class = classify(is_write, account::covers(invocation.f), seen);
        let body = seen.ok().and_then(|response| response.body.as_ref());
        let (event, reply) = completion(invoke, is_write, class, body.unwrap_or(&Value::Null));
        let retired = event.kind == Kind::Info;
        self.write(event);
        Completed { reply, retired }
    }

    fn write(&self, mut event: Event) {
        let mut lines = self.lines();
        event.i = lines.next;
        event.t = self.now();
        lines.next += 1;
        if let Err(error) = history::write_event(&mut lines.out, &event) {
            lines.broken.get_or_insert(format!("{error:#}"));
        }
    }

    /// Flushes the file; fails if any line could not be written.
    pub fn close(&self) -> anyhow::Result<()> {
        let mut lines = self.lines();
        lines.out.flush()?;
        anyhow::ensure!(lines.broken.is_none(), "history: {:?}", lines.broken);
        Ok(())
    }
}

/// How a request ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Completed {
    /// What its client may conclude.
    pub reply: Reply,
    /// Whether its process must not be used again.
    pub retired: bool,
}

/// The event that completes `invoke`, and what its client may conclude.
fn completion(invoke: Event, is_write: bool, class: Class, body: &Value) -> (Event, Reply) {
    match class {
        Class::Ok { refused, rev, replayed, early } => {
            let value = match &refused {
                Some(code) => Some(json!({"refused": code})),
                None => answer(&invoke.f, body),
            };
            let Some(value) = value else {
                let breach = json!({BREACH: format!("{} answered {body}", invoke.f)});
                return (Event { kind: Kind::Info, value: breach, ..invoke }, Reply::Unknown);
            };
            let reply = match refused {
                Some(code) => Reply::Refused { code, rev, early },
                None => Reply::Done { value: value.clone(), rev },
            };
            (Event { kind: Kind::Ok, value, rev: Some(rev), replayed, early, ..invoke }, reply)
        }
        Class::Fail(why) | Class::Dropped(why) => {
            let value = json!({"error": why});
            (Event { kind: Kind::Fail, value, ..invoke }, Reply::Never)
        }
        Class::Info(why) => {
            let value = json!({"error": why});
            (Event { kind: Kind::Info, value, ..invoke }, Reply::Unknown)
        }
        Class::Breach(why) => {
            let no = body.get("executed").is_some_and(|executed| executed == "no");
            let reply = match body.get("code").and_then(Value::as_str).filter(|_| no) {
                _ if !is_write => Reply::Never,
                // Lets the client move on; whether the claim is true is for the checkers.
                Some(code) => Reply::Refused { code: code.to_owned(), rev: 0, early: false },
                None => Reply::Unknown,
            };
            (Event { kind: Kind::Info, value: json!({BREACH: why}), ..invoke }, reply)
        }
    }
}
