//! The rules of the shop for these tests: what `firstcome_api::Shop` does, less housekeeping.

use firstcome_domain::{Action, Actor, Command, Done, Millis, Outcome, View as _, early_refusal};
use firstcome_raft::Application;
use firstcome_storage::query::ReadView;

#[derive(Clone, Copy)]
pub(crate) struct Shop;

const TICK: Command = Command { actor: Actor::Node, receipt: None, action: Action::Tick };

impl Application for Shop {
    fn may_answer_early(&self, command: &Command) -> bool {
        matches!(command.action, Action::OrderCreate(_))
    }

    fn answer_early(&self, command: &Command, rows: &ReadView<'_>, now: Millis) -> Option<Outcome> {
        early_refusal(rows, command, now).map(Outcome::Refused)
    }

    fn due(&self, rows: &ReadView<'_>, now: Millis) -> Option<Command> {
        rows.next_due().is_some_and(|at| at <= now).then_some(TICK)
    }

    fn housekeeping(&self, _: &ReadView<'_>, _: Millis) -> Option<Command> {
        None
    }

    fn is_unfinished(&self, outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Done(Done::Ticked { more: true, .. }))
    }
}
