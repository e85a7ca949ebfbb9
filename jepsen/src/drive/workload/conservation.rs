//! `conservation`: everything that moves units, on products and sales whose stock is judged
//! exactly: order, settle, cancel, ship, deliver, return, receive, correct, allot, close, and stock
//! reads throughout.
//!
//! A hold lasts a minute, so holds expire only in runs of more than a minute of log time; a client
//! learns of it from a refusal. Steps of orders leave events, so their responses may stay lost.
//! Corrections, allotments and closings leave nothing that names the request, so those are sent
//! until their outcome is known.

use std::time::Duration;

use super::customers::OwnedOrder;
use super::in_flight::{InFlight, RetryPolicy};
use super::sale_workload::{SaleState, SaleWorkload};
use super::{IDLE, Route, Sale, Step, draw};
use crate::record::invocation::{self, Customer, Invocation, NewProduct, Reply};
use crate::seed::Seed;

/// General stock of a product; a dozen sales use it up.
const PRODUCT_UNITS: u64 = 200;

/// The workload.
#[derive(Debug)]
pub(super) struct Conservation {
    making: InFlight<()>,
    products: Vec<String>,
    wants_product: bool,
}

/// An order and its status.
#[derive(Clone, Debug)]
pub(super) struct Order {
    owned: OwnedOrder,
    status: String,
}

/// What a buyer is waiting for.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Order { customer: Customer, sale: Sale },
    Step(Order),
    Units,
    Close(Sale),
    Stock,
}

impl Conservation {
    pub(super) fn new() -> Self {
        Self { making: InFlight::new(1), products: Vec::new(), wants_product: true }
    }
}

fn begin(
    state: &mut SaleState<Conservation>,
    products: &[String],
    client: usize,
) -> Option<(Invocation, Pending)> {
    let staff = state.config.staff.as_str();
    let buyer = state.buyers.get_mut(client)?;
    let sale = state.sales.current()?.clone();
    let key = state.keys.next();
    let any = state.sales.any(&mut buyer.seed)?.clone();
    match buyer.seed.below(100) {
        0..40 => {
            let customer = buyer.customers.take(&mut buyer.seed)?;
            let quantity = buyer.seed.between(1, sale.limit);
            let invocation = invocation::order(&customer, &key, &sale.id, quantity);
            Some((invocation, Pending::Order { customer, sale }))
        }
        40..75 => {
            let place = draw(&mut buyer.seed, &buyer.memory)?;
            let order = buyer.memory.swap_remove(place);
            Some((order.step(&mut buyer.seed, staff, &key), Pending::Step(order)))
        }
        75..84 => {
            let delta = i64::try_from(buyer.seed.between(1, 4)).unwrap_or(1);
            let delta = if buyer.seed.below(2) == 0 { delta } else { -delta };
            let other_way = buyer.seed.below(3) == 0;
            let invocation = if buyer.seed.below(2) == 0 {
                invocation::adjust(staff, &key, &any.id, delta, other_way)
            } else {
                invocation::allot(staff, &key, &any.id, delta, other_way && delta > 0)
            };
            Some((invocation, Pending::Units))
        }
        84 => Some((invocation::close(staff, &key, &any.id), Pending::Close(any))),
        85..90 => {
            let place = draw(&mut buyer.seed, products)?;
            Some((invocation::general_stock(staff, products.get(place)?), Pending::Stock))
        }
        _ => Some((invocation::stock(staff, &any.id), Pending::Stock)),
    }
}

impl Order {
    /// The next request about it, mostly one that its status allows.
    fn step(&self, seed: &mut Seed, staff: &str, key: &str) -> Invocation {
        let OwnedOrder { sale, order, customer } = &self.owned;
        let settle = || invocation::settle(staff, key, sale, order);
        let cancel = || invocation::cancel(customer, key, sale, order);
        let ship = || invocation::ship(staff, key, sale, order);
        let likely = seed.below(10);
        match (self.status.as_str(), likely) {
            ("payment_pending", 0..6) | (_, 9) => settle(),
            ("payment_pending", 6..9) | ("paid", 7..9) => cancel(),
            ("paid", _) | ("shipping", 8) => ship(),
            ("shipping", _) | ("delivered", 8) => invocation::deliver(staff, key, sale, order),
            ("delivered", _) | ("return_requested", 8) => {
                invocation::give_back(customer, key, sale, order)
            }
            ("return_requested", _) => {
                invocation::receive(staff, key, sale, order, seed.below(3) > 0)
            }
            _ => cancel(),
        }
    }
}

