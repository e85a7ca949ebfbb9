//! Commands about orders.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{AddressId, OrderId};
use crate::kernel::value::{Money, Sealed};
use crate::kernel::version::Versioned;
use crate::stock::row::PoolId;

/// One wanted line; its target is a sale or a product.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WantedLine {
    /// The pool of the named sale or product.
    pub target: PoolId,
    /// Units, 1..=100.
    pub quantity: u32,
}

/// Where an order goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ShipTo {
    /// To an address that was sent with the order, sealed for the actor.
    Sent(Sealed),
    /// To one of the actor's saved addresses, as it is when the order is decided.
    Saved(AddressId),
}

impl ShipTo {
    /// What the command itself brings.
    pub(crate) const fn sealed(&self) -> Option<&Sealed> {
        match self {
            Self::Sent(sealed) => Some(sealed),
            Self::Saved(_) => None,
        }
    }
}

/// `POST /v1/orders`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderCreate {
    /// Fresh id.
    pub id: OrderId,
    /// 1..=20 lines; lines on one pool are summed.
    pub lines: Vec<WantedLine>,
    /// Where it goes.
    pub address: Option<ShipTo>,
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

impl Versioned for OrderCreate {}
impl Versioned for OrderCancel {}
impl Versioned for OrderShip {}
impl Versioned for OrderDeliver {}
impl Versioned for OrderConfirm {}
impl Versioned for OrderReturn {}
impl Versioned for ReturnReceive {}
