//! The registry: every kind of row and every index there is.
//!
//! A row kind is one name in `rows!`. From it follow a variant of [`AnyRow`] (a row of any kind),
//! its description in [`TABLES`], and an arm of [`visit_kind`], which calls generic code with the
//! type behind a table's number. A kind whose rows have due times is also one name in `timers!`. An
//! index is one line in [`INDEXES`]. `docs/extending.md` shows how to add an aggregate.

use std::sync::Arc;

use crate::address::row::{Address, AddressesByCustomer};
use crate::audit::row::{AuditEntry, AuditHead};
use crate::cluster::row::FeatureLevel;
use crate::effect::row::{Effect, EffectsByNext, EffectsByTicket, EffectsFailed};
use crate::email_code::row::{EmailCode, EmailCodesByEnd};
use crate::journal::row::{Journal, LedgerByPool, ReceiptsByScope, Retention};
use crate::kernel::key::{Key, KeyPart};
use crate::kernel::row::{Due, IndexDef, IndexRow, IndexRows, Row, TableId};
use crate::kernel::value::{Millis, RowStamp};
use crate::keyring::row::Keyring;
#[cfg(feature = "next")]
use crate::next::row::OrderNote;
use crate::order::row::{
    EndedOrders, EndedOrdersByPool, HoldsDue, LiveOrders, LiveOrdersByPool, Order,
    OrdersByCustomer, OrdersByPool, OrdersByTicket, UnpaidOrders,
};
use crate::product::row::{Product, ProductsByName, ProductsByTicket, ProductsOffered};
use crate::sale::row::{Sale, SalesByClosed, SalesByProduct, SalesByTicket};
use crate::session::row::{LoginsByUser, Session, SessionsByEnd};
use crate::settings::row::Settings;
use crate::stock::row::{Pool, Usage};
use crate::user::row::{ActiveAdmins, StaffByRole, User, UsersByEmail, UsersByTicket};
use crate::wishlist::row::{WishlistByCustomer, WishlistItem};

/// Every index.
pub const INDEXES: &[IndexDef] = &[
    IndexDef::of::<Due>(),
    IndexDef::of::<ProductsByTicket>(),
    IndexDef::of::<ProductsOffered>(),
    IndexDef::of::<ProductsByName>(),
    IndexDef::of::<SalesByTicket>(),
    IndexDef::of::<SalesByClosed>(),
    IndexDef::of::<SalesByProduct>(),
    IndexDef::of::<OrdersByTicket>(),
    IndexDef::of::<OrdersByCustomer>(),
    IndexDef::of::<OrdersByPool>(),
    IndexDef::of::<LiveOrders>(),
    IndexDef::of::<EndedOrders>(),
    IndexDef::of::<LiveOrdersByPool>(),
    IndexDef::of::<EndedOrdersByPool>(),
    IndexDef::of::<HoldsDue>(),
    IndexDef::of::<UnpaidOrders>(),
    IndexDef::of::<UsersByEmail>(),
    IndexDef::of::<UsersByTicket>(),
    IndexDef::of::<StaffByRole>(),
    IndexDef::of::<ActiveAdmins>(),
    IndexDef::of::<LoginsByUser>(),
    IndexDef::of::<SessionsByEnd>(),
    IndexDef::of::<EmailCodesByEnd>(),
    IndexDef::of::<EffectsByNext>(),
    IndexDef::of::<EffectsFailed>(),
    IndexDef::of::<EffectsByTicket>(),
    IndexDef::of::<WishlistByCustomer>(),
    IndexDef::of::<AddressesByCustomer>(),
    IndexDef::of::<LedgerByPool>(),
    IndexDef::of::<ReceiptsByScope>(),
    #[cfg(feature = "next")]
    IndexDef::of::<crate::next::index::OrdersByTotal>(),
    #[cfg(feature = "next")]
    IndexDef::of::<crate::next::index::OrdersByProduct>(),
];

/// What listings and storage must know of a table without its row type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableDef {
    /// Its number.
    pub table: TableId,
    /// Its name.
    pub name: &'static str,
    /// Whether its rows are in memory indexes, so that a start has to read them.
    pub live: bool,
    /// The table whose single row says at which key that reading starts.
    pub live_from: Option<TableId>,
    /// Bytes of a key.
    pub key_bytes: usize,
}

/// A row kind that is in the registry.
pub trait Declared: Row {
    /// As a row of any kind.
    fn into_any(row: Arc<Self>) -> AnyRow;
    /// Back from a row of any kind.
    fn from_any(row: &AnyRow) -> Option<&Arc<Self>>;
}

/// Generic code that works on a row of whatever kind.
pub trait RowVisitor {
    /// What it gives.
    type Output;
    /// Works on one row.
    fn row<R: Declared>(self, row: &R) -> Self::Output;
}

