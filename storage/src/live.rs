//! Indexes that live in memory: keys of rows that do not stay long, found again at each start.
//!
//! A million unpaid orders have six keys each, so a key is kept in hardly more bytes than it has.
//! Besides the current keys there is a note of each key that was added or removed since the oldest open
//! view began; such a view sees the keys as they were.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Bound, RangeBounds as _};

use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::TableId;
use parking_lot::RwLock;

use crate::memtable::Readers;
use crate::range::{Direction, LOOKED_AT_MAX, is_empty};
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
            index.notes.push_back(Note { revision, key, added: true });
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
            index.notes.push_back(Note { revision, key, added: false });
        }
    }

    /// Notes kept for open views.
    #[cfg(test)]
    pub(crate) fn noted(&self) -> usize {
        self.0.iter().map(|(_, index)| index.notes.len()).sum()
    }

    /// Forgets what was added or removed before the oldest reader began.
    pub(crate) fn tidy(&mut self, readers: Readers) {
        for (_, index) in &mut self.0 {
            let old = index.notes.partition_point(|note| note.revision <= readers.oldest);
            index.notes.drain(..old);
            index.forgotten += old;
            let room = NOTES_ROOM_MAX.max(2 * index.notes.len());
            if index.notes.capacity() > 2 * room {
                index.notes.shrink_to(room);
            }
        }
    }
}

/// Spare capacity for notes that an index keeps: what the entries of one call need. While a view
/// stays open for long it grows beyond that, and shrinks again afterwards.
const NOTES_ROOM_MAX: usize = 8 * 1024;

/// The keys of one index.
#[derive(Debug)]
struct LiveIndex {
    now: Keys,
    /// Keys that were added or removed since the oldest view began, in that order.
    notes: VecDeque<Note>,
    /// How many notes were dropped before these.
    forgotten: usize,
}

/// A key was added or removed.
#[derive(Clone, Copy, Debug)]
struct Note {
    revision: u64,
    key: Key,
    added: bool,
}

impl LiveIndex {
    fn new(table: Table) -> Self {
        Self { now: Keys::of_width(table.key_bytes), notes: VecDeque::new(), forgotten: 0 }
    }
}

/// A walk over the keys of an index between two bounds, as a reader at some revision sees them.
///
/// Each step looks at a bounded number of notes and keys under the lock. Notes later than the reader
/// are read first, and each only once: a key that is not in one of them was there then if it is
/// there now.
pub(crate) struct Walk {
    table: TableId,
    low: Bound<Key>,
    high: Bound<Key>,
    direction: Direction,
    revision: u64,
    /// Keys that were added or removed since the reader began: whether they were there.
    was_there: BTreeMap<Key, bool>,
    /// How many notes were read or are not later than the reader, of all there ever were.
    notes_read: Option<usize>,
    ended: bool,
}

impl Walk {
    pub(crate) fn new(
        table: TableId,
        (low, high): (Bound<Key>, Bound<Key>),
        direction: Direction,
        revision: u64,
    ) -> Self {
        let (was_there, notes_read) = (BTreeMap::new(), None);
        let ended = is_empty(&low, &high);
        Self { table, low, high, direction, revision, was_there, notes_read, ended }
    }

    /// Whether the end of the range is reached.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Adds the keys that come next: about as many as are wanted, or fewer, even none, if many have
    /// to be skipped.
    pub(crate) fn step(
        &mut self,
        indexes: &RwLock<LiveIndexes>,
        wanted: usize,
        keys: &mut Vec<Key>,
    ) {
        let begin = keys.len();
        let indexes = indexes.read();
        let found = indexes.0.iter().find(|(id, _)| *id == self.table);
        let Some((_, index)) = found.filter(|_| !self.ended) else {
            self.ended = true;
            return;
        };
        if !self.read_notes(index) {
            return;
        }
        let unchanged = |key: &Key| !self.was_there.contains_key(key);
        let bounds = (self.low, self.high);
        let edge = index.now.range(bounds, self.direction, unchanged, wanted, keys);
        drop(indexes);
        let walked = match (edge.map(Bound::Included), self.direction) {
            (None, _) => bounds,
            (Some(edge), Direction::Up) => (self.low, edge),
            (Some(edge), Direction::Down) => (edge, self.high),
        };
        let changed = self.was_there.range(walked).filter(|(_, was_there)| **was_there);
        let before = keys.len();
        keys.extend(changed.map(|(key, _)| *key));
        if keys.len() > before
            && let Some(new) = keys.get_mut(begin..)
        {
            new.sort_unstable();
            if self.direction == Direction::Down {
                new.reverse();
            }
        }
        match (edge.map(Bound::Excluded), self.direction) {
            (None, _) => self.ended = true,
            (Some(edge), Direction::Up) => self.low = edge,
            (Some(edge), Direction::Down) => self.high = edge,
        }
        self.ended |= is_empty(&self.low, &self.high);
    }

