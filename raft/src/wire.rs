//! Our own, versioned forms of what goes between nodes and into the log.
//!
//! openraft's types may change with any release; these do not without a new format byte
//! (`storage::codec`) or a new [`PROTOCOL`]. Every conversion is in this file.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use firstcome_domain::{Outcome, Stamp};
use firstcome_storage::codec::{self, DecodeError};
use firstcome_storage::state::Decided;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::raft::StreamAppendError;
use serde::{Deserialize, Serialize};

use crate::types;

/// Version of the peer protocol; a peer that speaks another is turned away.
pub(crate) const PROTOCOL: u16 = 1;

/// (term, leader, index)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LogId(u64, u64, u64);

/// (term, candidate, committed)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Vote(u64, u64, bool);

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) name: String,
    pub(crate) api: String,
    pub(crate) peer: String,
}

/// Voters and all members; one that openraft would not take is not decoded.
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

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Payload {
    Blank,
    Command { now: i64, command: Bytes },
    Membership(Membership),
}

/// A log entry as it is stored and sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    id: LogId,
    payload: Payload,
}

/// What the state stores beside the rows: where Raft is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) last: Option<LogId>,
    membership_id: Option<LogId>,
    membership: Option<Membership>,
    /// The largest node id that ever was in the membership: ids are never used again.
    pub(crate) node_id_max: u64,
}

/// Append: some entries after `prev`, or none for a heartbeat.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Append {
    vote: Vote,
    prev: Option<LogId>,
    commit: Option<LogId>,
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Appended {
    /// Everything up to here matches and is durable.
    Matches(Option<LogId>),
    /// The entry before is another one here.
    Conflict(LogId),
    /// Somebody else may lead.
    HigherVote(Vote),
    /// This node has stopped.
    Stopped,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct VoteRequest {
    pub(crate) vote: Vote,
    pub(crate) last: Option<LogId>,
    pub(crate) transfer: bool,
    pub(crate) pre: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct VoteReply {
    pub(crate) vote: Vote,
    pub(crate) granted: bool,
    pub(crate) last: Option<LogId>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TransferRequest {
    pub(crate) from: Vote,
    pub(crate) to: u64,
    pub(crate) last: Option<LogId>,
}

/// The head of a snapshot stream; chunks follow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotHead {
    pub(crate) vote: Vote,
    pub(crate) meta: Meta,
}

/// What a connection is for; each kind has its own, so that none waits behind another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Channel {
    /// Pipelined appends and heartbeats of one leader.
    Append,
    /// Votes, read indexes, clocks, status: answered out of order.
    Control,
    /// Forwarded commands: answered out of order.
    Forward,
    /// One snapshot.
    Snapshot,
    /// First contact: no identity is checked yet.
    Contact,
}

/// First frame of every connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u16,
    pub(crate) cluster_uuid: String,
    pub(crate) incarnation: u32,
    pub(crate) from: u64,
    /// The node the dialler means to reach.
    pub(crate) to: u64,
    pub(crate) channel: Channel,
}

/// Answer to [`Hello`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Welcome {
    Yes,
    /// Wrong cluster, incarnation, node or protocol; closes.
    No(String),
    /// The dialler was removed from the cluster; closes.
    Removed,
}

/// A question on a control or forward connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Vote(VoteRequest),
    Transfer(TransferRequest),
    ReadIndex,
    Clock,
    Status,
    Hash {
        revision: u64,
    },
    /// Encoded command.
    Propose(Bytes),
    Admin(Admin),
}

/// Membership and leadership verbs, carried to the leader.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Admin {
    Add(Address),
    Promote(u64),
    Remove(u64),
    Transfer(Option<u64>),
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    Vote(VoteReply),
    /// `None`: accepted.
    Transfer(Option<String>),
    ReadIndex(u64),
    Clock {
        now: i64,
    },
    Status(Progress),
    Hash(Option<u128>),
    Decided(Decision),
    Admin(u64),
    Failed(Failed),
}

/// How far a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) applied: u64,
    pub(crate) last: u64,
    pub(crate) clock_fit: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Decision {
    pub(crate) outcome: Outcome,
    pub(crate) decided: Stamp,
    pub(crate) replayed: bool,
}

/// Why a peer did not do it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Failed {
    /// Not executed: it does not lead.
    NotLeader,
    /// Not executed: no majority behind it.
    NoQuorum,
    /// Not executed: too much in flight.
    Overloaded,
    /// Not executed: not possible, with the reason.
    Rejected(String),
    /// Not executed: the asking node was removed from the cluster.
    Removed,
    /// May be executed.
    Unknown,
}

/// Questions of first contact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Contact {
    /// Who are you, and do you hold data?
    Probe,
    /// Become this node of this cluster.
    Adopt { cluster_uuid: String, incarnation: u32, node_id: u64, name: String },
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum ContactReply {
    /// Empty directory; `bootstrap` tells whether it waits for a first start.
    Vacant {
        name: String,
        bootstrap: bool,
    },
    /// Has an identity; `initialized` tells whether it has a log.
    Taken {
        name: String,
        cluster_uuid: String,
        node_id: u64,
        initialized: bool,
    },
    Adopted,
    Refused(String),
}

