//! Files and snapshots of other releases: indexes that one lacks are made, and what a later one wrote
//! is refused as foreign, never as damaged.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use firstcome_domain::Millis;
use firstcome_domain::kernel::row::{Index as _, IndexKind, TableId};
use firstcome_domain::kernel::version::Level;
use firstcome_domain::order::row::{OrdersByPool, OrdersByTicket};
use firstcome_domain::product::row::{ProductsByName, ProductsOffered};
use firstcome_domain::receipt::OutcomeBytes;
use firstcome_domain::registry::INDEXES;
use firstcome_domain::value::{Revision, Stamp};
use firstcome_storage::codec::{self, RELEASE};
use firstcome_storage::inspect::Inspection;
use firstcome_storage::snapshot::SnapshotWriter;
use firstcome_storage::state::{Decided, StateHash};
use firstcome_storage::{DataDir, Error, Log, State};
use redb::TableDefinition;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::apply::Store;
use crate::contents::{Contents, contents};
use crate::inspect::meddle;
use crate::shop::{LOG, STATE, Stream, buy, identity, meta, refused, tick};
use crate::snapshot::chunks;

/// The row of `applied`, as this release writes it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Meta {
    release: String,
    level: u16,
    revision: Option<Revision>,
    now: Millis,
    raft: Bytes,
    hash: u128,
    counts: BTreeMap<u16, u64>,
    indexes: Vec<u16>,
}

/// The last record of a snapshot, as this release writes it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Trailer {
    rows: BTreeMap<u16, u64>,
    hash: u128,
    checksum: u128,
}

/// Makes of something what another release would have written.
type Change<T> = fn(&mut T);

/// What a later release calls itself.
const LATER: &str = "7.0.1";
/// The first level, table, index and command that this release does not know.
const LEVEL: u16 = Level::KNOWN.0 + 1;
const TABLE: u16 = 99;
const INDEX: u16 = 1999;
const COMMAND: u16 = 999;

fn stored_indexes() -> Vec<u16> {
    let stored = INDEXES.iter().filter(|index| index.kind != IndexKind::Live);
    stored.map(|index| index.table.0).collect()
}

/// A stopped node, and what it held.
fn stopped(path: &Path) -> (Contents, StateHash) {
    drop(DataDir::create(path, &identity()).unwrap());
    let (state, log) = open(path).unwrap();
    let mut stream = Stream::new(32);
    for revision in 1..=300 {
        state.apply(&[stream.entry()], meta(revision)).unwrap();
        if revision % 90 == 0 {
            state.checkpoint().unwrap();
        }
    }
    log.append(crate::shop::entries(0..301, 1), crate::shop::done().0);
    state.close().unwrap();
    (contents(&state), state.applied().hash)
}

fn open(path: &Path) -> Result<(State, Log), Error> {
    let dir = DataDir::open(path)?;
    let log = Log::open_inline(&dir, LOG)?;
    Ok((State::open_inline(&dir, STATE, log.clone())?, log))
}

fn change_meta(path: &Path, change: impl FnOnce(&mut Meta)) {
    meddle(path, "applied", |rows| {
        let mut meta: Meta = codec::decode(&rows[0].1).unwrap();
        change(&mut meta);
        rows[0].1 = codec::encode(&meta);
    });
}

fn meta_of(path: &Path) -> Meta {
    let db = redb::Database::open(path.join("state.redb")).unwrap();
    let applied: TableDefinition<&[u8], &[u8]> = TableDefinition::new("applied");
    let table = redb::ReadableDatabase::begin_read(&db).unwrap().open_table(applied).unwrap();
    codec::decode(table.get(b"applied".as_slice()).unwrap().unwrap().value()).unwrap()
}

fn tables_of(path: &Path) -> Vec<String> {
    let db = redb::Database::open(path.join("state.redb")).unwrap();
    let txn = redb::ReadableDatabase::begin_read(&db).unwrap();
    txn.list_tables().unwrap().map(|table| redb::TableHandle::name(&table).to_owned()).collect()
}

/// Asserts that an error is `Foreign` and names this release and the other words.
#[track_caller]
fn foreign<T>(result: Result<T, Error>, words: &[&str]) {
    let Err(error) = result else { panic!("it was not refused") };
    assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
    for word in words.iter().chain([&RELEASE]) {
        assert!(error.to_string().contains(word), "{word:?} is not in {error}");
    }
}

