//! The rules of the shop for these tests: what `firstcome_api::Shop` does, less housekeeping.

use firstcome_domain::command::Tick;
use firstcome_domain::{Action, Actor, Command, Done, Millis, Outcome, View as _, early_refusal};
use firstcome_raft::{Application, EarlyAnswer};
use firstcome_storage::query::ReadView;

#[derive(Clone, Copy)]
pub(crate) struct Shop;

const TICK: Command = Command { actor: Actor::Node, receipt: None, action: Action::Tick(Tick) };

impl Application for Shop {
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

    fn housekeeping(&self, _: &ReadView, _: Millis) -> Option<Command> {
        None
    }

    fn is_unfinished(&self, outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Done(Done::Ticked { more: true, .. }))
    }

    fn is_due_work(&self, command: &Command) -> bool {
        *command == TICK
    }
}
