//! The sales of a run, opened by staff one after another whenever one is needed.

use super::in_flight::{InFlight, RetryPolicy};
use super::{IDLE, Keys, Route, Sale, Step, WorkloadConfig};
use crate::record::invocation::{self, Invocation, NewSale, Reply};
use crate::seed::Seed;

/// The sales, and the client that opens them.
#[derive(Debug)]
pub(super) struct Sales {
    staff: String,
    opens_at: String,
    pay_within_seconds: u64,
    pub(super) seed: Seed,
    making: InFlight<u64>,
    wanted: bool,
    pub(super) all: Vec<Sale>,
}

/// The only client that opens sales.
const STAFF: usize = 0;

impl Sales {
    pub(super) fn new(config: &WorkloadConfig, pay_within_seconds: u64) -> Self {
        Self {
            staff: config.staff.clone(),
            opens_at: config.opens_at.clone(),
            pay_within_seconds,
            seed: Seed::of(config.seed, 999),
            making: InFlight::new(1),
            wanted: true,
            all: Vec::new(),
        }
    }

    /// The current sale.
    pub(super) fn current(&self) -> Option<&Sale> {
        self.all.last()
    }

    /// A past or the current sale; mostly the current one.
    pub(super) fn any(&self, seed: &mut Seed) -> Option<&Sale> {
        let back = if seed.below(4) == 0 { seed.below(self.all.len() as u64) } else { 0 };
        self.all.iter().rev().nth(usize::try_from(back).unwrap_or(0))
    }

    /// Reports that a sale is over; if it is the current one, another is needed.
    pub(super) fn ended(&mut self, sale: &Sale) {
        if self.all.last() == Some(sale) && self.making.all_done() {
            self.wanted = true;
        }
    }

    /// What staff does next: opens a sale of (units, limit per customer) if one is needed.
    pub(super) fn next(
        &mut self,
        keys: &mut Keys,
        closing: bool,
        (product, product_is_judged): (&str, bool),
        size: impl FnOnce(&mut Seed) -> (u64, u64),
    ) -> Step {
        if let Some(step) = self.making.open(STAFF) {
            return step;
        }
        if closing {
            return Step::Done;
        }
        if !std::mem::take(&mut self.wanted) {
            return Step::Wait(IDLE);
        }
        let (units, limit) = size(&mut self.seed);
        let new = NewSale {
            product: product.to_owned(),
            product_is_judged,
            units,
            limit,
            opens_at: self.opens_at.clone(),
            pay_within_seconds: self.pay_within_seconds,
        };
        let invocation: Invocation = invocation::sale(&self.staff, &keys.next(), &new);
        self.making.begin(STAFF, (invocation, limit), RetryPolicy::UntilKnown, Route::Home)
    }

    /// Takes the reply; returns the outcome once it is known.
    pub(super) fn on_reply(&mut self, reply: &Reply) -> Option<Reply> {
        let (limit, reply) = self.making.on_reply(STAFF, reply)?;
        match reply.text("sale") {
            Some(id) => self.all.push(Sale { id: id.to_owned(), limit }),
            None => self.wanted = true,
        }
        Some(reply)
    }
}
