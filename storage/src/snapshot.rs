//! Snapshots: every table in key order, streamed out of one read transaction, in checked chunks.
//!
//! ```text
//! chunk    format 1 (u8), sequence from 0 (u64), records, xxh3-64 of all that (u64)
//! record   'H' length (u32), StateMeta          the first record
//!          'R' table (u16), key length (u8), value length (u32), key, value
//!          'T' length (u32), Trailer            the last record
//! ```
//!
//! Numbers are little endian. The trailer repeats the row counts and holds a checksum over all
//! records before it; the receiver also recomputes the state hash from the primary rows. Indexes on
//! disk travel too, packed as they are: sorted rows go into redb several times faster than rebuilt
//! ones. A receiver of another release skips indexes that it does not know, and makes those that the
//! sender did not have. It decodes every row before it takes any: a table or a version of rows that
//! it does not know is refused.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::TableId;
use firstcome_domain::registry::{Declared, KindVisitor, visit_kind};
use redb::{Database, ReadTransaction, ReadableDatabase, TableError, WriteTransaction};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::codec::{self, DecodeError};
use crate::dir::{LockedDir, NewState, OpenFile};
use crate::error::Error;
use crate::file::{self, failed};
use crate::stored::{Applied, StateMeta, begin_durable, check_known, put_meta};
use crate::table::{self, Table};
use crate::view::row_hash;

const FORMAT: u8 = 1;
/// Tables of rows have lower numbers, indexes this one and higher ones.
const FIRST_INDEX: TableId = TableId(1000);
/// A chunk is sent when it has reached this size: 1 MiB less the largest usual row.
const CHUNK_BYTES: usize = 1000 * 1024;
const HEADER: u8 = b'H';
const ROW: u8 = b'R';
const TRAILER: u8 = b'T';
/// Format and sequence before the records, checksum after them.
const HEAD_BYTES: usize = 9;
const SUM_BYTES: usize = 8;

/// What the receiver must have found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Trailer {
    /// Rows of every table by its number, as they are in the file.
    rows: BTreeMap<u16, u64>,
    /// State hash of the primary rows.
    hash: u128,
    /// xxh3-128 over all records before this one.
    checksum: u128,
}

/// Where a snapshot goes on: the table, and the last key that was sent of it.
type Next = (Table, Option<Vec<u8>>);

/// A snapshot going out.
pub struct SnapshotReader {
    /// Declared before the file: a transaction must not outlive it.
    txn: ReadTransaction,
    /// Keeps the file open even if another snapshot is installed meanwhile.
    _db: Arc<OpenFile>,
    path: PathBuf,
    meta: StateMeta,
    applied: Applied,
    sequence: u64,
    checksum: Box<Xxh3>,
    rows: BTreeMap<u16, u64>,
    /// The table being read, and the last key sent of it; `None` when all are through.
    place: Option<Next>,
    ended: bool,
}

impl SnapshotReader {
    pub(crate) fn open(db: Arc<OpenFile>, path: &Path, meta: &StateMeta) -> Result<Self, Error> {
        let txn = db.begin_read().map_err(|error| failed(path, error))?;
        Ok(Self {
            _db: db,
            txn,
            path: path.to_owned(),
            applied: meta.applied(),
            meta: meta.clone(),
            sequence: 0,
            checksum: Box::default(),
            rows: BTreeMap::new(),
            place: table::all().find(|table| table.is_stored()).map(|table| (table, None)),
            ended: false,
        })
    }

