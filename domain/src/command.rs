//! Commands: what is proposed. One log entry carries one command.
//!
//! Ids, sealed values and hashes are made by the node that took the request, before proposing.

use serde::{Deserialize, Serialize};

use crate::id::{OrderId, ProductId, SaleId, UserId};
use crate::receipt::ReceiptKey;
use crate::sale::Disclosure;
use crate::settings::Settings;
use crate::stock::PoolId;
use crate::value::{Millis, Money, Sealed};

/// What a caller may do at most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Buys.
    Customer,
    /// Helps with orders.
    Support,
    /// Runs products, stock and sales.
    Operator,
    /// May do everything.
    Admin,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Actor {
    /// The leader itself: timers.
    Node,
    /// A user, with the role that the token names.
    User {
        /// `usr_...`
        id: UserId,
        /// The role.
        role: Role,
    },
}

/// One proposal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Command {
    /// Who asks.
    pub actor: Actor,
    /// Present when the client sent an idempotency key.
    pub receipt: Option<ReceiptKey>,
    /// What is asked.
    pub action: Action,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Creates a product with its first units.
    ProductCreate(ProductCreate),
    /// Changes a product.
    ProductUpdate(ProductUpdate),
    /// Discontinues a product, or offers it again.
    ProductSetStatus(ProductSetStatus),
    /// Adds, takes, scraps or unscraps units of a pool.
    StockAdjust(StockAdjust),
    /// Creates a sale; its units come out of the product's available stock.
    SaleCreate(SaleCreate),
    /// Changes a sale.
    SaleUpdate(SaleUpdate),
    /// Moves units between a sale and its product's general stock.
    SaleAllot(SaleAllot),
    /// Stops a sale for now.
    SalePause(SaleCommand),
    /// Lets a paused sale go on.
    SaleResume(SaleCommand),
    /// Ends a sale now.
    SaleClose(SaleCommand),
    /// Sets units aside for the caller.
    OrderCreate(OrderCreate),
    /// Calls an order off.
    OrderCancel(OrderCancel),
    /// Staff: the parcel left.
    OrderShip(OrderShip),
    /// Staff: the parcel arrived.
    OrderDeliver(OrderDeliver),
    /// Owner: keeps it.
    OrderConfirm(OrderConfirm),
    /// Owner: sends it back.
    OrderReturn(OrderReturn),
    /// Staff: the parcel came back.
    ReturnReceive(ReturnReceive),
    /// Records what became of a payment; staff: "paid outside".
    PaymentSettle(PaymentSettle),
    /// Changes the replicated settings.
    SettingsUpdate(SettingsUpdate),
    /// Sweeps due rows, nothing else.
    Tick,
}

impl Action {
    /// The command's name as in docs and receipts.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ProductCreate(_) => "ProductCreate",
            Self::ProductUpdate(_) => "ProductUpdate",
            Self::ProductSetStatus(_) => "ProductSetStatus",
            Self::StockAdjust(_) => "StockAdjust",
            Self::SaleCreate(_) => "SaleCreate",
            Self::SaleUpdate(_) => "SaleUpdate",
            Self::SaleAllot(_) => "SaleAllot",
            Self::SalePause(_) => "SalePause",
            Self::SaleResume(_) => "SaleResume",
            Self::SaleClose(_) => "SaleClose",
            Self::OrderCreate(_) => "OrderCreate",
            Self::OrderCancel(_) => "OrderCancel",
            Self::OrderShip(_) => "OrderShip",
            Self::OrderDeliver(_) => "OrderDeliver",
            Self::OrderConfirm(_) => "OrderConfirm",
            Self::OrderReturn(_) => "OrderReturn",
            Self::ReturnReceive(_) => "ReturnReceive",
            Self::PaymentSettle(_) => "PaymentSettle",
            Self::SettingsUpdate(_) => "SettingsUpdate",
            Self::Tick => "Tick",
        }
    }
}

/// `POST /v1/admin/products`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProductCreate {
    /// Fresh id.
    pub id: ProductId,
    /// 1..=100 characters.
    pub name: String,
    /// 1..=5000 characters.
    pub description: Option<String>,
    /// 1..=500 characters.
    pub image_url: Option<String>,
    /// Orders of it need no address.
    pub no_shipping: bool,
    /// Price of one unit.
    pub price: Money,
    /// First units, 0..=10^9.
    pub stock: u64,
    /// Whether customers may queue.
    pub waitlist: bool,
}

/// `PATCH /v1/admin/products/{id}`; `None` leaves a field as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProductUpdate {
    /// Which product.
    pub id: ProductId,
    /// The version the editor saw.
    pub if_version: u64,
    /// New name.
    pub name: Option<String>,
    /// New description; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// New image; `Some(None)` removes it.
    pub image_url: Option<Option<String>>,
    /// Whether orders of it need no address.
    pub no_shipping: Option<bool>,
    /// New price, same currency.
    pub price: Option<Money>,
    /// Whether customers may queue.
    pub waitlist: Option<bool>,
}

/// `DELETE /v1/admin/products/{id}`, or `status` in a PATCH.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProductSetStatus {
    /// Which product.
    pub id: ProductId,
    /// The version the editor saw.
    pub if_version: u64,
    /// Whether it is discontinued from now on.
    pub discontinued: bool,
}

/// How units are corrected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Adjustment {
    /// outside -> available
    In,
    /// available -> outside
    Out,
    /// available -> scrapped
    Scrap,
    /// scrapped -> available
    Unscrap,
}

