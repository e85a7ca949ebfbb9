//! `conservation`: everything that moves units, on products and sales whose stock is judged to the
//! unit: order, settle, cancel, ship, deliver, return, receive, correct, allot, close; and stock
//! reads throughout.
//!
//! A hold lasts a minute, so holds end in runs of more than a minute of log time; an order that has
//! ended is learned about from a refusal. Steps of orders leave events, so a lost answer to one may
//! stay lost. Corrections, allotments and closings leave nothing that names who asked, so those
//! are sent until their outcome is known.

use std::time::Duration;

use super::customers::{Customers, Mine};
use super::errand::{Errands, Patience};
use super::shelf::Shelf;
use super::{At, IDLE, Keys, Sale, Setting, Step, Workload, draw};
use crate::ask::{self, Ask, Customer, NewProduct, Told};
use crate::seed::Seed;

/// The shortest there is.
const PAY_WITHIN_SECONDS: u64 = 60;
/// General stock of a product; a dozen sales use it up.
const PRODUCT_UNITS: u64 = 200;

/// The workload.
#[derive(Debug)]
pub(super) struct Conservation {
    setting: Setting,
    keys: Keys,
    buyers: Vec<Buyer>,
    errands: Errands<Busy>,
    shelf: Shelf,
    making: Errands<()>,
    products: Vec<String>,
    wants_product: bool,
    closing: bool,
}

/// An order and how far it is.
#[derive(Clone, Debug)]
struct Order {
    mine: Mine,
    status: String,
}

#[derive(Debug)]
struct Buyer {
    seed: Seed,
    customers: Customers,
    orders: Vec<Order>,
}

#[derive(Clone, Debug)]
enum Busy {
    Order { customer: Customer, sale: Sale },
    Step(Order),
    Units,
    Close(Sale),
    Stock,
}

fn size(seed: &mut Seed) -> (u64, u64) {
    (seed.between(2, 25), seed.between(1, 4))
}

impl Conservation {
    pub(super) fn new(mut setting: Setting) -> Self {
        let customers = std::mem::take(&mut setting.customers);
        let shares = Customers::shared_out(customers, setting.buyers());
        let buyer = |(at, customers)| Buyer {
            seed: Seed::of(setting.seed, at),
            customers,
            orders: Vec::new(),
        };
        let buyers: Vec<Buyer> = (0_u64..).zip(shares).map(buyer).collect();
        Self {
            errands: Errands::new(buyers.len()),
            shelf: Shelf::new(&setting, PAY_WITHIN_SECONDS),
            making: Errands::new(1),
            setting,
            keys: Keys::default(),
            buyers,
            products: Vec::new(),
            wants_product: true,
            closing: false,
        }
    }

    /// Staff: products with general stock, and sales from the latest.
    fn make(&mut self) -> Step {
        if let Some(step) = self.making.open(0) {
            return step;
        }
        match self.products.last() {
            Some(product) if !self.wants_product => {
                let product = (product.as_str(), true);
                self.shelf.next(&mut self.keys, self.closing, product, size)
            }
            _ if self.closing => Step::Done,
            _ => {
                self.wants_product = false;
                let new = NewProduct { units: PRODUCT_UNITS, price: 1000 };
                let ask = ask::product(&self.setting.staff, &self.keys.next(), new);
                self.making.begin(0, (ask, ()), Patience::Endless, At::Home)
            }
        }
    }

    fn made(&mut self, told: &Told) {
        if self.making.all_done() {
            let made = self.shelf.told(told);
            let short = made.is_some_and(|told| told.refused() == Some("not_enough_units"));
            self.wants_product |= short;
        } else if let Some(((), told)) = self.making.told(0, told) {
            match told.text("product") {
                Some(id) => self.products.push(id.to_owned()),
                None => self.wants_product = true,
            }
        }
    }

    fn begin(&mut self, client: usize) -> Option<(Ask, Busy)> {
        let staff = self.setting.staff.as_str();
        let buyer = self.buyers.get_mut(client)?;
        let sale = self.shelf.current()?.clone();
        let key = self.keys.next();
        let any = self.shelf.any(&mut buyer.seed)?.clone();
        match buyer.seed.below(100) {
            0..40 => {
                let customer = buyer.customers.take(&mut buyer.seed)?;
                let quantity = buyer.seed.between(1, sale.limit);
                let ask = ask::order(&customer, &key, &sale.id, quantity);
                Some((ask, Busy::Order { customer, sale }))
            }
            40..75 => {
                let place = draw(&mut buyer.seed, &buyer.orders)?;
                let order = buyer.orders.swap_remove(place);
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
                let place = draw(&mut buyer.seed, &self.products)?;
                Some((ask::general_stock(staff, self.products.get(place)?), Busy::Stock))
            }
            _ => Some((ask::stock(staff, &any.id), Busy::Stock)),
        }
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

impl Workload for Conservation {
    fn clients(&self) -> usize {
        self.buyers.len() + 1
    }

    fn next(&mut self, client: usize, _: Duration) -> Step {
        if client >= self.buyers.len() {
            return self.make();
        }
        if let Some(step) = self.errands.open(client) {
            return step;
        }
        if self.closing {
            return Step::Done;
        }
        let Some(begun) = self.begin(client) else { return Step::Wait(IDLE) };
        let patience = match begun.1 {
            Busy::Stock => Patience::Once,
            Busy::Order { .. } | Busy::Step(_) => Patience::Patient,
            Busy::Units | Busy::Close(_) => Patience::Endless,
        };
        self.errands.begin(client, begun, patience, At::Home)
    }

    fn told(&mut self, client: usize, _: &Ask, told: &Told) {
        let Some(buyer) = self.buyers.get_mut(client) else { return self.made(told) };
        let Some((busy, told)) = self.errands.told(client, told) else { return };
        match (busy, &told) {
            (Busy::Close(sale), _) => self.shelf.ended(&sale),
            // The customer of a lost answer is retired.
            (Busy::Stock | Busy::Units, _)
            | (Busy::Order { .. } | Busy::Step(_), Told::Unknown) => {}
            (Busy::Order { customer, sale }, told) => {
                if matches!(told.refused(), Some("sold_out" | "sale_closed")) {
                    self.shelf.ended(&sale);
                }
                if let Some(order) = told.text("order").map(str::to_owned) {
                    let mine = Mine { sale: sale.id, order, customer: customer.clone() };
                    buyer.orders.push(Order { mine, status: "payment_pending".into() });
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
                    buyer.orders.push(Order { status, ..order });
                }
            }
        }
    }

    fn close(&mut self) {
        self.closing = true;
    }

    fn sales(&self) -> Vec<Sale> {
        self.shelf.sales.clone()
    }

    fn products(&self) -> Vec<String> {
        self.products.clone()
    }
}
