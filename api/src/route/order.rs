//! The caller's orders. Another customer's order gives the same 404 as no order.

use firstcome_domain::command::{
    OrderCancel, OrderConfirm, OrderCreate, OrderReturn, ShipTo, WantedLine,
};
use firstcome_domain::id::{AddressId, OrderId};
use firstcome_domain::order::{Order, Status};
use firstcome_domain::stock::PoolId;
use firstcome_domain::value::{LINE_QUANTITY_MAX, LINES_MAX};
use firstcome_domain::{Action, Done, Outcome, View as _};
use firstcome_raft::Reply;
use firstcome_storage::query::OrderFilter;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::routes::Routes;
use crate::body::EmptyBody;
use crate::budget::Budget;
use crate::call::{Answer, Call, PageRequest, unexpected};
use crate::fields::{Fields, MoneyBody};
use crate::paging::ListName;
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::resource::order::OrderBody;
use crate::seal::{DeliveryAddress, open_address, seal_address};
use crate::spec::{KeyRule, Spec, Success, parameter, schema_of};

/// `POST /v1/orders`: the hot path.
pub(crate) const CREATE: Spec = Spec {
    path: "/v1/orders",
    operation: "create_order",
    tag: "orders",
    summary: "Places an order: holds its units until `pay_by`, all lines or none.",
    budget: Budget::Purchase,
    key: KeyRule::Required,
    body: Some(schema_of::<NewOrder>()),
    success: Success::One(schema_of::<OrderBody>()),
    codes: &[
        Code::NotFound,
        Code::ProductDiscontinued,
        Code::SalePaused,
        Code::SaleNotOpen,
        Code::SaleClosed,
        Code::CurrencyMixed,
        Code::AmountOverflow,
        Code::PriceChanged,
        Code::AlreadyHolding,
        Code::TooManyPendingOrders,
        Code::LimitReached,
        Code::SoldOut,
        Code::IdInUse,
    ],
    ..Spec::POST
};
const LIST: Spec = Spec {
    path: "/v1/orders",
    operation: "list_orders",
    tag: "orders",
    summary: "Lists the caller's orders by ticket, newest first by default.",
    query: &[parameter("status", "Only orders in this status.")],
    sortable: true,
    success: Success::List(schema_of::<OrderBody>()),
    ..Spec::GET
};
const GET: Spec = Spec {
    path: "/v1/orders/{id}",
    operation: "get_order",
    tag: "orders",
    summary: "Returns one of the caller's orders, with its address.",
    success: Success::One(schema_of::<OrderBody>()),
    ..Spec::GET
};
const STEP: Spec = Spec {
    tag: "orders",
    body: Some(schema_of::<EmptyBody>()),
    body_optional: true,
    success: Success::One(schema_of::<OrderBody>()),
    ..Spec::POST
};
const CANCEL: Spec = Spec {
    path: "/v1/orders/{id}/cancellations",
    operation: "cancel_order",
    summary: "Cancels an unpaid or paid order.",
    key: KeyRule::Required,
    codes: &[Code::NotCancelable],
    ..STEP
};
const RETURN: Spec = Spec {
    path: "/v1/orders/{id}/returns",
    operation: "return_order",
    summary: "Requests the return of a delivered order.",
    key: KeyRule::Required,
    codes: &[Code::NotReturnable],
    ..STEP
};
const RECEIVE: Spec = Spec {
    path: "/v1/orders/{id}/receptions",
    operation: "confirm_order",
    summary: "Confirms a delivered order; it can no longer be returned.",
    codes: &[Code::WrongStatus],
    ..STEP
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&CREATE, create)
        .with(&LIST, list)
        .with(&GET, get)
        .with(&CANCEL, |call: Call| step(call, |id| Action::OrderCancel(OrderCancel { id })))
        .with(&RETURN, |call: Call| step(call, |id| Action::OrderReturn(OrderReturn { id })))
        .with(&RECEIVE, |call: Call| step(call, |id| Action::OrderConfirm(OrderConfirm { id })))
}

/// The lines to order, and the delivery address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrder {
    /// 1 to 20 lines, ordered together or not at all. Lines with the same target are added up.
    #[schema(min_items = 1, max_items = 20)]
    lines: Vec<NewLine>,
    /// A saved address, instead of `address`.
    #[serde(default)]
    address_id: Option<String>,
    /// Required unless every product has `no_shipping`.
    #[serde(default)]
    address: Option<DeliveryAddress>,
    /// The total the buyer saw. If it differs, the order is refused with `price_changed`.
    #[serde(default)]
    expected_total: Option<MoneyBody>,
}

/// A sale or a product, with a quantity.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewLine {
    /// `sal_...`; send either this or `product_id`.
    #[serde(default)]
    sale_id: Option<String>,
    /// `prd_...`, to order from general stock.
    #[serde(default)]
    product_id: Option<String>,
    #[schema(minimum = 1, maximum = 100)]
    quantity: u32,
}

impl NewLine {
    /// The line of the command; `None` if its target cannot exist.
    fn wanted(&self, at: usize, fields: &mut Fields) -> Option<WantedLine> {
        check_quantity(fields, &format!("/lines/{at}/quantity"), self.quantity);
        let target = match (&self.sale_id, &self.product_id) {
            (Some(id), None) => id.parse().map(PoolId::Sale).ok(),
            (None, Some(id)) => id.parse().map(PoolId::Product).ok(),
            _ => {
                let detail = "must have either sale_id or product_id";
                fields.wrong(format!("/lines/{at}"), "invalid", detail);
                None
            }
        };
        target.map(|target| WantedLine { target, quantity: self.quantity })
    }
}

