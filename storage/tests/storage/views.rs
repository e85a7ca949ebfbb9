//! Views: rows, indexes and lists as one entry left them, whatever happens to the state meanwhile.

use std::fmt::Write as _;
use std::sync::mpsc;
use std::time::Duration;

use firstcome_domain::View as _;
use firstcome_domain::order::{Order, Status};
use firstcome_domain::product::Product;
use firstcome_domain::registry::TABLES;
use firstcome_domain::stock::PoolId;
use firstcome_domain::testing::memory::Memory;
use firstcome_domain::value::Revision;
use firstcome_storage::query::{Direction, OrderFilter, ReadView};
use firstcome_storage::{DataDir, Log, State, StateOptions};

use crate::apply::{Store, decide_in, same_rows};
use crate::contents::{Contents, contents};
use crate::shop::{
    LOG, STATE, Stream, committed, create_product, customer, identity, meta, product, sale,
};
use crate::snapshot::copy_to;

/// Longest wait for anything in these tests.
const DEADLINE: Duration = Duration::from_secs(30);

/// Everything that a view shows: rows, indexes, and what lists make of them.
#[derive(PartialEq)]
struct Shown {
    contents: Contents,
    lists: String,
}

impl Shown {
    fn of(view: &ReadView) -> Self {
        let shown = Self { contents: Contents::of(view), lists: lists(view) };
        assert!(view.error().is_none(), "{:?}", view.error());
        shown
    }
}

/// What the lists show, as one text.
fn lists(view: &ReadView) -> String {
    let pools = [PoolId::Sale(sale(1)), PoolId::Product(product(0))];
    let mut filters = vec![OrderFilter::default()];
    for n in 0..3 {
        filters.push(OrderFilter { customer: Some(customer(n)), ..Default::default() });
        filters.push(OrderFilter { product: Some(product(n)), ..Default::default() });
    }
    for pool in pools.map(Some) {
        filters.push(OrderFilter { pool, ..Default::default() });
        for status in [Status::PaymentPending, Status::Expired].map(Some) {
            filters.push(OrderFilter { pool, status, ..Default::default() });
        }
    }
    let mut text = format!("{:?} {:?}\n", view.applied(), view.next_due());
    for direction in [Direction::Up, Direction::Down] {
        for filter in &filters {
            let orders = view.orders(*filter, direction, None, 1_000).items;
            let ids: Vec<_> = orders.iter().map(|row| (row.id, row.status)).collect();
            writeln!(text, "{ids:?}").unwrap();
        }
        let named = view.products(false, Some("product"), direction, None, 100, |_| true);
        let offered = view.products(true, None, direction, None, 100, |_| true);
        let sales = view.sales(Some(false), direction, None, 100, |_| true);
        writeln!(text, "{:?}\n{:?}\n{:?}", named.items, offered.items, sales.items).unwrap();
    }
    for pool in [None, Some(pools[0]), Some(pools[1])] {
        let rows = view.ledger(pool, None, 1_000).items;
        writeln!(text, "{:?}", rows.iter().map(|row| row.key).collect::<Vec<_>>()).unwrap();
    }
    let events = view.events(Revision::new(0), 10_000).items;
    text + &format!("{:?}", events.iter().map(|row| row.stamp).collect::<Vec<_>>())
}

/// An open view, and what it showed when it began.
struct Open {
    view: ReadView,
    shown: Shown,
}

