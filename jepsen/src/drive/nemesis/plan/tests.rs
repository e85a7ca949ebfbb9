//! What every plan promises.

use std::collections::BTreeSet;

use super::draw::{CALM_MS, FIRST_MS, modes};
use super::*;
use crate::drive::cluster::network::Backend;
use crate::drive::nemesis::Nemesis;
use crate::drive::nemesis::capabilities::Capabilities;
use crate::seed::Seed;

const KINDS: &[Nemesis] = &[
    Nemesis::Kill,
    Nemesis::Stop,
    Nemesis::Pause,
    Nemesis::Cold,
    Nemesis::Partition,
    Nemesis::Link,
    Nemesis::Power,
    Nemesis::Disk,
    Nemesis::Failpoint,
    Nemesis::Clock,
    Nemesis::Membership,
    Nemesis::Upgrade,
    Nemesis::Chaos,
];

fn request(nemesis: Nemesis, seconds: u64, seed: u64) -> PlanRequest {
    let capabilities = Capabilities {
        fault_build: true,
        previous: true,
        small_disks: true,
        ..Capabilities::default()
    };
    PlanRequest { nemesis, advances: false, seconds, nodes: 3, capabilities, seed: Seed::new(seed) }
}

#[test]
fn every_plan_is_long_enough_and_ends_healed() {
    for &nemesis in KINDS {
        for seed in 0..100 {
            let drawn = draw(&request(nemesis, 60, seed));
            assert!(drawn.faults.len() >= 6, "{nemesis:?}: {:#?}", drawn.faults);
            assert!(drawn.missing.is_empty(), "{:?}", drawn.missing);
            for planned in &drawn.faults {
                assert!(planned.at_ms >= FIRST_MS.0, "{planned:?}");
                assert!(planned.at_ms + planned.lasts_ms + CALM_MS <= 60_000, "{planned:?}");
            }
        }
    }
    assert_eq!(draw(&request(Nemesis::None, 60, 1)), DrawnPlan::default());
}

#[test]
fn a_minute_holds_every_mode_that_is_required() {
    for &nemesis in KINDS {
        let drawn = draw(&request(nemesis, 60, 4));
        let planned: BTreeSet<String> = drawn
            .faults
            .iter()
            .flat_map(|p| [p.kind().name().into(), format!("{}/{}", p.kind().name(), p.mode())])
            .collect();
        assert!(drawn.required.iter().all(|mode| planned.contains(mode)), "{drawn:#?}");
        let all = modes(nemesis, 3, Backend::Proxy).len();
        assert!(nemesis == Nemesis::Chaos || drawn.required.len() == all, "{drawn:#?}");
    }
    assert_eq!(draw(&request(Nemesis::Kill, 20, 4)).required.first().unwrap(), "kill/leader");
}

#[test]
fn one_seed_draws_one_plan() {
    for &nemesis in KINDS {
        let drawn = |seed| draw(&request(nemesis, 60, seed));
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let text = serde_json::to_string(&drawn(7).faults).unwrap();
        let read: Vec<PlannedFault> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, drawn(7).faults);
    }
}

#[test]
fn faults_of_one_track_never_overlap_and_chaos_overlaps() {
    let overlaps = |faults: &[PlannedFault]| {
        faults.windows(2).any(|pair| pair[0].at_ms + pair[0].lasts_ms >= pair[1].at_ms)
    };
    for &nemesis in KINDS.iter().filter(|nemesis| **nemesis != Nemesis::Chaos) {
        assert!((0..50).all(|seed| !overlaps(&draw(&request(nemesis, 60, seed)).faults)));
    }
    assert!((0..50).any(|seed| overlaps(&draw(&request(Nemesis::Chaos, 60, seed)).faults)));
}

#[test]
fn disks_destroyed_at_once_stay_a_minority() {
    for nemesis in [Nemesis::Disk, Nemesis::Membership, Nemesis::Chaos] {
        for seed in 0..100 {
            let faults = draw(&request(nemesis, 60, seed)).faults;
            for planned in faults.iter().filter(|planned| planned.destroys()) {
                let hit = planned.target.resolve(&[0, 1, 2], Some(1), planned.node);
                assert_eq!(hit.len(), 1, "{planned:?}");
            }
        }
    }
}

#[test]
fn what_is_missing_is_named_and_chaos_does_without() {
    let plain =
        |nemesis| PlanRequest { capabilities: Capabilities::default(), ..request(nemesis, 60, 1) };
    let power = draw(&plain(Nemesis::Power));
    assert!(power.faults.is_empty());
    assert_eq!(power.missing.len(), 3, "{:?}", power.missing);
    let disk = draw(&plain(Nemesis::Disk));
    assert!(disk.faults.iter().all(|planned| planned.mode() == "bit_flip"));
    assert!(disk.missing.iter().any(|line| line.starts_with("disk/eio needs")));
    let chaos = draw(&plain(Nemesis::Chaos));
    assert!(chaos.missing.is_empty());
    assert!(chaos.faults.iter().all(|planned| planned.kind() != Nemesis::Power));
    let no_network = Some("netns needs root".to_owned());
    let capabilities =
        Capabilities { network: Backend::Netns, no_network, ..Capabilities::default() };
    let unrooted = draw(&PlanRequest { capabilities, ..request(Nemesis::Chaos, 60, 1) });
    assert_eq!(unrooted.missing.len(), 1, "{:?}", unrooted.missing);
    let holds = PlanRequest { advances: true, ..plain(Nemesis::Kill) };
    assert_eq!(draw(&holds).missing.len(), 1);
    let moved = draw(&PlanRequest { advances: true, ..request(Nemesis::Kill, 60, 1) });
    assert!(moved.faults.iter().any(|planned| planned.mode() == "advance"));
}
