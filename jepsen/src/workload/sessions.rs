//! `sessions`: a client writes and reads what it wrote, here and there, linearizably or from what
//! the node has applied with the revision it knows as `Min-Revision`.

use std::time::Duration;

use super::customers::Mine;
use super::errand::Patience;
use super::market::{Market, Trade};
use super::{At, IDLE, Sale, Step, draw};
use crate::ask::{self, Ask, Customer, Fresh, Told};
use crate::seed::Seed;

/// Orders a client remembers.
const REMEMBERED: usize = 12;

/// The workload.
#[derive(Debug)]
pub(super) struct Sessions;

/// What a buyer remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    unpaid: Vec<Mine>,
    /// Oldest first.
    orders: Vec<Mine>,
    /// The highest revision it was told, and the one before.
    revision: u64,
    before: u64,
    /// Whether the last thing it did was a write.
    wrote: bool,
}

/// What a buyer waits for.
#[derive(Clone, Debug)]
pub(super) enum Busy {
    Order { customer: Customer, sale: Sale },
    End,
    Read,
}

fn begin(market: &mut Market<Sessions>, client: usize) -> Option<(Ask, Busy)> {
    let wrote = market.buyers.get(client)?.memory.wrote;
    let first = if wrote { read(market, client) } else { None };
    first.or_else(|| write(market, client)).or_else(|| read(market, client))
}

fn write(market: &mut Market<Sessions>, client: usize) -> Option<(Ask, Busy)> {
    let staff = &market.setting.staff;
    let buyer = market.buyers.get_mut(client)?;
    let key = market.keys.next();
    if buyer.seed.below(2) == 0
        && let Some(place) = draw(&mut buyer.seed, &buyer.memory.unpaid)
    {
        let mine = buyer.memory.unpaid.swap_remove(place);
        let ask = if buyer.seed.below(3) > 0 {
            ask::settle(staff, &key, &mine.sale, &mine.order)
        } else {
            ask::cancel(&mine.customer, &key, &mine.sale, &mine.order)
        };
        return Some((ask, Busy::End));
    }
    let sale = market.shelf.current()?.clone();
    let customer = buyer.customers.take(&mut buyer.seed)?;
    let ask = ask::order(&customer, &key, &sale.id, 1);
    Some((ask, Busy::Order { customer, sale }))
}

fn read(market: &mut Market<Sessions>, client: usize) -> Option<(Ask, Busy)> {
    let buyer = market.buyers.get_mut(client)?;
    let fresh = match buyer.seed.below(10) {
        0..4 => Fresh::Linearizable,
        4..9 => Fresh::Since(buyer.memory.revision),
        _ => Fresh::Since(buyer.memory.before),
    };
    let orders = &buyer.memory.orders;
    let last = buyer.seed.below(3) > 0;
    let place = if last { orders.len().checked_sub(1) } else { draw(&mut buyer.seed, orders) };
    let ask = match place.and_then(|place| orders.get(place)) {
        Some(mine) if buyer.seed.below(4) > 0 => ask::look(&mine.customer, &mine.sale, &mine.order),
        _ => ask::stock(&market.setting.staff, &market.shelf.any(&mut buyer.seed)?.id),
    };
    Some((ask.as_fresh_as(fresh), Busy::Read))
}

impl Trade for Sessions {
    type Memory = Memory;
    type Busy = Busy;

    fn size(seed: &mut Seed) -> (u64, u64) {
        (seed.between(5, 60), seed.between(1, 3))
    }

    fn next(&mut self, market: &mut Market<Self>, client: usize, _: Duration) -> Step {
        let Some(begun) = begin(market, client) else { return Step::Wait(IDLE) };
        let read = matches!(begun.1, Busy::Read);
        let patience = if read { Patience::Once } else { Patience::Patient };
        let Some(buyer) = market.buyers.get_mut(client) else { return Step::Done };
        buyer.memory.wrote = !read;
        let node = draw(&mut buyer.seed, &vec![(); market.setting.nodes]).unwrap_or(0);
        market.errands.begin(client, begun, patience, if read { At::Node(node) } else { At::Other })
    }

    fn told(&mut self, market: &mut Market<Self>, client: usize, busy: Busy, told: &Told) {
        let Some(buyer) = market.buyers.get_mut(client) else { return };
        let memory = &mut buyer.memory;
        if let Some(revision) = told.rev().filter(|revision| *revision > memory.revision) {
            memory.before = std::mem::replace(&mut memory.revision, revision);
        }
        match (busy, told) {
            // The customer of a lost answer is retired.
            (Busy::Read | Busy::End, _) | (Busy::Order { .. }, Told::Unknown) => {}
            (Busy::Order { customer, sale }, told) => {
                if told.has_nothing_left() {
                    market.shelf.ended(&sale);
                }
                if let Some(order) = told.text("order") {
                    let (sale, order) = (sale.id, order.to_owned());
                    let mine = Mine { sale, order, customer: customer.clone() };
                    memory.unpaid.push(mine.clone());
                    memory.orders.push(mine);
                    if memory.orders.len() > REMEMBERED {
                        memory.orders.remove(0);
                    }
                }
                buyer.customers.put_back(&mut buyer.seed, customer);
            }
        }
    }
}