/// Random interleavings of apply, view, checkpoint, snapshot install and restart. A second store is
/// ahead of the first one now and then, and sends it a snapshot. What a new view shows are the rows
/// that the rules have in memory; what an open view shows never changes.
#[test]
fn an_open_view_stays_as_it_was() {
    let (mut checked, mut installs, mut entries) = (0, 0, 0);
    for seed in 0..6 {
        let mut stream = Stream::new(seed);
        let mut choice = Stream::new(seed + 1000);
        let mut memory = Memory::new();
        let (leader, mut store) = (Store::new(), Store::new());
        let mut open: Vec<Open> = Vec::new();
        for _ in 0..450 {
            match choice.below(20) {
                0..10 => {
                    let chunk: Vec<_> = (0..=choice.below(4)).map(|_| stream.entry()).collect();
                    let meta = meta(chunk[chunk.len() - 1].stamp.revision.get());
                    store.state.apply(&chunk, meta.clone()).unwrap();
                    leader.state.apply(&chunk, meta).unwrap();
                    for entry in &chunk {
                        decide_in(&mut memory, entry, |_| ());
                    }
                    entries += chunk.len();
                }
                10..14 => {
                    let view = store.state.view().unwrap();
                    let shown = Shown::of(&view);
                    assert!(shown.contents == Contents::of_memory(&memory), "seed {seed}");
                    open.push(Open { view, shown });
                }
                14..16 => drop(store.state.checkpoint().unwrap()),
                16 if choice.below(4) == 0 => {
                    for _ in 0..choice.below(30) {
                        let entry = stream.entry();
                        leader.apply(&entry);
                        decide_in(&mut memory, &entry, |_| ());
                    }
                    copy_to(&leader.state, &store.state);
                    installs += 1;
                }
                _ if open.is_empty() => {}
                _ => {
                    let place = usize::try_from(choice.below(open.len() as u64)).unwrap();
                    let Open { view, shown } = &open[place];
                    assert!(Shown::of(view) == *shown, "seed {seed}: {:?}", view.applied());
                    checked += 1;
                    if choice.below(2) == 0 {
                        drop(open.swap_remove(place));
                    }
                }
            }
        }
        for Open { view, shown } in open {
            assert!(Shown::of(&view) == shown, "seed {seed}: {:?}", view.applied());
        }
        same_rows(&memory, &store.state);
        store.state.checkpoint().unwrap();
        store = store.reopened();
        same_rows(&memory, &store.state);
    }
    assert!(entries > 3000 && checked > 300, "{entries} entries, {checked} looks");
    assert!(installs > 10, "{installs} installs");
}

/// The same beside real threads: every view is one revision, while apply and checkpoints go on.
#[test]
fn views_are_whole_beside_apply_and_checkpoints() {
    let home = tempfile::tempdir().unwrap();
    let dir = DataDir::create(&home.path().join("n7"), &identity()).unwrap();
    let log = Log::open_inline(&dir, LOG).unwrap();
    let options = StateOptions { checkpoint_bytes: 4 * 1024, ..STATE };
    let state = State::open(&dir, options, log).unwrap();
    let mut stream = Stream::new(12);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..20 {
                let view = state.view().unwrap();
                let first = Shown::of(&view);
                assert_eq!(first.contents.indexes, first.contents.derived_indexes());
                assert!(Shown::of(&view) == first, "{:?}", view.applied());
            }
        });
        while !reader.is_finished() {
            let chunk: Vec<_> = (0..3).map(|_| stream.entry()).collect();
            state.apply(&chunk, meta(chunk[2].stamp.revision.get())).unwrap();
        }
        reader.join().unwrap();
    });
    assert!(state.checkpointed().revision > Some(Revision::new(10)), "no checkpoint ran meanwhile");
}

