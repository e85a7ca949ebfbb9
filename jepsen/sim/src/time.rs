//! Virtual time: one axis for all machines, moved by the driver alone.
//!
//! Every runtime has tokio's paused clock. They all begin at the same instant, because the clock
//! below them is frozen outside of runtimes (see `main`), so instants of two machines compare.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// One step of the driver; no message is faster, so machines may take their turns one by one.
pub const TICK: Duration = Duration::from_millis(1);

/// The axis.
#[derive(Clone, Debug)]
pub struct Axis {
    origin: Instant,
    /// Nanoseconds; up to where every machine has come.
    now: Arc<AtomicU64>,
}

impl Axis {
    /// Begins now; to be called outside of any runtime.
    pub fn begin() -> Self {
        Self { origin: Instant::now(), now: Arc::new(AtomicU64::new(0)) }
    }

    /// Up to where every machine has come, in ns.
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// One more step; answers where it ends.
    pub fn advance(&self) -> u64 {
        let step = u64::try_from(TICK.as_nanos()).unwrap_or(1);
        self.now.fetch_add(step, Ordering::Relaxed) + step
    }

    /// What the current runtime calls now, in ns.
    pub fn here(&self) -> u64 {
        let here = Instant::now().saturating_duration_since(self.origin);
        u64::try_from(here.as_nanos()).unwrap_or(u64::MAX)
    }

    /// A time of the axis, for timers.
    pub fn instant(&self, ns: u64) -> Instant {
        self.origin + Duration::from_nanos(ns)
    }
}

/// Nanoseconds of a duration.
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
