//! `orders_once`: order and settle, every key until its outcome is known; duplicates of a key at
//! once, from another client, and half a minute later; keys used again with another body.
//!
//! No answer stays lost: what is open when the faults end is sent until it is answered, so that
//! every key has an outcome to compare its duplicates with.

use std::collections::VecDeque;
use std::time::Duration;

use super::customers::Mine;
use super::errand::Patience;
use super::market::{Market, Trade};
use super::{At, IDLE, Sale, Step, draw};
use crate::ask::{self, Ask, Customer, Told};
use crate::seed::Seed;

/// After this time a duplicate meets a cluster that has changed: other leader, other snapshot.
const LATE: Duration = Duration::from_secs(30);
/// Duplicates kept for later; those of a long run are spread over it.
const LATE_MAX: usize = 400;

/// The workload.
#[derive(Debug, Default)]
pub(super) struct OrdersOnce {
    /// To be sent again at once, by whoever is free.
    echoes: VecDeque<Ask>,
    /// To be sent again later.
    late: VecDeque<(Duration, Ask)>,
}

/// A buyer's orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    unpaid: Vec<Mine>,
    /// With a known outcome: their keys may be used again.
    known: VecDeque<(Customer, String, Sale, u64)>,
}

/// What a buyer waits for.
#[derive(Clone, Debug)]
pub(super) enum Busy {
    Order {
        customer: Customer,
        key: String,
        sale: Sale,
        quantity: u64,
    },
    Settle,
    /// A duplicate, a reuse or a read: its answer is for the checkers.
    Watch,
}

fn begin(market: &mut Market<OrdersOnce>, client: usize) -> Option<(Ask, Busy)> {
    let staff = &market.setting.staff;
    let buyer = market.buyers.get_mut(client)?;
    match buyer.seed.below(100) {
        0..50 => {
            let sale = market.shelf.current()?.clone();
            let customer = buyer.customers.take(&mut buyer.seed)?;
            let (key, quantity) = (market.keys.next(), buyer.seed.between(1, sale.limit));
            let ask = ask::order(&customer, &key, &sale.id, quantity);
            Some((ask, Busy::Order { customer, key, sale, quantity }))
        }
        50..75 => {
            let place = draw(&mut buyer.seed, &buyer.memory.unpaid)?;
            let mine = buyer.memory.unpaid.swap_remove(place);
            let key = market.keys.next();
            Some((ask::settle(staff, &key, &mine.sale, &mine.order), Busy::Settle))
        }
        75..85 => {
            // More than was asked for first: only a forgotten key could grant it.
            let (customer, key, sale, quantity) = buyer.memory.known.pop_front()?;
            Some((ask::order(&customer, &key, &sale.id, quantity + 1), Busy::Watch))
        }
        _ => {
            let sale = market.shelf.any(&mut buyer.seed)?;
            Some((ask::stock(staff, &sale.id), Busy::Watch))
        }
    }
}

impl OrdersOnce {
    /// Sends a duplicate that is due; in the end all of them are.
    fn duplicate(
        &mut self,
        market: &mut Market<Self>,
        client: usize,
        now: Duration,
    ) -> Option<Step> {
        let late = || {
            let (due, _) = self.late.front()?;
            if *due <= now { self.late.pop_front().map(|(_, ask)| ask) } else { None }
        };
        let ask = self.echoes.pop_front().or_else(late)?;
        Some(market.errands.begin(client, (ask, Busy::Watch), Patience::Once, At::Other))
    }

    /// Remembers to send it again.
    fn repeat(&mut self, seed: &mut Seed, ask: &Ask, now: Duration) {
        if seed.below(4) == 0 {
            self.echoes.push_back(ask.clone());
        }
        if seed.below(8) == 0 && self.late.len() < LATE_MAX {
            self.late.push_back((now + LATE, ask.clone()));
        }
    }
}

impl Trade for OrdersOnce {
    type Memory = Orders;
    type Busy = Busy;

    fn size(seed: &mut Seed) -> (u64, u64) {
        (seed.between(2, 40), seed.between(1, 3))
    }

    fn next(&mut self, market: &mut Market<Self>, client: usize, now: Duration) -> Step {
        if let Some(step) = self.duplicate(market, client, now) {
            return step;
        }
        let Some(begun) = begin(market, client) else { return Step::Wait(IDLE) };
        let Some(buyer) = market.buyers.get_mut(client) else { return Step::Done };
        let patience = if matches!(begun.1, Busy::Watch) {
            Patience::Once
        } else if buyer.seed.below(2) == 0 {
            Patience::Believing
        } else {
            self.repeat(&mut buyer.seed, &begun.0, now);
            Patience::Endless
        };
        market.errands.begin(client, begun, patience, At::Home)
    }

    /// Another client may still have something to repeat.
    fn close(&mut self, market: &mut Market<Self>, client: usize) -> Step {
        let done = if market.errands.all_done() { Step::Done } else { Step::Wait(IDLE) };
        self.duplicate(market, client, Duration::MAX).unwrap_or(done)
    }

    fn told(&mut self, market: &mut Market<Self>, client: usize, busy: Busy, told: &Told) {
        let Some(buyer) = market.buyers.get_mut(client) else { return };
        let Busy::Order { customer, key, sale, quantity } = busy else { return };
        if let Some(order) = told.text("order") {
            let (sale, order) = (sale.id.clone(), order.to_owned());
            buyer.memory.unpaid.push(Mine { sale, order, customer: customer.clone() });
        }
        if told.has_nothing_left() {
            market.shelf.ended(&sale);
        } else if told.is_known() && buyer.seed.below(3) == 0 {
            // An early refusal leaves no receipt, so only keys that were surely decided are used.
            buyer.memory.known.push_back((customer.clone(), key, sale, quantity));
        }
        buyer.customers.put_back(&mut buyer.seed, customer);
    }
}
