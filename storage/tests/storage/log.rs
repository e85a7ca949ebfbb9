//! The log: order, truncation, purging, reading back, and what is durable when.

use std::sync::Arc;

use bytes::Bytes;
use firstcome_storage::disk::sim::{Policy, SimDisk};
use firstcome_storage::log::{Entry, Mark};
use firstcome_storage::{DataDir, Log, LogOptions};

use crate::shop::{LOG, done, entries, entry, identity, refused, sim_path};

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
    let log = Log::open_inline(&dir, LogOptions { cache_bytes: 0, ..LOG }).unwrap();
    // One row each, because one commit each.
    let big = |index| Entry { index, bytes: vec![3; 200].into() };
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

/// Small files: some tens of entries each.
const SMALL: LogOptions = LogOptions { segment_bytes: 2048, ..LOG };

/// A log of several files that was not closed.
fn several_files() -> SimDisk {
    let (disk, dir) = directory();
    let log = Log::open_inline(&dir, SMALL).unwrap();
    for start in (0..200).step_by(4) {
        log.append(entries(start..start + 4, 1), done().0);
    }
    log.save_vote(Bytes::from_static(b"a vote"), done().0);
    disk.copy()
}

/// The files of the log, in order.
fn files(disk: &SimDisk) -> Vec<std::path::PathBuf> {
    let mut names = firstcome_storage::Disk::list(disk, &sim_path()).unwrap().unwrap();
    names.sort();
    let is_log = |name: &std::ffi::OsString| name.to_str().unwrap().starts_with("log.");
    names.into_iter().filter(is_log).map(|name| sim_path().join(name)).collect()
}

fn open(disk: &SimDisk) -> Result<DataDir, firstcome_storage::Error> {
    DataDir::open_on(Arc::new(disk.clone()), &sim_path())
}

/// A process that was killed, or that ended because of an error, may leave writes behind that the
/// next one reads although they are not on disk. What the next one shows is answered to others, and
/// must survive losing power.
#[test]
fn what_a_start_shows_is_on_disk() {
    let mut calls = 0;
    for is_sync_failed in [false, true] {
        for call in 1.. {
            let disk = directory().0.running();
            let dir = open(&disk).unwrap();
            let log = Log::open_inline(&dir, SMALL).unwrap();
            log.append(entries(0..20, 1), done().0);
            disk.fail_call(disk.calls() + call, 5);
            // Goes to a new file, so the old one gets its seal.
            log.append(entries(20..50, 1), done().0);
            if !disk.has_failed() {
                assert_eq!(files(&disk).len(), 2);
                break;
            }
            calls += 1;
            drop((log, dir));
            for goes_on in [false, true] {
                let told = format!("call {call}, {is_sync_failed}, {goes_on}");
                let disk = disk.hand_over();
                if is_sync_failed {
                    disk.lose_unsynced();
                }
                let dir = open(&disk).unwrap();
                let log = Log::open_inline(&dir, SMALL).unwrap();
                if goes_on {
                    let next = log.last_index().unwrap() + 1;
                    log.append(entries(next..next + 3, 2), done().0);
                }
                let shown = log.read(0..999, usize::MAX).unwrap();
                drop((log, dir));
                let found = disk.crash_now(Policy::DropUnsynced);
                let dir = open(&found).unwrap_or_else(|error| panic!("{told}: {error:?}"));
                let log = Log::open_inline(&dir, SMALL).unwrap();
                assert_eq!(log.read(0..999, usize::MAX).unwrap(), shown, "{told}");
            }
        }
    }
    assert!(calls >= 16, "{calls} calls");
}

#[test]
fn a_log_of_several_files_is_one_log() {
    let disk = several_files();
    let count = files(&disk).len();
    assert!(count > 5, "{count} files");
    let dir = open(&disk).unwrap();
    let log = Log::open_inline(&dir, LogOptions { cache_bytes: 0, ..SMALL }).unwrap();
    assert_eq!(log.read(0..999, usize::MAX).unwrap(), entries(0..200, 1));
    assert_eq!(log.read(97..103, usize::MAX).unwrap(), entries(97..103, 1));
    assert_eq!(log.read(50..60, 1).unwrap(), entries(50..51, 1));
    log.truncate_after(Some(101), done().0);
    log.append(entries(102..110, 2), done().0);
    let expected = [entries(0..102, 1), entries(102..110, 2)].concat();
    assert_eq!(log.read(0..999, usize::MAX).unwrap(), expected);
}

