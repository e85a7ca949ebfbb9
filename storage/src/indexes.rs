//! Indexes made from rows: those in memory at each start, those on disk when a release has one that
//! the file has not.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::{IndexRow, TableId};
use firstcome_domain::registry::{Declared, KindVisitor, TABLES, TableDef, index_rows, visit_kind};

use crate::Error;
use crate::codec::{self, RELEASE};
use crate::file::{OpenFile, failed};
use crate::memtable::NEWEST;
use crate::scan::{Base, Direction, Levels};
use crate::state::checkpoint::{begin_durable, put_meta, write_table};
use crate::table;
use crate::write::{StateMeta, stored_indexes};

/// Keys of one missing index held in memory before they are written: about 100 MB.
const KEYS_MAX: usize = 2_000_000;

/// The index rows of an encoded row.
pub(crate) fn of_row(
    table: TableId,
    bytes: &[u8],
) -> Option<Result<Vec<IndexRow>, codec::DecodeError>> {
    struct Visit<'a>(&'a [u8]);
    impl KindVisitor for Visit<'_> {
        type Output = Result<Vec<IndexRow>, codec::DecodeError>;

        fn kind<R: Declared>(self) -> Self::Output {
            codec::decode_versioned::<R>(self.0, R::NAME).map(|row| index_rows(&row))
        }
    }
    visit_kind(table, Visit(bytes))
}

/// Fills the indexes in memory, all but one, from the rows of a file.
pub(crate) fn fill_live(levels: &Levels, without: Option<TableId>) -> Result<(), Error> {
    let in_memory = table::all().filter(|table| !table.is_stored()).map(|table| table.id);
    let in_memory: Vec<TableId> = in_memory.filter(|id| Some(*id) != without).collect();
    let mut live = levels.live.write();
    for TableDef { table, name, live_from, .. } in TABLES.iter().filter(|table| table.live) {
        let unknown = || Error::Invariant(format!("there is no table {name}"));
        let from = live_from.map_or(Ok(None), |mark| marked(levels, mark))?;
        let low = from.map_or(Bound::Unbounded, Bound::Included);
        let table = table::find(*table).ok_or_else(unknown)?;
        each_index_row(levels, table, low, |row| {
            if in_memory.contains(&row.table) {
                live.fill(row.table, &row.key);
            }
        })?;
    }
    Ok(())
}

/// From which key on rows can be in indexes in memory, by the only row of a table; `None` if it is
/// not there.
fn marked(levels: &Levels, table: TableId) -> Result<Option<Key>, Error> {
    struct Visit<'a>(&'a [u8]);
    impl KindVisitor for Visit<'_> {
        type Output = Result<Option<Key>, codec::DecodeError>;

        fn kind<R: Declared>(self) -> Self::Output {
            codec::decode_versioned::<R>(self.0, R::NAME).map(|row| row.live_from())
        }
    }
    let Some(found) = levels.get(table, &Key::EMPTY, NEWEST)? else { return Ok(None) };
    let mark = visit_kind(table, Visit(found.bytes())).unwrap_or(Ok(None));
    mark.map_err(|error| Error::undecodable(levels.base.path(), error))
}

/// Makes the indexes that the file lacks, and drops those that this release does not keep up. From
/// then on the file is one of this release.
pub(crate) fn ensure(db: &Arc<OpenFile>, path: &Path, meta: StateMeta) -> Result<StateMeta, Error> {
    let meta = StateMeta { release: RELEASE.to_owned(), ..meta };
    let wanted = stored_indexes();
    let missing: Vec<u16> =
        wanted.iter().filter(|id| !meta.indexes.contains(id)).copied().collect();
    if missing.is_empty() && meta.indexes.iter().all(|id| wanted.contains(id)) {
        return Ok(meta);
    }
    tracing::info!(?missing, "the state has other indexes than this release: making them anew");
    let levels = Levels::over(Base::open(db, path)?);
    let txn = begin_durable(db, path)?;
    for id in &missing {
        let index = table::find(TableId(*id))
            .ok_or_else(|| Error::Invariant(format!("there is no index {id}")))?;
        txn.delete_table(index.definition()).map_err(|error| failed(path, error))?;
        let mut keys: Vec<Key> = Vec::new();
        for rows in table::all().filter(|table| table.is_primary()) {
            each_index_row(&levels, rows, Bound::Unbounded, |row| {
                if row.table.0 == *id {
                    keys.push(row.key);
                }
            })?;
        }
        if keys.len() > KEYS_MAX {
            tracing::warn!(index = index.name, keys = keys.len(), "a large index is being made");
        }
        keys.sort_unstable();
        let nothing = Bytes::new();
        write_table(&txn, path, index, keys.into_iter().map(|key| (key, Some(&nothing))))?;
    }
    let meta = StateMeta { indexes: wanted, ..meta };
    put_meta(&txn, path, &meta)?;
    txn.commit().map_err(|error| failed(path, error))?;
    Ok(meta)
}

/// Hands every index row that follows from a table's rows, those from `low` on, to `visit`.
pub(crate) fn each_index_row(
    levels: &Levels,
    table: table::Table,
    low: Bound<Key>,
    mut visit: impl FnMut(IndexRow),
) -> Result<(), Error> {
    let path = levels.base.path();
    let mut scan = levels.scan(table, low, Bound::Unbounded, Direction::Up, NEWEST)?;
    while let Some((_, found)) = scan.next_row()? {
        let rows = of_row(table.id, found.bytes())
            .ok_or_else(|| Error::Invariant(format!("{} has no kind", table.name)))?
            .map_err(|error| Error::undecodable(path, error))?;
        rows.into_iter().for_each(&mut visit);
    }
    Ok(())
}
