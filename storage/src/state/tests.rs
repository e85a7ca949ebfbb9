//! The backlog: what is counted is what is unsaved, and apply waits only while that is too much. And
//! what is kept for readers: no more than they can ask for.

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use firstcome_domain::command::{
    Action, Actor, OrderCancel, OrderCreate, ProductCreate, Role, WantedLine,
};
use firstcome_domain::journal::Journal;
use firstcome_domain::journal::row::Retention;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::{Index as _, Row as _};
use firstcome_domain::order::row::OrdersByPool;
use firstcome_domain::product::row::ProductsByName;
use firstcome_domain::stock::{Pool, PoolId};
use firstcome_domain::value::{Currency, Millis, Money};
use firstcome_domain::{OrderId, ProductId, UserId, View as _};

use super::*;
use crate::dir::IdentityState;
use crate::disk::sim::SimDisk;
use crate::memtable::NEWEST;
use crate::{Identity, LogOptions};

/// Longest wait for anything in these tests.
const DEADLINE: Duration = Duration::from_secs(30);

/// Checkpoints only when asked.
const OPTIONS: StateOptions = StateOptions {
    cache_bytes: 1 << 20,
    checkpoint_interval: Duration::from_hours(1),
    checkpoint_bytes: usize::MAX,
};

fn directory() -> DataDir {
    let identity = Identity {
        format: 1,
        cluster_uuid: "0192f0c1-2345-7abc-8def-0123456789ab".into(),
        incarnation: 0,
        node_id: 7,
        name: "n7".into(),
        state: IdentityState::Active,
    };
    DataDir::create_on(Arc::new(SimDisk::new()), "/data".as_ref(), &identity).unwrap()
}

/// A new product at each revision.
fn product(revision: u64) -> Committed {
    let price = Money { amount: 100, currency: Currency::new("KRW").unwrap() };
    let action = Action::ProductCreate(ProductCreate {
        id: ProductId::new(u128::from(revision)),
        name: "cup".into(),
        description: None,
        image_url: None,
        no_shipping: true,
        price,
        stock: 1000,
        waitlist: false,
    });
    let actor = Actor::User { id: UserId::new(1), role: Role::Admin };
    let stamp = Stamp { revision: Revision::new(revision), now: Millis::new(0) };
    Committed { stamp, command: Some(Command { actor, receipt: None, action }) }
}

fn apply(state: &State, revision: u64) {
    state.apply(&[product(revision)], Bytes::from_static(b"meta")).unwrap();
}

fn counted(state: &State) -> usize {
    state.shared().unsaved_bytes.load(Ordering::Relaxed)
}

/// Story: the counter kept what a snapshot had carried away, and apply waited for a checkpoint
/// that had nothing to do.
#[test]
fn nothing_is_counted_after_a_checkpoint_a_snapshot_or_an_install() {
    let dir = directory();
    let log = Log::open_inline(&dir, LogOptions::default()).unwrap();
    let state = State::open_inline(&dir, OPTIONS, log).unwrap();
    apply(&state, 1);
    let one = counted(&state);
    assert!(one > 0, "a product is not counted");
    apply(&state, 2);
    assert!(counted(&state) > one, "a second product is not counted");
    state.checkpoint().unwrap();
    assert_eq!(counted(&state), 0, "after a checkpoint");

    apply(&state, 3);
    assert!(counted(&state) > 0);
    let mut reader = state.snapshot().unwrap();
    assert_eq!(counted(&state), 0, "after a snapshot went out");

    // A snapshot of the same revision comes in over rows that were never saved.
    let other = directory();
    let log = Log::open_inline(&other, LogOptions::default()).unwrap();
    let behind = State::open_inline(&other, OPTIONS, log).unwrap();
    apply(&behind, 1);
    assert!(counted(&behind) > 0);
    let mut writer = behind.receive().unwrap();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        writer.write_chunk(&chunk).unwrap();
    }
    behind.install(writer).unwrap();
    assert_eq!(counted(&behind), 0, "after a snapshot came in");
    assert_eq!(behind.applied().revision, Some(Revision::new(3)));
}

/// Story: apply wrote the counter after it had released the rows, so it could overwrite the counter
/// of a checkpoint in between. The rows then counted as unsaved although all of them were saved.
#[test]
fn what_is_counted_is_what_is_unsaved_at_every_moment() {
    const ENTRIES: u64 = 1000;
    let dir = directory();
    let log = Log::open_inline(&dir, LogOptions::default()).unwrap();
    let options = StateOptions { checkpoint_bytes: 1, ..OPTIONS };
    let state = State::open(&dir, options, log).unwrap();
    let applying = AtomicBool::new(true);
    let (mut looks, mut full) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for revision in 1..=ENTRIES {
                apply(&state, revision);
            }
            applying.store(false, Ordering::Relaxed);
        });
        while applying.load(Ordering::Relaxed) {
            let head = state.shared().head.lock();
            let unsaved = head.layers.active.read().bytes();
            assert_eq!(counted(&state), unsaved);
            looks += 1;
            full += u64::from(unsaved > 0);
        }
    });
    assert!(looks > 100 && full > 0, "{looks} looks, {full} of them at unsaved rows");
}

