//! The kinds of faults, with all their parameters: what `plan.json` holds.

use serde::{Deserialize, Serialize};

use super::Target;
use crate::drive::cluster::network::{CutMode, Shape};
use crate::drive::nemesis::Nemesis;

/// Which nodes are cut off from which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// One node from the others.
    One,
    /// Two parts, with the leader in the smaller one.
    Split,
    /// The leader from the others.
    LeaderAlone,
    /// Each node can talk to a majority, and no two to the same one.
    Ring,
    /// Two parts that share one node.
    Bridge,
    /// Nothing from the leader arrives; the leader still receives.
    LeaderMute,
    /// Nothing reaches the leader; it can still send.
    LeaderDeaf,
}

/// What is wrong with a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskFault {
    /// The disk is full.
    Full,
    /// Every call is slow.
    Slow,
    /// Calls fail.
    Eio,
    /// A bit of a stopped node's file is flipped.
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
    /// By a fixed offset.
    Jump,
    /// By a growing offset.
    Drift,
    /// Alternating between wrong and right.
    Strobe,
}

/// How the members change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipChange {
    /// Two spares become voters, and leave again.
    Grow,
    /// The leader is removed, and comes back as a new member.
    RemoveLeader,
    /// A node loses its disk, and comes back as a new member.
    Replace,
    /// Leadership is transferred to another voter.
    Transfer,
}

/// A fault with all its parameters.
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
    /// SIGKILL of all nodes.
    Cold,
    /// Power loss.
    Power,
    /// A network partition.
    Partition {
        /// Which nodes are cut off.
        cut: Cut,
        /// How the links are cut.
        how: CutMode,
    },
    /// Degraded links.
    Link {
        /// `delay`, `narrow`, `stall` or `loss`.
        mode: String,
        /// The degradation.
        shape: Shape,
    },
    /// A bad disk.
    Disk {
        /// What is wrong with it.
        mode: DiskFault,
    },
    /// A failpoint.
    Failpoint {
        /// Its name.
        name: String,
        /// What happens there.
        action: FailpointAction,
        /// How long a sleep is.
        ms: u64,
    },
    /// A wrong clock.
    Clock {
        /// How it is wrong.
        mode: ClockError,
        /// The offset.
        offset_ms: i64,
        /// The drift.
        drift_ppm: i64,
    },
    /// All clocks are set forward together, until the end of the run.
    Advance {
        /// By how much.
        ms: i64,
    },
    /// A membership change.
    Membership {
        /// Which one.
        step: MembershipChange,
    },
    /// A rolling restart from one binary to the other.
    Upgrade {
        /// Whether the leader is restarted first.
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
    /// Which nodes it hits.
    pub target: Target,
    /// The index of the first node, if the target is not the leader or no leader is known.
    pub node: usize,
    /// The fault.
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

    /// Whether its nodes can have no other process or disk fault at the same time.
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

    /// Whether a disk is lost.
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
