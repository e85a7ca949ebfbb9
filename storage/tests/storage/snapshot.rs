//! Snapshots: what arrives is what was sent, or nothing.

use firstcome_storage::snapshot::{SnapshotReader, SnapshotWriter};
use firstcome_storage::{DataDir, Log, State};

use crate::apply::Store;
use crate::contents::contents;
use crate::shop::{LOG, STATE, Stream, committed, create_product, file, identity, meta, refused};

fn filled(seed: u64, entries: usize) -> Store {
    let mut stream = Stream::new(seed);
    let store = Store::new();
    for _ in 0..entries {
        store.apply(&stream.entry());
    }
    store
}

pub(crate) fn chunks(mut reader: SnapshotReader) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        assert!(chunk.len() < 1100 * 1024);
        chunks.push(chunk.to_vec());
    }
    chunks
}

fn received(state: &State, chunks: &[Vec<u8>]) -> SnapshotWriter {
    let mut writer = state.receive().unwrap();
    for chunk in chunks {
        writer.write_chunk(chunk).unwrap();
    }
    writer
}

/// Sends a snapshot of one state to another.
pub(crate) fn copy_to(from: &State, to: &State) {
    let chunks = chunks(from.snapshot().unwrap());
    to.install(received(to, &chunks)).unwrap();
}

#[test]
fn an_installed_snapshot_is_the_sender_to_the_last_row() {
    let sender = filled(3, 400);
    let mut receiver = filled(4, 30);
    let reader = sender.state.snapshot().unwrap();
    let applied = reader.applied().clone();
    assert_eq!(applied, sender.state.applied());
    let chunks = chunks(reader);
    let writer = received(&receiver.state, &chunks);
    assert_eq!(receiver.state.install(writer).unwrap(), applied);
    assert_eq!(receiver.state.applied(), applied);
    assert_eq!(receiver.state.checkpointed(), applied);
    assert_eq!(contents(&receiver.state), contents(&sender.state));
    assert_eq!(receiver.state.row_counts(), sender.state.row_counts());
    receiver = receiver.reopened();
    assert_eq!(receiver.state.applied(), applied);
    assert_eq!(contents(&receiver.state), contents(&sender.state));
    // Both go on alike.
    let entry = committed(401, 0, Some(create_product(8, 9)));
    sender.apply(&entry);
    receiver.apply(&entry);
    assert_eq!(receiver.state.applied(), sender.state.applied());
    receiver.state.checkpoint().unwrap();
    assert_eq!(contents(&receiver.reopened().state), contents(&sender.state));
}

/// The rows may be the same to the last byte, and the way to them lost: the receiver would then
/// decide a repeated request a second time, and no hash would tell before that.
#[test]
fn a_used_key_is_known_after_a_snapshot() {
    let mut stream = Stream::new(3);
    let sender = Store::new();
    for _ in 0..400 {
        sender.apply(&stream.entry());
    }
    let receiver = Store::new();
    let writer = received(&receiver.state, &chunks(sender.state.snapshot().unwrap()));
    receiver.state.install(writer).unwrap();
    let mut replayed = 0;
    for _ in 0..200 {
        let entry = stream.entry();
        let decide = |store: &Store| {
            let revision = entry.stamp.revision.get();
            store.state.apply(std::slice::from_ref(&entry), meta(revision)).unwrap()
        };
        let decided = decide(&sender);
        replayed += decided.iter().filter(|decided| decided.replayed).count();
        assert_eq!(decide(&receiver), decided, "entry {}", entry.stamp.revision);
        assert_eq!(receiver.state.applied(), sender.state.applied());
    }
    assert!(replayed > 10, "{replayed} replays");
}

#[test]
fn a_snapshot_stays_as_it_was_while_the_sender_goes_on() {
    let sender = filled(3, 200);
    let expected = contents(&sender.state);
    let reader = sender.state.snapshot().unwrap();
    for n in 0..50 {
        sender.apply(&committed(1000 + n, 0, Some(create_product(u128::from(n) % 9, 9))));
        sender.state.checkpoint().unwrap();
    }
    let receiver = Store::new();
    let writer = received(&receiver.state, &chunks(reader));
    receiver.state.install(writer).unwrap();
    assert_eq!(contents(&receiver.state), expected);
}

