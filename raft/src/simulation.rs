//! The simulated machine under a node: sockets, wall clock, disk timing; and what a judge may see.
//!
//! Compiled only with `--cfg simulation`, which `jepsen/sim` sets. The machine is the thread's
//! current one: a simulation has one thread, and says whose turn it is with [`enter`]. Whatever a
//! node asks of its machine, it asks in its own turn.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use firstcome_storage::{Log, State};
use futures_util::future::BoxFuture;
use openraft::async_runtime::WatchReceiver;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::describe_entry;
use crate::node::Node;
use crate::types::LogId;

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// A bound port.
pub trait Listener: Send + Sync {
    /// The next connection.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Box<dyn Duplex>>;
}

/// What the operating system is to a node.
pub trait Machine: Send + Sync {
    /// The wall clock, in ms since 1970.
    fn wall_ms(&self) -> i64;
    /// How long the disk takes until it has done what is queued now.
    fn disk_delay(&self) -> Duration;
    /// Binds a port.
    fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn Listener>>;
    /// Connects to `host:port`.
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>>;
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Machine>>> = const { RefCell::new(None) };
}

/// Makes `machine` the current one; answers the one before.
pub fn enter(machine: Option<Arc<dyn Machine>>) -> Option<Arc<dyn Machine>> {
    CURRENT.replace(machine)
}

fn current() -> Option<Arc<dyn Machine>> {
    CURRENT.with_borrow(Clone::clone)
}

fn no_machine() -> io::Error {
    io::Error::other("no machine is current: a node runs outside its turn")
}

/// What the current machine's wall clock says.
pub fn wall_ms() -> i64 {
    current().map_or(0, |machine| machine.wall_ms())
}

/// Does the work of the log and checkpoint threads, as fast as the disk is. Ends with the runtime.
pub(crate) fn work_files(log: &Log, state: &State, checkpoint_interval: Duration) {
    let writer = log.clone();
    tokio::spawn(async move {
        loop {
            let delay = current().map_or(Duration::ZERO, |machine| machine.disk_delay());
            tokio::time::sleep(delay).await;
            writer.work();
        }
    });
    let state = state.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(checkpoint_interval).await;
            if state.checkpoint().is_err() {
                return;
            }
        }
    });
}

/// Stands for `tokio::net::TcpListener`.
pub(crate) struct TcpListener(Box<dyn Listener>);

impl TcpListener {
    #[expect(clippy::unused_async, reason = "the real one is async")]
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        current().ok_or_else(no_machine)?.listen(address).map(Self)
    }

    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, ())> {
        Ok((TcpStream(poll_fn(|cx| self.0.poll_accept(cx)).await), ()))
    }
}

/// Stands for `tokio::net::TcpStream`.
pub(crate) struct TcpStream(Box<dyn Duplex>);

pub(crate) type OwnedReadHalf = tokio::io::ReadHalf<TcpStream>;
pub(crate) type OwnedWriteHalf = tokio::io::WriteHalf<TcpStream>;

impl TcpStream {
    pub(crate) async fn connect(address: &str) -> io::Result<Self> {
        let connecting = current().ok_or_else(no_machine)?.connect(address);
        connecting.await.map(Self)
    }

    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "the real one may fail")]
    pub(crate) const fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        tokio::io::split(self)
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Who wrote an entry: term and node. openraft orders leaders by both, so a term may have more
/// than one, each after the other.
pub type Leader = (u64, u64);

/// Where an entry stands: who wrote it, and its index.
pub type Position = (Leader, u64);

/// An entry of the log: index, who wrote it, hash of the stored bytes.
pub type Written = (u64, Leader, u64);

/// What Raft believes on one node, all of one instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observed {
    /// Raft id.
    pub id: u64,
    /// Current term.
    pub term: u64,
    /// The durable vote: term, whom for, and whether a majority agreed.
    pub vote: (u64, u64, bool),
    /// Whether it takes itself for the leader.
    pub leads: bool,
    /// The last entry of the log.
    pub last: Option<Position>,
    /// Decided, as far as known here.
    pub committed: Option<Position>,
    /// Applied here.
    pub applied: Option<Position>,
    /// The snapshot mark.
    pub snapshot: Option<Position>,
    /// Gone from the log.
    pub purged: Option<Position>,
    /// Who votes, both halves of a joint membership.
    pub voters: Vec<Vec<u64>>,
    /// Revision of the last durable checkpoint.
    pub checkpointed: u64,
    /// Whether Raft still runs.
    pub runs: bool,
}

impl Node {
    /// What Raft believes here.
    pub fn observe(&self) -> Observed {
        let core = &self.core;
        let metrics = core.leadership.metrics().borrow_watched().clone();
        let position =
            |id: Option<LogId>| id.map(|id| ((id.leader_id.term, id.leader_id.node_id), id.index));
        let vote = metrics.vote;
        let membership = metrics.membership_config.membership();
        Observed {
            id: core.id(),
            term: metrics.current_term,
            vote: (vote.leader_id.term, vote.leader_id.node_id, vote.committed),
            leads: metrics.state.is_leader(),
            last: position(core.raft.data_metrics().borrow_watched().last_log),
            committed: position(metrics.local_committed),
            applied: position(metrics.last_applied),
            snapshot: position(metrics.snapshot),
            purged: position(metrics.purged),
            voters: membership
                .get_joint_config()
                .iter()
                .map(|c| c.iter().copied().collect())
                .collect(),
            checkpointed: core
                .state
                .checkpointed()
                .revision
                .map_or(0, firstcome_domain::Revision::get),
            runs: metrics.running_state.is_ok(),
        }
    }

    /// The log from `first` on, as far as it is readable.
    pub fn entries_from(&self, first: u64) -> Result<Vec<Written>, String> {
        let entries = self.core.log.read(first..u64::MAX, usize::MAX).map_err(|e| e.to_string())?;
        entries
            .iter()
            .map(|entry| {
                let summary = describe_entry(&entry.bytes).map_err(|e| e.to_string())?;
                let hash = xxhash_rust::xxh3::xxh3_64(&entry.bytes);
                Ok((entry.index, (summary.term, summary.leader), hash))
            })
            .collect()
    }

    /// The state's hash right after `revision`, while remembered.
    pub fn hash_at(&self, revision: u64) -> Option<u128> {
        self.core.state.hash_at(firstcome_domain::Revision::new(revision)).map(|hash| hash.0)
    }
}
