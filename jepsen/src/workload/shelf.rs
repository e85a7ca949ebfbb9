//! The shelf: the sales of a run, made by staff one after another whenever one is wanted.

use super::errand::{Errands, Patience};
use super::{At, IDLE, Keys, Sale, Setting, Step};
use crate::ask::{self, Ask, NewSale, Told};
use crate::seed::Seed;

/// Sales and who makes them.
#[derive(Debug)]
pub(super) struct Shelf {
    staff: String,
    opens_at: String,
    pay_within_seconds: u64,
    pub(super) seed: Seed,
    making: Errands<u64>,
    wanted: bool,
    pub(super) sales: Vec<Sale>,
}

/// The only client of a shelf.
const STAFF: usize = 0;

impl Shelf {
    pub(super) fn new(setting: &Setting, pay_within_seconds: u64) -> Self {
        Self {
            staff: setting.staff.clone(),
            opens_at: setting.opens_at.clone(),
            pay_within_seconds,
            seed: Seed::of(setting.seed, 999),
            making: Errands::new(1),
            wanted: true,
            sales: Vec::new(),
        }
    }

    /// The sale that is sold now.
    pub(super) fn current(&self) -> Option<&Sale> {
        self.sales.last()
    }

    /// A sale that was or is sold; mostly the current one.
    pub(super) fn any(&self, seed: &mut Seed) -> Option<&Sale> {
        let back = if seed.below(4) == 0 { seed.below(self.sales.len() as u64) } else { 0 };
        self.sales.iter().rev().nth(usize::try_from(back).unwrap_or(0))
    }

    /// This sale is at its end; if it is the current one, another is wanted.
    pub(super) fn ended(&mut self, sale: &Sale) {
        if self.sales.last() == Some(sale) && self.making.all_done() {
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
        let ask: Ask = ask::sale(&self.staff, &keys.next(), &new);
        self.making.begin(STAFF, (ask, limit), Patience::Endless, At::Home)
    }

    /// What came of it; answers what was decided, once it is.
    pub(super) fn told(&mut self, told: &Told) -> Option<Told> {
        let (limit, told) = self.making.told(STAFF, told)?;
        match told.text("sale") {
            Some(id) => self.sales.push(Sale { id: id.to_owned(), limit }),
            None => self.wanted = true,
        }
        Some(told)
    }
}
