//! The disk of a long run: it forgets what became durable, and loses power in the middle.

use std::path::Path;

use firstcome_storage::Disk;
use firstcome_storage::disk::sim::{Policy, SimDisk};

const DIR: &str = "/d";
const FILE: &str = "/d/f";

/// A file of which only the first four bytes are durable.
fn half_synced() -> SimDisk {
    let disk = SimDisk::new().running();
    disk.make_dir(Path::new(DIR)).unwrap();
    let file = disk.create(Path::new(FILE)).unwrap();
    file.write_at(0, b"kept").unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    file.write_at(4, b"lost").unwrap();
    disk
}

#[test]
fn only_what_is_not_durable_stays_in_the_journal() {
    let disk = half_synced();
    assert_eq!(disk.journal_len(), 1);
    assert_eq!(disk.read(Path::new(FILE)).unwrap(), b"keptlost");
}

#[test]
fn power_loss_takes_what_was_not_synced_and_turns_the_old_disk_off() {
    let disk = half_synced();
    let open = disk.open(Path::new(FILE)).unwrap();
    let found = disk.crash_now(Policy::DropUnsynced);
    assert_eq!(found.read(Path::new(FILE)).unwrap(), b"kept");
    assert!(open.write_at(0, b"late").is_err(), "a dead process cannot write");
    assert_eq!(found.read(Path::new(FILE)).unwrap(), b"kept");
}

#[test]
fn a_killed_process_loses_nothing_and_makes_nothing_durable() {
    let disk = half_synced();
    let next = disk.hand_over();
    assert_eq!(next.read(Path::new(FILE)).unwrap(), b"keptlost");
    let found = next.crash_now(Policy::DropUnsynced);
    assert_eq!(found.read(Path::new(FILE)).unwrap(), b"kept");
}
