//! The row of the keyring; none before the cluster's first start is through.

use serde::{Deserialize, Serialize};

use crate::kernel::row::{Row, TableId};
use crate::kernel::value::{Millis, RowStamp, Sealed};
use crate::kernel::version::Versioned;

/// What a version of the master key is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MasterState {
    /// Verifies and opens.
    Known,
    /// Signs and seals as well. Exactly one version does.
    Active,
    /// No row needs it, and no token that it signed is accepted.
    Retired,
}

impl MasterState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// One version of the master key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MasterVersion {
    /// Its number in the key files.
    pub number: u32,
    /// A MAC under this version: the same on all nodes with the same key.
    pub check: [u8; 32],
    /// What it is used for.
    pub state: MasterState,
    /// Since when it has been in this state.
    pub since: Millis,
    /// Ids of the nodes whose file has it.
    pub nodes: Vec<u64>,
}

/// What a key of the cluster is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Purpose {
    /// Hashes requests, so that a repeat of a key is compared with its first request.
    RequestFingerprint,
    /// Signs the access tokens of sessions.
    AccessToken,
    /// Makes refresh tokens.
    RefreshToken,
    /// Hashes the codes that are sent by mail.
    EmailCode,
    /// Hashes e-mail addresses, so that an account is found by one.
    EmailIndex,
}

impl Purpose {
    /// Every purpose; a cluster has a key for each.
    pub const ALL: [Self; 5] = [
        Self::RequestFingerprint,
        Self::AccessToken,
        Self::RefreshToken,
        Self::EmailCode,
        Self::EmailIndex,
    ];

    /// The word that the wrapping names it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestFingerprint => "request_fingerprint",
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
            Self::EmailCode => "email_code",
            Self::EmailIndex => "email_index",
        }
    }
}

/// A key of the cluster, wrapped by a version of the master key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClusterKey {
    /// What it is for.
    pub purpose: Purpose,
    /// Counted from 1 within its purpose.
    pub number: u32,
    /// The key; only a node with version `master` can open it.
    pub wrapped: Sealed,
    /// The version of the master key that wraps it.
    pub master: u32,
}

/// The one row.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Keyring {
    /// By number.
    pub versions: Vec<MasterVersion>,
    /// The cluster's own keys.
    pub keys: Vec<ClusterKey>,
    /// Version and stamps.
    pub row: RowStamp,
}

impl Keyring {
    /// A version.
    pub fn version(&self, number: u32) -> Option<&MasterVersion> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// The version that signs and seals.
    pub fn active(&self) -> Option<&MasterVersion> {
        self.versions.iter().find(|version| version.state == MasterState::Active)
    }

    /// How many keys of the cluster are wrapped by a version.
    pub fn wrapped_by(&self, number: u32) -> usize {
        self.keys.iter().filter(|key| key.master == number).count()
    }
}

impl Versioned for Keyring {}

impl Row for Keyring {
    const TABLE: TableId = TableId(40);
    const NAME: &'static str = "keyring";
    const HOT: bool = true;
    type Key = ();

    fn key(&self) {}

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }
}
