//! The table of contents of all rules: one log entry in, one decision out.

use crate::change::Change;
use crate::command::Command;
use crate::outcome::{Outcome, Refusal};
use crate::value::Stamp;
use crate::view::View;

/// What one log entry did: the answer, and the row writes that make it true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The answer.
    pub outcome: Outcome,
    /// The stamp of the log entry that decided it; an earlier one for a replay.
    pub decided: Stamp,
    /// Whether the outcome comes from a receipt.
    pub replayed: bool,
    /// Row writes, in order.
    pub changes: Vec<Change>,
}

/// Decides one command. Total: every command in every state gives an outcome.
pub fn decide(_view: &impl View, _command: &Command, stamp: Stamp) -> Decision {
    Decision {
        outcome: Outcome::Refused(Refusal::PermissionDenied),
        decided: stamp,
        replayed: false,
        changes: Vec::new(),
    }
}
