//! `orders_once`: order and settle, every key until its outcome is known; duplicates of a key at
//! once, from another client, and half a minute later; keys used again with another body.
//!
//! No answer stays lost: what is open when the faults end is sent until it is answered, so that
//! every key has an outcome to compare its duplicates with.

use std::collections::VecDeque;
use std::time::Duration;

use super::customers::{Customers, Mine};
use super::errand::{Errands, Patience};
use super::shelf::Shelf;
use super::{At, IDLE, Keys, PAY_WITHIN_SECONDS, Sale, Setting, Step, Workload, draw};
use crate::ask::{self, Ask, Customer, Told};
use crate::seed::Seed;

/// After this time a duplicate meets a cluster that has changed: other leader, other snapshot.
const LATE: Duration = Duration::from_secs(30);
/// Duplicates kept for later; those of a long run are spread over it.
const LATE_MAX: usize = 400;

/// The workload.
#[derive(Debug)]
pub(super) struct OrdersOnce {
    setting: Setting,
    keys: Keys,
    buyers: Vec<Buyer>,
    errands: Errands<Busy>,
    shelf: Shelf,
    /// To be sent again at once, by whoever is free.
    echoes: VecDeque<Ask>,
    /// To be sent again later.
    late: VecDeque<(Duration, Ask)>,
    closing: bool,
}

#[derive(Debug)]
struct Buyer {
    seed: Seed,
    customers: Customers,
    unpaid: Vec<Mine>,
    /// Orders with a known outcome, whose keys may be used again.
    known: VecDeque<(Customer, String, Sale, u64)>,
}

#[derive(Clone, Debug)]
enum Busy {
    Order {
        customer: Customer,
        key: String,
        sale: Sale,
        quantity: u64,
    },
    Settle,
    /// A duplicate, a reuse or a read: its answer is for the checkers.
    Watch,
}

fn size(seed: &mut Seed) -> (u64, u64) {
    (seed.between(2, 40), seed.between(1, 3))
}

impl OrdersOnce {
    pub(super) fn new(mut setting: Setting) -> Self {
        let customers = std::mem::take(&mut setting.customers);
        let shares = Customers::shared_out(customers, setting.buyers());
        let buyer = |(at, customers)| Buyer {
            seed: Seed::of(setting.seed, at),
            customers,
            unpaid: Vec::new(),
            known: VecDeque::new(),
        };
        let buyers: Vec<Buyer> = (0_u64..).zip(shares).map(buyer).collect();
        Self {
            errands: Errands::new(buyers.len()),
            shelf: Shelf::new(&setting, PAY_WITHIN_SECONDS),
            setting,
            keys: Keys::default(),
            buyers,
            echoes: VecDeque::new(),
            late: VecDeque::new(),
            closing: false,
        }
    }

    /// A duplicate that is due; in the end all of them are.
    fn duplicate(&mut self, now: Duration) -> Option<Ask> {
        if let Some(ask) = self.echoes.pop_front() {
            return Some(ask);
        }
        let (due, _) = self.late.front()?;
        if *due > now && !self.closing {
            return None;
        }
        self.late.pop_front().map(|(_, ask)| ask)
    }

    fn begin(&mut self, client: usize) -> Option<(Ask, Busy)> {
        let staff = &self.setting.staff;
        let buyer = self.buyers.get_mut(client)?;
        match buyer.seed.below(100) {
            0..50 => {
                let sale = self.shelf.current()?.clone();
                let customer = buyer.customers.take(&mut buyer.seed)?;
                let (key, quantity) = (self.keys.next(), buyer.seed.between(1, sale.limit));
                let ask = ask::order(&customer, &key, &sale.id, quantity);
                Some((ask, Busy::Order { customer, key, sale, quantity }))
            }
            50..75 => {
                let place = draw(&mut buyer.seed, &buyer.unpaid)?;
                let mine = buyer.unpaid.swap_remove(place);
                let key = self.keys.next();
                Some((ask::settle(staff, &key, &mine.sale, &mine.order), Busy::Settle))
            }
            75..85 => {
                // More than was asked for first: only a forgotten key could grant it.
                let (customer, key, sale, quantity) = buyer.known.pop_front()?;
                Some((ask::order(&customer, &key, &sale.id, quantity + 1), Busy::Watch))
            }
            _ => {
                let sale = self.shelf.any(&mut buyer.seed)?;
                Some((ask::stock(staff, &sale.id), Busy::Watch))
            }
        }
    }

    /// Remembers to send it again.
    fn repeat(&mut self, client: usize, ask: &Ask, now: Duration) {
        let Some(buyer) = self.buyers.get_mut(client) else { return };
        if buyer.seed.below(4) == 0 {
            self.echoes.push_back(ask.clone());
        }
        if buyer.seed.below(8) == 0 && self.late.len() < LATE_MAX {
            self.late.push_back((now + LATE, ask.clone()));
        }
    }
}

impl Workload for OrdersOnce {
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
        if let Some(ask) = self.duplicate(now) {
            return self.errands.begin(client, (ask, Busy::Watch), Patience::Once, At::Other);
        }
        if self.closing {
            // Another client may still have something to repeat.
            return if self.errands.all_done() { Step::Done } else { Step::Wait(IDLE) };
        }
        let Some((ask, busy)) = self.begin(client) else { return Step::Wait(IDLE) };
        if matches!(busy, Busy::Watch) {
            return self.errands.begin(client, (ask, busy), Patience::Once, At::Home);
        }
        if self.buyers.get_mut(client).is_some_and(|buyer| buyer.seed.below(2) == 0) {
            return self.errands.begin(client, (ask, busy), Patience::Believing, At::Home);
        }
        self.repeat(client, &ask, now);
        self.errands.begin(client, (ask, busy), Patience::Endless, At::Home)
    }

    fn told(&mut self, client: usize, _: &Ask, told: &Told) {
        let Some(buyer) = self.buyers.get_mut(client) else {
            self.shelf.told(told);
            return;
        };
        let Some((busy, told)) = self.errands.told(client, told) else { return };
        let Busy::Order { customer, key, sale, quantity } = busy else { return };
        if let Some(order) = told.text("order") {
            let (sale, order) = (sale.id.clone(), order.to_owned());
            buyer.unpaid.push(Mine { sale, order, customer: customer.clone() });
        }
        if told.has_nothing_left() {
            self.shelf.ended(&sale);
        } else if told.is_known() && buyer.seed.below(3) == 0 {
            // An early refusal leaves no receipt, so only keys that were surely decided are used.
            buyer.known.push_back((customer.clone(), key, sale, quantity));
        }
        buyer.customers.put_back(&mut buyer.seed, customer);
    }

    fn close(&mut self) {
        self.closing = true;
    }

    fn sales(&self) -> Vec<Sale> {
        self.shelf.sales.clone()
    }
}
