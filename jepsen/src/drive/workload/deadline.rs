//! `deadline`: settle and cancel within a second of the time at which a hold expires.
//!
//! A hold lasts at least a minute of log time, so this needs runs of more than a minute, or a
//! nemesis that sets all clocks forward. One client reads log time; from that and the time since,
//! the others know when to act.

use std::time::Duration;

use super::customers::OwnedOrder;
use super::in_flight::RetryPolicy;
use super::sale_workload::{self, SaleState, SaleWorkload};
use super::{IDLE, Route, Sale, Step};
use crate::record::invocation::{self, Customer, Invocation, Reply};
use crate::record::timestamp;
use crate::seed::Seed;

/// How far from the deadline clients act.
const AROUND_MS: u64 = 1000;
/// Holds of one client at the same time: enough for some to expire at any time.
const HOLDS_MAX: usize = 60;
/// Time between two orders of one client, so that its holds expire one after another.
const PAUSE: Duration = Duration::from_millis(400);
/// Time between two readings of log time.
const CLOCK_PAUSE: Duration = Duration::from_millis(150);

/// The index of the client that reads log time: the one after staff.
const CLOCK_READER: usize = 1;

/// The workload.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    clock: Clock,
}

/// Log time, as last read.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    /// What was read, and when the request was sent.
    reply: Option<(i64, Duration)>,
    asked: Duration,
}

impl Clock {
    fn log_ms(self, now: Duration) -> Option<i64> {
        let (ms, at) = self.reply?;
        Some(ms + i64::try_from(now.saturating_sub(at).as_millis()).ok()?)
    }
}

/// An order, and when to act on it.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    owned: OwnedOrder,
    act_ms: i64,
}

/// What a buyer remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Sorted by the time to act.
    holds: Vec<Hold>,
    /// When it may order again.
    rested: Duration,
}

/// What a buyer is waiting for.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Order { customer: Customer, sale: Sale },
    End,
}

impl Deadline {
    fn begin(
        &self,
        state: &mut SaleState<Self>,
        client: usize,
        now: Duration,
    ) -> Option<(Invocation, Pending)> {
        let log_ms = self.clock.log_ms(now)?;
        let buyer = state.buyers.get_mut(client)?;
        let memory = &mut buyer.memory;
        if memory.holds.first().is_some_and(|hold| hold.act_ms <= log_ms) {
            let OwnedOrder { sale, order, customer } = memory.holds.remove(0).owned;
            let key = state.keys.next();
            let invocation = if buyer.seed.below(2) == 0 {
                invocation::settle(&state.config.staff, &key, &sale, &order)
            } else {
                invocation::cancel(&customer, &key, &sale, &order)
            };
            buyer.customers.put_back(&mut buyer.seed, customer);
            return Some((invocation, Pending::End));
        }
        if now < memory.rested || memory.holds.len() >= HOLDS_MAX {
            return None;
        }
        memory.rested = now + PAUSE;
        let sale = state.sales.current()?.clone();
        let customer = buyer.customers.take(&mut buyer.seed)?;
        let quantity = buyer.seed.between(1, sale.limit);
        let invocation = invocation::order(&customer, &state.keys.next(), &sale.id, quantity);
        Some((invocation, Pending::Order { customer, sale }))
    }

    fn read_clock(&mut self, closing: bool, now: Duration) -> Step {
        if closing {
            return Step::Done;
        }
        let next = self.clock.asked + CLOCK_PAUSE;
        if self.clock.reply.is_some() && now < next {
            return Step::Wait(next.saturating_sub(now));
        }
        self.clock.asked = now;
        Step::Invoke(invocation::time(), Route::Home)
    }
}

fn hold(buyer: &mut sale_workload::Buyer<Memory>, owned: OwnedOrder, pay_by: &str) {
    let Some(pay_by_ms) = timestamp::unix_ms(pay_by) else { return };
    let offset = i64::try_from(buyer.seed.below(2 * AROUND_MS)).unwrap_or(0);
    let act_ms = pay_by_ms - i64::try_from(AROUND_MS).unwrap_or(0) + offset;
    let holds = &mut buyer.memory.holds;
    let place = holds.partition_point(|hold| hold.act_ms < act_ms);
    holds.insert(place, Hold { owned, act_ms });
}

impl SaleWorkload for Deadline {
    type Memory = Memory;
    type Pending = Pending;
    /// The shortest allowed.
    const PAY_WITHIN_SECONDS: u64 = 60;

    fn size(seed: &mut Seed) -> (u64, u64) {
        (seed.between(20, 80), seed.between(1, 3))
    }

    fn next(&mut self, state: &mut SaleState<Self>, client: usize, now: Duration) -> Step {
        let Some(begun) = self.begin(state, client, now) else { return Step::Wait(IDLE) };
        state.in_flight.begin(client, begun, RetryPolicy::Limited, Route::Home)
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
            (Pending::End, _) | (Pending::Order { .. }, Reply::Unknown) => {}
            (Pending::Order { customer, sale }, reply) => {
                if reply.has_nothing_left() {
                    state.sales.ended(&sale);
                }
                match (reply.text("order").map(str::to_owned), reply.text("pay_by")) {
                    (Some(order), Some(pay_by)) => {
                        hold(buyer, OwnedOrder { sale: sale.id, order, customer }, pay_by);
                    }
                    _ => buyer.customers.put_back(&mut buyer.seed, customer),
                }
            }
        }
    }

    fn helpers(&self) -> usize {
        1
    }

    fn next_staff(&mut self, state: &mut SaleState<Self>, client: usize, now: Duration) -> Step {
        if client == CLOCK_READER {
            return self.read_clock(state.closing, now);
        }
        let product = state.config.product.clone();
        state.open_sale((&product, false))
    }

    fn on_staff_reply(&mut self, state: &mut SaleState<Self>, client: usize, reply: &Reply) {
        if client != CLOCK_READER {
            state.sales.on_reply(reply);
        } else if let Some(ms) = reply.text("now").and_then(timestamp::unix_ms) {
            self.clock.reply = Some((ms, self.clock.asked));
        }
    }
}
