//! Every setting of this build: key, type, default and smallest value.
//!
//! Defaults come from the code that uses them (`raft::Options`, `api::ApiOptions`), so each is
//! stated once. A setting is added here only when it does something.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use firstcome_api::{ApiOptions, Consistency, Country, IssuerOptions, MailOptions, RateLimits};
use firstcome_raft::Options;

use super::field::Field;
use super::value::format_duration;

/// A node of `cluster.nodes`: first contact and `--bootstrap` only.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeEntry {
    /// Name, unique in the cluster.
    pub name: String,
    /// `host:port` of its REST API.
    pub api: String,
    /// `host:port` of its peer protocol.
    pub peer: String,
    /// Failure zone; no zone should hold a majority.
    pub zone: String,
}

/// All settings of one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// `cluster.nodes`
    pub nodes: Vec<NodeEntry>,
    /// `network.dial`
    pub dial: BTreeMap<String, String>,
    /// `auth.issuers`
    pub issuers: Vec<IssuerOptions>,
    cluster_name: String,
    node_name: String,
    data_dir: String,
    listen_api: String,
    listen_peer: String,
    connect: Duration,
    rpc: Duration,
    forward: Duration,
    chunk: Duration,
    insecure: bool,
    heartbeat: Duration,
    election_min: Duration,
    election_max: Duration,
    queue: u64,
    deadline: Duration,
    connections: u64,
    reads: String,
    state_cache: u64,
    log_cache: u64,
    checkpoint_interval: Duration,
    checkpoint_bytes: u64,
    snapshot_entries: u64,
    snapshot_interval: Duration,
    retain_entries: u64,
    raft_workers: u64,
    api_workers: u64,
    clock_max: Duration,
    country: Country,
    mail: MailOptions,
    limits: RateLimits,
    log_level: String,
    log_format: String,
}

/// One line of the table below.
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) field: fn(&mut Settings) -> Field<'_>,
}

/// More threads than this is a typo.
const WORKERS_MAX: u64 = 1024;
const MS: Duration = Duration::from_millis(1);
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];
const CONSISTENCIES: &[&str] = &["linearizable", "local"];
const FORMATS: &[&str] = &["json", "text"];

macro_rules! settings {
    ($($key:literal => $variant:ident($($name:ident).+ $(, $bound:expr)?);)*) => {
        &[$(Setting { key: $key, field: |s| Field::$variant(&mut s.$($name).+ $(, $bound)?) }),*]
    };
}

/// The table. The smallest values suit tests, not production.
pub(super) const SETTINGS: &[Setting] = settings! {
    "cluster.name" => Text(cluster_name);
    "node.name" => Text(node_name);
    "node.data_dir" => Text(data_dir);
    "node.listen.api" => Text(listen_api);
    "node.listen.peer" => Text(listen_peer);
    "network.timeout.connect" => Span(connect, MS);
    "network.timeout.rpc" => Span(rpc, MS);
    "network.timeout.forward" => Span(forward, MS);
    "network.timeout.chunk" => Span(chunk, MS);
    "tls.insecure" => Flag(insecure);
    "raft.heartbeat" => Span(heartbeat, Duration::from_millis(10));
    "raft.election_min" => Span(election_min, Duration::from_millis(50));
    "raft.election_max" => Span(election_max, Duration::from_millis(100));
    "admission.queue" => Count(queue, 1);
    "admission.deadline" => Span(deadline, MS);
    "admission.connections" => Count(connections, 1);
    "reads.default" => Word(reads, CONSISTENCIES);
    "storage.state_cache" => Bytes(state_cache, 1 << 20);
    "storage.log_cache" => Bytes(log_cache, 1 << 20);
    "storage.checkpoint_interval" => Span(checkpoint_interval, Duration::from_millis(10));
    "storage.checkpoint_bytes" => Bytes(checkpoint_bytes, 4 << 10);
    "snapshot.entries" => Count(snapshot_entries, 10);
    "snapshot.interval" => Span(snapshot_interval, Duration::from_millis(100));
    "snapshot.retain_entries" => Count(retain_entries, 0);
    "runtime.raft_workers" => Count(raft_workers, 0);
    "runtime.api_workers" => Count(api_workers, 0);
    "clock.max" => Span(clock_max, MS);
    "accounts.country" => Country(country);
    "mail.transport" => Parsed(mail.transport);
    "mail.from" => Parsed(mail.from);
    "mail.shop_name" => Parsed(mail.shop_name);
    "mail.reset_url" => Parsed(mail.reset_url);
    "mail.smtp.host" => Text(mail.smtp.host);
    "mail.smtp.port" => Count(mail.smtp.port, 0);
    "mail.smtp.tls" => Parsed(mail.smtp.tls);
    "mail.smtp.ca_file" => Text(mail.smtp.ca_file);
    "mail.smtp.user" => Text(mail.smtp.user);
    "mail.smtp.password_file" => Text(mail.smtp.password_file);
    "mail.smtp.timeout" => Span(mail.smtp.timeout, MS);
    "limits.public_read_ip" => Rate(limits.public_read_ip);
    "limits.purchase_ip" => Rate(limits.purchase_ip);
    "limits.purchase_account" => Rate(limits.purchase_account);
    "limits.customer_account" => Rate(limits.customer_account);
    "limits.admin_account" => Rate(limits.admin_account);
    "limits.auth_ip" => Rate(limits.auth_ip);
    "limits.auth_account" => Rate(limits.auth_account);
    "limits.loopback" => Flag(limits.loopback);
    "limits.trusted_proxies" => Networks(limits.trusted_proxies);
    "log.level" => Word(log_level, LEVELS);
    "log.format" => Word(log_format, FORMATS);
};

