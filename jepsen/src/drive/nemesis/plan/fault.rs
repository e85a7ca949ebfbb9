//! The kinds of faults, with all their parameters: what `plan.json` holds.

use serde::{Deserialize, Serialize};

use super::Target;
use crate::drive::cluster::network::{CutMode, Shape};
use crate::drive::nemesis::Nemesis;

/// Who does not hear whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// One node and the others.
    One,
    /// A split, with the leader in the smaller part.
    Split,
    /// The leader and the others.
    LeaderAlone,
    /// Each node hears a majority, and no two the same.
    Ring,
    /// Two parts that share one node.
    Bridge,
    /// The leader is not heard, but hears.
    LeaderMute,
    /// The leader does not hear, but is heard.
    LeaderDeaf,
}

/// What is wrong with a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskFault {
    /// No room.
    Full,
    /// Every call takes longer.
    Slow,
    /// Calls fail.
    Eio,
    /// A bit of a stopped node's file is another.
    BitFlip,
}

/// What happens at a failpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailpointAction {
    /// The process ends as after a bug.
    Panic,
    /// The thread waits.
    Sleep,
}

/// How a clock is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockError {
    /// By a fixed time.
    Jump,
    /// By more and more.
    Drift,
    /// Back and forth.
    Strobe,
}

/// What becomes of the members.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipChange {
    /// Two spares become voters, and leave again.
    Grow,
    /// The leader is removed, and comes back as somebody new.
    RemoveLeader,
    /// A node loses its disk, and comes back as somebody new.
    Replace,
    /// Another voter leads.
    Transfer,
}

/// What is broken, with all its parameters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Stop,
    /// SIGSTOP.
    Pause {
        /// `short`, `lease` or `long`.
        mode: String,
    },
    /// SIGKILL of all.
    Cold,
    /// Power loss.
    Power,
    /// Nodes that do not hear each other.
    Partition {
        /// Who.
        cut: Cut,
        /// By what means.
        how: CutMode,
    },
    /// Links that are worse than they were.
    Link {
        /// `delay`, `narrow`, `stall` or `loss`.
        mode: String,
        /// How.
        shape: Shape,
    },
    /// A bad disk.
    Disk {
        /// How.
        mode: DiskFault,
    },
    /// Something happens at a point of the product.
    Failpoint {
        /// The point.
        name: String,
        /// What happens.
        action: FailpointAction,
        /// How long a sleep is.
        ms: u64,
    },
    /// A wrong clock.
    Clock {
        /// How.
        mode: ClockError,
        /// By how much.
        offset_ms: i64,
        /// How much faster it runs.
        drift_ppm: i64,
    },
    /// All clocks move forward together, for good.
    Advance {
        /// By how much.
        ms: i64,
    },
    /// Members come and go.
    Membership {
        /// How.
        step: MembershipChange,
    },
    /// From one binary to the other, node by node.
    Upgrade {
        /// The leader changes its binary before the others.
        leader_first: bool,
    },
}

/// One planned fault.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlannedFault {
    /// When, in ms after the clients started.
    pub at_ms: u64,
    /// For how long.
    pub lasts_ms: u64,
    /// Whom it hits.
    pub target: Target,
    /// The place to begin with, when the leader is not meant or not known.
    pub node: usize,
    /// What it is.
    pub fault: Fault,
}

impl PlannedFault {
    /// The nemesis it belongs to.
    pub const fn kind(&self) -> Nemesis {
        match self.fault {
            Fault::Kill => Nemesis::Kill,
            Fault::Stop => Nemesis::Stop,
            Fault::Pause { .. } => Nemesis::Pause,
            Fault::Cold => Nemesis::Cold,
            Fault::Power => Nemesis::Power,
            Fault::Partition { .. } => Nemesis::Partition,
            Fault::Link { .. } => Nemesis::Link,
            Fault::Disk { .. } => Nemesis::Disk,
            Fault::Failpoint { .. } => Nemesis::Failpoint,
            Fault::Clock { .. } | Fault::Advance { .. } => Nemesis::Clock,
            Fault::Membership { .. } => Nemesis::Membership,
            Fault::Upgrade { .. } => Nemesis::Upgrade,
        }
    }

    /// The mode of that nemesis.
    pub fn mode(&self) -> &str {
        match &self.fault {
            Fault::Kill | Fault::Stop | Fault::Cold | Fault::Power => self.target.name(),
            Fault::Pause { mode } | Fault::Link { mode, .. } => mode,
            Fault::Partition { cut, .. } => match cut {
                Cut::One => "one",
                Cut::Split => "split",
                Cut::LeaderAlone => "leader_alone",
                Cut::Ring => "ring",
                Cut::Bridge => "bridge",
                Cut::LeaderMute | Cut::LeaderDeaf => "one_way",
            },
            Fault::Disk { mode } => match mode {
                DiskFault::Full => "full",
                DiskFault::Slow => "slow",
                DiskFault::Eio => "eio",
                DiskFault::BitFlip => "bit_flip",
            },
            Fault::Failpoint { action, .. } => match action {
                FailpointAction::Panic => "panic",
                FailpointAction::Sleep => "sleep",
            },
            Fault::Clock { mode, .. } => match mode {
                ClockError::Jump => "jump",
                ClockError::Drift => "drift",
                ClockError::Strobe => "strobe",
            },
            Fault::Advance { .. } => "advance",
            Fault::Membership { step } => match step {
                MembershipChange::Grow => "grow",
                MembershipChange::RemoveLeader => "remove_leader",
                MembershipChange::Replace => "replace",
                MembershipChange::Transfer => "transfer",
            },
            Fault::Upgrade { .. } => "rolling",
        }
    }

    /// Whether its nodes can bear no other fault of their process or disk meanwhile.
    pub const fn holds_nodes(&self) -> bool {
        !matches!(
            self.fault,
            Fault::Partition { .. }
                | Fault::Link { .. }
                | Fault::Clock { .. }
                | Fault::Advance { .. }
                | Fault::Membership { step: MembershipChange::Transfer | MembershipChange::Grow }
        )
    }

    /// Whether a disk is lost for good by it.
    pub const fn destroys(&self) -> bool {
        matches!(
            self.fault,
            Fault::Disk { mode: DiskFault::BitFlip }
                | Fault::Membership {
                    step: MembershipChange::Replace | MembershipChange::RemoveLeader
                }
        )
    }
}