// ---- Conversions ----

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

/// Both directions for optional log ids, which is how openraft passes them.
pub(crate) fn log_id(id: Option<&types::LogId>) -> Option<LogId> {
    id.map(LogId::from)
}

/// See [`log_id`].
pub(crate) fn raft_log_id(id: Option<LogId>) -> Option<types::LogId> {
    id.map(LogId::into_raft)
}

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

impl From<&types::Membership> for Membership {
    fn from(m: &types::Membership) -> Self {
        Self {
            configs: m.get_joint_config().clone(),
            nodes: m.nodes().map(|(id, node)| (*id, node.into())).collect(),
        }
    }
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

impl Membership {
    fn into_raft(self) -> types::Membership {
        let nodes: BTreeMap<u64, types::Address> =
            self.nodes.into_iter().map(|(id, node)| (id, node.into_raft())).collect();
        types::Membership::new(self.configs, nodes).expect("checked when it was decoded")
    }
}

impl From<&types::Entry> for Entry {
    fn from(entry: &types::Entry) -> Self {
        let payload = match &entry.payload {
            EntryPayload::Blank => Payload::Blank,
            EntryPayload::Normal(p) => Payload::Command { now: p.now, command: p.command.clone() },
            EntryPayload::Membership(m) => Payload::Membership(m.into()),
        };
        Self { id: LogId::from(&entry.log_id), payload }
    }
}

impl Entry {
    pub(crate) fn into_raft(self) -> types::Entry {
        let payload = match self.payload {
            Payload::Blank => types::Payload::Blank,
            Payload::Command { now, command } => {
                types::Payload::Normal(types::Proposal { now, command })
            }
            Payload::Membership(m) => types::Payload::Membership(m.into_raft()),
        };
        types::Entry::new(self.id.into_raft(), payload)
    }
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

impl From<&types::AppendRequest> for Append {
    fn from(r: &types::AppendRequest) -> Self {
        Self {
            vote: (&r.vote).into(),
            prev: log_id(r.prev_log_id.as_ref()),
            commit: log_id(r.leader_commit.as_ref()),
            entries: r.entries.iter().map(Entry::from).collect(),
        }
    }
}

impl Append {
    pub(crate) fn into_raft(self) -> types::AppendRequest {
        types::AppendRequest {
            vote: self.vote.into_raft(),
            prev_log_id: raft_log_id(self.prev),
            leader_commit: raft_log_id(self.commit),
            entries: self.entries.into_iter().map(Entry::into_raft).collect(),
        }
    }
}

impl From<types::AppendResult> for Appended {
    fn from(result: types::AppendResult) -> Self {
        match result {
            Ok(id) => Self::Matches(log_id(id.as_ref())),
            Err(StreamAppendError::Conflict(id)) => Self::Conflict((&id).into()),
            Err(StreamAppendError::HigherVote(vote)) => Self::HigherVote((&vote).into()),
        }
    }
}

impl Appended {
    /// `None`: the peer has stopped.
    pub(crate) fn into_raft(self) -> Option<types::AppendResult> {
        match self {
            Self::Matches(id) => Some(Ok(raft_log_id(id))),
            Self::Conflict(id) => Some(Err(StreamAppendError::Conflict(id.into_raft()))),
            Self::HigherVote(vote) => Some(Err(StreamAppendError::HigherVote(vote.into_raft()))),
            Self::Stopped => None,
        }
    }
}

impl From<Decided> for Decision {
    fn from(d: Decided) -> Self {
        Self { outcome: d.outcome, decided: d.decided, replayed: d.replayed }
    }
}

/// One stored log entry, for eyes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntrySummary {
    /// Term of the leader that wrote it.
    pub term: u64,
    /// That leader.
    pub leader: u64,
    /// `blank`, `membership`, or the command's name.
    pub kind: String,
    /// The leader's time in ms, for commands; apply clamps it.
    pub now: Option<i64>,
}

/// Reads what `storage::Log` stores for one entry.
pub fn describe_entry(bytes: &[u8]) -> Result<EntrySummary, DecodeError> {
    let entry: Entry = codec::decode(bytes)?;
    let (kind, now) = match entry.payload {
        Payload::Blank => ("blank".to_owned(), None),
        Payload::Membership(m) => (
            format!(
                "membership of {}",
                m.nodes.keys().map(u64::to_string).collect::<Vec<_>>().join(", ")
            ),
            None,
        ),
        Payload::Command { now, command } => {
            let command: firstcome_domain::Command = codec::decode(&command)?;
            (command.action.name().to_owned(), Some(now))
        }
    };
    Ok(EntrySummary { term: entry.id.0, leader: entry.id.1, kind, now })
}
