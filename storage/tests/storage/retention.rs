//! Retention: what is gone stays gone across restarts and snapshots, and the ledger stays whole.

use firstcome_domain::View as _;
use firstcome_domain::journal::{Journal, LedgerRow};
use firstcome_domain::stock::PoolId;
use firstcome_domain::value::Revision;
use firstcome_storage::State;
use firstcome_storage::state::Decided;

use crate::apply::Store;
use crate::contents::contents;
use crate::shop::{buy, committed, create_product, create_sale, meta, sale, tick};
use crate::snapshot::copy_to;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// More rows than one Tick goes through.
const PURCHASES: u64 = 1500;

/// A store and its next entry.
struct Shop {
    store: Store,
    revision: u64,
}

impl Shop {
    fn apply(&mut self, now: i64, command: firstcome_domain::Command) -> Decided {
        self.revision += 1;
        let entry = committed(self.revision, now, Some(command));
        self.store.state.apply(&[entry], meta(self.revision)).unwrap().remove(0)
    }

    /// A purchase under a key of its own.
    fn buy(&mut self, now: i64, n: u64) -> Decided {
        let id = u128::from(self.revision) + 10;
        self.apply(now, buy(id, u128::from(n), PoolId::Sale(sale(1)), 1, Some(n)))
    }

    /// Ticks until nothing is due any more.
    fn tick(&mut self, now: i64) -> u64 {
        for ticks in 1..100 {
            let outcome = self.apply(now, tick()).outcome().unwrap();
            let text = format!("{outcome:?}");
            if text.contains("more: false") {
                return ticks;
            }
            assert!(text.contains("more: true"), "{text}");
        }
        panic!("the Ticks never end");
    }
}

fn ledger(state: &State) -> Vec<LedgerRow> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = state.read(|view| view.ledger(None, after, 700)).unwrap();
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

fn journal(state: &State) -> Vec<Journal> {
    let mut rows = Vec::new();
    state.view().unwrap().each::<Journal>(|row| {
        rows.push(row.clone());
        true
    });
    rows
}

/// The first entry of the list of events, and the mark before it.
fn first_event(state: &State) -> (Option<Revision>, Revision) {
    let view = state.view().unwrap();
    let first = view.events(Revision::new(0), 1).items.first().map(|row| row.stamp.revision);
    (first, view.events_removed_until())
}

/// All that must hold of a state whose first entries are beyond their retention.
fn check(state: &State, old: Revision, movements: &[LedgerRow]) {
    let rows = journal(state);
    let is_old = |row: &&Journal| row.stamp.revision <= old;
    assert!(rows.iter().filter(is_old).all(|row| row.receipt.is_none() && row.facts.is_empty()));
    assert!(rows.iter().filter(is_old).all(|row| !row.movements.is_empty()), "an empty row stayed");
    assert!(rows.iter().any(|row| row.receipt.is_some()), "newer receipts are there");
    let found = ledger(state);
    assert_eq!(found[..movements.len()], *movements, "movements stay");
    let (first, removed) = first_event(state);
    assert!(removed >= old && first > Some(removed), "{first:?} after {removed}");
    let view = state.view().unwrap();
    let (marks, listed) = (view.retention(), view.events(Revision::new(1), 100_000));
    assert!(marks.receipts >= old && marks.facts == removed);
    let newer = rows.iter().filter(|row| row.stamp.revision > removed && !row.facts.is_empty());
    assert!(listed.items.iter().map(|row| &**row).eq(newer), "the list goes on behind the mark");
    let found = contents(state);
    assert_eq!(found.indexes, found.derived_indexes());
}

#[test]
fn what_retention_dropped_stays_gone_and_movements_stay() {
    let mut shop = Shop { store: Store::new(), revision: 0 };
    shop.apply(0, create_product(1, 50_000));
    shop.apply(0, create_sale(1, 1, 5_000, 1));
    for n in 0..PURCHASES {
        assert!(!shop.buy(0, n).replayed);
    }
    assert!(shop.buy(1, 7).replayed, "a used key is known");
    // The holds run out first.
    shop.tick(HOUR);
    let movements = ledger(&shop.store.state);
    let old = Revision::new(shop.revision);
    assert!(journal(&shop.store.state).iter().filter(|row| row.receipt.is_some()).count() > 1000);
    shop.store.state.checkpoint().unwrap();

    // Receipts live a day, events a week.
    let now = 8 * DAY;
    assert!(!shop.buy(now - 2 * HOUR, 7).replayed, "the receipt is over, dropped or not");
    assert!(shop.tick(now) > 1, "one Tick is enough for all");
    let fresh = shop.buy(now, 8);
    assert!(!fresh.replayed);
    let state = |shop: &Shop| shop.store.state.clone();
    check(&state(&shop), old, &movements);

    // Across a restart from the middle of it, a checkpoint, and a snapshot to a state that still had
    // everything.
    let receiver = Store::new();
    shop.store.state.checkpoint().unwrap();
    let before = contents(&shop.store.state);
    shop.store = shop.store.reopened();
    assert!(contents(&shop.store.state) == before);
    check(&shop.store.state, old, &movements);
    copy_to(&shop.store.state, &receiver.state);
    check(&receiver.state, old, &movements);
    assert!(contents(&receiver.state) == before);
    let receiver = receiver.reopened();
    check(&receiver.state, old, &movements);

    // Keys of the receipts that are gone decide anew; those that are there replay, on both.
    let mut other = Shop { store: receiver, revision: shop.revision };
    for (n, replayed) in [(8, true), (9, false), (9, true), (10, false)] {
        let (here, there) = (shop.buy(now + 1, n), other.buy(now + 1, n));
        assert_eq!((here.replayed, &here), (replayed, &there), "key {n}");
    }
    let events = |shop: &Shop| {
        let from = Revision::new(first_event(&shop.store.state).1.get() + 1);
        shop.store.state.read(|view| view.events(from, 100_000)).unwrap().items
    };
    assert_eq!(events(&shop), events(&other));
    assert_eq!(events(&shop).last().unwrap().stamp.revision.get(), shop.revision);
    assert_eq!(shop.store.state.applied().hash, other.store.state.applied().hash);
}
