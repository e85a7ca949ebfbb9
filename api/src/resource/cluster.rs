//! The cluster as answers show it.

use firstcome_domain::Revision;
use firstcome_raft::{ClusterStatus, Member, MemberRole, NodeHash};
use serde::Serialize;
use utoipa::ToSchema;

/// The cluster as one node sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Cluster)]
pub(crate) struct ClusterBody {
    /// Always `cluster`.
    #[schema(example = "cluster")]
    object: &'static str,
    /// The cluster's UUID.
    id: String,
    name: String,
    /// The node that answers.
    node: String,
    /// Its id.
    node_id: u64,
    /// The leader's name, or `null`.
    leader: Option<String>,
    /// The leader's id, or `null`.
    leader_id: Option<u64>,
    term: u64,
    /// Last revision applied on the node that answers.
    revision: u64,
    /// Voters that may fail now with a majority left.
    can_lose: u64,
    members: Vec<MemberBody>,
}

/// One member.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberBody {
    /// Never used again once removed.
    id: u64,
    name: String,
    /// Where its REST API is reached.
    api: String,
    /// Where its peer protocol is reached.
    peer: String,
    /// `voter` or `learner`.
    role: &'static str,
    /// Last revision it applied, as far as known.
    applied: Option<u64>,
    /// Entries it is behind the leader, as far as known.
    lag: Option<u64>,
    /// Whether it answered lately.
    reachable: bool,
}

impl MemberBody {
    /// Shows a member.
    pub(crate) fn of(member: &Member) -> Self {
        Self {
            id: member.id,
            name: member.name.clone(),
            api: member.api.clone(),
            peer: member.peer.clone(),
            role: match member.role {
                MemberRole::Voter => "voter",
                MemberRole::Learner => "learner",
            },
            applied: member.applied,
            lag: member.lag,
            reachable: member.reachable,
        }
    }
}

impl ClusterBody {
    /// Shows the cluster.
    pub(crate) fn of(status: &ClusterStatus) -> Self {
        Self {
            object: "cluster",
            id: status.cluster_uuid.clone(),
            name: status.cluster_name.clone(),
            node: status.node_name.clone(),
            node_id: status.node_id,
            leader: status.leader.clone(),
            leader_id: status.leader_id,
            term: status.term,
            revision: status.revision,
            can_lose: status.can_lose,
            members: status.members.iter().map(MemberBody::of).collect(),
        }
    }
}

/// State hashes of all members at one revision.
#[derive(Serialize, ToSchema)]
#[schema(as = ClusterHash)]
pub(crate) struct HashBody {
    /// Always `cluster_hash`.
    #[schema(example = "cluster_hash")]
    object: &'static str,
    revision: u64,
    nodes: Vec<NodeHashBody>,
}

/// State hash of one node.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeHash)]
struct NodeHashBody {
    name: String,
    /// 32 hex digits; `null` when the node did not answer or has forgotten that revision.
    hash: Option<String>,
}

impl HashBody {
    /// Shows the hashes.
    pub(crate) fn of(revision: Revision, nodes: Vec<NodeHash>) -> Self {
        let nodes = nodes.into_iter().map(|node| NodeHashBody { name: node.name, hash: node.hash });
        Self { object: "cluster_hash", revision: revision.get(), nodes: nodes.collect() }
    }
}