impl SaleWorkload for Conservation {
    type Memory = Vec<Order>;
    type Pending = Pending;
    /// The shortest allowed.
    const PAY_WITHIN_SECONDS: u64 = 60;

    fn size(seed: &mut Seed) -> (u64, u64) {
        (seed.between(2, 25), seed.between(1, 4))
    }

    fn next(&mut self, state: &mut SaleState<Self>, client: usize, _: Duration) -> Step {
        let Some(begun) = begin(state, &self.products, client) else { return Step::Wait(IDLE) };
        let policy = match begun.1 {
            Pending::Stock => RetryPolicy::Once,
            Pending::Order { .. } | Pending::Step(_) => RetryPolicy::Limited,
            Pending::Units | Pending::Close(_) => RetryPolicy::UntilKnown,
        };
        state.in_flight.begin(client, begun, policy, Route::Home)
    }

    fn on_reply(
        &mut self,
        state: &mut SaleState<Self>,
        client: usize,
        pending: Pending,
        reply: &Reply,
    ) {
        let Some(buyer) = state.buyers.get_mut(client) else { return };
        match (pending, reply) {
            (Pending::Close(sale), _) => state.sales.ended(&sale),
            // The customer of a lost response is retired.
            (Pending::Stock | Pending::Units, _)
            | (Pending::Order { .. } | Pending::Step(_), Reply::Unknown) => {}
            (Pending::Order { customer, sale }, reply) => {
                if matches!(reply.refused(), Some("sold_out" | "sale_closed")) {
                    state.sales.ended(&sale);
                }
                if let Some(order) = reply.text("order").map(str::to_owned) {
                    let owned = OwnedOrder { sale: sale.id, order, customer: customer.clone() };
                    buyer.memory.push(Order { owned, status: "payment_pending".into() });
                }
                buyer.customers.put_back(&mut buyer.seed, customer);
            }
            (Pending::Step(order), reply) => {
                let status = reply.text("status").unwrap_or(&order.status).to_owned();
                let over = matches!(status.as_str(), "canceled" | "returned")
                    || matches!(reply.refused(), Some("not_cancelable" | "order_not_payable"))
                        && status == "payment_pending";
                // Now and then a request is about an order that has ended.
                if !over || buyer.seed.below(10) == 0 {
                    buyer.memory.push(Order { status, ..order });
                }
            }
        }
    }

    /// Staff creates products with general stock, and sales of the latest product.
    fn next_staff(&mut self, state: &mut SaleState<Self>, _: usize, _: Duration) -> Step {
        if let Some(step) = self.making.open(0) {
            return step;
        }
        match self.products.last() {
            Some(product) if !self.wants_product => state.open_sale((product, true)),
            _ if state.closing => Step::Done,
            _ => {
                self.wants_product = false;
                let new = NewProduct { units: PRODUCT_UNITS, price: 1000 };
                let invocation = invocation::product(&state.config.staff, &state.keys.next(), new);
                self.making.begin(0, (invocation, ()), RetryPolicy::UntilKnown, Route::Home)
            }
        }
    }

    fn on_staff_reply(&mut self, state: &mut SaleState<Self>, _: usize, reply: &Reply) {
        if self.making.all_done() {
            let made = state.sales.on_reply(reply);
            let short = made.is_some_and(|reply| reply.refused() == Some("not_enough_units"));
            self.wants_product |= short;
        } else if let Some(((), reply)) = self.making.on_reply(0, reply) {
            match reply.text("product") {
                Some(id) => self.products.push(id.to_owned()),
                None => self.wants_product = true,
            }
        }
    }

    fn products(&self) -> Vec<String> {
        self.products.clone()
    }
}
