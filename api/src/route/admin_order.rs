//! Staff: the orders of all customers, without their addresses.

use std::str::FromStr;

use firstcome_domain::command::{
    OrderCancel, OrderDeliver, OrderShip, PaymentSettle, ReturnReceive, Settlement,
};
use firstcome_domain::id::{OrderId, ProductId, SaleId, UserId};
use firstcome_domain::order::Order;
use firstcome_domain::stock::PoolId;
use firstcome_domain::value::{NOTE_CHARS_MAX, Revision, TRACKING_CHARS_MAX};
use firstcome_domain::{Action, View as _};
use firstcome_storage::query::OrderFilter;
use serde::Deserialize;
use utoipa::ToSchema;

use super::order::{answer, status_of};
use super::routes::Routes;
use crate::access::Permission;
use crate::body::EmptyBody;
use crate::budget::Budget;
use crate::call::{Answer, Call, PageRequest};
use crate::fields::Fields;
use crate::paging::ListName;
use crate::problem::{Code, Problem};
use crate::resource::order::OrderBody;
use crate::spec::{KeyRule, Spec, Success, parameter, schema_of};

const LIST: Spec = Spec {
    path: "/v1/admin/orders",
    operation: "list_all_orders",
    tag: "staff: orders",
    summary: "Lists the orders of all customers by ticket, newest first by default.",
    permission: Permission::OrdersRead,
    budget: Budget::Admin,
    query: &[
        parameter("status", "Only orders in this status."),
        parameter("sale_id", "Only orders with a line of this sale."),
        parameter("product_id", "Only orders with a line of this product."),
        parameter("customer_id", "Only orders of this customer."),
        parameter("ticket_after", "Only orders with a higher ticket."),
        parameter("placed_after", "Only orders placed later than this instant."),
        parameter("placed_before", "Only orders placed earlier than this instant."),
    ],
    sortable: true,
    success: Success::List(schema_of::<OrderBody>()),
    ..Spec::GET
};
const GET: Spec = Spec {
    path: "/v1/admin/orders/{id}",
    operation: "get_any_order",
    tag: "staff: orders",
    summary: "Returns any customer's order, without its address.",
    permission: Permission::OrdersRead,
    budget: Budget::Admin,
    success: Success::One(schema_of::<OrderBody>()),
    ..Spec::GET
};
const STEP: Spec = Spec {
    tag: "staff: orders",
    permission: Permission::OrdersAct,
    budget: Budget::Admin,
    body: Some(schema_of::<EmptyBody>()),
    body_optional: true,
    success: Success::One(schema_of::<OrderBody>()),
    codes: &[Code::WrongStatus],
    ..Spec::POST
};
const SETTLE: Spec = Spec {
    path: "/v1/admin/orders/{id}/settlements",
    operation: "settle_order",
    summary: "Records that an unpaid order was paid outside the shop, for example by bank transfer.",
    key: KeyRule::Required,
    body: Some(schema_of::<PaidOutside>()),
    codes: &[Code::OrderNotPayable],
    ..STEP
};
const CANCEL: Spec = Spec {
    path: "/v1/admin/orders/{id}/cancellations",
    operation: "cancel_any_order",
    summary: "Cancels an unpaid or paid order.",
    key: KeyRule::Required,
    codes: &[Code::NotCancelable],
    ..STEP
};
const SHIP: Spec = Spec {
    path: "/v1/admin/orders/{id}/shipments",
    operation: "ship_order",
    summary: "Marks a paid order as shipped, ahead of the timer.",
    body: Some(schema_of::<Shipment>()),
    ..STEP
};
const DELIVER: Spec = Spec {
    path: "/v1/admin/orders/{id}/deliveries",
    operation: "deliver_order",
    summary: "Marks a shipped order as delivered, ahead of the timer.",
    ..STEP
};
const RECEIVE: Spec = Spec {
    path: "/v1/admin/orders/{id}/return-receipts",
    operation: "receive_return",
    summary: "Records that a returned order has arrived.",
    key: KeyRule::Required,
    body: Some(schema_of::<ReturnReceipt>()),
    body_optional: false,
    ..STEP
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&LIST, list)
        .with(&GET, get)
        .with(&SETTLE, settle)
        .with(&CANCEL, |call: Call| step(call, |id| Action::OrderCancel(OrderCancel { id })))
        .with(&SHIP, ship)
        .with(&DELIVER, |call: Call| step(call, |id| Action::OrderDeliver(OrderDeliver { id })))
        .with(&RECEIVE, receive)
}

