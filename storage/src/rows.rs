//! From typed changes to rows: primary rows, the indexes that follow from them, hash and counts.
//!
//! Every index row is derived here from the old and the new primary row, so a rule cannot forget
//! one. The state hash is the wrapping sum of one 128-bit hash per primary row: a write takes the
//! old row's hash out and puts the new one's in.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use firstcome_domain::Change;
use firstcome_domain::order::{Order, Status};
use firstcome_domain::product::Product;
use firstcome_domain::receipt::Receipt;
use firstcome_domain::sale::Sale;
use firstcome_domain::value::{Millis, Revision};
use firstcome_domain::view::DueRow;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::Error;
use crate::codec;
use crate::key::Key;
use crate::memtable::Memtable;
use crate::query::OrderPlace;
use crate::scan::{Base, Found, Levels};
use crate::state::{Applied, StateHash};
use crate::table::{PRIMARY_TABLES, Table};
use crate::view::Hot;

/// Hashes remembered for comparing nodes: a few seconds at full speed, a few megabytes.
const HASHES_MAX: usize = 100_000;

/// How far the state is; one row beside the tables, written with them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StateMeta {
    pub(crate) revision: Option<Revision>,
    pub(crate) now: Millis,
    pub(crate) raft: Bytes,
    pub(crate) hash: u128,
    /// Rows per primary table.
    pub(crate) counts: [u64; PRIMARY_TABLES],
    /// The newest revision whose events were removed.
    pub(crate) events_removed: Revision,
}

impl StateMeta {
    pub(crate) fn applied(&self) -> Applied {
        Applied {
            revision: self.revision,
            now: self.now,
            meta: self.raft.clone(),
            hash: StateHash(self.hash),
        }
    }
}

/// The rows in memory, and the last checkpoint below them.
pub(crate) struct Core {
    pub(crate) active: Memtable,
    pub(crate) frozen: Option<Arc<Memtable>>,
    pub(crate) base: Base,
    pub(crate) meta: StateMeta,
    pub(crate) hot: Hot,
    /// Keys that the decision being written looked for and did not find.
    pub(crate) absent: Vec<IndexRow>,
    hashes: VecDeque<(Revision, u128)>,
    scratch: Vec<u8>,
}

/// The hash of one primary row.
pub(crate) fn row_hash(scratch: &mut Vec<u8>, table: Table, key: &[u8], value: &[u8]) -> u128 {
    scratch.clear();
    scratch.push(table.number());
    scratch.extend_from_slice(key);
    scratch.extend_from_slice(value);
    xxh3_128(scratch)
}

impl Core {
    pub(crate) fn new(base: Base, meta: StateMeta) -> Self {
        let mut core = Self {
            active: Memtable::default(),
            frozen: None,
            base,
            meta,
            hot: Hot::default(),
            absent: Vec::new(),
            hashes: VecDeque::new(),
            scratch: Vec::new(),
        };
        core.remember_hash();
        core
    }

