//! The log: order, truncation, purging, reading back, and what is durable when.

use std::sync::Arc;

use bytes::Bytes;
use firstcome_storage::disk::sim::{Policy, SimDisk};
use firstcome_storage::log::Mark;
use firstcome_storage::{DataDir, Log, LogOptions};

use crate::shop::{LOG, done, entries, entry, identity, sim_path};

fn directory() -> (SimDisk, DataDir) {
    let disk = SimDisk::new();
    let dir = DataDir::create_on(Arc::new(disk.clone()), &sim_path(), &identity()).unwrap();
    (disk, dir)
}

fn reopened(log: Log, dir: DataDir) -> (DataDir, Log) {
    log.close();
    let path = dir.path().to_owned();
    drop((log, dir));
    let dir = DataDir::open(&path).unwrap();
    let log = Log::open(&dir, LOG).unwrap();
    (dir, log)
}

fn mark(index: u64) -> Mark {
    Mark { index, bytes: Bytes::from(format!("purged {index}")) }
}

#[test]
fn a_new_log_is_empty() {
    let home = tempfile::tempdir().unwrap();
    let dir = DataDir::create(&home.path().join("n7"), &identity()).unwrap();
    let log = Log::open(&dir, LOG).unwrap();
    let (dir, log) = reopened(log, dir);
    assert_eq!(dir.identity(), &identity());
    assert_eq!(log.last_index(), None);
    assert_eq!((log.purged(), log.vote(), log.committed()), (None, None, None));
    assert_eq!(log.read(0..10, 1000).unwrap(), vec![]);
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let dir = DataDir::create(&home.path().join("n7"), &identity()).unwrap();
    let log = Log::open(&dir, LOG).unwrap();
    let (append, appended) = done();
    let (vote, voted) = done();
    log.append(entries(0..40, 1), append);
    assert_eq!(log.read(0..40, usize::MAX).unwrap(), entries(0..40, 1), "readable at once");
    log.save_committed(Bytes::from_static(b"committed 39"));
    log.save_vote(Bytes::from_static(b"vote of term 1"), vote);
    appended.recv().unwrap().unwrap();
    voted.recv().unwrap().unwrap();
    assert_eq!(log.vote().as_deref(), Some(b"vote of term 1".as_slice()));
    let (append, appended) = done();
    log.append(entries(40..100, 1), append);
    appended.recv().unwrap().unwrap();
    let stats = log.stats();
    assert_eq!(stats.entries, 100);
    assert!(stats.commits >= 2 && stats.bytes > 0, "{stats:?}");

    let (_dir, log) = reopened(log, dir);
    assert_eq!(log.last_index(), Some(99));
    assert_eq!(log.vote().as_deref(), Some(b"vote of term 1".as_slice()));
    assert_eq!(log.committed().as_deref(), Some(b"committed 39".as_slice()));
    assert_eq!(log.read(0..1000, usize::MAX).unwrap(), entries(0..100, 1));
    assert_eq!(log.read(37..43, usize::MAX).unwrap(), entries(37..43, 1));
}

#[test]
fn reads_stop_at_their_byte_limit_but_give_at_least_one() {
    let (_disk, dir) = directory();
    let log = Log::open_inline(&dir, LOG).unwrap();
    log.append(entries(0..50, 1), done().0);
    let size = entry(0, 1).bytes.len();
    assert_eq!(log.read(0..50, 0).unwrap().len(), 1);
    assert_eq!(log.read(3..50, size * 2).unwrap(), entries(3..5, 1));
    assert_eq!(log.read(49..50, 1).unwrap(), entries(49..50, 1));
    // Across the border between the file and the memory.
    let all = log.read(0..50, usize::MAX).unwrap();
    assert_eq!(all, entries(0..50, 1));
}

#[test]
fn truncation_cuts_rows_apart_and_the_log_goes_on() {
    let (disk, dir) = directory();
    let log = Log::open_inline(&dir, LOG).unwrap();
    log.append(entries(0..20, 1), done().0);
    log.append(entries(20..40, 1), done().0);
    log.truncate_after(Some(29), done().0);
    assert_eq!(log.last_index(), Some(29));
    log.append(entries(30..33, 2), done().0);
    log.truncate_after(Some(31), done().0);
    log.append(entries(32..35, 3), done().0);
    let expected = [entries(0..30, 1), entries(30..32, 2), entries(32..35, 3)].concat();
    assert_eq!(log.read(0..100, usize::MAX).unwrap(), expected);
    drop((log, dir));
    let dir = DataDir::open_on(Arc::new(disk), &sim_path()).unwrap();
    let log = Log::open_inline(&dir, LOG).unwrap();
    assert_eq!(log.read(0..100, usize::MAX).unwrap(), expected);
    assert_eq!(log.last_index(), Some(34));
    log.truncate_after(None, done().0);
    assert_eq!(log.last_index(), None);
    log.append(entries(0..2, 4), done().0);
    assert_eq!(log.read(0..9, usize::MAX).unwrap(), entries(0..2, 4));
}

#[test]
fn truncated_entries_are_never_read_again_before_the_commit() {
    let (_disk, dir) = directory();
    let log = Log::open_on_demand(&dir, LOG).unwrap();
    log.append(entries(0..20, 1), done().0);
    log.work();
    // The file still holds term 1; readers must not see it.
    log.truncate_after(Some(9), done().0);
    assert_eq!(log.read(0..20, usize::MAX).unwrap(), entries(0..10, 1));
    log.append(entries(10..30, 2), done().0);
    let expected = [entries(0..10, 1), entries(10..30, 2)].concat();
    assert_eq!(log.read(0..30, usize::MAX).unwrap(), expected);
    log.wait_durable().unwrap();
    assert_eq!(log.read(0..30, usize::MAX).unwrap(), expected);
}

