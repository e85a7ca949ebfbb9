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
    /// What is broken.
    pub nemesis: Nemesis,
    /// The workload needs time to pass: holds must end.
    pub advances: bool,
    /// How long the clients run.
    pub seconds: u64,
    /// How many nodes the cluster begins with.
    pub nodes: usize,
    /// What can be broken.
    pub capabilities: Capabilities,
    /// Where all randomness comes from.
    pub seed: Seed,
}

/// A plan, and what must be seen of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DrawnPlan {
    /// By time.
    pub faults: Vec<PlannedFault>,
    /// `kill/leader`, or in chaos `kill`: each must take effect once.
    pub required: Vec<String>,
    /// What belongs to the nemesis and cannot be carried out here, with what it needs.
    pub missing: Vec<String>,
    /// What chaos does without here, with what it needs.
    pub without: Vec<String>,
}
