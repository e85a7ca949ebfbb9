//! One process after another, asking live nodes one thing after another.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::ask::{Ask, Told};
use crate::client::Client;
use crate::recorder::Recorder;
use crate::seed::Seed;
use crate::workload::{At, Step, Workload, home};

/// How long a client waits for an answer; a commit's own deadline (3 s) is longer, so that slow
/// commits are seen as lost answers.
pub const CLIENT_DEADLINE: Duration = Duration::from_secs(2);
/// A pause after a refused connection, so that a dead node does not fill the history.
const FAIL_PAUSE: Duration = Duration::from_millis(50);
/// How often one key is sent before its client gives up.
const SENDS_MAX: usize = 20;

/// What all processes of a live run share.
#[derive(Debug)]
pub struct Stage {
    /// The history.
    pub recorder: Recorder,
    /// Names and REST addresses of the nodes the run starts with.
    pub nodes: Vec<(String, SocketAddr)>,
    /// Staff's token.
    pub staff: String,
    /// Ends the faults: what is left of the plan is skipped.
    pub done: AtomicBool,
}

impl Stage {
    /// What the nemesis or the harness has to say.
    pub fn say(&self, f: &str, value: serde_json::Value) {
        self.recorder.say(f, value);
    }
}

/// A client of live nodes.
#[derive(Debug)]
pub struct Teller<'a> {
    stage: &'a Stage,
    client: Client,
    seed: Seed,
    process: u64,
    /// The node it is pinned to; `None`: roams.
    home: Option<usize>,
    last: usize,
}

impl<'a> Teller<'a> {
    /// A client pinned to a node, or roaming.
    pub fn new(stage: &'a Stage, seed: Seed, home: Option<usize>) -> Self {
        let process = stage.recorder.process();
        let client = Client::new(CLIENT_DEADLINE);
        Self { stage, client, seed, process, home, last: 0 }
    }

    fn place(&mut self, at: At) -> usize {
        let count = self.stage.nodes.len();
        let drawn = usize::try_from(self.seed.below(count as u64)).unwrap_or(0);
        match at {
            At::Home => self.home.unwrap_or(drawn),
            At::Node(place) => place,
            At::Other if drawn == self.last => (drawn + 1) % count.max(1),
            At::Other => drawn,
        }
    }

    /// Asks once.
    pub fn ask(&mut self, ask: &Ask, at: At) -> Told {
        self.last = self.place(at);
        let Some((node, address)) = self.stage.nodes.get(self.last) else { return Told::Never };
        let invoke = self.stage.recorder.invoke(self.process, ask, node);
        let seen = self.client.send(*address, &ask.request);
        let completed = self.stage.recorder.complete(invoke, ask, seen.as_ref());
        if completed.retired {
            self.process = self.stage.recorder.process();
        }
        if completed.told == Told::Never {
            thread::sleep(FAIL_PAUSE);
        }
        completed.told
    }

    /// Sends one key to node after node until its outcome is known, or gives up.
    pub fn until_known(&mut self, ask: &Ask) -> Told {
        let mut told = self.ask(ask, At::Home);
        for _ in 1..SENDS_MAX {
            if told.is_known() {
                break;
            }
            told = match (self.ask(ask, At::Other), told) {
                (next, Told::Unknown) if next == Told::Never || next.is_early() => Told::Unknown,
                (next, _) => next,
            };
        }
        told
    }

    /// Does what the workload says until it is done, or until `ended`.
    pub fn work(&mut self, workload: &Mutex<Box<dyn Workload>>, client: usize, ended: &AtomicBool) {
        let lock = || workload.lock().unwrap_or_else(PoisonError::into_inner);
        while !ended.load(Ordering::Relaxed) {
            let now = Duration::from_nanos(self.stage.recorder.now());
            let step = lock().next(client, now);
            match step {
                Step::Ask(ask, at) => {
                    let told = self.ask(&ask, at);
                    lock().told(client, &ask, &told);
                }
                Step::Wait(time) => thread::sleep(time),
                Step::Done => return,
            }
        }
    }
}

/// A teller for each client of a workload.
pub fn tellers(stage: &Stage, clients: usize, seed: u64) -> Vec<Teller<'_>> {
    let teller = |client| {
        let seed = Seed::of(seed, 2_000 + client as u64);
        Teller::new(stage, seed, home(client, stage.nodes.len()))
    };
    (0..clients).map(teller).collect()
}
