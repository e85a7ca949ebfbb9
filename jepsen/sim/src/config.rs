//! What a seed decides before the run begins: the cluster, its settings, and which faults it meets.
//!
//! Not every run has every fault: a run that leaves some out gets further with the others.

use std::time::Duration;

use firstcome_jepsen::drive::workload::Kind;

use crate::dice::Dice;

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Some machines cannot reach others, in one direction or both.
    Partition,
    /// Messages take much longer.
    Latency,
    /// Connections break.
    Reset,
    /// A process dies; the machine goes on.
    Kill,
    /// Machines lose power, and what was not synced.
    Power,
    /// A machine loses power while it receives a snapshot.
    PowerInSnapshot,
    /// A machine loses power right after it voted.
    PowerInElection,
    /// A call of the disk fails.
    DiskError,
    /// Syncs take long.
    SlowDisk,
    /// A process stands still, as under SIGSTOP.
    Pause,
    /// A process stands still again and again for a moment.
    SlowNode,
    /// A wall clock is wrong, or runs wrong.
    Clock,
    /// All clocks are set forward together, for good.
    ClockStep,
    /// Leadership is handed over.
    Transfer,
    /// A snapshot mark is asked for.
    Snapshot,
    /// A member is removed, its disk wiped, and it is added again.
    Membership,
}

/// Every kind.
pub const FAULTS: [Fault; 16] = [
    Fault::Partition,
    Fault::Latency,
    Fault::Reset,
    Fault::Kill,
    Fault::Power,
    Fault::PowerInSnapshot,
    Fault::PowerInElection,
    Fault::DiskError,
    Fault::SlowDisk,
    Fault::Pause,
    Fault::SlowNode,
    Fault::Clock,
    Fault::ClockStep,
    Fault::Transfer,
    Fault::Snapshot,
    Fault::Membership,
];

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything comes from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How long faults last.
    pub chaos: Duration,
    /// The time between two faults, about, in ms.
    pub gap_ms: u64,
    /// Which faults there are.
    pub faults: Vec<Fault>,
    /// Network latency, in ms.
    pub latency_ms: (u64, u64),
    /// Time of a sync, in microseconds.
    pub sync_us: (u64, u64),
    /// Heartbeat, and from it the election timeouts.
    pub heartbeat: Duration,
    /// Shortest and longest election timeout.
    pub election: (Duration, Duration),
    /// One peer request.
    pub rpc_timeout: Duration,
    /// Entries after which the snapshot mark moves.
    pub snapshot_entries: u64,
    /// Entries kept behind it.
    pub retain_entries: u64,
    /// Time between checkpoints.
    pub checkpoint_interval: Duration,
    /// Bytes between checkpoints.
    pub checkpoint_bytes: usize,
    /// Entries kept in memory, in bytes.
    pub log_cache_bytes: usize,
    /// Size of a file of the log.
    pub log_segment_bytes: u64,
    /// Commands in flight.
    pub admission_queue: usize,
    /// How long a client thinks between two requests, at most, in ms.
    pub think_ms: u64,
    /// What the clients do.
    pub workload: Kind,
}

/// The hot path most often, and what needs time to pass more often than the rest.
fn workload(dice: &mut Dice) -> Kind {
    match dice.below(100) {
        0..30 => Kind::FlashSale,
        30..50 => Kind::Deadline,
        50..70 => Kind::Conservation,
        70..80 => Kind::OrdersOnce,
        80..87 => Kind::Sessions,
        87..94 => Kind::OrderSet,
        _ => Kind::Register,
    }
}

impl Config {
    /// Less time for faults: what a gate can afford for many seeds. Everything else stays.
    pub fn shorten(&mut self) {
        self.chaos /= 4;
        self.gap_ms = self.gap_ms.min(1_500);
    }

    /// Draws the plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::of(seed, 1);
        let latency = dice.between(1, 3);
        let latency_ms = (latency, latency + dice.between(0, 5));
        // openraft gives up a heartbeat after one interval. A first one on a new connection takes
        // six ways (connect, greeting, append); below that the cluster cannot keep a leader.
        let heartbeat = dice.pick(&[20, 50, 100]).unwrap_or(50).max((latency_ms.1 + 2) * 8);
        let shortest = heartbeat * dice.between(4, 8);
        let ms = Duration::from_millis;
        let faults = FAULTS.into_iter().filter(|_| dice.per_mille(600)).collect();
        let sync = dice.magnitude(200, 8_000);
        Self {
            seed,
            nodes: if dice.per_mille(650) { 3 } else { 5 },
            chaos: ms(dice.between(20_000, 60_000)),
            gap_ms: dice.magnitude(300, 6_000),
            faults,
            latency_ms,
            sync_us: (sync / 4, sync),
            heartbeat: ms(heartbeat),
            election: (ms(shortest), ms(shortest * 2)),
            rpc_timeout: ms(dice.between(200, 1_000)),
            snapshot_entries: dice.magnitude(20, 200),
            retain_entries: dice.magnitude(5, 2_000),
            checkpoint_interval: ms(dice.magnitude(20, 1_000)),
            checkpoint_bytes: usize::try_from(dice.magnitude(4 << 10, 1 << 20)).unwrap_or(1 << 20),
            log_cache_bytes: usize::try_from(dice.magnitude(1 << 10, 1 << 20)).unwrap_or(1 << 20),
            admission_queue: usize::try_from(dice.magnitude(4, 4_096)).unwrap_or(4_096),
            think_ms: dice.magnitude(10, 300),
            workload: workload(&mut dice),
            log_segment_bytes: dice.magnitude(4 << 10, 1 << 20),
        }
    }
}
