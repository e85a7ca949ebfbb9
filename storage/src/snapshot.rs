//! Snapshots: every table in key order, streamed out of one read transaction, in checked chunks.
//!
//! ```text
//! chunk    format 1 (u8), sequence from 0 (u64), records, xxh3-64 of all that (u64)
//! record   'H' length (u32), StateMeta          the first record
//!          'R' table (u8), key length (u8), value length (u32), key, value
//!          'T' length (u32), Trailer            the last record
//! ```
//!
//! Numbers are little endian. The trailer repeats the row counts and holds a checksum over all
//! records before it; the receiver also recomputes the state hash from the primary rows. Indexes
//! travel too: sorted rows go into redb several times faster than rebuilt ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use firstcome_fault::{Bug, armed};
use redb::{Database, ReadTransaction, ReadableDatabase, TableError, WriteTransaction};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::Error;
use crate::codec;
use crate::dir::{NewState, Place};
use crate::file::{self, failed};
use crate::rows::{StateMeta, row_hash};
use crate::state::Applied;
use crate::state::checkpoint::{begin_durable, put_meta};
use crate::table::{PRIMARY_TABLES, TABLES, Table};

const FORMAT: u8 = 1;
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
    /// Rows of every table, indexes included.
    rows: [u64; TABLES],
    /// State hash of the primary rows.
    hash: u128,
    /// xxh3-128 over all records before this one.
    checksum: u128,
}

/// A snapshot going out.
pub struct SnapshotReader {
    /// Keeps the file open even if another snapshot is installed meanwhile.
    _db: Arc<Database>,
    txn: ReadTransaction,
    path: PathBuf,
    meta: StateMeta,
    applied: Applied,
    sequence: u64,
    checksum: Box<Xxh3>,
    rows: [u64; TABLES],
    /// The table being read, and the last key sent of it; `None` when all are through.
    place: Option<(Table, Vec<u8>)>,
    ended: bool,
}

impl SnapshotReader {
    pub(crate) fn open(db: Arc<Database>, path: &Path, meta: &StateMeta) -> Result<Self, Error> {
        let txn = db.begin_read().map_err(|error| failed(path, error))?;
        Ok(Self {
            _db: db,
            txn,
            path: path.to_owned(),
            applied: meta.applied(),
            meta: meta.clone(),
            sequence: 0,
            checksum: Box::default(),
            rows: [0; TABLES],
            place: Some((Table::Settings, Vec::new())),
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
            self.place = self.fill(&mut chunk, table, &last)?;
            if chunk.len() >= CHUNK_BYTES {
                break;
            }
        }
        self.checksum.update(chunk.get(HEAD_BYTES..).unwrap_or_default());
        if self.place.is_none() {
            let trailer = Trailer {
                rows: self.rows,
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
        last: &[u8],
    ) -> Result<Option<(Table, Vec<u8>)>, Error> {
        let after = Table::from_number(table.number() + 1).map(|next| (next, Vec::new()));
        if table == Table::ReceiptScopes && armed(Bug::ReceiptNotInSnapshot) {
            return Ok(after);
        }
        let rows = match self.txn.open_table(table.definition()) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => return Ok(after),
            Err(error) => return Err(failed(&self.path, error)),
        };
        let count = self.rows.get_mut(table.place());
        let mut sent = 0;
        let mut stopped_at = None;
        // The empty key is settings' only one; every other table's keys are longer.
        let first = last.is_empty();
        let range = if first {
            rows.range::<&[u8]>(..)
        } else {
            let low = std::ops::Bound::Excluded(last);
            rows.range::<&[u8]>((low, std::ops::Bound::Unbounded))
        };
        for row in range.map_err(|error| failed(&self.path, error))? {
            let (key, value) = row.map_err(|error| failed(&self.path, error))?;
            put_row(chunk, table, key.value(), value.value());
            sent += 1;
            if chunk.len() >= CHUNK_BYTES && table != Table::Settings {
                stopped_at = Some(key.value().to_vec());
                break;
            }
        }
        if let Some(count) = count {
            *count += sent;
        }
        Ok(stopped_at.map(|key| (table, key)).or(after))
    }
}

fn put_record(chunk: &mut Vec<u8>, tag: u8, body: &[u8]) {
    chunk.push(tag);
    chunk.put_u32_le(u32::try_from(body.len()).unwrap_or(u32::MAX));
    chunk.extend_from_slice(body);
}

fn put_row(chunk: &mut Vec<u8>, table: Table, key: &[u8], value: &[u8]) {
    chunk.push(ROW);
    chunk.push(table.number());
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
    rows: [u64; TABLES],
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
    Row(Table, &'a [u8], &'a [u8]),
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
            let table = Table::from_number(*take(rest, 1)?.first()?)?;
            let key_len = usize::from(*take(rest, 1)?.first()?);
            let value_len = take_len(rest)?;
            let key = take(rest, key_len)?;
            Some(Record::Row(table, key, take(rest, value_len)?))
        }
        _ => None,
    }
}

impl SnapshotWriter {
    pub(crate) fn create(place: &Arc<Place>, cache_bytes: usize) -> Result<Self, Error> {
        let file = NewState::create(place);
        let path = file.path().to_owned();
        let handle = place.disk.create(&path).map_err(|error| Error::io(&path, error))?;
        let db = file::create(handle, &path, cache_bytes, &place.state_identity)?;
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
            rows: [0; TABLES],
            hash: 0,
            scratch: Vec::new(),
        })
    }

    fn damaged(&self, detail: &str) -> Error {
        Error::corrupt(&self.path, format!("snapshot chunk {}: {detail}", self.sequence))
    }

    /// Takes the next chunk, in order; a bad checksum is `Corrupt`.
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
                    self.meta = Some(self.decode(bytes)?);
                }
                Record::Row(table, key, value) if self.meta.is_some() => {
                    if open.as_ref().is_none_or(|(open, _)| *open != table) {
                        drop(open.take());
                        let rows = txn.open_table(table.definition());
                        open = Some((table, rows.map_err(|error| failed(&self.path, error))?));
                    }
                    if let Some((_, rows)) = &mut open {
                        rows.insert(key, value).map_err(|error| failed(&self.path, error))?;
                    }
                    self.count(table, key, value);
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
        codec::decode(bytes).map_err(|error| self.damaged(&error.to_string()))
    }

    fn count(&mut self, table: Table, key: &[u8], value: &[u8]) {
        if let Some(count) = self.rows.get_mut(table.place()) {
            *count += 1;
        }
        if table.is_primary() {
            let hash = row_hash(&mut self.scratch, table, key, value);
            self.hash = self.hash.wrapping_add(hash);
        }
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
        if trailer.rows != self.rows || self.rows.get(..PRIMARY_TABLES) != Some(&meta.counts) {
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
