//! Client loops: each sends one request after another to live nodes, as its workload says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::drive::http_client::HttpClient;
use crate::drive::workload::{Route, Step, Workload, home};
use crate::record::invocation::{Invocation, Reply};
use crate::record::recorder::Recorder;
use crate::seed::Seed;

/// How long a client waits for a response. The deadline of a commit (3 s) is longer, so slow
/// commits show up as lost responses.
pub const CLIENT_DEADLINE: Duration = Duration::from_secs(2);
/// A pause after a refused connection, so that a dead node does not fill the history.
const FAIL_PAUSE: Duration = Duration::from_millis(50);
/// How often one key is sent before its client gives up.
const SENDS_MAX: usize = 20;

/// What all clients and the nemesis of a live run share.
#[derive(Debug)]
pub struct LiveRun {
    /// The history.
    pub recorder: Recorder,
    /// Names and REST addresses of the nodes the run starts with.
    pub nodes: Vec<(String, SocketAddr)>,
    /// The staff token.
    pub staff: String,
    /// Ends the faults: the rest of the plan is skipped.
    pub done: AtomicBool,
}

impl LiveRun {
    /// Records an event of the nemesis or the harness.
    pub fn record_event(&self, f: &str, value: serde_json::Value) {
        self.recorder.record_event(f, value);
    }
}

/// One client of live nodes.
#[derive(Debug)]
pub struct ClientLoop<'a> {
    live: &'a LiveRun,
    client: HttpClient,
    seed: Seed,
    process: u64,
    /// The node it is pinned to; `None` if it roams.
    home: Option<usize>,
    last: usize,
}

impl<'a> ClientLoop<'a> {
    /// A client pinned to a node, or roaming.
    pub fn new(live: &'a LiveRun, seed: Seed, home: Option<usize>) -> Self {
        let process = live.recorder.process();
        let client = HttpClient::new(CLIENT_DEADLINE);
        Self { live, client, seed, process, home, last: 0 }
    }

    fn place(&mut self, at: Route) -> usize {
        let count = self.live.nodes.len();
        let drawn = usize::try_from(self.seed.below(count as u64)).unwrap_or(0);
        match at {
            Route::Home => self.home.unwrap_or(drawn),
            Route::Node(place) => place,
            Route::Other if drawn == self.last => (drawn + 1) % count.max(1),
            Route::Other => drawn,
        }
    }

    /// Sends a request once.
    pub fn invoke(&mut self, invocation: &Invocation, at: Route) -> Reply {
        self.last = self.place(at);
        let Some((node, address)) = self.live.nodes.get(self.last) else { return Reply::Never };
        let invoke = self.live.recorder.invoke(self.process, invocation, node);
        let seen = self.client.send(*address, &invocation.request);
        let completed = self.live.recorder.complete(invoke, invocation, seen.as_ref());
        if completed.retired {
            self.process = self.live.recorder.process();
        }
        if completed.reply == Reply::Never {
            thread::sleep(FAIL_PAUSE);
        }
        completed.reply
    }

    /// Sends one key to node after node until its outcome is known, or gives up.
    pub fn until_known(&mut self, invocation: &Invocation) -> Reply {
        let mut reply = self.invoke(invocation, Route::Home);
        for _ in 1..SENDS_MAX {
            if reply.is_known() {
                break;
            }
            reply = match (self.invoke(invocation, Route::Other), reply) {
                (next, Reply::Unknown) if next == Reply::Never || next.is_early() => Reply::Unknown,
                (next, _) => next,
            };
        }
        reply
    }

    /// Does what the workload says until it is done, or until `ended`.
    pub fn work(&mut self, workload: &Mutex<Box<dyn Workload>>, client: usize, ended: &AtomicBool) {
        let lock = || workload.lock().unwrap_or_else(PoisonError::into_inner);
        while !ended.load(Ordering::Relaxed) {
            let now = Duration::from_nanos(self.live.recorder.now());
            let step = lock().next(client, now);
            match step {
                Step::Invoke(invocation, at) => {
                    let reply = self.invoke(&invocation, at);
                    lock().on_reply(client, &invocation, &reply);
                }
                Step::Wait(time) => thread::sleep(time),
                Step::Done => return,
            }
        }
    }
}

/// A client loop for each client of a workload.
pub fn client_loops(live: &LiveRun, clients: usize, seed: u64) -> Vec<ClientLoop<'_>> {
    let client_loop = |client| {
        let seed = Seed::of(seed, 2_000 + client as u64);
        ClientLoop::new(live, seed, home(client, live.nodes.len()))
    };
    (0..clients).map(client_loop).collect()
}