    /// Continues to read the notes; `false` if some are left.
    fn read_notes(&mut self, index: &LiveIndex) -> bool {
        let first = self.notes_read.map_or_else(
            || index.notes.partition_point(|note| note.revision <= self.revision),
            |read| read.saturating_sub(index.forgotten),
        );
        let end = index.notes.len().min(first + LOOKED_AT_MAX);
        for note in index.notes.range(first.min(end)..end) {
            if (self.low, self.high).contains(&note.key) {
                // The first thing that happened to a key says whether it was there.
                self.was_there.entry(note.key).or_insert(!note.added);
            }
        }
        self.notes_read = Some(index.forgotten + end);
        end == index.notes.len()
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

    /// Adds the wanted keys between two bounds, at most `limit`; answers the last key that it
    /// looked at if there may be more.
    fn range(
        &self,
        bounds: (Bound<Key>, Bound<Key>),
        direction: Direction,
        wanted: impl Fn(&Key) -> bool,
        limit: usize,
        found: &mut Vec<Key>,
    ) -> Option<Key> {
        match self {
            Self::Narrow(bytes, keys) => {
                pick(keys, *bytes, bounds, direction, wanted, limit, found)
            }
            Self::Wide(bytes, keys) => pick(keys, *bytes, bounds, direction, wanted, limit, found),
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
    found: &mut Vec<Key>,
) -> Option<Key> {
    let enough = found.len() + limit;
    let (mut looked_at, mut last) = (0, None);
    let look = |key: &[u8; N]| {
        let key = key.get(..bytes).and_then(Key::from_slice);
        found.extend(key.filter(&wanted));
        looked_at += 1;
        last = key.filter(|_| found.len() == enough || looked_at == LOOKED_AT_MAX);
        last.is_none()
    };
    let (low, high) = (low.map(|key| padded::<N>(&key)), high.map(|key| padded::<N>(&key)));
    // Nearly every walk is short, so it is cheaper to compare each key with the far bound than to
    // find that bound in the tree.
    match direction {
        Direction::Up => {
            let within = |key: &&[u8; N]| (Bound::Unbounded, high).contains(*key);
            keys.range((low, Bound::Unbounded)).take_while(within).all(look)
        }
        Direction::Down => {
            let within = |key: &&[u8; N]| (low, Bound::Unbounded).contains(*key);
            keys.range((Bound::Unbounded, high)).rev().take_while(within).all(look)
        }
    };
    last
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

    fn seen(
        indexes: &RwLock<LiveIndexes>,
        direction: Direction,
        revision: u64,
        limit: usize,
    ) -> Vec<Key> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let mut walk = Walk::new(LiveOrders::TABLE, all, direction, revision);
        let mut keys = Vec::new();
        while keys.len() < limit && !walk.has_ended() {
            walk.step(indexes, limit - keys.len(), &mut keys);
        }
        keys.truncate(limit);
        keys
    }

    #[test]
    fn a_view_sees_the_keys_as_they_were() {
        let shared = RwLock::<LiveIndexes>::default();
        let mut indexes = shared.write();
        for ticket in 1..=4 {
            indexes.add(LiveOrders::TABLE, key(ticket), ticket);
        }
        indexes.remove(LiveOrders::TABLE, key(2), 6);
        indexes.add(LiveOrders::TABLE, key(7), 7);
        drop(indexes);
        let up = |revision| seen(&shared, Direction::Up, revision, 9);
        assert_eq!(up(5), [key(1), key(2), key(3), key(4)]);
        assert_eq!(up(6), [key(1), key(3), key(4)]);
        assert_eq!(up(NEWEST), [key(1), key(3), key(4), key(7)]);
        assert_eq!(up(1), [key(1)]);
        assert_eq!(seen(&shared, Direction::Down, 5, 3), [key(4), key(3), key(2)]);
        assert_eq!(seen(&shared, Direction::Up, 5, 2), [key(1), key(2)]);
    }

    #[test]
    fn what_no_view_can_tell_apart_is_forgotten() {
        let shared = RwLock::<LiveIndexes>::default();
        let mut indexes = shared.write();
        indexes.add(LiveOrders::TABLE, key(1), 1);
        indexes.remove(LiveOrders::TABLE, key(1), 3);
        indexes.add(LiveOrders::TABLE, key(2), 4);
        indexes.tidy(Readers { oldest: 2, newest: 5 });
        drop(indexes);
        assert_eq!(seen(&shared, Direction::Up, 2, 9), [key(1)]);
        let mut indexes = shared.write();
        indexes.tidy(Readers { oldest: 4, newest: 5 });
        let (_, index) = indexes.0.iter().find(|(id, _)| *id == LiveOrders::TABLE).unwrap();
        assert!(index.notes.is_empty());
        drop(indexes);
        assert_eq!(seen(&shared, Direction::Up, 4, 9), [key(2)]);
    }

    /// Story: an old view looked, under the lock that apply waits for, through all that happened
    /// since it began, and again for every few keys.
    #[test]
    fn an_old_view_passes_by_what_is_new_a_few_keys_at_a_time() {
        const NEW: u64 = 10 * LOOKED_AT_MAX as u64;
        let shared = RwLock::<LiveIndexes>::default();
        let change = |change: &dyn Fn(&mut LiveIndexes)| change(&mut shared.write());
        let table = LiveOrders::TABLE;
        let old: Vec<u64> = (0..=NEW + 1).filter(|ticket| ticket % 500 == 0).collect();
        for ticket in &old {
            change(&|indexes| indexes.add(table, key(*ticket), 1));
        }
        for ticket in (0..=NEW).filter(|ticket| ticket % 500 != 0) {
            change(&|indexes| indexes.add(table, key(ticket), 2));
        }
        // One that was there is removed, and one is removed and added again.
        change(&|indexes| {
            indexes.remove(table, key(500), 3);
            indexes.remove(table, key(1000), 3);
            indexes.add(table, key(1000), 4);
        });
        for direction in [Direction::Up, Direction::Down] {
            let all = (Bound::Unbounded, Bound::Unbounded);
            let mut walk = Walk::new(table, all, direction, 1);
            let (mut found, mut steps) = (Vec::new(), 0);
            while !walk.has_ended() {
                walk.step(&shared, 4, &mut found);
                steps += 1;
                // Between two locks, keys of both ends are removed and others added.
                if steps == 14 {
                    change(&|indexes| {
                        indexes.remove(table, key(0), 5);
                        indexes.remove(table, key(2500), 5);
                        indexes.add(table, key(0), 6);
                        indexes.add(table, key(2500), 6);
                        indexes.add(table, key(NEW + 9), 6);
                    });
                }
            }
            if direction == Direction::Down {
                found.reverse();
            }
            let wanted: Vec<Key> = old.iter().map(|ticket| key(*ticket)).collect();
            assert_eq!(found, wanted, "{direction:?}");
            assert!(steps >= 20, "{NEW} notes and as many keys under {steps} locks");
        }
    }

    #[test]
    fn room_for_notes_is_given_back() {
        let mut indexes = LiveIndexes::default();
        let room = |indexes: &LiveIndexes| -> usize {
            indexes.0.iter().map(|(_, index)| index.notes.capacity()).max().unwrap_or(0)
        };
        for ticket in 0..4 * NOTES_ROOM_MAX as u64 {
            indexes.add(LiveOrders::TABLE, key(ticket), ticket);
        }
        assert!(room(&indexes) >= 4 * NOTES_ROOM_MAX);
        indexes.tidy(Readers { oldest: NEWEST, newest: NEWEST });
        assert!(room(&indexes) <= NOTES_ROOM_MAX, "{}", room(&indexes));
    }
}
