//! A saved address.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{AddressId, UserId};
use crate::kernel::row::{IndexKind, IndexRows, Row, TableId, indexes};
use crate::kernel::value::{Revision, RowStamp, Sealed};
use crate::kernel::version::Versioned;

/// One address row. Its key begins with the owner, so nobody else's command can name it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Address {
    /// Whose it is.
    pub customer: UserId,
    /// Its id.
    pub id: AddressId,
    /// What it says, sealed for its owner.
    pub body: Sealed,
    /// Whether it is the one of its owner's addresses that is offered first.
    pub is_default: bool,
    /// Version and stamps.
    pub row: RowStamp,
}

indexes! {
    /// A customer's addresses, by the entry that added them.
    AddressesByCustomer(1061, "addresses_by_customer", IndexKind::Stored):
        (UserId, Revision, AddressId);
}

impl Versioned for Address {}

impl Row for Address {
    const TABLE: TableId = TableId(31);
    const NAME: &'static str = "addresses";
    type Key = (UserId, AddressId);

    fn key(&self) -> (UserId, AddressId) {
        (self.customer, self.id)
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }

    fn index(&self, rows: &mut IndexRows) {
        rows.add::<AddressesByCustomer>((self.customer, self.row.created.revision, self.id));
    }
}
