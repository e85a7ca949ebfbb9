//! The network: byte streams between machines, with latency, partitions and everything else that
//! TCP does to a program.
//!
//! A stream never loses bytes in its middle, as TCP does not: a cut link holds them back until it is
//! healed, and what is lost for good shows as a reset. Each direction of a link is broken apart from
//! the other. A machine without power is silent: its peers learn of it by their own deadlines, or by
//! a reset once it is back.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use firstcome_raft::simulation::{Duplex, Listener};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use xxhash_rust::xxh3::xxh3_64;

use crate::dice::Dice;
use crate::time::{Axis, TICK, ns};
use crate::trace::Trace;

/// Bytes a stream holds before its writer waits: like a socket's two buffers.
const WINDOW_BYTES: usize = 256 << 10;

/// TCP tries again about so long after a loss.
const RETRY_MS: (u64, u64) = (1, 400);

/// One direction between two machines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// Nothing gets through.
    pub cut: bool,
    /// Added to every message.
    pub extra: Duration,
    /// Of a thousand writes so many break the connection.
    pub resets_per_mille: u64,
    /// What was held back arrives from here on, in ns.
    open_from: u64,
}

struct Pipe {
    from: usize,
    to: usize,
    /// When it arrives, and what.
    chunks: VecDeque<(u64, Bytes)>,
    bytes: usize,
    /// Nothing overtakes.
    last_at: u64,
    /// When its end arrives.
    fin: Option<u64>,
    /// Broken for both ends.
    reset: bool,
    /// Its reader is gone; what is written now breaks the connection.
    orphaned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new(from: usize, to: usize) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            from,
            to,
            chunks: VecDeque::new(),
            bytes: 0,
            last_at: 0,
            fin: None,
            reset: false,
            orphaned: false,
            reader: None,
            writer: None,
        }))
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn break_off(&mut self) {
        self.reset = true;
        self.chunks.clear();
        self.wake();
    }
}

type PipeRef = Arc<Mutex<Pipe>>;

#[derive(Default)]
struct Port {
    waiting: Mutex<(VecDeque<Stream>, Option<Waker>)>,
}

struct Inner {
    dice: Dice,
    /// `links[from][to]`
    links: Vec<Vec<Link>>,
    ports: Vec<Option<Arc<Port>>>,
    /// Without power: sends nothing, answers nothing.
    dark: Vec<bool>,
    /// Every pipe that may still be open.
    pipes: Vec<Weak<Mutex<Pipe>>>,
    /// Latency of a message in ms.
    latency_ms: (u64, u64),
}

/// The network of a run.
pub struct Net {
    axis: Axis,
    trace: Arc<Trace>,
    inner: Mutex<Inner>,
}

impl Net {
    /// A network without faults.
    pub fn new(
        axis: Axis,
        trace: Arc<Trace>,
        dice: Dice,
        machines: usize,
        latency_ms: (u64, u64),
    ) -> Arc<Self> {
        let inner = Inner {
            dice,
            links: vec![vec![Link::default(); machines]; machines],
            ports: vec![const { None }; machines],
            dark: vec![false; machines],
            pipes: Vec::new(),
            latency_ms,
        };
        Arc::new(Self { axis, trace, inner: Mutex::new(inner) })
    }

