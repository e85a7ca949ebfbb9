//! Draft: one decision being made, over the rows before it and its own writes so far.
//!
//! A row is read from the view at most once, because each read may cost a disk lookup, and is
//! written at most once in the final list of changes, however often rules touched it; its version
//! goes up by one. What rules say happened (movements, facts) is collected for the journal.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use crate::change::Change;
use crate::journal::event::Fact;
use crate::journal::row::{Journal, LedgerEntry};
use crate::kernel::actor::Actor;
use crate::kernel::key::Key;
use crate::kernel::row::{Due, TableId};
use crate::kernel::value::{Millis, RowStamp, Stamp};
use crate::kernel::version::Level;
use crate::registry::{AnyRow, Declared, DueRow};
use crate::settings::row::Settings;
use crate::view::{FIRST_DUE, LAST_DUE, View};

/// One row in the draft: as it was, as it is now.
struct Slot {
    before: Option<AnyRow>,
    now: Option<AnyRow>,
    written: bool,
}

/// The decision in the making.
pub(crate) struct Draft<'a, V: View> {
    base: &'a V,
    stamp: Stamp,
    acting: Actor,
    /// Who the journal names: the node until somebody else did anything.
    named: Actor,
    slots: BTreeMap<(TableId, Key), Slot>,
    written: usize,
    movements: Vec<LedgerEntry>,
    facts: Vec<Fact>,
    base_next_due: OnceCell<Option<Millis>>,
}

impl<'a, V: View> Draft<'a, V> {
    /// A draft without writes. Until [`Draft::act_as`], the node itself acts.
    pub(crate) const fn new(base: &'a V, stamp: Stamp) -> Self {
        Self {
            base,
            stamp,
            acting: Actor::Node,
            named: Actor::Node,
            slots: BTreeMap::new(),
            written: 0,
            movements: Vec::new(),
            facts: Vec::new(),
            base_next_due: OnceCell::new(),
        }
    }

    /// From here on, movements and facts are this actor's.
    pub(crate) fn act_as(&mut self, actor: Actor) {
        self.acting = actor;
    }