/// As if an earlier release, which had neither of the two indexes, had written the file: what is in
/// them is older still. And a later one had a further index.
#[test]
fn indexes_that_a_file_lacks_are_made_and_others_are_dropped() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("n7");
    let (before, hash) = stopped(&path);
    assert_eq!(meta_of(&path).indexes, stored_indexes());
    for index in ["products_by_name", "orders_by_pool"] {
        meddle(&path, index, |rows| {
            rows.truncate(1);
            rows[0].0[0] ^= 1;
        });
    }
    let found = Inspection::open(&path).unwrap().check().unwrap();
    let told = |name: &str| found.iter().filter(|found| found.detail.starts_with(name)).count();
    assert_eq!((told("products_by_name"), told("orders_by_pool")), (1, 1), "{found:?}");
    assert_eq!(found.len(), 2);
    let lacking = [ProductsByName::TABLE.0, OrdersByPool::TABLE.0];
    change_meta(&path, |meta| {
        meta.release = "0.0.9".into();
        meta.indexes.retain(|id| !lacking.contains(id));
        meta.indexes.push(INDEX);
    });
    meddle(&path, "of_later", |rows| rows.push((b"a key".to_vec(), Vec::new())));
    // What the next start makes anew is not damaged.
    assert_eq!(Inspection::open(&path).unwrap().check().unwrap(), vec![]);

    let (state, log) = open(&path).unwrap();
    assert_eq!(state.applied().hash, hash);
    assert!(contents(&state) == before);
    drop((state, log));
    let now = meta_of(&path);
    assert_eq!((now.release.as_str(), now.indexes), (RELEASE, stored_indexes()));
    assert!(!tables_of(&path).contains(&"of_later".to_owned()), "an index stayed in the file");
    assert_eq!(Inspection::open(&path).unwrap().check().unwrap(), vec![]);
    // They are kept up from then on.
    let (state, log) = open(&path).unwrap();
    let mut stream = Stream::new(33);
    for _ in 0..300 {
        stream.entry();
    }
    for revision in 301..400 {
        state.apply(&[stream.entry()], meta(revision)).unwrap();
    }
    state.close().unwrap();
    drop((state, log));
    assert_eq!(Inspection::open(&path).unwrap().check().unwrap(), vec![]);
}

#[test]
fn only_an_unknown_index_is_reason_enough_to_write_the_list_anew() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("n7");
    let (before, _) = stopped(&path);
    change_meta(&path, |meta| meta.indexes.push(INDEX));
    let (state, log) = open(&path).unwrap();
    assert!(contents(&state) == before);
    drop((state, log));
    assert_eq!(meta_of(&path).indexes, stored_indexes());
}

#[test]
fn a_file_of_a_later_release_is_foreign_and_both_releases_are_named() {
    let home = tempfile::tempdir().unwrap();
    let changes: [(&str, Change<Meta>); 2] =
        [("level", |meta| meta.level = LEVEL), ("table", |meta| meta.counts.extend([(TABLE, 3)]))];
    for (name, change) in changes {
        let path = home.path().join(name);
        stopped(&path);
        change_meta(&path, |meta| {
            meta.release = LATER.into();
            change(meta);
        });
        foreign(open(&path), &[LATER, name]);
        foreign(Inspection::open(&path), &[LATER, name]);
    }
    // Of what is in another form altogether, not even the release can be read.
    let path = home.path().join("form");
    stopped(&path);
    for table in ["applied", "identity"] {
        meddle(&path, table, |rows| rows[0].1[0] = 2);
        foreign(open(&path), &["format 2"]);
        foreign(Inspection::open(&path), &["format 2"]);
    }
}

/// The rows that a start reads, and those that only a command meets.
#[test]
fn a_row_of_a_later_version_is_foreign() {
    let home = tempfile::tempdir().unwrap();
    for (table, at_start) in
        [("orders", true), ("journal", true), ("pools", false), ("usage", false)]
    {
        let path = home.path().join(table);
        stopped(&path);
        meddle(&path, table, |rows| rows.iter_mut().for_each(|(_, value)| value[0] = 9));
        let words = [table, "version 9"];
        foreign(Inspection::open(&path).unwrap().check(), &words);
        if at_start {
            foreign(open(&path), &words);
            continue;
        }
        let (state, _log) = open(&path).unwrap();
        let mut stopped_at = None;
        let mut stream = Stream::new(7);
        for revision in 301..400 {
            let mut entry = stream.entry();
            entry.stamp.revision = Revision::new(revision);
            if let Err(error) = state.apply(&[entry], meta(revision)) {
                stopped_at = Some(error);
                break;
            }
        }
        foreign(Err::<(), _>(stopped_at.expect("no command met such a row")), &words);
        foreign(state.read(|_| ()), &words);
    }
}

/// The error that a reader of a file makes from one of the codec.
fn as_error<T>(decoded: Result<T, codec::DecodeError>) -> Result<T, Error> {
    decoded.map_err(|error| Error::undecodable("log".as_ref(), error))
}

