//! What a node knows about its cluster.

/// What a member may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberRole {
    /// Counts for majorities.
    Voter,
    /// Follows only.
    Learner,
}

/// One member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Raft id, never reused.
    pub id: u64,
    /// Label.
    pub name: String,
    /// Where its REST API is reached.
    pub api: String,
    /// Where its peer protocol is reached.
    pub peer: String,
    /// Voter or learner.
    pub role: MemberRole,
    /// Last revision it applied, as far as known here.
    pub applied: Option<u64>,
    /// Entries it is behind the leader, as far as known here.
    pub lag: Option<u64>,
    /// Whether it answered lately, as far as known here.
    pub reachable: bool,
}

/// The cluster as one node sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterStatus {
    /// The cluster's UUID.
    pub cluster_uuid: String,
    /// Label.
    pub cluster_name: String,
    /// This node.
    pub node_id: u64,
    /// This node's name.
    pub node_name: String,
    /// The leader's name, if one is known.
    pub leader: Option<String>,
    /// The leader's id, if one is known.
    pub leader_id: Option<u64>,
    /// Raft's term.
    pub term: u64,
    /// Last revision applied here.
    pub revision: u64,
    /// Voters that may fail now with a majority left; 0 when not even one. While members change,
    /// a majority of those before and of those after.
    pub can_lose: u64,
    /// All members, by id.
    pub members: Vec<Member>,
}

/// State hash of one node at one revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeHash {
    /// The node's name.
    pub name: String,
    /// 32 hex digits; `None` when the node did not answer or has forgotten that revision.
    pub hash: Option<String>,
}
