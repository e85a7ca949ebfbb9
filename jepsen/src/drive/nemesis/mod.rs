//! The nemesis: the faults of a run, drawn from the seed, injected and healed.
//!
//! Reading order: [`plan`] (what will be broken: data, `plan.json`), [`capabilities`] (what this
//! machine and this binary can break), [`executor`] (doing it, and healing everything at the end),
//! [`context`] (what every fault may touch), then one file per kind of fault. Every fault records
//! what it did and whether it *took effect*, as observed from outside: a process gone, a leader
//! changed, a cut link silent, an offset in the node's own status.
//!
//! | Name | Modes |
//! |---|---|
//! | `kill`, `stop` | SIGKILL; SIGTERM, which must end with 0: of one node, the leader, a minority, a majority, the leader and a minority, all |
//! | `pause` | SIGSTOP for less than a lease, about an election timeout, or several |
//! | `cold` | all nodes killed at once and started again, over and over |
//! | `partition` | one, a split with the leader in the minority, the leader alone, ring of majorities (4 nodes and more), bridge, one way |
//! | `link` | proxy: delay and jitter, narrow, stall; netns: loss |
//! | `power` | SIGKILL of a fault build, whose unsynced writes die with it: one, a minority, all |
//! | `disk` | full, slow, EIO, a bit flipped in a stopped node's file |
//! | `failpoint` | a panic or a sleep at a named point of the product |
//! | `clock` | jump, drift, strobe of one node or a minority |
//! | `membership` | grow to five and back, remove the leader, replace a wiped node, transfer |
//! | `upgrade` | from one binary to the other and back, node by node, mixed for a while |
//! | `chaos` | three tracks of all that can be broken here, overlapping |
//!
//! The product has no way to make a voter a learner again, so there is no mode for it.
//! Clocks move forward together (`advance`) under workloads whose holds must end.

pub mod capabilities;
pub mod executor;
pub mod plan;

mod clock;
mod context;
mod disk;
mod failpoint;
mod link;
mod membership;
mod partition;
mod process;
mod upgrade;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::context::FaultContext;
use self::plan::{Fault, PlannedFault};

/// The kind of faults.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Nemesis {
    /// Nothing.
    None,
    /// SIGKILL and restart.
    Kill,
    /// SIGTERM and restart.
    Stop,
    /// SIGSTOP and SIGCONT.
    Pause,
    /// All nodes killed and started again, in a loop.
    Cold,
    /// Nodes that do not hear each other.
    Partition,
    /// Slow, narrow, stalling or lossy links.
    Link,
    /// Power loss (fault build).
    Power,
    /// Full, slow, failing and damaged disks.
    Disk,
    /// Panics and sleeps inside a node (fault build).
    Failpoint,
    /// Wrong clocks.
    Clock,
    /// Members that are added, removed and replaced.
    Membership,
    /// Rolling restarts between two binaries.
    Upgrade,
    /// Everything that can be broken here, overlapping.
    Chaos,
}

impl Nemesis {
    /// Whether some of its modes need a fault build.
    pub const fn needs_fault_build(self) -> bool {
        matches!(self, Self::Power | Self::Disk | Self::Failpoint | Self::Clock)
    }

    /// The name in plans and histories.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Cold => "cold",
            Self::Partition => "partition",
            Self::Link => "link",
            Self::Power => "power",
            Self::Disk => "disk",
            Self::Failpoint => "failpoint",
            Self::Clock => "clock",
            Self::Membership => "membership",
            Self::Upgrade => "upgrade",
            Self::Chaos => "chaos",
        }
    }
}

/// What was observed of a fault.
#[derive(Clone, PartialEq, Debug, Default)]
struct Outcome {
    /// Whether the fault had any effect.
    took_effect: bool,
    /// The evidence.
    seen: Value,
}

/// Injects one fault. `end` undoes whatever `begin` did, even if `begin` failed.
trait FaultInjector {
    /// Injects the fault; returns what was done.
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value>;

    /// Observes the fault, every half second.
    fn watch(&mut self, _field: &mut FaultContext<'_>) -> anyhow::Result<()> {
        Ok(())
    }

    /// Undoes the fault; returns what was observed.
    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome>;
}

/// The injector for a planned fault on these nodes.
fn injector(planned: &PlannedFault, nodes: &[usize]) -> Box<dyn FaultInjector> {
    let nodes = nodes.to_vec();
    match &planned.fault {
        Fault::Kill | Fault::Cold => Box::new(process::KilledNodes::killed(nodes)),
        Fault::Power => Box::new(process::KilledNodes::without_power(nodes)),
        Fault::Stop => Box::new(process::StoppedNodes::new(nodes)),
        Fault::Pause { .. } => Box::new(process::PausedNodes::new(nodes)),
        Fault::Partition { cut, how } => {
            Box::new(partition::Partition::new(*cut, *how, planned.node))
        }
        Fault::Link { shape, .. } => Box::new(link::DegradedLinks::new(nodes, *shape)),
        Fault::Disk { mode } => disk::injector(*mode, nodes, planned.node as u64),
        Fault::Failpoint { name, action, ms } => {
            Box::new(failpoint::Failpoint::new(nodes, name, *action, *ms))
        }
        Fault::Clock { mode, offset_ms, drift_ppm } => {
            Box::new(clock::WrongClocks::new(nodes, *mode, *offset_ms, *drift_ppm))
        }
        Fault::Advance { ms } => Box::new(clock::Advance::new(*ms)),
        Fault::Membership { step } => membership::injector(*step, nodes),
        Fault::Upgrade { leader_first } => Box::new(upgrade::RollingUpgrade::new(*leader_first)),
    }
}
