//! `conservation`: everything that moves units, on products and sales whose stock is judged to the
//! unit: order, settle, cancel, ship, deliver, return, receive, correct, allot, close; and stock
//! reads throughout.
//!
//! A hold lasts a minute, so holds end in runs of more than a minute of log time; an order that has
//! ended is learned about from a refusal. Steps of orders leave events, so a lost answer to one may
//! stay lost. Corrections, allotments and closings leave nothing that names who asked, so those
//! are sent until their outcome is known.

use std::time::Duration;

use super::customers::Mine;
use super::errand::{Errands, Patience};
use super::market::{Market, Trade};
use super::{At, IDLE, Sale, Step, draw};
use crate::ask::{self, Ask, Customer, NewProduct, Told};
use crate::seed::Seed;

/// General stock of a product; a dozen sales use it up.
const PRODUCT_UNITS: u64 = 200;

/// The workload.
#[derive(Debug)]
pub(super) struct Conservation {
    making: Errands<()>,
    products: Vec<String>,
    wants_product: bool,
}

/// An order and how far it is.
#[derive(Clone, Debug)]
pub(super) struct Order {
    mine: Mine,
    status: String,
}

/// What a buyer waits for.
#[derive(Clone, Debug)]
pub(super) enum Busy {
    Order { customer: Customer, sale: Sale },
    Step(Order),
    Units,
    Close(Sale),
    Stock,
}

impl Conservation {
    pub(super) fn new() -> Self {
        Self { making: Errands::new(1), products: Vec::new(), wants_product: true }
    }
}

fn begin(
    market: &mut Market<Conservation>,
    products: &[String],
    client: usize,
) -> Option<(Ask, Busy)> {
    let staff = market.setting.staff.as_str();
    let buyer = market.buyers.get_mut(client)?;
    let sale = market.shelf.current()?.clone();
    let key = market.keys.next();
    let any = market.shelf.any(&mut buyer.seed)?.clone();
    match buyer.seed.below(100) {
        0..40 => {
            let customer = buyer.customers.take(&mut buyer.seed)?;
            let quantity = buyer.seed.between(1, sale.limit);
            let ask = ask::order(&customer, &key, &sale.id, quantity);
            Some((ask, Busy::Order { customer, sale }))
        }
        40..75 => {
            let place = draw(&mut buyer.seed, &buyer.memory)?;
            let order = buyer.memory.swap_remove(place);
            Some((order.step(&mut buyer.seed, staff, &key), Busy::Step(order)))
        }
        75..84 => {
            let delta = i64::try_from(buyer.seed.between(1, 4)).unwrap_or(1);
            let delta = if buyer.seed.below(2) == 0 { delta } else { -delta };
            let other_way = buyer.seed.below(3) == 0;
            let ask = if buyer.seed.below(2) == 0 {
                ask::adjust(staff, &key, &any.id, delta, other_way)
            } else {
                ask::allot(staff, &key, &any.id, delta, other_way && delta > 0)
            };
            Some((ask, Busy::Units))
        }
        84 => Some((ask::close(staff, &key, &any.id), Busy::Close(any))),
        85..90 => {
            let place = draw(&mut buyer.seed, products)?;
            Some((ask::general_stock(staff, products.get(place)?), Busy::Stock))
        }
        _ => Some((ask::stock(staff, &any.id), Busy::Stock)),
    }
}

impl Order {
    /// What is asked of it next: mostly what its status allows.
    fn step(&self, seed: &mut Seed, staff: &str, key: &str) -> Ask {
        let Mine { sale, order, customer } = &self.mine;
        let settle = || ask::settle(staff, key, sale, order);
        let cancel = || ask::cancel(customer, key, sale, order);
        let ship = || ask::ship(staff, key, sale, order);
        let likely = seed.below(10);
        match (self.status.as_str(), likely) {
            ("payment_pending", 0..6) | (_, 9) => settle(),
            ("payment_pending", 6..9) | ("paid", 7..9) => cancel(),
            ("paid", _) | ("shipping", 8) => ship(),
            ("shipping", _) | ("delivered", 8) => ask::deliver(staff, key, sale, order),
            ("delivered", _) | ("return_requested", 8) => {
                ask::give_back(customer, key, sale, order)
            }
            ("return_requested", _) => ask::receive(staff, key, sale, order, seed.below(3) > 0),
            _ => cancel(),
        }
    }
}

