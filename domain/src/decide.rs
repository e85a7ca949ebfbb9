//! One log entry in, one decision out.
//!
//! Inside one entry: sweep due rows, settle what the command touches, then decide, seeing the
//! writes of both. Those writes stay even when the command is refused or replayed. A rule checks
//! everything before it writes anything, so a refusal leaves no trace but its receipt.

use std::sync::Arc;

use crate::audit::rules as audit;
use crate::change::Change;
use crate::command::{Action, Actor, Command};
use crate::draft::Draft;
use crate::journal::receipt::{OutcomeBytes, Receipt, ReceiptKey, Scope};
use crate::journal::row::{Journal, ReceiptsByScope};
use crate::kernel::key::Key;
use crate::kernel::row::Row as _;
use crate::kernel::value::{LINE_QUANTITY_MAX, Millis, Revision, Stamp};
use crate::kernel::version::Level;
use crate::keyring::rules as keyring;
use crate::order::{create, unpaid};
use crate::outcome::{Outcome, Refusal};
use crate::product::row::Product;
use crate::registry::AnyRow;
use crate::sale::row::Sale;
use crate::seeded::receipts as seeded;
use crate::session::rules as session;
use crate::stock::row::{Pool, PoolId};
use crate::view::View;
use crate::{checks, field, permission, sweep};

/// What one log entry did: the answer, and what makes it true. [`Decision::record`] turns it into
/// bytes and row writes.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// The answer.
    pub answer: Answer,
    journal: Journal,
    changes: Vec<Change>,
    receipt: Option<(ReceiptKey, Millis)>,
}

/// What a caller is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// This log entry decided.
    Decided(Outcome),
    /// An earlier one did, under the same key.
    Replayed {
        /// What it decided, as it was stored.
        outcome: OutcomeBytes,
        /// When.
        decided: Stamp,
    },
}

/// A decision as it is stored and answered.
#[derive(Clone, PartialEq, Debug)]
pub struct Recorded {
    /// The answer, encoded.
    pub outcome: OutcomeBytes,
    /// The stamp of the log entry that decided it; an earlier one for a replay.
    pub decided: Stamp,
    /// Whether the outcome comes from a receipt.
    pub replayed: bool,
    /// Row writes, in the order of tables and keys; the entry of the journal comes last.
    pub changes: Vec<Change>,
}

impl Decision {
    /// Encodes the outcome, once, for the receipt and for the reply.
    pub fn record(self, encode: impl FnOnce(&Outcome) -> Vec<u8>) -> Recorded {
        let Self { answer, mut journal, mut changes, receipt } = self;
        let (outcome, decided, replayed) = match answer {
            Answer::Decided(outcome) => (OutcomeBytes(encode(&outcome)), journal.stamp, false),
            Answer::Replayed { outcome, decided } => (outcome, decided, true),
        };
        journal.receipt = receipt.map(|(key, expires_at)| {
            let outcome = outcome.clone();
            Receipt { key, expires_at, outcome }
        });
        if !journal.is_empty() {
            let key = Key::of(&journal.key());
            let after = Some(AnyRow::Journal(Arc::new(journal)));
            changes.push(Change { table: Journal::TABLE, key, before: None, after });
        }
        Recorded { outcome, decided, replayed, changes }
    }
}

/// Decides one command. Total: every command in every state gives an outcome.
pub fn decide(view: &impl View, command: &Command, stamp: Stamp) -> Decision {
    let Command { actor, action, .. } = command;
    let mut draft = Draft::new(view, stamp);
    let is_tick = matches!(action, Action::Tick(_)) && *actor == Actor::Node;
    let limit = if is_tick { sweep::TICK_ROWS_MAX } else { sweep::AHEAD_ROWS_MAX };
    sweep::sweep(&mut draft, limit);
    let actor = match session::resolve(&mut draft, *actor) {
        Ok(actor) => actor,
        Err(refusal) => return refuse(draft, refusal),
    };
    sweep::settle(&mut draft, actor, &action.touches());
    draft.act_as(actor);
    let since = action.since();
    // Most commands were always there, and need not read the level.
    if since > Level::FIRST && since > draft.level() {
        return refuse(draft, Refusal::FeatureUnavailable { level: since.0 });
    }
    if !permission::allows(actor, action.needs()) {
        return refuse(draft, Refusal::PermissionDenied);
    }
    let key = receipt_key(command);
    if let Some(key) = key
        && let Some((receipt, decided)) = find_receipt(view, key.scope)
        && stamp.now < receipt.expires_at
        && !seeded::limit_hides_receipt(&mut draft, command)
    {
        if receipt.key.fingerprint != key.fingerprint && !seeded::ignores_body() {
            return refuse(draft, Refusal::IdempotencyKeyReused);
        }
        return end(draft, Answer::Replayed { outcome: receipt.outcome, decided }, None);
    }
    // The node that sealed it lags behind: without a receipt, so that a repeat is sealed anew.
    if action.sealed().is_some_and(|sealed| keyring::is_retired(&mut draft, sealed)) {
        return refuse(draft, Refusal::KeyVersionRetired);
    }
    let background = draft.changes();
    let (outcome, is_lasting) = match action.decide(&mut draft, actor) {
        Ok(done) => {
            audit::record(&mut draft, actor, action.name(), action.reason(), &done);
            (Outcome::Done(done), true)
        }
        Err(refusal) => {
            let is_fine = draft.changes() == background || refusal.may_write();
            assert!(is_fine, "a rule wrote before it refused: {refusal:?}");
            let is_lasting = refusal.is_lasting();
            (Outcome::Refused(refusal), is_lasting)
        }
    };
    let receipt = key.filter(|_| is_lasting && !seeded::forgets_receipt());
    let receipt = receipt.map(|key| (key, stamp.now.plus(draft.settings().receipt_retention_ms)));
    end(draft, Answer::Decided(outcome), receipt)
}

