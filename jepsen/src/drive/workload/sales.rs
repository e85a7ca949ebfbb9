//! The shelf: the sales of a run, made by staff one after another whenever one is wanted.

use super::in_flight::{InFlight, RetryPolicy};
use super::{IDLE, Keys, Route, Sale, Step, WorkloadConfig};
use crate::record::invocation::{self, Invocation, NewSale, Reply};
use crate::seed::Seed;

/// Sales and who makes them.
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

/// The only client of a shelf.
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

    /// The sale that is sold now.
    pub(super) fn current(&self) -> Option<&Sale> {
        self.all.last()
    }

    /// A sale that was or is sold; mostly the current one.
    pub(super) fn any(&self, seed: &mut Seed) -> Option<&Sale> {
        let back = if seed.below(4) == 0 { seed.below(self.all.len() as u64) } else { 0 };
        self.all.iter().rev().nth(usize::try_from(back).unwrap_or(0))
    }

    /// This sale is at its end; if it is the current one, another is wanted.
    pub(super) fn ended(&mut self, sale: &Sale) {
        if self.all.last() == Some(sale) && self.making.all_done() {
            self.wanted = true;
        }
    }

    /// What staff does next: a sale of (units, limit per customer) if one is wanted.
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

    /// What came of it; answers what was decided, once it is.
    pub(super) fn on_reply(&mut self, reply: &Reply) -> Option<Reply> {
        let (limit, reply) = self.making.on_reply(STAFF, reply)?;
        match reply.text("sale") {
            Some(id) => self.all.push(Sale { id: id.to_owned(), limit }),
            None => self.wanted = true,
        }
        Some(reply)
    }
}