/// Generic code that works on a kind of row.
pub trait KindVisitor {
    /// What it gives.
    type Output;
    /// Works on one kind.
    fn kind<R: Declared>(self) -> Self::Output;
}

/// Lists the row kinds, in the order of their numbers.
macro_rules! rows {
    ($($kind:ident),*) => {
        /// A row of any kind. Cheap to clone.
        #[derive(Clone, PartialEq, Debug)]
        #[expect(missing_docs, reason = "each variant is the row type of its name")]
        pub enum AnyRow {
            $($kind(Arc<$kind>)),*
        }

        impl AnyRow {
            /// Calls the visitor with the row behind this one.
            pub fn visit<V: RowVisitor>(&self, visitor: V) -> V::Output {
                match self {
                    $(Self::$kind(row) => visitor.row(&**row)),*
                }
            }

            /// Its table.
            pub const fn table(&self) -> TableId {
                match self {
                    $(Self::$kind(_) => <$kind as Row>::TABLE),*
                }
            }

            /// Its key, as bytes.
            pub fn key(&self) -> Key {
                match self {
                    $(Self::$kind(row) => Key::of(&row.key())),*
                }
            }

            /// Its version and stamps.
            pub fn stamp(&self) -> Option<RowStamp> {
                match self {
                    $(Self::$kind(row) => row.stamp()),*
                }
            }

            /// When it wants to be looked at.
            pub fn due_at(&self) -> Option<Millis> {
                match self {
                    $(Self::$kind(row) => row.due_at()),*
                }
            }

            /// Every index row that follows from it.
            pub fn index_rows(&self) -> Vec<IndexRow> {
                match self {
                    $(Self::$kind(row) => index_rows(&**row)),*
                }
            }
        }

        $(impl Declared for $kind {
            fn into_any(row: Arc<Self>) -> AnyRow {
                AnyRow::$kind(row)
            }

            fn from_any(row: &AnyRow) -> Option<&Arc<Self>> {
                if let AnyRow::$kind(row) = row { Some(row) } else { None }
            }
        })*

        /// Every table of rows.
        pub const TABLES: &[TableDef] = &[$(TableDef {
            table: <$kind as Row>::TABLE,
            name: <$kind as Row>::NAME,
            live: <$kind as Row>::LIVE,
            live_from: <$kind as Row>::LIVE_FROM,
            key_bytes: <<$kind as Row>::Key as KeyPart>::WIDTH,
        }),*];

        /// Calls the visitor with the kind of a table; `None` if this release has no such table.
        pub fn visit_kind<V: KindVisitor>(table: TableId, visitor: V) -> Option<V::Output> {
            match table {
                $(<$kind as Row>::TABLE => Some(visitor.kind::<$kind>()),)*
                _ => None,
            }
        }
    };
}

#[cfg(not(feature = "next"))]
rows! {
    Settings, Product, Sale, Pool, Order, Usage, Journal, Retention, FeatureLevel, User, Session,
    EmailCode, Effect, WishlistItem, Address, Keyring, AuditEntry, AuditHead
}
#[cfg(feature = "next")]
rows! {
    Settings, Product, Sale, Pool, Order, Usage, Journal, Retention, FeatureLevel, User, Session,
    EmailCode, Effect, WishlistItem, Address, Keyring, AuditEntry, AuditHead, OrderNote
}

/// Lists the kinds of rows that have due times.
macro_rules! timers {
    ($($kind:ident),*) => {
        /// A row whose timer ran out, by its kind and key.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum DueRow {
            $($kind(<$kind as Row>::Key)),*
        }

        impl DueRow {
            /// The row that a key of [`Due`] names; `None` for a kind without due times.
            pub(crate) fn of(table: TableId, id: u128) -> Option<Self> {
                match table {
                    $(<$kind as Row>::TABLE => Key::of(&id).decode().map(Self::$kind),)*
                    _ => None,
                }
            }
        }

        $(const _: () = {
            assert!(<<$kind as Row>::Key as KeyPart>::WIDTH == DUE_ID_BYTES, "`Due` has ids of 16 bytes");
            assert!(<$kind as Row>::LIVE, "a start reads rows that are due");
        };)*
    };
}

/// Bytes of the ids in [`Due`].
const DUE_ID_BYTES: usize = 16;

timers! { Product, Sale, Order }

/// Every index row that follows from a row.
pub fn index_rows<R: Row>(row: &R) -> Vec<IndexRow> {
    let mut rows = IndexRows::default();
    row.index(&mut rows);
    if let Some(at) = row.due_at() {
        let id = Key::of(&row.key()).decode::<u128>();
        let id = id.expect("`timers!` has every kind with due times, and checks its key");
        debug_assert!(DueRow::of(R::TABLE, id).is_some(), "{} is not in `timers!`", R::NAME);
        rows.add::<Due>((at, R::TABLE.0, id));
    }
    rows.0
}
