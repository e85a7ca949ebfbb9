//! The table of contents of all rules: one log entry in, one decision out.
//!
//! Inside one entry: sweep due rows, settle what the command touches, then decide, seeing the
//! writes of both. Those writes stay even when the command is refused or replayed. A rule checks
//! everything before it writes anything, so a refusal leaves no trace but its receipt.

use firstcome_fault::{Bug, armed};

use crate::change::Change;
use crate::command::{Action, Actor, Command};
use crate::draft::Draft;
use crate::id::UserId;
use crate::outcome::{Done, Outcome, Refusal};
use crate::receipt::{Receipt, ReceiptKey};
use crate::stock::PoolId;
use crate::value::{Millis, RowStamp, Stamp};
use crate::view::View;
use crate::{order, payment, permission, product, sale, settings, stock, sweep};

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
pub fn decide(view: &impl View, command: &Command, stamp: Stamp) -> Decision {
    let mut draft = Draft::new(view, stamp);
    sweep::sweep(&mut draft, command);
    sweep::settle(&mut draft, command);
    draft.act_as(command.actor);
    if !permission::allows(command.actor, &command.action) {
        return refuse(draft, Refusal::PermissionDenied);
    }
    let key = receipt_key(command);
    if armed(Bug::LimitBeforeReceipt)
        && let Some(refusal) = limit(&mut draft, command)
    {
        return refuse(draft, refusal);
    }
    if let Some((key, receipt)) = key.and_then(|key| live_receipt(&draft, key)) {
        if receipt.key.fingerprint != key.fingerprint && !armed(Bug::ReceiptIgnoresBody) {
            return refuse(draft, Refusal::IdempotencyKeyReused);
        }
        let changes = draft.finish(None);
        let (outcome, decided) = (receipt.outcome, receipt.stamp);
        return Decision { outcome, decided, replayed: true, changes };
    }
    let background = draft.changes();
    let outcome = match run(&mut draft, command) {
        Ok(done) => Outcome::Done(done),
        Err(refusal) => {
            assert!(draft.changes() == background, "a rule wrote before it refused: {refusal:?}");
            Outcome::Refused(refusal)
        }
    };
    let receipt = key.filter(|_| !armed(Bug::NoReceipt)).map(|key| {
        let expires_at = stamp.now.plus(draft.settings().receipt_retention_ms);
        Receipt { key, outcome: outcome.clone(), stamp, expires_at }
    });
    Decision { outcome, decided: stamp, replayed: false, changes: draft.finish(receipt) }
}

fn run<V: View>(draft: &mut Draft<'_, V>, command: &Command) -> Result<Done, Refusal> {
    let actor = command.actor;
    match &command.action {
        Action::ProductCreate(ask) => product::create(draft, ask),
        Action::ProductUpdate(ask) => product::update(draft, ask),
        Action::ProductSetStatus(ask) => product::set_status(draft, ask),
        Action::StockAdjust(ask) => stock::adjust(draft, ask),
        Action::SaleCreate(ask) => sale::create(draft, ask),
        Action::SaleUpdate(ask) => sale::update(draft, ask),
        Action::SaleAllot(ask) => sale::allot(draft, ask),
        Action::SalePause(ask) => sale::pause(draft, ask),
        Action::SaleResume(ask) => sale::resume(draft, ask),
        Action::SaleClose(ask) => sale::close(draft, ask),
        Action::OrderCreate(ask) => order::create(draft, user(actor)?, ask),
        Action::OrderCancel(ask) => order::cancel(draft, actor, ask),
        Action::OrderShip(ask) => order::ship(draft, ask),
        Action::OrderDeliver(ask) => order::deliver(draft, ask),
        Action::OrderConfirm(ask) => order::confirm(draft, user(actor)?, ask),
        Action::OrderReturn(ask) => order::send_back(draft, user(actor)?, ask),
        Action::ReturnReceive(ask) => order::receive(draft, ask),
        Action::PaymentSettle(ask) => payment::settle(draft, ask),
        Action::SettingsUpdate(ask) => settings::update(draft, ask),
        Action::Tick => Ok(sweep::tick(draft)),
    }
}

