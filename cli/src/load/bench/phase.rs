//! One measured phase: the same request over and over, each time from a different buyer.
//!
//! Closed loop: each connection waits for its response before sending the next request. Open loop:
//! each request has a due time, and latency counts from there, so that a stall also shows in the
//! latency of the requests that had to wait for it (no coordinated omission).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use super::tokens::Tokens;
use crate::load::connection::{Connection, Post};
use crate::load::latency::{histogram, milliseconds};

/// Responses later than this after the end are counted as lost.
const TAIL: Duration = Duration::from_secs(10);
/// Timeout of a connection attempt on loopback or a local network.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Pause after a refused connection.
pub(super) const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// What to send, how, and for how long.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) addresses: Vec<String>,
    pub(super) path: &'static str,
    pub(super) body: String,
    pub(super) connections: usize,
    pub(super) warmup: Duration,
    pub(super) measured: Duration,
    pub(super) rate: Option<u64>,
}

/// The responses.
pub(super) struct Measured {
    /// Definite responses in the measured time, by status and code.
    pub(super) counted: BTreeMap<String, u64>,
    /// All definite responses, including those before and after the measured time.
    pub(super) answers: BTreeMap<String, u64>,
    /// Requests without a response; they may have been executed.
    pub(super) lost: u64,
    latency: Histogram<u64>,
    seconds: f64,
}

/// State shared by all connections.
struct Shared {
    load: Load,
    tokens: Rc<Tokens>,
    run: String,
    start: Instant,
    next: Cell<u64>,
    measured: RefCell<Measured>,
}

