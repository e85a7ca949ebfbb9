//! What a kind of row must declare, once: everything else follows from it.
//!
//! An aggregate implements [`Row`] for its type and names its [`Index`]es; the list of all kinds is
//! [`crate::registry`]. From these follow the view, the draft, the changes, the tables on disk,
//! snapshots, the state hash and the offline checks. Ids of tables are format: an id that was
//! given up is never used again.

use std::fmt::Debug;

use super::key::{Key, KeyPart};
use super::value::{Millis, Revision, RowStamp};
use super::version::Versioned;

/// The stable number of a table or an index. Rows are below 1000, indexes above.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TableId(pub u16);

/// A kind of row.
pub trait Row: Versioned + Clone + PartialEq + Debug + Send + Sync + 'static {
    /// Its table.
    const TABLE: TableId;
    /// The table's name in listings and messages.
    const NAME: &'static str;
    /// Whether rows are in a [`IndexKind::Live`] index or have a due time: a start reads the
    /// tables that do.
    const LIVE: bool = false;
    /// The table whose single row names the first key of this one that such an index may need
    /// ([`Row::live_from`]); a start reads no row before it. `None`: any row can be.
    const LIVE_FROM: Option<TableId> = None;
    /// Whether nearly every decision reads such rows: storage keeps them decoded.
    const HOT: bool = false;
    /// What a row is found by.
    type Key: KeyPart + Copy + Ord + Debug;

    /// The row's key.
    fn key(&self) -> Self::Key;

    /// The row's version and stamps; `None` for rows that are written once.
    fn stamp(&self) -> Option<RowStamp> {
        None
    }

    /// Sets what [`Row::stamp`] reads.
    fn set_stamp(&mut self, _: RowStamp) {}

    /// The index rows that follow from this row.
    fn index(&self, _: &mut IndexRows) {}

    /// The first key that an index in memory may need, of the table that names this one in
    /// [`Row::LIVE_FROM`].
    fn live_from(&self) -> Option<Key> {
        None
    }

    /// When the row wants to be looked at. Such a row's key is an id of 16 bytes.
    fn due_at(&self) -> Option<Millis> {
        None
    }
}

/// A list of keys that follow from rows.
pub trait Index {
    /// Its table.
    const TABLE: TableId;
    /// The table's name in listings and messages.
    const NAME: &'static str;
    /// How it is kept.
    const KIND: IndexKind;
    /// Where the row is in the list, down to the id of the row.
    type Key: KeyPart + Copy + Ord + Debug;
}

/// How an index is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexKind {
    /// On disk, one key a row; keys come and go with what a row says.
    Stored,
    /// On disk, many keys a row: keys are only ever added, and within the first `term_bytes` of
    /// a key they ascend, because the log's revision follows.
    Appended {
        /// Bytes before the revision.
        term_bytes: usize,
    },
    /// In memory, found again at each start: for rows that do not stay long.
    Live,
}

/// One row of an index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct IndexRow {
    /// The index.
    pub table: TableId,
    /// The key; there is no value.
    pub key: Key,
}

/// The index rows of one row.
#[derive(Default, Debug)]
pub struct IndexRows(pub Vec<IndexRow>);

impl IndexRows {
    /// Adds a key to an index.
    pub fn add<I: Index>(&mut self, key: I::Key) {
        self.0.push(IndexRow { table: I::TABLE, key: Key::of(&key) });
    }
}

/// What listings and storage must know of an index without its types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexDef {
    /// Its table.
    pub table: TableId,
    /// Its name.
    pub name: &'static str,
    /// How it is kept.
    pub kind: IndexKind,
    /// Bytes of a key.
    pub key_bytes: usize,
}

impl IndexDef {
    /// Describes an index.
    pub const fn of<I: Index>() -> Self {
        Self { table: I::TABLE, name: I::NAME, kind: I::KIND, key_bytes: I::Key::WIDTH }
    }
}

/// Declares indexes: `/// doc` `Name(id, "name", kind): key type;`.
macro_rules! indexes {
    ($($(#[$doc:meta])* $name:ident($id:literal, $text:literal, $kind:expr): $key:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl $crate::kernel::row::Index for $name {
            const TABLE: $crate::kernel::row::TableId = $crate::kernel::row::TableId($id);
            const NAME: &'static str = $text;
            const KIND: $crate::kernel::row::IndexKind = $kind;
            type Key = $key;
        }
    )*};
}
pub(crate) use indexes;

indexes! {
    /// Rows that want to be looked at, by (`due_at`, table, id). Filled from [`Row::due_at`].
    Due(1000, "due", IndexKind::Live): (Millis, u16, u128);
}

/// Everything that an index key needs below and above what is asked for.
pub const REVISIONS: (Revision, Revision) = (Revision::new(0), Revision::new(u64::MAX));
