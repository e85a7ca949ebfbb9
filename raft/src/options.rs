//! What a node needs to know before it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use firstcome_storage::{Disk, system_disk};

/// A configured node: first contact and bootstrap only; afterwards membership lives in the log.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Label, unique in the cluster.
    pub name: String,
    /// Where its REST API is reached, `host:port`.
    pub api: String,
    /// Where its peer protocol is reached, `host:port`.
    pub peer: String,
}

/// Settings of one node.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node's name; one of `peers` if there are any.
    pub name: String,
    /// Label of the cluster.
    pub cluster_name: String,
    /// Where the two files are.
    pub data_dir: PathBuf,
    /// What `data_dir` is on: this machine's files, unless a test has its own.
    pub disk: Arc<dyn Disk>,
    /// What this node tells others about itself.
    pub api: String,
    /// What this node tells others about itself.
    pub peer: String,
    /// Where the peer protocol listens; `None`: a lone development node without a peer port.
    pub peer_listen: Option<SocketAddr>,
    /// The configured nodes, this one included.
    pub peers: Vec<Peer>,
    /// Form a new cluster of `peers` when every directory is empty (a lone node: of itself).
    pub bootstrap: bool,
    /// Reach a peer elsewhere: name -> `host:port`.
    pub dial: std::collections::BTreeMap<String, String>,
    /// Leader's heartbeat.
    pub heartbeat: Duration,
    /// Shortest election timeout.
    pub election_min: Duration,
    /// Longest election timeout, and the leader's lease.
    pub election_max: Duration,
    /// TCP connect to a peer.
    pub connect_timeout: Duration,
    /// One peer request.
    pub rpc_timeout: Duration,
    /// One forwarded command.
    pub forward_timeout: Duration,
    /// A snapshot without progress.
    pub chunk_timeout: Duration,
    /// Commands in flight on this node; beyond it: overloaded.
    pub admission_queue: usize,
    /// How long a caller waits for the commit; then the outcome is unknown.
    pub admission_deadline: Duration,
    /// redb page cache of the state.
    pub state_cache_bytes: usize,
    /// Log entries kept in memory.
    pub log_cache_bytes: usize,
    /// Size of a file of the log.
    pub log_segment_bytes: u64,
    /// Longest time between checkpoints.
    pub checkpoint_interval: Duration,
    /// Changed bytes after which a checkpoint starts.
    pub checkpoint_bytes: usize,
    /// New entries after which the snapshot mark moves.
    pub snapshot_entries: u64,
    /// Time after which the snapshot mark moves if there are new entries.
    pub snapshot_interval: Duration,
    /// Entries kept behind the mark when purging.
    pub retain_entries: u64,
    /// Offset from the voters' median above which a clock is not used.
    pub clock_max: Duration,
    /// Added to this node's clock, in ms; for tests of wrong clocks.
    pub clock_offset_ms: i64,
}

impl Options {
    /// The defaults for a node of this name and directory.
    pub fn new(name: &str, data_dir: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            cluster_name: "firstcome".to_owned(),
            data_dir,
            disk: system_disk(),
            api: String::new(),
            peer: String::new(),
            peer_listen: None,
            peers: Vec::new(),
            bootstrap: false,
            dial: std::collections::BTreeMap::new(),
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(800),
            connect_timeout: Duration::from_secs(1),
            rpc_timeout: Duration::from_secs(1),
            forward_timeout: Duration::from_secs(3),
            chunk_timeout: Duration::from_mins(2),
            admission_queue: 8192,
            admission_deadline: Duration::from_secs(3),
            // redb keeps about 1.7 times as much resident; see docs/performance.md.
            state_cache_bytes: 256 << 20,
            log_cache_bytes: 64 << 20,
            log_segment_bytes: 16 << 20,
            checkpoint_interval: Duration::from_secs(1),
            checkpoint_bytes: 16 << 20,
            snapshot_entries: 250_000,
            snapshot_interval: Duration::from_mins(5),
            retain_entries: 1_000_000,
            clock_max: Duration::from_millis(500),
            clock_offset_ms: 0,
        }
    }
}
