//! `order_set` and `cold_start`: add orders to sales and list them; in the end every node lists
//! every sale.
//!
//! Every order is one element. It is settled, so that its customer can add another, and never
//! called off, so that a sale ends with as many orders as units and fits one page of a list.
//! `cold_start` does the same slowly and stays with what it asks: its cluster goes down as a
//! whole, and the first list after the start must show what was acknowledged before.

use std::time::Duration;

use super::customers::{Customers, Mine};
use super::errand::{Errands, Patience};
use super::shelf::Shelf;
use super::{At, IDLE, Keys, PAY_WITHIN_SECONDS, Sale, Setting, Step, Workload};
use crate::ask::{self, Ask, Customer, Told};
use crate::seed::Seed;

/// Between two asks of a slow client.
const SLOW: Duration = Duration::from_millis(40);

/// How fast the clients ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pace {
    Fast,
    Slow,
}

/// The workload.
#[derive(Debug)]
pub(super) struct OrderSet {
    setting: Setting,
    pace: Pace,
    keys: Keys,
    buyers: Vec<Buyer>,
    errands: Errands<Busy>,
    shelf: Shelf,
    closing: bool,
}

#[derive(Debug)]
struct Buyer {
    seed: Seed,
    customers: Customers,
    unpaid: Vec<Mine>,
    /// When a slow client may go on.
    rested: Duration,
    /// How many of the final lists it asked for.
    finals: usize,
}

#[derive(Clone, Debug)]
enum Busy {
    Add { customer: Customer, sale: Sale },
    Settle(Mine),
    List,
}

/// As many units as a list shows orders, or fewer.
fn size(seed: &mut Seed) -> (u64, u64) {
    (seed.between(40, 90), 100)
}

impl OrderSet {
    pub(super) fn new(mut setting: Setting, pace: Pace) -> Self {
        let customers = std::mem::take(&mut setting.customers);
        let shares = Customers::shared_out(customers, setting.buyers());
        let buyer = |(at, customers)| Buyer {
            seed: Seed::of(setting.seed, at),
            customers,
            unpaid: Vec::new(),
            rested: Duration::ZERO,
            finals: 0,
        };
        let buyers: Vec<Buyer> = (0_u64..).zip(shares).map(buyer).collect();
        Self {
            errands: Errands::new(buyers.len()),
            shelf: Shelf::new(&setting, PAY_WITHIN_SECONDS),
            setting,
            pace,
            keys: Keys::default(),
            buyers,
            closing: false,
        }
    }

    fn begin(&mut self, client: usize) -> Option<(Ask, Busy)> {
        let staff = &self.setting.staff;
        let buyer = self.buyers.get_mut(client)?;
        // Unpaid orders first: a customer has one of a sale at most.
        if buyer.unpaid.len() > 2 {
            let mine = buyer.unpaid.remove(0);
            let key = self.keys.next();
            return Some((ask::settle(staff, &key, &mine.sale, &mine.order), Busy::Settle(mine)));
        }
        if buyer.seed.below(10) < 4 {
            let sale = self.shelf.any(&mut buyer.seed)?;
            return Some((ask::orders(staff, &sale.id), Busy::List));
        }
        let sale = self.shelf.current()?.clone();
        let customer = buyer.customers.take(&mut buyer.seed)?;
        let ask = ask::order(&customer, &self.keys.next(), &sale.id, 1);
        Some((ask, Busy::Add { customer, sale }))
    }

    /// The first clients list every sale at their node, once all others are done.
    fn last_lists(&mut self, client: usize) -> Step {
        if client >= self.setting.nodes {
            return Step::Done;
        }
        if !self.errands.all_done() && self.buyers.iter().all(|buyer| buyer.finals == 0) {
            return Step::Wait(IDLE);
        }
        let Some(buyer) = self.buyers.get_mut(client) else { return Step::Done };
        let Some(sale) = self.shelf.sales.get(buyer.finals) else { return Step::Done };
        buyer.finals += 1;
        let ask = ask::orders(&self.setting.staff, &sale.id);
        self.errands.begin(client, (ask, Busy::List), Patience::Patient, At::Node(client))
    }
}

impl Workload for OrderSet {
    fn clients(&self) -> usize {
        self.buyers.len() + 1
    }

    fn next(&mut self, client: usize, now: Duration) -> Step {
        if client >= self.buyers.len() {
            let product = (self.setting.product.as_str(), false);
            return self.shelf.next(&mut self.keys, self.closing, product, size);
        }
        if let Some(step) = self.errands.open(client) {
            return step;
        }
        if self.closing {
            return self.last_lists(client);
        }
        if let (Pace::Slow, Some(buyer)) = (self.pace, self.buyers.get_mut(client)) {
            if now < buyer.rested {
                return Step::Wait(buyer.rested.saturating_sub(now));
            }
            buyer.rested = now + SLOW;
        }
        let Some(begun) = self.begin(client) else { return Step::Wait(IDLE) };
        let patience = match (&begun.1, self.pace) {
            (Busy::List, Pace::Fast) => Patience::Once,
            (Busy::Add { .. }, Pace::Fast) => Patience::Patient,
            (Busy::Settle(_), _) | (_, Pace::Slow) => Patience::Endless,
        };
        self.errands.begin(client, begun, patience, At::Home)
    }

    fn told(&mut self, client: usize, _: &Ask, told: &Told) {
        let Some(buyer) = self.buyers.get_mut(client) else {
            self.shelf.told(told);
            return;
        };
        let Some((busy, told)) = self.errands.told(client, told) else { return };
        match (busy, &told) {
            // The customer of a lost answer is retired.
            (Busy::List, _) | (Busy::Add { .. }, Told::Unknown) => {}
            (Busy::Settle(mine), _) => buyer.customers.put_back(&mut buyer.seed, mine.customer),
            (Busy::Add { customer, sale }, told) => {
                if told.has_nothing_left() {
                    self.shelf.ended(&sale);
                }
                match told.text("order").map(str::to_owned) {
                    Some(order) => buyer.unpaid.push(Mine { sale: sale.id, order, customer }),
                    None => buyer.customers.put_back(&mut buyer.seed, customer),
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
