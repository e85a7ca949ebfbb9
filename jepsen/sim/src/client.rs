//! Clients: the live harness's workloads, sent through each node's real router.
//!
//! A request crosses no socket: it is handed to the router in the node's own runtime, after a
//! latency, and lost with that runtime. A closed door is a refused connection. A client that gives
//! up waiting sometimes hangs up, which ends the handler as hyper would end it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Body;
use firstcome_jepsen::drive::workload::{Route, Step, Workload, home};
use firstcome_jepsen::record::http::{Lost, Request, Response};
use firstcome_jepsen::record::invocation::{Invocation, Reply};
use firstcome_jepsen::record::recorder::Recorder;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use crate::cluster::{Door, Doors};
use crate::dice::Dice;
use crate::time::Axis;

/// Longer than a commit's own deadline would hide it.
const DEADLINE: Duration = Duration::from_secs(2);

/// A pause after a refused connection, so that a dead node does not fill the history.
const FAIL_PAUSE: Duration = Duration::from_millis(50);

/// How often one request is sent that must be answered, and the pause between.
const SENDS_MAX: usize = 50;
const PAUSE: Duration = Duration::from_millis(200);

/// What all clients share.
pub struct Stage {
    /// Virtual time.
    pub axis: Axis,
    /// The doors of the nodes.
    pub doors: Doors,
    /// The history.
    pub recorder: Recorder,
    /// What they do.
    pub workload: Mutex<Option<Box<dyn Workload>>>,
    /// Ends all clients.
    pub over: AtomicBool,
    /// Longest pause between two requests of a client, in ms.
    pub think_ms: u64,
}

/// One client.
pub struct Client {
    stage: Arc<Stage>,
    dice: Dice,
    process: u64,
    home: Option<usize>,
    last: usize,
}

async fn serve(door: Door, request: Request) -> anyhow::Result<Response> {
    let mut builder = http::Request::builder().method(request.method).uri(&request.path);
    if let Some(token) = &request.token {
        builder = builder.header("authorization", format!("Bearer {token}"));
    }
    if let Some(key) = &request.key {
        builder = builder.header("idempotency-key", key);
    }
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    let body = match &request.body {
        Some(body) => {
            builder = builder.header("content-type", "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    let answer = door.router.oneshot(builder.body(body)?).await?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    let headers: BTreeMap<String, String> = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let body = serde_json::from_slice(&body).ok();
    Ok(Response { status: head.status.as_u16(), headers, body })
}

impl Client {
    /// A client pinned to a node, or roaming.
    pub fn new(stage: &Arc<Stage>, dice: Dice, home: Option<usize>) -> Self {
        let process = stage.recorder.process();
        Self { stage: Arc::clone(stage), dice, process, home, last: 0 }
    }

    /// The client of this number of the workload.
    pub fn numbered(stage: &Arc<Stage>, seed: u64, number: usize) -> Self {
        let dice = Dice::of(seed, 10_000 + number as u64);
        Self::new(stage, dice, home(number, stage.doors.len()))
    }

    /// Sends once; answers what came back.
    async fn send(&mut self, at: usize, request: &Request) -> Result<Response, Lost> {
        let ms = |dice: &mut Dice| Duration::from_millis(dice.between(0, 3));
        tokio::time::sleep(ms(&mut self.dice)).await;
        let door = self.stage.doors.get(at).and_then(|door| door.lock().clone());
        let door = door.ok_or_else(|| Lost::BeforeFirstByte("refused".into()))?;
        let (answer, answered) = oneshot::channel();
        let (handle, request) = (door.handle.clone(), request.clone());
        let job = handle.spawn(async move {
            let served = serve(door, request).await;
            drop(answer.send(served));
        });
        let lost = |why: &str| Lost::AfterFirstByte(why.into());
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(served)) => {
                tokio::time::sleep(ms(&mut self.dice)).await;
                served.map_err(|error| Lost::AfterFirstByte(format!("{error:#}")))
            }
            Ok(Err(_)) => Err(lost("the connection was reset")),
            Err(_) => {
                if self.dice.per_mille(500) {
                    job.abort();
                }
                Err(lost("no answer in time"))
            }
        }
    }

    fn place(&mut self, at: Route) -> usize {
        let count = self.stage.doors.len();
        let drawn = self.dice.index(count);
        match at {
            Route::Home => self.home.unwrap_or(drawn),
            Route::Node(place) => place,
            Route::Other if drawn == self.last => (drawn + 1) % count.max(1),
            Route::Other => drawn,
        }
    }

    /// Asks once.
    async fn invoke(&mut self, invocation: &Invocation, at: Route) -> Reply {
        self.last = self.place(at);
        let node = format!("n{}", self.last + 1);
        let invoke = self.stage.recorder.invoke(self.process, invocation, &node);
        let seen = self.send(self.last, &invocation.request).await;
        let completed = self.stage.recorder.complete(invoke, invocation, seen.as_ref());
        if completed.retired {
            self.process = self.stage.recorder.process();
        }
        if completed.reply == Reply::Never {
            tokio::time::sleep(FAIL_PAUSE).await;
        }
        completed.reply
    }

    /// Sends one key to node after node until its outcome is known, or gives up.
    pub async fn until_known(&mut self, invocation: &Invocation) -> Reply {
        let mut reply = self.invoke(invocation, Route::Home).await;
        for _ in 1..SENDS_MAX {
            if reply.is_known() {
                break;
            }
            reply = match (self.invoke(invocation, Route::Other).await, reply) {
                (next, Reply::Unknown) if next == Reply::Never || next.is_early() => Reply::Unknown,
                (next, _) => next,
            };
        }
        reply
    }

    /// Does what the workload says until it is done.
    pub async fn work(mut self, number: usize) {
        while !self.stage.over.load(Ordering::Relaxed) {
            let now = Duration::from_nanos(self.stage.axis.now());
            let step = self.stage.workload.lock().as_mut().map(|w| w.next(number, now));
            match step {
                Some(Step::Invoke(invocation, at)) => {
                    let reply = self.invoke(&invocation, at).await;
                    if let Some(workload) = self.stage.workload.lock().as_mut() {
                        workload.on_reply(number, &invocation, &reply);
                    }
                    let pause = self.dice.below(self.stage.think_ms);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Some(Step::Wait(time)) => tokio::time::sleep(time).await,
                Some(Step::Done) | None => return,
            }
        }
    }

    /// A request outside the history that must be answered, sooner or later.
    pub async fn insist(&mut self, at: usize, request: &Request) -> anyhow::Result<Value> {
        let mut last = String::new();
        for _ in 0..SENDS_MAX {
            match self.send(at, request).await {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    return answer.body.context("not JSON");
                }
                Ok(answer) if answer.status < 429 => {
                    bail!(
                        "{} {}: {} {:?}",
                        request.method,
                        request.path,
                        answer.status,
                        answer.body
                    )
                }
                Ok(answer) => last = format!("{} {:?}", answer.status, answer.body),
                Err(error) => last = format!("{error:?}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("{} {} at n{}: {last}", request.method, request.path, at + 1)
    }

    /// All pages of a list, as staff.
    pub async fn list(&mut self, at: usize, staff: &str, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let request = Request::get(format!("{path}{mark}limit=100{cursor}"), staff);
            let page = self.insist(at, &request).await?;
            let data = page.get("data").and_then(Value::as_array).context("a list without data")?;
            rows.extend(data.iter().cloned());
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(rows),
            }
        }
    }
}
