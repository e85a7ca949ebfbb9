//! `sessions`: a client writes and reads what it wrote, here and there, linearizably or from what
//! the node has applied with the revision it knows as `Min-Revision`.

use std::time::Duration;

use super::customers::{Customers, Mine};
use super::errand::{Errands, Patience};
use super::shelf::Shelf;
use super::{At, IDLE, Keys, PAY_WITHIN_SECONDS, Sale, Setting, Step, Workload, draw};
use crate::ask::{self, Ask, Customer, Fresh, Told};
use crate::seed::Seed;

/// Orders a client remembers.
const REMEMBERED: usize = 12;

/// The workload.
#[derive(Debug)]
pub(super) struct Sessions {
    setting: Setting,
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
    /// Oldest first.
    orders: Vec<Mine>,
    /// The highest revision it was told, and the one before.
    revision: u64,
    before: u64,
    /// Whether the last thing it did was a write.
    wrote: bool,
}

#[derive(Clone, Debug)]
enum Busy {
    Order { customer: Customer, sale: Sale },
    End,
    Read,
}

fn size(seed: &mut Seed) -> (u64, u64) {
    (seed.between(5, 60), seed.between(1, 3))
}

impl Sessions {
    pub(super) fn new(mut setting: Setting) -> Self {
        let customers = std::mem::take(&mut setting.customers);
        let shares = Customers::shared_out(customers, setting.buyers());
        let buyer = |(at, customers)| Buyer {
            seed: Seed::of(setting.seed, at),
            customers,
            unpaid: Vec::new(),
            orders: Vec::new(),
            revision: 0,
            before: 0,
            wrote: false,
        };
        let buyers: Vec<Buyer> = (0_u64..).zip(shares).map(buyer).collect();
        Self {
            errands: Errands::new(buyers.len()),
            shelf: Shelf::new(&setting, PAY_WITHIN_SECONDS),
            setting,
            keys: Keys::default(),
            buyers,
            closing: false,
        }
    }

    fn begin(&mut self, client: usize) -> Option<(Ask, Busy)> {
        let wrote = self.buyers.get(client)?.wrote;
        let read = if wrote { self.read(client) } else { None };
        read.or_else(|| self.write(client)).or_else(|| self.read(client))
    }

    fn write(&mut self, client: usize) -> Option<(Ask, Busy)> {
        let staff = &self.setting.staff;
        let buyer = self.buyers.get_mut(client)?;
        let key = self.keys.next();
        if buyer.seed.below(2) == 0
            && let Some(place) = draw(&mut buyer.seed, &buyer.unpaid)
        {
            let mine = buyer.unpaid.swap_remove(place);
            let ask = if buyer.seed.below(3) > 0 {
                ask::settle(staff, &key, &mine.sale, &mine.order)
            } else {
                ask::cancel(&mine.customer, &key, &mine.sale, &mine.order)
            };
            return Some((ask, Busy::End));
        }
        let sale = self.shelf.current()?.clone();
        let customer = buyer.customers.take(&mut buyer.seed)?;
        let ask = ask::order(&customer, &key, &sale.id, 1);
        Some((ask, Busy::Order { customer, sale }))
    }

    fn read(&mut self, client: usize) -> Option<(Ask, Busy)> {
        let buyer = self.buyers.get_mut(client)?;
        let fresh = match buyer.seed.below(10) {
            0..4 => Fresh::Linearizable,
            4..9 => Fresh::Since(buyer.revision),
            _ => Fresh::Since(buyer.before),
        };
        let last = buyer.seed.below(3) > 0;
        let place = if last {
            buyer.orders.len().checked_sub(1)
        } else {
            draw(&mut buyer.seed, &buyer.orders)
        };
        let looked = place.and_then(|place| buyer.orders.get(place));
        let ask = match looked {
            Some(mine) if buyer.seed.below(4) > 0 => {
                ask::look(&mine.customer, &mine.sale, &mine.order)
            }
            _ => ask::stock(&self.setting.staff, &self.shelf.any(&mut buyer.seed)?.id),
        };
        Some((ask.as_fresh_as(fresh), Busy::Read))
    }
}

impl Workload for Sessions {
    fn clients(&self) -> usize {
        self.buyers.len() + 1
    }

    fn next(&mut self, client: usize, _: Duration) -> Step {
        if client >= self.buyers.len() {
            let product = (self.setting.product.as_str(), false);
            return self.shelf.next(&mut self.keys, self.closing, product, size);
        }
        if let Some(step) = self.errands.open(client) {
            return step;
        }
        if self.closing {
            return Step::Done;
        }
        let Some(begun) = self.begin(client) else { return Step::Wait(IDLE) };
        let read = matches!(begun.1, Busy::Read);
        let patience = if read { Patience::Once } else { Patience::Patient };
        let Some(buyer) = self.buyers.get_mut(client) else { return Step::Done };
        buyer.wrote = !read;
        let node = draw(&mut buyer.seed, &vec![(); self.setting.nodes]).unwrap_or(0);
        self.errands.begin(client, begun, patience, if read { At::Node(node) } else { At::Other })
    }

    fn told(&mut self, client: usize, _: &Ask, told: &Told) {
        let Some(buyer) = self.buyers.get_mut(client) else {
            self.shelf.told(told);
            return;
        };
        let Some((busy, told)) = self.errands.told(client, told) else { return };
        if let Some(revision) = told.rev().filter(|revision| *revision > buyer.revision) {
            buyer.before = std::mem::replace(&mut buyer.revision, revision);
        }
        match (busy, &told) {
            // The customer of a lost answer is retired.
            (Busy::Read | Busy::End, _) | (Busy::Order { .. }, Told::Unknown) => {}
            (Busy::Order { customer, sale }, told) => {
                if told.has_nothing_left() {
                    self.shelf.ended(&sale);
                }
                if let Some(order) = told.text("order") {
                    let mine =
                        Mine { sale: sale.id, order: order.to_owned(), customer: customer.clone() };
                    buyer.unpaid.push(mine.clone());
                    buyer.orders.push(mine);
                    if buyer.orders.len() > REMEMBERED {
                        buyer.orders.remove(0);
                    }
                }
                buyer.customers.put_back(&mut buyer.seed, customer);
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
