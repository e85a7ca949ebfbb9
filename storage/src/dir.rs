//! The data directory and its identity.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Whose directory this is; `node.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Format of the directory; 1.
    pub format: u32,
    /// The cluster, a UUID in its usual text form.
    pub cluster_uuid: String,
    /// Raised by recovery.
    pub incarnation: u32,
    /// Raft id, never reused.
    pub node_id: u64,
    /// Label.
    pub name: String,
    /// `active` or `removed`.
    pub state: IdentityState,
}

/// Whether the node may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityState {
    /// May run.
    Active,
    /// Was removed from the cluster; must stay out (77).
    Removed,
}

/// An opened, locked data directory.
pub struct DataDir {}

impl DataDir {
    /// Whether there is nothing of ours at `path` (missing or empty directory).
    pub fn is_vacant(_path: &Path) -> Result<bool, Error> {
        unimplemented!()
    }
    /// Makes a new directory for a node that never ran: identity, both files, all synced.
    pub fn create(_path: &Path, _identity: &Identity) -> Result<Self, Error> {
        unimplemented!()
    }
    /// Opens and locks an existing one; checks that `node.json` and both files agree.
    pub fn open(_path: &Path) -> Result<Self, Error> {
        unimplemented!()
    }
    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        unimplemented!()
    }
    /// Replaces `node.json` (temp file, fsync, rename, directory fsync).
    pub fn set_identity(&mut self, _identity: Identity) -> Result<(), Error> {
        unimplemented!()
    }
    /// Where it is.
    pub fn path(&self) -> &Path {
        unimplemented!()
    }
}
