//! The tables of `state.redb`: what the registry says of each, by its number.
//!
//! Rows of the first kind are *primary*: they alone make up the state hash and the row counts.
//! Index rows follow from them and can be made again. In redb a table has its name; its number is in
//! the state hash, in snapshots, and in the row that says how far the file is.

use firstcome_domain::kernel::row::{IndexKind, TableId};
use firstcome_domain::registry::{INDEXES, TABLES};

use crate::file::Definition;

/// One table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Table {
    pub(crate) id: TableId,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Bytes of every key.
    pub(crate) key_bytes: usize,
}

/// What a table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Rows.
    Rows,
    /// Keys that follow from rows.
    Index(IndexKind),
}

impl Table {
    pub(crate) const fn is_primary(self) -> bool {
        matches!(self.kind, Kind::Rows)
    }

    /// Whether the table is on disk.
    pub(crate) const fn is_stored(self) -> bool {
        !matches!(self.kind, Kind::Index(IndexKind::Live))
    }

    /// Bytes of a key's term, if keys of one term are packed into one row of the file.
    pub(crate) const fn packed_term(self) -> Option<usize> {
        match self.kind {
            Kind::Index(IndexKind::Appended { term_bytes }) => Some(term_bytes),
            Kind::Rows | Kind::Index(IndexKind::Stored | IndexKind::Live) => None,
        }
    }

    pub(crate) const fn definition(self) -> Definition {
        Definition::new(self.name)
    }
}

/// Every table, rows first, in the order of their numbers.
pub(crate) fn all() -> impl Iterator<Item = Table> {
    let rows = TABLES.iter().map(|table| Table {
        id: table.table,
        name: table.name,
        kind: Kind::Rows,
        key_bytes: table.key_bytes,
    });
    let indexes = INDEXES.iter().map(|index| Table {
        id: index.table,
        name: index.name,
        kind: Kind::Index(index.kind),
        key_bytes: index.key_bytes,
    });
    rows.chain(indexes)
}

/// A table by its number; `None` if this release has no such table.
pub(crate) fn find(id: TableId) -> Option<Table> {
    all().find(|table| table.id == id)
}
