//! What Raft keeps on disk beside entries: log ids, votes, the membership, and its row in the state.
//!
//! openraft's types may change with any release. These change only with a new format byte
//! (`storage::codec`), so nothing of openraft's is stored. Entries: see [`crate::entry`]. Peers
//! exchange the same types: see [`crate::protocol`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::types;

/// A position in the log: (term, leader, index).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LogId(u64, u64, u64);

impl From<&types::LogId> for LogId {
    fn from(id: &types::LogId) -> Self {
        Self(id.leader_id.term, id.leader_id.node_id, id.index)
    }
}

impl LogId {
    pub(crate) const fn index(self) -> u64 {
        self.2
    }

    pub(crate) const fn into_raft(self) -> types::LogId {
        types::LogId { leader_id: types::LeaderId { term: self.0, node_id: self.1 }, index: self.2 }
    }
}

/// Converts an optional log id, which is how openraft passes them.
pub(crate) fn log_id(id: Option<&types::LogId>) -> Option<LogId> {
    id.map(LogId::from)
}

/// The way back of [`log_id`].
pub(crate) fn raft_log_id(id: Option<LogId>) -> Option<types::LogId> {
    id.map(LogId::into_raft)
}

/// A vote: (term, candidate, committed).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Vote(u64, u64, bool);

impl From<&types::Vote> for Vote {
    fn from(vote: &types::Vote) -> Self {
        Self(vote.leader_id.term, vote.leader_id.node_id, vote.committed)
    }
}

impl Vote {
    pub(crate) const fn into_raft(self) -> types::Vote {
        types::Vote {
            leader_id: types::LeaderId { term: self.0, node_id: self.1 },
            committed: self.2,
        }
    }
}

/// How to reach a member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) name: String,
    pub(crate) api: String,
    pub(crate) peer: String,
}

impl From<&types::Address> for Address {
    fn from(a: &types::Address) -> Self {
        Self { name: a.name.clone(), api: a.api.clone(), peer: a.peer.clone() }
    }
}

impl Address {
    pub(crate) fn into_raft(self) -> types::Address {
        types::Address { name: self.name, api: self.api, peer: self.peer }
    }
}

/// Voters and all members. Decoding refuses a membership that openraft would not accept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "UncheckedMembership")]
pub(crate) struct Membership {
    configs: Vec<BTreeSet<u64>>,
    nodes: BTreeMap<u64, Address>,
}

#[derive(Deserialize)]
struct UncheckedMembership {
    configs: Vec<BTreeSet<u64>>,
    nodes: BTreeMap<u64, Address>,
}

impl TryFrom<UncheckedMembership> for Membership {
    type Error = &'static str;

    fn try_from(sent: UncheckedMembership) -> Result<Self, Self::Error> {
        if sent.configs.iter().any(BTreeSet::is_empty) {
            return Err("a membership without voters");
        }
        if sent.configs.iter().flatten().any(|voter| !sent.nodes.contains_key(voter)) {
            return Err("a voter without an address");
        }
        Ok(Self { configs: sent.configs, nodes: sent.nodes })
    }
}

impl From<&types::Membership> for Membership {
    fn from(m: &types::Membership) -> Self {
        Self {
            configs: m.get_joint_config().clone(),
            nodes: m.nodes().map(|(id, node)| (*id, node.into())).collect(),
        }
    }
}

impl Membership {
    pub(crate) fn into_raft(self) -> types::Membership {
        let nodes: BTreeMap<u64, types::Address> =
            self.nodes.into_iter().map(|(id, node)| (id, node.into_raft())).collect();
        types::Membership::new(self.configs, nodes).expect("checked when it was decoded")
    }
}

/// Raft's row in the state: how far it has applied, and who the members are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) last: Option<LogId>,
    membership_id: Option<LogId>,
    membership: Option<Membership>,
    /// The largest node id that ever was in the membership: ids are never reused.
    pub(crate) node_id_max: u64,
}

impl Meta {
    pub(crate) fn new(
        last: Option<&types::LogId>,
        membership: &types::StoredMembership,
        node_id_max: u64,
    ) -> Self {
        let largest = membership.nodes().map(|(id, _)| *id).max().unwrap_or(0);
        Self {
            last: log_id(last),
            membership_id: log_id(membership.log_id().as_ref()),
            membership: Some(membership.membership().into()),
            node_id_max: node_id_max.max(largest),
        }
    }

    pub(crate) fn stored_membership(&self) -> types::StoredMembership {
        match self.membership.clone() {
            Some(m) => types::StoredMembership::new(raft_log_id(self.membership_id), m.into_raft()),
            None => types::StoredMembership::default(),
        }
    }

    pub(crate) fn snapshot_meta(&self) -> types::SnapshotMeta {
        types::SnapshotMeta {
            last_log_id: raft_log_id(self.last),
            last_membership: self.stored_membership(),
        }
    }
}