#[test]
fn large_states_come_in_many_chunks() {
    let sender = Store::new();
    let note = "n".repeat(5000);
    for n in 0..600 {
        let mut command = create_product(10 + u128::from(n), 1);
        if let firstcome_domain::command::Action::ProductCreate(ask) = &mut command.action {
            ask.description = Some(note.clone());
        }
        sender.apply(&committed(n + 1, 0, Some(command)));
    }
    let chunks = chunks(sender.state.snapshot().unwrap());
    assert!(chunks.len() > 2, "{} chunks", chunks.len());
    let receiver = Store::new();
    let writer = received(&receiver.state, &chunks);
    receiver.state.install(writer).unwrap();
    assert_eq!(receiver.state.applied(), sender.state.applied());
}

#[test]
fn a_changed_missing_or_repeated_chunk_is_refused() {
    let sender = filled(3, 300);
    let sent = chunks(sender.state.snapshot().unwrap());
    let receiver = filled(4, 30);
    let before = contents(&receiver.state);
    // Every byte counts; a prime stride visits all kinds of places.
    for place in (0..sent[0].len()).step_by(997) {
        let mut chunk = sent[0].clone();
        chunk[place] ^= 0x10;
        refused(receiver.state.receive().unwrap().write_chunk(&chunk), "Corrupt");
    }
    let mut writer = receiver.state.receive().unwrap();
    refused(writer.write_chunk(&[]), "cut short");
    refused(writer.write_chunk(&sent[0][..sent[0].len() - 1]), "checksum");
    drop(writer);
    let writer = receiver.state.receive().unwrap();
    refused(receiver.state.install(writer), "not complete");
    let mut writer = received(&receiver.state, &sent);
    refused(writer.write_chunk(&sent[0]), "out of order");
    drop(writer);
    assert_eq!(contents(&receiver.state), before);
    receiver.state.checkpoint().unwrap();
    assert_eq!(contents(&receiver.reopened().state), before);
}

#[test]
fn a_snapshot_behind_the_state_is_refused() {
    let sender = filled(3, 20);
    let receiver = filled(4, 30);
    let writer = received(&receiver.state, &chunks(sender.state.snapshot().unwrap()));
    refused(receiver.state.install(writer), "cannot replace");
    // It was a refusal, not a failure.
    receiver.apply(&committed(31, 0, None));
    assert_eq!(receiver.state.applied().meta, meta(31));
}

#[test]
fn a_half_received_snapshot_is_deleted_at_start() {
    let sender = filled(3, 100);
    let receiver = filled(4, 30);
    let writer = received(&receiver.state, &chunks(sender.state.snapshot().unwrap()));
    let given_up = receiver.state.receive().unwrap();
    assert!(receiver.disk.bytes_of(&file("state.new.1.redb")).is_ok());
    drop(given_up);
    assert!(receiver.disk.bytes_of(&file("state.new.1.redb")).is_err());
    drop(writer);
    // As if the process had died while receiving.
    drop(firstcome_storage::disk::Disk::create(&receiver.disk, &file("state.new.0.redb")).unwrap());
    receiver.state.checkpoint().unwrap();
    let applied = receiver.state.applied();
    let receiver = receiver.reopened();
    assert!(receiver.disk.bytes_of(&file("state.new.0.redb")).is_err());
    assert_eq!(receiver.state.applied(), applied);
}

/// Two leaders sent at once: the stream that was given up must not touch the installed file. On
/// real files, where making a file again empties the one that is there.
#[test]
fn a_given_up_receiver_leaves_the_installed_state_alone() {
    let (first, second) = (filled(3, 100), filled(5, 300));
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("n7");
    let dir = DataDir::create(&path, &identity()).unwrap();
    let log = Log::open_inline(&dir, LOG).unwrap();
    let state = State::open_inline(&dir, STATE, log.clone()).unwrap();
    let stuck = received(&state, &chunks(first.state.snapshot().unwrap())[..1]);
    state.install(received(&state, &chunks(second.state.snapshot().unwrap()))).unwrap();
    drop(stuck);
    assert_eq!(contents(&state), contents(&second.state));
    drop((state, log, dir));
    let dir = DataDir::open(&path).unwrap();
    let log = Log::open_inline(&dir, LOG).unwrap();
    let state = State::open_inline(&dir, STATE, log).unwrap();
    assert_eq!(contents(&state), contents(&second.state));
}