impl Trade for Conservation {
    type Memory = Vec<Order>;
    type Busy = Busy;
    /// The shortest there is.
    const PAY_WITHIN_SECONDS: u64 = 60;

    fn size(seed: &mut Seed) -> (u64, u64) {
        (seed.between(2, 25), seed.between(1, 4))
    }

    fn next(&mut self, market: &mut Market<Self>, client: usize, _: Duration) -> Step {
        let Some(begun) = begin(market, &self.products, client) else { return Step::Wait(IDLE) };
        let patience = match begun.1 {
            Busy::Stock => Patience::Once,
            Busy::Order { .. } | Busy::Step(_) => Patience::Patient,
            Busy::Units | Busy::Close(_) => Patience::Endless,
        };
        market.errands.begin(client, begun, patience, At::Home)
    }

    fn told(&mut self, market: &mut Market<Self>, client: usize, busy: Busy, told: &Told) {
        let Some(buyer) = market.buyers.get_mut(client) else { return };
        match (busy, told) {
            (Busy::Close(sale), _) => market.shelf.ended(&sale),
            // The customer of a lost answer is retired.
            (Busy::Stock | Busy::Units, _)
            | (Busy::Order { .. } | Busy::Step(_), Told::Unknown) => {}
            (Busy::Order { customer, sale }, told) => {
                if matches!(told.refused(), Some("sold_out" | "sale_closed")) {
                    market.shelf.ended(&sale);
                }
                if let Some(order) = told.text("order").map(str::to_owned) {
                    let mine = Mine { sale: sale.id, order, customer: customer.clone() };
                    buyer.memory.push(Order { mine, status: "payment_pending".into() });
                }
                buyer.customers.put_back(&mut buyer.seed, customer);
            }
            (Busy::Step(order), told) => {
                let status = told.text("status").unwrap_or(&order.status).to_owned();
                let over = matches!(status.as_str(), "canceled" | "returned")
                    || matches!(told.refused(), Some("not_cancelable" | "order_not_payable"))
                        && status == "payment_pending";
                // Now and then something is asked of an order that is over.
                if !over || buyer.seed.below(10) == 0 {
                    buyer.memory.push(Order { status, ..order });
                }
            }
        }
    }

    /// Staff: products with general stock, and sales from the latest.
    fn serve(&mut self, market: &mut Market<Self>, _: usize, _: Duration) -> Step {
        if let Some(step) = self.making.open(0) {
            return step;
        }
        match self.products.last() {
            Some(product) if !self.wants_product => market.open_sale((product, true)),
            _ if market.closing => Step::Done,
            _ => {
                self.wants_product = false;
                let new = NewProduct { units: PRODUCT_UNITS, price: 1000 };
                let ask = ask::product(&market.setting.staff, &market.keys.next(), new);
                self.making.begin(0, (ask, ()), Patience::Endless, At::Home)
            }
        }
    }

    fn served(&mut self, market: &mut Market<Self>, _: usize, told: &Told) {
        if self.making.all_done() {
            let made = market.shelf.told(told);
            let short = made.is_some_and(|told| told.refused() == Some("not_enough_units"));
            self.wants_product |= short;
        } else if let Some(((), told)) = self.making.told(0, told) {
            match told.text("product") {
                Some(id) => self.products.push(id.to_owned()),
                None => self.wants_product = true,
            }
        }
    }

    fn products(&self) -> Vec<String> {
        self.products.clone()
    }
}
