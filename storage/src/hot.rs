//! The rows that nearly every decision reads, decoded.
//!
//! Apply keeps them, with each one's hash and the revision from which on it stands, so that neither
//! it nor a reader decodes a product, a sale or a pool again and again. A reader at an earlier
//! revision than a row's reads the levels instead.

use std::collections::HashMap;

use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::TableId;
use firstcome_domain::registry::AnyRow;
use parking_lot::RwLock;

/// Rows kept; a sale reads the same few all the time.
const ROWS_MAX: usize = 16 * 1024;

/// One row as apply last read or wrote it.
#[derive(Clone)]
pub(crate) struct HotRow {
    /// `None`: there is no such row.
    pub(crate) row: Option<AnyRow>,
    /// Hash of its bytes.
    pub(crate) hash: u128,
    /// The revision from which on it stands.
    pub(crate) since: u64,
}

/// Decoded rows by table and key.
#[derive(Default)]
pub(crate) struct HotRows(RwLock<HashMap<(TableId, Key), HotRow>>);

impl HotRows {
    pub(crate) fn get(&self, table: TableId, key: &Key) -> Option<HotRow> {
        self.0.read().get(&(table, *key)).cloned()
    }

    /// Only apply calls this, so what it keeps is never older than what is there.
    pub(crate) fn keep(&self, table: TableId, key: Key, row: HotRow) {
        let mut rows = self.0.write();
        if rows.len() >= ROWS_MAX {
            rows.clear();
        }
        rows.insert((table, key), row);
    }
}
