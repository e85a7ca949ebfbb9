//! Network partitions.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::context::FaultContext;
use super::plan::Cut;
use super::{FaultInjector, Outcome};
use crate::drive::cluster::network::{CutMode, Traffic};

/// Ordered pairs (from, to): nothing from the first reaches the second.
type CutLinks = BTreeSet<(usize, usize)>;

/// A partition.
pub(super) struct Partition {
    cut: Cut,
    how: CutMode,
    node: usize,
    /// What each lane had carried and lost when it was cut.
    lanes: Vec<((usize, usize), Traffic)>,
    leader: Option<usize>,
    /// Two nodes believed to be the leader at the same time.
    two_leaders: bool,
    leaders: BTreeSet<String>,
}

impl Partition {
    pub(super) const fn new(cut: Cut, how: CutMode, node: usize) -> Self {
        Self {
            cut,
            how,
            node,
            lanes: Vec::new(),
            leader: None,
            two_leaders: false,
            leaders: BTreeSet::new(),
        }
    }
}

impl FaultInjector for Partition {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        self.leader = context.leader();
        let nodes = context.wanted();
        let grudges = grudges(self.cut, &nodes, self.leader, self.node);
        for &(from, to) in &grudges {
            // A connection that the cut closes counts as lost; earlier traffic does not matter.
            let lost = context.cluster.network.traffic(from, to)?.lost;
            context.cluster.network.cut(from, to, self.how)?;
            let carried = context.cluster.network.traffic(from, to)?.carried;
            self.lanes.push(((from, to), Traffic { carried, lost, slowed: 0 }));
        }
        let deaf: Vec<String> =
            grudges.iter().map(|(from, to)| format!("n{}->n{}", from + 1, to + 1)).collect();
        Ok(json!({"cut": deaf, "how": self.how, "leader": self.leader.map(|at| at + 1)}))
    }

    fn watch(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<()> {
        let statuses = context.statuses();
        let own = statuses.iter().filter(|(name, status)| status.leader.as_ref() == Some(name));
        let leading: BTreeSet<String> = own.map(|(name, _)| name.clone()).collect();
        self.two_leaders |= leading.len() > 1;
        self.leaders.extend(leading);
        Ok(())
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        let (mut carried, mut lost) = (0, 0);
        for &((from, to), before) in &self.lanes {
            let now = context.cluster.network.traffic(from, to)?;
            carried += now.carried - before.carried;
            lost += now.lost.saturating_sub(before.lost);
        }
        context.cluster.network.heal_all()?;
        let seen = json!({"carried": carried, "lost": lost, "leaders": self.leaders,
            "two_leaders": self.two_leaders});
        Ok(Outcome { took_effect: carried == 0 && lost > 0, seen })
    }
}

/// The links to cut.
fn grudges(cut: Cut, nodes: &[usize], leader: Option<usize>, node: usize) -> CutLinks {
    let count = nodes.len();
    let leads = leader.and_then(|at| nodes.iter().position(|known| *known == at));
    let first = match cut {
        Cut::One | Cut::Bridge | Cut::Ring => node % count.max(1),
        _ => leads.unwrap_or(node % count.max(1)),
    };
    let ring: Vec<usize> = nodes.iter().cycle().skip(first).take(count).copied().collect();
    let minority = count.saturating_sub(1) / 2;
    let pairs =
        || ring.iter().enumerate().flat_map(|a| ring.iter().enumerate().map(move |b| (a, b)));
    // Indexes in the ring, which starts with the node in question.
    let deaf = |(from, to): (usize, usize)| match cut {
        Cut::One | Cut::LeaderAlone => (from == 0) != (to == 0),
        Cut::Split => (from < minority.max(1)) != (to < minority.max(1)),
        Cut::LeaderMute => from == 0,
        Cut::LeaderDeaf => to == 0,
        // The first node connects the two halves.
        Cut::Bridge => from != 0 && to != 0 && (from <= count / 2) != (to <= count / 2),
        Cut::Ring => {
            let apart = from.abs_diff(to);
            apart.min(count - apart) > minority.div_ceil(2)
        }
    };
    let other = pairs().filter(|((a, _), (b, _))| a != b);
    other
        .filter(|((a, _), (b, _))| deaf((*a, *b)))
        .map(|((_, from), (_, to))| (*from, *to))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cut: Cut, nodes: usize, expected: &[(usize, usize)]) {
        let nodes: Vec<usize> = (0..nodes).collect();
        let found = grudges(cut, &nodes, Some(1), 0);
        assert_eq!(found, expected.iter().copied().collect(), "{cut:?}");
    }

    /// How many nodes each node can talk to, including itself.
    fn hears(cut: Cut, count: usize) -> Vec<usize> {
        let nodes: Vec<usize> = (0..count).collect();
        let deaf = grudges(cut, &nodes, Some(1), 0);
        let linked = |a: usize, b: usize| !deaf.contains(&(a, b)) && !deaf.contains(&(b, a));
        nodes.iter().map(|a| nodes.iter().filter(|b| linked(*a, **b)).count()).collect()
    }

    #[test]
    fn three_nodes_are_parted_as_named() {
        check(Cut::One, 3, &[(0, 1), (1, 0), (0, 2), (2, 0)]);
        check(Cut::LeaderAlone, 3, &[(1, 0), (0, 1), (1, 2), (2, 1)]);
        check(Cut::Split, 3, &[(1, 0), (0, 1), (1, 2), (2, 1)]);
        check(Cut::Bridge, 3, &[(1, 2), (2, 1)]);
        check(Cut::LeaderMute, 3, &[(1, 0), (1, 2)]);
        check(Cut::LeaderDeaf, 3, &[(0, 1), (2, 1)]);
    }

    #[test]
    fn five_nodes_are_parted_as_named() {
        // The leader, index 1, and its neighbour are the smaller part.
        assert_eq!(hears(Cut::Split, 5), [3, 2, 2, 3, 3]);
        assert_eq!(hears(Cut::Bridge, 5), [5, 3, 3, 3, 3]);
        // Each can talk to exactly a majority.
        assert_eq!(hears(Cut::Ring, 5), [3; 5]);
        assert_eq!(hears(Cut::LeaderAlone, 5), [4, 1, 4, 4, 4]);
    }
}
