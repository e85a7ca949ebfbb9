//! The two tokio runtimes of a node, so that requests never delay Raft.
//!
//! The `raft` runtime runs elections, heartbeats, replication, apply and the peer connections. The
//! `api` runtime accepts HTTP connections and runs request handlers. A handler that is busy for
//! long (a large list, a full worker queue) therefore cannot hold up a heartbeat or the
//! acknowledgement of an append, which would cost the leader its leadership. Commands, and the
//! question of how far the rows must be for a linearizable read, go from one to the other through
//! channels. The rows themselves are read by the handler, through a view of its own; the locks below
//! it are held for microseconds.

use std::future::Future;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

use crate::config::settings::Settings;

/// Both runtimes; their threads are named `raft` and `api`.
pub(super) struct Runtimes {
    raft: Runtime,
    api: Runtime,
}

impl Runtimes {
    /// Starts the threads of both.
    pub(super) fn start(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            raft: runtime("raft", settings.raft_workers())?,
            api: runtime("api", settings.api_workers())?,
        })
    }

    /// Runs `work` on this thread; what it spawns runs on the `api` runtime.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.api.block_on(work)
    }

    /// Runs `work` on the `raft` runtime, with everything it spawns.
    pub(super) async fn on_raft<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> anyhow::Result<T> {
        self.raft.spawn(work).await.context("a task of the node ended early")
    }

    /// Abandons whatever still runs, the users of the node before the node.
    pub(super) fn shutdown(self) {
        self.api.shutdown_background();
        self.raft.shutdown_background();
    }
}

fn runtime(name: &str, workers: usize) -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name(name)
        .enable_all()
        .build()
        .with_context(|| format!("cannot start the {name} runtime"))
}
