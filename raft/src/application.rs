//! What agreement asks of the application whose commands it agrees on.
//!
//! This crate does not know what a command means. It asks here when an answer needs no log entry,
//! and what the leader should propose by itself. All answers come from applied rows and log time
//! alone.

use firstcome_domain::{Command, Millis, Outcome};
use firstcome_storage::query::ReadView;

/// The application of a node; called on any node, from any task, and must not block.
pub trait Application: Send + Sync + 'static {
    /// Whether a command of this kind is ever answered early. Asked for every command, so it must
    /// be cheap.
    fn may_answer_early(&self, command: &Command) -> bool;

    /// Answers a command from rows alone, at log time `now`. `None`: propose it.
    ///
    /// The answer must be what applying the command to these rows would give, must change no row,
    /// and must still be true of rows that are 200 ms newer. The caller sees to it that the rows
    /// are no older than that.
    fn answer_early(&self, command: &Command, rows: &ReadView<'_>, now: Millis) -> Option<Outcome>;

    /// What the leader should propose now because time has passed. Asked every 20 ms, so it must
    /// be cheap. Two leaders may propose it at once.
    fn due(&self, rows: &ReadView<'_>, now: Millis) -> Option<Command>;

    /// What the leader should propose to clean up. Asked once a minute.
    fn housekeeping(&self, rows: &ReadView<'_>, now: Millis) -> Option<Command>;

    /// Whether a command of [`Application::due`] or [`Application::housekeeping`] should be
    /// proposed again at once, because this outcome says that it has not finished.
    fn is_unfinished(&self, outcome: &Outcome) -> bool;
}

/// An application without early answers and without work of its own.
#[cfg(test)]
pub(crate) struct Idle;

#[cfg(test)]
impl Application for Idle {
    fn may_answer_early(&self, _: &Command) -> bool {
        false
    }

    fn answer_early(&self, _: &Command, _: &ReadView<'_>, _: Millis) -> Option<Outcome> {
        None
    }

    fn due(&self, _: &ReadView<'_>, _: Millis) -> Option<Command> {
        None
    }

    fn housekeeping(&self, _: &ReadView<'_>, _: Millis) -> Option<Command> {
        None
    }

    fn is_unfinished(&self, _: &Outcome) -> bool {
        false
    }
}