#[test]
fn purging_removes_whole_files_and_keeps_the_marks() {
    let disk = several_files();
    let before = files(&disk);
    let dir = open(&disk).unwrap();
    let log = Log::open_inline(&dir, SMALL).unwrap();
    log.purge(mark(119), done().0);
    let after = files(&disk);
    assert!(after.len() < before.len() / 2 + 2, "{after:?}");
    assert!(before.ends_with(&after), "only the oldest are gone: {after:?}");
    log.purge(mark(500), done().0);
    assert_eq!(files(&disk).len(), 1, "only the one that is written is left");
    drop((log, dir));
    let dir = open(&disk).unwrap();
    let log = Log::open_inline(&dir, SMALL).unwrap();
    assert_eq!((log.purged(), log.last_index()), (Some(mark(500)), Some(500)));
    assert_eq!(log.vote().as_deref(), Some(b"a vote".as_slice()));
    log.append(entries(501..503, 2), done().0);
    assert_eq!(log.read(0..999, usize::MAX).unwrap(), entries(501..503, 2));
}

#[test]
fn an_append_larger_than_a_file_gets_one_of_its_own() {
    let (disk, dir) = directory();
    let log = Log::open_inline(&dir, SMALL).unwrap();
    log.append(entries(0..500, 1), done().0);
    log.append(entries(500..501, 1), done().0);
    drop((log, dir));
    let dir = open(&disk).unwrap();
    let log = Log::open_inline(&dir, SMALL).unwrap();
    assert_eq!(log.read(0..999, usize::MAX).unwrap(), entries(0..501, 1));
}

#[test]
fn a_missing_file_of_the_log_is_noticed() {
    let whole = several_files();
    let count = files(&whole).len();
    for place in 0..count {
        let disk = whole.copy();
        firstcome_storage::Disk::remove(&disk, &files(&disk)[place]).unwrap();
        refused(open(&disk), "it is missing");
        let disk = whole.copy();
        disk.damage(&files(&disk)[place], Vec::clear).unwrap();
        refused(open(&disk), "the file is empty");
    }
}

/// Story: the files that were left held no entry, so nothing was missed between those that were
/// purged and the next one.
#[test]
fn a_missing_first_file_is_noticed_although_some_entries_were_purged() {
    let (disk, dir) = directory();
    let log = Log::open_inline(&dir, SMALL).unwrap();
    log.append(entries(0..3, 1), done().0);
    log.purge(mark(0), done().0);
    while files(&disk).len() < 3 {
        log.save_vote(Bytes::from_static(b"a vote, and another one"), done().0);
    }
    let whole = disk.copy();
    for count in 1..=2 {
        let disk = whole.copy();
        for path in &files(&disk)[..count] {
            firstcome_storage::Disk::remove(&disk, path).unwrap();
        }
        refused(open(&disk), "it is missing");
    }
    // Without these entries nobody needs that file.
    log.truncate_after(Some(0), done().0);
    log.append(entries(1..2, 2), done().0);
    drop((log, dir));
    let dir = open(&disk).unwrap();
    let log = Log::open_inline(&dir, SMALL).unwrap();
    assert_eq!(log.read(0..9, usize::MAX).unwrap(), entries(1..2, 2));
    log.purge(mark(1), done().0);
    drop((log, dir));
    let dir = open(&disk).unwrap();
    assert_eq!(files(&disk).len(), 1);
    assert_eq!(Log::open_inline(&dir, SMALL).unwrap().last_index(), Some(1));
}

#[test]
fn a_file_of_the_log_that_was_cut_short_is_noticed() {
    let disk = several_files();
    let last = files(&disk).pop().unwrap();
    let len = disk.bytes_of(&last).unwrap().len();
    for len in (0..len).step_by(97) {
        let disk = disk.copy();
        disk.damage(&last, |bytes| bytes.truncate(len)).unwrap();
        refused(open(&disk), "Corrupt");
    }
}

/// Frames that end where the file ended at that time: what comes behind them makes it longer.
#[test]
fn a_file_of_the_log_that_was_cut_between_frames_is_noticed() {
    const RESERVED: usize = 64 * 1024;
    let (disk, dir) = directory();
    let log = Log::open_inline(&dir, LogOptions::default()).unwrap();
    let end = || disk.bytes_of(&files(&disk)[0]).unwrap();
    let end = || end().iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(32);
    let entry = |index, len| vec![Entry { index, bytes: vec![7; len].into() }];
    // Header, record, length and the end of a frame take 50 bytes.
    log.append(entry(0, RESERVED - end() - 50), done().0);
    assert_eq!(end(), RESERVED);
    log.append(entry(1, 10), done().0);
    log.append(entry(2, 10), done().0);
    disk.damage(&files(&disk)[0], |bytes| bytes.truncate(RESERVED)).unwrap();
    drop((log, dir));
    refused(open(&disk), "the file was cut short");
}

