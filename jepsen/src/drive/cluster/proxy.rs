//! One TCP proxy per directed link: the network that needs no privileges.
//!
//! Node `n1` is told to dial `n2` at a listener of its own (`network.dial`), which forwards to
//! `n2`. A *lane* is everything that one node sends to another: the requests on the link it dials,
//! and its responses on the link the other node dials. Cuts and degradations apply to a lane.
//!
//! Dropped bytes are gone, so a connection that lost some is closed when the lane heals. A stall
//! keeps its bytes and delivers them late. Limits: bytes that the kernel has already accepted still
//! arrive after a cut, and a delayed chunk delays everything behind it on its connection.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use super::network::{Addresses, CutMode, Network, Shape, Traffic, loopback, own_loopback};
use crate::seed::Seed;

/// Largest chunk forwarded at once.
const PIECE_BYTES: usize = 64 << 10;
/// A slow lane forwards a tenth of a second's worth of bytes at once.
const PIECES_PER_SECOND: u64 = 10;
/// Time limit for connecting to a node on this machine.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// The proxies of one run.
#[derive(Debug)]
pub struct Proxy {
    addresses: Vec<Addresses>,
    lanes: BTreeMap<(usize, usize), Arc<Lane>>,
    links: BTreeMap<(usize, usize), Link>,
    journal: Arc<Journal>,
}

/// One proxy: a listener and the connections made through it.
#[derive(Debug)]
struct Link {
    listen: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    to: SocketAddr,
    there: Arc<Lane>,
    back: Arc<Lane>,
    pairs: Mutex<Vec<Weak<Pair>>>,
    journal: Arc<Journal>,
}

/// The two ends of a forwarded connection.
#[derive(Debug)]
struct Pair {
    /// To the node that dialled.
    near: TcpStream,
    /// To the node that was dialled.
    far: TcpStream,
    /// Bytes were lost, so the two ends no longer agree.
    tainted: AtomicBool,
    /// To be closed with a reset, not in an orderly way.
    reset: AtomicBool,
}

/// Everything that one node sends to another.
#[derive(Debug, Default)]
struct Lane {
    rules: Mutex<Rules>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rules {
    cut: Option<CutMode>,
    shape: Shape,
    /// Bytes forwarded since the current degradation began.
    shaped: u64,
    traffic: Traffic,
    /// The run is over.
    closed: bool,
}

impl Lane {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules());
        self.changed.notify_all();
    }

    /// Waits until a condition holds or the run is over.
    fn wait_until(&self, holds: impl Fn(&Rules) -> bool) -> MutexGuard<'_, Rules> {
        let waits = |rules: &mut Rules| !rules.closed && !holds(rules);
        self.changed.wait_while(self.rules(), waits).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for this time, or until the rules change.
    fn wait_at_most(&self, time: Duration) {
        if !time.is_zero() {
            drop(self.changed.wait_timeout(self.rules(), time));
        }
    }

    fn is_closed(&self) -> bool {
        self.rules().closed
    }
}

impl Proxy {
    /// Starts a proxy for every ordered pair of nodes. `journal` records what they do.
    pub fn new(nodes: usize, journal: &Path) -> anyhow::Result<Self> {
        // Reserved meanwhile, so that no proxy takes the port of a node that has not started.
        let (addresses, _held) = loopback(nodes)?;
        Self::between(addresses, journal)
    }

    /// Starts the proxies between known listeners.
    fn between(addresses: Vec<Addresses>, journal: &Path) -> anyhow::Result<Self> {
        let journal = Arc::new(Journal::new(journal)?);
        let count = addresses.len();
        let pairs = || (0..count).flat_map(move |from| (0..count).map(move |to| (from, to)));
        let ordered = || pairs().filter(|(from, to)| from != to);
        let lanes: BTreeMap<_, _> = ordered().map(|pair| (pair, Arc::default())).collect();
        let mut links = BTreeMap::new();
        for (from, to) in ordered() {
            let lane = |pair| lanes.get(&pair).map(Arc::clone).context("no such lane");
            let shared = Shared {
                name: format!("n{}->n{}", from + 1, to + 1),
                to: addresses.get(to).context("no such node")?.peer,
                there: lane((from, to))?,
                back: lane((to, from))?,
                pairs: Mutex::default(),
                journal: Arc::clone(&journal),
            };
            links.insert((from, to), Link::open(shared)?);
        }
        Ok(Self { addresses, lanes, links, journal })
    }

    fn lane(&self, from: usize, to: usize) -> anyhow::Result<&Lane> {
        Ok(self.lanes.get(&(from, to)).context("no such lane")?)
    }
}

