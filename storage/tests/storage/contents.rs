//! Everything that a view shows: every row of every kind and every index row, so that two stores
//! can be compared whichever kinds the registry has.

use firstcome_domain::View as _;
use firstcome_domain::address::row::AddressesByCustomer;
use firstcome_domain::effect::row::{EffectsByNext, EffectsByTicket, EffectsFailed};
use firstcome_domain::email_code::row::EmailCodesByEnd;
use firstcome_domain::id::{AddressId, EffectId, OrderId, ProductId, SaleId, SessionId, UserId};
use firstcome_domain::journal::row::{LedgerByPool, ReceiptsByScope};
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::{Due, Index, TableId};
use firstcome_domain::order::Status;
use firstcome_domain::order::row::{
    EndedOrders, EndedOrdersByPool, HoldsDue, LiveOrders, LiveOrdersByPool, OrdersByCustomer,
    OrdersByPool, OrdersByTicket, PaidOrders, UnpaidOrders,
};
use firstcome_domain::product::row::{NamePart, ProductsByName, ProductsByTicket, ProductsOffered};
use firstcome_domain::registry::{AnyRow, Declared, INDEXES, KindVisitor, TABLES, visit_kind};
use firstcome_domain::sale::row::{SalesByClosed, SalesByProduct, SalesByTicket};
use firstcome_domain::session::row::{LoginsByUser, SessionsByEnd};
use firstcome_domain::stock::PoolId;
use firstcome_domain::testing::memory::Memory;
use firstcome_domain::user::row::{ActiveAdmins, StaffByRole, UsersByEmail, UsersByTicket};
use firstcome_domain::value::{Millis, Revision};
use firstcome_domain::wishlist::row::WishlistByCustomer;
use firstcome_storage::State;
use firstcome_storage::query::ReadView;

/// All rows and all index rows, in the order of tables and keys.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Contents {
    pub(crate) rows: Vec<(TableId, Key, AnyRow)>,
    pub(crate) indexes: Vec<(TableId, Key)>,
}

impl Contents {
    /// What a view shows.
    pub(crate) fn of(view: &ReadView) -> Self {
        let mut rows = Vec::new();
        for table in TABLES {
            visit_kind(table.table, EachOf { view, rows: &mut rows }).unwrap();
        }
        Self { rows, indexes: index_rows(view) }
    }

    /// What the rules' own rows in memory hold.
    pub(crate) fn of_memory(memory: &Memory) -> Self {
        let mut rows = Vec::new();
        for table in TABLES {
            visit_kind(table.table, AllOf { memory, rows: &mut rows }).unwrap();
        }
        Self { rows, indexes: memory.index_rows().collect() }
    }

    /// The index rows that should be there, made anew from the rows.
    pub(crate) fn derived_indexes(&self) -> Vec<(TableId, Key)> {
        let rows = self.rows.iter().flat_map(|(.., row)| row.index_rows());
        let mut derived: Vec<_> = rows.map(|row| (row.table, row.key)).collect();
        derived.sort_unstable();
        derived
    }

    /// How many rows of a kind there are.
    pub(crate) fn count<R: Declared>(&self) -> usize {
        self.rows.iter().filter(|(table, ..)| *table == R::TABLE).count()
    }
}

/// What a state holds now.
pub(crate) fn contents(state: &State) -> Contents {
    state.read(Contents::of).unwrap()
}

/// Collects the rows of one kind from a view.
struct EachOf<'a> {
    view: &'a ReadView,
    rows: &'a mut Vec<(TableId, Key, AnyRow)>,
}

impl KindVisitor for EachOf<'_> {
    type Output = ();

    fn kind<R: Declared>(self) {
        self.view.each::<R>(|row| {
            let any = R::into_any(row.clone().into());
            self.rows.push((R::TABLE, Key::of(&row.key()), any));
            true
        });
    }
}

