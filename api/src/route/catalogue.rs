//! What anyone may read: log time, products, sales, stock.

use firstcome_domain::id::{ProductId, SaleId};
use firstcome_domain::product::Product;
use firstcome_domain::product::row::words;
use firstcome_domain::sale::{Phase, Sale};
use firstcome_domain::stock::{Accounts, Pool, PoolId};
use firstcome_domain::value::RowStamp;
use firstcome_domain::{Millis, View as _};
use firstcome_storage::query::ReadView;
use serde::Serialize;
use utoipa::ToSchema;

use super::routes::Routes;
use crate::access::{Caller, Permission};
use crate::budget::Budget;
use crate::call::{Answer, Call, PageRequest};
use crate::paging::ListName;
use crate::problem::{Code, Problem};
use crate::query::wrong;
use crate::resource::product::ProductBody;
use crate::resource::sale::{SaleBody, SaleContext, phase, stock};
use crate::resource::stock::StockBody;
use crate::resource::words::PHASES;
use crate::rfc3339;
use crate::spec::{Reads, Spec, Success, parameter, schema_of};

const READ: Spec = Spec {
    tag: "catalogue",
    permission: Permission::PublicRead,
    budget: Budget::PublicRead,
    ..Spec::GET
};

const TIME: Spec = Spec {
    path: "/v1/time",
    operation: "get_time",
    summary: "Returns log time, for countdowns.",
    success: Success::One(schema_of::<TimeBody>()),
    ..READ
};
const PRODUCTS: Spec = Spec {
    path: "/v1/products",
    operation: "list_products",
    summary: "Lists products, newest first unless asked otherwise; staff find discontinued ones with `status=discontinued`. A filtered page may be short: go on while there is a `next_cursor`.",
    reads: Reads::Local,
    sortable: true,
    query: &[
        parameter(
            "status",
            "Only products with this status: `available`, `out_of_stock` or, for staff, `discontinued`.",
        ),
        parameter(
            "q",
            "Only products whose name contains this text, ignoring case. It must have a letter or a digit.",
        ),
    ],
    success: Success::List(schema_of::<ProductBody>()),
    codes: &[Code::TokenMissing, Code::PermissionDenied],
    ..READ
};
const PRODUCT: Spec = Spec {
    path: "/v1/products/{id}",
    operation: "get_product",
    summary: "Returns a product with its current stock and its open and upcoming sales.",
    success: Success::One(schema_of::<ProductBody>()),
    ..READ
};
const PRODUCT_STOCK: Spec = Spec {
    path: "/v1/products/{id}/stock",
    operation: "get_product_stock",
    summary: "Returns the general stock of a product.",
    success: Success::One(schema_of::<StockBody>()),
    ..READ
};
const SALES: Spec = Spec {
    path: "/v1/sales",
    operation: "list_sales",
    summary: "Lists sales, newest first unless asked otherwise. A filtered page may be short: go on while there is a `next_cursor`.",
    reads: Reads::Local,
    sortable: true,
    query: &[parameter(
        "state",
        "Only sales in this state: `scheduled`, `open`, `closed`, `sold_out`, `paused` or `discontinued`.",
    )],
    success: Success::List(schema_of::<SaleBody>()),
    ..READ
};
const SALE: Spec = Spec {
    path: "/v1/sales/{id}",
    operation: "get_sale",
    summary: "Returns a sale with its opening times, state and stock.",
    success: Success::One(schema_of::<SaleBody>()),
    ..READ
};
const SALE_STOCK: Spec = Spec {
    path: "/v1/sales/{id}/stock",
    operation: "get_sale_stock",
    summary: "Returns the stock of a sale, as far as it is disclosed.",
    success: Success::One(schema_of::<StockBody>()),
    ..READ
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&TIME, time)
        .with(&PRODUCTS, products)
        .with(&PRODUCT, product)
        .with(&PRODUCT_STOCK, product_stock)
        .with(&SALES, sales)
        .with(&SALE, sale)
        .with(&SALE_STOCK, sale_stock)
}

/// Log time.
#[derive(Serialize, ToSchema)]
#[schema(as = Time)]
struct TimeBody {
    /// Always `time`.
    #[schema(example = "time")]
    object: &'static str,
    now: String,
    revision: u64,
}

async fn time(call: Call) -> Result<Answer, Problem> {
    let read = call.read(|_| ()).await?;
    let now = rfc3339::format(call.now());
    call.shown(&TimeBody { object: "time", now, revision: read.revision.get() }, read.revision)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Available,
    OutOfStock,
    Discontinued,
}

async fn products(call: Call) -> Result<Answer, Problem> {
    let statuses = [
        ("available", Wanted::Available),
        ("out_of_stock", Wanted::OutOfStock),
        ("discontinued", Wanted::Discontinued),
    ];
    let status = call.query.word("status", &statuses)?;
    if status == Some(Wanted::Discontinued) && !call.caller()?.is_staff() {
        return Err(Problem::new(Code::PermissionDenied).detail("Only staff list these products."));
    }
    // An empty search box is no search.
    let part = call.query.get("q").filter(|part| !part.is_empty()).map(str::to_lowercase);
    if part.as_ref().is_some_and(|part| words(part).is_empty()) {
        return Err(wrong("q", "invalid", "must contain a letter or a digit"));
    }
    if part.as_ref().is_some_and(|part| part.chars().count() > 100) {
        return Err(wrong("q", "too_long", "must have at most 100 characters"));
    }
    let PageRequest { list, direction, after, limit } =
        call.page_of(ListName::new("products"), &["status", "q"])?;
    let offered = status != Some(Wanted::Discontinued);
    let read = call.read(|view| {
        let part = part.as_deref();
        let page = view.products(offered, part, direction, after, limit, |product| {
            wanted(view, product, status, part)
        });
        let shown = page
            .items
            .iter()
            .map(|product| ProductBody::of(product, &pool_of(view, PoolId::Product(product.id))));
        (shown.collect::<Vec<_>>(), page.next)
    });
    let read = read.await?;
    let (items, next) = read.value;
    call.page(&list, &items, next.as_ref(), read.revision)
}