    /// What it holds.
    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    /// The next chunk of at most about 1 MiB; `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if self.ended {
            return Ok(None);
        }
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + 4096);
        chunk.push(FORMAT);
        chunk.put_u64_le(self.sequence);
        if self.sequence == 0 {
            put_record(&mut chunk, HEADER, &codec::encode(&self.meta));
        }
        while let Some((table, last)) = self.place.take() {
            self.place = self.fill(&mut chunk, table, last.as_deref())?;
            if chunk.len() >= CHUNK_BYTES {
                break;
            }
        }
        self.checksum.update(chunk.get(HEAD_BYTES..).unwrap_or_default());
        if self.place.is_none() {
            let trailer = Trailer {
                rows: self.rows.clone(),
                hash: self.meta.hash,
                checksum: self.checksum.digest128(),
            };
            put_record(&mut chunk, TRAILER, &codec::encode(&trailer));
            self.ended = true;
        }
        self.sequence += 1;
        let sum = xxh3_64(&chunk);
        chunk.put_u64_le(sum);
        Ok(Some(chunk.into()))
    }

    /// Adds rows of a table after a key; answers where to go on.
    fn fill(
        &mut self,
        chunk: &mut Vec<u8>,
        table: Table,
        last: Option<&[u8]>,
    ) -> Result<Option<Next>, Error> {
        let mut tables = table::all().filter(|table| table.is_stored());
        tables.find(|other| *other == table);
        let after = tables.next().map(|next| (next, None));
        let rows = match self.txn.open_table(table.definition()) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => return Ok(after),
            Err(error) => return Err(failed(&self.path, error)),
        };
        let mut sent = 0;
        let mut stopped_at = None;
        let range = match last {
            None => rows.range::<&[u8]>(..),
            Some(last) => rows.range::<&[u8]>((Bound::Excluded(last), Bound::Unbounded)),
        };
        for row in range.map_err(|error| failed(&self.path, error))? {
            let (key, value) = row.map_err(|error| failed(&self.path, error))?;
            put_row(chunk, table, key.value(), value.value());
            sent += 1;
            if chunk.len() >= CHUNK_BYTES {
                stopped_at = Some(key.value().to_vec());
                break;
            }
        }
        *self.rows.entry(table.id.0).or_default() += sent;
        Ok(stopped_at.map(|key| (table, Some(key))).or(after))
    }
}

fn put_record(chunk: &mut Vec<u8>, tag: u8, body: &[u8]) {
    chunk.push(tag);
    chunk.put_u32_le(u32::try_from(body.len()).unwrap_or(u32::MAX));
    chunk.extend_from_slice(body);
}

fn put_row(chunk: &mut Vec<u8>, table: Table, key: &[u8], value: &[u8]) {
    chunk.push(ROW);
    chunk.put_u16_le(table.id.0);
    chunk.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    chunk.put_u32_le(u32::try_from(value.len()).unwrap_or(u32::MAX));
    chunk.extend_from_slice(key);
    chunk.extend_from_slice(value);
}

/// A snapshot coming in: one transaction into `state.new.N.redb`, committed by the install.
pub struct SnapshotWriter {
    path: PathBuf,
    /// Declared before the database: a transaction must not outlive it.
    txn: Option<WriteTransaction>,
    db: Database,
    sequence: u64,
    checksum: Box<Xxh3>,
    meta: Option<StateMeta>,
    trailer: Option<Trailer>,
    rows: BTreeMap<u16, u64>,
    hash: u128,
    scratch: Vec<u8>,
    /// Declared last: the file goes when nothing writes to it any more.
    file: NewState,
}

/// A table of the file being written.
type OpenTable<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

/// One record of a chunk.
enum Record<'a> {
    Header(&'a [u8]),
    Row(TableId, &'a [u8], &'a [u8]),
    Trailer(&'a [u8]),
}

/// Takes the next record off the front.
fn take_record<'a>(rest: &mut &'a [u8]) -> Option<Record<'a>> {
    fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
        let (taken, tail) = rest.split_at_checked(len)?;
        *rest = tail;
        Some(taken)
    }
    fn take_len(rest: &mut &[u8]) -> Option<usize> {
        let (len, tail) = rest.split_first_chunk::<4>()?;
        *rest = tail;
        usize::try_from(u32::from_le_bytes(*len)).ok()
    }
    match *take(rest, 1)?.first()? {
        HEADER => {
            let len = take_len(rest)?;
            take(rest, len).map(Record::Header)
        }
        TRAILER => {
            let len = take_len(rest)?;
            take(rest, len).map(Record::Trailer)
        }
        ROW => {
            let (table, tail) = rest.split_first_chunk::<2>()?;
            let table = TableId(u16::from_le_bytes(*table));
            *rest = tail;
            let key_len = usize::from(*take(rest, 1)?.first()?);
            let value_len = take_len(rest)?;
            let key = take(rest, key_len)?;
            Some(Record::Row(table, key, take(rest, value_len)?))
        }
        _ => None,
    }
}