impl NewOrder {
    /// Checks everything that needs no rows, and seals the address for its owner.
    pub(super) fn into_command(self, call: &Call) -> Result<OrderCreate, Problem> {
        let mut fields = Fields::default();
        let some = (1..=LINES_MAX).contains(&self.lines.len());
        fields.check(some, "/lines", "out_of_range", "must have 1 to 20 lines");
        let wanted = self.lines.iter().enumerate();
        let wanted: Vec<_> = wanted.map(|(at, line)| line.wanted(at, &mut fields)).collect();
        let delivery = Delivery::clean(call, self.address_id, self.address, &mut fields);
        let expected_total =
            self.expected_total.and_then(|total| fields.total("/expected_total", &total));
        fields.finish()?;
        // Text that is not an id of its kind names no target either.
        let lines = wanted.into_iter().collect::<Option<Vec<_>>>();
        let lines = lines.ok_or_else(no_target)?;
        let address = delivery.ship_to(call)?;
        Ok(OrderCreate { id: fresh_id(), lines, address, expected_total })
    }
}

/// Where an order goes, as the request says.
pub(super) struct Delivery {
    address_id: Option<String>,
    address: Option<DeliveryAddress>,
}

impl Delivery {
    /// Checks what needs no rows.
    pub(super) fn clean(
        call: &Call,
        address_id: Option<String>,
        address: Option<DeliveryAddress>,
        fields: &mut Fields,
    ) -> Self {
        let both = address.is_some() && address_id.is_some();
        fields.check(!both, "/address_id", "invalid", "must not be sent with address");
        let address =
            address.map(|address| address.clean("/address", call.app.options.country, fields));
        Self { address_id, address }
    }

    /// As the command says it: an address that was sent is sealed for the caller, a saved one is
    /// named.
    pub(super) fn ship_to(self, call: &Call) -> Result<Option<ShipTo>, Problem> {
        if let Some(id) = self.address_id {
            // Text that is not an id names no address either: nobody has this one.
            let id = id.parse().unwrap_or(AddressId::new(0));
            return Ok(Some(ShipTo::Saved(id)));
        }
        let Some(address) = self.address else { return Ok(None) };
        let owner = call.owner(call.caller()?.id)?;
        let sealed = seal_address(&call.app.keys, &owner, &address, "/address")?;
        Ok(Some(ShipTo::Sent(sealed)))
    }
}

/// Records a quantity that no line may have.
pub(super) fn check_quantity(fields: &mut Fields, pointer: &str, quantity: u32) {
    let right = (1..=LINE_QUANTITY_MAX).contains(&quantity);
    fields.check(right, pointer, "out_of_range", "must be 1 to 100");
}

/// The target does not exist.
pub(super) fn no_target() -> Problem {
    Problem::new(Code::NotFound).detail("There is no such sale or product.")
}

/// The address does not exist, or is another customer's.
pub(super) fn no_address() -> Problem {
    Problem::new(Code::NotFound).detail("There is no such address, or it is not yours.")
}

/// The id of a new order.
pub(super) fn fresh_id() -> OrderId {
    OrderId::new(Uuid::now_v7().as_u128())
}

async fn create(call: Call) -> Result<Answer, Problem> {
    let command = call.json::<NewOrder>()?.into_command(&call)?;
    let reply = call.propose(Action::OrderCreate(command)).await?;
    answer(&call, &reply, "/v1/orders")
}

/// The order after a write.
pub(super) fn answer(call: &Call, reply: &Reply, list: &str) -> Result<Answer, Problem> {
    let Outcome::Done(Done::Order(order)) = &reply.outcome else { return Err(unexpected(reply)) };
    let answer = call.wrote(&OrderBody::of(order), reply)?;
    Ok(answer.located(format!("{list}/{}", order.id)).tagged(order.row.version))
}

async fn step(call: Call, action: fn(OrderId) -> Action) -> Result<Answer, Problem> {
    let id: OrderId = call.id()?;
    let EmptyBody {} = call.json()?;
    let reply = call.propose(action(id)).await?;
    answer(&call, &reply, "/v1/orders")
}

/// The status filter of order lists.
pub(super) fn status_of(query: &Query) -> Result<Option<Status>, Problem> {
    query.word("status", &Status::ALL.map(|status| (status.as_str(), status)))
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let customer = call.caller()?.id;
    let status = status_of(&call.query)?;
    let list = ListName::new("orders").filter("customer", Some(&customer.to_string()));
    let PageRequest { list, direction, after, limit } = call.page_of(list, &["status"])?;
    let filter = OrderFilter { customer: Some(customer), status, ..OrderFilter::default() };
    let read = call.read(|view| view.orders(filter, direction, after, limit)).await?;
    let items: Vec<_> = read.value.items.iter().map(|order| OrderBody::of(order)).collect();
    call.page(&list, &items, read.value.next.as_ref(), read.revision)
}

async fn get(call: Call) -> Result<Answer, Problem> {
    let (id, owner): (OrderId, _) = (call.id()?, call.caller()?.id);
    let read =
        call.read(|view| view.get::<Order>(id).filter(|order| order.customer == owner)).await?;
    let order = read.value.ok_or_else(|| Problem::new(Code::NotFound).at(read.revision))?;
    let address = match &order.address {
        Some(sealed) => Some(open_address(&call.app.keys, &call.owner(owner)?, sealed, id)?),
        None => None,
    };
    let shown = OrderBody::of(&order).with_address(address);
    Ok(call.shown(&shown, read.revision)?.tagged(order.row.version))
}
