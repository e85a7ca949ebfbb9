//! How entries lie in `log.redb`, and the reads and writes of one transaction.
//!
//! ```text
//! entries   first index (u64, big endian) -> format 1, then per entry: length (u32), bytes
//! marks     "vote", "committed"           -> Raft's bytes
//!           "purged"                      -> index (u64), Raft's bytes
//! ```
//!
//! One row holds the entries of one commit, up to a bound: a row costs redb about as much as
//! fifty entries do. Rows below the purged mark may be left over; nobody reads them.

use std::path::Path;

use bytes::{BufMut, Bytes};
use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::{Entry, Mark};
use crate::error::Error;
use crate::file::{Definition, failed};

pub(crate) const ENTRIES: Definition = Definition::new("entries");
pub(crate) const MARKS: Definition = Definition::new("marks");
pub(crate) const VOTE: &[u8] = b"vote";
pub(crate) const COMMITTED: &[u8] = b"committed";
pub(crate) const PURGED: &[u8] = b"purged";

const FORMAT: u8 = 1;
/// 256 KiB: a read of one entry pays for its whole row.
const ROW_BYTES_MAX: usize = 256 * 1024;

type Rows<'txn> = Table<'txn, &'static [u8], &'static [u8]>;

/// The marks as a file holds them.
#[derive(Clone, Default, Debug)]
pub(crate) struct Marks {
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
    pub(crate) purged: Option<Mark>,
}

/// Packs entries that follow each other into the bytes of one row.
pub(crate) fn pack(entries: &[Entry]) -> Vec<u8> {
    let size: usize = entries.iter().map(|entry| entry.bytes.len() + 4).sum();
    let mut row = Vec::with_capacity(size + 1);
    row.push(FORMAT);
    for entry in entries {
        row.put_u32_le(u32::try_from(entry.bytes.len()).unwrap_or(u32::MAX));
        row.put_slice(&entry.bytes);
    }
    row
}

/// Takes a row apart again.
pub(crate) fn unpack(path: &Path, first: u64, row: &[u8]) -> Result<Vec<Entry>, Error> {
    let damaged = |detail: &str| Error::corrupt(path, format!("entry row {first}: {detail}"));
    let Some((&FORMAT, mut rest)) = row.split_first() else {
        return Err(damaged("unknown format"));
    };
    let mut entries = Vec::new();
    let mut index = first;
    while !rest.is_empty() {
        let (len, tail) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("cut short"))?;
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let (bytes, tail) = tail.split_at_checked(len).ok_or_else(|| damaged("cut short"))?;
        entries.push(Entry { index, bytes: Bytes::copy_from_slice(bytes) });
        index = index.checked_add(1).ok_or_else(|| damaged("no index is left"))?;
        rest = tail;
    }
    if entries.is_empty() { Err(damaged("no entries")) } else { Ok(entries) }
}

fn index_of(path: &Path, key: &[u8]) -> Result<u64, Error> {
    let key = key.try_into().map_err(|_| Error::corrupt(path, "an entry key is not 8 bytes"))?;
    Ok(u64::from_be_bytes(key))
}

/// Adds entries that follow each other; rewrites nothing.
pub(crate) fn append(path: &Path, rows: &mut Rows<'_>, entries: &[Entry]) -> Result<(), Error> {
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.bytes.len();
            bytes <= ROW_BYTES_MAX
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (row, tail) = rest.split_at(count);
        rows.insert(first.index.to_be_bytes().as_slice(), pack(row).as_slice())
            .map_err(|error| failed(path, error))?;
        rest = tail;
    }
    Ok(())
}

/// Removes all entries from `from` on; a row that straddles the cut is rewritten.
pub(crate) fn truncate(path: &Path, rows: &mut Rows<'_>, from: u64) -> Result<(), Error> {
    let key = from.to_be_bytes();
    let straddling = before(path, rows, from)?.unwrap_or_default();
    rows.retain_in::<&[u8], _>(key.as_slice().., |_, _| false)
        .map_err(|error| failed(path, error))?;
    let kept: Vec<Entry> =
        straddling.iter().take_while(|entry| entry.index < from).cloned().collect();
    if kept.len() < straddling.len() { append(path, rows, &kept) } else { Ok(()) }
}

/// The last row that begins before `index`.
fn before(
    path: &Path,
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    index: u64,
) -> Result<Option<Vec<Entry>>, Error> {
    let key = index.to_be_bytes();
    let mut range = rows.range::<&[u8]>(..key.as_slice()).map_err(|error| failed(path, error))?;
    let Some(row) = range.next_back() else { return Ok(None) };
    let (key, value) = row.map_err(|error| failed(path, error))?;
    unpack(path, index_of(path, key.value())?, value.value()).map(Some)
}

