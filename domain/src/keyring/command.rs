//! Commands on the keyring. Keys and check values are made by the node before proposing.

use serde::{Deserialize, Serialize};

use super::row::ClusterKey;
use crate::kernel::version::Versioned;

/// A version that a node has in its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MasterCheck {
    /// Its number.
    pub number: u32,
    /// Its check value.
    pub check: [u8; 32],
}

/// Makes the keyring at the first start of a cluster. The first one wins: every node that finds no
/// keyring proposes one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyringCreate {
    /// The node that proposes it.
    pub node: u64,
    /// The versions in its file.
    pub versions: Vec<MasterCheck>,
    /// New keys of the cluster. The version that wraps them becomes the active one.
    pub keys: Vec<ClusterKey>,
}

/// Reports all versions that a node has in its file. New ones become known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MasterVersionAdd {
    /// The node.
    pub node: u64,
    /// The versions in its file.
    pub versions: Vec<MasterCheck>,
}

/// `POST /v1/admin/keys/{version}/activations`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MasterVersionActivate {
    /// The version.
    pub number: u32,
    /// Ids of all members, which must have it.
    pub members: Vec<u64>,
    /// All keys of the cluster, wrapped by that version.
    pub keys: Vec<ClusterKey>,
}

/// `POST /v1/admin/keys/{version}/retirements`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MasterVersionRetire {
    /// The version.
    pub number: u32,
}

impl Versioned for KeyringCreate {}
impl Versioned for MasterVersionAdd {}
impl Versioned for MasterVersionActivate {}
impl Versioned for MasterVersionRetire {}
