//! Reads for people: the typed view of rules, and the lists of the API, each from an index.

use firstcome_domain::event::Events;
use firstcome_domain::id::{OrderId, ProductId, SaleId, UserId};
use firstcome_domain::order::{Order, Status};
use firstcome_domain::product::Product;
use firstcome_domain::sale::Sale;
use firstcome_domain::stock::{LedgerKey, LedgerRow, PoolId};
use firstcome_domain::value::Revision;

use crate::state::Applied;

/// Rows at one revision. Also implements [`firstcome_domain::View`].
pub struct ReadView<'a> {
    _marker: std::marker::PhantomData<&'a ()>,
}

/// Which orders a list wants; every given field must match.
#[derive(Clone, Copy, Default, Debug)]
pub struct OrderFilter {
    /// Whose.
    pub customer: Option<UserId>,
    /// In which status.
    pub status: Option<Status>,
    /// With a line on this pool.
    pub pool: Option<PoolId>,
    /// With a line of this product, in any pool.
    pub product: Option<ProductId>,
}

/// A page of a list: what was found, and where to go on if there may be more.
#[derive(Clone, Debug)]
pub struct Page<T, K> {
    /// Found, in list order.
    pub items: Vec<T>,
    /// Pass as `after` for the next page; `None` at the end.
    pub next: Option<K>,
}

impl ReadView<'_> {
    /// How far the rows are.
    pub fn applied(&self) -> Applied {
        unimplemented!()
    }
    /// Products, newest first, those that `keep` accepts. Looks at a bounded number of rows per
    /// call, so a page may be short (even empty) and still have a `next`.
    pub fn products(
        &self,
        _after: Option<ProductId>,
        _limit: usize,
        _keep: impl Fn(&Product) -> bool,
    ) -> Page<Product, ProductId> {
        unimplemented!()
    }
    /// Sales, newest first, those that `keep` accepts; bounded like `products`.
    pub fn sales(
        &self,
        _after: Option<SaleId>,
        _limit: usize,
        _keep: impl Fn(&Sale) -> bool,
    ) -> Page<Sale, SaleId> {
        unimplemented!()
    }
    /// Sales of one product that are not closed, newest first, from an index.
    pub fn open_sales_of(&self, _product: ProductId, _limit: usize) -> Vec<Sale> {
        unimplemented!()
    }
    /// Orders, newest first, from the narrowest index the filter allows.
    pub fn orders(
        &self,
        _filter: OrderFilter,
        _after: Option<OrderId>,
        _limit: usize,
    ) -> Page<Order, OrderId> {
        unimplemented!()
    }
    /// Ledger rows, oldest first; of one pool, or of all (by pool, then place).
    pub fn ledger(
        &self,
        _pool: Option<PoolId>,
        _after: Option<LedgerKey>,
        _limit: usize,
    ) -> Page<LedgerRow, LedgerKey> {
        unimplemented!()
    }
    /// Event rows of revisions greater than or equal to `from`, oldest first.
    pub fn events(&self, _from: Revision, _limit: usize) -> Vec<Events> {
        unimplemented!()
    }
    /// The oldest revision that still has its events, if any has.
    pub fn oldest_event(&self) -> Option<Revision> {
        unimplemented!()
    }
    /// The newest revision whose events were removed by retention (0 if none was).
    pub fn events_removed_until(&self) -> Revision {
        unimplemented!()
    }
}