fn wanted(view: &ReadView, product: &Product, status: Option<Wanted>, part: Option<&str>) -> bool {
    if part.is_some_and(|part| !product.name.to_lowercase().contains(part)) {
        return false;
    }
    let empty = || pool_of(view, PoolId::Product(product.id)).accounts.available == 0;
    match status {
        None => !product.discontinued,
        Some(Wanted::Available) => !product.discontinued && !empty(),
        Some(Wanted::OutOfStock) => !product.discontinued && empty(),
        Some(Wanted::Discontinued) => product.discontinued,
    }
}

/// Every product and sale has a pool. A missing one is a bug, and shown as empty.
pub(super) fn pool_of(view: &ReadView, id: PoolId) -> Pool {
    let Some(pool) = view.get::<Pool>(id) else {
        tracing::error!(pool = ?id, "a pool row is missing");
        let (accounts, row) = (Accounts::default(), RowStamp::default());
        return Pool { id, accounts, row };
    };
    *pool
}

async fn product(call: Call) -> Result<Answer, Problem> {
    let id: ProductId = call.id()?;
    let (now, staff) = (call.now(), is_staff(&call));
    let read = call.read(|view| {
        let product = view.get::<Product>(id)?;
        let sales = view.open_sales_of(id, 20);
        let sales = sales.iter().filter(|sale| !sale.is_over(now));
        let sales = sales.map(|sale| show(view, sale, now, staff, SaleBody::of)).collect();
        let shown = ProductBody::of(&product, &pool_of(view, PoolId::Product(id)));
        Some((shown.with_sales(sales), product.row.version))
    });
    let read = read.await?;
    let (shown, version) = read.value.ok_or_else(|| missing("product").at(read.revision))?;
    Ok(call.shown(&shown, read.revision)?.tagged(version))
}

async fn product_stock(call: Call) -> Result<Answer, Problem> {
    let id: ProductId = call.id()?;
    let read = call.read(|view| view.get::<Pool>(PoolId::Product(id))).await?;
    let pool = read.value.ok_or_else(|| missing("product").at(read.revision))?;
    call.shown(&StockBody::exact(&pool), read.revision)
}

async fn sales(call: Call) -> Result<Answer, Problem> {
    let state = call.query.word("state", &PHASES)?;
    let PageRequest { list, direction, after, limit } =
        call.page_of(ListName::new("sales"), &["state"])?;
    let (now, staff) = (call.now(), is_staff(&call));
    let read = call.read(|view| {
        // Time closes a sale before its row says so, so closed ones are looked for among all.
        let closed = state.filter(|state| *state != Phase::Closed).map(|_| false);
        let page = view.sales(closed, direction, after, limit, |sale| match state {
            None => true,
            // The row alone tells.
            Some(Phase::Closed) => sale.is_over(now),
            Some(state) => !sale.is_over(now) && show(view, sale, now, staff, phase) == state,
        });
        let shown = page.items.iter().map(|sale| show(view, sale, now, staff, SaleBody::of));
        (shown.collect::<Vec<_>>(), page.next)
    });
    let read = read.await?;
    let (items, next) = read.value;
    call.page(&list, &items, next.as_ref(), read.revision)
}

async fn sale(call: Call) -> Result<Answer, Problem> {
    let id: SaleId = call.id()?;
    let (now, staff) = (call.now(), is_staff(&call));
    let read = call.read(|view| {
        let sale = view.get::<Sale>(id)?;
        Some((show(view, &sale, now, staff, SaleBody::of), sale.row.version))
    });
    let read = read.await?;
    let (shown, version) = read.value.ok_or_else(|| missing("sale").at(read.revision))?;
    Ok(call.shown(&shown, read.revision)?.tagged(version))
}

async fn sale_stock(call: Call) -> Result<Answer, Problem> {
    let id: SaleId = call.id()?;
    let (now, staff) = (call.now(), is_staff(&call));
    let read = call.read(|view| {
        let sale = view.get::<Sale>(id)?;
        Some(show(view, &sale, now, staff, stock))
    });
    let read = read.await?;
    let shown = read.value.ok_or_else(|| missing("sale").at(read.revision))?;
    call.shown(&shown, read.revision)
}

fn show<R>(
    view: &ReadView,
    sale: &Sale,
    now: Millis,
    staff: bool,
    as_: impl FnOnce(&SaleContext<'_>) -> R,
) -> R {
    let pool = pool_of(view, PoolId::Sale(sale.id));
    let discontinued =
        view.get::<Product>(sale.product).is_some_and(|product| product.discontinued);
    as_(&SaleContext { sale, pool: &pool, discontinued, now, staff })
}

/// Whether the caller sees exact stock.
pub(super) fn is_staff(call: &Call) -> bool {
    call.caller.is_some_and(Caller::is_staff)
}

fn missing(what: &str) -> Problem {
    Problem::new(Code::NotFound).detail(format!("There is no such {what}."))
}
