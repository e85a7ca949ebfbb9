//! Apply: decisions become rows, in memory and across checkpoints and restarts.

use std::sync::Arc;

use firstcome_domain::View;
use firstcome_domain::memory::Memory;
use firstcome_domain::stock::PoolId;
use firstcome_domain::value::{Millis, Revision};
use firstcome_storage::disk::sim::SimDisk;
use firstcome_storage::query::{Direction, OrderFilter};
use firstcome_storage::{DataDir, Log, State, StateOptions};

use crate::shop::{
    LOG, STATE, Stream, buy, committed, create_product, create_sale, customer, entries, identity,
    meta, order, product, refused, sale, sim_path,
};

/// A state without threads on a simulated disk.
pub(crate) struct Store {
    pub(crate) disk: SimDisk,
    pub(crate) dir: DataDir,
    pub(crate) log: Log,
    pub(crate) state: State,
}

impl Store {
    pub(crate) fn new() -> Self {
        let disk = SimDisk::new();
        let dir = DataDir::create_on(Arc::new(disk.clone()), &sim_path(), &identity()).unwrap();
        Self::opened(disk, dir)
    }

    pub(crate) fn on(disk: SimDisk) -> Self {
        let dir = DataDir::open_on(Arc::new(disk.clone()), &sim_path()).unwrap();
        Self::opened(disk, dir)
    }

    fn opened(disk: SimDisk, dir: DataDir) -> Self {
        let log = Log::open_inline(&dir, LOG).unwrap();
        let state = State::open_inline(&dir, STATE, log.clone()).unwrap();
        Self { disk, dir, log, state }
    }

    /// Ends it without a last checkpoint, and opens it again.
    pub(crate) fn reopened(self) -> Self {
        let Self { disk, dir, log, state } = self;
        drop((state, log, dir));
        Self::on(disk)
    }

    pub(crate) fn apply(&self, entry: &firstcome_storage::state::Committed) {
        let revision = entry.stamp.revision.get();
        self.state.apply(std::slice::from_ref(entry), meta(revision)).unwrap();
    }
}

/// Every row of a state, decoded and in order, as one text.
pub(crate) fn rows(state: &State) -> String {
    state
        .read(|view| {
            let all_orders = view.orders(OrderFilter::default(), Direction::Down, None, 1_000);
            let products = view.products(None, 1_000, |_| true);
            let sales = view.sales(None, 1_000, |_| true);
            let ledger = view.ledger(None, None, 100_000);
            assert!(all_orders.next.is_none() && ledger.next.is_none());
            let events = view.events(Revision::new(0), 100_000);
            let pools: Vec<_> = (0..10)
                .flat_map(|n| [PoolId::Product(product(n)), PoolId::Sale(sale(n))])
                .filter_map(|id| view.pool(id))
                .collect();
            let usage: Vec<_> = (0..10)
                .flat_map(|n| (0..10).map(move |who| (sale(n), customer(who))))
                .filter_map(|(sale, who)| view.usage(sale, who))
                .collect();
            let due = view.due(Millis::MAX, 100_000);
            format!(
                "{:?}\n{:#?}{:#?}{:#?}{:#?}{events:#?}{pools:#?}{usage:#?}{due:#?}{:?}",
                view.settings(),
                all_orders.items,
                products.items,
                sales.items,
                ledger.items,
                view.next_due(),
            )
        })
        .unwrap()
}

#[test]
fn a_purchase_is_applied_and_readable() {
    let store = Store::new();
    store.apply(&committed(1, 10, Some(create_product(1, 50))));
    store.apply(&committed(2, 20, Some(create_sale(1, 1, 10, 2))));
    store.apply(&committed(3, 15, None));
    store.apply(&committed(4, 5, Some(buy(1, 1, PoolId::Sale(sale(1)), 2, Some(1)))));
    let applied = store.state.applied();
    assert_eq!(applied.revision, Some(Revision::new(4)));
    assert_eq!(applied.now, Millis::new(20), "log time never goes back");
    assert_eq!(applied.meta, meta(4));
    let bought = store.state.read(|view| view.order(order(1)).unwrap()).unwrap();
    assert_eq!(bought.ticket.now, Millis::new(20));
    let pool = store.state.read(|view| view.pool(PoolId::Sale(sale(1))).unwrap()).unwrap();
    assert_eq!((pool.accounts.available, pool.accounts.held), (8, 2));
    assert_eq!(store.state.hash_at(Revision::new(4)), Some(applied.hash));
    assert_eq!(
        store.state.hash_at(Revision::new(3)),
        store.state.hash_at(Revision::new(2)),
        "an entry without a command changes no row"
    );
    assert_eq!(store.state.hash_at(Revision::new(5)), None);
}

#[test]
fn an_entry_is_never_applied_twice() {
    let store = Store::new();
    store.apply(&committed(1, 10, Some(create_product(1, 50))));
    let again = committed(1, 10, Some(create_product(2, 50)));
    refused(store.state.apply(&[again], meta(1)), "applied before");
    refused(store.state.read(|_| ()), "applied before");
    refused(store.state.checkpoint(), "applied before");
}

