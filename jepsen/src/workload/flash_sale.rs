//! `flash_sale`: order, then settle or cancel, on sales of 1 to 100 units; a new sale when one is
//! sold out; stock reads; no hold ends by itself.
//!
//! A customer belongs to one client, so that the order of its requests is known; when an answer is
//! lost, half of the time the same key is sent again to other nodes until the outcome is known,
//! and otherwise the customer retires.

use std::time::Duration;

use super::customers::Mine;
use super::errand::Patience;
use super::market::{self, Market, Trade};
use super::{At, IDLE, Sale, Step, draw};
use crate::ask::{self, Ask, Customer, Told};
use crate::seed::Seed;

/// The workload.
#[derive(Debug)]
pub(super) struct FlashSale;

/// What a buyer waits for.
#[derive(Clone, Debug)]
pub(super) enum Busy {
    Order { customer: Customer, sale: Sale },
    End(Mine),
    Stock,
}

/// A buyer's orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    unpaid: Vec<Mine>,
    ended: Vec<Mine>,
}

type Buyer = market::Buyer<Orders>;

/// What an idle buyer begins.
fn begin(market: &mut Market<FlashSale>, client: usize) -> Option<(Ask, Busy)> {
    let current = market.shelf.current()?.clone();
    let staff = &market.setting.staff;
    let buyer = market.buyers.get_mut(client)?;
    let (ask, busy) = match buyer.seed.below(100) {
        0..45 => {
            let customer = buyer.customers.take(&mut buyer.seed)?;
            let over = u64::from(buyer.seed.below(20) == 0);
            // A node that stood still knows the new sale last, and refuses for the old ones.
            let late = buyer.seed.below(8) == 0;
            let old = if late { market.shelf.any(&mut buyer.seed).cloned() } else { None };
            let sale = old.unwrap_or(current);
            let quantity = buyer.seed.between(1, sale.limit) + over;
            let ask = ask::order(&customer, &market.keys.next(), &sale.id, quantity);
            (ask, Busy::Order { customer, sale })
        }
        45..65 => {
            let mine = draw_order(buyer, 1)?;
            let ask = ask::settle(staff, &market.keys.next(), &mine.sale, &mine.order);
            (ask, Busy::End(mine))
        }
        65..80 => {
            let mine = draw_order(buyer, 4)?;
            let key = market.keys.next();
            let ask = ask::cancel(&mine.customer, &key, &mine.sale, &mine.order);
            (ask, Busy::End(mine))
        }
        _ => (ask::stock(staff, &current.id), Busy::Stock),
    };
    Some((ask, busy))
}

/// Draws an order to end: mostly an unpaid one, sometimes one that has ended.
fn draw_order(buyer: &mut Buyer, from_ended: u64) -> Option<Mine> {
    let ended = buyer.seed.below(10) < from_ended;
    let list = if ended { &mut buyer.memory.ended } else { &mut buyer.memory.unpaid };
    let place = draw(&mut buyer.seed, list)?;
    Some(list.swap_remove(place))
}

impl Trade for FlashSale {
    type Memory = Orders;
    type Busy = Busy;

    /// Half of the sales are tiny: their edge is reached at once and often.
    fn size(seed: &mut Seed) -> (u64, u64) {
        let tiny = seed.below(2) == 0;
        let units = if tiny { seed.between(1, 8) } else { seed.between(9, 100) };
        (units, seed.between(1, 3))
    }

    fn next(&mut self, market: &mut Market<Self>, client: usize, _: Duration) -> Step {
        let Some(begun) = begin(market, client) else { return Step::Wait(IDLE) };
        // Half of the lost answers stay lost: their traces must tell.
        let patient = market.buyers.get_mut(client).is_some_and(|buyer| buyer.seed.below(2) == 0);
        let patience = if patient && !matches!(begun.1, Busy::Stock) {
            Patience::Patient
        } else {
            Patience::Once
        };
        market.errands.begin(client, begun, patience, At::Home)
    }

    fn told(&mut self, market: &mut Market<Self>, client: usize, busy: Busy, told: &Told) {
        let Some(buyer) = market.buyers.get_mut(client) else { return };
        match (busy, told) {
            // The customer of a lost answer is retired.
            (Busy::Stock, _) | (Busy::Order { .. } | Busy::End(_), Told::Unknown) => {}
            (Busy::End(mine), Told::Never) => buyer.memory.unpaid.push(mine),
            (Busy::End(mine), _) => buyer.memory.ended.push(mine),
            (Busy::Order { customer, sale }, told) => {
                if told.has_nothing_left() {
                    market.shelf.ended(&sale);
                }
                if let Some(order) = told.text("order") {
                    let (sale, order) = (sale.id, order.to_owned());
                    buyer.memory.unpaid.push(Mine { sale, order, customer: customer.clone() });
                }
                buyer.customers.put_back(&mut buyer.seed, customer);
            }
        }
    }
}
