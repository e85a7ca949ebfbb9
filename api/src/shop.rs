//! The shop, as agreement asks for it: what is refused early, and what the leader does by itself.

use firstcome_domain::{Action, Actor, Command, Done, Millis, Outcome, View as _, early_refusal};
use firstcome_raft::Application;
use firstcome_storage::query::ReadView;

/// The application of every node of a shop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shop;

const TICK: Command = Command { actor: Actor::Node, receipt: None, action: Action::Tick };

impl Application for Shop {
    fn may_answer_early(&self, command: &Command) -> bool {
        matches!(command.action, Action::OrderCreate(_))
    }

    /// `sold_out` or `sale_closed`, which keeps late buyers out of the log.
    fn answer_early(&self, command: &Command, rows: &ReadView<'_>, now: Millis) -> Option<Outcome> {
        early_refusal(rows, command, now).map(Outcome::Refused)
    }

    fn due(&self, rows: &ReadView<'_>, now: Millis) -> Option<Command> {
        rows.next_due().is_some_and(|at| at <= now).then_some(TICK)
    }

    /// Removes expired receipts and old events when nothing else is due.
    fn housekeeping(&self, rows: &ReadView<'_>, now: Millis) -> Option<Command> {
        let old = now.plus(-rows.settings().event_retention_ms);
        let stale =
            !rows.expired_receipts(now, 1).is_empty() || !rows.events_until(old, 1).is_empty();
        stale.then_some(TICK)
    }

    fn is_unfinished(&self, outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Done(Done::Ticked { more: true, .. }))
    }
}
