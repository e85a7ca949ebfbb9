//! Cursors: where the next page of a list begins, opaque to clients.
//!
//! A cursor is the position of the last row with a MAC over the list's name, its filters, its
//! direction and that position, in base64url. It is therefore valid only for the list, filters
//! and direction it was made for. Positions are fixed-width numbers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use firstcome_domain::kernel::key::{Key, KeyPart};
use firstcome_domain::stock::LedgerKey;
use firstcome_domain::value::Revision;
use firstcome_storage::query::{Direction, Place};
use hmac::Mac as _;

use crate::keys::{Keys, Version};
use crate::problem::{Code, Problem};
use crate::query::Query;

const MAC_BYTES: usize = 16;

/// The position of a row in its list.
pub(crate) trait Position: Sized {
    /// Writes the position as bytes.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads the bytes that [`Position::write`] wrote.
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl<I: KeyPart> Position for Place<I> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(Key::of(&self.ticket).as_slice());
        out.extend_from_slice(Key::of(&self.id).as_slice());
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let place = Self { ticket: Revision::take(&mut bytes)?, id: I::take(&mut bytes)? };
        bytes.is_empty().then_some(place)
    }
}

/// The position of an event: revision and offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EventPosition {
    pub(crate) revision: Revision,
    pub(crate) offset: u32,
}

impl Position for EventPosition {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.revision.get().to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (revision, offset) = bytes.split_at_checked(8)?;
        Some(Self {
            revision: Revision::new(u64::from_be_bytes(revision.try_into().ok()?)),
            offset: u32::from_be_bytes(offset.try_into().ok()?),
        })
    }
}

impl Position for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_be_bytes(bytes.try_into().ok()?))
    }
}

impl Position for LedgerKey {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(Key::of(&(self.pool, self.revision, self.offset)).as_slice());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (pool, revision, offset) = Key::from_slice(bytes)?.decode()?;
        Some(Self { pool, revision, offset })
    }
}

/// A list with its filters and direction, as one text.
#[derive(Clone, Debug)]
pub(crate) struct ListName(String);

impl ListName {
    /// Names a list; every filter must be added.
    pub(crate) fn new(list: &str) -> Self {
        Self(list.to_owned())
    }

    /// Adds the filters that a query sends.
    #[must_use]
    pub(crate) fn filters(self, query: &Query, names: &[&str]) -> Self {
        names.iter().fold(self, |list, name| list.filter(name, query.get(name)))
    }

    /// Adds the direction. `desc` is the default, so sending it changes nothing.
    #[must_use]
    pub(crate) fn direction(self, direction: Direction) -> Self {
        self.filter("order", (direction == Direction::Up).then_some("asc"))
    }

