//! What a demo runs, and what happened to its leader.

use std::time::Duration;

/// Shortest time over which buyers arrive; long enough to see the effect of the killed leader.
const ARRIVALS: Duration = Duration::from_millis(3500);
/// With more buyers per second than this, they arrive over a longer time.
const ARRIVALS_PER_SECOND: usize = 4000;
/// Timeout of an administrative request.
pub(super) const ADMIN_LIMIT: Duration = Duration::from_secs(10);

/// What to run.
pub(crate) struct Plan {
    pub(crate) buyers: usize,
    pub(crate) units: u64,
    pub(crate) nodes: usize,
    pub(crate) connections: usize,
    pub(crate) kill: bool,
    pub(crate) keep_running: bool,
    pub(crate) json: bool,
}

impl Plan {
    /// Time over which buyers arrive.
    pub(super) fn arrivals(&self) -> Duration {
        let needed = Duration::from_millis((self.buyers * 1000 / ARRIVALS_PER_SECOND) as u64);
        ARRIVALS.max(needed)
    }

    /// Units that should be sold in the end.
    pub(super) fn expected_sales(&self) -> u64 {
        self.units.min(self.buyers as u64)
    }
}

/// What happened when the leader was killed.
#[derive(Default)]
pub(super) struct Outage {
    /// Name of the killed leader.
    pub(super) leader: Option<String>,
    /// Purchases before the kill.
    pub(super) purchases_before: u64,
    /// Time from the kill to the next purchase.
    pub(super) without_leader: Option<Duration>,
}
