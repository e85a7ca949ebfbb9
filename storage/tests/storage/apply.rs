//! Apply: decisions become rows, in memory and across checkpoints and restarts.

use std::sync::Arc;

use firstcome_domain::kernel::version::Level;
use firstcome_domain::order::Order;
use firstcome_domain::registry::TABLES;
use firstcome_domain::stock::{Pool, PoolId};
use firstcome_domain::testing::memory::Memory;
use firstcome_domain::value::{Millis, Revision, Stamp};
use firstcome_domain::{Recorded, View as _};
use firstcome_storage::disk::sim::SimDisk;
use firstcome_storage::query::{Direction, OrderFilter};
use firstcome_storage::state::Committed;
use firstcome_storage::{DataDir, Log, State, StateOptions, codec};

use crate::contents::{Contents, contents};
use crate::shop::{
    LOG, STATE, Stream, buy, committed, create_product, create_sale, entries, identity, meta,
    order, refused, sale, sim_path,
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

    pub(crate) fn apply(&self, entry: &Committed) {
        let revision = entry.stamp.revision.get();
        self.state.apply(std::slice::from_ref(entry), meta(revision)).unwrap();
    }
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
    let bought = store.state.read(|view| view.get::<Order>(order(1)).unwrap()).unwrap();
    assert_eq!(bought.ticket.now, Millis::new(20));
    let pool = store.state.read(|view| view.get::<Pool>(PoolId::Sale(sale(1))).unwrap()).unwrap();
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
            decide_in(&mut memory, &entry, |expected| {
                let decided = &decided[0];
                assert_eq!(decided.outcome, expected.outcome, "seed {seed}, step {step}");
                assert_eq!(decided.decided, expected.decided);
                assert_eq!(decided.replayed, expected.replayed);
            });
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

/// Decides a log entry over rows in memory, as storage does, and applies it there.
pub(crate) fn decide_in(memory: &mut Memory, entry: &Committed, check: impl FnOnce(&Recorded)) {
    let Some(command) = &entry.command else { return };
    let stamp = Stamp { now: memory.last().now.log_time(entry.stamp.now), ..entry.stamp };
    let decision = firstcome_domain::decide(memory, command, stamp);
    let recorded = decision.record(|outcome| codec::encode_at(outcome, Level::FIRST));
    check(&recorded);
    memory.apply(stamp, &recorded.changes);
}

/// Compares every row of every kind, every index row, the lists and the counts.
pub(crate) fn same_rows(memory: &Memory, state: &State) {
    let (found, expected) = (contents(state), Contents::of_memory(memory));
    assert!(found == expected, "{found:#?} is not {expected:#?}");
    assert_eq!(found.indexes, found.derived_indexes());
    let view = state.view().unwrap();
    let orders = view.orders(OrderFilter::default(), Direction::Up, None, 1_000).items;
    let mut expected: Vec<_> = memory.orders().collect();
    expected.sort_by_key(|order| order.ticket.revision);
    assert!(expected.into_iter().eq(orders.iter().map(|row| &**row)));
    assert!(memory.ledger().eq(view.ledger(None, None, 100_000).items));
    let events = view.events(Revision::new(0), 100_000).items;
    let expected = memory.journal().filter(|entry| !entry.facts.is_empty());
    assert!(expected.eq(events.iter().map(|entry| &**entry)));
    assert_eq!(memory.next_due(), view.next_due());
    for (name, rows) in state.row_counts() {
        let table = TABLES.iter().find(|table| table.name == name).unwrap().table;
        let counted = found.rows.iter().filter(|(of, ..)| *of == table).count();
        assert_eq!(rows, counted as u64, "{name}");
    }
    assert!(view.error().is_none());
}

#[test]
fn a_checkpoint_and_a_restart_change_no_row() {
    let mut stream = Stream::new(77);
    let mut store = Store::new();
    for _ in 0..400 {
        store.apply(&stream.entry());
    }
    let (before, applied) = (contents(&store.state), store.state.applied());
    assert!(before.count::<Order>() > 20, "the stream sold nothing");
    assert_eq!(store.state.checkpointed().revision, None);
    assert_eq!(store.state.checkpoint().unwrap(), applied);
    assert_eq!(store.state.checkpointed(), applied);
    assert_eq!(contents(&store.state), before);
    store = store.reopened();
    assert_eq!(store.state.applied(), applied);
    assert_eq!(contents(&store.state), before);
}

#[test]
fn replay_after_a_restart_reaches_the_same_hash() {
    let mut stream = Stream::new(5);
    let all: Vec<_> = (0..200).map(|_| stream.entry()).collect();
    let mut store = Store::new();
    all[..120].iter().for_each(|entry| store.apply(entry));
    store.state.checkpoint().unwrap();
    all[120..].iter().for_each(|entry| store.apply(entry));
    let (before, hash) = (contents(&store.state), store.state.applied().hash);
    store = store.reopened();
    assert_eq!(store.state.applied().revision, Some(Revision::new(120)));
    all[120..].iter().for_each(|entry| store.apply(entry));
    assert_eq!(store.state.applied().hash, hash);
    assert_eq!(contents(&store.state), before);
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
    let (expected, applied) = (contents(&state), state.applied());
    state.close().unwrap();
    assert_eq!(state.checkpointed(), applied);
    drop((state, log, dir));
    let dir = DataDir::open(&path).unwrap();
    let log = Log::open(&dir, LOG).unwrap();
    let state = State::open(&dir, options, log).unwrap();
    assert_eq!(state.applied(), applied);
    assert_eq!(contents(&state), expected);
}
