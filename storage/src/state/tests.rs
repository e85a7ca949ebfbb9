//! The backlog: what is counted is what is unsaved, and apply waits only while that is too much.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use firstcome_domain::command::{Action, Actor, ProductCreate, Role};
use firstcome_domain::value::{Currency, Money};
use firstcome_domain::{ProductId, UserId};

use super::*;
use crate::dir::IdentityState;
use crate::disk::sim::SimDisk;
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
        stock: 1,
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
/// that had nothing to do (issue 2).
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

/// Story: apply wrote the counter after it had let the rows go, so a checkpoint in between was
/// overwritten: its rows were counted for ever, and nothing was left to save (issue 2).
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
            let core = state.shared().core.read();
            assert_eq!(counted(&state), core.active.bytes());
            looks += 1;
            full += u64::from(core.active.bytes() > 0);
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
    // Held by whoever saves; without it no checkpoint begins.
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
