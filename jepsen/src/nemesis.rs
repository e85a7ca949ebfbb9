//! The nemesis: what is broken, when, drawn from the seed and ended healed.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cluster::process::Cluster;
use crate::seed::Seed;
use crate::teller::Stage;

/// What is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nemesis {
    /// Nothing.
    None,
    /// SIGKILL of the leader or of any node, and a restart.
    Kill,
}

impl Nemesis {
    /// The word in plans and histories.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kill => "kill",
        }
    }
}

/// One planned fault.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// When, in ms after the clients started.
    pub at_ms: u64,
    /// The leader of that moment, or else `node`.
    pub leader: bool,
    /// The place of the node, when not the leader or when none is known.
    pub node: usize,
    /// How long it stays down.
    pub down_ms: u64,
}

/// Draws the faults of a run; the first hits the leader, the last ends before the run does.
pub fn plan(nemesis: Nemesis, seconds: u64, nodes: usize, mut seed: Seed) -> Vec<Fault> {
    let mut faults = Vec::new();
    if nemesis == Nemesis::None {
        return faults;
    }
    let mut at_ms = seed.between(2_500, 4_000);
    while at_ms + 5_000 < seconds * 1_000 {
        faults.push(Fault {
            at_ms,
            leader: faults.is_empty() || seed.below(3) < 2,
            node: usize::try_from(seed.below(nodes as u64)).unwrap_or(0),
            down_ms: seed.between(500, 2_500),
        });
        at_ms += seed.between(5_000, 8_000);
    }
    faults
}

/// Carries the plan out; every killed node is started again.
pub fn carry_out(plan: &[Fault], cluster: &mut Cluster, stage: &Stage) -> anyhow::Result<()> {
    let started = Instant::now();
    for fault in plan {
        let until = Duration::from_millis(fault.at_ms);
        while started.elapsed() < until && !stage.done.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
        let leader = cluster.leader(&stage.staff);
        let target = if fault.leader { leader.unwrap_or(fault.node) } else { fault.node };
        let name = cluster.nodes.get(target).context("no such node")?.name.clone();
        let was_leader = leader == Some(target);
        let took_effect = cluster.kill(target)?;
        let value = json!({"node": name, "was_leader": was_leader, "took_effect": took_effect});
        stage.say(Nemesis::Kill.word(), value);
        thread::sleep(Duration::from_millis(fault.down_ms));
        cluster.start(target)?;
        stage.say("restart", json!({"node": name}));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_starts_with_the_leader_and_leaves_time_to_heal() {
        for seed in 0..100 {
            let faults = plan(Nemesis::Kill, 30, 3, Seed::new(seed));
            assert!(faults.len() >= 3, "{faults:?}");
            assert!(faults[0].leader);
            assert!(faults.iter().all(|f| f.at_ms + f.down_ms + 2_000 < 30_000), "{faults:?}");
            assert!(faults.iter().all(|f| f.node < 3));
        }
        assert!(plan(Nemesis::None, 30, 3, Seed::new(1)).is_empty());
    }

    #[test]
    fn one_seed_draws_one_plan() {
        let drawn = || plan(Nemesis::Kill, 60, 3, Seed::new(7));
        assert_eq!(drawn(), drawn());
        assert_ne!(drawn(), plan(Nemesis::Kill, 60, 3, Seed::new(8)));
    }
}