impl Network for Proxy {
    fn addresses(&self) -> Vec<Addresses> {
        self.addresses.clone()
    }

    fn dial(&self, from: usize, to: usize) -> Option<SocketAddr> {
        self.links.get(&(from, to)).map(|link| link.listen)
    }

    fn command(&self, _: usize, program: &Path) -> Command {
        Command::new(program)
    }

    fn cut(&mut self, from: usize, to: usize, how: CutMode) -> anyhow::Result<()> {
        self.lane(from, to)?.change(|rules| rules.cut = Some(how));
        let link = self.links.get(&(from, to)).context("no such link")?;
        if how == CutMode::Refuse {
            // Refused attempts cannot be counted, closed connections can.
            link.wake();
            let ended = link.shared.end(|_| true);
            self.lane(from, to)?.change(|rules| rules.traffic.lost += ended);
        }
        self.journal.write(&json!({"event": "cut", "link": link.shared.name, "how": how}));
        Ok(())
    }

    fn shape(&mut self, from: usize, to: usize, shape: Shape) -> anyhow::Result<()> {
        anyhow::ensure!(
            shape.loss_percent == 0,
            "a proxy cannot lose packets: use --network netns"
        );
        self.lane(from, to)?.change(|rules| {
            rules.shape = shape;
            rules.shaped = 0;
        });
        let name = format!("n{}->n{}", from + 1, to + 1);
        self.journal.write(&json!({"event": "shape", "link": name, "shape": shape}));
        Ok(())
    }

    fn heal_all(&mut self) -> anyhow::Result<()> {
        for ((from, to), lane) in &self.lanes {
            let mut was = (None, Shape::default(), Traffic::default());
            lane.change(|rules| {
                was = (rules.cut.take(), std::mem::take(&mut rules.shape), rules.traffic);
            });
            if was.0.is_some() || was.1 != Shape::default() {
                let name = format!("n{}->n{}", from + 1, to + 1);
                self.journal.write(&json!({"event": "heal", "link": name, "traffic": was.2}));
            }
        }
        for link in self.links.values() {
            link.shared.end(|pair| pair.tainted.load(Ordering::Relaxed));
        }
        Ok(())
    }

    fn traffic(&mut self, from: usize, to: usize) -> anyhow::Result<Traffic> {
        Ok(self.lane(from, to)?.rules().traffic)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for lane in self.lanes.values() {
            lane.change(|rules| rules.closed = true);
        }
        for link in self.links.values_mut() {
            link.wake();
            link.shared.end(|_| true);
            if let Some(thread) = link.thread.take() {
                _ = thread.join();
            }
        }
    }
}

impl Link {
    fn open(shared: Shared) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((own_loopback(), 0))?;
        let listen = listener.local_addr()?;
        let shared = Arc::new(shared);
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name(shared.name.clone())
            .spawn(move || listen_on(&theirs, listen, listener))?;
        Ok(Self { listen, shared, thread: Some(thread) })
    }

    /// Makes the listener check its rules again.
    fn wake(&self) {
        drop(TcpStream::connect_timeout(&self.listen, CONNECT_LIMIT));
    }
}

/// Accepts connections until the run is over. While they are refused nobody listens.
fn listen_on(shared: &Arc<Shared>, at: SocketAddr, first: TcpListener) {
    let mut listener = Some(first);
    while !shared.there.is_closed() {
        let Some(open) = &listener else {
            drop(shared.there.wait_until(|rules| rules.cut != Some(CutMode::Refuse)));
            listener = TcpListener::bind(at).ok();
            if listener.is_none() {
                // An outgoing connection of this machine took the port for a moment.
                shared.there.wait_at_most(Duration::from_millis(50));
            }
            continue;
        };
        let Ok((near, _)) = open.accept() else { continue };
        let cut = shared.there.rules().cut;
        match cut {
            Some(CutMode::Refuse) => listener = None,
            // Closed before its first byte is read, so that the byte is answered with a reset.
            Some(CutMode::Reset) => shared.there.change(|rules| rules.traffic.lost += 1),
            Some(CutMode::Blackhole) | None => shared.carry(near),
        }
    }
}