    /// Adds a filter.
    #[must_use]
    pub(crate) fn filter(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            let length = value.len().to_string();
            for part in ["|", name, "=", &length, ":", value] {
                self.0.push_str(part);
            }
        }
        self
    }

    /// The cursor of the page after `last`.
    pub(crate) fn cursor(&self, keys: &Keys, last: &impl Position) -> Option<String> {
        let mut bytes = vec![0; MAC_BYTES];
        last.write(&mut bytes);
        let (_, row) = bytes.split_at(MAC_BYTES);
        let mac = self.mac(keys.signer()?, row);
        bytes.splice(..MAC_BYTES, mac);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a cursor of this list with these filters.
    pub(crate) fn after<P: Position>(
        &self,
        keys: &Keys,
        text: Option<&str>,
    ) -> Result<Option<P>, Problem> {
        let Some(text) = text else { return Ok(None) };
        self.open(keys, text).map(Some).ok_or_else(|| Problem::new(Code::CursorInvalid))
    }

    fn open<P: Position>(&self, keys: &Keys, text: &str) -> Option<P> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (mac, row) = bytes.split_at_checked(MAC_BYTES)?;
        let ours = keys.versions().any(|version| self.verifies(version, row, mac));
        if ours { P::read(row) } else { None }
    }

    fn mac(&self, version: &Version, row: &[u8]) -> [u8; MAC_BYTES] {
        let full = self.feed(version, row).finalize().into_bytes();
        let mut mac = [0; MAC_BYTES];
        mac.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        mac
    }

    fn verifies(&self, version: &Version, row: &[u8], mac: &[u8]) -> bool {
        self.feed(version, row).verify_truncated_left(mac).is_ok()
    }

    fn feed(&self, version: &Version, row: &[u8]) -> crate::keys::Mac {
        let mut mac = version.cursor.clone();
        mac.update(&u64::try_from(self.0.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(self.0.as_bytes());
        mac.update(row);
        mac
    }
}

#[cfg(test)]
mod tests {
    use firstcome_domain::id::{OrderId, ProductId, SaleId};
    use firstcome_domain::stock::PoolId;

    use super::*;
    use crate::keys::MasterKey;
    use crate::spec::Spec;

    fn place<I>(id: I) -> Place<I> {
        Place { ticket: Revision::new(7), id }
    }

    fn keys() -> Keys {
        Keys::new(&MasterKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_cursor_names_the_row_it_was_made_for() {
        let keys = keys();
        let list = ListName::new("orders").filter("status", Some("paid"));
        let place = Place::<OrderId> { ticket: Revision::new(7), id: OrderId::new(9) };
        let cursor = list.cursor(&keys, &place).unwrap();
        assert_eq!(list.after(&keys, Some(&cursor)).unwrap(), Some(place));
        assert_eq!(list.after::<Place<OrderId>>(&keys, None).unwrap(), None);
    }

    #[test]
    fn cursors_of_other_lists_filters_and_keys_and_changed_ones_are_refused() {
        let made = keys();
        let list = ListName::new("orders").filter("status", Some("paid"));
        let cursor = list.cursor(&made, &place(SaleId::new(9))).unwrap();
        for other in [
            ListName::new("orders"),
            ListName::new("orders").filter("status", Some("expired")),
            ListName::new("sales").filter("status", Some("paid")),
        ] {
            assert!(other.after::<Place<SaleId>>(&made, Some(&cursor)).is_err());
        }
        assert!(list.after::<Place<SaleId>>(&keys(), Some(&cursor)).is_err());
        assert!(list.after::<LedgerKey>(&made, Some(&cursor)).is_err());
        for bad in ["", "x", "AAAA", &cursor[1..], "\u{e9}"] {
            assert!(list.after::<Place<SaleId>>(&made, Some(bad)).is_err(), "{bad}");
        }
        for at in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(list.after::<Place<SaleId>>(&made, Some(&changed)).is_err(), "{at}");
        }
    }

    #[test]
    fn a_cursor_is_valid_for_its_direction_only() {
        let keys = keys();
        let route = Spec { sortable: true, ..Spec::GET };
        let list = |text: &str| {
            let query = Query::parse(Some(text), &route).unwrap();
            let direction = query.direction().unwrap();
            ListName::new("orders").filters(&query, &["status"]).direction(direction)
        };
        let descending = list("").cursor(&keys, &place(SaleId::new(9))).unwrap();
        let ascending = list("order=asc").cursor(&keys, &place(SaleId::new(9))).unwrap();
        assert!(list("order=desc").after::<Place<SaleId>>(&keys, Some(&descending)).is_ok());
        assert!(list("order=asc").after::<Place<SaleId>>(&keys, Some(&ascending)).is_ok());
        assert!(list("order=asc").after::<Place<SaleId>>(&keys, Some(&descending)).is_err());
        assert!(list("").after::<Place<SaleId>>(&keys, Some(&ascending)).is_err());
    }

    #[test]
    fn a_filter_cannot_pass_for_two() {
        let keys = keys();
        let one = ListName::new("p").filter("q", Some("a|status=1:b"));
        let two = ListName::new("p").filter("q", Some("a")).filter("status", Some("b"));
        let cursor = one.cursor(&keys, &place(ProductId::new(1))).unwrap();
        assert!(two.after::<Place<ProductId>>(&keys, Some(&cursor)).is_err());
    }

    #[test]
    fn ledger_keys_survive() {
        let keys = keys();
        let list = ListName::new("ledger");
        for pool in [PoolId::Product(ProductId::new(3)), PoolId::Sale(SaleId::new(4))] {
            let key = LedgerKey { pool, revision: Revision::new(5), offset: 6 };
            let cursor = list.cursor(&keys, &key).unwrap();
            assert_eq!(list.after(&keys, Some(&cursor)).unwrap(), Some(key));
        }
    }
}