/// Answers a hot loser from a read: `sold_out` or `sale_closed`, when the rules would say so and
/// nothing could change their mind. `None` means: propose. Success is never answered here.
///
/// The caller sees to it that the view is fresh, and marks the answer as early.
pub fn early_refusal(view: &impl View, command: &Command, now: Millis) -> Option<Refusal> {
    let (Action::OrderCreate(ask), Actor::User { id: customer, .. }) =
        (&command.action, command.actor)
    else {
        return None;
    };
    let stamp = Stamp { now, ..Stamp::default() };
    let mut draft = Draft::new(view, stamp);
    // Two reads per line say whether an early refusal is possible at all; most often it is not.
    let possible = order::sums(&ask.lines).into_iter().any(|(pool, quantity)| {
        let over = match pool {
            PoolId::Product(_) => false,
            PoolId::Sale(id) => draft.sale(id).is_some_and(|sale| sale.is_over(now)),
        };
        over || draft.pool(pool).is_some_and(|pool| pool.accounts.available < u64::from(quantity))
    });
    if !possible || receipt_key(command).is_some_and(|key| view.receipt(key.scope).is_some()) {
        return None;
    }
    let refusal = order::refusal(&mut draft, customer, ask)?;
    let stands = if let Refusal::SoldOut { pool, .. } = &refusal {
        // Whatever is due may give units back; what is left of a sale that closes, and orders on
        // one that did, give them to general stock.
        match pool {
            PoolId::Product(_) => view.next_due().is_none_or(|at| now < at),
            PoolId::Sale(_) => view.overdue(*pool, now, 1).is_empty(),
        }
    } else {
        matches!(refusal, Refusal::SaleClosed { .. })
    };
    stands.then_some(refusal)
}

/// `version_mismatch` unless the row is as the editor saw it.
pub(crate) fn require_version(row: RowStamp, if_version: Option<u64>) -> Result<(), Refusal> {
    let current = row.version;
    if if_version.is_some_and(|seen| seen != current) {
        return Err(Refusal::VersionMismatch { current });
    }
    Ok(())
}

/// The key of a user's command; the node's own commands are repeat-safe without one.
fn receipt_key(command: &Command) -> Option<ReceiptKey> {
    match command.actor {
        Actor::User { .. } => command.receipt,
        Actor::Node => None,
    }
}

/// The receipt of an earlier request with the same key; from its `expires_at` on it is absent.
fn live_receipt<V: View>(draft: &Draft<'_, V>, key: ReceiptKey) -> Option<(ReceiptKey, Receipt)> {
    let receipt = draft.receipt(key.scope)?;
    (draft.now() < receipt.expires_at).then_some((key, receipt))
}

/// What [`Bug::LimitBeforeReceipt`] looks at too early.
fn limit<V: View>(draft: &mut Draft<'_, V>, command: &Command) -> Option<Refusal> {
    let (Action::OrderCreate(ask), Ok(customer)) = (&command.action, user(command.actor)) else {
        return None;
    };
    order::refusal(draft, customer, ask).filter(|refusal| {
        matches!(refusal, Refusal::AlreadyHolding { .. } | Refusal::LimitReached { .. })
    })
}

fn user(actor: Actor) -> Result<UserId, Refusal> {
    match actor {
        Actor::User { id, .. } => Ok(id),
        Actor::Node => Err(Refusal::PermissionDenied),
    }
}

/// A refusal that stores no receipt.
fn refuse<V: View>(draft: Draft<'_, V>, refusal: Refusal) -> Decision {
    let decided = draft.stamp();
    let changes = draft.finish(None);
    Decision { outcome: Outcome::Refused(refusal), decided, replayed: false, changes }
}
