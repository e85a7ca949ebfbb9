//! An entry of the audit log, and the end of its chain.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::kernel::id::UserId;
use crate::kernel::row::{Row, TableId};
use crate::kernel::value::{RowStamp, Sealed, Stamp};
use crate::kernel::version::Versioned;

/// What one command of staff did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Counts up from 1 without gaps.
    pub seq: u64,
    /// The log entry that decided it.
    pub stamp: Stamp,
    /// Who.
    pub actor: UserId,
    /// The name of the command.
    pub action: String,
    /// The id of what it was done to, or a word for it.
    pub target: String,
    /// Why, sealed for the target.
    pub reason: Option<Sealed>,
    /// The hash of the entry before; zeros before the first.
    pub previous: [u8; 32],
    /// See [`AuditEntry::chained`].
    pub hash: [u8; 32],
}

impl AuditEntry {
    /// SHA-256 over the hash of the entry before and every field, in the order of the struct. Numbers
    /// are 8 bytes, ids 16, both big-endian; texts and sealed values come after their length in 8
    /// bytes. No reason is an empty one.
    pub fn chained(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.previous);
        hash.update(self.seq.to_be_bytes());
        hash.update(self.stamp.revision.get().to_be_bytes());
        hash.update(self.stamp.now.get().to_be_bytes());
        hash.update(self.actor.get().to_be_bytes());
        let reason = self.reason.as_ref().map_or(&[][..], |reason| reason.0.as_slice());
        for part in [self.action.as_bytes(), self.target.as_bytes(), reason] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

impl Versioned for AuditEntry {}

impl Row for AuditEntry {
    const TABLE: TableId = TableId(50);
    const NAME: &'static str = "audit_log";
    type Key = u64;

    fn key(&self) -> u64 {
        self.seq
    }
}

/// The newest entry of the audit log; one row.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AuditHead {
    /// Its number; 0 while there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// Version and stamps.
    pub row: RowStamp,
}

impl Versioned for AuditHead {}

impl Row for AuditHead {
    const TABLE: TableId = TableId(51);
    const NAME: &'static str = "audit_head";
    type Key = ();

    fn key(&self) {}

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }
}
