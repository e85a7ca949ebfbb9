//! What agreement asks of the application whose commands it agrees on.
//!
//! This crate does not know what a command means. It asks here when an answer needs no log entry,
//! and what the leader should propose by itself.

use firstcome_domain::{Command, Millis, Outcome};
use firstcome_storage::query::ReadView;

/// An answer without a log entry, and how current the rows must be that it was read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EarlyAnswer {
    /// It may be told from rows up to 200 ms old, although they may have changed since.
    FromRecent(Outcome),
    /// It may be told only if the rows show everything that was decided before the command came:
    /// a linearizable read.
    FromCurrent(Outcome),
}

/// The application of a node; called on any node, from any task, and must not block.
pub trait Application: Send + Sync + 'static {
    /// Answers a command from rows alone. `None`: propose it. Asked for every command, so it must
    /// be cheap for those that are never answered so.
    ///
    /// The answer must be what applying the command to these rows would give, and must change no
    /// row. The caller sees to it that the rows are as current as the answer needs. `clock` is
    /// this node's, unless it is off; log time is in the rows.
    fn answer_early(
        &self,
        command: &Command,
        rows: &ReadView,
        clock: Option<Millis>,
    ) -> Option<EarlyAnswer>;

    /// What the leader should propose now because time has passed. Asked every 20 ms, so it must
    /// be cheap. Two leaders may propose it at once.
    fn due(&self, rows: &ReadView, now: Millis) -> Option<Command>;

    /// What the leader should propose to clean up. Asked once a minute.
    fn housekeeping(&self, rows: &ReadView, now: Millis) -> Option<Command>;

    /// Whether a command of [`Application::due`] or [`Application::housekeeping`] should be
    /// proposed again at once, because this outcome says that it has not finished.
    fn is_unfinished(&self, outcome: &Outcome) -> bool;

    /// Whether a command is one of those that [`Application::due`] asks for.
    fn is_due_work(&self, command: &Command) -> bool;
}

/// An application without early answers and without work of its own.
#[cfg(test)]
pub(crate) struct Idle;

#[cfg(test)]
impl Application for Idle {
    fn answer_early(&self, _: &Command, _: &ReadView, _: Option<Millis>) -> Option<EarlyAnswer> {
        None
    }

    fn due(&self, _: &ReadView, _: Millis) -> Option<Command> {
        None
    }

    fn housekeeping(&self, _: &ReadView, _: Millis) -> Option<Command> {
        None
    }

    fn is_unfinished(&self, _: &Outcome) -> bool {
        false
    }

    fn is_due_work(&self, _: &Command) -> bool {
        false
    }
}
