//! Checks of each decision before it leaves. A broken invariant here is a bug in a rule: it panics,
//! and the node stops before the bug spreads. Also the events that follow from written rows: one
//! `stock.changed` per touched pool, sold out, available again.

use crate::draft::Draft;
use crate::journal::event::{Fact, SaleFact};
use crate::order::row::{Order, Status};
use crate::product::row::Product;
use crate::sale::row::{Phase, Sale};
use crate::seeded::orders as seeded;
use crate::stock::row::{Accounts, Pool, PoolId};
use crate::view::View;

/// One `stock.changed` per touched pool, then what it means for its sale.
pub(crate) fn publish_stock<V: View>(draft: &mut Draft<'_, V>) {
    let mut facts = Vec::new();
    let mut emptied_or_filled = Vec::new();
    for (before, now) in draft.written::<Pool>() {
        let (pool, accounts) = (now.id, now.accounts);
        facts.push(Fact::StockChanged { pool, accounts });
        if let (PoolId::Sale(sale), Some(before)) = (pool, before) {
            let (had, has) = (before.accounts.available, accounts.available);
            if (had == 0) != (has == 0) {
                emptied_or_filled.push((sale, has));
            }
        }
    }
    for (id, available) in emptied_or_filled {
        let Some(sale) = draft.get::<Sale>(id) else { continue };
        let discontinued = draft.get::<Product>(sale.product).is_some_and(|row| row.discontinued);
        let phase = sale.phase(discontinued, available, draft.now());
        let what = match phase {
            Phase::SoldOut => SaleFact::SoldOut,
            Phase::Open => SaleFact::AvailableAgain,
            Phase::Closed | Phase::Discontinued | Phase::Paused | Phase::Scheduled => continue,
        };
        facts.push(Fact::Sale { sale: id, what, phase });
    }
    draft.add_derived(facts);
}

/// S1 and S2 for touched pools: the movements of this decision, played on the accounts before
/// it, give the accounts after it.
pub(crate) fn ledger_explains_accounts<V: View>(draft: &Draft<'_, V>) {
    // In the order of their keys, which is that of their ids.
    let mut rebuilt: Vec<(&Pool, Accounts)> = draft
        .written::<Pool>()
        .map(|(before, now)| (now, before.map(|pool| pool.accounts).unwrap_or_default()))
        .collect();
    for entry in draft.movements() {
        let place = rebuilt.binary_search_by_key(&entry.pool, |(pool, _)| pool.id).ok();
        let pool = place.and_then(|place| rebuilt.get_mut(place));
        let (_, accounts) = pool.expect("S2: a movement changes a pool");
        *accounts = accounts.after(entry.movement).expect("S1: no account goes below zero");
    }
    for (now, accounts) in rebuilt {
        assert!(accounts == now.accounts, "S2: the ledger does not explain {:?}", now.id);
    }
}

/// S9 for touched orders: a terminal status stays, a hold ends once, and a row has a timer only
/// while something is to come.
pub(crate) fn orders_move_forward<V: View>(draft: &Draft<'_, V>) {
    for (before, now) in draft.written::<Order>() {
        let id = now.id;
        if let Some(before) = before {
            let stays = !before.status.is_terminal()
                || before.status == now.status
                || seeded::may_go_on(before.status);
            assert!(stays, "S9: terminal order {id} changed status");
            let revived =
                before.status != Status::PaymentPending && now.status == Status::PaymentPending;
            assert!(!revived, "S9: order {id} holds its units a second time");
        }
        let waits =
            !now.status.is_terminal() || now.due_at.is_none() || seeded::expires_when_canceled();
        assert!(waits, "S9: terminal order {id} has a timer");
    }
}
