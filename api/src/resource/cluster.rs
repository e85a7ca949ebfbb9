//! The cluster.

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
    /// The node that responds.
    node: String,
    /// Its id.
    node_id: u64,
    /// The leader's name, or `null`.
    leader: Option<String>,
    /// The leader's id, or `null`.
    leader_id: Option<u64>,
    term: u64,
    /// The last revision that this node has applied.
    revision: u64,
    /// How many more voters may fail before the quorum is lost.
    can_lose: u64,
    members: Vec<MemberBody>,
}

/// One member.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberBody {
    /// Never reused after the member is removed.
    id: u64,
    name: String,
    /// Address of its REST API.
    api: String,
    /// Address of its peer protocol.
    peer: String,
    /// `voter` or `learner`.
    role: &'static str,
    /// The last revision it is known to have applied.
    applied: Option<u64>,
    /// How many entries it is known to be behind the leader.
    lag: Option<u64>,
    /// Whether it responded recently.
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
    /// 32 hex digits; `null` if the node did not respond or no longer knows that revision.
    hash: Option<String>,
}

impl HashBody {
    /// Shows the hashes.
    pub(crate) fn of(revision: Revision, nodes: Vec<NodeHash>) -> Self {
        let nodes = nodes.into_iter().map(|node| NodeHashBody { name: node.name, hash: node.hash });
        Self { object: "cluster_hash", revision: revision.get(), nodes: nodes.collect() }
    }
}