    /// The rows before this decision.
    pub(crate) const fn base(&self) -> &'a V {
        self.base
    }

    /// The log entry that decides.
    pub(crate) const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Log time of the decision.
    pub(crate) const fn now(&self) -> Millis {
        self.stamp.now
    }

    /// How many changes the draft holds so far, to bound the work of one log entry. A movement
    /// counts like a row, for what it costs.
    pub(crate) fn changes(&self) -> usize {
        self.written.saturating_add(self.movements.len())
    }

    // Reads. Each asks the view at most once per row.

    /// One row as it is now.
    pub(crate) fn get<R: Declared>(&mut self, key: R::Key) -> Option<Arc<R>> {
        let slot = self.slot::<R>(key);
        slot.now.as_ref().and_then(R::from_any).cloned()
    }

    fn slot<R: Declared>(&mut self, key: R::Key) -> &mut Slot {
        let base = self.base;
        self.slots.entry((R::TABLE, Key::of(&key))).or_insert_with(|| {
            let before = base.get::<R>(key).map(R::into_any);
            Slot { now: before.clone(), before, written: false }
        })
    }

    /// Rows of a table from `first` on, as they were before this decision.
    pub(crate) fn rows_before<R: Declared>(&mut self, first: R::Key, limit: usize) -> Vec<Arc<R>> {
        let rows = self.base.rows::<R>(first, limit);
        for row in &rows {
            let before = Some(R::into_any(Arc::clone(row)));
            let place = (R::TABLE, Key::of(&row.key()));
            let slot = || Slot { now: before.clone(), before, written: false };
            self.slots.entry(place).or_insert_with(slot);
        }
        rows
    }

    /// The settings as they are now.
    pub(crate) fn settings(&mut self) -> Settings {
        self.get::<Settings>(()).map(|row| *row).unwrap_or_default()
    }

    /// The feature level.
    pub(crate) fn level(&self) -> Level {
        self.base.level()
    }

    /// Rows with `due_at <= now` that this draft has not written. Rules that handle a due row
    /// move its `due_at` past `now`, so a written row is not due.
    pub(crate) fn due(&self, limit: usize) -> Vec<DueRow> {
        let last = (self.now(), u16::MAX, u128::MAX);
        let due = self.base.scan::<Due>(FIRST_DUE, last, limit.saturating_add(self.written));
        let rows = due.into_iter().map(|(_, table, id)| (TableId(table), id));
        let rows = rows.filter(|(table, id)| !self.is_written(*table, Key::of(id)));
        let named = |(table, id)| DueRow::of(table, id).expect("only kinds in `timers!` are due");
        rows.take(limit).map(named).collect()
    }

    /// The earliest due time after this draft's writes. Costs a list: once per Tick.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        let untouched = if self.written == 0 {
            self.base_next_due()
        } else {
            let wide = self.written.saturating_add(1);
            let rows = self.base.scan::<Due>(FIRST_DUE, LAST_DUE, wide);
            let is_old =
                |(_, table, id): &&(_, u16, u128)| !self.is_written(TableId(*table), Key::of(id));
            rows.iter().find(is_old).map(|(at, ..)| *at)
        };
        let written = self.slots.values().filter(|slot| slot.written);
        written.filter_map(|slot| slot.now.as_ref()?.due_at()).chain(untouched).min()
    }

    /// The earliest due time before this draft's writes.
    pub(crate) fn base_next_due(&self) -> Option<Millis> {
        *self.base_next_due.get_or_init(|| self.base.next_due())
    }

    /// The rows of one kind that were written, as they were and as they are.
    pub(crate) fn written<R: Declared>(&self) -> impl Iterator<Item = (Option<&R>, &R)> {
        let slots = self.slots.range((R::TABLE, Key::EMPTY)..);
        slots.take_while(|((table, _), _)| *table == R::TABLE).filter_map(|(_, slot)| {
            let now = slot.now.as_ref().filter(|_| slot.written).and_then(R::from_any)?;
            Some((slot.before.as_ref().and_then(R::from_any).map(|row| &**row), &**now))
        })
    }

    /// Whether this draft has written a row.
    pub(crate) fn has_written<R: Declared>(&self, key: R::Key) -> bool {
        self.is_written(R::TABLE, Key::of(&key))
    }

    fn is_written(&self, table: TableId, key: Key) -> bool {
        self.slots.get(&(table, key)).is_some_and(|slot| slot.written)
    }

    // Writes.

    /// Writes a row, and answers it with its final stamp.
    pub(crate) fn put<R: Declared>(&mut self, mut row: R) -> Arc<R> {
        let stamp = self.stamp;
        let slot = self.slot::<R>(row.key());
        let before = slot.before.as_ref().and_then(AnyRow::stamp);
        row.set_stamp(before.map_or(RowStamp::first(stamp), |before| before.next(stamp)));
        let row = Arc::new(row);
        slot.now = Some(R::into_any(Arc::clone(&row)));
        let is_first = !mem::replace(&mut slot.written, true);
        self.written = self.written.saturating_add(is_first.into());
        row
    }

    /// Removes a row.
    pub(crate) fn delete<R: Declared>(&mut self, key: R::Key) {
        let slot = self.slot::<R>(key);
        slot.now = None;
        let is_first = !mem::replace(&mut slot.written, true);
        self.written = self.written.saturating_add(is_first.into());
    }

    /// Enters units that moved into the ledger; the caller has changed the accounts.
    pub(crate) fn enter(&mut self, mut entry: LedgerEntry) {
        entry.by_node = self.acting == Actor::Node;
        self.named = self.who();
        self.movements.push(entry);
    }

    /// Publishes a fact.
    pub(crate) fn publish(&mut self, fact: Fact) {
        self.named = self.who();
        self.facts.push(fact);
    }

    /// Adds facts that follow from the rows that were written.
    pub(crate) fn add_derived(&mut self, facts: Vec<Fact>) {
        self.facts.extend(facts);
    }

    /// Once the asker did anything, the journal is theirs.
    fn who(&self) -> Actor {
        if self.acting == Actor::Node { self.named } else { self.acting }
    }

    /// The movements so far.
    pub(crate) fn movements(&self) -> &[LedgerEntry] {
        &self.movements
    }

    /// What the decision comes to: the entry of the journal, without a receipt, and the changes.
    pub(crate) fn finish(self) -> (Journal, Vec<Change>) {
        let journal = Journal {
            stamp: self.stamp,
            actor: self.named,
            receipt: None,
            movements: self.movements,
            facts: self.facts,
        };
        let slots = self.slots.into_iter().filter(|(_, slot)| slot.written);
        let changes = slots.map(|((table, key), slot)| {
            let Slot { before, now, .. } = slot;
            Change { table, key, before, after: now }
        });
        // A row that came and went within the decision changes nothing.
        let changes = changes.filter(|change| change.before.is_some() || change.after.is_some());
        (journal, changes.collect())
    }
}
