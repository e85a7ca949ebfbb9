//! What the judge of a simulation may see of a node. Compiled only with `--cfg simulation`.

use firstcome_storage::codec;
use openraft::async_runtime::WatchReceiver;

use crate::describe_entry;
use crate::log_format;
use crate::node::Node;
use crate::types::LogId;

/// Who wrote an entry: term and node. openraft orders leaders by both, so a term may have more
/// than one, each after the other.
pub type Leader = (u64, u64);

/// Where an entry stands: who wrote it, and its index.
pub type Position = (Leader, u64);

/// An entry of the log: index, who wrote it, hash of the stored bytes.
pub type Written = (u64, Leader, u64);

/// What Raft believes on one node, all of one instant; and how far its files are, which may be further.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observed {
    /// Raft id.
    pub id: u64,
    /// Current term.
    pub term: u64,
    /// The durable vote: term, whom for, and whether a majority agreed.
    pub vote: (u64, u64, bool),
    /// Whom a majority voted for in the current term, as far as known here.
    pub leader: Option<u64>,
    /// Whether it takes itself for the leader.
    pub leads: bool,
    /// The last entry of the log.
    pub last: Option<Position>,
    /// Decided, as far as known here.
    pub committed: Option<Position>,
    /// Applied here.
    pub applied: Option<Position>,
    /// The snapshot mark.
    pub snapshot: Option<Position>,
    /// Gone from the log.
    pub purged: Option<Position>,
    /// Who votes, both halves of a joint membership.
    pub voters: Vec<Vec<u64>>,
    /// Revision of the last durable checkpoint.
    pub checkpointed: u64,
    /// Whether Raft still runs.
    pub runs: bool,
}

impl Node {
    /// What Raft believes here.
    pub fn observe(&self) -> Observed {
        let core = &self.core;
        let metrics = core.leadership.metrics().borrow_watched().clone();
        let position =
            |id: Option<LogId>| id.map(|id| ((id.leader_id.term, id.leader_id.node_id), id.index));
        // Of the log: openraft's metrics may say that the node leads under a vote before they say
        // that it is saved. Without one, or with one that cannot be read: that of a new node.
        let saved = core.log.vote().and_then(|vote| codec::decode::<log_format::Vote>(&vote).ok());
        let vote = saved.map(log_format::Vote::into_raft);
        let membership = metrics.membership_config.membership();
        Observed {
            id: core.id(),
            term: metrics.current_term,
            vote: vote.map_or((0, core.id(), false), |vote| {
                (vote.leader_id.term, vote.leader_id.node_id, vote.committed)
            }),
            leader: metrics.current_leader,
            leads: metrics.state.is_leader(),
            last: position(core.raft.data_metrics().borrow_watched().last_log),
            committed: position(metrics.local_committed),
            applied: position(metrics.last_applied),
            snapshot: position(metrics.snapshot),
            purged: position(metrics.purged),
            voters: membership
                .get_joint_config()
                .iter()
                .map(|c| c.iter().copied().collect())
                .collect(),
            checkpointed: core
                .state
                .checkpointed()
                .revision
                .map_or(0, firstcome_domain::Revision::get),
            runs: metrics.running_state.is_ok(),
        }
    }

    /// The log from `first` on, as far as it is readable.
    pub fn entries_from(&self, first: u64) -> Result<Vec<Written>, String> {
        let entries = self.core.log.read(first..u64::MAX, usize::MAX).map_err(|e| e.to_string())?;
        entries
            .iter()
            .map(|entry| {
                let summary = describe_entry(&entry.bytes).map_err(|e| e.to_string())?;
                let hash = xxhash_rust::xxh3::xxh3_64(&entry.bytes);
                Ok((entry.index, (summary.term, summary.leader), hash))
            })
            .collect()
    }

    /// The state's hash right after `revision`, while remembered.
    pub fn hash_at(&self, revision: u64) -> Option<u128> {
        self.core.state.hash_at(firstcome_domain::Revision::new(revision)).map(|hash| hash.0)
    }
}
