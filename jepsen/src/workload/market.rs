//! The market: what all workloads around sales share. Buyers have customers of their own, staff
//! opens one sale after another, and everybody is at one errand at most.
//!
//! What buyers do there, and what they make of the answers, is the [`Trade`] of each workload.

use std::fmt::Debug;
use std::time::Duration;

use super::customers::Customers;
use super::errand::Errands;
use super::shelf::Shelf;
use super::{Keys, Sale, Setting, Step, Workload};
use crate::ask::{Ask, Told};
use crate::seed::Seed;

/// Longer than any run, so that no hold ends.
const PAY_WITHIN_SECONDS: u64 = 3600;

/// What makes a workload around sales its own.
pub(super) trait Trade: Debug + Send + Sized {
    /// What a buyer remembers.
    type Memory: Debug + Default + Send;
    /// What a buyer waits for.
    type Busy: Debug + Clone + Send;
    /// How long an order is held.
    const PAY_WITHIN_SECONDS: u64 = PAY_WITHIN_SECONDS;

    /// Units of the next sale, and how many of them a customer may have.
    fn size(seed: &mut Seed) -> (u64, u64);

    /// What a buyer who is free does next.
    fn next(&mut self, market: &mut Market<Self>, client: usize, now: Duration) -> Step;

    /// Takes what is known in the end of what a buyer was at.
    fn told(&mut self, market: &mut Market<Self>, client: usize, busy: Self::Busy, told: &Told);

    /// What a buyer who is free does once nothing new is begun.
    fn close(&mut self, _: &mut Market<Self>, _: usize) -> Step {
        Step::Done
    }

    /// What the client at this place after the buyers does next; the first one is staff.
    fn serve(&mut self, market: &mut Market<Self>, _: usize, _: Duration) -> Step {
        let product = market.setting.product.clone();
        market.open_sale((&product, false))
    }

    /// What it was told.
    fn served(&mut self, market: &mut Market<Self>, _: usize, told: &Told) {
        market.shelf.told(told);
    }

    /// How many clients there are after staff.
    fn helpers(&self) -> usize {
        0
    }

    /// Every product that was made and is judged.
    fn products(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Buyers, staff and sales.
#[derive(Debug)]
pub(super) struct Market<T: Trade> {
    pub(super) setting: Setting,
    pub(super) keys: Keys,
    pub(super) buyers: Vec<Buyer<T::Memory>>,
    pub(super) errands: Errands<T::Busy>,
    pub(super) shelf: Shelf,
    pub(super) closing: bool,
}

/// One who buys.
#[derive(Debug)]
pub(super) struct Buyer<M> {
    pub(super) seed: Seed,
    pub(super) customers: Customers,
    pub(super) memory: M,
}

impl<T: Trade> Market<T> {
    fn new(mut setting: Setting) -> Self {
        let customers = std::mem::take(&mut setting.customers);
        let shares = Customers::shared_out(customers, setting.buyers());
        let buyer = |(at, customers)| Buyer {
            seed: Seed::of(setting.seed, at),
            customers,
            memory: T::Memory::default(),
        };
        let buyers: Vec<_> = (0_u64..).zip(shares).map(buyer).collect();
        Self {
            errands: Errands::new(buyers.len()),
            shelf: Shelf::new(&setting, T::PAY_WITHIN_SECONDS),
            setting,
            keys: Keys::default(),
            buyers,
            closing: false,
        }
    }

    /// A sale of this product, if one is wanted; with it, whether the product is judged.
    pub(super) fn open_sale(&mut self, product: (&str, bool)) -> Step {
        self.shelf.next(&mut self.keys, self.closing, product, T::size)
    }
}

/// A workload on a market.
#[derive(Debug)]
pub(super) struct Trading<T: Trade> {
    market: Market<T>,
    trade: T,
}

impl<T: Trade> Trading<T> {
    pub(super) fn new(setting: Setting, trade: T) -> Self {
        Self { market: Market::new(setting), trade }
    }
}

impl<T: Trade> Workload for Trading<T> {
    fn clients(&self) -> usize {
        self.market.buyers.len() + 1 + self.trade.helpers()
    }

    fn next(&mut self, client: usize, now: Duration) -> Step {
        if let Some(after) = client.checked_sub(self.market.buyers.len()) {
            return self.trade.serve(&mut self.market, after, now);
        }
        if let Some(step) = self.market.errands.open(client) {
            return step;
        }
        if self.market.closing {
            return self.trade.close(&mut self.market, client);
        }
        self.trade.next(&mut self.market, client, now)
    }

    fn told(&mut self, client: usize, _: &Ask, told: &Told) {
        if let Some(after) = client.checked_sub(self.market.buyers.len()) {
            self.trade.served(&mut self.market, after, told);
        } else if let Some((busy, told)) = self.market.errands.told(client, told) {
            self.trade.told(&mut self.market, client, busy, &told);
        }
    }

    fn close(&mut self) {
        self.market.closing = true;
    }

    fn sales(&self) -> Vec<Sale> {
        self.market.shelf.sales.clone()
    }

    fn products(&self) -> Vec<String> {
        self.trade.products()
    }
}