/// Only the last write can be incomplete, and then whole sectors of it are.
#[test]
fn a_torn_frame_is_dropped_and_a_damaged_one_is_not() {
    let (disk, dir) = directory();
    let log = Log::open_inline(&dir, LOG).unwrap();
    log.append(entries(0..10, 1), done().0);
    let before = disk.bytes_of(&files(&disk)[0]).unwrap();
    log.append(entries(10..100, 1), done().0);
    let after = disk.bytes_of(&files(&disk)[0]).unwrap();
    let first = before.iter().zip(&after).position(|(a, b)| a != b).unwrap();
    let last = after.iter().rposition(|byte| *byte != 0).unwrap();
    assert!(last - first > 4 * 512, "{first} to {last}");
    for sector in (first / 512)..=(last / 512) {
        let torn = disk.copy();
        let (from, to) = (sector * 512, (sector + 1) * 512);
        let restore = |bytes: &mut Vec<u8>| bytes[from..to].copy_from_slice(&before[from..to]);
        torn.damage(&files(&disk)[0], restore).unwrap();
        let dir = open(&torn).unwrap();
        let log = Log::open_inline(&dir, LOG).unwrap();
        assert_eq!(log.last_index(), Some(9), "sector {sector}");
        // What is left of it is gone for good.
        log.append(entries(10..12, 2), done().0);
        drop((log, dir));
        let dir = open(&torn).unwrap();
        let log = Log::open_inline(&dir, LOG).unwrap();
        let expected = [entries(0..10, 1), entries(10..12, 2)].concat();
        assert_eq!(log.read(0..999, usize::MAX).unwrap(), expected, "sector {sector}");
    }
    for place in first..=last {
        let damaged = disk.copy();
        damaged.damage(&files(&disk)[0], |bytes| bytes[place] ^= 0x20).unwrap();
        refused(open(&damaged), "Corrupt");
    }
}

/// A frame begins anywhere in a sector, also so that the sector holds nothing of it but its header.
#[test]
fn a_torn_frame_is_dropped_wherever_it_begins() {
    for len in (0..512).step_by(32) {
        let (disk, dir) = directory();
        let log = Log::open_inline(&dir, LOG).unwrap();
        log.append(vec![Entry { index: 0, bytes: vec![7; len].into() }], done().0);
        log.append(vec![Entry { index: 1, bytes: vec![7; 1500].into() }], done().0);
        let mut point = disk.crash_points();
        // All but the last sync.
        while point.at() + 1 < disk.journal_len() {
            point.step();
        }
        for seed in 0..32 {
            let dir = open(&point.crash(Policy::TearLast(seed)))
                .unwrap_or_else(|error| panic!("{len} bytes before it, seed {seed}: {error:?}"));
            let last = Log::open_inline(&dir, LOG).unwrap().last_index();
            assert!(matches!(last, Some(0 | 1)), "{len} bytes before it, seed {seed}: {last:?}");
        }
    }
}

/// A file that was being made when the power went holds nothing; one that is not the last does.
#[test]
fn a_file_whose_making_was_cut_short_is_made_again() {
    let disk = several_files();
    let last = files(&disk).pop().unwrap();
    let number: u64 = last.extension().unwrap().to_str().unwrap().parse().unwrap();
    let next = sim_path().join(format!("log.{:08}", number + 1));
    for len in [0, 100, 65536] {
        let disk = disk.copy();
        drop(firstcome_storage::Disk::create(&disk, &next).unwrap());
        disk.damage(&next, |bytes| bytes.resize(len, 0)).unwrap();
        let dir = open(&disk).unwrap();
        let log = Log::open_inline(&dir, SMALL).unwrap();
        assert!(!files(&disk).contains(&next));
        log.append(entries(200..300, 1), done().0);
        drop((log, dir));
        let dir = open(&disk).unwrap();
        let log = Log::open_inline(&dir, SMALL).unwrap();
        assert_eq!(log.read(0..999, usize::MAX).unwrap(), entries(0..300, 1));
    }
    // But not if it holds entries: then the end of the one before it was lost.
    let first = files(&disk)[0].clone();
    disk.damage(&first, |bytes| {
        let seal = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 32 * 32 - 32;
        bytes[seal..].fill(0);
    })
    .unwrap();
    refused(open(&disk), "its last frame is missing");
}
