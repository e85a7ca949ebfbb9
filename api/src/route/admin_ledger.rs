//! Staff: the ledger of stock movements.

use firstcome_domain::stock::LedgerKey;

use super::routes::Routes;
use crate::access::Permission;
use crate::budget::Budget;
use crate::call::{Answer, Call, PageRequest};
use crate::paging::ListName;
use crate::problem::Problem;
use crate::query::wrong;
use crate::resource::ledger::LedgerRowBody;
use crate::resource::words::pool_of;
use crate::spec::{Spec, Success, parameter, schema_of};

const LIST: Spec = Spec {
    path: "/v1/admin/stock-ledger",
    operation: "list_ledger",
    tag: "staff: records",
    summary: "Lists stock movements, oldest first: those of one pool, or of all pools, in the order of the log.",
    permission: Permission::StockAdjust,
    budget: Budget::Admin,
    query: &[parameter("pool", "ID of the product or sale; all pools by default.")],
    success: Success::List(schema_of::<LedgerRowBody>()),
    ..Spec::GET
};
/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes.with(&LIST, list)
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let pool = call.query.get("pool");
    let pool_id = pool.map(|text| {
        pool_of(text)
            .ok_or_else(|| wrong("pool", "invalid", "must be the ID of a product or a sale"))
    });
    let pool_id = pool_id.transpose()?;
    let page: PageRequest<LedgerKey> = call.page_of(ListName::new("ledger"), &["pool"])?;
    let read = call.read(|view| view.ledger(pool_id, page.after, page.limit)).await?;
    let items: Vec<_> = read.value.items.iter().map(LedgerRowBody::of).collect();
    call.page(&page.list, &items, read.value.next.as_ref(), read.revision)
}
