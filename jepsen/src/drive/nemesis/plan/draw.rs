//! Draws a plan from the seed: which fault comes when.

use super::fault::{Fault, PlannedFault};
use super::parameters::draw_fault;
use super::{DrawnPlan, PlanRequest, Target};
use crate::drive::cluster::network::Backend;
use crate::drive::nemesis::Nemesis;
use crate::seed::Seed;

/// The clients have started by then.
pub(super) const FIRST_MS: (u64, u64) = (2_500, 3_500);
/// Time from the start of one fault to the start of the next.
const GAP_MS: (u64, u64) = (5_000, 8_000);
/// Time after the last fault is healed.
pub(super) const CALM_MS: u64 = 1_500;
/// Time from the end of a fault to the start of the next one on its track.
const BREATH_MS: u64 = 1_500;
/// A run must show one mode for every this many seconds.
const SECONDS_PER_MODE: usize = 10;

/// All modes of a nemesis.
pub(super) fn modes(nemesis: Nemesis, nodes: usize, network: Backend) -> Vec<&'static str> {
    let rings = nodes >= 4;
    match nemesis {
        Nemesis::None | Nemesis::Chaos => vec![],
        Nemesis::Kill | Nemesis::Stop => {
            vec!["leader", "one", "all", "leader_and_minority", "minority", "majority"]
        }
        Nemesis::Pause => vec!["long", "lease", "short"],
        Nemesis::Cold => vec!["all"],
        Nemesis::Partition if rings => {
            vec!["leader_alone", "one", "split", "bridge", "one_way", "ring"]
        }
        Nemesis::Partition => vec!["leader_alone", "one", "split", "bridge", "one_way"],
        Nemesis::Link => match network {
            Backend::Proxy => vec!["delay", "stall", "narrow"],
            Backend::Netns => vec!["loss"],
        },
        Nemesis::Power => vec!["all", "one", "minority"],
        Nemesis::Disk => vec!["full", "bit_flip", "slow", "eio"],
        Nemesis::Failpoint => vec!["panic", "sleep"],
        Nemesis::Clock => vec!["jump", "strobe", "drift"],
        Nemesis::Membership => vec!["transfer", "remove_leader", "grow", "replace"],
        Nemesis::Upgrade => vec!["rolling"],
    }
}

/// Draws a plan.
pub fn draw(request: &PlanRequest) -> DrawnPlan {
    let mut drawn = DrawnPlan::default();
    let tracks: Vec<Vec<Nemesis>> = match request.nemesis {
        Nemesis::None => vec![],
        Nemesis::Chaos => vec![
            vec![
                Nemesis::Kill,
                Nemesis::Pause,
                Nemesis::Stop,
                Nemesis::Power,
                Nemesis::Disk,
                Nemesis::Failpoint,
            ],
            vec![Nemesis::Partition, Nemesis::Link],
            vec![Nemesis::Membership, Nemesis::Clock],
        ],
        one => vec![vec![one]],
    };
    for (number, kinds) in (0..).zip(tracks) {
        let mut seed = request.seed.clone();
        let seed = Seed::of(seed.draw(), number);
        track(request, &kinds, seed, &mut drawn);
    }
    if let (Nemesis::Chaos, Some(why)) = (request.nemesis, &request.capabilities.no_network) {
        // The network was asked for by name, so chaos must not silently do without it.
        drawn.missing.push(format!("partition and link: {why}"));
    }
    if request.advances {
        let mut seed = request.seed.clone();
        match request.capabilities.lacks(Nemesis::Clock, "advance", false) {
            None => advances(request, Seed::of(seed.draw(), 99), &mut drawn.faults),
            Some(needed) => drawn.missing.push(format!("clock/advance needs {needed}")),
        }
    }
    drawn.faults.sort_by_key(|planned| planned.at_ms);
    drawn
}

/// One fault after another, cycling through all modes.
fn track(request: &PlanRequest, kinds: &[Nemesis], mut seed: Seed, drawn: &mut DrawnPlan) {
    let in_chaos = request.nemesis == Nemesis::Chaos;
    let mut able: Vec<(Nemesis, Vec<&'static str>)> = Vec::new();
    for &kind in kinds {
        let (mut can, network) = (Vec::new(), request.capabilities.network);
        for mode in modes(kind, request.nodes, network) {
            match request.capabilities.lacks(kind, mode, in_chaos) {
                None => can.push(mode),
                // Chaos covers what can be broken here, not everything.
                Some(needed) if in_chaos => {
                    drawn.without.push(format!("{}/{mode}, which needs {needed}", kind.name()));
                }
                Some(needed) => {
                    drawn.missing.push(format!("{}/{mode} needs {needed}", kind.name()));
                }
            }
        }
        if !can.is_empty() {
            // The mode of the leader comes first; the order of the others is drawn.
            let turn = usize::try_from(seed.below(can.len() as u64)).unwrap_or(0);
            let others = can.get_mut(1..).unwrap_or_default();
            others.rotate_left(turn.min(others.len()));
            able.push((kind, can));
        }
    }
    let all: usize = able.iter().map(|(_, modes)| if in_chaos { 1 } else { modes.len() }).sum();
    let floor = usize::try_from(request.seconds).unwrap_or(0) / SECONDS_PER_MODE;
    let mut at_ms = seed.between(FIRST_MS.0, FIRST_MS.1);
    for turn in 0.. {
        let Some((kind, modes)) = able.get(turn % able.len().max(1)) else { return };
        let round = turn / able.len();
        let Some(mode) = modes.get(round % modes.len()) else { return };
        let planned = draw_fault(*kind, mode, round, at_ms, request, &mut seed);
        if at_ms + planned.lasts_ms + CALM_MS > request.seconds * 1_000 {
            return;
        }
        // A disk is not destroyed while another one is lost, so chaos cannot promise this fault.
        let may_be_left_out = in_chaos && modes.as_slice() == ["bit_flip"];
        if turn < all.min(floor.max(1)) && !may_be_left_out {
            let kind = kind.name();
            let required = if in_chaos { kind.to_owned() } else { format!("{kind}/{mode}") };
            drawn.required.push(required);
        }
        let gap = seed.between(GAP_MS.0, GAP_MS.1);
        at_ms +=
            if *kind == Nemesis::Cold { gap / 2 } else { gap }.max(planned.lasts_ms + BREATH_MS);
        drawn.faults.push(planned);
    }
}

/// Sets the clocks forward between the faults, so that holds expire within the run.
fn advances(request: &PlanRequest, mut seed: Seed, faults: &mut Vec<PlannedFault>) {
    let mut at_ms = seed.between(4_000, 6_000);
    while at_ms + CALM_MS + 1_000 < request.seconds * 1_000 {
        let ms = i64::try_from(seed.between(15_000, 40_000)).unwrap_or(15_000);
        let fault = Fault::Advance { ms };
        faults.push(PlannedFault { at_ms, lasts_ms: 500, target: Target::All, node: 0, fault });
        at_ms += seed.between(5_000, 9_000);
    }
}
