//! The shop, as agreement asks for it: what is refused early, and what the leader does by itself.

use firstcome_domain::command::Tick;
use firstcome_domain::journal::retention;
use firstcome_domain::{
    Action, Actor, Command, Done, Millis, Outcome, View as _, early_refusal, expiry,
};
use firstcome_raft::{Application, EarlyAnswer};
use firstcome_storage::query::ReadView;

/// The application of every node of a shop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shop;

const TICK: Command = Command { actor: Actor::Node, receipt: None, action: Action::Tick(Tick) };

impl Application for Shop {
    /// What keeps early and late buyers, and orders of what does not exist, out of the log.
    fn answer_early(
        &self,
        command: &Command,
        rows: &ReadView,
        clock: Option<Millis>,
    ) -> Option<EarlyAnswer> {
        let refusal = early_refusal(rows, command, rows.applied().now, clock)?;
        let answer = if refusal.needs_current_rows() {
            EarlyAnswer::FromCurrent
        } else {
            EarlyAnswer::FromRecent
        };
        Some(answer(Outcome::Refused(refusal)))
    }

    fn due(&self, rows: &ReadView, now: Millis) -> Option<Command> {
        rows.next_due().is_some_and(|at| at <= now).then_some(TICK)
    }

    /// Removes receipts, old events, sessions and the like that are over, when nothing else is due.
    fn housekeeping(&self, rows: &ReadView, now: Millis) -> Option<Command> {
        (retention::is_due(rows, now) || expiry::is_due(rows, now)).then_some(TICK)
    }

    fn is_unfinished(&self, outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Done(Done::Ticked { more: true, .. }))
    }

    fn is_due_work(&self, command: &Command) -> bool {
        *command == TICK
    }
}
