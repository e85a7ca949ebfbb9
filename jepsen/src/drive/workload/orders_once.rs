//! `orders_once`: order and settle, every key until its outcome is known; duplicates of a key at
//! once, from another client, and half a minute later; keys used again with another body.
//!
//! No answer stays lost: what is open when the faults end is sent until it is answered, so that
//! every key has an outcome to compare its duplicates with.

use std::collections::VecDeque;
use std::time::Duration;

use super::customers::OwnedOrder;
use super::in_flight::RetryPolicy;
use super::sale_workload::{SaleState, SaleWorkload};
use super::{IDLE, Route, Sale, Step, draw};
use crate::record::invocation::{self, Customer, Invocation, Reply};
use crate::seed::Seed;

/// After this time a duplicate meets a cluster that has changed: other leader, other snapshot.
const LATE: Duration = Duration::from_secs(30);
/// Duplicates kept for later; those of a long run are spread over it.
const LATE_MAX: usize = 400;

/// The workload.
#[derive(Debug, Default)]
pub(super) struct OrdersOnce {
    /// To be sent again at once, by whoever is free.
    echoes: VecDeque<Invocation>,
    /// To be sent again later.
    late: VecDeque<(Duration, Invocation)>,
}

/// A buyer's orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    unpaid: Vec<OwnedOrder>,
    /// With a known outcome: their keys may be used again.
    known: VecDeque<(Customer, String, Sale, u64)>,
}

/// What a buyer waits for.
#[derive(Clone, Debug)]
pub(super) enum Pending {
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

fn begin(state: &mut SaleState<OrdersOnce>, client: usize) -> Option<(Invocation, Pending)> {
    let staff = &state.config.staff;
    let buyer = state.buyers.get_mut(client)?;
    match buyer.seed.below(100) {
        0..50 => {
            let sale = state.sales.current()?.clone();
            let customer = buyer.customers.take(&mut buyer.seed)?;
            let (key, quantity) = (state.keys.next(), buyer.seed.between(1, sale.limit));
            let invocation = invocation::order(&customer, &key, &sale.id, quantity);
            Some((invocation, Pending::Order { customer, key, sale, quantity }))
        }
        50..75 => {
            let place = draw(&mut buyer.seed, &buyer.memory.unpaid)?;
            let owned = buyer.memory.unpaid.swap_remove(place);
            let key = state.keys.next();
            Some((invocation::settle(staff, &key, &owned.sale, &owned.order), Pending::Settle))
        }
        75..85 => {
            // More than was asked for first: only a forgotten key could grant it.
            let (customer, key, sale, quantity) = buyer.memory.known.pop_front()?;
            Some((invocation::order(&customer, &key, &sale.id, quantity + 1), Pending::Watch))
        }
        _ => {
            let sale = state.sales.any(&mut buyer.seed)?;
            Some((invocation::stock(staff, &sale.id), Pending::Watch))
        }
    }
}

impl OrdersOnce {
    /// Sends a duplicate that is due; in the end all of them are.
    fn duplicate(
        &mut self,
        state: &mut SaleState<Self>,
        client: usize,
        now: Duration,
    ) -> Option<Step> {
        let late = || {
            let (due, _) = self.late.front()?;
            if *due <= now { self.late.pop_front().map(|(_, invocation)| invocation) } else { None }
        };
        let invocation = self.echoes.pop_front().or_else(late)?;
        Some(state.in_flight.begin(
            client,
            (invocation, Pending::Watch),
            RetryPolicy::Once,
            Route::Other,
        ))
    }

    /// Remembers to send it again.
    fn repeat(&mut self, seed: &mut Seed, invocation: &Invocation, now: Duration) {
        if seed.below(4) == 0 {
            self.echoes.push_back(invocation.clone());
        }
        if seed.below(8) == 0 && self.late.len() < LATE_MAX {
            self.late.push_back((now + LATE, invocation.clone()));
        }
    }
}

impl SaleWorkload for OrdersOnce {
    type Memory = Orders;
    type Pending = Pending;

    fn size(seed: &mut Seed) -> (u64, u64) {
        (seed.between(2, 40), seed.between(1, 3))
    }

    fn next(&mut self, state: &mut SaleState<Self>, client: usize, now: Duration) -> Step {
        if let Some(step) = self.duplicate(state, client, now) {
            return step;
        }
        let Some(begun) = begin(state, client) else { return Step::Wait(IDLE) };
        let Some(buyer) = state.buyers.get_mut(client) else { return Step::Done };
        let policy = if matches!(begun.1, Pending::Watch) {
            RetryPolicy::Once
        } else if buyer.seed.below(2) == 0 {
            RetryPolicy::TrustFailure
        } else {
            self.repeat(&mut buyer.seed, &begun.0, now);
            RetryPolicy::UntilKnown
        };
        state.in_flight.begin(client, begun, policy, Route::Home)
    }

    /// Another client may still have something to repeat.
    fn close(&mut self, state: &mut SaleState<Self>, client: usize) -> Step {
        let done = if state.in_flight.all_done() { Step::Done } else { Step::Wait(IDLE) };
        self.duplicate(state, client, Duration::MAX).unwrap_or(done)
    }

    fn on_reply(
        &mut self,
        state: &mut SaleState<Self>,
        client: usize,
        pending: Pending,
        reply: &Reply,
    ) {
        let Some(buyer) = state.buyers.get_mut(client) else { return };
        let Pending::Order { customer, key, sale, quantity } = pending else { return };
        if let Some(order) = reply.text("order") {
            let (sale, order) = (sale.id.clone(), order.to_owned());
            buyer.memory.unpaid.push(OwnedOrder { sale, order, customer: customer.clone() });
        }
        if reply.has_nothing_left() {
            state.sales.ended(&sale);
        } else if reply.is_known() && buyer.seed.below(3) == 0 {
            // An early refusal leaves no receipt, so only keys that were surely decided are used.
            buyer.memory.known.push_back((customer.clone(), key, sale, quantity));
        }
        buyer.customers.put_back(&mut buyer.seed, customer);
    }
}