#[test]
fn redb_view_and_memory_view_decide_alike() {
    for seed in 0..12 {
        let mut stream = Stream::new(seed);
        let mut memory = Memory::new();
        let mut store = Store::new();
        for step in 0..400 {
            let entry = stream.entry();
            let decided = store.state.apply(std::slice::from_ref(&entry), meta(step)).unwrap();
            let mut stamp = entry.stamp;
            if let Some(command) = &entry.command {
                stamp.now = stamp.now.max(memory.last().now);
                let expected = firstcome_domain::decide(&memory, command, stamp);
                assert_eq!(decided[0].outcome, expected.outcome, "seed {seed}, step {step}");
                assert_eq!(decided[0].decided, expected.decided);
                assert_eq!(decided[0].replayed, expected.replayed);
                memory.apply(stamp, &expected.changes);
            }
            // Both levels, and the file below them.
            if step % 23 == 5 {
                store.state.checkpoint().unwrap();
            }
            if step % 151 == 150 {
                store.state.checkpoint().unwrap();
                store = store.reopened();
            }
        }
        same_rows(&memory, &store.state);
    }
}

fn same_rows(memory: &Memory, state: &State) {
    state
        .read(|view| {
            let mut orders =
                view.orders(OrderFilter::default(), Direction::Down, None, 1_000).items;
            orders.reverse();
            let mut expected: Vec<_> = memory.orders().collect();
            expected.sort_by_key(|order| order.ticket.revision);
            assert!(expected.into_iter().eq(orders.iter()));
            let ledger = view.ledger(None, None, 100_000).items;
            assert!(memory.ledger().eq(ledger.iter()));
            assert!(memory.events().eq(view.events(Revision::new(0), 100_000).iter()));
            assert!(memory.pools().all(|row| view.pool(row.id).as_ref() == Some(row)));
            assert!(memory.products().all(|row| view.product(row.id).as_ref() == Some(row)));
            assert!(memory.sales().all(|row| view.sale(row.id).as_ref() == Some(row)));
            for row in memory.usages() {
                assert_eq!(view.usage(row.sale, row.customer).as_ref(), Some(row));
            }
            for row in memory.receipts() {
                assert_eq!(view.receipt(row.key.scope).as_ref(), Some(row));
            }
            assert_eq!(memory.next_due(), view.next_due());
            assert_eq!(memory.due(Millis::MAX, 9_999), view.due(Millis::MAX, 9_999));
        })
        .unwrap();
    let counts = state.row_counts();
    let count = |name| counts.iter().find(|(table, _)| *table == name).unwrap().1;
    assert_eq!(count("orders"), memory.orders().count() as u64);
    assert_eq!(count("receipts"), memory.receipts().count() as u64);
    assert_eq!(count("ledger"), memory.ledger().count() as u64);
    assert_eq!(count("usage"), memory.usages().count() as u64);
}

#[test]
fn a_checkpoint_and_a_restart_change_no_row() {
    let mut stream = Stream::new(77);
    let mut store = Store::new();
    for _ in 0..300 {
        store.apply(&stream.entry());
    }
    let (before, applied) = (rows(&store.state), store.state.applied());
    assert!(before.len() > 10_000, "the stream sold nothing");
    assert_eq!(store.state.checkpointed().revision, None);
    assert_eq!(store.state.checkpoint().unwrap(), applied);
    assert_eq!(store.state.checkpointed(), applied);
    assert_eq!(rows(&store.state), before);
    store = store.reopened();
    assert_eq!(store.state.applied(), applied);
    assert_eq!(rows(&store.state), before);
}

#[test]
fn replay_after_a_restart_reaches_the_same_hash() {
    let mut stream = Stream::new(5);
    let all: Vec<_> = (0..200).map(|_| stream.entry()).collect();
    let mut store = Store::new();
    all[..120].iter().for_each(|entry| store.apply(entry));
    store.state.checkpoint().unwrap();
    all[120..].iter().for_each(|entry| store.apply(entry));
    let (before, hash) = (rows(&store.state), store.state.applied().hash);
    store = store.reopened();
    assert_eq!(store.state.applied().revision, Some(Revision::new(120)));
    all[120..].iter().for_each(|entry| store.apply(entry));
    assert_eq!(store.state.applied().hash, hash);
    assert_eq!(rows(&store.state), before);
}

/// With threads and a real disk: small checkpoints run while entries are applied and read.
#[test]
fn checkpoints_run_beside_apply_and_reads() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("n7");
    let dir = DataDir::create(&path, &identity()).unwrap();
    let log = Log::open(&dir, LOG).unwrap();
    let options = StateOptions { checkpoint_bytes: 4 * 1024, ..STATE };
    let state = State::open(&dir, options, log.clone()).unwrap();
    let mut stream = Stream::new(9);
    let all: Vec<_> = (0..600).map(|_| stream.entry()).collect();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = None;
            while last < Some(Revision::new(600)) {
                let seen = state
                    .read(|view| {
                        let orders =
                            view.orders(OrderFilter::default(), Direction::Down, None, 1_000).items;
                        let newest = orders.iter().map(|row| row.row.updated.revision).max();
                        assert!(newest <= view.applied().revision);
                        view.applied().revision
                    })
                    .unwrap();
                assert!(seen >= last);
                last = seen;
            }
        });
        for entry in &all {
            let revision = entry.stamp.revision.get();
            log.append(entries(revision - 1..revision, 1), crate::shop::done().0);
            state.apply(std::slice::from_ref(entry), meta(revision)).unwrap();
        }
        reader.join().unwrap();
    });
    let (expected, applied) = (rows(&state), state.applied());
    state.close().unwrap();
    assert_eq!(state.checkpointed(), applied);
    drop((state, log, dir));
    let dir = DataDir::open(&path).unwrap();
    let log = Log::open(&dir, LOG).unwrap();
    let state = State::open(&dir, options, log).unwrap();
    assert_eq!(state.applied(), applied);
    assert_eq!(rows(&state), expected);
}