/// The disk takes its time: one checkpoint is under way, and nobody takes what is applied since.
#[test]
fn apply_waits_while_too_much_is_unsaved_and_goes_on_after_a_checkpoint() {
    let dir = directory();
    let log = Log::open_inline(&dir, LogOptions::default()).unwrap();
    let options = StateOptions { checkpoint_bytes: 1, ..OPTIONS };
    let state = State::open(&dir, options, log).unwrap();
    // A checkpoint begins with this lock.
    let saving = state.shared().saved.lock();
    assert!(state.has_room());
    apply(&state, 1);
    assert!(!state.has_room(), "{} bytes are unsaved", counted(&state));
    let (applied, waited) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            apply(&state, 2);
            applied.send(()).unwrap();
        });
        let early = waited.recv_timeout(Duration::from_millis(300));
        assert!(early.is_err(), "apply went on with a full backlog");
        assert_eq!(state.applied().revision, Some(Revision::new(1)));
        drop(saving);
        waited.recv_timeout(DEADLINE).expect("apply goes on when there is room");
    });
    assert_eq!(state.checkpoint().unwrap().revision, Some(Revision::new(2)));
    assert!(state.has_room());
}

/// Entries that make a product with stock, and then order and cancel in turn, all on its pool.
fn orders(revisions: std::ops::Range<u64>) -> impl Iterator<Item = Committed> {
    revisions.map(|revision| {
        let stamp = Stamp { revision: Revision::new(revision), now: Millis::new(0) };
        let customer = UserId::new(u128::from(revision / 2));
        let actor = Actor::User { id: customer, role: Role::Customer };
        let id = OrderId::new(u128::from(revision / 2));
        let target = PoolId::Product(ProductId::new(1));
        let action = if revision % 2 == 0 {
            let lines = vec![WantedLine { target, quantity: 1 }];
            Action::OrderCreate(OrderCreate { id, lines, address: None, expected_total: None })
        } else {
            Action::OrderCancel(OrderCancel { id })
        };
        Committed { stamp, command: Some(Command { actor, receipt: None, action }) }
    })
}

/// The most earlier versions of one row: of the pool, that every entry writes.
fn older(state: &State) -> usize {
    let head = state.shared().head.lock();
    let active = head.layers.active.read();
    active.older().max().unwrap_or(0)
}

/// Notes of keys that were added or removed, for readers that began before.
fn live_notes(state: &State) -> usize {
    state.shared().head.lock().layers.live.read().noted()
}

/// Every entry writes the pool, and puts an order into indexes in memory or takes it out.
#[test]
fn earlier_versions_are_kept_only_while_somebody_can_ask_for_them() {
    let dir = directory();
    let log = Log::open_inline(&dir, LogOptions::default()).unwrap();
    let state = State::open_inline(&dir, OPTIONS, log).unwrap();
    apply(&state, 1);
    let apply_each = |revisions: std::ops::Range<u64>| {
        for entry in orders(revisions) {
            let revision = entry.stamp.revision;
            state.apply(&[entry], Bytes::from(revision.to_string())).unwrap();
        }
    };
    apply_each(2..1002);
    assert_eq!(older(&state), 1, "without a reader: the published version");
    assert!(live_notes(&state) < 20, "{} notes without a reader", live_notes(&state));
    let view = state.view().unwrap();
    let pool = view.get::<Pool>(PoolId::Product(ProductId::new(1)));
    apply_each(1002..2002);
    assert!(older(&state) > 900, "{} versions under a reader", older(&state));
    assert!(live_notes(&state) > 900, "{} notes under a reader", live_notes(&state));
    assert_eq!(view.get::<Pool>(PoolId::Product(ProductId::new(1))), pool);
    drop(view);
    apply_each(2002..2004);
    assert_eq!(older(&state), 1, "after the reader");
    assert!(live_notes(&state) < 20, "{} notes after the reader", live_notes(&state));
    // One call with many entries: nobody can ask for what is between its ends.
    state.apply(&orders(2004..3004).collect::<Vec<_>>(), Bytes::new()).unwrap();
    assert_eq!(older(&state), 1, "in one call");
}

/// Story: apply failed in the middle of a call, while a checkpoint waited for its rows. That would
/// have saved half a call without Raft's place in the log: the node could not have started again.
#[test]
fn a_checkpoint_saves_nothing_of_a_call_that_failed() {
    let dir = directory();
    let log = Log::open_inline(&dir, LogOptions::default()).unwrap();
    let state = State::open_inline(&dir, OPTIONS, log).unwrap();
    let result = state.apply(&[product(1), product(1)], Bytes::from_static(b"meta"));
    assert!(matches!(result, Err(Error::Invariant(_))), "{result:?}");
    // It had looked whether all is well before apply failed.
    let mut saved = state.shared().saved.lock();
    let result = state.shared().save(&mut saved);
    assert!(matches!(result, Err(Error::Invariant(_))), "{result:?}");
    let meta = load_meta(&saved.db, &state.shared().path).unwrap();
    assert_eq!(meta.revision, None);
}