/// Planned keys that this build does not read: refused with a message of their own.
pub(super) const PLANNED: &[&str] = &[
    "node.listen.ops",
    "network.limit",
    "tls.ca",
    "tls.cert",
    "tls.key",
    "reads.min_revision_wait",
    "snapshot.retain_bytes",
    "clock.warn",
    "disk",
    "backup",
    "autopilot",
    "upgrade",
];

impl Default for Settings {
    fn default() -> Self {
        let node = Options::new("", PathBuf::new());
        Self {
            nodes: Vec::new(),
            dial: BTreeMap::new(),
            issuers: Vec::new(),
            cluster_name: node.cluster_name,
            node_name: String::new(),
            data_dir: String::new(),
            listen_api: String::new(),
            listen_peer: String::new(),
            connect: node.connect_timeout,
            rpc: node.rpc_timeout,
            forward: node.forward_timeout,
            chunk: node.chunk_timeout,
            insecure: false,
            heartbeat: node.heartbeat,
            election_min: node.election_min,
            election_max: node.election_max,
            queue: node.admission_queue as u64,
            deadline: node.admission_deadline,
            connections: ApiOptions::default().max_connections as u64,
            reads: "linearizable".to_owned(),
            state_cache: node.state_cache_bytes as u64,
            log_cache: node.log_cache_bytes as u64,
            checkpoint_interval: node.checkpoint_interval,
            checkpoint_bytes: node.checkpoint_bytes as u64,
            snapshot_entries: node.snapshot_entries,
            snapshot_interval: node.snapshot_interval,
            retain_entries: node.retain_entries,
            raft_workers: 0,
            api_workers: 0,
            clock_max: node.clock_max,
            country: Country::default(),
            mail: MailOptions::default(),
            limits: RateLimits::default(),
            log_level: "info".to_owned(),
            log_format: "json".to_owned(),
        }
    }
}

impl Settings {
    /// `cluster.name`
    pub fn cluster_name(&self) -> &str {
        &self.cluster_name
    }

    /// `node.name`
    pub fn node_name(&self) -> &str {
        &self.node_name
    }

    /// `node.data_dir`, `data/<node name>` unless set.
    pub fn data_dir(&self) -> PathBuf {
        if self.data_dir.is_empty() {
            PathBuf::from("data").join(&self.node_name)
        } else {
            PathBuf::from(&self.data_dir)
        }
    }

    /// The entry of `cluster.nodes` with this node's name.
    pub fn own_entry(&self) -> Option<&NodeEntry> {
        self.nodes.iter().find(|node| node.name == self.node_name)
    }

