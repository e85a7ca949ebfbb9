//! The rows that nearly every decision reads, decoded.
//!
//! Apply keeps them, with each one's hash and the revision from which on it stands, so that neither
//! it nor a reader decodes a product, a sale or a pool again and again. A reader at an earlier
//! revision than a row's reads the levels instead.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

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
pub(crate) struct HotRows(RwLock<HashMap<(TableId, Key), HotRow, BuildHasherDefault<KeyHasher>>>);

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

/// Hashes keys of a few dozen bytes. It resists no attack, which would cost time on every look-up:
/// the keys are ids of products and sales, and only staff create those.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

/// An odd number without a pattern: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(u64::try_from(word).unwrap_or(u64::MAX));
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