/// Runs one phase.
pub(super) async fn run(load: Load, tokens: Rc<Tokens>) -> anyhow::Result<Measured> {
    let connections = load.connections;
    let end = load.warmup + load.measured + TAIL;
    let shared = Rc::new(Shared {
        measured: RefCell::new(Measured {
            counted: BTreeMap::new(),
            answers: BTreeMap::new(),
            lost: 0,
            latency: histogram()?,
            seconds: load.measured.as_secs_f64(),
        }),
        load,
        tokens,
        run: uuid::Uuid::now_v7().simple().to_string(),
        start: Instant::now(),
        next: Cell::new(0),
    });
    let mut tasks = JoinSet::new();
    for at in 0..connections {
        tasks.spawn_local(connection(Rc::clone(&shared), at));
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    let late = tokio::time::timeout(end, all).await.is_err();
    let unfinished = if late { tasks.len() as u64 } else { 0 };
    tasks.shutdown().await;
    let Some(shared) = Rc::into_inner(shared) else {
        anyhow::bail!("a connection was still running after its phase");
    };
    let mut measured = shared.measured.into_inner();
    measured.lost += unfinished;
    Ok(measured)
}

/// One connection: sends requests until the time is over.
async fn connection(shared: Rc<Shared>, at: usize) {
    let load = &shared.load;
    let Some(address) = load.addresses.get(at % load.addresses.len().max(1)) else { return };
    let post = Post::new(address, load.path, &load.body);
    let (mut request, mut key) = (Vec::new(), Vec::new());
    let mut open: Option<Connection> = None;
    while let Some((number, due)) = shared.due().await {
        let kept = open.take().filter(Connection::is_open);
        let fresh = match kept {
            Some(connection) => Ok(connection),
            None => Connection::open(address, CONNECT_LIMIT).await,
        };
        let Ok(mut connection) = fresh else {
            // Nothing was sent, so nothing was lost.
            sleep(RECONNECT_PAUSE).await;
            continue;
        };
        key.clear();
        // Writing to memory cannot fail.
        drop(write!(key, "{}-{number}", shared.run));
        let key = std::str::from_utf8(&key).unwrap_or_default();
        post.write(&mut request, &shared.tokens.next(), key);
        match connection.exchange(&request).await {
            Ok(reply) => {
                shared.record(reply.status, reply.body, due);
                open = Some(connection);
            }
            Err(_) => shared.measured.borrow_mut().lost += 1,
        }
    }
}

impl Shared {
    /// Waits until the next request is due: its number and due time; `None` when the time is over.
    async fn due(&self) -> Option<(u64, Instant)> {
        let number = self.next.replace(self.next.get() + 1);
        let end = self.start + self.load.warmup + self.load.measured;
        let now = Instant::now();
        let due = match self.load.rate {
            None => now,
            #[expect(clippy::cast_precision_loss, reason = "runs are short of 2^52 requests")]
            Some(rate) => self.start + Duration::from_secs_f64(number as f64 / rate as f64),
        };
        if due > now && due < end {
            sleep_until(due.into()).await;
        }
        (due < end && now < end + TAIL / 2).then_some((number, due))
    }

    fn record(&self, status: u16, body: &[u8], due: Instant) {
        let now = Instant::now();
        let begin = self.start + self.load.warmup;
        let mut measured = self.measured.borrow_mut();
        let label = label(status, body);
        if now >= begin && now < begin + self.load.measured {
            let waited = u64::try_from(now.duration_since(due).as_micros()).unwrap_or(u64::MAX);
            measured.latency.saturating_record(waited);
            count(&mut measured.counted, &label);
        }
        count(&mut measured.answers, &label);
    }
}

/// Counts a response.
pub(super) fn count(counts: &mut BTreeMap<String, u64>, label: &str) {
    if let Some(count) = counts.get_mut(label) {
        *count += 1;
    } else {
        counts.insert(label.to_owned(), 1);
    }
}

/// `201`, or `409 sold_out`. Searches the body for the code, which is cheaper than parsing it.
pub(super) fn label(status: u16, body: &[u8]) -> String {
    const MARK: &[u8] = b"\"code\":\"";
    if status < 300 {
        return status.to_string();
    }
    let at = body.windows(MARK.len()).position(|window| window == MARK);
    let rest = at.and_then(|at| body.get(at + MARK.len()..)).unwrap_or_default();
    let code = rest.split(|byte| *byte == b'"').next().unwrap_or_default();
    format!("{status} {}", String::from_utf8_lossy(code)).trim_end().to_owned()
}

impl Measured {
    /// Responses per second whose label passes the filter.
    #[expect(clippy::cast_precision_loss, reason = "a rounded figure for display")]
    pub(super) fn rate(&self, counts: impl Fn(&str) -> bool) -> f64 {
        let counted = self.counted.iter().filter(|(label, _)| counts(label));
        let sum: u64 = counted.map(|(_, count)| count).sum();
        (sum as f64 / self.seconds).round()
    }

    /// All responses with one label, including those before and after the measured time.
    pub(super) fn answered(&self, label: &str) -> u64 {
        self.answers.get(label).copied().unwrap_or(0)
    }

    /// Responses that leave open whether the request was executed.
    pub(super) fn unknown(&self) -> u64 {
        let unknown = self.answers.iter().filter(|(label, _)| label.starts_with("504"));
        unknown.map(|(_, count)| count).sum()
    }

    fn at(&self, quantile: f64) -> f64 {
        milliseconds(self.latency.value_at_quantile(quantile))
    }

    /// Latencies as text.
    pub(super) fn latencies(&self) -> String {
        format!(
            "p50 {} ms  p90 {} ms  p99 {} ms  max {} ms",
            self.at(0.5),
            self.at(0.9),
            self.at(0.99),
            milliseconds(self.latency.max())
        )
    }

    /// The phase as JSON.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "seconds": self.seconds,
            "counted": self.counted,
            "answers": self.answers,
            "lost": self.lost,
            "latency_ms": {
                "p50": self.at(0.5), "p90": self.at(0.9), "p99": self.at(0.99),
                "p999": self.at(0.999), "max": milliseconds(self.latency.max()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_contain_the_error_code() {
        assert_eq!(label(201, b"{}"), "201");
        assert_eq!(label(409, br#"{"status":409,"code":"sold_out","x":1}"#), "409 sold_out");
        assert_eq!(label(500, b"oops"), "500");
    }
}
