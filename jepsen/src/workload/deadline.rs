//! `deadline`: settle and cancel within a second of the instant at which a hold ends.
//!
//! A hold lasts a minute of log time at least, so there is something to see only in runs of more
//! than a minute, or when a nemesis moves the clocks of all nodes forward. One client reads log
//! time; what it was told, and the time that went by since, tell the others when to act.

use std::time::Duration;

use super::customers::Mine;
use super::errand::Patience;
use super::instant::millis;
use super::market::{self, Market, Trade};
use super::{At, IDLE, Sale, Step};
use crate::ask::{self, Ask, Customer, Told};
use crate::seed::Seed;

/// How far from the deadline is acted.
const AROUND_MS: u64 = 1000;
/// Holds of one client at once: enough to have some end at any time.
const HOLDS_MAX: usize = 60;
/// Between two orders of one client, so that its holds end one after another.
const PAUSE: Duration = Duration::from_millis(400);
/// Between two readings of log time.
const CLOCK_PAUSE: Duration = Duration::from_millis(150);

/// The client after staff.
const CLOCK_READER: usize = 1;

/// The workload.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    clock: Clock,
}

/// Log time, as last told.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    /// What was told, and when it was asked for.
    told: Option<(i64, Duration)>,
    asked: Duration,
}

impl Clock {
    fn log_ms(self, now: Duration) -> Option<i64> {
        let (ms, at) = self.told?;
        Some(ms + i64::try_from(now.saturating_sub(at).as_millis()).ok()?)
    }
}

/// An order, and when something is to be done about it.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    mine: Mine,
    act_ms: i64,
}

/// What a buyer remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// By the time they are to be acted upon.
    holds: Vec<Hold>,
    /// When it may order again.
    rested: Duration,
}

/// What a buyer waits for.
#[derive(Clone, Debug)]
pub(super) enum Busy {
    Order { customer: Customer, sale: Sale },
    End,
}

impl Deadline {
    fn begin(
        &self,
        market: &mut Market<Self>,
        client: usize,
        now: Duration,
    ) -> Option<(Ask, Busy)> {
        let log_ms = self.clock.log_ms(now)?;
        let buyer = market.buyers.get_mut(client)?;
        let memory = &mut buyer.memory;
        if memory.holds.first().is_some_and(|hold| hold.act_ms <= log_ms) {
            let Mine { sale, order, customer } = memory.holds.remove(0).mine;
            let key = market.keys.next();
            let ask = if buyer.seed.below(2) == 0 {
                ask::settle(&market.setting.staff, &key, &sale, &order)
            } else {
                ask::cancel(&customer, &key, &sale, &order)
            };
            buyer.customers.put_back(&mut buyer.seed, customer);
            return Some((ask, Busy::End));
        }
        if now < memory.rested || memory.holds.len() >= HOLDS_MAX {
            return None;
        }
        memory.rested = now + PAUSE;
        let sale = market.shelf.current()?.clone();
        let customer = buyer.customers.take(&mut buyer.seed)?;
        let quantity = buyer.seed.between(1, sale.limit);
        let ask = ask::order(&customer, &market.keys.next(), &sale.id, quantity);
        Some((ask, Busy::Order { customer, sale }))
    }

    fn read_clock(&mut self, closing: bool, now: Duration) -> Step {
        if closing {
            return Step::Done;
        }
        let next = self.clock.asked + CLOCK_PAUSE;
        if self.clock.told.is_some() && now < next {
            return Step::Wait(next.saturating_sub(now));
        }
        self.clock.asked = now;
        Step::Ask(ask::time(), At::Home)
    }
}

fn hold(buyer: &mut market::Buyer<Memory>, mine: Mine, pay_by: &str) {
    let Some(pay_by_ms) = millis(pay_by) else { return };
    let offset = i64::try_from(buyer.seed.below(2 * AROUND_MS)).unwrap_or(0);
    let act_ms = pay_by_ms - i64::try_from(AROUND_MS).unwrap_or(0) + offset;
    let holds = &mut buyer.memory.holds;
    let place = holds.partition_point(|hold| hold.act_ms < act_ms);
    holds.insert(place, Hold { mine, act_ms });
}

impl Trade for Deadline {
    type Memory = Memory;
    type Busy = Busy;
    /// The shortest there is.
    const PAY_WITHIN_SECONDS: u64 = 60;

    fn size(seed: &mut Seed) -> (u64, u64) {
        (seed.between(20, 80), seed.between(1, 3))
    }

    fn next(&mut self, market: &mut Market<Self>, client: usize, now: Duration) -> Step {
        let Some(begun) = self.begin(market, client, now) else { return Step::Wait(IDLE) };
        market.errands.begin(client, begun, Patience::Patient, At::Home)
    }

    fn told(&mut self, market: &mut Market<Self>, client: usize, busy: Busy, told: &Told) {
        let Some(buyer) = market.buyers.get_mut(client) else { return };
        match (busy, told) {
            // The customer of a lost answer is retired.
            (Busy::End, _) | (Busy::Order { .. }, Told::Unknown) => {}
            (Busy::Order { customer, sale }, told) => {
                if told.has_nothing_left() {
                    market.shelf.ended(&sale);
                }
                match (told.text("order").map(str::to_owned), told.text("pay_by")) {
                    (Some(order), Some(pay_by)) => {
                        hold(buyer, Mine { sale: sale.id, order, customer }, pay_by);
                    }
                    _ => buyer.customers.put_back(&mut buyer.seed, customer),
                }
            }
        }
    }

    fn helpers(&self) -> usize {
        1
    }

    fn serve(&mut self, market: &mut Market<Self>, client: usize, now: Duration) -> Step {
        if client == CLOCK_READER {
            return self.read_clock(market.closing, now);
        }
        let product = market.setting.product.clone();
        market.open_sale((&product, false))
    }

    fn served(&mut self, market: &mut Market<Self>, client: usize, told: &Told) {
        if client != CLOCK_READER {
            market.shelf.told(told);
        } else if let Some(ms) = told.text("now").and_then(millis) {
            self.clock.told = Some((ms, self.clock.asked));
        }
    }
}
