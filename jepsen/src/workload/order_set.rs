//! `order_set` and `cold_start`: add orders to sales and list them; in the end every node lists
//! every sale.
//!
//! Every order is one element. It is settled, so that its customer can add another, and never
//! called off, so that a sale ends with as many orders as units and fits one page of a list.
//! `cold_start` does the same slowly and stays with what it asks: its cluster goes down as a
//! whole, and the first list after the start must show what was acknowledged before.

use std::time::Duration;

use super::customers::Mine;
use super::errand::Patience;
use super::market::{Market, Trade};
use super::{At, IDLE, Sale, Step};
use crate::ask::{self, Ask, Customer, Told};
use crate::seed::Seed;

/// Between two asks of a slow client.
const SLOW: Duration = Duration::from_millis(40);

/// The workload: how fast the clients ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OrderSet {
    Fast,
    Slow,
}

/// What a buyer remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    unpaid: Vec<Mine>,
    /// When a slow client may go on.
    rested: Duration,
    /// How many of the final lists it asked for.
    finals: usize,
}

/// What a buyer waits for.
#[derive(Clone, Debug)]
pub(super) enum Busy {
    Add { customer: Customer, sale: Sale },
    Settle(Mine),
    List,
}

fn begin(market: &mut Market<OrderSet>, client: usize) -> Option<(Ask, Busy)> {
    let staff = &market.setting.staff;
    let buyer = market.buyers.get_mut(client)?;
    // Unpaid orders first: a customer has one of a sale at most.
    if buyer.memory.unpaid.len() > 2 {
        let mine = buyer.memory.unpaid.remove(0);
        let key = market.keys.next();
        return Some((ask::settle(staff, &key, &mine.sale, &mine.order), Busy::Settle(mine)));
    }
    if buyer.seed.below(10) < 4 {
        let sale = market.shelf.any(&mut buyer.seed)?;
        return Some((ask::orders(staff, &sale.id), Busy::List));
    }
    let sale = market.shelf.current()?.clone();
    let customer = buyer.customers.take(&mut buyer.seed)?;
    let ask = ask::order(&customer, &market.keys.next(), &sale.id, 1);
    Some((ask, Busy::Add { customer, sale }))
}

impl Trade for OrderSet {
    type Memory = Memory;
    type Busy = Busy;

    /// As many units as a list shows orders, or fewer.
    fn size(seed: &mut Seed) -> (u64, u64) {
        (seed.between(40, 90), 100)
    }

    fn next(&mut self, market: &mut Market<Self>, client: usize, now: Duration) -> Step {
        if let (Self::Slow, Some(buyer)) = (*self, market.buyers.get_mut(client)) {
            if now < buyer.memory.rested {
                return Step::Wait(buyer.memory.rested.saturating_sub(now));
            }
            buyer.memory.rested = now + SLOW;
        }
        let Some(begun) = begin(market, client) else { return Step::Wait(IDLE) };
        let patience = match (&begun.1, *self) {
            (Busy::List, Self::Fast) => Patience::Once,
            (Busy::Add { .. }, Self::Fast) => Patience::Patient,
            (Busy::Settle(_), _) | (_, Self::Slow) => Patience::Endless,
        };
        market.errands.begin(client, begun, patience, At::Home)
    }

    /// The first clients list every sale at their node, once all others are done.
    fn close(&mut self, market: &mut Market<Self>, client: usize) -> Step {
        if client >= market.setting.nodes {
            return Step::Done;
        }
        let begun = market.buyers.iter().any(|buyer| buyer.memory.finals > 0);
        if !begun && !market.errands.all_done() {
            return Step::Wait(IDLE);
        }
        let Some(buyer) = market.buyers.get_mut(client) else { return Step::Done };
        let Some(sale) = market.shelf.sales.get(buyer.memory.finals) else { return Step::Done };
        buyer.memory.finals += 1;
        let ask = ask::orders(&market.setting.staff, &sale.id);
        market.errands.begin(client, (ask, Busy::List), Patience::Patient, At::Node(client))
    }

    fn told(&mut self, market: &mut Market<Self>, client: usize, busy: Busy, told: &Told) {
        let Some(buyer) = market.buyers.get_mut(client) else { return };
        match (busy, told) {
            // The customer of a lost answer is retired.
            (Busy::List, _) | (Busy::Add { .. }, Told::Unknown) => {}
            (Busy::Settle(mine), _) => buyer.customers.put_back(&mut buyer.seed, mine.customer),
            (Busy::Add { customer, sale }, told) => {
                if told.has_nothing_left() {
                    market.shelf.ended(&sale);
                }
                match told.text("order").map(str::to_owned) {
                    Some(order) => {
                        buyer.memory.unpaid.push(Mine { sale: sale.id, order, customer });
                    }
                    None => buyer.customers.put_back(&mut buyer.seed, customer),
                }
            }
        }
    }
}