/// The key of an encoded row; `None` if this release has no such table.
fn row_key(table: TableId, bytes: &[u8]) -> Option<Result<Key, DecodeError>> {
    struct Visit<'a>(&'a [u8]);
    impl KindVisitor for Visit<'_> {
        type Output = Result<Key, DecodeError>;

        fn kind<R: Declared>(self) -> Self::Output {
            codec::decode_versioned::<R>(self.0, R::NAME).map(|row| Key::of(&row.key()))
        }
    }
    visit_kind(table, Visit(bytes))
}

impl SnapshotWriter {
    pub(crate) fn create(locked: &Arc<LockedDir>, cache_bytes: usize) -> Result<Self, Error> {
        let file = NewState::create(locked);
        let path = file.path().to_owned();
        let handle = locked.disk.create(&path).map_err(|error| Error::io(&path, error))?;
        let db = file::create(handle, &path, cache_bytes, &locked.state_identity)?;
        let txn = begin_durable(&db, &path)?;
        Ok(Self {
            path,
            file,
            db,
            txn: Some(txn),
            sequence: 0,
            checksum: Box::default(),
            meta: None,
            trailer: None,
            rows: BTreeMap::new(),
            hash: 0,
            scratch: Vec::new(),
        })
    }

    fn damaged(&self, detail: &str) -> Error {
        Error::corrupt(&self.path, format!("snapshot chunk {}: {detail}", self.sequence))
    }

    /// What its head says it contains; `None` until the head has arrived.
    pub fn applied(&self) -> Option<Applied> {
        self.meta.as_ref().map(StateMeta::applied)
    }

    /// Takes the next chunk, in order. A bad checksum and a row that cannot be read are `Corrupt`;
    /// what a later release wrote is `Foreign`.
    pub fn write_chunk(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let body = chunk.len().checked_sub(SUM_BYTES).filter(|len| *len >= HEAD_BYTES);
        let (body, sum) = body
            .and_then(|len| chunk.split_at_checked(len))
            .ok_or_else(|| self.damaged("cut short"))?;
        if xxh3_64(body).to_le_bytes() != *sum {
            return Err(self.damaged("its checksum does not match"));
        }
        let (head, records) = body.split_at(HEAD_BYTES);
        let mut expected = vec![FORMAT];
        expected.put_u64_le(self.sequence);
        if head != expected {
            return Err(self.damaged("another format, or out of order"));
        }
        if self.trailer.is_some() {
            return Err(self.damaged("nothing may follow the trailer"));
        }
        self.take_records(records)?;
        self.sequence += 1;
        Ok(())
    }

