//! The disk of a fault build: what it shows, what it leaves behind, and a node on top of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use firstcome_domain::Revision;
use firstcome_storage::disk::sim::SimDisk;
use firstcome_storage::disk::volatile::VolatileDisk;
use firstcome_storage::disk::{Disk, DiskFile, RealDisk};
use firstcome_storage::state::StateHash;
use firstcome_storage::{DataDir, Error, Log, State};

use crate::shop::{LOG, STATE, Stream, done, entries, identity, meta};

/// Repeatable draws; the oldest generator there is.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

fn over_real(seed: u64) -> VolatileDisk {
    VolatileDisk::new(Arc::new(RealDisk), seed)
}

/// A file as a table of single bytes.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Bytes {
    len: u64,
    set: BTreeMap<u64, u8>,
}

impl Bytes {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.set.extend((offset..).zip(bytes.iter().copied()));
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    fn set_len(&mut self, len: u64) {
        self.set.split_off(&len);
        self.len = len;
    }

    fn read(&self, offset: u64, len: u64) -> Option<Vec<u8>> {
        let byte = |at| self.set.get(&at).copied().unwrap_or(0);
        (offset + len <= self.len).then(|| (offset..offset + len).map(byte).collect())
    }
}

fn read(file: &dyn DiskFile, offset: u64, len: u64) -> Option<Vec<u8>> {
    let mut out = vec![0; usize::try_from(len).unwrap()];
    file.read_at(offset, &mut out).ok().map(|()| out)
}

/// Everything a file has.
fn all(file: &dyn DiskFile) -> Vec<u8> {
    read(file, 0, file.len().unwrap()).unwrap()
}

#[test]
fn a_file_is_what_a_table_of_bytes_says_and_a_crash_leaves_the_last_sync() {
    let home = tempfile::tempdir().unwrap();
    let mut draws = Draws(11);
    let (mut syncs, mut across) = (0, 0);
    for round in 0..30 {
        let path = home.path().join(format!("f{round}"));
        let disk = over_real(round);
        let file = disk.create(&path).unwrap();
        disk.sync_dir(home.path()).unwrap();
        let (mut now, mut durable) = (Bytes::default(), Bytes::default());
        for step in 0..120_u32 {
            let offset = draws.below(20_000);
            match draws.below(10) {
                0..4 => {
                    let byte = u8::try_from(step % 250 + 1).unwrap();
                    let len = 1 + draws.below(if step % 7 == 0 { 9_000 } else { 700 });
                    let bytes = vec![byte; usize::try_from(len).unwrap()];
                    file.write_at(offset, &bytes).unwrap();
                    now.write(offset, &bytes);
                }
                4 => {
                    file.set_len(offset).unwrap();
                    now.set_len(offset);
                }
                5 => {
                    file.sync().unwrap();
                    durable = now.clone();
                    syncs += 1;
                }
                _ => {
                    let len = 1 + draws.below(12_000);
                    let expected = now.read(offset, len);
                    across += u32::from(expected.is_some() && now != durable);
                    assert_eq!(read(&*file, offset, len), expected, "round {round} step {step}");
                }
            }
            assert_eq!(file.len().unwrap(), now.len);
        }
        assert_eq!(all(&*disk.open(&path).unwrap()), now.read(0, now.len).unwrap());
        drop((file, disk));
        let found = RealDisk.read(&path).unwrap();
        assert_eq!(found, durable.read(0, durable.len).unwrap(), "round {round}");
    }
    assert!(syncs > 100 && across > 100, "{syncs} syncs, {across} reads of unsynced files");
}

#[test]
fn names_wait_for_their_directory() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let disk = over_real(1);
    let put = |name: &str, text: &str| {
        let file = disk.create(&at(name)).unwrap();
        file.write_at(0, text.as_bytes()).unwrap();
        file.sync().unwrap();
    };
    let seen = |disk: &dyn Disk| -> Vec<(String, String)> {
        let names = disk.list(home.path()).unwrap().unwrap();
        let text = |path: &Path| String::from_utf8(disk.read(path).unwrap()).unwrap();
        let mut seen: Vec<_> = names
            .into_iter()
            .map(|name| (name.to_string_lossy().into_owned(), text(&home.path().join(&name))))
            .collect();
        seen.sort();
        seen
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    put("a", "old");
    put("b", "stays");
    disk.sync_dir(home.path()).unwrap();
    assert_eq!(seen(&RealDisk), pairs(&[("a", "old"), ("b", "stays")]));

    put("a.new", "new");
    let open = disk.open(&at("a")).unwrap();
    disk.rename(&at("a.new"), &at("a")).unwrap();
    disk.remove(&at("b")).unwrap();
    disk.remove(&at("never was")).unwrap();
    put("c", "made");
    assert_eq!(seen(&disk), pairs(&[("a", "new"), ("c", "made")]));
    assert!(disk.open(&at("b")).is_err() && disk.open(&at("a.new")).is_err());
    assert_eq!(all(&*open), b"old", "who has it open keeps the replaced file");
    // The power goes here: as if nothing had been renamed, removed or made.
    assert_eq!(seen(&RealDisk), pairs(&[("a", "old"), ("b", "stays")]));

    disk.sync_dir(home.path()).unwrap();
    assert_eq!(seen(&RealDisk), pairs(&[("a", "new"), ("c", "made")]));
    assert_eq!(seen(&disk), seen(&RealDisk));
    assert_eq!(seen(&over_real(2)), seen(&RealDisk), "and another process sees the same");
}

