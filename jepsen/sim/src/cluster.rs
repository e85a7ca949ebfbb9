//! The machines of a run, each with its disk and its node, taking turns.
//!
//! A node lives in a runtime of its own, so that a crash is the end of that runtime: every task of
//! the node is gone at once, wherever it was. Each turn lasts one tick of virtual time.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use firstcome_api::{ApiOptions, Keys, Shop};
use firstcome_raft::simulation::{Machine, enter};
use firstcome_raft::{Node, Options, Peer, StartError};
use firstcome_storage::Disk;
use firstcome_storage::disk::sim::{Policy, SimDisk};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, RngSeed, Runtime};

use crate::config::Config;
use crate::dice::Dice;
use crate::lying::LyingDisk;
use crate::machine::{Knobs, SimMachine};
use crate::net::Net;
use crate::time::{Axis, ns};
use crate::trace::Trace;

/// Where a running node takes requests.
#[derive(Clone)]
pub struct Door {
    /// Its runtime.
    pub handle: Handle,
    /// Its routes.
    pub router: Router,
    /// Itself.
    pub node: Node,
}

/// The doors of all nodes; `None`: refused.
pub type Doors = Arc<Vec<Mutex<Option<Door>>>>;

/// What a node's own tasks report.
#[derive(Default)]
struct Report {
    started: Option<Result<Node, StartError>>,
    failed: Option<(i32, String)>,
}

/// What became of a node.
#[derive(Debug)]
pub enum Ended {
    /// It did not start.
    NotStarted(StartError),
    /// It stopped by itself: exit code and reason.
    Failed(i32, String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "did not start: {error:?}"),
            Self::Failed(code, reason) => write!(f, "stopped with {code}: {reason}"),
        }
    }
}

/// One machine.
pub struct Host {
    /// `n1`...
    pub name: String,
    /// Its disk.
    pub disk: SimDisk,
    /// The knobs of its clock and disk.
    pub knobs: Arc<Knobs>,
    /// Its node, if it runs.
    pub node: Option<Node>,
    /// Counts starts.
    pub incarnation: u64,
    /// When it is started again, in ns; `None` while it runs, or if nobody starts it.
    pub start_at: Option<u64>,
    /// Stands still until then, in ns.
    pub paused_until: u64,
    /// Whether the next start may form the cluster.
    pub bootstrap: bool,
    runtime: Option<Runtime>,
    machine: Arc<dyn Machine>,
    report: Arc<Mutex<Report>>,
    /// How far its runtime has come, in ns.
    at: u64,
}

impl Host {
    /// Whether its process exists.
    pub const fn runs(&self) -> bool {
        self.runtime.is_some()
    }
}

/// All machines.
pub struct Cluster {
    /// Virtual time.
    pub axis: Axis,
    /// What happened.
    pub trace: Arc<Trace>,
    /// The network.
    pub net: Arc<Net>,
    /// The machines.
    pub hosts: Vec<Host>,
    /// Where clients knock.
    pub doors: Doors,
    /// Whether disks only say that they sync; to see the harness fail.
    pub disks_lie: Arc<AtomicBool>,
    config: Config,
    keys: Arc<Keys>,
    dice: Dice,
}

impl Cluster {
    /// Machines without power.
    pub fn new(config: &Config, axis: Axis, trace: Arc<Trace>, keys: Arc<Keys>) -> Self {
        let seed = config.seed;
        let net = Net::new(
            axis.clone(),
            Arc::clone(&trace),
            Dice::of(seed, 2),
            config.nodes,
            config.latency_ms,
        );
        let host = |at: usize| {
            let knobs = Arc::new(Knobs::new(config.sync_us));
            let dice = Dice::of(seed, 1_000 + at as u64);
            let machine =
                SimMachine::new(axis.clone(), Arc::clone(&net), at, Arc::clone(&knobs), dice);
            Host {
                name: format!("n{}", at + 1),
                disk: SimDisk::new().running(),
                knobs,
                node: None,
                incarnation: 0,
                start_at: None,
                paused_until: 0,
                bootstrap: true,
                runtime: None,
                machine: Arc::new(machine),
                report: Arc::default(),
                at: 0,
            }
        };
        let hosts = (0..config.nodes).map(host).collect();
        let doors = Arc::new((0..config.nodes).map(|_| Mutex::new(None)).collect());
        let (config, dice) = (config.clone(), Dice::of(seed, 3));
        let disks_lie = Arc::default();
        Self { axis, trace, net, hosts, doors, disks_lie, config, keys, dice }
    }

