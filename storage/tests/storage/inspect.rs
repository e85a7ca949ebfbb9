//! Looking into a stopped directory: it finds what is wrong, and changes nothing.

use std::path::Path;
use std::sync::Arc;

use firstcome_domain::journal::Journal;
use firstcome_storage::inspect::Inspection;
use firstcome_storage::query::Direction;
use firstcome_storage::{DataDir, Disk, Error, Log, State};

use crate::apply::Store;
use crate::contents::contents;
use crate::shop::{LOG, STATE, Stream, done, entries, file, identity, meta, refused, sim_path};

fn filled() -> Store {
    let mut stream = Stream::new(31);
    let store = Store::new();
    for _ in 0..300 {
        store.apply(&stream.entry());
    }
    store.log.append(entries(0..301, 1), done().0);
    store.state.checkpoint().unwrap();
    store
}

/// Stopped without a close, as by a kill.
fn killed(store: Store) -> firstcome_storage::disk::sim::SimDisk {
    let disk = store.disk.copy();
    drop(store);
    disk
}

pub(crate) fn inspect(disk: &firstcome_storage::disk::sim::SimDisk) -> Result<Inspection, Error> {
    Inspection::open_on(Arc::new(disk.clone()), &sim_path())
}

#[test]
fn a_sound_directory_has_no_findings_and_stays_as_it_is() {
    let store = filled();
    let applied = store.state.applied();
    let counts = store.state.row_counts();
    let disk = killed(store);
    let before: Vec<_> =
        ["log.00000001", "state.redb", "node.json"].map(|name| disk.bytes_of(&file(name))).into();
    let look = inspect(&disk).unwrap();
    assert_eq!(look.identity(), &identity());
    assert_eq!(look.applied(), applied);
    assert_eq!(look.recomputed_hash().unwrap(), applied.hash);
    assert_eq!(look.check().unwrap(), vec![]);
    let log = look.log().unwrap();
    assert_eq!((log.entries, log.last), (301, Some(300)));
    let mut read = Vec::new();
    look.entries(290..9999, &mut |entry| {
        read.push(entry);
        true
    })
    .unwrap();
    assert_eq!(read, entries(290..301, 1));
    for (table, (name, rows)) in look.tables().unwrap().iter().zip(counts) {
        assert_eq!((table.name, table.rows), (name, rows));
    }
    let products =
        look.read(|view| view.products(false, None, Direction::Up, None, 9, |_| true)).unwrap();
    assert!(products.items.len() > 1);
    drop(look);
    assert_eq!(disk.calls(), 0, "looking writes nothing");
    for (name, before) in ["log.00000001", "state.redb", "node.json"].iter().zip(before) {
        assert_eq!(disk.bytes_of(&file(name)).unwrap(), before.unwrap());
    }
    // And the node still starts.
    assert_eq!(Store::on(disk).state.applied(), applied);
}

#[test]
fn a_running_node_is_left_alone() {
    let store = filled();
    refused(inspect(&store.disk).map(drop), "InUse");
    let look = inspect(&killed(store)).unwrap();
    assert!(look.applied().revision.is_some());
}

fn on_disk(path: &Path) {
    let dir = DataDir::create(path, &identity()).unwrap();
    let log = Log::open_inline(&dir, LOG).unwrap();
    let state = State::open_inline(&dir, STATE, log.clone()).unwrap();
    let mut stream = Stream::new(32);
    for revision in 1..=400 {
        state.apply(&[stream.entry()], meta(revision)).unwrap();
    }
    log.append(entries(0..401, 1), done().0);
    state.close().unwrap();
    assert!(contents(&state).count::<Journal>() > 100);
}

/// Keys and values of one table of the file.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Changes one table with redb's own tools, behind storage's back.
pub(crate) fn meddle(path: &Path, table: &str, change: impl FnOnce(&mut Rows)) {
    use redb::{ReadableTable, TableDefinition};
    let table: TableDefinition<&[u8], &[u8]> = TableDefinition::new(table);
    let db = redb::Database::open(path.join("state.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut table = txn.open_table(table).unwrap();
        let mut rows: Rows = table
            .iter()
            .unwrap()
            .map(|row| row.unwrap())
            .map(|(key, value)| (key.value().to_vec(), value.value().to_vec()))
            .collect();
        table.retain(|_, _| false).unwrap();
        change(&mut rows);
        for (key, value) in rows {
            table.insert(key.as_slice(), value.as_slice()).unwrap();
        }
    }
    txn.commit().unwrap();
}

#[test]
fn each_kind_of_damage_is_found_by_its_check() {
    let home = tempfile::tempdir().unwrap();
    let lose_all: fn(&mut Rows) = Vec::clear;
    let lose_half: fn(&mut Rows) = |rows| rows.truncate(rows.len() / 2);
    let lose_first: fn(&mut Rows) = |rows| drop(rows.remove(0));
    // The last key of a packed row with several.
    let lose_packed: fn(&mut Rows) = |rows| {
        let (_, others) = rows.iter_mut().find(|(_, others)| !others.is_empty()).unwrap();
        others.truncate(others.len() - 24);
    };
    for (place, (table, lose, checks)) in [
        ("journal", lose_half, vec!["hash", "counts", "index", "S1"]),
        ("usage", lose_all, vec!["hash", "counts", "S5"]),
        ("orders", lose_first, vec!["hash", "counts", "index", "S9"]),
        ("pools", lose_first, vec!["hash", "counts", "S1"]),
        ("ended_orders", lose_first, vec!["index"]),
        ("products_by_name", lose_first, vec!["index"]),
        ("orders_by_pool", lose_first, vec!["index"]),
        ("orders_by_pool", lose_packed, vec!["index"]),
    ]
    .into_iter()
    .enumerate()
    {
        let path = home.path().join(place.to_string());
        on_disk(&path);
        meddle(&path, table, lose);
        let findings = Inspection::open(&path).unwrap().check().unwrap();
        for check in checks {
            assert!(findings.iter().any(|found| found.check == check), "{table}: {findings:?}");
        }
    }
}

#[test]
fn an_undecodable_row_is_an_error_that_names_its_table() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("n7");
    on_disk(&path);
    meddle(&path, "orders", |rows| rows[0].1.truncate(7));
    refused(Inspection::open(&path).unwrap().check(), "orders");
}

#[test]
fn a_missing_directory_is_empty() {
    refused(inspect(&firstcome_storage::disk::sim::SimDisk::new()).map(drop), "Empty");
    let disk = killed(filled());
    disk.remove(&file("log.00000001")).unwrap();
    // The state can be looked at all the same.
    let look = inspect(&disk).unwrap();
    assert!(look.applied().revision.is_some());
    refused(look.log(), "it is missing");
    assert_eq!(look.check().unwrap()[0].check, "log");
}