/// Story: apply had checked that the state was not poisoned, but was not waiting yet. It missed the
/// notification and waited until the node stopped.
#[test]
fn a_failure_between_the_check_and_the_wait_wakes_the_waiting_apply() {
    let dir = directory();
    let log = Log::open_inline(&dir, LogOptions::default()).unwrap();
    let state = State::open_inline(&dir, OPTIONS, log).unwrap();
    let shared = state.shared();
    std::thread::scope(|scope| {
        let mut wake = shared.wake.lock();
        assert!(shared.check().is_ok());
        let failing = scope.spawn(|| shared.fail(Error::Invariant("a test".into())));
        while shared.check().is_ok() {
            std::thread::yield_now();
        }
        // A notification without the lock would be sent about now, before anybody waits.
        for _ in 0..1000 {
            if failing.is_finished() {
                break;
            }
            std::thread::yield_now();
        }
        assert!(!shared.taken.wait_for(&mut wake, DEADLINE).timed_out(), "nobody woke it");
    });
}

/// Story: a start decoded the whole journal for its receipts, though retention had dropped those of
/// all but the last day.
#[test]
fn a_start_does_not_read_the_journal_behind_the_mark_of_receipts() {
    let dir = directory();
    let log = Log::open_inline(&dir, LogOptions::default()).unwrap();
    let open = || State::open_inline(&dir, OPTIONS, log.clone());
    let state = open().unwrap();
    apply(&state, 1);
    apply(&state, 2);
    state.checkpoint().unwrap();
    drop(state);
    let path = dir.locked().file(STATE_FILE);
    let put = |table: TableId, key: Key, bytes: &[u8]| {
        let handle = dir.locked().disk.open(&path).unwrap();
        let db = file::open(Backend(handle), &path, OPTIONS.cache_bytes).unwrap();
        let txn = db.begin_write().unwrap();
        let definition = table::find(table).unwrap().definition();
        txn.open_table(definition).unwrap().insert(key.as_slice(), bytes).unwrap();
        txn.commit().unwrap();
    };
    let journal = |revision: u64| Key::of(&Revision::new(revision));
    let mark = |revision: u64| {
        let retention = Retention { receipts: Revision::new(revision), ..Retention::default() };
        codec::encode_at(&retention, Level::FIRST)
    };
    // Rows that cannot be decoded show which rows are read.
    put(Journal::TABLE, journal(1), &[]);
    assert!(matches!(open().map(drop), Err(Error::Corrupt { .. })), "without a mark, all are read");
    put(Retention::TABLE, Key::EMPTY, &mark(1));
    drop(open().unwrap());
    put(Journal::TABLE, journal(2), &[]);
    assert!(matches!(open().map(drop), Err(Error::Corrupt { .. })), "it is not behind the mark");
}

/// An index with more keys than are held in memory is made in several passes, packed or not.
#[test]
fn an_index_of_many_keys_is_the_same_as_one_of_few() {
    let dir = directory();
    let log = Log::open_inline(&dir, LogOptions::default()).unwrap();
    let state = State::open_inline(&dir, OPTIONS, log).unwrap();
    for revision in 1..=20 {
        apply(&state, revision);
    }
    state.apply(&orders(22..80).collect::<Vec<_>>(), Bytes::new()).unwrap();
    state.checkpoint().unwrap();
    let (shared, saved) = (state.shared(), state.shared().saved.lock());
    let keys = |index: table::Table| {
        let layers = Layers::over(Base::open(&saved.db, &shared.path).unwrap());
        let (all, up) = (Bound::Unbounded, crate::range::Direction::Up);
        let mut scan = layers.scan(index, all, all, up, NEWEST).unwrap();
        std::iter::from_fn(|| scan.next_row().unwrap()).map(|(key, _)| key).collect::<Vec<_>>()
    };
    for index in [ProductsByName::TABLE, OrdersByPool::TABLE] {
        let index = table::find(index).unwrap();
        let before = keys(index);
        assert!(before.len() >= 20, "{}", before.len());
        for keys_max in [1, 7, before.len() - 1, before.len()] {
            let layers = Layers::over(Base::open(&saved.db, &shared.path).unwrap());
            let txn = crate::stored::begin_durable(&saved.db, &shared.path).unwrap();
            txn.delete_table(index.definition()).unwrap();
            indexes::make(&layers, &txn, index, keys_max).unwrap();
            txn.commit().unwrap();
            assert_eq!(keys(index), before, "{} by {keys_max}", index.name);
        }
    }
}
