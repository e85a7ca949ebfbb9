//! Version 1 of what has a second one, for clusters at level 1 and for rows of that time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::NOTES;
use crate::address::row::Address;
use crate::kernel::id::{OrderId, UserId};
use crate::kernel::value::{Currency, Millis, RowStamp, Sealed, Stamp};
use crate::kernel::version::{Decoder, Encoder, Level, Versioned};
use crate::keyring::row::Keyring;
use crate::order::row::{EndReason, Line, Order, Source, Status};
use crate::outcome::{Done, Outcome, Refusal};
use crate::payment::row::Payment;
use crate::product::row::Product;
use crate::sale::row::Sale;
use crate::session::row::Session;
use crate::settings::row::Settings;
use crate::stock::row::Pool;
use crate::user::row::User;
use crate::wishlist::row::Wish;

/// Version 1 of an order, which clusters at level 1 store.
#[derive(Serialize, Deserialize)]
struct OrderV1 {
    id: OrderId,
    customer: UserId,
    lines: Vec<Line>,
    total: i64,
    currency: Currency,
    address: Option<Sealed>,
    source: Source,
    status: Status,
    entered_at: Millis,
    pay_by: Option<Millis>,
    due_at: Option<Millis>,
    payment: Payment,
    tracking_no: Option<String>,
    reason: Option<EndReason>,
    ticket: Stamp,
    row: RowStamp,
}

impl From<Order> for OrderV1 {
    fn from(order: Order) -> Self {
        Self {
            id: order.id,
            customer: order.customer,
            lines: order.lines,
            total: order.total,
            currency: order.currency,
            address: order.address,
            source: order.source,
            status: order.status,
            entered_at: order.entered_at,
            pay_by: order.pay_by,
            due_at: order.due_at,
            payment: order.payment,
            tracking_no: order.tracking_no,
            reason: order.reason,
            ticket: order.ticket,
            row: order.row,
        }
    }
}

impl From<OrderV1> for Order {
    fn from(order: OrderV1) -> Self {
        Self {
            id: order.id,
            customer: order.customer,
            lines: order.lines,
            total: order.total,
            currency: order.currency,
            address: order.address,
            source: order.source,
            status: order.status,
            entered_at: order.entered_at,
            pay_by: order.pay_by,
            due_at: order.due_at,
            payment: order.payment,
            tracking_no: order.tracking_no,
            reason: order.reason,
            noted_at: None,
            ticket: order.ticket,
            row: order.row,
        }
    }
}

/// Version 1 of an outcome, which holds version 1 of an order. Outcomes are in receipts, so what a
/// cluster at level 1 stores of them must not change either.
#[derive(Serialize, Deserialize)]
enum OutcomeV1 {
    Done(DoneV1),
    Refused(Refusal),
}

#[derive(Serialize, Deserialize)]
enum DoneV1 {
    Product(Box<Product>, Pool),
    Sale(Box<Sale>, Pool, bool),
    Stock(Pool),
    Order(Box<OrderV1>),
    Settings(Box<Settings>),
    FeatureLevel(u16),
    Ticked { more: bool, next_due: Option<Millis> },
    Wish(Box<Wish>),
    WishesRemoved,
    Address(Arc<Address>),
    AddressRemoved,
    Keyring(Box<Keyring>),
    Accepted,
    User(Arc<User>),
    Session(Arc<Session>),
}

impl From<Outcome> for OutcomeV1 {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done(done) => Self::Done(match done {
                Done::Product(product, pool) => DoneV1::Product(product, pool),
                Done::Sale(sale, pool, discontinued) => DoneV1::Sale(sale, pool, discontinued),
                Done::Stock(pool) => DoneV1::Stock(pool),
                Done::Order(order) => DoneV1::Order(Box::new(Arc::unwrap_or_clone(order).into())),
                Done::Settings(settings) => DoneV1::Settings(settings),
                Done::FeatureLevel(level) => DoneV1::FeatureLevel(level),
                Done::Ticked { more, next_due } => DoneV1::Ticked { more, next_due },
                Done::Wish(wish) => DoneV1::Wish(wish),
                Done::WishesRemoved => DoneV1::WishesRemoved,
                Done::Address(address) => DoneV1::Address(address),
                Done::AddressRemoved => DoneV1::AddressRemoved,
                Done::Keyring(keyring) => DoneV1::Keyring(keyring),
                Done::Accepted => DoneV1::Accepted,
                Done::User(user) => DoneV1::User(user),
                Done::Session(session) => DoneV1::Session(session),
            }),
            Outcome::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

impl From<OutcomeV1> for Outcome {
    fn from(outcome: OutcomeV1) -> Self {
        match outcome {
            OutcomeV1::Done(done) => Self::Done(match done {
                DoneV1::Product(product, pool) => Done::Product(product, pool),
                DoneV1::Sale(sale, pool, discontinued) => Done::Sale(sale, pool, discontinued),
                DoneV1::Stock(pool) => Done::Stock(pool),
                DoneV1::Order(order) => Done::Order(Arc::new((*order).into())),
                DoneV1::Settings(settings) => Done::Settings(settings),
                DoneV1::FeatureLevel(level) => Done::FeatureLevel(level),
                DoneV1::Ticked { more, next_due } => Done::Ticked { more, next_due },
                DoneV1::Wish(wish) => Done::Wish(wish),
                DoneV1::WishesRemoved => Done::WishesRemoved,
                DoneV1::Address(address) => Done::Address(address),
                DoneV1::AddressRemoved => Done::AddressRemoved,
                DoneV1::Keyring(keyring) => Done::Keyring(keyring),
                DoneV1::Accepted => Done::Accepted,
                DoneV1::User(user) => Done::User(user),
                DoneV1::Session(session) => Done::Session(session),
            }),
            OutcomeV1::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// Two versions: the first as `$v1`, the second, from [`NOTES`] on, as the type itself.
macro_rules! two_versions {
    ($($name:ty, $v1:ty;)*) => {$(
        impl Versioned for $name {
            const VERSION: u8 = 2;

            fn version_at(level: Level) -> u8 {
                if level < NOTES { 1 } else { 2 }
            }

            fn encode<E: Encoder>(&self, version: u8, encoder: E) -> E::Output {
                if version == 1 {
                    encoder.value(&<$v1>::from(self.clone()))
                } else {
                    encoder.value(self)
                }
            }

            fn decode<D: Decoder>(version: u8, decoder: D) -> Option<Result<Self, D::Error>> {
                match version {
                    1 => Some(decoder.value::<$v1>().map(Self::from)),
                    2 => Some(decoder.value()),
                    _ => None,
                }
            }
        }
    )*};
}

two_versions! {
    Order, OrderV1;
    Outcome, OutcomeV1;
}