    /// Changes one direction; what a healed link held back arrives a little later.
    pub fn change(&self, from: usize, to: usize, change: impl FnOnce(&mut Link)) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let pause = inner.dice.magnitude(RETRY_MS.0, RETRY_MS.1);
        let Some(link) = inner.links.get_mut(from).and_then(|row| row.get_mut(to)) else { return };
        let was_cut = link.cut;
        change(link);
        if was_cut && !link.cut {
            link.open_from = self.axis.now() + ns(Duration::from_millis(pause));
            inner.pipes.retain(|pipe| pipe.strong_count() > 0);
            for pipe in inner.pipes.iter().filter_map(Weak::upgrade) {
                let mut pipe = pipe.lock();
                if (pipe.from, pipe.to) == (from, to) {
                    pipe.wake();
                }
            }
        }
    }

    /// Breaks every connection of a machine, or of all.
    pub fn reset_all(&self, of: Option<usize>) {
        let mut inner = self.inner.lock();
        inner.pipes.retain(|pipe| pipe.strong_count() > 0);
        for pipe in inner.pipes.iter().filter_map(Weak::upgrade) {
            let mut pipe = pipe.lock();
            if of.is_none_or(|machine| pipe.from == machine || pipe.to == machine) {
                pipe.break_off();
            }
        }
    }

    /// Takes a machine's power away, or gives it back.
    pub fn set_dark(&self, machine: usize, dark: bool) {
        let mut inner = self.inner.lock();
        if let Some(slot) = inner.dark.get_mut(machine) {
            *slot = dark;
        }
        let port = if dark { inner.ports.get_mut(machine).and_then(Option::take) } else { None };
        drop(inner);
        // Outside of the lock: the end of a connection nobody took needs it.
        drop(port);
    }

    fn listen(self: &Arc<Self>, machine: usize) -> Box<dyn Listener> {
        let port = Arc::new(Port::default());
        if let Some(slot) = self.inner.lock().ports.get_mut(machine) {
            *slot = Some(Arc::clone(&port));
        }
        Box::new(Bound { net: Arc::clone(self), machine, port })
    }

    /// When a message sent now arrives, in ns: never within the tick it is sent in.
    fn arrival(inner: &mut Inner, from: usize, to: usize, now: u64) -> u64 {
        let (low, high) = inner.latency_ms;
        let mut delay = Duration::from_millis(inner.dice.magnitude(low, high));
        delay += Duration::from_micros(inner.dice.below(1000));
        if let Some(link) = inner.links.get(from).and_then(|row| row.get(to)) {
            delay += link.extra;
        }
        now + ns(delay.max(TICK))
    }

    fn link(inner: &Inner, from: usize, to: usize) -> Link {
        inner.links.get(from).and_then(|row| row.get(to)).copied().unwrap_or_default()
    }

    /// Opens a stream; hangs while nothing gets through, as a connect without answer does.
    async fn connect(self: Arc<Self>, from: usize, to: usize) -> io::Result<Box<dyn Duplex>> {
        loop {
            let (arrives, passes) = {
                let mut inner = self.inner.lock();
                let cut = Self::link(&inner, from, to).cut || Self::link(&inner, to, from).cut;
                let dark = inner.dark.get(to).copied().unwrap_or(true);
                (Self::arrival(&mut inner, from, to, self.axis.here()), !cut && !dark)
            };
            tokio::time::sleep_until(self.axis.instant(arrives)).await;
            if passes {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (stream, back) = {
            let mut inner = self.inner.lock();
            let back = Self::arrival(&mut inner, to, from, self.axis.here());
            let port = inner.ports.get(to).cloned().flatten();
            (port.map(|port| self.open(&mut inner, from, to, &port)), back)
        };
        tokio::time::sleep_until(self.axis.instant(back)).await;
        match stream {
            Some(stream) => Ok(Box::new(stream)),
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    fn open(self: &Arc<Self>, inner: &mut Inner, from: usize, to: usize, port: &Port) -> Stream {
        let (there, back) = (Pipe::new(from, to), Pipe::new(to, from));
        inner.pipes.extend([Arc::downgrade(&there), Arc::downgrade(&back)]);
        let end = |machine, incoming: &PipeRef, outgoing: &PipeRef| Stream {
            net: Arc::clone(self),
            machine,
            incoming: Arc::clone(incoming),
            outgoing: Arc::clone(outgoing),
            timer: None,
        };
        let mut waiting = port.waiting.lock();
        waiting.0.push_back(end(to, &there, &back));
        if let Some(waker) = waiting.1.take() {
            waker.wake();
        }
        end(from, &back, &there)
    }
}

struct Bound {
    net: Arc<Net>,
    machine: usize,
    port: Arc<Port>,
}

impl Listener for Bound {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Box<dyn Duplex>> {
        let mut waiting = self.port.waiting.lock();
        if let Some(stream) = waiting.0.pop_front() {
            return Poll::Ready(Box::new(stream));
        }
        waiting.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let mut inner = self.net.inner.lock();
        if let Some(slot) = inner.ports.get_mut(self.machine)
            && slot.as_ref().is_some_and(|port| Arc::ptr_eq(port, &self.port))
        {
            *slot = None;
        }
        drop(inner);
        // Connections nobody took end here, outside of the lock that their end takes.
        let unaccepted = std::mem::take(&mut self.port.waiting.lock().0);
        drop(unaccepted);
    }
}

/// One end of a connection.
struct Stream {
    net: Arc<Net>,
    machine: usize,
    incoming: PipeRef,
    outgoing: PipeRef,
    timer: Option<Pin<Box<Sleep>>>,
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let link = {
            let pipe = this.incoming.lock();
            let inner = this.net.inner.lock();
            Net::link(&inner, pipe.from, pipe.to)
        };
        let mut pipe = this.incoming.lock();
        if pipe.reset {
            return Poll::Ready(Err(reset()));
        }
        let head = pipe.chunks.front().map(|(at, _)| *at);
        pipe.reader = Some(cx.waker().clone());
        let Some(at) = head.or(pipe.fin).filter(|_| !link.cut) else { return Poll::Pending };
        let at = at.max(link.open_from);
        if at > this.net.axis.here() {
            let at = this.net.axis.instant(at);
            let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            timer.as_mut().reset(at);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        let mut taken = 0;
        if let Some((_, chunk)) = pipe.chunks.front_mut() {
            taken = chunk.len().min(buf.remaining());
            buf.put_slice(chunk.get(..taken).unwrap_or_default());
            chunk.advance(taken);
            if chunk.is_empty() {
                pipe.chunks.pop_front();
            }
        }
        pipe.bytes -= taken;
        if let Some(writer) = pipe.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let now = self.net.axis.here();
        let mut inner = self.net.inner.lock();
        let mut pipe = self.outgoing.lock();
        let (from, to) = (pipe.from, pipe.to);
        let (link, back) = (Net::link(&inner, from, to), Net::link(&inner, to, from));
        let unreachable = link.cut || back.cut || inner.dark.get(to).copied().unwrap_or(true);
        let breaks = (pipe.orphaned && !unreachable)
            || (link.resets_per_mille > 0 && inner.dice.per_mille(link.resets_per_mille));
        if pipe.reset || breaks {
            pipe.break_off();
            drop(pipe);
            self.incoming.lock().break_off();
            return Poll::Ready(Err(reset()));
        }
        let room = WINDOW_BYTES.saturating_sub(pipe.bytes);
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let sent = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        pipe.last_at = pipe.last_at.max(Net::arrival(&mut inner, from, to, now));
        let at = pipe.last_at;
        pipe.bytes += sent.len();
        pipe.chunks.push_back((at, Bytes::copy_from_slice(sent)));
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        drop((pipe, inner));
        self.net.trace.note(&[now, at, from as u64, to as u64, xxh3_64(sent)], &[]);
        Poll::Ready(Ok(sent.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl Stream {
    /// Says that nothing more comes.
    fn finish(&self) {
        let mut inner = self.net.inner.lock();
        let mut pipe = self.outgoing.lock();
        if pipe.fin.is_none() {
            let now = self.net.axis.now();
            let at = Net::arrival(&mut inner, pipe.from, pipe.to, now).max(pipe.last_at);
            pipe.fin = Some(at);
            if let Some(reader) = pipe.reader.take() {
                reader.wake();
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.incoming.lock().orphaned = true;
        let silent = self.net.inner.lock().dark.get(self.machine).copied().unwrap_or(true);
        if !silent {
            self.finish();
        }
    }
}

/// A machine's sockets.
pub struct Sockets {
    /// The network.
    pub net: Arc<Net>,
    /// Which machine.
    pub machine: usize,
}

impl Sockets {
    /// Binds the machine's only port.
    pub fn listen(&self, _: SocketAddr) -> Box<dyn Listener> {
        self.net.listen(self.machine)
    }

    /// Connects to `10.0.0.N:port`, the address of machine N - 1.
    pub async fn connect(
        net: Arc<Net>,
        machine: usize,
        address: String,
    ) -> io::Result<Box<dyn Duplex>> {
        let to = address
            .rsplit_once(':')
            .and_then(|(host, _)| host.rsplit_once('.')?.1.parse::<usize>().ok())
            .and_then(|number| number.checked_sub(1))
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        net.connect(machine, to).await
    }
}