/// Collects the rows of one kind from a memory.
struct AllOf<'a> {
    memory: &'a Memory,
    rows: &'a mut Vec<(TableId, Key, AnyRow)>,
}

impl KindVisitor for AllOf<'_> {
    type Output = ();

    fn kind<R: Declared>(self) {
        let rows = self.memory.all::<R>();
        let rows = rows.map(|row| (R::TABLE, Key::of(&row.key()), R::into_any(row.clone().into())));
        self.rows.extend(rows);
    }
}

/// Lists every index once; a new one must be named here.
macro_rules! scan_all {
    ($view:expr, $($index:ident),* $(,)?) => {{
        let scanned = [$(<$index as Index>::TABLE),*];
        let declared: Vec<_> = INDEXES.iter().map(|index| index.table).collect();
        assert_eq!(scanned.as_slice(), declared, "an index is not compared");
        let mut found = Vec::new();
        $(found.extend(scan::<$index>($view));)*
        found
    }};
}

fn index_rows(view: &ReadView) -> Vec<(TableId, Key)> {
    scan_all!(
        view,
        Due,
        ProductsByTicket,
        ProductsOffered,
        ProductsByName,
        SalesByTicket,
        SalesByClosed,
        SalesByProduct,
        OrdersByTicket,
        OrdersByCustomer,
        OrdersByPool,
        LiveOrders,
        EndedOrders,
        LiveOrdersByPool,
        EndedOrdersByPool,
        HoldsDue,
        UnpaidOrders,
        PaidOrders,
        UsersByEmail,
        UsersByTicket,
        StaffByRole,
        ActiveAdmins,
        LoginsByUser,
        SessionsByEnd,
        EmailCodesByEnd,
        EffectsByNext,
        EffectsFailed,
        EffectsByTicket,
        WishlistByCustomer,
        AddressesByCustomer,
        LedgerByPool,
        ReceiptsByScope,
    )
}

fn scan<I: Index<Key: Ends>>(view: &ReadView) -> impl Iterator<Item = (TableId, Key)> {
    let keys = view.scan::<I>(I::Key::FIRST, I::Key::LAST, usize::MAX);
    keys.into_iter().map(|key| (I::TABLE, Key::of(&key)))
}

/// The first and the last key part of a type.
trait Ends {
    const FIRST: Self;
    const LAST: Self;
}

macro_rules! ends {
    ($($part:ty: $first:expr, $last:expr;)*) => {$(
        impl Ends for $part {
            const FIRST: Self = $first;
            const LAST: Self = $last;
        }
    )*};
}

ends! {
    bool: false, true;
    u8: 0, u8::MAX;
    u16: 0, u16::MAX;
    u128: 0, u128::MAX;
    NamePart: [0; 22], [u8::MAX; 22];
    [u8; 32]: [0; 32], [u8::MAX; 32];
    Millis: Self::new(i64::MIN), Self::new(i64::MAX);
    Revision: Self::new(0), Self::new(u64::MAX);
    ProductId: Self::new(0), Self::new(u128::MAX);
    SaleId: Self::new(0), Self::new(u128::MAX);
    AddressId: Self::new(0), Self::new(u128::MAX);
    OrderId: Self::new(0), Self::new(u128::MAX);
    UserId: Self::new(0), Self::new(u128::MAX);
    SessionId: Self::new(0), Self::new(u128::MAX);
    EffectId: Self::new(0), Self::new(u128::MAX);
    PoolId: Self::Product(ProductId::FIRST), Self::Sale(SaleId::LAST);
    Status: Status::ALL[0], Status::ALL[Status::ALL.len() - 1];
}

macro_rules! tuples {
    ($(($($part:ident),+);)*) => {$(
        impl<$($part: Ends),+> Ends for ($($part,)+) {
            const FIRST: Self = ($($part::FIRST,)+);
            const LAST: Self = ($($part::LAST,)+);
        }
    )*};
}

tuples! {
    (A, B);
    (A, B, C);
    (A, B, C, D);
}
