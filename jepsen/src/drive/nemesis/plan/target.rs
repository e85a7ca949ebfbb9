//! Which nodes a fault hits, decided before it is known which node leads.

use serde::{Deserialize, Serialize};

/// The target of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Any one node.
    One,
    /// As many nodes as may fail.
    Minority,
    /// One node more than may fail.
    Majority,
    /// The leader.
    Leader,
    /// The leader, and a minority of the others.
    LeaderAndMinority,
    /// All of them.
    All,
}

impl Target {
    /// The name in plans and histories.
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Minority => "minority",
            Self::Majority => "majority",
            Self::Leader => "leader",
            Self::LeaderAndMinority => "leader_and_minority",
            Self::All => "all",
        }
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        let all = [
            Self::One,
            Self::Minority,
            Self::Majority,
            Self::Leader,
            Self::LeaderAndMinority,
            Self::All,
        ];
        all.into_iter().find(|target| target.name() == word)
    }

    /// The indexes of the nodes, starting with `node` or the leader.
    pub fn resolve(self, nodes: &[usize], leader: Option<usize>, node: usize) -> Vec<usize> {
        let count = nodes.len();
        let minority = count.saturating_sub(1) / 2;
        let leads = matches!(self, Self::Leader | Self::LeaderAndMinority);
        let first = leader.filter(|_| leads).and_then(|at| nodes.iter().position(|n| *n == at));
        let first = first.unwrap_or(node % count.max(1));
        let wanted = match self {
            Self::One | Self::Leader => 1,
            Self::Minority => minority.max(1),
            Self::Majority | Self::LeaderAndMinority => minority + 1,
            Self::All => count,
        };
        nodes.iter().cycle().skip(first).take(wanted.min(count)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_found_when_the_leader_is_known() {
        let five = [0, 1, 2, 3, 4];
        let nodes = |target: Target, leader| target.resolve(&five, leader, 3);
        assert_eq!(nodes(Target::One, Some(1)), [3]);
        assert_eq!(nodes(Target::Leader, Some(1)), [1]);
        assert_eq!(nodes(Target::Leader, None), [3]);
        assert_eq!(nodes(Target::Minority, Some(1)), [3, 4]);
        assert_eq!(nodes(Target::Majority, Some(1)), [3, 4, 0]);
        assert_eq!(nodes(Target::LeaderAndMinority, Some(1)), [1, 2, 3]);
        assert_eq!(nodes(Target::All, None).len(), 5);
        assert_eq!(Target::Minority.resolve(&[0], None, 0), [0]);
        assert!(Target::All.resolve(&[], None, 0).is_empty());
    }
}
