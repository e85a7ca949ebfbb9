//! A state whose disk fails: it says so, once to the hook and then to everybody.

use std::sync::Arc;
use std::sync::mpsc;

use firstcome_storage::disk::sim::SimDisk;
use firstcome_storage::{DataDir, Error, Log, State, StateOptions};

use crate::apply::Store;
use crate::shop::{LOG, STATE, Stream, file, identity, meta, refused, sim_path};

#[test]
fn a_failed_checkpoint_poisons_the_state() {
    let mut stream = Stream::new(1);
    let store = Store::new();
    for _ in 0..30 {
        store.apply(&stream.entry());
    }
    let (sender, receiver) = mpsc::channel();
    store.state.on_failure(Box::new(move |error| {
        sender.send(error.to_string()).unwrap_or_default();
    }));
    store.disk.fail_call(store.disk.calls() + 3, 28);
    refused(store.state.checkpoint(), "code: 28");
    assert!(receiver.try_recv().unwrap().contains("state.redb"));
    refused(store.state.read(|_| ()), "code: 28");
    refused(store.state.apply(&[stream.entry()], meta(31)), "code: 28");
    refused(store.state.checkpoint(), "code: 28");
    refused(store.state.snapshot().map(drop), "code: 28");
    refused(store.state.receive().map(drop), "code: 28");
    assert!(receiver.try_recv().is_err(), "the hook is called once");
}

/// The checkpoint thread fails on its own time; the hook hears of it without anybody asking.
#[test]
fn the_hook_hears_of_a_failure_in_the_background() {
    let disk = SimDisk::new();
    let dir = DataDir::create_on(Arc::new(disk.clone()), &sim_path(), &identity()).unwrap();
    let log = Log::open_inline(&dir, LOG).unwrap();
    let options = StateOptions { checkpoint_bytes: 1, ..STATE };
    let state = State::open(&dir, options, log).unwrap();
    let (sender, receiver) = mpsc::channel();
    state.on_failure(Box::new(move |_| sender.send(()).unwrap_or_default()));
    disk.fail_call(disk.calls() + 3, 5);
    let mut stream = Stream::new(1);
    let mut outcome = Ok(Vec::new());
    for revision in 1..50 {
        outcome = state.apply(&[stream.entry()], meta(revision));
        if outcome.is_err() {
            break;
        }
    }
    receiver.recv().unwrap();
    if outcome.is_ok() {
        outcome = state.apply(&[stream.entry()], meta(50));
    }
    refused(outcome, "code: 5");
    refused(state.close(), "code: 5");
}

/// Damage below a read is an error, and never an outcome.
#[test]
fn a_damaged_row_stops_apply_before_it_answers() {
    use redb::{ReadableDatabase, ReadableTable, TableDefinition};
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("n7");
    let mut stream = Stream::new(2);
    let entries: Vec<_> = (0..80).map(|_| stream.entry()).collect();
    {
        let dir = DataDir::create(&path, &identity()).unwrap();
        let log = Log::open_inline(&dir, LOG).unwrap();
        let state = State::open_inline(&dir, STATE, log).unwrap();
        state.apply(&entries, meta(80)).unwrap();
        state.close().unwrap();
    }
    let pools: TableDefinition<&[u8], &[u8]> = TableDefinition::new("pools");
    let db = redb::Database::open(path.join("state.redb")).unwrap();
    let keys: Vec<Vec<u8>> = {
        let table = db.begin_read().unwrap().open_table(pools).unwrap();
        table.iter().unwrap().map(|row| row.unwrap().0.value().to_vec()).collect()
    };
    let txn = db.begin_write().unwrap();
    for key in &keys {
        txn.open_table(pools).unwrap().insert(key.as_slice(), [1, 2].as_slice()).unwrap();
    }
    txn.commit().unwrap();
    drop(db);
    let dir = DataDir::open(&path).unwrap();
    let log = Log::open_inline(&dir, LOG).unwrap();
    let state = State::open_inline(&dir, STATE, log).unwrap();
    let mut stopped = false;
    for _ in 0..200 {
        let entry = stream.entry();
        let revision = entry.stamp.revision.get();
        if let Err(error) = state.apply(&[entry], meta(revision)) {
            assert!(error.to_string().contains("pools"), "{error}");
            stopped = true;
            break;
        }
    }
    assert!(stopped, "no command read a pool");
    refused(state.read(|_| ()), "pools");
}

/// A callback that panics takes the log thread with it; nobody may wait forever for it.
#[test]
fn a_dead_log_thread_is_an_error_not_a_hang() {
    let disk = SimDisk::new();
    let dir = DataDir::create_on(Arc::new(disk), &sim_path(), &identity()).unwrap();
    let log = Log::open(&dir, LOG).unwrap();
    log.append(crate::shop::entries(0..3, 1), Box::new(|_| panic!("a bug in a callback")));
    let (vote, voted) = crate::shop::done();
    log.save_vote(bytes::Bytes::from_static(b"vote"), vote);
    // Either it was committed together with the append, whose callback then took the thread.
    assert!(voted.recv().is_err() || log.wait_durable().is_err());
    while log.wait_durable().is_ok() {
        std::thread::yield_now();
    }
    assert!(log.read(0..1, 1).is_err());
}

/// Story: redb asserts that pages agree, also while it writes. A node whose pages were flipped
/// ended as if by a bug of ours (70) and not as damaged (65), because only opening and deciding
/// were guarded (found by flipping bits under load). Here they are flipped right after
/// the directory was checked.
///
/// Where the pages are hit that say which others are free, redb 4.6 may panic a second time while
/// it unwinds, which ends the process. Nothing can catch that; this stream does not bring it about.
#[test]
fn pages_that_contradict_each_other_are_damage_also_when_they_are_written() {
    let (mut refused, mut kept) = (0, 0);
    for seed in 0..40 {
        let mut stream = Stream::new(34);
        let store = Store::new();
        for _ in 0..300 {
            store.apply(&stream.entry());
        }
        store.state.checkpoint().unwrap();
        let disk = store.disk.copy();
        drop(store);
        let dir = DataDir::open_on(Arc::new(disk.clone()), &sim_path()).unwrap();
        let mut places = Stream::new(seed);
        disk.damage(&file("state.redb"), |bytes| {
            for _ in 0..24 {
                let place = usize::try_from(places.below(bytes.len() as u64)).unwrap();
                bytes[place] ^= 1 << places.below(8);
            }
        })
        .unwrap();
        match go_on(&dir, &mut stream) {
            Ok(()) => kept += 1,
            // Rows that decode, and are not the rows that were written, may break a rule first.
            Err(Error::Corrupt { .. } | Error::Invariant(_)) => refused += 1,
            // A version byte was hit: only the checksum of its page could tell.
            Err(Error::Foreign { detail, .. }) if detail.contains(", version ") => refused += 1,
            Err(other) => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(refused > 10 && kept > 0, "{refused} refused, {kept} went on");
}

/// Opens the files, applies more than a checkpoint has to change, and makes it.
fn go_on(dir: &DataDir, stream: &mut Stream) -> Result<(), Error> {
    let log = Log::open_inline(dir, LOG)?;
    let state = State::open_inline(dir, STATE, log)?;
    for revision in 301..400 {
        state.apply(&[stream.entry()], meta(revision))?;
    }
    state.checkpoint().map(drop)
}
