//! What all workloads with sales share: buyers with customers of their own, staff that opens one
//! sale after another, and at most one request in flight per client.
//!
//! What differs is in [`SaleWorkload`]: what buyers do, and what they make of the replies.

use std::fmt::Debug;
use std::time::Duration;

use super::customers::Customers;
use super::in_flight::InFlight;
use super::sales::Sales;
use super::{Keys, Sale, Step, Workload, WorkloadConfig};
use crate::record::invocation::{Invocation, Reply};
use crate::seed::Seed;

/// Longer than any run, so that no hold expires.
const PAY_WITHIN_SECONDS: u64 = 3600;

/// What differs between workloads with sales.
pub(super) trait SaleWorkload: Debug + Send + Sized {
    /// What a buyer remembers.
    type Memory: Debug + Default + Send;
    /// What a buyer is waiting for.
    type Pending: Debug + Clone + Send;
    /// How long an order is held.
    const PAY_WITHIN_SECONDS: u64 = PAY_WITHIN_SECONDS;

    /// Units of the next sale, and how many of them a customer may have.
    fn size(seed: &mut Seed) -> (u64, u64);

    /// What a free buyer does next.
    fn next(&mut self, state: &mut SaleState<Self>, client: usize, now: Duration) -> Step;

    /// Takes the outcome of a buyer's request.
    fn on_reply(
        &mut self,
        state: &mut SaleState<Self>,
        client: usize,
        pending: Self::Pending,
        reply: &Reply,
    );

    /// What a free buyer does once nothing new is started.
    fn close(&mut self, _: &mut SaleState<Self>, _: usize) -> Step {
        Step::Done
    }

    /// What a client after the buyers does next; the first of these is staff.
    fn next_staff(&mut self, state: &mut SaleState<Self>, _: usize, _: Duration) -> Step {
        let product = state.config.product.clone();
        state.open_sale((&product, false))
    }

    /// Takes the outcome of its request.
    fn on_staff_reply(&mut self, state: &mut SaleState<Self>, _: usize, reply: &Reply) {
        state.sales.on_reply(reply);
    }

    /// How many clients there are besides buyers and staff.
    fn helpers(&self) -> usize {
        0
    }

    /// Every product that was created and is judged.
    fn products(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Buyers, staff and sales.
#[derive(Debug)]
pub(super) struct SaleState<T: SaleWorkload> {
    pub(super) config: WorkloadConfig,
    pub(super) keys: Keys,
    pub(super) buyers: Vec<Buyer<T::Memory>>,
    pub(super) in_flight: InFlight<T::Pending>,
    pub(super) sales: Sales,
    pub(super) closing: bool,
}

/// A client that buys.
#[derive(Debug)]
pub(super) struct Buyer<M> {
    pub(super) seed: Seed,
    pub(super) customers: Customers,
    pub(super) memory: M,
}

impl<T: SaleWorkload> SaleState<T> {
    fn new(mut config: WorkloadConfig) -> Self {
        let customers = std::mem::take(&mut config.customers);
        let shares = Customers::share_out(customers, config.buyers());
        let buyer = |(at, customers)| Buyer {
            seed: Seed::of(config.seed, at),
            customers,
            memory: T::Memory::default(),
        };
        let buyers: Vec<_> = (0_u64..).zip(shares).map(buyer).collect();
        Self {
            in_flight: InFlight::new(buyers.len()),
            sales: Sales::new(&config, T::PAY_WITHIN_SECONDS),
            config,
            keys: Keys::default(),
            buyers,
            closing: false,
        }
    }

    /// Opens a sale of this product, if one is needed; with it, whether the product is judged.
    pub(super) fn open_sale(&mut self, product: (&str, bool)) -> Step {
        self.sales.next(&mut self.keys, self.closing, product, T::size)
    }
}

/// A workload with its state.
#[derive(Debug)]
pub(super) struct SaleDriver<T: SaleWorkload> {
    state: SaleState<T>,
    trade: T,
}

impl<T: SaleWorkload> SaleDriver<T> {
    pub(super) fn new(config: WorkloadConfig, trade: T) -> Self {
        Self { state: SaleState::new(config), trade }
    }
}

impl<T: SaleWorkload> Workload for SaleDriver<T> {
    fn clients(&self) -> usize {
        self.state.buyers.len() + 1 + self.trade.helpers()
    }

    fn next(&mut self, client: usize, now: Duration) -> Step {
        if let Some(after) = client.checked_sub(self.state.buyers.len()) {
            return self.trade.next_staff(&mut self.state, after, now);
        }
        if let Some(step) = self.state.in_flight.open(client) {
            return step;
        }
        if self.state.closing {
            return self.trade.close(&mut self.state, client);
        }
        self.trade.next(&mut self.state, client, now)
    }

    fn on_reply(&mut self, client: usize, _: &Invocation, reply: &Reply) {
        if let Some(after) = client.checked_sub(self.state.buyers.len()) {
            self.trade.on_staff_reply(&mut self.state, after, reply);
        } else if let Some((pending, reply)) = self.state.in_flight.on_reply(client, reply) {
            self.trade.on_reply(&mut self.state, client, pending, &reply);
        }
    }

    fn close(&mut self) {
        self.state.closing = true;
    }

    fn sales(&self) -> Vec<Sale> {
        self.state.sales.all.clone()
    }

    fn products(&self) -> Vec<String> {
        self.trade.products()
    }
}
