//! The simulated machine under a node: sockets, wall clock, disk timing.
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
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
