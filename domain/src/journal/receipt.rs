//! Receipts: the outcome stored under an idempotency key, so that a repeat gets it again.

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::value::{Millis, Stamp};

/// SHA-256 of (principal, command name, key), made by the node that took the request. Users
/// never see each other's receipts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Scope(pub [u8; 32]);

/// What a command carries when the client sent an idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceiptKey {
    /// Whose key, for which command.
    pub scope: Scope,
    /// Keyed hash of the client's request; never of the command, whose ids differ on a retry.
    pub fingerprint: [u8; 32],
}

/// One receipt row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// Scope and fingerprint of the first request.
    pub key: ReceiptKey,
    /// What was decided, refusals included.
    pub outcome: Outcome,
    /// The log entry that decided it. One command per entry: also unique to the receipt.
    pub stamp: Stamp,
    /// From this instant on the receipt counts as absent.
    pub expires_at: Millis,
}
