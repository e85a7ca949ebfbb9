//! What a benchmark measures.

use std::path::PathBuf;
use std::time::Duration;

/// Which nodes receive the requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Through {
    /// Only the leader.
    Leader,
    /// Only the followers.
    Followers,
    /// All nodes.
    All,
}

/// What to measure.
pub(crate) struct Plan {
    /// Nodes of a running cluster; empty to start a cluster.
    pub(crate) urls: Vec<String>,
    pub(crate) nodes: usize,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) connections: usize,
    pub(crate) measured: Duration,
    pub(crate) warmup: Duration,
    /// Requests per second in an open loop; `None` for a closed loop.
    pub(crate) rate: Option<u64>,
    /// Measure the no-op route first.
    pub(crate) ceiling: bool,
    pub(crate) through: Through,
    /// Measure a sold-out sale.
    pub(crate) sold_out: bool,
    /// Products to create first.
    pub(crate) products: usize,
    /// Connections per node that read beside the purchases.
    pub(crate) readers: usize,
    /// What they read; one round of purchases for each.
    pub(crate) read_paths: Vec<String>,
    pub(crate) json: bool,
}
