//! `order_set` and `cold_start`: add orders to sales and list them; at the end every node lists
//! every sale.
//!
//! Every order is an element of the set. It is settled, so that its customer can add another one,
//! and never canceled, so that a sale ends with as many orders as units and fits on one page of a
//! list. `cold_start` does the same slowly and retries: its whole cluster goes down, and the first
//! list after the restart must show everything acknowledged before.

use std::time::Duration;

use super::customers::OwnedOrder;
use super::in_flight::RetryPolicy;
use super::sale_workload::{SaleState, SaleWorkload};
use super::{IDLE, Route, Sale, Step};
use crate::record::invocation::{self, Customer, Invocation, Reply};
use crate::seed::Seed;

/// Time between two requests of a slow client.
const SLOW: Duration = Duration::from_millis(40);

/// The workload, at two speeds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OrderSet {
    Fast,
    Slow,
}

/// What a buyer remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    unpaid: Vec<OwnedOrder>,
    /// When a slow client may continue.
    rested: Duration,
    /// How many of the final lists it has requested.
    finals: usize,
}

/// What a buyer is waiting for.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Add { customer: Customer, sale: Sale },
    Settle(OwnedOrder),
    List,
}

fn begin(state: &mut SaleState<OrderSet>, client: usize) -> Option<(Invocation, Pending)> {
    let staff = &state.config.staff;
    let buyer = state.buyers.get_mut(client)?;
    // Unpaid orders first: a customer may have only one per sale.
    if buyer.memory.unpaid.len() > 2 {
        let owned = buyer.memory.unpaid.remove(0);
        let key = state.keys.next();
        return Some((
            invocation::settle(staff, &key, &owned.sale, &owned.order),
            Pending::Settle(owned),
        ));
    }
    if buyer.seed.below(10) < 4 {
        let sale = state.sales.any(&mut buyer.seed)?;
        return Some((invocation::orders(staff, &sale.id), Pending::List));
    }
    let sale = state.sales.current()?.clone();
    let customer = buyer.customers.take(&mut buyer.seed)?;
    let invocation = invocation::order(&customer, &state.keys.next(), &sale.id, 1);
    Some((invocation, Pending::Add { customer, sale }))
}

impl SaleWorkload for OrderSet {
    type Memory = Memory;
    type Pending = Pending;

    /// At most as many units as a list shows orders.
    fn size(seed: &mut Seed) -> (u64, u64) {
        (seed.between(40, 90), 100)
    }

    fn next(&mut self, state: &mut SaleState<Self>, client: usize, now: Duration) -> Step {
        if let (Self::Slow, Some(buyer)) = (*self, state.buyers.get_mut(client)) {
            if now < buyer.memory.rested {
                return Step::Wait(buyer.memory.rested.saturating_sub(now));
            }
            buyer.memory.rested = now + SLOW;
        }
        let Some(begun) = begin(state, client) else { return Step::Wait(IDLE) };
        let policy = match (&begun.1, *self) {
            (Pending::List, Self::Fast) => RetryPolicy::Once,
            (Pending::Add { .. }, Self::Fast) => RetryPolicy::Limited,
            (Pending::Settle(_), _) | (_, Self::Slow) => RetryPolicy::UntilKnown,
        };
        state.in_flight.begin(client, begun, policy, Route::Home)
    }

    /// The first clients list every sale at their node, once all others are done.
    fn close(&mut self, state: &mut SaleState<Self>, client: usize) -> Step {
        if client >= state.config.nodes {
            return Step::Done;
        }
        let begun = state.buyers.iter().any(|buyer| buyer.memory.finals > 0);
        if !begun && !state.in_flight.all_done() {
            return Step::Wait(IDLE);
        }
        let Some(buyer) = state.buyers.get_mut(client) else { return Step::Done };
        let Some(sale) = state.sales.all.get(buyer.memory.finals) else { return Step::Done };
        buyer.memory.finals += 1;
        let invocation = invocation::orders(&state.config.staff, &sale.id);
        state.in_flight.begin(
            client,
            (invocation, Pending::List),
            RetryPolicy::Limited,
            Route::Node(client),
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
        match (pending, reply) {
            // The customer of a lost response is retired.
            (Pending::List, _) | (Pending::Add { .. }, Reply::Unknown) => {}
            (Pending::Settle(owned), _) => {
                buyer.customers.put_back(&mut buyer.seed, owned.customer);
            }
            (Pending::Add { customer, sale }, reply) => {
                if reply.has_nothing_left() {
                    state.sales.ended(&sale);
                }
                match reply.text("order").map(str::to_owned) {
                    Some(order) => {
                        buyer.memory.unpaid.push(OwnedOrder { sale: sale.id, order, customer });
                    }
                    None => buyer.customers.put_back(&mut buyer.seed, customer),
                }
            }
        }
    }
}
