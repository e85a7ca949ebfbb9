//! The tables of `state.redb`: their names, numbers and keys.
//!
//! ```text
//! number and name          key (fixed width, big endian)               value
//!  0 settings              ()                                          Settings
//!  1 products              product                                     Product
//!  2 sales                 sale                                        Sale
//!  3 pools                 pool                                        Pool
//!  4 orders                order                                       Order
//!  5 usage                 sale, customer                              Usage
//!  6 ledger                pool, revision, offset                      LedgerRow
//!  7 receipts              revision                                    Receipt
//!  8 events                revision                                    Events
//!  9 receipt_scopes        scope                                       revision
//! 10 orders_by_customer    customer, status, ticket, order             -
//! 11 orders_by_status      status, ticket, order                       -
//! 12 orders_by_pool        pool, status, ticket, order (each line)     -
//! 13 holds_due             pool, pay_by, order (payment_pending only)  -
//! 14 due                   due_at, kind, id                            -
//! 15 sales_by_product      product, closed, sale                       -
//! ```
//!
//! The first nine are primary: they alone make up the state hash and the row counts. The others
//! are derived from them and can be rebuilt. Orders of a product are found through the pools of
//! the product and its sales, which saves every order an index row. Numbers and names are format.

use crate::file::Definition;

/// One table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Table {
    Settings,
    Products,
    Sales,
    Pools,
    Orders,
    Usage,
    Ledger,
    Receipts,
    Events,
    ReceiptScopes,
    OrdersByCustomer,
    OrdersByStatus,
    OrdersByPool,
    HoldsDue,
    Due,
    SalesByProduct,
}

/// How many tables there are, and how many of them are primary.
pub(crate) const TABLES: usize = Table::ALL.len();
pub(crate) const PRIMARY_TABLES: usize = 9;

impl Table {
    /// All tables, by number.
    pub(crate) const ALL: [Self; 16] = [
        Self::Settings,
        Self::Products,
        Self::Sales,
        Self::Pools,
        Self::Orders,
        Self::Usage,
        Self::Ledger,
        Self::Receipts,
        Self::Events,
        Self::ReceiptScopes,
        Self::OrdersByCustomer,
        Self::OrdersByStatus,
        Self::OrdersByPool,
        Self::HoldsDue,
        Self::Due,
        Self::SalesByProduct,
    ];

    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    pub(crate) const fn place(self) -> usize {
        self as usize
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    pub(crate) const fn is_primary(self) -> bool {
        self.place() < PRIMARY_TABLES
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Products => "products",
            Self::Sales => "sales",
            Self::Pools => "pools",
            Self::Orders => "orders",
            Self::Usage => "usage",
            Self::Ledger => "ledger",
            Self::Receipts => "receipts",
            Self::Events => "events",
            Self::ReceiptScopes => "receipt_scopes",
            Self::OrdersByCustomer => "orders_by_customer",
            Self::OrdersByStatus => "orders_by_status",
            Self::OrdersByPool => "orders_by_pool",
            Self::HoldsDue => "holds_due",
            Self::Due => "due",
            Self::SalesByProduct => "sales_by_product",
        }
    }

    pub(crate) fn definition(self) -> Definition {
        Definition::new(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_list() {
        for (place, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table.place(), place);
            assert_eq!(Table::from_number(table.number()), Some(table));
            assert_eq!(table.is_primary(), place < 9, "{}", table.name());
        }
        assert_eq!(Table::from_number(16), None);
    }
}
