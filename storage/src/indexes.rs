//! Indexes made from rows: those in memory at each start, those on disk when a release has one that
//! the file has not.

use std::collections::BinaryHeap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::{IndexRow, TableId};
use firstcome_domain::registry::{Declared, KindVisitor, TABLES, TableDef, index_rows, visit_kind};
use redb::TableHandle as _;

use crate::codec::{self, RELEASE};
use crate::dir::OpenFile;
use crate::error::Error;
use crate::file::failed;
use crate::memtable::NEWEST;
use crate::range::Direction;
use crate::scan::{Base, Layers};
use crate::stored::{
    StateMeta, begin_durable, is_about_file, put_meta, stored_indexes, write_table,
};
use crate::table::{self, Table};

/// Keys that are held in memory while an index is made: about 100 MB. An index with more takes
/// several passes over the rows.
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
pub(crate) fn fill_live(layers: &Layers, without: Option<TableId>) -> Result<(), Error> {
    let in_memory = table::all().filter(|table| !table.is_stored()).map(|table| table.id);
    let in_memory: Vec<TableId> = in_memory.filter(|id| Some(*id) != without).collect();
    let mut live = layers.live.write();
    for TableDef { table, name, live_from, .. } in TABLES.iter().filter(|table| table.live) {
        let unknown = || Error::Invariant(format!("there is no table {name}"));
        let from = live_from.map_or(Ok(None), |mark| marked(layers, mark))?;
        let low = from.map_or(Bound::Unbounded, Bound::Included);
        let table = table::find(*table).ok_or_else(unknown)?;
        each_index_row(layers, table, low, |row| {
            if in_memory.contains(&row.table) {
                live.fill(row.table, &row.key);
            }
        })?;
    }
    Ok(())
}

/// The first key that indexes in memory may need, according to the single row of `table`; `None`
/// without that row.
fn marked(layers: &Layers, table: TableId) -> Result<Option<Key>, Error> {
    struct Visit<'a>(&'a [u8]);
    impl KindVisitor for Visit<'_> {
        type Output = Result<Option<Key>, codec::DecodeError>;

        fn kind<R: Declared>(self) -> Self::Output {
            codec::decode_versioned::<R>(self.0, R::NAME).map(|row| row.live_from())
        }
    }
    let Some(found) = layers.get(table, &Key::EMPTY, NEWEST)? else { return Ok(None) };
    let mark = visit_kind(table, Visit(found.bytes())).unwrap_or(Ok(None));
    mark.map_err(|error| Error::undecodable(layers.base.path(), error))
}

/// Makes the indexes that the file lacks, and deletes the tables of those that this release does not
/// keep. After that the file belongs to this release.
pub(crate) fn ensure(db: &Arc<OpenFile>, path: &Path, meta: StateMeta) -> Result<StateMeta, Error> {
    let meta = StateMeta { release: RELEASE.to_owned(), ..meta };
    let wanted = stored_indexes();
    let missing: Vec<u16> =
        wanted.iter().filter(|id| !meta.indexes.contains(id)).copied().collect();
    if missing.is_empty() && meta.indexes.iter().all(|id| wanted.contains(id)) {
        return Ok(meta);
    }
    tracing::info!(
        ?missing,
        "the state has other indexes than this release; making those that are missing"
    );
    let layers = Layers::over(Base::open(db, path)?);
    let txn = begin_durable(db, path)?;
    delete_unknown(&txn, path)?;
    for id in &missing {
        let index = table::find(TableId(*id))
            .ok_or_else(|| Error::Invariant(format!("there is no index {id}")))?;
        txn.delete_table(index.definition()).map_err(|error| failed(path, error))?;
        make(&layers, &txn, index, KEYS_MAX)?;
    }
    let meta = StateMeta { indexes: wanted, ..meta };
    put_meta(&txn, path, &meta)?;
    txn.commit().map_err(|error| failed(path, error))?;
    Ok(meta)
}

/// Deletes the tables that this release does not keep. Those of rows that it does not know are empty:
/// a file with such rows was refused before.
fn delete_unknown(txn: &redb::WriteTransaction, path: &Path) -> Result<(), Error> {
    let tables = txn.list_tables().map_err(|error| failed(path, error))?;
    let is_kept = |name: &str| {
        is_about_file(name) || table::all().any(|table| table.is_stored() && table.name == name)
    };
    let unknown: Vec<_> = tables.filter(|table| !is_kept(table.name())).collect();
    for table in unknown {
        txn.delete_table(table).map_err(|error| failed(path, error))?;
    }
    Ok(())
}

/// Fills an index in ascending order, as packed rows need it, holding at most `keys_max` keys in
/// memory.
pub(crate) fn make(
    layers: &Layers,
    txn: &redb::WriteTransaction,
    index: Table,
    keys_max: usize,
) -> Result<(), Error> {
    let nothing = Bytes::new();
    let mut last = None;
    loop {
        // The first keys behind the last pass; the greatest of them is on top.
        let mut keys = BinaryHeap::new();
        let mut is_all = true;
        for rows in table::all().filter(|table| table.is_primary()) {
            each_index_row(layers, rows, Bound::Unbounded, |row| {
                if row.table == index.id && Some(row.key) > last {
                    keys.push(row.key);
                    if keys.len() > keys_max {
                        keys.pop();
                        is_all = false;
                    }
                }
            })?;
        }
        last = keys.peek().copied();
        let keys = keys.into_sorted_vec().into_iter().map(|key| (key, Some(&nothing)));
        write_table(txn, layers.base.path(), index, keys)?;
        if is_all {
            return Ok(());
        }
    }
}

/// Hands every index row that follows from a table's rows, those from `low` on, to `visit`.
pub(crate) fn each_index_row(
    layers: &Layers,
    table: Table,
    low: Bound<Key>,
    mut visit: impl FnMut(IndexRow),
) -> Result<(), Error> {
    let path = layers.base.path();
    let mut scan = layers.scan(table, low, Bound::Unbounded, Direction::Up, NEWEST)?;
    while let Some((_, found)) = scan.next_row()? {
        let rows = of_row(table.id, found.bytes())
            .ok_or_else(|| Error::Invariant(format!("{} has no kind", table.name)))?
            .map_err(|error| Error::undecodable(path, error))?;
        rows.into_iter().for_each(&mut visit);
    }
    Ok(())
}
