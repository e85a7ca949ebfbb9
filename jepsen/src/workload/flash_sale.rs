//! `flash_sale`: order, then settle or cancel, on sales of 1 to 100 units; a new sale when one is
//! sold out; stock reads; no hold ends by itself.
//!
//! A customer belongs to one client, so that the order of its requests is known; when an answer is
//! lost, half of the time the same key is sent again to other nodes until the outcome is known,
//! and otherwise the customer retires.

use std::time::Duration;

use super::customers::{Customers, Mine};
use super::errand::{Errands, Patience};
use super::shelf::Shelf;
use super::{At, IDLE, Keys, PAY_WITHIN_SECONDS, Sale, Setting, Step, Workload, draw};
use crate::ask::{self, Ask, Customer, Told};
use crate::seed::Seed;

/// The workload.
#[derive(Debug)]
pub(super) struct FlashSale {
    setting: Setting,
    keys: Keys,
    buyers: Vec<Buyer>,
    errands: Errands<Busy>,
    shelf: Shelf,
    closing: bool,
}

/// What a buyer waits for.
#[derive(Clone, Debug)]
enum Busy {
    Order { customer: Customer, sale: Sale },
    End(Mine),
    Stock,
}

#[derive(Debug)]
struct Buyer {
    seed: Seed,
    customers: Customers,
    unpaid: Vec<Mine>,
    ended: Vec<Mine>,
}

/// Half of the sales are tiny: their edge is reached at once and often.
fn size(seed: &mut Seed) -> (u64, u64) {
    let tiny = seed.below(2) == 0;
    let units = if tiny { seed.between(1, 8) } else { seed.between(9, 100) };
    (units, seed.between(1, 3))
}

impl FlashSale {
    pub(super) fn new(mut setting: Setting) -> Self {
        let customers = std::mem::take(&mut setting.customers);
        let shares = Customers::shared_out(customers, setting.buyers());
        let buyer = |(at, customers)| Buyer {
            seed: Seed::of(setting.seed, at),
            customers,
            unpaid: Vec::new(),
            ended: Vec::new(),
        };
        let buyers: Vec<Buyer> = (0_u64..).zip(shares).map(buyer).collect();
        Self {
            errands: Errands::new(buyers.len()),
            shelf: Shelf::new(&setting, PAY_WITHIN_SECONDS),
            setting,
            keys: Keys::default(),
            buyers,
            closing: false,
        }
    }

    /// What an idle buyer begins.
    fn begin(&mut self, client: usize) -> Option<(Ask, Busy)> {
        let current = self.shelf.current()?.clone();
        let staff = &self.setting.staff;
        let buyer = self.buyers.get_mut(client)?;
        let (ask, busy) = match buyer.seed.below(100) {
            0..45 => {
                let customer = buyer.customers.take(&mut buyer.seed)?;
                let over = u64::from(buyer.seed.below(20) == 0);
                // A node that stood still knows the new sale last, and refuses for the old ones.
                let late = buyer.seed.below(8) == 0;
                let old = if late { self.shelf.any(&mut buyer.seed).cloned() } else { None };
                let sale = old.unwrap_or(current);
                let quantity = buyer.seed.between(1, sale.limit) + over;
                let ask = ask::order(&customer, &self.keys.next(), &sale.id, quantity);
                (ask, Busy::Order { customer, sale })
            }
            45..65 => {
                let mine = buyer.draw(1)?;
                let ask = ask::settle(staff, &self.keys.next(), &mine.sale, &mine.order);
                (ask, Busy::End(mine))
            }
            65..80 => {
                let mine = buyer.draw(4)?;
                let key = self.keys.next();
                let ask = ask::cancel(&mine.customer, &key, &mine.sale, &mine.order);
                (ask, Busy::End(mine))
            }
            _ => (ask::stock(staff, &current.id), Busy::Stock),
        };
        Some((ask, busy))
    }
}

impl Workload for FlashSale {
    fn clients(&self) -> usize {
        self.buyers.len() + 1
    }

    fn next(&mut self, client: usize, _: Duration) -> Step {
        if client >= self.buyers.len() {
            let product = (self.setting.product.as_str(), false);
            return self.shelf.next(&mut self.keys, self.closing, product, size);
        }
        if let Some(step) = self.errands.open(client) {
            return step;
        }
        if self.closing {
            return Step::Done;
        }
        let Some(begun) = self.begin(client) else { return Step::Wait(IDLE) };
        // Half of the lost answers stay lost: their traces must tell.
        let patient = self.buyers.get_mut(client).is_some_and(|buyer| buyer.seed.below(2) == 0);
        let patience = if patient && !matches!(begun.1, Busy::Stock) {
            Patience::Patient
        } else {
            Patience::Once
        };
        self.errands.begin(client, begun, patience, At::Home)
    }

    fn told(&mut self, client: usize, _: &Ask, told: &Told) {
        let Some(buyer) = self.buyers.get_mut(client) else {
            self.shelf.told(told);
            return;
        };
        let Some((busy, told)) = self.errands.told(client, told) else { return };
        if let Some(sold_out) = buyer.take(busy, &told) {
            self.shelf.ended(&sold_out);
        }
    }

    fn close(&mut self) {
        self.closing = true;
    }

    fn sales(&self) -> Vec<Sale> {
        self.shelf.sales.clone()
    }
}

impl Buyer {
    /// Draws an order to end: mostly an unpaid one, sometimes one that has ended.
    fn draw(&mut self, from_ended: u64) -> Option<Mine> {
        let ended = self.seed.below(10) < from_ended;
        let list = if ended { &mut self.ended } else { &mut self.unpaid };
        let place = draw(&mut self.seed, list)?;
        Some(list.swap_remove(place))
    }

    /// Takes what is known in the end; answers the sale that was found sold out.
    fn take(&mut self, busy: Busy, told: &Told) -> Option<Sale> {
        match (busy, told) {
            // The customer of a lost answer is retired.
            (Busy::Stock, _) | (Busy::Order { .. } | Busy::End(_), Told::Unknown) => {}
            (Busy::End(mine), Told::Never) => self.unpaid.push(mine),
            (Busy::End(mine), _) => self.ended.push(mine),
            (Busy::Order { customer, sale }, told) => {
                if let Some(order) = told.text("order") {
                    let (sale, order) = (sale.id.clone(), order.to_owned());
                    self.unpaid.push(Mine { sale, order, customer: customer.clone() });
                }
                self.customers.put_back(&mut self.seed, customer);
                return (told.has_nothing_left()).then_some(sale);
            }
        }
        None
    }
}