#[test]
fn a_command_of_an_unknown_tag_or_version_is_foreign_and_a_damaged_one_is_damage() {
    let command =
        buy(1, 1, firstcome_domain::stock::PoolId::Sale(crate::shop::sale(1)), 1, Some(1));
    let bytes = codec::encode_command(&command, Level::FIRST).to_vec();
    assert_eq!(codec::decode_command(&bytes).unwrap(), command);
    let (tag, version) = (u16::from_le_bytes([bytes[0], bytes[1]]), bytes[2]);
    let with = |tag: u16, version: u8| {
        let mut bytes = bytes.clone();
        bytes[..2].copy_from_slice(&tag.to_le_bytes());
        bytes[2] = version;
        bytes
    };
    for (tag, version, known) in [(tag, version, true), (COMMAND, 1, false), (tag, 9, false)] {
        let bytes = with(tag, version);
        assert_eq!(codec::is_known_command(&bytes), known, "{tag} {version}");
        if !known {
            let words = [format!("command {tag}"), format!("version {version}")];
            let decoded = as_error(codec::decode_command(&bytes));
            foreign(decoded, &words.each_ref().map(String::as_str));
        }
    }
    // No release writes version 0.
    assert!(!codec::is_known_command(&with(tag, 0)));
    refused(as_error(codec::decode_command(&with(tag, 0))), "Corrupt");
    for len in 0..bytes.len() {
        refused(as_error(codec::decode_command(&bytes[..len])), "Corrupt");
    }
    refused(as_error(codec::decode_command(&[&bytes[..], &[0]].concat())), "Corrupt");
    // Another command has other fields.
    let ticked = codec::encode_command(&tick(), Level::FIRST);
    let retagged = [&ticked[..2], &bytes[2..]].concat();
    refused(as_error(codec::decode_command(&retagged)), "Corrupt");
}

#[test]
fn an_outcome_of_a_later_version_is_foreign() {
    let decided = |bytes: &[u8]| {
        let outcome = OutcomeBytes(bytes.to_vec());
        as_error(Decided { outcome, decided: Stamp::default(), replayed: true }.outcome())
    };
    foreign(decided(&[9, 1, 0]), &["outcome", "version 9"]);
    refused(decided(&[0, 1, 0]), "Corrupt");
    refused(decided(&[1]), "Corrupt");
    refused(decided(&[]), "Corrupt");
}

/// A snapshot of one chunk, taken apart.
struct Parts {
    meta: Meta,
    rows: Vec<u8>,
    trailer: Trailer,
}

const HEAD_BYTES: usize = 9;

impl Parts {
    fn of(chunk: &[u8]) -> Self {
        let record = |at: usize, tag: u8| {
            assert_eq!(chunk[at], tag);
            let len = u32::from_le_bytes(chunk[at + 1..at + 5].try_into().unwrap());
            (&chunk[at + 5..][..len as usize], at + 5 + len as usize)
        };
        let (meta, mut at) = record(HEAD_BYTES, b'H');
        let rows = at;
        while chunk[at] == b'R' {
            let value = u32::from_le_bytes(chunk[at + 4..at + 8].try_into().unwrap());
            at += 8 + usize::from(chunk[at + 3]) + value as usize;
        }
        let (trailer, end) = record(at, b'T');
        assert_eq!(end + 8, chunk.len());
        let (meta, trailer) = (codec::decode(meta).unwrap(), codec::decode(trailer).unwrap());
        Self { meta, rows: chunk[rows..at].to_vec(), trailer }
    }

    /// Adds a row, which the trailer counts.
    fn add(&mut self, table: u16, key: &[u8], value: &[u8]) {
        self.rows.push(b'R');
        self.rows.extend(table.to_le_bytes());
        self.rows.push(key.len().try_into().unwrap());
        self.rows.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        self.rows.extend([key, value].concat());
        *self.trailer.rows.entry(table).or_default() += 1;
    }

    /// Leaves out the rows of a table.
    fn leave_out(&mut self, table: u16) {
        let mut kept = Vec::new();
        let mut rest = self.rows.as_slice();
        while !rest.is_empty() {
            let value = u32::from_le_bytes(rest[4..8].try_into().unwrap());
            let (row, tail) = rest.split_at(8 + usize::from(rest[3]) + value as usize);
            if row[1..3] != table.to_le_bytes() {
                kept.extend(row);
            }
            rest = tail;
        }
        assert!(self.trailer.rows.remove(&table).unwrap() > 0);
        self.rows = kept;
    }

    /// Put together again, with checksums that match.
    fn chunk(mut self) -> Vec<u8> {
        let record = |tag: u8, body: Vec<u8>| {
            [&[tag][..], &u32::try_from(body.len()).unwrap().to_le_bytes(), &body].concat()
        };
        let records = [record(b'H', codec::encode(&self.meta)), self.rows].concat();
        self.trailer.checksum = xxh3_128(&records);
        let trailer = record(b'T', codec::encode(&self.trailer));
        let mut chunk = [&[1][..], &0u64.to_le_bytes(), &records, &trailer].concat();
        chunk.extend(xxh3_64(&chunk).to_le_bytes());
        chunk
    }
}

