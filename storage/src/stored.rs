//! What `state.redb` holds: how far it is, and its tables, written in bulk.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::TableId;
use firstcome_domain::kernel::version::Level;
use firstcome_domain::value::{Millis, Revision};
use redb::{Database, Durability, ReadableDatabase, TableError, TableHandle as _};
use serde::{Deserialize, Serialize};

use crate::codec::{self, RELEASE};
use crate::error::Error;
use crate::file::{self, Definition, failed};
use crate::packed;
use crate::table::{self, Table};

/// 128-bit additive hash over all primary rows; equal at equal revisions on every node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StateHash(pub u128);

/// How far the state is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The last applied log entry; `None` before the first.
    pub revision: Option<Revision>,
    /// Log time of the last command.
    pub now: Millis,
    /// Raft's own encoding of last applied log id and membership, as given to `apply`.
    pub meta: Bytes,
    /// Hash of all primary rows.
    pub hash: StateHash,
}

impl Applied {
    /// The last applied log entry; 0 before the first.
    pub(crate) fn index(&self) -> u64 {
        self.revision.map_or(0, Revision::get)
    }
}

/// How far the state is; one row beside the tables, written with them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct StateMeta {
    /// The release that wrote it.
    pub(crate) release: String,
    /// The feature level of the rows.
    pub(crate) level: u16,
    pub(crate) revision: Option<Revision>,
    pub(crate) now: Millis,
    pub(crate) raft: Bytes,
    pub(crate) hash: u128,
    /// Rows per primary table, by its number.
    pub(crate) counts: BTreeMap<u16, u64>,
    /// Numbers of the indexes that the file has.
    pub(crate) indexes: Vec<u16>,
}

impl Default for StateMeta {
    /// A state without rows has every index.
    fn default() -> Self {
        Self {
            release: RELEASE.to_owned(),
            level: Level::FIRST.0,
            revision: None,
            now: Millis::default(),
            raft: Bytes::new(),
            hash: 0,
            counts: BTreeMap::new(),
            indexes: stored_indexes(),
        }
    }
}

/// Numbers of the indexes that this release keeps on disk.
pub(crate) fn stored_indexes() -> Vec<u16> {
    let stored = table::all().filter(|table| !table.is_primary() && table.is_stored());
    stored.map(|table| table.id.0).collect()
}

impl StateMeta {
    pub(crate) fn applied(&self) -> Applied {
        Applied {
            revision: self.revision,
            now: self.now,
            meta: self.raft.clone(),
            hash: StateHash(self.hash),
        }
    }

    pub(crate) fn applied_index(&self) -> u64 {
        self.revision.map_or(0, Revision::get)
    }

    pub(crate) fn count(&self, table: TableId) -> u64 {
        self.counts.get(&table.0).copied().unwrap_or(0)
    }
}

/// How far the rows of a file are; one row.
const APPLIED: Definition = Definition::new("applied");
const APPLIED_KEY: &[u8] = b"applied";

/// How far a state file is; the beginning, if nothing was ever saved.
pub(crate) fn load_meta(db: &Database, path: &Path) -> Result<StateMeta, Error> {
    let txn = db.begin_read().map_err(|error| failed(path, error))?;
    let table = match txn.open_table(APPLIED) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(StateMeta::default()),
        Err(error) => return Err(failed(path, error)),
    };
    let row = table.get(APPLIED_KEY).map_err(|error| failed(path, error))?;
    let row = row.ok_or_else(|| Error::corrupt(path, "the applied-position row is missing"))?;
    let meta: StateMeta =
        codec::decode(row.value()).map_err(|error| Error::undecodable(path, error))?;
    check_known(&meta, path)?;
    Ok(meta)
}

/// Refuses rows of a feature level or of a table that this release does not know.
pub(crate) fn check_known(meta: &StateMeta, path: &Path) -> Result<(), Error> {
    let StateMeta { release, level, counts, .. } = meta;
    let (own, known) = (RELEASE, Level::KNOWN.0);
    let foreign = |detail| Err(Error::Foreign { path: path.to_owned(), detail });
    if *level > known {
        return foreign(format!(
            "release {release} wrote it at feature level {level}; this is release {own}, which \
             knows levels up to {known}"
        ));
    }
    let is_known = |id: u16| table::find(TableId(id)).is_some_and(Table::is_primary);
    let unknown = counts.iter().find(|(id, rows)| **rows > 0 && !is_known(**id));
    if let Some((id, _)) = unknown {
        return foreign(format!(
            "release {release} wrote rows of table {id}; this is release {own}, which does not \
             know it"
        ));
    }
    Ok(())
}

/// Writes how far the rows of this transaction are.
pub(crate) fn put_meta(
    txn: &redb::WriteTransaction,
    path: &Path,
    meta: &StateMeta,
) -> Result<(), Error> {
    let mut table = txn.open_table(APPLIED).map_err(|error| failed(path, error))?;
    table
        .insert(APPLIED_KEY, codec::encode(meta).as_slice())
        .map_err(|error| failed(path, error))?;
    Ok(())
}

/// Begins a transaction that survives a crash once committed, and that a reopening need not
/// repair: quick repair, because a state file is large.
pub(crate) fn begin_durable(db: &Database, path: &Path) -> Result<redb::WriteTransaction, Error> {
    let mut txn = db.begin_write().map_err(|error| failed(path, error))?;
    txn.set_durability(Durability::Immediate)
        .map_err(|error| Error::Invariant(error.to_string()))?;
    txn.set_quick_repair(true);
    Ok(txn)
}

/// Whether a table says something about the file: whose it is, or how far.
pub(crate) fn is_about_file(name: &str) -> bool {
    [file::IDENTITY, APPLIED].iter().any(|table| table.name() == name)
}

/// Writes rows of one table, in key order; `None` removes.
pub(crate) fn write_table<'a>(
    txn: &redb::WriteTransaction,
    path: &Path,
    table: Table,
    mut rows: impl Iterator<Item = (Key, Option<&'a Bytes>)>,
) -> Result<(), Error> {
    let mut stored = txn.open_table(table.definition()).map_err(|error| failed(path, error))?;
    if let Some(term_bytes) = table.packed_term() {
        let mut removed = false;
        let keys = std::iter::from_fn(|| {
            let (key, slot) = rows.next()?;
            removed |= slot.is_none();
            Some(key)
        });
        packed::pack(table, term_bytes, keys, |first, rest| {
            stored.insert(first, rest).map(drop).map_err(|error| failed(path, error))
        })?;
        if removed {
            return Err(Error::Invariant(format!("a row of {} was removed", table.name)));
        }
        return Ok(());
    }
    for (key, slot) in rows {
        match slot {
            Some(value) => stored.insert(key.as_slice(), &**value),
            None => stored.remove(key.as_slice()),
        }
        .map_err(|error| failed(path, error))?;
    }
    Ok(())
}
