//! Indexes that live in memory: keys of rows that do not stay long, found again at each start.
//!
//! A million unpaid orders have six keys each, so a key is kept in hardly more bytes than it has.
//! Beside the keys of now there is a note of each key that came or went since the oldest open view
//! began; such a view sees the keys as they were.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Bound, RangeBounds as _};

use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::TableId;

use crate::memtable::Readers;
use crate::scan::Direction;
use crate::table::{self, Table};

/// All indexes in memory.
#[derive(Debug)]
pub(crate) struct LiveIndexes(Vec<(TableId, LiveIndex)>);

impl Default for LiveIndexes {
    fn default() -> Self {
        let tables = table::all().filter(|table| !table.is_stored());
        Self(tables.map(|table| (table.id, LiveIndex::new(table))).collect())
    }
}

impl LiveIndexes {
    fn index(&mut self, table: TableId) -> Option<&mut LiveIndex> {
        self.0.iter_mut().find(|(id, _)| *id == table).map(|(_, index)| index)
    }

    /// Adds a key.
    pub(crate) fn add(&mut self, table: TableId, key: Key, revision: u64) {
        if let Some(index) = self.index(table) {
            index.now.insert(&key);
            index.lately.push_back(Note { revision, key, came: true });
        }
    }

    /// Adds a key that every view sees.
    pub(crate) fn fill(&mut self, table: TableId, key: &Key) {
        if let Some(index) = self.index(table) {
            index.now.insert(key);
        }
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, table: TableId, key: Key, revision: u64) {
        if let Some(index) = self.index(table)
            && index.now.remove(&key)
        {
            index.lately.push_back(Note { revision, key, came: false });
        }
    }

    /// Notes kept for open views.
    #[cfg(test)]
    pub(crate) fn noted(&self) -> usize {
        self.0.iter().map(|(_, index)| index.lately.len()).sum()
    }

    /// Forgets what came or went before the oldest reader began.
    pub(crate) fn tidy(&mut self, readers: Readers) {
        for (_, index) in &mut self.0 {
            let old = index.lately.partition_point(|note| note.revision <= readers.oldest);
            index.lately.drain(..old);
        }
    }

    /// At most `limit` keys between two bounds as a reader at `revision` sees them, in order.
    pub(crate) fn keys(
        &self,
        table: TableId,
        (low, high): (Bound<Key>, Bound<Key>),
        direction: Direction,
        revision: u64,
        limit: usize,
    ) -> Vec<Key> {
        let index = self.0.iter().find(|(id, _)| *id == table).map(|(_, index)| index);
        index.map(|index| index.keys(low, high, direction, revision, limit)).unwrap_or_default()
    }
}

/// The keys of one index.
#[derive(Debug)]
struct LiveIndex {
    now: Keys,
    /// Keys that came and went since the oldest view began, in that order.
    lately: VecDeque<Note>,
}

/// A key came or went.
#[derive(Clone, Copy, Debug)]
struct Note {
    revision: u64,
    key: Key,
    came: bool,
}

impl LiveIndex {
    fn new(table: Table) -> Self {
        Self { now: Keys::of_width(table.key_bytes), lately: VecDeque::new() }
    }

    fn keys(
        &self,
        low: Bound<Key>,
        high: Bound<Key>,
        direction: Direction,
        revision: u64,
        limit: usize,
    ) -> Vec<Key> {
        let seen = self.lately.partition_point(|note| note.revision <= revision);
        let later = self.lately.range(seen..);
        if later.len() == 0 {
            return self.now.range(low, high, direction, |_| true, limit);
        }
        // The first thing that happened to a key after the view began says whether it was there.
        let mut was_there: BTreeMap<Key, bool> = BTreeMap::new();
        for note in later.filter(|note| (low, high).contains(&note.key)) {
            was_there.entry(note.key).or_insert(!note.came);
        }
        let unchanged = |key: &Key| !was_there.contains_key(key);
        let mut keys = self.now.range(low, high, direction, unchanged, limit);
        let before = keys.len();
        keys.extend(was_there.iter().filter(|(_, there)| **there).map(|(key, _)| *key));
        if keys.len() > before {
            keys.sort_unstable();
            if direction == Direction::Down {
                keys.reverse();
            }
            keys.truncate(limit);
        }
        keys
    }
}

/// Keys of one width. The index says how wide its keys are; what is behind that is zero.
#[derive(Debug)]
enum Keys {
    Narrow(usize, BTreeSet<[u8; NARROW]>),
    Wide(usize, BTreeSet<[u8; WIDE]>),
}

/// An instant, a table and an id; a status, a ticket and an id.
const NARROW: usize = 26;
/// A pool, a status, a ticket and an id.
const WIDE: usize = 42;

