//! Draws the parameters of one fault.

use super::fault::{
    ClockError, Cut, DiskFault, FailpointAction, Fault, MembershipChange, PlannedFault,
};
use super::{PlanRequest, Target};
use crate::drive::cluster::network::{CutMode, Shape};
use crate::drive::nemesis::Nemesis;
use crate::seed::Seed;

/// Failpoints that a run passes by itself or can be made to pass.
const POINTS: &[&str] = &[
    "log_append_before",
    "apply_commit_after",
    "checkpoint_before",
    "snapshot_rename_after",
    "log_append_after",
    "flush_callback",
    "membership_save_after",
    "apply_commit_before",
    "checkpoint_after",
    "snapshot_rename_before",
    "membership_save_before",
];

/// Draws the parameters of one fault.
pub(super) fn draw_fault(
    kind: Nemesis,
    mode: &str,
    round: usize,
    at_ms: u64,
    request: &PlanRequest,
    seed: &mut Seed,
) -> PlannedFault {
    // Power fails on the same node as before, so that it loses what it received and did not sync.
    let mut place = if kind == Nemesis::Power { request.seed.clone() } else { seed.clone() };
    seed.draw();
    let node = usize::try_from(place.below(request.nodes.max(1) as u64)).unwrap_or(0);
    let leader_mostly = if seed.below(3) < 2 { Target::Leader } else { Target::One };
    let named = Target::named(mode).unwrap_or(Target::One);
    let (target, lasts, fault) = match kind {
        Nemesis::None | Nemesis::Chaos | Nemesis::Kill => (named, (500, 2_500), Fault::Kill),
        Nemesis::Stop => (named, (300, 1_500), Fault::Stop),
        Nemesis::Cold => (Target::All, (100, 900), Fault::Cold),
        // Long enough for the node to need a snapshot.
        Nemesis::Power if named != Target::All => (named, (2_000, 3_500), Fault::Power),
        Nemesis::Power => (named, (300, 2_000), Fault::Power),
        Nemesis::Pause => {
            let target = if round == 0 { Target::Leader } else { leader_mostly };
            let lasts = match mode {
                "short" => (100, 350),
                "lease" => (400, 1_000),
                _ => (2_000, 4_000),
            };
            (target, lasts, Fault::Pause { mode: mode.to_owned() })
        }
        Nemesis::Partition => {
            let (cut, target) = match mode {
                "one" => (Cut::One, Target::One),
                "split" => (Cut::Split, Target::Leader),
                "ring" => (Cut::Ring, Target::All),
                "bridge" => (Cut::Bridge, Target::All),
                "one_way" if seed.below(2) == 0 => (Cut::LeaderMute, Target::Leader),
                "one_way" => (Cut::LeaderDeaf, Target::Leader),
                _ => (Cut::LeaderAlone, Target::Leader),
            };
            let ways = [CutMode::Blackhole, CutMode::Refuse, CutMode::Reset];
            let way = usize::try_from(seed.below(3)).unwrap_or(0);
            // Only a blackhole can cut one direction.
            let how = if mode == "one_way" { CutMode::Blackhole } else { ways[way % ways.len()] };
            (target, (2_000, 4_500), Fault::Partition { cut, how })
        }
        Nemesis::Link => {
            let shape = shape(mode, seed);
            (leader_mostly, (2_500, 4_500), Fault::Link { mode: mode.to_owned(), shape })
        }
        Nemesis::Disk => {
            let (spoiled, target) = match mode {
                "full" => (DiskFault::Full, leader_mostly),
                "slow" => (DiskFault::Slow, leader_mostly),
                "eio" => (DiskFault::Eio, leader_mostly),
                _ => (DiskFault::BitFlip, Target::One),
            };
            (target, (2_500, 4_000), Fault::Disk { mode: spoiled })
        }
        Nemesis::Failpoint => {
            // In chaos the failpoint cannot cause a snapshot or a membership change.
            let by_itself = |name: &&str| {
                request.nemesis != Nemesis::Chaos
                    || !(name.starts_with("snapshot") || name.starts_with("membership"))
            };
            let points: Vec<&str> = POINTS.iter().copied().filter(by_itself).collect();
            let point = usize::try_from(seed.below(points.len() as u64)).unwrap_or(0);
            let name = points.get(point).copied().unwrap_or_default();
            let action =
                if mode == "panic" { FailpointAction::Panic } else { FailpointAction::Sleep };
            let (name, ms) = (name.to_owned(), seed.between(50, 1_500));
            (Target::One, (4_500, 5_500), Fault::Failpoint { name, action, ms })
        }
        Nemesis::Clock => (leader_mostly, (3_000, 4_500), clock_error(mode, request, seed)),
        Nemesis::Membership => {
            let (step, target, lasts) = match mode {
                "grow" => (MembershipChange::Grow, Target::All, (3_000, 4_000)),
                "remove_leader" => (MembershipChange::RemoveLeader, Target::Leader, (1_500, 2_500)),
                "replace" => (MembershipChange::Replace, Target::One, (1_000, 2_000)),
                _ => (MembershipChange::Transfer, Target::All, (500, 1_000)),
            };
            (target, lasts, Fault::Membership { step })
        }
        Nemesis::Upgrade => {
            let leader_first = round.is_multiple_of(2);
            (Target::All, (2_000, 4_000), Fault::Upgrade { leader_first })
        }
    };
    PlannedFault { at_ms, lasts_ms: seed.between(lasts.0, lasts.1), target, node, fault }
}

fn shape(mode: &str, seed: &mut Seed) -> Shape {
    let none = Shape::default();
    match mode {
        "narrow" => Shape { bytes_per_s: seed.between(4_000, 40_000), ..none },
        "stall" => Shape { stall_after: seed.between(1, 20_000), ..none },
        "loss" => Shape { loss_percent: seed.between(5, 40), ..none },
        _ => Shape { delay_ms: seed.between(20, 250), jitter_ms: seed.between(5, 150), ..none },
    }
}

fn clock_error(mode: &str, request: &PlanRequest, seed: &mut Seed) -> Fault {
    let far = i64::try_from(seed.between(5_000, 60_000)).unwrap_or(60_000);
    // With libfaketime, the tokens of the run would not be valid yet on a clock that was set back.
    // Only the control socket moves log time alone.
    let back = request.capabilities.fault_build && seed.below(2) == 0;
    let offset_ms = if back { -far } else { far };
    match mode {
        "drift" => Fault::Clock { mode: ClockError::Drift, offset_ms: 0, drift_ppm: 500_000 },
        "strobe" => Fault::Clock { mode: ClockError::Strobe, offset_ms, drift_ppm: 0 },
        _ => Fault::Clock { mode: ClockError::Jump, offset_ms, drift_ppm: 0 },
    }
}
