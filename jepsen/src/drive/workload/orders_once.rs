//! `orders_once`: order and settle, every key until its outcome is known; duplicates of a key at
//! once, from another client, and half a minute later; keys reused with another body.
//!
//! No response stays lost: requests that are open when the faults end are sent until answered, so
//! every key has an outcome to compare its duplicates with.

use std::collections::VecDeque;
use std::time::Duration;

use super::customers::OwnedOrder;
use super::in_flight::RetryPolicy;
use super::sale_workload::{SaleState, SaleWorkload};
use super::{IDLE, Route, Sale, Step, draw};
use crate::record::invocation::{self, Customer, Invocation, Reply};
use crate::seed::Seed;

/// After this time a duplicate meets a changed cluster: another leader, another snapshot.
const LATE: Duration = Duration::from_secs(30);
/// Limit of duplicates kept for later, so that those of a long run are spread over it.
const LATE_MAX: usize = 400;

/// The workload.
#[derive(Debug, Default)]
pub(super) struct OrdersOnce {
    /// To be sent again at once, by any free client.
    echoes: VecDeque<Invocation>,
    /// To be sent again later.
    late: VecDeque<(Duration, Invocation)>,
}

/// A buyer's orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    unpaid: Vec<OwnedOrder>,
    /// With a known outcome, so their keys may be reused.
    known: VecDeque<(Customer, String, Sale, u64)>,
}

/// What a buyer is waiting for.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Order {
        customer: Customer,
        key: String,
        sale: Sale,
        quantity: u64,
    },
    Settle,
    /// A duplicate, a reused key or a read: only the checkers look at the response.
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
            // More than in the first request: only a forgotten key would grant it.
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
    /// Sends a duplicate that is due; at the end all of them are.
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

    /// Schedules duplicates of this request.
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

    /// Another client may still have duplicates to send.
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
            // An early refusal leaves no receipt, so only keys that were certainly decided are
            // reused.
            buyer.memory.known.push_back((customer.clone(), key, sale, quantity));
        }
        buyer.customers.put_back(&mut buyer.seed, customer);
    }
}
