//! Connections: accepted up to a limit, served as HTTP/1.1 with a bounded head, drained at shutdown.
//!
//! Three timeouts bound a connection: a request head must be complete 5 s after its first byte, an
//! idle connection is closed after 60 s, and a stopping node waits 10 s for in-flight requests.
//! hyper has one timer for the first two, so the first is enforced here.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::options::ApiOptions;
use crate::rate::PeerAddress;

const HEAD_TIME: Duration = Duration::from_secs(5);
const IDLE_TIME: Duration = Duration::from_mins(1);
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// As large as a body: a URI above the 8 KiB limit still gets a problem document.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;

/// The response on a connection beyond the limit.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\n\
    content-length: 226\r\n\r\n\
    {\"type\":\"/docs/errors#overloaded\",\"title\":\"Overloaded\",\"status\":503,\
    \"code\":\"overloaded\",\"detail\":\"Too many connections are open.\",\"instance\":\"/\",\
    \"request_id\":\"00000000000000000000000000000000\",\"executed\":\"no\",\"retryable\":true}";

/// Serves until `shutdown` resolves, then waits up to 10 s for in-flight requests.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ApiOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS)));
    let (stop, stopping) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let peer = PeerAddress(peer.ip());
                    let (router, stopping) = (router.clone(), stopping.clone());
                    let connection = serve_connection(stream, peer, router, stopping);
                    tokio::spawn(hold(place, connection));
                }
                Err(_) => drop(tokio::spawn(turn_away(stream))),
            },
            // Most likely out of file descriptors: other connections must close first.
            Err(error) if !is_about_one_connection(&error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(_) => {}
        }
    }
    drop(listener);
    stop.send_replace(true);
    let all = u32::try_from(options.max_connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(DRAIN_TIME, places.acquire_many(all)).await.is_err() {
        tracing::warn!("connections were still open after the drain timeout");
    }
    Ok(())
}

async fn hold(place: OwnedSemaphorePermit, connection: impl Future<Output = ()>) {
    connection.await;
    drop(place);
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused)
}

async fn turn_away(mut stream: TcpStream) {
    let write = async {
        stream.write_all(FULL).await?;
        stream.shutdown().await
    };
    let written = tokio::time::timeout(Duration::from_secs(1), write).await;
    if !matches!(written, Ok(Ok(()))) {
        tracing::debug!("a connection beyond the limit was closed before it got its response");
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: PeerAddress,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let head = Arc::new(Head::default());
    let service = TowerToHyperService::new(Requests { router, peer, head: Arc::clone(&head) });
    let io = TokioIo::new(Watched { stream, head: Arc::clone(&head) });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut watch = tokio::time::interval(HEAD_TIME / 2);
    let mut drains = false;
    loop {
        tokio::select! {
            served = connection.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            changed = stopping.changed(), if !drains => {
                drains = true;
                if changed.is_ok() {
                    connection.as_mut().graceful_shutdown();
                }
            }
            _ = watch.tick() => {
                if head.is_late() {
                    return;
                }
            }
        }
    }
}

/// Whether a connection is in the middle of a request head, and since when.
struct Head {
    born: Instant,
    /// Milliseconds after `born` of the head's first byte, plus 1; 0 while there is none.
    began: AtomicU64,
    /// A handler is working on a request, so what arrives now is its body.
    in_flight: AtomicBool,
}

impl Default for Head {
    fn default() -> Self {
        Self { born: Instant::now(), began: AtomicU64::new(0), in_flight: AtomicBool::new(false) }
    }
}

impl Head {
    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn bytes_arrived(&self) {
        if !self.in_flight.load(Ordering::Relaxed) && self.began.load(Ordering::Relaxed) == 0 {
            self.began.store(self.now(), Ordering::Relaxed);
        }
    }

    fn complete(&self) {
        self.in_flight.store(true, Ordering::Relaxed);
        self.began.store(0, Ordering::Relaxed);
    }

    fn answered(&self) {
        self.in_flight.store(false, Ordering::Relaxed);
    }

    fn is_late(&self) -> bool {
        let began = self.began.load(Ordering::Relaxed);
        let limit = u64::try_from(HEAD_TIME.as_millis()).unwrap_or(u64::MAX);
        began != 0 && self.now().saturating_sub(began) > limit
    }
}

/// The router; it tells the watch when a head is complete.
#[derive(Clone)]
struct Requests {
    router: Router,
    peer: PeerAddress,
    head: Arc<Head>,
}

type Answering =
    Pin<Box<dyn Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send>>;

impl tower::Service<Request<Incoming>> for Requests {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        self.head.complete();
        request.extensions_mut().insert(self.peer);
        let head = Arc::clone(&self.head);
        let answer = tower::Service::call(&mut self.router, request);
        Box::pin(async move {
            let answer = answer.await;
            head.answered();
            answer
        })
    }
}

/// A stream that tells the watch when bytes arrive.
struct Watched {
    stream: TcpStream,
    head: Arc<Head>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.head.bytes_arrived();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_beyond_the_limit_has_its_length() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = head.split_once("content-length: ").unwrap().1.split("\r\n").next().unwrap();
        assert_eq!(length, body.len().to_string());
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "overloaded");
    }

    #[test]
    fn only_a_head_that_began_can_be_late() {
        let born = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
        let head = Head { born, ..Head::default() };
        assert!(!head.is_late());
        head.began.store(1, Ordering::Relaxed);
        assert!(head.is_late());
        head.complete();
        head.bytes_arrived();
        assert!(!head.is_late());
        head.answered();
        head.bytes_arrived();
        assert!(!head.is_late());
        assert_ne!(head.began.load(Ordering::Relaxed), 0);
    }
}