    fn take_records(&mut self, records: &[u8]) -> Result<(), Error> {
        let txn = self.txn.take().ok_or_else(|| self.damaged("an earlier chunk failed"))?;
        let mut rest = records;
        let mut open: Option<(Table, OpenTable<'_>)> = None;
        while !rest.is_empty() {
            let before = records.len() - rest.len();
            let record = take_record(&mut rest).ok_or_else(|| self.damaged("cut short"))?;
            match record {
                Record::Header(bytes) if self.sequence == 0 && before == 0 => {
                    let meta = self.decode(bytes)?;
                    check_known(&meta, &self.path)?;
                    self.meta = Some(meta);
                }
                Record::Row(id, key, value) if self.meta.is_some() => {
                    *self.rows.entry(id.0).or_default() += 1;
                    let Some(table) = self.find(id)? else { continue };
                    if open.as_ref().is_none_or(|(open, _)| *open != table) {
                        drop(open.take());
                        let rows = txn.open_table(table.definition());
                        open = Some((table, rows.map_err(|error| failed(&self.path, error))?));
                    }
                    if let Some((_, rows)) = &mut open {
                        rows.insert(key, value).map_err(|error| failed(&self.path, error))?;
                    }
                    self.count(table, key, value)?;
                }
                Record::Trailer(bytes) if rest.is_empty() && self.meta.is_some() => {
                    self.trailer = Some(self.decode(bytes)?);
                    self.checksum.update(records.get(..before).unwrap_or_default());
                }
                _ => return Err(self.damaged("a record is out of place")),
            }
        }
        if self.trailer.is_none() {
            self.checksum.update(records);
        }
        drop(open);
        self.txn = Some(txn);
        Ok(())
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Error> {
        codec::decode(bytes).map_err(|error| self.undecodable(error))
    }

    fn undecodable(&self, error: DecodeError) -> Error {
        match error {
            DecodeError::Malformed(detail) => self.damaged(&detail),
            newer @ DecodeError::Newer { .. } => Error::undecodable(&self.path, newer),
        }
    }

    /// The table with a number; `None` for an index of another release.
    fn find(&self, id: TableId) -> Result<Option<Table>, Error> {
        let found = table::find(id).filter(|table| table.is_stored());
        if found.is_none() && id < FIRST_INDEX {
            let release = self.meta.as_ref().map_or("?", |meta| meta.release.as_str());
            let detail = format!(
                "the snapshot of release {release} has rows in table {}, which release {} does not \
                 know",
                id.0,
                codec::RELEASE
            );
            return Err(Error::Foreign { path: self.path.clone(), detail });
        }
        Ok(found)
    }

    /// Counts a row into the hash, if it is one that can be read.
    fn count(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Error> {
        if table.is_primary() {
            match row_key(table.id, value) {
                Some(Ok(of_row)) if of_row.as_slice() == key => {}
                Some(Err(error)) => return Err(self.undecodable(error)),
                Some(Ok(_)) | None => {
                    return Err(self.damaged(&format!("{}: a row has the wrong key", table.name)));
                }
            }
            let hash = row_hash(&mut self.scratch, table.id, key, value);
            self.hash = self.hash.wrapping_add(hash);
        }
        Ok(())
    }

    /// Checks the whole and makes it durable, still under its temporary name.
    pub(crate) fn finish(mut self) -> Result<(Database, StateMeta, NewState), Error> {
        let wrong = |detail: &str| Error::corrupt(&self.path, format!("snapshot: {detail}"));
        let (Some(txn), Some(meta), Some(trailer)) =
            (self.txn.take(), self.meta.take(), self.trailer.take())
        else {
            return Err(wrong("it is not complete"));
        };
        if trailer.checksum != self.checksum.digest128() {
            return Err(wrong("its checksum does not match"));
        }
        let mut counted =
            trailer.rows.iter().filter(|(id, rows)| TableId(**id) < FIRST_INDEX && **rows > 0);
        let counts = meta.counts.iter().filter(|(_, rows)| **rows > 0);
        let sent = |rows: &BTreeMap<u16, u64>| -> Vec<(u16, u64)> {
            rows.iter().filter(|(_, rows)| **rows > 0).map(|(id, rows)| (*id, *rows)).collect()
        };
        if sent(&trailer.rows) != sent(&self.rows) || !counts.eq(&mut counted) {
            return Err(wrong("its row counts do not match"));
        }
        if trailer.hash != self.hash || meta.hash != self.hash {
            return Err(wrong("its state hash does not match"));
        }
        put_meta(&txn, &self.path, &meta)?;
        txn.commit().map_err(|error| failed(&self.path, error))?;
        Ok((self.db, meta, self.file))
    }
}
