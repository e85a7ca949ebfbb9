//! `register`: read products and change the price, given the version that was seen; many products,
//! each for 100 to 400 requests.
//!
//! No price is used twice, so a read identifies the write it saw. A change has no key and needs
//! none, because sent again it would conflict with its own version. Lost responses stay lost; the
//! final version and price of a product show whether the change happened.

use std::collections::BTreeMap;
use std::time::Duration;

use super::in_flight::{InFlight, RetryPolicy};
use super::{IDLE, Keys, Route, Sale, Step, Workload, WorkloadConfig, draw};
use crate::record::invocation::{self, Invocation, NewProduct, Reply};
use crate::seed::Seed;

/// Products in use at the same time: fewer than clients, so that they often collide.
const ACTIVE: usize = 4;

/// The workload.
#[derive(Debug)]
pub(super) struct Register {
    config: WorkloadConfig,
    keys: Keys,
    clients: Vec<Client>,
    in_flight: InFlight<String>,
    making: InFlight<()>,
    seed: Seed,
    /// In use, with how many requests are left for each.
    active: Vec<(String, u64)>,
    all: Vec<String>,
    last_price: u64,
    closing: bool,
}

#[derive(Debug)]
struct Client {
    seed: Seed,
    /// The last version it saw.
    seen: BTreeMap<String, u64>,
}

impl Register {
    pub(super) fn new(mut config: WorkloadConfig) -> Self {
        config.customers.clear();
        let buyers = config.buyers();
        let client = |at| Client { seed: Seed::of(config.seed, at as u64), seen: BTreeMap::new() };
        Self {
            clients: (0..buyers).map(client).collect(),
            in_flight: InFlight::new(buyers),
            making: InFlight::new(1),
            seed: Seed::of(config.seed, 999),
            config,
            keys: Keys::default(),
            active: Vec::new(),
            all: Vec::new(),
            last_price: 0,
            closing: false,
        }
    }

    const fn price(&mut self) -> u64 {
        self.last_price += 1;
        self.last_price
    }

    /// Staff replaces every product that has had its requests.
    fn make(&mut self) -> Step {
        if let Some(step) = self.making.open(0) {
            return step;
        }
        if self.closing {
            return Step::Done;
        }
        if self.active.len() >= ACTIVE {
            return Step::Wait(IDLE);
        }
        let new = NewProduct { units: 0, price: self.price() };
        let invocation = invocation::product(&self.config.staff, &self.keys.next(), new);
        self.making.begin(0, (invocation, ()), RetryPolicy::UntilKnown, Route::Home)
    }

    fn begin(&mut self, client: usize) -> Option<(Invocation, String)> {
        let price = self.last_price + 1;
        let client = self.clients.get_mut(client)?;
        let place = draw(&mut client.seed, &self.active)?;
        let (product, left) = self.active.get_mut(place)?;
        let (id, spent) = (product.clone(), *left == 0);
        *left = left.saturating_sub(1);
        if spent {
            self.active.swap_remove(place);
        }
        let invocation = match client.seen.get(&id) {
            // Now and then the request names a version that is long outdated.
            Some(version) if client.seed.below(10) < 6 => {
                let old = client.seed.below(20) == 0;
                let version = if old { (version / 2).max(1) } else { *version };
                self.last_price = price;
                invocation::price(&self.config.staff, &id, version, price)
            }
            _ => invocation::read(&id),
        };
        Some((invocation, id))
    }
}

impl Workload for Register {
    fn clients(&self) -> usize {
        self.clients.len() + 1
    }

    fn next(&mut self, client: usize, _: Duration) -> Step {
        if client >= self.clients.len() {
            return self.make();
        }
        if self.closing {
            return Step::Done;
        }
        let Some(begun) = self.begin(client) else { return Step::Wait(IDLE) };
        self.in_flight.begin(client, begun, RetryPolicy::Once, Route::Home)
    }

    fn on_reply(&mut self, client: usize, _: &Invocation, reply: &Reply) {
        let Some(asker) = self.clients.get_mut(client) else {
            let made = self.making.on_reply(0, reply);
            if let Some(id) = made.and_then(|((), reply)| reply.text("product").map(str::to_owned))
            {
                self.active.push((id.clone(), self.seed.between(100, 400)));
                self.all.push(id);
            }
            return;
        };
        let Some((product, reply)) = self.in_flight.on_reply(client, reply) else { return };
        match reply.number("version") {
            Some(version) => asker.seen.insert(product, version),
            None => asker.seen.remove(&product),
        };
    }

    fn close(&mut self) {
        self.closing = true;
    }

    fn sales(&self) -> Vec<Sale> {
        Vec::new()
    }

    fn products(&self) -> Vec<String> {
        self.all.clone()
    }
}