/// Refuses an order, or a wish for what does not exist, from a read, when the rules would say the
/// same and nothing could change their mind. `None` means: propose. Success is never answered here.
///
/// `log_time` is that of the view; `clock` is the asking node's, if it has one to trust.
/// `sale_closed` is judged by log time. `sold_out` and `sale_not_open` are judged by the later of
/// both, because the log entry that would decide is stamped later than the view.
///
/// The caller sees to it that the view is fresh, and marks the answer as early.
/// [`Refusal::needs_current_rows`] says how fresh.
pub fn early_refusal(
    view: &impl View,
    command: &Command,
    log_time: Millis,
    clock: Option<Millis>,
) -> Option<Refusal> {
    let later = clock.map_or(log_time, |clock| log_time.max(clock));
    let draft_at = |now| Draft::new(view, Stamp { now, ..Stamp::default() });
    if let Action::WishlistSet(ask) = &command.action {
        return create::target(&mut draft_at(later), ask.target).err();
    }
    // An order of a whole wishlist is never refused here: the list may be another by now.
    let (Action::OrderCreate(ask), Some(customer)) = (&command.action, command.actor.user()) else {
        return None;
    };
    let mut draft = draft_at(later);
    // A few reads per line say whether an early refusal is possible at all; most often it is not.
    let possible = create::sums(&ask.lines).into_iter().any(|(pool, quantity)| {
        // Without a pool there is no such product or sale either.
        let Some(units) = draft.get::<Pool>(pool) else { return true };
        let (product, closed) = match pool {
            PoolId::Product(id) => (Some(id), false),
            PoolId::Sale(id) => match draft.get::<Sale>(id) {
                Some(sale) => (Some(sale.product), later < sale.opens_at || sale.is_over(log_time)),
                None => (None, true),
            },
        };
        let mut is_shipped =
            || !product.and_then(|id| draft.get::<Product>(id)).is_some_and(|row| row.no_shipping);
        closed
            || quantity > LINE_QUANTITY_MAX
            || units.accounts.available < u64::from(quantity)
            || (ask.address.is_none() && is_shipped())
    });
    if !possible || receipt_key(command).is_some_and(|key| find_receipt(view, key.scope).is_some())
    {
        return None;
    }
    let refusal = create::refusal(&mut draft, customer, ask)?;
    let stands = if let Refusal::SoldOut { pool, .. } = &refusal {
        let nothing_is_due = view.next_due().is_none_or(|at| later < at);
        nothing_is_due || !unpaid::may_be_refilled(view, *pool, later)
    } else if matches!(refusal, Refusal::SaleClosed { .. }) {
        let by_log_time = || create::refusal(&mut draft_at(log_time), customer, ask);
        later == log_time || by_log_time().as_ref() == Some(&refusal)
    } else {
        refusal.needs_current_rows() || matches!(refusal, Refusal::SaleNotOpen { .. })
    };
    // A blocked user or a closed session must be told that instead.
    (stands && session::resolve(&mut draft, command.actor).is_ok()).then_some(refusal)
}

/// Refuses a command that must not get into the log of a cluster at `level`: a node of another
/// release could not read it, or this one not apply it. Asked before proposing; [`decide`] would
/// refuse it too, but by then it is in every log.
pub fn unavailable(action: &Action, level: Level) -> Option<Refusal> {
    let since = action.since();
    if since > level {
        return Some(Refusal::FeatureUnavailable { level: since.0 });
    }
    if let Action::FeatureLevelRaise(raise) = action
        && Level(raise.to) > Level::KNOWN
    {
        return Some(field::invalid("/to", "out_of_range"));
    }
    None
}

/// The newest receipt of a scope, expired or not, and when it was decided.
pub fn find_receipt(view: &impl View, scope: Scope) -> Option<(Receipt, Stamp)> {
    let (first, last) = (Revision::new(0), Revision::new(u64::MAX));
    let head = scope.head();
    let found = view.scan::<ReceiptsByScope>((head, first), (head, last), RECEIPTS_MAX);
    found.into_iter().rev().find_map(|(_, revision)| {
        let row = view.get::<Journal>(revision)?;
        let receipt = row.receipt.as_ref().filter(|receipt| receipt.key.scope == scope)?;
        Some((receipt.clone(), row.stamp))
    })
}

/// Receipts of one scope: the live one, and expired ones that no Tick has dropped yet. A key is
/// used again after an hour at the earliest, and its receipt waits at most 7 days behind others.
const RECEIPTS_MAX: usize = 1_000;

/// The key of a command; the node's own commands are repeat-safe without one.
fn receipt_key(command: &Command) -> Option<ReceiptKey> {
    command.receipt.filter(|_| command.actor != Actor::Node)
}

/// A refusal that stores no receipt.
fn refuse<V: View>(draft: Draft<'_, V>, refusal: Refusal) -> Decision {
    end(draft, Answer::Decided(Outcome::Refused(refusal)), None)
}

fn end<V: View>(
    mut draft: Draft<'_, V>,
    answer: Answer,
    receipt: Option<(ReceiptKey, Millis)>,
) -> Decision {
    checks::ledger_explains_accounts(&draft);
    checks::orders_move_forward(&draft);
    checks::publish_stock(&mut draft);
    let (journal, changes) = draft.finish();
    Decision { answer, journal, changes, receipt }
}