impl Shared {
    /// Connects to the node, and forwards in both directions.
    fn carry(self: &Arc<Self>, near: TcpStream) {
        let Ok(far) = TcpStream::connect_timeout(&self.to, CONNECT_LIMIT) else { return };
        if near.set_nodelay(true).is_err() || far.set_nodelay(true).is_err() {
            return;
        }
        let pair = Arc::new(Pair {
            near,
            far,
            tainted: AtomicBool::new(false),
            reset: AtomicBool::new(false),
        });
        {
            let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
            pairs.retain(|known| known.strong_count() > 0);
            pairs.push(Arc::downgrade(&pair));
        }
        self.journal.write(&json!({"event": "open", "link": self.name}));
        let (outward, homeward) = (Arc::clone(self), Arc::clone(self));
        let (first, second) = (Arc::clone(&pair), pair);
        // If a thread cannot be started, its end is dropped and the connection closes.
        let started = [
            thread::Builder::new().spawn(move || {
                pump(&outward.there, &first, &first.near, &first.far);
                outward.journal.write(&json!({"event": "close", "link": outward.name}));
            }),
            thread::Builder::new()
                .spawn(move || pump(&homeward.back, &second, &second.far, &second.near)),
        ];
        drop(started);
    }

    /// Closes the matching connections; returns how many.
    fn end(&self, meant: impl Fn(&Pair) -> bool) -> u64 {
        let pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let open = pairs.iter().filter_map(Weak::upgrade).filter(|pair| meant(pair));
        open.map(|pair| pair.close()).count() as u64
    }
}

impl Pair {
    fn close(&self) {
        // Either may be closed already.
        _ = self.near.shutdown(Shutdown::Both);
        _ = self.far.shutdown(Shutdown::Both);
    }
}

/// Forwards one direction of a connection until it ends.
fn pump(lane: &Lane, pair: &Pair, mut from: &TcpStream, mut to: &TcpStream) {
    let mut piece = vec![0; PIECE_BYTES];
    let mut seed = Seed::new(0);
    // Peeks before reading: with unread bytes, closing sends a reset.
    while matches!(from.peek(&mut [0]), Ok(1..)) {
        let rules = lane.wait_until(|rules| rules.cut.is_some() || !rules.is_stalled());
        let (cut, shape, closed) = (rules.cut, rules.shape, rules.closed);
        drop(rules);
        if closed {
            break;
        }
        if cut == Some(CutMode::Reset) {
            lane.change(|rules| rules.traffic.lost += 1);
            pair.reset.store(true, Ordering::Relaxed);
            _ = to.shutdown(Shutdown::Both);
            return;
        }
        let room = shape.piece().min(piece.len());
        let Ok(count @ 1..) = from.read(piece.get_mut(..room).unwrap_or_default()) else { break };
        let pause = shape.delay_ms + seed.below(shape.jitter_ms + 1);
        lane.wait_at_most(Duration::from_millis(pause));
        if lane.admits(count as u64) {
            if to.write_all(piece.get(..count).unwrap_or_default()).is_err() {
                break;
            }
            lane.wait_at_most(shape.time_of(count as u64));
        } else {
            pair.tainted.store(true, Ordering::Relaxed);
        }
    }
    if !pair.reset.load(Ordering::Relaxed) {
        pair.close();
    }
}

impl Lane {
    /// Counts a chunk; returns whether it is forwarded. Nothing counts as carried after a cut.
    fn admits(&self, bytes: u64) -> bool {
        let mut rules = self.rules();
        if rules.cut.is_some() {
            rules.traffic.lost += bytes;
            return false;
        }
        rules.shaped += bytes;
        rules.traffic.carried += bytes;
        if rules.shape != Shape::default() {
            rules.traffic.slowed += u64::from(rules.shape.stall_after == 0 || rules.is_stalled());
        }
        true
    }
}

impl Rules {
    const fn is_stalled(&self) -> bool {
        self.shape.stall_after > 0 && self.shaped >= self.shape.stall_after
    }
}

impl Shape {
    fn piece(self) -> usize {
        match self.bytes_per_s {
            0 => PIECE_BYTES,
            rate => usize::try_from((rate / PIECES_PER_SECOND).max(1)).unwrap_or(PIECE_BYTES),
        }
    }

    const fn time_of(self, bytes: u64) -> Duration {
        match self.bytes_per_s {
            0 => Duration::ZERO,
            rate => Duration::from_millis(bytes.saturating_mul(1000) / rate),
        }
    }
}

/// What the proxies did, one JSON object per line: `proxy.jsonl`.
#[derive(Debug)]
struct Journal {
    out: Mutex<BufWriter<File>>,
    started: Instant,
}

impl Journal {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let out = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { out: Mutex::new(BufWriter::new(out)), started: Instant::now() })
    }

    fn write(&self, event: &Value) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut line = json!({"ms": ms});
        if let (Some(line), Some(event)) = (line.as_object_mut(), event.as_object()) {
            line.extend(event.clone());
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A failed write shows as a missing line; the history has the facts.
        _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests;