/// `POST /v1/admin/{products,sales}/{id}/stock-adjustments`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StockAdjust {
    /// Which pool.
    pub pool: PoolId,
    /// Direction.
    pub adjustment: Adjustment,
    /// Units, 1..=10^9.
    pub quantity: u64,
    /// What staff wrote about it; 1..=200 characters.
    pub note: Option<String>,
}

/// `POST /v1/admin/sales`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SaleCreate {
    /// Fresh id.
    pub id: SaleId,
    /// What is offered.
    pub product: ProductId,
    /// 1..=100 characters.
    pub title: String,
    /// Units to allot, 0..=10^9.
    pub units: u64,
    /// Price of one unit; `None`: the product's.
    pub price: Option<Money>,
    /// First instant.
    pub opens_at: Millis,
    /// Later than `opens_at`.
    pub closes_at: Option<Millis>,
    /// 1..=100.
    pub per_customer_limit: u32,
    /// 1 min..=24 h.
    pub pay_within_ms: Option<i64>,
    /// What the public sees of the stock.
    pub disclosure: Disclosure,
    /// Whether customers may queue.
    pub waitlist: bool,
}

/// `PATCH /v1/admin/sales/{id}`; `None` leaves a field as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SaleUpdate {
    /// Which sale.
    pub id: SaleId,
    /// The version the editor saw.
    pub if_version: u64,
    /// New title.
    pub title: Option<String>,
    /// New price; only before opening.
    pub price: Option<Money>,
    /// New opening; only before opening.
    pub opens_at: Option<Millis>,
    /// New closing, later than now; `Some(None)`: until closed by staff.
    pub closes_at: Option<Option<Millis>>,
    /// New limit. Lowering it takes no units away.
    pub per_customer_limit: Option<u32>,
    /// New hold time; only before opening. `Some(None)`: the setting.
    pub pay_within_ms: Option<Option<i64>>,
    /// What the public sees of the stock.
    pub disclosure: Option<Disclosure>,
    /// Whether customers may queue.
    pub waitlist: Option<bool>,
}

/// Where a sale's units come from or go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Allotment {
    /// From the product's available stock to the sale.
    UpFromGeneral,
    /// New units, through the product's ledger, to the sale.
    UpFromNew,
    /// From the sale's available units back to the product.
    Down,
}

/// `POST /v1/admin/sales/{id}/allotments`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SaleAllot {
    /// Which sale.
    pub id: SaleId,
    /// Direction.
    pub allotment: Allotment,
    /// Units, 1..=10^9.
    pub quantity: u64,
    /// What staff wrote about it.
    pub note: Option<String>,
}

/// `POST /v1/admin/sales/{id}/{pauses,resumptions,closures}`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SaleCommand {
    /// Which sale.
    pub id: SaleId,
    /// The version the editor saw, if they said.
    pub if_version: Option<u64>,
}

/// One wanted line; its target is a sale or a product.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WantedLine {
    /// The pool of the named sale or product.
    pub target: PoolId,
    /// Units, 1..=100.
    pub quantity: u32,
}

/// `POST /v1/orders`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderCreate {
    /// Fresh id.
    pub id: OrderId,
    /// 1..=20 lines; lines on one pool are summed.
    pub lines: Vec<WantedLine>,
    /// Where it goes.
    pub address: Option<Sealed>,
    /// The total the buyer saw, if they said.
    pub expected_total: Option<Money>,
}

/// `POST /v1/orders/{id}/cancellations`, `POST /v1/admin/orders/{id}/cancellations`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderCancel {
    /// Which order.
    pub id: OrderId,
}

/// `POST /v1/admin/orders/{id}/shipments`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderShip {
    /// Which order.
    pub id: OrderId,
    /// The carrier's number, 1..=64 characters.
    pub tracking_no: Option<String>,
}

/// `POST /v1/admin/orders/{id}/deliveries`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderDeliver {
    /// Which order.
    pub id: OrderId,
}

/// `POST /v1/orders/{id}/receptions` (the owner keeps it)
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderConfirm {
    /// Which order.
    pub id: OrderId,
}

/// `POST /v1/orders/{id}/returns`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderReturn {
    /// Which order.
    pub id: OrderId,
}

/// `POST /v1/admin/orders/{id}/return-receipts`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReturnReceive {
    /// Which order.
    pub id: OrderId,
    /// Back to available, or scrapped.
    pub restock: bool,
}

/// What became of a payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Settlement {
    /// Staff took the money outside: counts as captured in full, only while the order is live.
    PaidOutside {
        /// What staff wrote about it; 1..=200 characters.
        reference: Option<String>,
    },
    /// The provider took the money.
    Captured {
        /// Which try.
        attempt: u32,
        /// What the provider calls it.
        provider_ref: String,
        /// Minor units.
        amount: i64,
    },
    /// The provider refused.
    Declined {
        /// Which try.
        attempt: u32,
        /// Why.
        code: String,
        /// No further try makes sense.
        last: bool,
    },
}

/// `POST /v1/admin/orders/{id}/settlements`; later also the provider runner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaymentSettle {
    /// The payment's order.
    pub order: OrderId,
    /// What became of it.
    pub settlement: Settlement,
}

/// `PATCH /v1/admin/settings`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SettingsUpdate {
    /// The version the editor saw.
    pub if_version: u64,
    /// All values; the row stamp is ignored.
    pub settings: Settings,
}
