//! Keys: fixed-width, big-endian, so that byte order is the order of the values.

use std::fmt;

use firstcome_domain::id::{OrderId, ProductId, SaleId, UserId};
use firstcome_domain::order::Status;
use firstcome_domain::receipt::Scope;
use firstcome_domain::stock::{LedgerKey, PoolId};
use firstcome_domain::value::{Millis, Revision};
use firstcome_domain::view::DueRow;

use crate::query::OrderPlace;

/// The longest key is `orders_by_pool`'s: pool 17, status 1, ticket 8, order 16. Five bytes to
/// spare.
const KEY_BYTES_MAX: usize = 47;

/// A key, or the beginning of one, without an allocation.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    len: u8,
    bytes: [u8; KEY_BYTES_MAX],
}

impl Key {
    pub(crate) const fn new() -> Self {
        Self { len: 0, bytes: [0; KEY_BYTES_MAX] }
    }

    /// A key read back; `None` if it is longer than any key.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Self::new();
        key.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        key.len = u8::try_from(bytes.len()).ok()?;
        Some(key)
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn with(mut self, part: &[u8]) -> Self {
        let start = usize::from(self.len);
        let end = start + part.len();
        debug_assert!(end <= KEY_BYTES_MAX, "no key is that long");
        if let Some(room) = self.bytes.get_mut(start..end) {
            room.copy_from_slice(part);
            self.len = u8::try_from(end).unwrap_or(self.len);
        }
        self
    }

    pub(crate) fn byte(self, value: u8) -> Self {
        self.with(&[value])
    }

    fn id(self, value: u128) -> Self {
        self.with(&value.to_be_bytes())
    }

    pub(crate) fn order(self, id: OrderId) -> Self {
        self.id(id.get())
    }

    pub(crate) fn product(self, id: ProductId) -> Self {
        self.id(id.get())
    }

    pub(crate) fn sale(self, id: SaleId) -> Self {
        self.id(id.get())
    }

    pub(crate) fn user(self, id: UserId) -> Self {
        self.id(id.get())
    }

    pub(crate) fn revision(self, revision: Revision) -> Self {
        self.with(&revision.get().to_be_bytes())
    }

    /// Instants before 1970 sort before those after: the sign bit is turned over.
    pub(crate) fn millis(self, at: Millis) -> Self {
        self.with(&(at.get() ^ i64::MIN).to_be_bytes())
    }

    pub(crate) fn pool(self, id: PoolId) -> Self {
        match id {
            PoolId::Product(id) => self.byte(0).product(id),
            PoolId::Sale(id) => self.byte(1).sale(id),
        }
    }

    pub(crate) fn status(self, status: Status) -> Self {
        self.byte(status as u8)
    }

    /// Where an order stands in lists: by ticket.
    pub(crate) fn place(self, place: OrderPlace) -> Self {
        self.revision(place.ticket).order(place.id)
    }

    pub(crate) fn scope(self, scope: Scope) -> Self {
        self.with(&scope.0)
    }

    pub(crate) fn ledger(self, key: LedgerKey) -> Self {
        self.pool(key.pool).revision(key.revision).with(&key.offset.to_be_bytes())
    }

    /// Sorts as (`due_at`, row) does.
    pub(crate) fn due(self, at: Millis, row: DueRow) -> Self {
        let key = self.millis(at);
        match row {
            DueRow::Product(id) => key.byte(0).product(id),
            DueRow::Sale(id) => key.byte(1).sale(id),
            DueRow::Order(id) => key.byte(2).order(id),
        }
    }

    /// The first key after all that begin with this one; `None` if there is none.
    pub(crate) fn successor(mut self) -> Option<Self> {
        while let Some(last) = usize::from(self.len).checked_sub(1) {
            let byte = self.bytes.get_mut(last)?;
            if let Some(next) = byte.checked_add(1) {
                *byte = next;
                return Some(self);
            }
            *byte = 0;
            self.len -= 1;
        }
        None
    }

    /// The 16 bytes from `start` on, as an id's bits.
    pub(crate) fn id_at(&self, start: usize) -> Option<u128> {
        let bytes = self.as_slice().get(start..start + 16)?;
        Some(u128::from_be_bytes(bytes.try_into().ok()?))
    }

    /// The 8 bytes from `start` on, as a revision.
    pub(crate) fn revision_at(&self, start: usize) -> Option<Revision> {
        let bytes = self.as_slice().get(start..start + 8)?;
        Some(Revision::new(u64::from_be_bytes(bytes.try_into().ok()?)))
    }

    /// The 8 bytes from `start` on, as an instant.
    pub(crate) fn millis_at(&self, start: usize) -> Option<Millis> {
        let bytes = self.as_slice().get(start..start + 8)?;
        Some(Millis::new(i64::from_be_bytes(bytes.try_into().ok()?) ^ i64::MIN))
    }

    /// The 24 bytes from `start` on, as the place of an order.
    pub(crate) fn place_at(&self, start: usize) -> Option<OrderPlace> {
        let (ticket, id) = (self.revision_at(start)?, self.id_at(start.checked_add(8)?)?);
        Some(OrderPlace { ticket, id: OrderId::new(id) })
    }

    /// A due key taken apart.
    pub(crate) fn due_row(&self) -> Option<(Millis, DueRow)> {
        let id = self.id_at(9)?;
        let row = match self.as_slice().get(8)? {
            0 => DueRow::Product(ProductId::new(id)),
            1 => DueRow::Sale(SaleId::new(id)),
            2 => DueRow::Order(OrderId::new(id)),
            _ => return None,
        };
        Some((self.millis_at(0)?, row))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_value_order() {
        let at = |ms| Key::new().millis(Millis::new(ms));
        assert!(at(i64::MIN) < at(-1) && at(-1) < at(0) && at(0) < at(1) && at(1) < at(i64::MAX));
        assert_eq!(at(-5).millis_at(0), Some(Millis::new(-5)));
        let pool = |id| Key::new().pool(id);
        let (product, sale) = (ProductId::new(u128::MAX), SaleId::new(0));
        assert!(pool(PoolId::Product(product)) < pool(PoolId::Sale(sale)));
        let row = DueRow::Order(OrderId::new(7));
        let key = Key::new().due(Millis::new(9), row);
        assert_eq!(key.due_row(), Some((Millis::new(9), row)));
    }

    #[test]
    fn a_successor_ends_its_prefix() {
        assert_eq!(Key::new().byte(3).successor(), Some(Key::new().byte(4)));
        assert_eq!(Key::new().byte(3).byte(255).successor(), Some(Key::new().byte(4)));
        assert_eq!(Key::new().byte(255).successor(), None);
        assert_eq!(Key::new().successor(), None);
    }

    #[test]
    fn statuses_are_numbered_as_declared() {
        for (place, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(status as u8), place);
        }
    }
}