/// A store and a snapshot of it, changed.
fn sent(change: impl FnOnce(&mut Parts)) -> (Store, Vec<u8>) {
    let mut stream = Stream::new(32);
    let sender = Store::new();
    for _ in 0..200 {
        sender.apply(&stream.entry());
    }
    let chunks = chunks(sender.state.snapshot().unwrap());
    assert_eq!(chunks.len(), 1);
    let mut parts = Parts::of(&chunks[0]);
    assert_eq!(Parts::of(&chunks[0]).chunk(), chunks[0], "taken apart and put together wrongly");
    change(&mut parts);
    (sender, parts.chunk())
}

/// What becomes of a snapshot at a state that has nothing yet.
fn install(state: &State, chunk: &[u8]) -> Result<(), Error> {
    let mut writer: SnapshotWriter = state.receive()?;
    writer.write_chunk(chunk)?;
    state.install(writer).map(drop)
}

#[test]
fn a_snapshot_of_a_later_release_is_foreign_and_changes_nothing() {
    let changes: [(&str, Change<Parts>); 3] = [
        ("level", |parts| parts.meta.level = LEVEL),
        ("table", |parts| {
            parts.meta.counts.insert(TABLE, 1);
            parts.add(TABLE, b"key", b"value");
        }),
        // Not even counted.
        ("table", |parts| parts.add(TABLE, b"key", b"value")),
    ];
    for (word, change) in changes {
        let (_, chunk) = sent(|parts| {
            parts.meta.release = LATER.into();
            change(parts);
        });
        let receiver = Store::new();
        foreign(install(&receiver.state, &chunk), &[LATER, word]);
        // It was a refusal, not a failure.
        receiver.apply(&crate::shop::committed(1, 0, None));
    }
}

/// Story: only rows with indexes in memory were decoded before an install, and a snapshot with other
/// rows that nobody can read replaced a state that worked.
#[test]
fn a_snapshot_with_a_row_that_cannot_be_read_is_refused_and_changes_nothing() {
    const POOLS: u16 = 4;
    // Changes key and value of a pool, and the state hash with it.
    let changed = |change: fn(&mut [u8], &mut [u8])| {
        let (_, chunk) = sent(|parts| {
            let mut rest = parts.rows.as_mut_slice();
            loop {
                let value = u32::from_le_bytes(rest[4..8].try_into().unwrap());
                let (row, tail) = rest.split_at_mut(8 + usize::from(rest[3]) + value as usize);
                if row[1..3] == POOLS.to_le_bytes() {
                    let hash = |row: &[u8]| xxh3_128(&[&POOLS.to_be_bytes(), &row[8..]].concat());
                    let before = hash(row);
                    let (head, value) = row.split_at_mut(8 + usize::from(row[3]));
                    change(&mut head[8..], value);
                    let sum = parts.meta.hash.wrapping_sub(before).wrapping_add(hash(row));
                    (parts.meta.hash, parts.trailer.hash) = (sum, sum);
                    return;
                }
                rest = tail;
            }
        });
        chunk
    };
    let newer = changed(|_, value| value[0] = 200);
    let damaged = changed(|_, value| value[1] = 200);
    let misplaced = changed(|key, _| key[16] ^= 1);
    let receiver = Store::new();
    foreign(install(&receiver.state, &newer), &["pools"]);
    for chunk in [damaged, misplaced] {
        let error = install(&receiver.state, &chunk).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
        assert!(error.to_string().contains("pools"), "{error}");
    }
    receiver.apply(&crate::shop::committed(1, 0, None));
}

#[test]
fn a_snapshot_with_other_indexes_installs_and_the_missing_ones_are_made() {
    let lacking =
        [ProductsByName::TABLE, ProductsOffered::TABLE, OrdersByPool::TABLE, OrdersByTicket::TABLE];
    let (sender, chunk) = sent(|parts| {
        for TableId(table) in lacking {
            parts.leave_out(table);
            parts.meta.indexes.retain(|id| *id != table);
        }
        parts.meta.indexes.push(INDEX);
        parts.add(INDEX, b"a key of another index", b"");
    });
    let mut receiver = Store::new();
    install(&receiver.state, &chunk).unwrap();
    let before = contents(&sender.state);
    assert!(contents(&receiver.state) == before);
    receiver = receiver.reopened();
    assert!(contents(&receiver.state) == before);
    let Store { disk, dir, log, state } = receiver;
    let applied = state.applied();
    drop((state, log, dir));
    let look = crate::inspect::inspect(&disk).unwrap();
    assert_eq!(look.applied(), applied);
    let findings = look.check().unwrap();
    assert!(findings.is_empty(), "{findings:?}");
}