/// Removes rows that hold only entries up to `upto`, at most `rows_max` of them; answers whether
/// there may be more.
pub(crate) fn purge(
    path: &Path,
    rows: &mut Rows<'_>,
    upto: u64,
    rows_max: usize,
) -> Result<bool, Error> {
    let failed = |error: redb::StorageError| failed(path, error);
    // A row ends where the next begins, so the keys alone say which rows are over. The last row
    // that begins at or below the mark may go on above it: it stays until a later purge.
    let key = upto.to_be_bytes();
    let mut firsts: Vec<[u8; 8]> = Vec::new();
    for row in rows.range::<&[u8]>(..=key.as_slice()).map_err(failed)?.take(rows_max + 1) {
        let (key, _) = row.map_err(failed)?;
        firsts.push(index_of(path, key.value())?.to_be_bytes());
    }
    let more = firsts.len() > rows_max;
    firsts.pop();
    for first in &firsts {
        rows.remove(first.as_slice()).map_err(failed)?;
    }
    Ok(more)
}

/// Writes one mark.
pub(crate) fn put_mark(
    path: &Path,
    txn: &WriteTransaction,
    name: &[u8],
    bytes: &[u8],
) -> Result<(), Error> {
    let mut marks = txn.open_table(MARKS).map_err(|error| failed(path, error))?;
    marks.insert(name, bytes).map_err(|error| failed(path, error))?;
    Ok(())
}

/// The purged mark's bytes.
pub(crate) fn encode_mark(mark: &Mark) -> Vec<u8> {
    [mark.index.to_be_bytes().as_slice(), &mark.bytes].concat()
}

/// Reads the marks and the index of the last entry.
pub(crate) fn load(path: &Path, txn: &ReadTransaction) -> Result<(Marks, Option<u64>), Error> {
    let mut marks = Marks::default();
    if let Some(table) = opened(path, txn.open_table(MARKS))? {
        let read = |name: &[u8]| -> Result<Option<Bytes>, Error> {
            let row = table.get(name).map_err(|error| failed(path, error))?;
            Ok(row.map(|row| Bytes::copy_from_slice(row.value())))
        };
        marks.vote = read(VOTE)?;
        marks.committed = read(COMMITTED)?;
        if let Some(bytes) = read(PURGED)? {
            let damaged = || Error::corrupt(path, "the purged mark is cut short");
            let (index, _) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
            let index = u64::from_be_bytes(*index);
            marks.purged = Some(Mark { index, bytes: bytes.slice(8..) });
        }
    }
    let last = match opened(path, txn.open_table(ENTRIES))? {
        Some(rows) => before(path, &rows, u64::MAX)?.and_then(|row| Some(row.last()?.index)),
        None => None,
    };
    Ok((marks, last))
}

/// The first index the file holds.
pub(crate) fn first_index(path: &Path, txn: &ReadTransaction) -> Result<Option<u64>, Error> {
    let Some(rows) = opened(path, txn.open_table(ENTRIES))? else { return Ok(None) };
    let first = rows.first().map_err(|error| failed(path, error))?;
    let key = first.and_then(|(key, _)| key.value().first_chunk::<8>().copied());
    Ok(key.map(u64::from_be_bytes))
}

/// A table that may not exist yet.
fn opened<T>(path: &Path, table: Result<T, redb::TableError>) -> Result<Option<T>, Error> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

/// Hands every entry with `first <= index <= last` to `keep` until it says stop, in order.
/// A gap is damage.
pub(crate) fn read(
    path: &Path,
    txn: &ReadTransaction,
    first: u64,
    last: u64,
    mut keep: impl FnMut(Entry) -> bool,
) -> Result<(), Error> {
    let gap = |index| Error::corrupt(path, format!("entry {index} is missing"));
    let rows = opened(path, txn.open_table(ENTRIES))?.ok_or_else(|| gap(first))?;
    let key = first.to_be_bytes();
    let start = rows
        .range::<&[u8]>(..=key.as_slice())
        .map_err(|error| failed(path, error))?
        .next_back()
        .ok_or_else(|| gap(first))?
        .map_err(|error| failed(path, error))?
        .0
        .value()
        .to_vec();
    let mut next = first;
    let end = last.to_be_bytes();
    for row in rows
        .range::<&[u8]>(start.as_slice()..=end.as_slice())
        .map_err(|error| failed(path, error))?
    {
        let (key, value) = row.map_err(|error| failed(path, error))?;
        for entry in unpack(path, index_of(path, key.value())?, value.value())? {
            if entry.index < next {
                continue;
            }
            if entry.index != next {
                return Err(gap(next));
            }
            if next > last || !keep(entry) {
                return Ok(());
            }
            next += 1;
        }
    }
    if next > last { Ok(()) } else { Err(gap(next)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_packing_and_damage_is_seen() {
        let path = Path::new("log.redb");
        let entry = |index: u64, len: usize| Entry { index, bytes: vec![7; len].into() };
        let entries = vec![entry(5, 3), entry(6, 0), entry(7, 300)];
        let row = pack(&entries);
        assert_eq!(unpack(path, 5, &row).unwrap(), entries);
        assert!(unpack(path, 5, &row[..row.len() - 1]).is_err());
        assert!(unpack(path, 5, &row[..3]).is_err());
        assert!(unpack(path, 5, &[1]).is_err());
        assert!(unpack(path, 5, &[9, 0, 0, 0, 0]).is_err());
    }
}