#[test]
fn what_was_synced_before_its_name_comes_with_the_name_and_the_rest_does_not() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state.redb");
    let disk = over_real(1);
    let file = disk.create(&path).unwrap();
    file.write_at(0, b"durable").unwrap();
    file.sync().unwrap();
    file.write_at(7, b" lost").unwrap();
    disk.sync_dir(home.path()).unwrap();
    assert_eq!(all(&*file), b"durable lost");
    assert_eq!(RealDisk.read(&path).unwrap(), b"durable");
    file.sync().unwrap();
    assert_eq!(RealDisk.read(&path).unwrap(), b"durable lost");
    assert!(disk.open_read_only(&path).unwrap().write_at(0, b"x").is_err());
}

/// The machine gets a sync in pieces and out of order, so that a kill tears it.
#[test]
fn a_sync_goes_through_in_shuffled_pieces() {
    let machine = SimDisk::new();
    let folder = Path::new("/d");
    machine.make_dir(folder).unwrap();
    let path = folder.join("log.00000001");
    let torn = |seed| {
        let machine = machine.copy();
        let disk = VolatileDisk::new(Arc::new(machine.clone()), seed);
        let file = disk.create(&path).unwrap();
        disk.sync_dir(folder).unwrap();
        let before = machine.journal_len();
        file.write_at(0, &vec![7; 40_000]).unwrap();
        assert_eq!(machine.journal_len(), before, "nothing before the sync");
        file.sync().unwrap();
        let mut images = Vec::new();
        let mut point = machine.crash_points();
        while point.step() {
            let found = point.crash(firstcome_storage::disk::sim::Policy::KeepAll);
            if point.at() > before {
                images.push(found.bytes_of(&path).unwrap());
            }
        }
        images
    };
    let images = torn(5);
    assert!(images.len() > 10, "{} calls", images.len());
    assert!(images.iter().any(|image| {
        let first_hole = image.iter().position(|byte| *byte == 0);
        first_hole.is_some_and(|hole| image[hole..].contains(&7))
    }));
    assert_eq!(images.last().unwrap(), &vec![7; 40_000]);
    assert_eq!(images, torn(5), "the seed decides");
    assert_ne!(images, torn(6));
}

/// The files of a directory as a killed process leaves them; dropping would close redb well.
fn as_killed(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A whole node directory: after losing power it opens, and has what was acknowledged.
#[test]
fn a_node_survives_losing_power_on_real_files() {
    let home = tempfile::tempdir().unwrap();
    let at = |life: u64| home.path().join(format!("n7-{life}"));
    let mut stream = Stream::new(9);
    let mut acknowledged = None;
    let mut hash = StateHash::default();
    for life in 0..6 {
        let disk = Arc::new(over_real(life));
        let dir = if life == 0 {
            DataDir::create_on(disk, &at(0), &identity()).unwrap()
        } else {
            DataDir::open_on(disk, &at(life)).unwrap()
        };
        let log = Log::open_inline(&dir, LOG).unwrap();
        let state = State::open_inline(&dir, STATE, log.clone()).unwrap();
        assert_eq!(log.last_index(), acknowledged, "life {life}");
        assert_eq!(state.applied().revision.map(Revision::get), acknowledged, "life {life}");
        assert_eq!(state.applied().hash, hash, "life {life}");
        let first = acknowledged.map_or(0, |last| last + 1);
        let last = 20 * (life + 1);
        let (tell, told) = done();
        log.append(entries(first..last + 1, 1), tell);
        told.recv().unwrap().unwrap();
        for revision in first.max(1)..=last {
            let entry = stream.entry();
            state.apply(std::slice::from_ref(&entry), meta(revision)).unwrap();
        }
        hash = state.checkpoint().unwrap().hash;
        acknowledged = Some(last);
        as_killed(&at(life), &at(life + 1));
    }
}

/// Power lost while a directory is made: vacant again, or a node; never damage.
#[test]
fn a_half_made_directory_is_vacant_or_whole() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("n7");
    let disk = over_real(3);
    disk.make_dir(&path).unwrap();
    drop(disk.create(&path.join("CREATING")).unwrap());
    disk.sync_dir(&path).unwrap();
    drop(disk.create(&path.join("log.00000001")).unwrap());
    drop(disk);
    let disk = Arc::new(over_real(4));
    assert!(DataDir::is_vacant_on(&*disk, &path).unwrap());
    assert!(matches!(DataDir::open_on(Arc::clone(&disk) as _, &path), Err(Error::Empty { .. })));
    drop(DataDir::create_on(disk, &path, &identity()).unwrap());
    drop(DataDir::open_on(Arc::new(over_real(5)), &path).unwrap());
}
