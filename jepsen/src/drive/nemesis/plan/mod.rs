//! What will be broken, and when: data, drawn from the seed before anything starts.
//!
//! A plan names a [`Target`] instead of a node where the node depends on the run, such as the
//! leader. Faults of one track start 5 to 10 s apart and never overlap; `chaos` has three tracks.
//! Every fault ends before the run does. Disks are destroyed one at a time, and a destroyed disk is
//! replaced before the next one, because a minority of three nodes is one.

mod draw;
mod fault;
mod parameters;
mod target;

#[cfg(test)]
mod tests;

use super::Nemesis;
use super::capabilities::Capabilities;
use crate::seed::Seed;

pub use self::draw::draw;
pub use self::fault::{
    ClockError, Cut, DiskFault, FailpointAction, Fault, MembershipChange, PlannedFault,
};
pub use self::target::Target;

/// What a plan is drawn for.
#[derive(Clone, Debug)]
pub struct PlanRequest {
    /// The kind of faults.
    pub nemesis: Nemesis,
    /// The workload needs its holds to expire.
    pub advances: bool,
    /// How long the clients run.
    pub seconds: u64,
    /// How many nodes form the cluster.
    pub nodes: usize,
    /// What can be broken.
    pub capabilities: Capabilities,
    /// Source of all randomness.
    pub seed: Seed,
}

/// A plan, and what must be observed of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DrawnPlan {
    /// In order of time.
    pub faults: Vec<PlannedFault>,
    /// `kill/leader`, or in chaos `kill`: each must take effect at least once.
    pub required: Vec<String>,
    /// Modes of the nemesis that cannot be carried out here, and what they need.
    pub missing: Vec<String>,
    /// Modes that chaos leaves out here, and what they need.
    pub without: Vec<String>,
}
