//! A machine as its node sees it: sockets, a wall clock that may be wrong, a disk that takes time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use firstcome_raft::simulation::{Duplex, Listener, Machine};
use parking_lot::Mutex;

use crate::dice::Dice;
use crate::net::{Net, Sockets};
use crate::time::Axis;

/// When every run begins: 2026-01-01T00:00:00Z.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// The knobs the nemesis turns.
#[derive(Debug)]
pub struct Knobs {
    /// By how much the time itself was moved, in microseconds; the same on all machines.
    pub clock_base_us: AtomicI64,
    /// The clock's error, in microseconds.
    pub clock_error_us: AtomicI64,
    /// How fast the error grows: microseconds per second.
    pub drift_ppm: AtomicI64,
    /// Shortest and longest time of a disk sync, in microseconds.
    pub sync_us: (AtomicU64, AtomicU64),
}

impl Knobs {
    /// A good clock, and a disk of this pace.
    pub const fn new(sync_us: (u64, u64)) -> Self {
        Self {
            clock_base_us: AtomicI64::new(0),
            clock_error_us: AtomicI64::new(0),
            drift_ppm: AtomicI64::new(0),
            sync_us: (AtomicU64::new(sync_us.0), AtomicU64::new(sync_us.1)),
        }
    }

    /// Sets the pace of the disk.
    pub fn set_sync(&self, (low, high): (u64, u64)) {
        self.sync_us.0.store(low, Ordering::Relaxed);
        self.sync_us.1.store(high, Ordering::Relaxed);
    }

    /// Lets the clock drift for so long.
    pub fn drift(&self, time: Duration) {
        let ppm = self.drift_ppm.load(Ordering::Relaxed);
        if ppm != 0 {
            let ms = i64::try_from(time.as_millis()).unwrap_or(0);
            self.clock_error_us.fetch_add(ppm * ms / 1000, Ordering::Relaxed);
        }
    }
}

/// One machine.
pub struct SimMachine {
    axis: Axis,
    sockets: Sockets,
    knobs: Arc<Knobs>,
    dice: Mutex<Dice>,
}

impl SimMachine {
    /// The machine of this number.
    pub fn new(axis: Axis, net: Arc<Net>, machine: usize, knobs: Arc<Knobs>, dice: Dice) -> Self {
        Self { axis, sockets: Sockets { net, machine }, knobs, dice: Mutex::new(dice) }
    }
}

impl Machine for SimMachine {
    fn wall_ms(&self) -> i64 {
        let us = i64::try_from(self.axis.here() / 1000).unwrap_or(i64::MAX);
        let base = self.knobs.clock_base_us.load(Ordering::Relaxed);
        let error = self.knobs.clock_error_us.load(Ordering::Relaxed);
        EPOCH_MS + us.saturating_add(base).saturating_add(error) / 1000
    }

    fn disk_delay(&self) -> Duration {
        let (low, high) = &self.knobs.sync_us;
        let (low, high) = (low.load(Ordering::Relaxed), high.load(Ordering::Relaxed));
        Duration::from_micros(self.dice.lock().between(low, high))
    }

    fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Ok(self.sockets.listen(address))
    }

    fn connect(
        &self,
        address: &str,
    ) -> std::pin::Pin<Box<dyn Future<Output = io::Result<Box<dyn Duplex>>> + Send>> {
        let net = Arc::clone(&self.sockets.net);
        Box::pin(Sockets::connect(net, self.sockets.machine, address.to_owned()))
    }
}