/// Story: apply needed the lock that a list held while it looked at thousands of rows, so a few
/// anonymous readers stopped all sales. Here readers stand still in the middle of a scan and of a
/// list until apply, a checkpoint and a snapshot are through.
#[test]
fn a_reader_in_the_middle_of_a_scan_does_not_delay_apply() {
    const PRODUCTS: u64 = 300;
    let sender = Store::new();
    let store = Store::new();
    for n in 1..=PRODUCTS {
        let entry = committed(n, 0, Some(create_product(u128::from(n), 1)));
        sender.apply(&entry);
        store.apply(&entry);
        if n == PRODUCTS / 2 {
            store.state.checkpoint().unwrap();
        }
    }
    for n in PRODUCTS + 1..=2 * PRODUCTS {
        sender.apply(&committed(n, 0, Some(create_product(u128::from(n), 1))));
    }
    let state = &store.state;
    std::thread::scope(|scope| {
        let reader = |list: bool| {
            let (inside, is_inside) = mpsc::channel();
            let (go_on, may_go_on) = mpsc::channel::<()>();
            let read = scope.spawn(move || {
                let view = state.view().unwrap();
                let mut seen = 0;
                let mut stand_still = |_: &Product| {
                    seen += 1;
                    // In the file, and in memory.
                    if seen == PRODUCTS / 4 || seen == PRODUCTS * 3 / 4 {
                        inside.send(()).unwrap();
                        may_go_on.recv().unwrap();
                    }
                    true
                };
                if list {
                    let keep = std::cell::RefCell::new(stand_still);
                    let keep = |row: &Product| keep.borrow_mut()(row);
                    let page = view.products(true, None, Direction::Up, None, 999, keep);
                    assert!(page.next.is_none());
                } else {
                    view.each::<Product>(&mut stand_still);
                }
                assert!(view.error().is_none());
                seen
            });
            (read, is_inside, go_on)
        };
        let readers = [reader(false), reader(true)];
        for round in 1..=2 {
            for (_, is_inside, _) in &readers {
                is_inside.recv_timeout(DEADLINE).unwrap();
            }
            let (done, is_done) = mpsc::channel();
            let sender = &sender;
            scope.spawn(move || {
                for n in 0..100 {
                    let revision = PRODUCTS + (round - 1) * 100 + n + 1;
                    let command = create_product(u128::from(revision), 1);
                    state.apply(&[committed(revision, 0, Some(command))], meta(revision)).unwrap();
                }
                state.checkpoint().unwrap();
                if round == 2 {
                    copy_to(&sender.state, state);
                }
                done.send(()).unwrap();
            });
            let through = is_done.recv_timeout(DEADLINE);
            for (_, _, go_on) in &readers {
                go_on.send(()).unwrap();
            }
            through.expect("apply waited for readers");
        }
        for (read, ..) in readers {
            assert_eq!(read.join().unwrap(), PRODUCTS, "it saw what was written later");
        }
    });
    assert_eq!(contents(state).count::<Product>() as u64, 2 * PRODUCTS);
}

/// A view that outlives its state keeps the directory locked: nobody opens files that are read.
#[test]
fn a_directory_stays_locked_while_a_view_is_open() {
    let Store { disk, dir, log, state } = Store::new();
    state.apply(&[committed(1, 0, Some(create_product(1, 1)))], meta(1)).unwrap();
    state.checkpoint().unwrap();
    let view = state.view().unwrap();
    drop((state, log, dir));
    let open = || DataDir::open_on(std::sync::Arc::new(disk.clone()), "/data".as_ref());
    crate::shop::refused(open().map(drop), "InUse");
    assert!(view.get::<Product>(product(1)).is_some());
    assert!(view.error().is_none());
    drop(view);
    open().unwrap();
}

/// Rows of a random stream, wherever they are: on disk, in memory, after a restart, after a snapshot.
/// Every index, the ones in memory too, is what the rows say.
#[test]
fn every_index_is_what_the_rows_say_after_a_restart_and_a_snapshot() {
    for seed in 40..44 {
        let mut stream = Stream::new(seed);
        let mut store = Store::new();
        for step in 1..=700 {
            store.apply(&stream.entry());
            if step % 70 == 0 {
                store.state.checkpoint().unwrap();
            }
            if step % 90 == 0 {
                let found = contents(&store.state);
                assert_eq!(found.indexes, found.derived_indexes(), "seed {seed}, step {step}");
            }
        }
        let before = contents(&store.state);
        assert!(before.count::<Order>() > 50);
        for table in TABLES.iter().filter(|table| table.live) {
            assert!(before.rows.iter().any(|(of, ..)| *of == table.table), "{}", table.name);
        }
        let receiver = Store::new();
        copy_to(&store.state, &receiver.state);
        store = store.reopened();
        for state in [&store.state, &receiver.state] {
            let found = contents(state);
            assert!(found == before, "seed {seed}");
            assert_eq!(found.indexes, found.derived_indexes());
        }
        // Both go on alike, and their files are sound.
        for _ in 0..60 {
            let entry = stream.entry();
            store.apply(&entry);
            receiver.apply(&entry);
        }
        let after = contents(&store.state);
        assert!(after == contents(&receiver.state));
        assert_eq!(after.indexes, after.derived_indexes());
        for Store { disk, dir, log, state } in [store, receiver] {
            state.close().unwrap();
            log.close();
            drop((state, log, dir));
            assert_eq!(crate::inspect::inspect(&disk).unwrap().check().unwrap(), vec![]);
        }
    }
}
