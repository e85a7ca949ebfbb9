//! `flash_sale`: order, then settle or cancel, on sales of 1 to 100 units; a new sale when one is
//! sold out; stock reads. No hold expires.
//!
//! A customer belongs to one client, so the order of its requests is known. When a response is
//! lost, half of the time the same key is sent to other nodes until the outcome is known; otherwise
//! the customer is retired.

use std::time::Duration;

use super::customers::OwnedOrder;
use super::in_flight::RetryPolicy;
use super::sale_workload::{self, SaleState, SaleWorkload};
use super::{IDLE, Route, Sale, Step, draw};
use crate::record::invocation::{self, Customer, Invocation, Reply};
use crate::seed::Seed;

/// The workload.
#[derive(Debug)]
pub(super) struct FlashSale;

/// What a buyer is waiting for.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Order { customer: Customer, sale: Sale },
    End(OwnedOrder),
    Stock,
}

/// A buyer's orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    unpaid: Vec<OwnedOrder>,
    ended: Vec<OwnedOrder>,
}

type Buyer = sale_workload::Buyer<Orders>;

/// What an idle buyer does next.
fn begin(state: &mut SaleState<FlashSale>, client: usize) -> Option<(Invocation, Pending)> {
    let current = state.sales.current()?.clone();
    let staff = &state.config.staff;
    let buyer = state.buyers.get_mut(client)?;
    let (invocation, pending) = match buyer.seed.below(100) {
        0..45 => {
            let customer = buyer.customers.take(&mut buyer.seed)?;
            let over = u64::from(buyer.seed.below(20) == 0);
            // A node that was paused is the last to know the new sale, and may refuse orders of old
            // ones.
            let late = buyer.seed.below(8) == 0;
            let old = if late { state.sales.any(&mut buyer.seed).cloned() } else { None };
            let sale = old.unwrap_or(current);
            let quantity = buyer.seed.between(1, sale.limit) + over;
            let invocation = invocation::order(&customer, &state.keys.next(), &sale.id, quantity);
            (invocation, Pending::Order { customer, sale })
        }
        45..65 => {
            let owned = draw_order(buyer, 1)?;
            let invocation =
                invocation::settle(staff, &state.keys.next(), &owned.sale, &owned.order);
            (invocation, Pending::End(owned))
        }
        65..80 => {
            let owned = draw_order(buyer, 4)?;
            let key = state.keys.next();
            let invocation = invocation::cancel(&owned.customer, &key, &owned.sale, &owned.order);
            (invocation, Pending::End(owned))
        }
        _ => (invocation::stock(staff, &current.id), Pending::Stock),
    };
    Some((invocation, pending))
}

/// Picks an order to settle or cancel: mostly an unpaid one, sometimes one that has ended.
fn draw_order(buyer: &mut Buyer, from_ended: u64) -> Option<OwnedOrder> {
    let ended = buyer.seed.below(10) < from_ended;
    let list = if ended { &mut buyer.memory.ended } else { &mut buyer.memory.unpaid };
    let place = draw(&mut buyer.seed, list)?;
    Some(list.swap_remove(place))
}

impl SaleWorkload for FlashSale {
    type Memory = Orders;
    type Pending = Pending;

    /// Half of the sales are tiny, so that they sell out at once and often.
    fn size(seed: &mut Seed) -> (u64, u64) {
        let tiny = seed.below(2) == 0;
        let units = if tiny { seed.between(1, 8) } else { seed.between(9, 100) };
        (units, seed.between(1, 3))
    }

    fn next(&mut self, state: &mut SaleState<Self>, client: usize, _: Duration) -> Step {
        let Some(begun) = begin(state, client) else { return Step::Wait(IDLE) };
        // Half of the lost responses stay lost, so that the checkers must find their traces.
        let patient = state.buyers.get_mut(client).is_some_and(|buyer| buyer.seed.below(2) == 0);
        let policy = if patient && !matches!(begun.1, Pending::Stock) {
            RetryPolicy::Limited
        } else {
            RetryPolicy::Once
        };
        state.in_flight.begin(client, begun, policy, Route::Home)
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
            (Pending::Stock, _) | (Pending::Order { .. } | Pending::End(_), Reply::Unknown) => {}
            (Pending::End(owned), Reply::Never) => buyer.memory.unpaid.push(owned),
            (Pending::End(owned), _) => buyer.memory.ended.push(owned),
            (Pending::Order { customer, sale }, reply) => {
                if reply.has_nothing_left() {
                    state.sales.ended(&sale);
                }
                if let Some(order) = reply.text("order") {
                    let (sale, order) = (sale.id, order.to_owned());
                    buyer.memory.unpaid.push(OwnedOrder {
                        sale,
                        order,
                        customer: customer.clone(),
                    });
                }
                buyer.customers.put_back(&mut buyer.seed, customer);
            }
        }
    }
}
