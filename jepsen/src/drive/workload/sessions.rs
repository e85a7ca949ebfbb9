//! `sessions`: a client writes and reads its writes back on different nodes, with linearizable
//! reads and with local reads that name the revision it knows as `Min-Revision`.

use std::time::Duration;

use super::customers::OwnedOrder;
use super::in_flight::RetryPolicy;
use super::sale_workload::{SaleState, SaleWorkload};
use super::{IDLE, Route, Sale, Step, draw};
use crate::record::invocation::{self, Consistency, Customer, Invocation, Reply};
use crate::seed::Seed;

/// Orders a client remembers.
const REMEMBERED: usize = 12;

/// The workload.
#[derive(Debug)]
pub(super) struct Sessions;

/// What a buyer remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    unpaid: Vec<OwnedOrder>,
    /// Oldest first.
    orders: Vec<OwnedOrder>,
    /// The highest revision it has seen, and the one before.
    revision: u64,
    before: u64,
    /// Whether its last request was a write.
    wrote: bool,
}

/// What a buyer is waiting for.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Order { customer: Customer, sale: Sale },
    End,
    Read,
}

fn begin(state: &mut SaleState<Sessions>, client: usize) -> Option<(Invocation, Pending)> {
    let wrote = state.buyers.get(client)?.memory.wrote;
    let first = if wrote { read(state, client) } else { None };
    first.or_else(|| write(state, client)).or_else(|| read(state, client))
}

fn write(state: &mut SaleState<Sessions>, client: usize) -> Option<(Invocation, Pending)> {
    let staff = &state.config.staff;
    let buyer = state.buyers.get_mut(client)?;
    let key = state.keys.next();
    if buyer.seed.below(2) == 0
        && let Some(place) = draw(&mut buyer.seed, &buyer.memory.unpaid)
    {
        let owned = buyer.memory.unpaid.swap_remove(place);
        let invocation = if buyer.seed.below(3) > 0 {
            invocation::settle(staff, &key, &owned.sale, &owned.order)
        } else {
            invocation::cancel(&owned.customer, &key, &owned.sale, &owned.order)
        };
        return Some((invocation, Pending::End));
    }
    let sale = state.sales.current()?.clone();
    let customer = buyer.customers.take(&mut buyer.seed)?;
    let invocation = invocation::order(&customer, &key, &sale.id, 1);
    Some((invocation, Pending::Order { customer, sale }))
}

fn read(state: &mut SaleState<Sessions>, client: usize) -> Option<(Invocation, Pending)> {
    let buyer = state.buyers.get_mut(client)?;
    let fresh = match buyer.seed.below(10) {
        0..4 => Consistency::Linearizable,
        4..9 => Consistency::Since(buyer.memory.revision),
        _ => Consistency::Since(buyer.memory.before),
    };
    let orders = &buyer.memory.orders;
    let last = buyer.seed.below(3) > 0;
    let place = if last { orders.len().checked_sub(1) } else { draw(&mut buyer.seed, orders) };
    let invocation = match place.and_then(|place| orders.get(place)) {
        Some(owned) if buyer.seed.below(4) > 0 => {
            invocation::look(&owned.customer, &owned.sale, &owned.order)
        }
        _ => invocation::stock(&state.config.staff, &state.sales.any(&mut buyer.seed)?.id),
    };
    Some((invocation.as_fresh_as(fresh), Pending::Read))
}

impl SaleWorkload for Sessions {
    type Memory = Memory;
    type Pending = Pending;

    fn size(seed: &mut Seed) -> (u64, u64) {
        (seed.between(5, 60), seed.between(1, 3))
    }

    fn next(&mut self, state: &mut SaleState<Self>, client: usize, _: Duration) -> Step {
        let Some(begun) = begin(state, client) else { return Step::Wait(IDLE) };
        let read = matches!(begun.1, Pending::Read);
        let policy = if read { RetryPolicy::Once } else { RetryPolicy::Limited };
        let Some(buyer) = state.buyers.get_mut(client) else { return Step::Done };
        buyer.memory.wrote = !read;
        let node = draw(&mut buyer.seed, &vec![(); state.config.nodes]).unwrap_or(0);
        state.in_flight.begin(
            client,
            begun,
            policy,
            if read { Route::Node(node) } else { Route::Other },
        )
    }

    fn on_reply(
        &mut self,
        state: &mut SaleState<Self>,
        client: usize,
        pending: Pending,
        reply: &Reply,
    ) {
        let Some(buyer) = state.buyers.get_mut(client) else { return };
        let memory = &mut buyer.memory;
        if let Some(revision) = reply.rev().filter(|revision| *revision > memory.revision) {
            memory.before = std::mem::replace(&mut memory.revision, revision);
        }
        match (pending, reply) {
            // The customer of a lost response is retired.
            (Pending::Read | Pending::End, _) | (Pending::Order { .. }, Reply::Unknown) => {}
            (Pending::Order { customer, sale }, reply) => {
                if reply.has_nothing_left() {
                    state.sales.ended(&sale);
                }
                if let Some(order) = reply.text("order") {
                    let (sale, order) = (sale.id, order.to_owned());
                    let owned = OwnedOrder { sale, order, customer: customer.clone() };
                    memory.unpaid.push(owned.clone());
                    memory.orders.push(owned);
                    if memory.orders.len() > REMEMBERED {
                        memory.orders.remove(0);
                    }
                }
                buyer.customers.put_back(&mut buyer.seed, customer);
            }
        }
    }
}