    /// Address of the REST API: `node.listen.api`, or this node's entry in `cluster.nodes`.
    pub fn api_listen(&self) -> &str {
        let own = self.own_entry().map_or("", |node| &node.api);
        if self.listen_api.is_empty() { own } else { &self.listen_api }
    }

    /// Address for peers: `node.listen.peer`, or this node's entry in `cluster.nodes`.
    pub fn peer_listen(&self) -> &str {
        let own = self.own_entry().map_or("", |node| &node.peer);
        if self.listen_peer.is_empty() { own } else { &self.listen_peer }
    }

    /// `tls.insecure`
    pub const fn is_insecure(&self) -> bool {
        self.insecure
    }

    /// `log.level` and whether `log.format` is JSON.
    pub fn log(&self) -> (&str, bool) {
        (&self.log_level, self.log_format == "json")
    }

    /// `admission.connections`
    pub fn connections(&self) -> usize {
        count(self.connections)
    }

    /// `accounts.country`
    pub const fn country(&self) -> Country {
        self.country
    }

    /// `mail`; the shop is called like the cluster unless it has a name.
    pub fn mail(&self) -> MailOptions {
        let mut mail = self.mail.clone();
        mail.shop_name = mail.shop_name.or(&self.cluster_name);
        mail
    }

    /// `limits`
    pub const fn limits(&self) -> &RateLimits {
        &self.limits
    }

    /// Threads of the Raft runtime: `runtime.raft_workers`, by default half as many as CPU cores.
    pub fn raft_workers(&self) -> usize {
        workers(self.raft_workers)
    }

    /// Threads of the API runtime: `runtime.api_workers`, by default half as many as CPU cores.
    pub fn api_workers(&self) -> usize {
        workers(self.api_workers)
    }

    /// `reads.default`
    pub fn default_consistency(&self) -> Consistency {
        if self.reads == "local" { Consistency::Local } else { Consistency::Linearizable }
    }

    /// Why these settings cannot work together, if they cannot.
    pub(super) fn contradiction(&self) -> Option<String> {
        for (key, workers) in
            [("raft_workers", self.raft_workers), ("api_workers", self.api_workers)]
        {
            if workers > WORKERS_MAX {
                return Some(format!("runtime.{key} must be at most {WORKERS_MAX}"));
            }
        }
        // Two heartbeats and one 20 ms tick must fit into the shortest election timeout, so that
        // a single late heartbeat does not start an election.
        let beats = 2 * self.heartbeat + Duration::from_millis(20);
        if self.election_min >= self.election_max {
            return Some("raft.election_min must be below raft.election_max".to_owned());
        }
        (beats >= self.election_min).then(|| {
            let beats = format_duration(beats);
            format!("raft.election_min must be above 2 x raft.heartbeat + 20ms, which is {beats}")
        })
    }

    /// Fills in the options of `raft`; the caller sets the addresses.
    pub fn fill(&self, options: &mut Options) {
        options.cluster_name.clone_from(&self.cluster_name);
        options.dial.clone_from(&self.dial);
        options.heartbeat = self.heartbeat;
        options.election_min = self.election_min;
        options.election_max = self.election_max;
        options.connect_timeout = self.connect;
        options.rpc_timeout = self.rpc;
        options.forward_timeout = self.forward;
        options.chunk_timeout = self.chunk;
        options.admission_queue = count(self.queue);
        options.admission_deadline = self.deadline;
        options.state_cache_bytes = count(self.state_cache);
        options.log_cache_bytes = count(self.log_cache);
        options.checkpoint_interval = self.checkpoint_interval;
        options.checkpoint_bytes = count(self.checkpoint_bytes);
        options.snapshot_entries = self.snapshot_entries;
        options.snapshot_interval = self.snapshot_interval;
        options.retain_entries = self.retain_entries;
        options.clock_max = self.clock_max;
    }
}

/// A number of threads, where 0 stands for half as many as CPU cores, rounded up. The two runtimes
/// share the cores: with more threads than cores, wake-ups took a fifth of the CPU time of one node.
fn workers(number: u64) -> usize {
    match count(number) {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        number => number,
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
