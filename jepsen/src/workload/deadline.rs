//! `deadline`: settle and cancel within a second of the instant at which a hold ends.
//!
//! A hold lasts a minute of log time at least, so there is something to see only in runs of more
//! than a minute, or when a nemesis moves the clocks of all nodes forward. One client reads log
//! time; what it was told, and the time that went by since, tell the others when to act.

use std::time::Duration;

use super::customers::{Customers, Mine};
use super::errand::{Errands, Patience};
use super::instant::millis;
use super::shelf::Shelf;
use super::{At, IDLE, Keys, Sale, Setting, Step, Workload};
use crate::ask::{self, Ask, Customer, Told};
use crate::seed::Seed;

/// The shortest there is.
const PAY_WITHIN_SECONDS: u64 = 60;
/// How far from the deadline is acted.
const AROUND_MS: u64 = 1000;
/// Holds of one client at once: enough to have some end at any time.
const HOLDS_MAX: usize = 60;
/// Between two orders of one client, so that its holds end one after another.
const PAUSE: Duration = Duration::from_millis(400);
/// Between two readings of log time.
const CLOCK_PAUSE: Duration = Duration::from_millis(150);

/// The workload.
#[derive(Debug)]
pub(super) struct Deadline {
    setting: Setting,
    keys: Keys,
    buyers: Vec<Buyer>,
    errands: Errands<Busy>,
    shelf: Shelf,
    clock: Clock,
    closing: bool,
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
struct Hold {
    mine: Mine,
    act_ms: i64,
}

#[derive(Debug)]
struct Buyer {
    seed: Seed,
    customers: Customers,
    /// By the time they are to be acted upon.
    holds: Vec<Hold>,
    /// When it may order again.
    rested: Duration,
}

#[derive(Clone, Debug)]
enum Busy {
    Order { customer: Customer, sale: Sale },
    End,
}

fn size(seed: &mut Seed) -> (u64, u64) {
    (seed.between(20, 80), seed.between(1, 3))
}

impl Deadline {
    pub(super) fn new(mut setting: Setting) -> Self {
        let customers = std::mem::take(&mut setting.customers);
        let shares = Customers::shared_out(customers, setting.buyers());
        let buyer = |(at, customers)| Buyer {
            seed: Seed::of(setting.seed, at),
            customers,
            holds: Vec::new(),
            rested: Duration::ZERO,
        };
        let buyers: Vec<Buyer> = (0_u64..).zip(shares).map(buyer).collect();
        Self {
            errands: Errands::new(buyers.len()),
            shelf: Shelf::new(&setting, PAY_WITHIN_SECONDS),
            setting,
            keys: Keys::default(),
            buyers,
            clock: Clock::default(),
            closing: false,
        }
    }

    /// The client after staff.
    fn read_clock(&mut self, now: Duration) -> Step {
        if self.closing {
            return Step::Done;
        }
        let next = self.clock.asked + CLOCK_PAUSE;
        if self.clock.told.is_some() && now < next {
            return Step::Wait(next.saturating_sub(now));
        }
        self.clock.asked = now;
        Step::Ask(ask::time(), At::Home)
    }

    fn begin(&mut self, client: usize, now: Duration) -> Option<(Ask, Busy)> {
        let log_ms = self.clock.log_ms(now)?;
        let buyer = self.buyers.get_mut(client)?;
        if buyer.holds.first().is_some_and(|hold| hold.act_ms <= log_ms) {
            let Mine { sale, order, customer } = buyer.holds.remove(0).mine;
            let key = self.keys.next();
            let ask = if buyer.seed.below(2) == 0 {
                ask::settle(&self.setting.staff, &key, &sale, &order)
            } else {
                ask::cancel(&customer, &key, &sale, &order)
            };
            buyer.customers.put_back(&mut buyer.seed, customer);
            return Some((ask, Busy::End));
        }
        if now < buyer.rested || buyer.holds.len() >= HOLDS_MAX {
            return None;
        }
        buyer.rested = now + PAUSE;
        let sale = self.shelf.current()?.clone();
        let customer = buyer.customers.take(&mut buyer.seed)?;
        let quantity = buyer.seed.between(1, sale.limit);
        let ask = ask::order(&customer, &self.keys.next(), &sale.id, quantity);
        Some((ask, Busy::Order { customer, sale }))
    }
}

impl Buyer {
    fn hold(&mut self, mine: Mine, pay_by: &str) {
        let Some(pay_by_ms) = millis(pay_by) else { return };
        let offset = i64::try_from(self.seed.below(2 * AROUND_MS)).unwrap_or(0);
        let act_ms = pay_by_ms - i64::try_from(AROUND_MS).unwrap_or(0) + offset;
        let place = self.holds.partition_point(|hold| hold.act_ms < act_ms);
        self.holds.insert(place, Hold { mine, act_ms });
    }
}

impl Workload for Deadline {
    fn clients(&self) -> usize {
        self.buyers.len() + 2
    }

    fn next(&mut self, client: usize, now: Duration) -> Step {
        if client > self.buyers.len() {
            return self.read_clock(now);
        }
        if client == self.buyers.len() {
            let product = (self.setting.product.as_str(), false);
            return self.shelf.next(&mut self.keys, self.closing, product, size);
        }
        if let Some(step) = self.errands.open(client) {
            return step;
        }
        if self.closing {
            return Step::Done;
        }
        let Some(begun) = self.begin(client, now) else { return Step::Wait(IDLE) };
        self.errands.begin(client, begun, Patience::Patient, At::Home)
    }

    fn told(&mut self, client: usize, _: &Ask, told: &Told) {
        if client > self.buyers.len() {
            if let Some(ms) = told.text("now").and_then(millis) {
                self.clock.told = Some((ms, self.clock.asked));
            }
            return;
        }
        let Some(buyer) = self.buyers.get_mut(client) else {
            self.shelf.told(told);
            return;
        };
        let Some((busy, told)) = self.errands.told(client, told) else { return };
        match (busy, &told) {
            // The customer of a lost answer is retired.
            (Busy::End, _) | (Busy::Order { .. }, Told::Unknown) => {}
            (Busy::Order { customer, sale }, told) => {
                if told.has_nothing_left() {
                    self.shelf.ended(&sale);
                }
                match (told.text("order").map(str::to_owned), told.text("pay_by")) {
                    (Some(order), Some(pay_by)) => {
                        buyer.hold(Mine { sale: sale.id, order, customer }, pay_by);
                    }
                    _ => buyer.customers.put_back(&mut buyer.seed, customer),
                }
            }
        }
    }

    fn close(&mut self) {
        self.closing = true;
    }

    fn sales(&self) -> Vec<Sale> {
        self.shelf.sales.clone()
    }
}
