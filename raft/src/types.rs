//! openraft's building blocks with our parameters: ids, votes, memberships, payloads.
//!
//! What is stored and sent has types of this crate instead, which openraft cannot change: see
//! [`crate::entry`], [`crate::log_format`] and [`crate::protocol`].

use std::fmt;

use bytes::Bytes;

/// A command on its way through the log: the leader's time, and the command as it was encoded by
/// the node that took the request. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// The leader's clock, in ms; apply clamps it.
    pub(crate) now: i64,
    /// See [`crate::command`].
    pub(crate) command: Bytes,
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal({} bytes at {})", self.command.len(), self.now)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Where a member is reached; part of the replicated membership.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Address {
    pub(crate) name: String,
    pub(crate) api: String,
    pub(crate) peer: String,
}

pub(crate) type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>;
pub(crate) type LogId = openraft::LogId<LeaderId>;
pub(crate) type Vote = openraft::impls::Vote<LeaderId>;
pub(crate) type Payload = openraft::EntryPayload<Proposal, u64, Address>;
pub(crate) type Membership = openraft::Membership<u64, Address>;
pub(crate) type StoredMembership = openraft::StoredMembership<LeaderId, u64, Address>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<LeaderId, u64, Address>;