/// An id in a filter. One of another kind is an invalid value, not an empty list.
fn id_of<T: FromStr>(call: &Call, name: &str) -> Result<Option<T>, Problem> {
    call.query.typed(name, "an ID of the right kind")
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let sale: Option<SaleId> = id_of(&call, "sale_id")?;
    let product: Option<ProductId> = id_of(&call, "product_id")?;
    let customer: Option<UserId> = id_of(&call, "customer_id")?;
    let status = status_of(&call.query)?;
    let ticket_after: Option<u64> = call.query.typed("ticket_after", "a ticket")?;
    let filter = OrderFilter {
        customer,
        status,
        pool: sale.map(PoolId::Sale),
        product,
        ticket_after: ticket_after.map(Revision::new),
        placed_after: call.query.instant("placed_after")?,
        placed_before: call.query.instant("placed_before")?,
    };
    let filters: Vec<&str> = LIST.query.iter().map(|parameter| parameter.name).collect();
    let PageRequest { list, direction, after, limit } =
        call.page_of(ListName::new("all orders"), &filters)?;
    let read = call.read(|view| view.orders(filter, direction, after, limit)).await?;
    let items: Vec<_> = read.value.items.iter().map(|order| OrderBody::of(order)).collect();
    call.page(&list, &items, read.value.next.as_ref(), read.revision)
}

async fn get(call: Call) -> Result<Answer, Problem> {
    let id: OrderId = call.id()?;
    let read = call.read(|view| view.get::<Order>(id)).await?;
    let order = read.value.ok_or_else(|| Problem::new(Code::NotFound).at(read.revision))?;
    Ok(call.shown(&OrderBody::of(&order), read.revision)?.tagged(order.row.version))
}

async fn act(call: &Call, action: Action) -> Result<Answer, Problem> {
    answer(call, &call.propose(action).await?, "/v1/admin/orders")
}

async fn step(call: Call, action: fn(OrderId) -> Action) -> Result<Answer, Problem> {
    let id: OrderId = call.id()?;
    let EmptyBody {} = call.json()?;
    act(&call, action(id)).await
}

/// How the order was paid.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PaidOutside {
    /// A note by staff, such as the number of a bank transfer.
    #[serde(default)]
    #[schema(max_length = 200)]
    reference: Option<String>,
}

async fn settle(call: Call) -> Result<Answer, Problem> {
    let order: OrderId = call.id()?;
    let body: PaidOutside = call.json()?;
    let mut fields = Fields::default();
    let reference = fields.optional_text("/reference", body.reference, NOTE_CHARS_MAX, false);
    fields.finish()?;
    let settlement = Settlement::PaidOutside { reference };
    act(&call, Action::PaymentSettle(PaymentSettle { order, settlement })).await
}

/// The shipment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Shipment {
    /// The tracking number of the carrier.
    #[serde(default)]
    #[schema(max_length = 64)]
    tracking_no: Option<String>,
}

async fn ship(call: Call) -> Result<Answer, Problem> {
    let id: OrderId = call.id()?;
    let body: Shipment = call.json()?;
    let mut fields = Fields::default();
    let tracking_no =
        fields.optional_text("/tracking_no", body.tracking_no, TRACKING_CHARS_MAX, false);
    fields.finish()?;
    act(&call, Action::OrderShip(OrderShip { id, tracking_no })).await
}

/// The condition of the returned goods.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReturnReceipt {
    /// Whether the units can be sold again; otherwise they are scrapped.
    restock: bool,
}

async fn receive(call: Call) -> Result<Answer, Problem> {
    let id: OrderId = call.id()?;
    let ReturnReceipt { restock } = call.json()?;
    act(&call, Action::ReturnReceive(ReturnReceive { id, restock })).await
}