impl Keys {
    fn of_width(bytes: usize) -> Self {
        assert!(bytes <= WIDE, "an index in memory has keys of at most {WIDE} bytes");
        if bytes <= NARROW {
            Self::Narrow(bytes, BTreeSet::new())
        } else {
            Self::Wide(bytes, BTreeSet::new())
        }
    }

    fn insert(&mut self, key: &Key) {
        match self {
            Self::Narrow(_, keys) => keys.insert(padded(key)),
            Self::Wide(_, keys) => keys.insert(padded(key)),
        };
    }

    fn remove(&mut self, key: &Key) -> bool {
        match self {
            Self::Narrow(_, keys) => keys.remove(&padded(key)),
            Self::Wide(_, keys) => keys.remove(&padded(key)),
        }
    }

    fn range(
        &self,
        low: Bound<Key>,
        high: Bound<Key>,
        direction: Direction,
        wanted: impl Fn(&Key) -> bool,
        limit: usize,
    ) -> Vec<Key> {
        match self {
            Self::Narrow(bytes, keys) => pick(keys, *bytes, (low, high), direction, wanted, limit),
            Self::Wide(bytes, keys) => pick(keys, *bytes, (low, high), direction, wanted, limit),
        }
    }
}

fn padded<const N: usize>(key: &Key) -> [u8; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(key.as_slice()) {
        *to = *from;
    }
    bytes
}

fn pick<const N: usize>(
    keys: &BTreeSet<[u8; N]>,
    bytes: usize,
    (low, high): (Bound<Key>, Bound<Key>),
    direction: Direction,
    wanted: impl Fn(&Key) -> bool,
    limit: usize,
) -> Vec<Key> {
    let bounds = (low.map(|key| padded::<N>(&key)), high.map(|key| padded::<N>(&key)));
    let range = keys.range(bounds);
    let key = |found: &[u8; N]| found.get(..bytes).and_then(Key::from_slice);
    match direction {
        Direction::Up => range.filter_map(key).filter(wanted).take(limit).collect(),
        Direction::Down => range.rev().filter_map(key).filter(wanted).take(limit).collect(),
    }
}

#[cfg(test)]
mod tests {
    use firstcome_domain::id::OrderId;
    use firstcome_domain::kernel::row::Index as _;
    use firstcome_domain::order::Status;
    use firstcome_domain::order::row::LiveOrders;
    use firstcome_domain::value::Revision;

    use super::*;
    use crate::memtable::NEWEST;

    fn key(ticket: u64) -> Key {
        Key::of(&(Status::Paid, Revision::new(ticket), OrderId::new(ticket.into())))
    }

    fn seen(indexes: &LiveIndexes, direction: Direction, revision: u64, limit: usize) -> Vec<Key> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        indexes.keys(LiveOrders::TABLE, all, direction, revision, limit)
    }

    #[test]
    fn a_view_sees_the_keys_as_they_were() {
        let mut indexes = LiveIndexes::default();
        for ticket in 1..=4 {
            indexes.add(LiveOrders::TABLE, key(ticket), ticket);
        }
        indexes.remove(LiveOrders::TABLE, key(2), 6);
        indexes.add(LiveOrders::TABLE, key(7), 7);
        let up = |revision| seen(&indexes, Direction::Up, revision, 9);
        assert_eq!(up(5), [key(1), key(2), key(3), key(4)]);
        assert_eq!(up(6), [key(1), key(3), key(4)]);
        assert_eq!(up(NEWEST), [key(1), key(3), key(4), key(7)]);
        assert_eq!(up(1), [key(1)]);
        assert_eq!(seen(&indexes, Direction::Down, 5, 3), [key(4), key(3), key(2)]);
        assert_eq!(seen(&indexes, Direction::Up, 5, 2), [key(1), key(2)]);
    }

    #[test]
    fn what_no_view_can_tell_apart_is_forgotten() {
        let mut indexes = LiveIndexes::default();
        indexes.add(LiveOrders::TABLE, key(1), 1);
        indexes.remove(LiveOrders::TABLE, key(1), 3);
        indexes.add(LiveOrders::TABLE, key(2), 4);
        indexes.tidy(Readers { oldest: 2, newest: 5 });
        assert_eq!(seen(&indexes, Direction::Up, 2, 9), [key(1)]);
        indexes.tidy(Readers { oldest: 4, newest: 5 });
        let (_, index) = indexes.0.iter().find(|(id, _)| *id == LiveOrders::TABLE).unwrap();
        assert!(index.lately.is_empty());
        assert_eq!(seen(&indexes, Direction::Up, 4, 9), [key(2)]);
    }
}
