//! The row of one deciding log entry.

use serde::{Deserialize, Serialize};

use super::event::Fact;
use super::receipt::Receipt;
use crate::kernel::actor::Actor;
use crate::kernel::id::{EventId, OrderId, derived};
use crate::kernel::key::Key;
use crate::kernel::row::{IndexKind, IndexRows, Row, TableId, indexes};
use crate::kernel::value::{Revision, RowStamp, Stamp};
use crate::kernel::version::Versioned;
use crate::stock::row::{Movement, PoolId};

/// What one log entry left behind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Journal {
    /// The log entry.
    pub stamp: Stamp,
    /// Who asked; the node, where only time asked.
    pub actor: Actor,
    /// The outcome, if the request had a key, until its retention is over.
    pub receipt: Option<Receipt>,
    /// Units that moved, in order.
    pub movements: Vec<LedgerEntry>,
    /// What happened, in order, until its retention is over. The offset of an event is its place.
    pub facts: Vec<Fact>,
}

/// Units that moved in one pool, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The pool whose accounts changed.
    pub pool: PoolId,
    /// What moved.
    pub movement: Movement,
    /// The order that caused it, if one did.
    pub order: Option<OrderId>,
    /// The other pool of a pair.
    pub peer: Option<PoolId>,
    /// Whether time caused it, ahead of what was asked.
    pub by_node: bool,
    /// What staff wrote about it.
    pub note: Option<String>,
}

/// Place of a ledger row: the pool, then the place in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LedgerKey {
    /// The pool whose accounts changed.
    pub pool: PoolId,
    /// The deciding log entry.
    pub revision: Revision,
    /// Counts up from 0 over all ledger rows of that log entry.
    pub offset: u32,
}

/// One row of the ledger, as lists show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerRow {
    /// Pool, revision, offset.
    pub key: LedgerKey,
    /// What moved.
    pub movement: Movement,
    /// The order that caused it, if one did.
    pub order: Option<OrderId>,
    /// The other pool of a pair.
    pub peer: Option<PoolId>,
    /// Who asked.
    pub actor: Actor,
    /// What staff wrote about it.
    pub note: Option<String>,
    /// When it was decided.
    pub stamp: Stamp,
}

impl Journal {
    /// The id of the event at `offset`.
    pub fn event_id(&self, offset: u16) -> EventId {
        EventId::new(derived(self.stamp, offset))
    }

    /// Whether nothing is left to remember.
    pub fn is_empty(&self) -> bool {
        self.receipt.is_none() && self.movements.is_empty() && self.facts.is_empty()
    }

    /// The ledger rows of this entry.
    pub fn ledger(&self) -> impl Iterator<Item = LedgerRow> + '_ {
        (0u32..).zip(&self.movements).map(|(offset, entry)| LedgerRow {
            key: LedgerKey { pool: entry.pool, revision: self.stamp.revision, offset },
            movement: entry.movement,
            order: entry.order,
            peer: entry.peer,
            actor: if entry.by_node { Actor::Node } else { self.actor },
            note: entry.note.clone(),
            stamp: self.stamp,
        })
    }
}

indexes! {
    /// Entries that moved units of a pool.
    LedgerByPool(1070, "ledger_by_pool", IndexKind::Appended { term_bytes: 17 }):
        (PoolId, Revision);
    /// Receipts, by the first half of their scope.
    ReceiptsByScope(1071, "receipts_by_scope", IndexKind::Live): (u128, Revision);
}

impl Versioned for Journal {}

impl Row for Journal {
    const TABLE: TableId = TableId(7);
    const NAME: &'static str = "journal";
    const LIVE: bool = true;
    const LIVE_FROM: Option<TableId> = Some(Retention::TABLE);
    type Key = Revision;

    fn key(&self) -> Revision {
        self.stamp.revision
    }

    fn index(&self, rows: &mut IndexRows) {
        let revision = self.stamp.revision;
        for (place, entry) in self.movements.iter().enumerate() {
            if !self.movements.iter().take(place).any(|earlier| earlier.pool == entry.pool) {
                rows.add::<LedgerByPool>((entry.pool, revision));
            }
        }
        if let Some(receipt) = &self.receipt {
            rows.add::<ReceiptsByScope>((receipt.key.scope.head(), revision));
        }
    }
}

/// How far retention went through the journal; one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Retention {
    /// Receipts of this and earlier entries are gone.
    pub receipts: Revision,
    /// Facts of this and earlier entries are gone.
    pub facts: Revision,
    /// Version and stamps.
    pub row: RowStamp,
}

impl Versioned for Retention {}

impl Row for Retention {
    const TABLE: TableId = TableId(8);
    const NAME: &'static str = "retention";
    type Key = ();

    fn key(&self) {}

    /// Only the receipts of the journal are in an index in memory.
    fn live_from(&self) -> Option<Key> {
        Some(Key::of(&Revision::new(self.receipts.get().saturating_add(1))))
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }
}
