//! The rows that nearly every decision reads, decoded.
//!
//! Apply keeps them, with each one's hash and the revision from which on it stands, so that neither
//! it nor a reader decodes a product, a sale or a pool again and again. A reader at an earlier
//! revision than a row's reads the layers instead.
//!
//! Anybody can ask for ids that do not exist, as many as they like. So the absence of a row
//! is kept only for tables with a single row, such as the settings.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};

use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::TableId;
use firstcome_domain::registry::AnyRow;
use parking_lot::RwLock;

/// Memory for rows, estimated from their encoded length: room for far more sales than run at once.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a row costs besides its bytes: its key, its entry here, and the overhead of decoded fields.
const ROW_OVERHEAD_BYTES: usize = 512;

/// One row as apply last read or wrote it.
#[derive(Clone)]
pub(crate) struct HotRow {
    /// `None`: there is no such row.
    pub(crate) row: Option<AnyRow>,
    /// Hash of its bytes.
    pub(crate) hash: u128,
    /// The revision from which on it stands.
    pub(crate) since: u64,
    /// How long it is when encoded.
    pub(crate) bytes: usize,
}

impl HotRow {
    const fn cost(&self) -> usize {
        self.bytes + ROW_OVERHEAD_BYTES
    }
}

/// Decoded rows by table and key.
#[derive(Default)]
pub(crate) struct HotRows(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    rows: HashMap<(TableId, Key), HotRow, KeyHashes>,
    /// The keys of all rows; the oldest entry is evicted first. The order of the map differs
    /// between processes, and so would what is read from disk.
    order: VecDeque<(TableId, Key)>,
    bytes: usize,
}

impl HotRows {
    pub(crate) fn get(&self, table: TableId, key: &Key) -> Option<HotRow> {
        self.0.read().rows.get(&(table, *key)).cloned()
    }

    /// Only apply calls this, so what it keeps is never older than what is there.
    pub(crate) fn keep(&self, table: TableId, key: Key, row: HotRow) {
        self.0.write().keep((table, key), row, BYTES_MAX);
    }
}

impl Kept {
    fn keep(&mut self, key: (TableId, Key), row: HotRow, bytes_max: usize) {
        if row.row.is_none() && key.1 != Key::EMPTY {
            if let Some(old) = self.rows.remove(&key) {
                self.bytes -= old.cost();
                self.order.retain(|kept| *kept != key);
            }
            return;
        }
        self.bytes += row.cost();
        match self.rows.insert(key, row) {
            Some(old) => self.bytes -= old.cost(),
            None => self.order.push_back(key),
        }
        while self.bytes > bytes_max
            && let Some(first) = self.order.pop_front()
        {
            self.bytes -= self.rows.remove(&first).map_or(0, |row| row.cost());
        }
    }
}

/// Makes hashers with seeds that nobody outside this process knows: customers choose the keys that
/// are looked up here.
struct KeyHashes {
    seed: u64,
    factor: u64,
}

impl Default for KeyHashes {
    fn default() -> Self {
        let random = RandomState::new();
        Self { seed: random.hash_one(0), factor: random.hash_one(1) | 1 }
    }
}

impl BuildHasher for KeyHashes {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher { state: self.seed, factor: self.factor }
    }
}

/// Hashes keys of a few dozen bytes faster than the standard hasher would. Both halves of each
/// product count, so without the seeds nobody knows which keys collide.
struct KeyHasher {
    state: u64,
    factor: u64,
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let (low, high) = (self.state ^ word).carrying_mul(self.factor, 0);
        self.state = low ^ high.rotate_left(23);
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(u64::try_from(word).unwrap_or(u64::MAX));
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use firstcome_domain::registry::Declared as _;
    use firstcome_domain::settings::row::Settings;

    use super::*;

    fn row(bytes: usize) -> HotRow {
        let row = Some(Settings::into_any(Arc::new(Settings::default())));
        HotRow { row, hash: 0, since: 0, bytes }
    }

    fn key(n: u128) -> (TableId, Key) {
        (TableId(3), Key::of(&firstcome_domain::SaleId::new(n)))
    }

    /// Story: orders of sales that do not exist filled the cache until it was emptied.
    #[test]
    fn absent_rows_take_no_room() {
        let absent = || HotRow { row: None, bytes: 0, ..row(0) };
        let mut kept = Kept::default();
        kept.keep(key(1), row(100), BYTES_MAX);
        for n in 2..100 {
            kept.keep(key(n), absent(), BYTES_MAX);
        }
        assert_eq!((kept.rows.len(), kept.order.len()), (1, 1));
        // Nearly every decision asks for the settings, set or not.
        kept.keep((TableId(1), Key::EMPTY), absent(), BYTES_MAX);
        assert_eq!(kept.rows.len(), 2);
        // A row that is removed must not be found any more.
        kept.keep(key(1), absent(), BYTES_MAX);
        assert!(!kept.rows.contains_key(&key(1)));
        assert_eq!((kept.order.len(), kept.bytes), (1, ROW_OVERHEAD_BYTES));
    }

    #[test]
    fn the_oldest_rows_leave_when_there_are_too_many_bytes() {
        const ROWS: u128 = 10;
        let bytes_max = 10 * (1000 + ROW_OVERHEAD_BYTES);
        let mut kept = Kept::default();
        for n in 0..ROWS {
            kept.keep(key(n), row(1000), bytes_max);
        }
        kept.keep(key(0), row(1000), bytes_max);
        assert_eq!(kept.rows.len(), 10, "the same row again takes no more room");
        kept.keep(key(ROWS), row(1000), bytes_max);
        assert_eq!(kept.rows.len(), 10, "only one had to go");
        assert!(!kept.rows.contains_key(&key(0)) && kept.rows.contains_key(&key(ROWS)));
        kept.keep(key(5), row(3000), bytes_max);
        assert!(kept.bytes <= bytes_max && kept.rows.contains_key(&key(5)));
        let cost: usize = kept.rows.values().map(HotRow::cost).sum();
        assert_eq!((kept.bytes, kept.order.len()), (cost, kept.rows.len()));
    }

    #[test]
    fn every_process_hashes_in_its_own_way() {
        let hash = || KeyHashes::default().hash_one(key(1));
        assert_ne!(hash(), hash());
        // Keys that would collide under every seed if only the lower half of a product counted.
        let (seeded, top) = (KeyHashes::default(), 1u64 << 63);
        let words = |first: u64, second: u64| {
            let mut hasher = seeded.build_hasher();
            hasher.write_u64(first);
            hasher.write_u64(second);
            hasher.finish()
        };
        assert_ne!(words(7, 9), words(7 ^ top, 9 ^ top.rotate_left(23)));
    }
}
