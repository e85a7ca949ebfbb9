//! What peers say to each other: the handshake, requests and responses, appends, snapshots.
//!
//! A change here needs a new [`PROTOCOL`]. Entries, log ids and votes travel as they are stored:
//! see [`crate::log_format`].

use bytes::Bytes;
use firstcome_storage::state::Decided;
use openraft::raft::StreamAppendError;
use serde::{Deserialize, Serialize};

use crate::config;
use crate::log_format::{Address, LogId, Meta, Vote, log_id, raft_log_id};

/// The newest peer protocol that this release speaks. Two nodes need one in common.
pub(crate) const PROTOCOL: u16 = 1;

/// The oldest one that it still speaks.
pub(crate) const PROTOCOL_OLDEST: u16 = 1;

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

/// First frame of every connection, in a [`crate::network::greeting::Greeting`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) cluster_uuid: String,
    pub(crate) incarnation: u32,
    pub(crate) from: u64,
    /// The node the dialler means to reach.
    pub(crate) to: u64,
    pub(crate) channel: Channel,
}

/// Answer to [`Hello`], in a greeting as well.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Welcome {
    Yes,
    /// Wrong cluster, incarnation, node or protocol; closes.
    No(String),
    /// The dialler was removed from the cluster; closes.
    Removed,
}

/// The head of an append; its entries follow as they are stored. None: a heartbeat.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct AppendHead {
    pub(crate) vote: Vote,
    pub(crate) prev: Option<LogId>,
    pub(crate) commit: Option<LogId>,
}

/// Answer to one append.
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

impl From<config::AppendResult> for Appended {
    fn from(result: config::AppendResult) -> Self {
        match result {
            Ok(id) => Self::Matches(log_id(id.as_ref())),
            Err(StreamAppendError::Conflict(id)) => Self::Conflict((&id).into()),
            Err(StreamAppendError::HigherVote(vote)) => Self::HigherVote((&vote).into()),
        }
    }
}

impl Appended {
    /// `None`: the peer has stopped.
    pub(crate) fn into_raft(self) -> Option<config::AppendResult> {
        match self {
            Self::Matches(id) => Some(Ok(raft_log_id(id))),
            Self::Conflict(id) => Some(Err(StreamAppendError::Conflict(id.into_raft()))),
            Self::HigherVote(vote) => Some(Err(StreamAppendError::HigherVote(vote.into_raft()))),
            Self::Stopped => None,
        }
    }
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
    Admin(Admin),
    /// A command, as encoded by the node that took the request. Goes as it is: see
    /// [`crate::network::frame`].
    #[serde(skip)]
    Propose(Bytes),
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
    Admin(u64),
    Failed(Failed),
    /// What became of a command. Goes field by field: see [`crate::network::frame`].
    #[serde(skip)]
    Decided(Decided),
}

/// How far a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) applied: u64,
    pub(crate) last: u64,
    pub(crate) clock_fit: bool,
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