    /// Where the node of a machine listens for its peers.
    pub fn peer(at: usize) -> String {
        format!("10.0.0.{}:7000", at + 1)
    }

    /// Where its REST API would be.
    pub fn api(at: usize) -> String {
        format!("10.0.0.{}:80", at + 1)
    }

    /// Where its files are, on its disk.
    pub fn data_dir() -> &'static Path {
        Path::new("/data")
    }

    fn options(&self, at: usize) -> Options {
        let config = &self.config;
        let name = |at: usize| format!("n{}", at + 1);
        let mut options = Options::new(&name(at), PathBuf::from(Self::data_dir()));
        if let Some(host) = self.hosts.get(at) {
            let lies = Arc::clone(&self.disks_lie);
            options.disk = Arc::new(LyingDisk { disk: host.disk.clone(), lies });
            options.bootstrap = host.bootstrap;
        }
        options.api = Self::api(at);
        options.peer = Self::peer(at);
        options.peer_listen = options.peer.parse::<SocketAddr>().ok();
        let peer = |at| Peer { name: name(at), api: Self::api(at), peer: Self::peer(at) };
        options.peers = (0..config.nodes).map(peer).collect();
        options.heartbeat = config.heartbeat;
        (options.election_min, options.election_max) = config.election;
        options.rpc_timeout = config.rpc_timeout;
        options.connect_timeout = config.rpc_timeout;
        options.chunk_timeout = Duration::from_secs(5);
        options.admission_queue = config.admission_queue;
        options.state_cache_bytes = 1 << 20;
        options.log_cache_bytes = config.log_cache_bytes;
        options.log_segment_bytes = config.log_segment_bytes;
        options.checkpoint_interval = config.checkpoint_interval;
        options.checkpoint_bytes = config.checkpoint_bytes;
        options.snapshot_entries = config.snapshot_entries;
        options.snapshot_interval = Duration::from_secs(20);
        options.retain_entries = config.retain_entries;
        options
    }

    /// Switches a machine on and starts its node.
    pub fn start(&mut self, at: usize) -> anyhow::Result<()> {
        let options = self.options(at);
        let now = self.axis.now();
        let seed = RngSeed::from_bytes(&self.dice.draw().to_le_bytes());
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(seed)
            .build()?;
        let Some(host) = self.hosts.get_mut(at) else { return Ok(()) };
        self.net.set_dark(at, false);
        host.incarnation += 1;
        host.start_at = None;
        host.at = now;
        host.report = Arc::default();
        self.trace.event(&host.name, &format!("starts, incarnation {}", host.incarnation));
        enter(Some(Arc::clone(&host.machine)));
        let report = Arc::clone(&host.report);
        runtime.block_on(async {
            tokio::time::advance(Duration::from_nanos(now)).await;
            tokio::spawn(async move {
                let started = Node::start(options, Shop).await;
                if let Ok(node) = &started {
                    let (node, report) = (node.clone(), Arc::clone(&report));
                    tokio::spawn(async move {
                        let failed = node.failed().await;
                        report.lock().failed = Some(failed);
                    });
                }
                report.lock().started = Some(started);
            });
        });
        enter(None);
        host.runtime = Some(runtime);
        Ok(())
    }

    /// Ends a node's process. `lost`: the machine loses power too, and of what was not synced
    /// keeps only what the policy says.
    pub fn stop(&mut self, at: usize, lost: Option<Policy>) {
        let Some(host) = self.hosts.get_mut(at) else { return };
        if host.runtime.is_none() && lost.is_none() {
            return;
        }
        // First the disk: what the dying process still does to it must not count.
        host.disk = match lost {
            Some(policy) => host.disk.crash_now(policy).running(),
            None => host.disk.hand_over(),
        };
        self.net.set_dark(at, lost.is_some());
        if let Some(door) = self.doors.get(at) {
            *door.lock() = None;
        }
        host.node = None;
        host.paused_until = 0;
        enter(Some(Arc::clone(&host.machine)));
        *host.report.lock() = Report::default();
        drop(host.runtime.take());
        enter(None);
        let how = lost.map_or("is killed".to_owned(), |p| format!("loses power: {p:?}"));
        self.trace.event(&host.name, &how);
    }

    /// An empty disk in place of that of a member; its node is started as if nothing had happened.
    pub fn lose_disk(&mut self, at: usize) {
        self.stop(at, None);
        if let Some(host) = self.hosts.get_mut(at) {
            host.disk = SimDisk::new().running();
            host.bootstrap = true;
            self.trace.event(&host.name, "loses its disk");
        }
    }

    /// Flips a few bits of a member's rows while its node stands still; then it is started. The log
    /// is left alone: damage to its last commit looks like one that was cut short, and the entries
    /// that the member acknowledged are gone without a word.
    pub fn damage_disk(&mut self, at: usize) -> anyhow::Result<()> {
        self.stop(at, None);
        let Some(host) = self.hosts.get_mut(at) else { return Ok(()) };
        let flips = self.dice.magnitude(1, 64);
        host.disk.damage(&Self::data_dir().join("state.redb"), |bytes| {
            for _ in 0..flips {
                let place = self.dice.index(bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << self.dice.below(8);
                }
            }
        })?;
        self.trace.event(&host.name, &format!("finds {flips} bits of its rows flipped"));
        self.start(at)
    }

    /// An empty disk in place of the old one.
    pub fn wipe(&mut self, at: usize) {
        self.stop(at, None);
        if let Some(host) = self.hosts.get_mut(at) {
            host.disk = SimDisk::new().running();
            host.bootstrap = false;
            self.trace.event(&host.name, "gets an empty disk");
        }
    }

    /// Gives every machine its turn of one tick, in an order that changes.
    pub fn tick(&mut self) {
        let end = self.axis.now() + ns(crate::time::TICK);
        let first = self.dice.index(self.hosts.len());
        for turn in 0..self.hosts.len() {
            let at = (first + turn) % self.hosts.len().max(1);
            let Some(host) = self.hosts.get_mut(at) else { continue };
            host.knobs.drift(crate::time::TICK);
            let Some(runtime) = &host.runtime else { continue };
            if host.paused_until >= end {
                continue;
            }
            enter(Some(Arc::clone(&host.machine)));
            let missed = end.saturating_sub(host.at).saturating_sub(ns(crate::time::TICK));
            let until = self.axis.instant(end);
            runtime.block_on(async move {
                if missed > 0 {
                    // It stood still: its clock jumps, and every timer fires at once.
                    tokio::time::advance(Duration::from_nanos(missed)).await;
                }
                tokio::time::sleep_until(until).await;
            });
            enter(None);
            host.at = end;
        }
    }

    /// Opens the doors of nodes that have started; answers nodes that ended by themselves.
    pub fn tend(&mut self) -> Vec<(usize, Ended)> {
        let mut ended = Vec::new();
        for (at, host) in self.hosts.iter_mut().enumerate() {
            let Some(runtime) = &host.runtime else { continue };
            let mut report = host.report.lock();
            match report.started.take() {
                Some(Ok(node)) => {
                    let options = ApiOptions::default();
                    let router = firstcome_api::router(node.clone(), &self.keys, options);
                    host.node = Some(node.clone());
                    let door = Door { handle: runtime.handle().clone(), router, node };
                    if let Some(slot) = self.doors.get(at) {
                        *slot.lock() = Some(door);
                    }
                    self.trace.event(&host.name, "is up");
                }
                Some(Err(error)) => ended.push((at, Ended::NotStarted(error))),
                None => {}
            }
            if let Some((code, reason)) = report.failed.take() {
                ended.push((at, Ended::Failed(code, reason)));
            }
        }
        ended
    }

    /// Whether a snapshot is being received on a machine's disk.
    pub fn receives_snapshot(&self, at: usize) -> bool {
        let Some(host) = self.hosts.get(at) else { return false };
        let names = host.disk.list(Self::data_dir()).ok().flatten().unwrap_or_default();
        names.iter().any(|name| name.to_string_lossy().starts_with("state.new."))
    }
}