    pub(crate) fn levels(&self) -> Levels<'_> {
        Levels { active: &self.active, frozen: self.frozen.as_deref(), base: &self.base }
    }

    pub(crate) fn get(&self, table: Table, key: &Key) -> Result<Option<Found<'_>>, Error> {
        self.levels().get(table, key)
    }

    pub(crate) fn decode<T: DeserializeOwned>(
        &self,
        table: Table,
        found: &Found<'_>,
    ) -> Result<T, Error> {
        codec::decode(found.bytes())
            .map_err(|error| Error::corrupt(self.base.path(), format!("{}: {error}", table.name())))
    }

    /// One row, decoded.
    pub(crate) fn row<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &Key,
    ) -> Result<Option<T>, Error> {
        self.get(table, key)?.map(|found| self.decode(table, &found)).transpose()
    }

    /// Remembers the hash of the revision that was just applied.
    pub(crate) fn remember_hash(&mut self) {
        if let Some(revision) = self.meta.revision {
            if self.hashes.len() == HASHES_MAX {
                self.hashes.pop_front();
            }
            self.hashes.push_back((revision, self.meta.hash));
        }
    }

    /// The hash right after `revision`; `None` if that is forgotten or still ahead.
    pub(crate) fn hash_at(&self, revision: Revision) -> Option<StateHash> {
        if self.meta.revision < Some(revision) {
            return None;
        }
        let place = self.hashes.partition_point(|(at, _)| *at <= revision).checked_sub(1)?;
        self.hashes.get(place).map(|(_, hash)| StateHash(*hash))
    }

    /// Writes one change: its row, its indexes, hash and counts.
    pub(crate) fn write(&mut self, change: Change) -> Result<(), Error> {
        match change {
            Change::PutSettings(row) => {
                self.put(Table::Settings, Key::new(), codec::encode(&row), false)?;
                self.hot.put_settings(row);
            }
            Change::PutProduct(row) => self.put_product(row)?,
            Change::PutSale(row) => self.put_sale(row)?,
            Change::PutPool(row) => {
                self.put(Table::Pools, Key::new().pool(row.id), codec::encode(&row), false)?;
                self.hot.put_pool(row);
            }
            Change::PutOrder { order, fresh } => self.put_order(&order, fresh)?,
            Change::PutUsage(row) => {
                let key = Key::new().sale(row.sale).user(row.customer);
                self.put(Table::Usage, key, codec::encode(&row), false)?;
            }
            Change::AppendLedger(row) => {
                self.put(Table::Ledger, Key::new().ledger(row.key), codec::encode(&row), true)?;
            }
            Change::AppendEvents(row) => {
                let key = Key::new().revision(row.stamp.revision);
                self.put(Table::Events, key, codec::encode(&row), true)?;
            }
            Change::PutReceipt(row) => self.put_receipt(&row)?,
            Change::DeleteReceipt(revision) => self.delete_receipt(revision)?,
            Change::DeleteEvents(revision) => {
                self.delete(Table::Events, Key::new().revision(revision))?;
                self.meta.events_removed = self.meta.events_removed.max(revision);
            }
        }
        Ok(())
    }

    fn put_product(&mut self, row: Product) -> Result<(), Error> {
        let key = Key::new().product(row.id);
        let old: Option<Product> = self.row(Table::Products, &key)?;
        self.put(Table::Products, key, codec::encode(&row), false)?;
        self.reindex(
            &old.as_ref().map(product_indexes).unwrap_or_default(),
            &product_indexes(&row),
        );
        self.hot.put_product(row);
        Ok(())
    }

    fn put_sale(&mut self, row: Sale) -> Result<(), Error> {
        let key = Key::new().sale(row.id);
        let old: Option<Sale> = self.row(Table::Sales, &key)?;
        self.put(Table::Sales, key, codec::encode(&row), false)?;
        self.reindex(&old.as_ref().map(sale_indexes).unwrap_or_default(), &sale_indexes(&row));
        self.hot.put_sale(row);
        Ok(())
    }

    fn put_order(&mut self, row: &Order, fresh: bool) -> Result<(), Error> {
        let key = Key::new().order(row.id);
        let old: Option<Order> = if fresh { None } else { self.row(Table::Orders, &key)? };
        self.put(Table::Orders, key, codec::encode(row), fresh)?;
        self.reindex(&old.as_ref().map(order_indexes).unwrap_or_default(), &order_indexes(row));
        Ok(())
    }

    /// A scope has one receipt: the row of an earlier one goes.
    fn put_receipt(&mut self, row: &Receipt) -> Result<(), Error> {
        let scope = Key::new().scope(row.key.scope);
        let revision = row.stamp.revision;
        if let Some(old) = self.receipt_of(&scope)?
            && old != revision
        {
            self.delete(Table::Receipts, Key::new().revision(old))?;
        }
        self.put(Table::Receipts, Key::new().revision(revision), codec::encode(row), true)?;
        self.absent.retain(|known| *known != (Table::ReceiptScopes, scope));
        self.active.put(Table::ReceiptScopes, scope, revision.get().to_be_bytes().to_vec());
        Ok(())
    }

    fn delete_receipt(&mut self, revision: Revision) -> Result<(), Error> {
        let key = Key::new().revision(revision);
        let Some(row) = self.row::<Receipt>(Table::Receipts, &key)? else { return Ok(()) };
        self.delete(Table::Receipts, key)?;
        let scope = Key::new().scope(row.key.scope);
        if self.receipt_of(&scope)? == Some(revision) {
            self.active.remove(Table::ReceiptScopes, scope);
        }
        Ok(())
    }

    /// The revision of a scope's receipt.
    pub(crate) fn receipt_of(&self, scope: &Key) -> Result<Option<Revision>, Error> {
        if self.absent.contains(&(Table::ReceiptScopes, *scope)) {
            return Ok(None);
        }
        let Some(found) = self.get(Table::ReceiptScopes, scope)? else { return Ok(None) };
        let revision = Key::from_slice(found.bytes()).and_then(|bytes| bytes.revision_at(0));
        revision
            .map(Some)
            .ok_or_else(|| Error::corrupt(self.base.path(), "receipt_scopes: cut short"))
    }

    /// Writes a primary row. `fresh` promises that the key is new, which saves the look-up.
    fn put(&mut self, table: Table, key: Key, value: Vec<u8>, fresh: bool) -> Result<(), Error> {
        let known = self.absent.iter().position(|known| *known == (table, key));
        if let Some(place) = known {
            self.absent.swap_remove(place);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let old = if fresh || known.is_some() { None } else { self.get(table, &key)? };
        let old = old.map(|found| row_hash(&mut scratch, table, key.as_slice(), found.bytes()));
        let new = row_hash(&mut scratch, table, key.as_slice(), &value);
        self.scratch = scratch;
        self.meta.hash = self.meta.hash.wrapping_sub(old.unwrap_or(0)).wrapping_add(new);
        if let (None, Some(count)) = (old, self.meta.counts.get_mut(table.place())) {
            *count += 1;
        }
        self.hot.inserted(table, &key);
        self.active.put(table, key, value);
        Ok(())
    }

    /// Removes a primary row, if it is there.
    fn delete(&mut self, table: Table, key: Key) -> Result<(), Error> {
        let Some(old) = self.get(table, &key)? else { return Ok(()) };
        let old = row_hash(&mut Vec::new(), table, key.as_slice(), old.bytes());
        self.meta.hash = self.meta.hash.wrapping_sub(old);
        if let Some(count) = self.meta.counts.get_mut(table.place()) {
            *count = count.saturating_sub(1);
        }
        self.hot.removed(table, &key);
        self.active.remove(table, key);
        Ok(())
    }

    fn reindex(&mut self, old: &[IndexRow], new: &[IndexRow]) {
        for (table, key) in old.iter().filter(|row| !new.contains(row)) {
            self.hot.removed(*table, key);
            self.active.remove(*table, *key);
        }
        for (table, key) in new.iter().filter(|row| !old.contains(row)) {
            self.hot.inserted(*table, key);
            self.active.put(*table, *key, Vec::new());
        }
    }
}