#[test]
fn purging_keeps_what_follows_and_may_run_ahead_of_the_log() {
    let (disk, dir) = directory();
    let log = Log::open_inline(&dir, LOG).unwrap();
    for start in (0..100).step_by(10) {
        log.append(entries(start..start + 10, 1), done().0);
    }
    log.purge(mark(54), done().0);
    assert_eq!(log.purged(), Some(mark(54)));
    assert_eq!(log.read(0..57, usize::MAX).unwrap(), entries(55..57, 1));
    // An older mark changes nothing.
    log.purge(mark(20), done().0);
    assert_eq!(log.purged(), Some(mark(54)));
    // A snapshot that is ahead of the log.
    log.purge(mark(200), done().0);
    assert_eq!(log.last_index(), Some(200));
    assert_eq!(log.read(0..300, usize::MAX).unwrap(), vec![]);
    log.append(entries(201..205, 2), done().0);
    drop((log, dir));
    let dir = DataDir::open_on(Arc::new(disk), &sim_path()).unwrap();
    let log = Log::open_inline(&dir, LOG).unwrap();
    assert_eq!(log.purged(), Some(mark(200)));
    assert_eq!(log.last_index(), Some(204));
    assert_eq!(log.read(0..300, usize::MAX).unwrap(), entries(201..205, 2));
}

#[test]
fn a_purge_of_many_rows_goes_on_between_appends() {
    let (disk, dir) = directory();
    let log = Log::open_inline(&dir, LogOptions { cache_bytes: 0 }).unwrap();
    // One row each, because one commit each.
    let big = |index| firstcome_storage::log::Entry { index, bytes: vec![3; 200].into() };
    for index in 0..5000 {
        log.append(vec![big(index)], done().0);
        if index % 1000 == 0 {
            log.purge(mark(index), done().0);
        }
    }
    log.purge(mark(4998), done().0);
    assert_eq!(log.read(0..9999, usize::MAX).unwrap(), vec![big(4999)]);
    drop((log, dir));
    let dir = DataDir::open_on(Arc::new(disk), &sim_path()).unwrap();
    let log = Log::open_inline(&dir, LOG).unwrap();
    assert_eq!(log.read(0..9999, usize::MAX).unwrap(), vec![big(4999)]);
}

#[test]
fn a_gap_or_an_overlap_is_refused_and_changes_nothing() {
    let (_disk, dir) = directory();
    let log = Log::open_inline(&dir, LOG).unwrap();
    log.append(entries(0..5, 1), done().0);
    for wrong in [4, 6] {
        let (append, appended) = done();
        log.append(entries(wrong..wrong + 2, 1), append);
        assert!(appended.recv().unwrap().is_err());
    }
    assert_eq!(log.last_index(), Some(4));
    let (append, appended) = done();
    log.append(entries(5..6, 1), append);
    appended.recv().unwrap().unwrap();
}

/// Red if the callback runs before the commit: the crash drops whatever was not synced by then.
#[test]
fn acknowledged_entries_survive_losing_unsynced_writes() {
    let (disk, dir) = directory();
    let log = Log::open_inline(&dir, LOG).unwrap();
    let acknowledged = Arc::new(parking_lot::Mutex::new(Vec::new()));
    for index in 0..20 {
        let (disk, acknowledged) = (disk.clone(), Arc::clone(&acknowledged));
        let note = move |result: std::io::Result<()>| {
            result.unwrap();
            // The power goes the moment the caller hears of it.
            acknowledged.lock().push((index, disk.journal_len()));
        };
        log.append(entries(index..index + 1, 1), Box::new(note));
    }
    let acknowledged = acknowledged.lock().clone();
    assert_eq!(acknowledged.len(), 20);
    let mut point = disk.crash_points();
    for (index, at) in acknowledged {
        while point.at() < at && point.step() {}
        let lost = point.crash(Policy::DropUnsynced);
        let dir = DataDir::open_on(Arc::new(lost), &sim_path()).unwrap();
        let log = Log::open_inline(&dir, LOG).unwrap();
        assert_eq!(log.read(0..99, usize::MAX).unwrap(), entries(0..index + 1, 1));
    }
}

#[test]
fn unsynced_entries_are_really_lost_on_the_simulated_disk() {
    let (disk, dir) = directory();
    let log = Log::open_on_demand(&dir, LOG).unwrap();
    let (append, appended) = done();
    log.append(entries(0..5, 1), append);
    assert!(appended.try_recv().is_err(), "nothing was written yet");
    let mut point = disk.crash_points();
    while point.step() {}
    let lost = point.crash(Policy::KeepAll);
    let dir = DataDir::open_on(Arc::new(lost), &sim_path()).unwrap();
    assert_eq!(Log::open_inline(&dir, LOG).unwrap().last_index(), None);
}

#[test]
fn after_an_error_everything_fails() {
    let (disk, dir) = directory();
    let log = Log::open_inline(&dir, LOG).unwrap();
    log.append(entries(0..5, 1), done().0);
    disk.fail_call(disk.calls() + 1, 5);
    let (append, appended) = done();
    log.append(entries(5..6, 1), append);
    assert_eq!(appended.recv().unwrap().unwrap_err().raw_os_error(), Some(5));
    let (vote, voted) = done();
    log.save_vote(Bytes::from_static(b"later"), vote);
    assert!(voted.recv().unwrap().is_err());
    assert!(log.wait_durable().is_err());
    assert!(log.read(0..1, 1).is_err());
    assert_eq!(log.vote(), None);
}