/// A row of an index that has only a key.
pub(crate) type IndexRow = (Table, Key);

/// The index rows of a product.
pub(crate) fn product_indexes(row: &Product) -> Vec<IndexRow> {
    due(row.due_at, DueRow::Product(row.id)).into_iter().collect()
}

/// The index rows of a sale.
pub(crate) fn sale_indexes(row: &Sale) -> Vec<IndexRow> {
    let key = Key::new().product(row.product).byte(u8::from(row.closed)).sale(row.id);
    let mut rows = vec![(Table::SalesByProduct, key)];
    rows.extend(due(row.due_at, DueRow::Sale(row.id)));
    rows
}

/// The index rows of an order.
pub(crate) fn order_indexes(row: &Order) -> Vec<IndexRow> {
    let mut rows = Vec::with_capacity(3 + 2 * row.lines.len());
    let place = OrderPlace::of(row);
    let by_customer = Key::new().user(row.customer).status(row.status).place(place);
    rows.push((Table::OrdersByCustomer, by_customer));
    rows.push((Table::OrdersByStatus, Key::new().status(row.status).place(place)));
    for line in &row.lines {
        let by_pool = Key::new().pool(line.pool).status(row.status).place(place);
        rows.push((Table::OrdersByPool, by_pool));
        if let (Status::PaymentPending, Some(pay_by)) = (row.status, row.pay_by) {
            rows.push((Table::HoldsDue, Key::new().pool(line.pool).millis(pay_by).order(row.id)));
        }
    }
    rows.extend(due(row.due_at, DueRow::Order(row.id)));
    rows
}

fn due(at: Option<Millis>, row: DueRow) -> Option<IndexRow> {
    at.map(|at| (Table::Due, Key::new().due(at, row)))
}
