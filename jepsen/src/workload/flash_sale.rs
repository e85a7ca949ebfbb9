//! `flash_sale`: order, then settle or cancel, on sales of 1 to 100 units; a new sale when one is
//! sold out; stock reads; no hold ends by itself.
//!
//! A customer belongs to one client, so that the order of its requests is known; when an answer is
//! lost, half of the time the same key is sent again to other nodes until the outcome is known,
//! and otherwise the customer retires.

use std::collections::VecDeque;
use std::time::Duration;

use super::{At, Keys, Retry, Sale, Setting, Step, Workload};
use crate::ask::{self, Ask, Customer, NewSale, Told};
use crate::seed::Seed;

/// Customers a client uses in turn.
const ACTIVE: usize = 3;
/// Longer than any run, so that no hold ends.
const PAY_WITHIN_SECONDS: u64 = 3600;
/// How long a client waits that has nothing to do.
const IDLE: Duration = Duration::from_millis(2);

/// The workload.
#[derive(Debug)]
pub(super) struct FlashSale {
    setting: Setting,
    keys: Keys,
    seed: Seed,
    buyers: Vec<Buyer>,
    /// The sale being created, by the client after the buyers.
    making: Option<(Retry, u64)>,
    wants_sale: bool,
    sales: Vec<Sale>,
    closing: bool,
}

/// An order that still has to be brought to an end.
#[derive(Clone, Debug)]
struct Mine {
    sale: String,
    order: String,
    customer: Customer,
}

/// What a buyer waits for.
#[derive(Clone, Debug)]
enum Busy {
    Order { customer: Customer, sale: Sale },
    End(Mine),
    Stock,
}

#[derive(Debug)]
struct Buyer {
    seed: Seed,
    customers: VecDeque<Customer>,
    unpaid: Vec<Mine>,
    ended: Vec<Mine>,
    busy: Option<Busy>,
    retry: Option<Retry>,
}

impl FlashSale {
    pub(super) fn new(mut setting: Setting) -> Self {
        let buyers = setting.buyers();
        let mut customers = std::mem::take(&mut setting.customers);
        let each = customers.len() / buyers.max(1);
        let buyers = (0..buyers)
            .map(|at| Buyer {
                seed: Seed::of(setting.seed, at as u64),
                customers: customers.split_off(customers.len().saturating_sub(each)).into(),
                unpaid: Vec::new(),
                ended: Vec::new(),
                busy: None,
                retry: None,
            })
            .collect();
        Self {
            seed: Seed::of(setting.seed, 999),
            setting,
            keys: Keys::default(),
            buyers,
            making: None,
            wants_sale: true,
            sales: Vec::new(),
            closing: false,
        }
    }

    /// Staff: a sale whenever the last is sold out.
    fn make_sale(&mut self) -> Step {
        if let Some((retry, _)) = &self.making {
            return Step::Ask(retry.ask.clone(), At::Other);
        }
        if self.closing {
            return Step::Done;
        }
        if !std::mem::take(&mut self.wants_sale) {
            return Step::Wait(IDLE);
        }
        // Half of the sales are tiny: their edge is reached at once and often.
        let tiny = self.seed.below(2) == 0;
        let units = if tiny { self.seed.between(1, 8) } else { self.seed.between(9, 100) };
        let new = NewSale {
            product: self.setting.product.clone(),
            units,
            limit: self.seed.between(1, 3),
            opens_at: self.setting.opens_at.clone(),
            pay_within_seconds: PAY_WITHIN_SECONDS,
        };
        let ask = ask::sale(&self.setting.staff, &self.keys.next(), &new);
        self.making = Some((Retry::new(ask.clone()), new.limit));
        Step::Ask(ask, At::Home)
    }

    fn made_sale(&mut self, told: &Told) {
        let Some((mut retry, limit)) = self.making.take() else { return };
        match retry.told(told) {
            None => self.making = Some((retry, limit)),
            Some(told) => match told.text("sale") {
                Some(id) => self.sales.push(Sale { id: id.to_owned(), limit }),
                None => self.wants_sale = true,
            },
        }
    }

    /// What an idle buyer begins.
    fn begin(&mut self, client: usize) -> Option<(Ask, Busy)> {
        let current = self.sales.last()?.clone();
        let staff = &self.setting.staff;
        let buyer = self.buyers.get_mut(client)?;
        let (ask, busy) = match buyer.seed.below(100) {
            0..45 => {
                let customer = buyer.customer()?;
                let over = u64::from(buyer.seed.below(20) == 0);
                let quantity = buyer.seed.between(1, current.limit) + over;
                let ask = ask::order(&customer, &self.keys.next(), &current.id, quantity);
                (ask, Busy::Order { customer, sale: current })
            }
            45..65 => {
                let mine = buyer.draw(1)?;
                let ask = ask::settle(staff, &self.keys.next(), &mine.sale, &mine.order);
                (ask, Busy::End(mine))
            }
            65..80 => {
                let mine = buyer.draw(4)?;
                let key = self.keys.next();
                let ask = ask::cancel(&mine.customer, &key, &mine.sale, &mine.order);
                (ask, Busy::End(mine))
            }
            _ => (ask::stock(staff, &current.id), Busy::Stock),
        };
        Some((ask, busy))
    }
}

impl Workload for FlashSale {
    fn clients(&self) -> usize {
        self.buyers.len() + 1
    }

    fn next(&mut self, client: usize, _: Duration) -> Step {
        let Some(buyer) = self.buyers.get(client) else { return self.make_sale() };
        if let Some(retry) = &buyer.retry {
            return Step::Ask(retry.ask.clone(), At::Other);
        }
        if self.closing {
            return Step::Done;
        }
        let Some((ask, busy)) = self.begin(client) else { return Step::Wait(IDLE) };
        if let Some(buyer) = self.buyers.get_mut(client) {
            buyer.busy = Some(busy);
        }
        Step::Ask(ask, At::Home)
    }

    fn told(&mut self, client: usize, ask: &Ask, told: &Told) {
        let Some(buyer) = self.buyers.get_mut(client) else { return self.made_sale(told) };
        let told = match &mut buyer.retry {
            Some(retry) => retry.told(told),
            None if *told == Told::Unknown && buyer.seed.below(2) == 0 => {
                let mut retry = Retry::new(ask.clone());
                let known = retry.told(told);
                buyer.retry = Some(retry);
                known
            }
            None => Some(told.clone()),
        };
        let Some(told) = told else { return };
        buyer.retry = None;
        if let Some(sold_out) = buyer.take(told)
            && self.sales.last() == Some(&sold_out)
        {
            self.wants_sale = self.making.is_none();
        }
    }

    fn close(&mut self) {
        self.closing = true;
    }

    fn sales(&self) -> Vec<Sale> {
        self.sales.clone()
    }
}

impl Buyer {
    fn customer(&mut self) -> Option<Customer> {
        let place = self.seed.below(ACTIVE.min(self.customers.len()) as u64);
        self.customers.remove(usize::try_from(place).unwrap_or(0))
    }

    /// Draws an order to end: mostly an unpaid one, sometimes one that has ended.
    fn draw(&mut self, from_ended: u64) -> Option<Mine> {
        let ended = self.seed.below(10) < from_ended;
        let list = if ended { &mut self.ended } else { &mut self.unpaid };
        let place = self.seed.below(list.len() as u64);
        let place = usize::try_from(place).ok().filter(|place| *place < list.len())?;
        Some(list.swap_remove(place))
    }

    /// Takes what is known in the end; answers the sale that was found sold out.
    fn take(&mut self, told: Told) -> Option<Sale> {
        match (self.busy.take()?, told) {
            // The customer of a lost answer is retired.
            (Busy::Stock, _) | (Busy::Order { .. } | Busy::End(_), Told::Unknown) => None,
            (Busy::End(mine), Told::Never) => {
                self.unpaid.push(mine);
                None
            }
            (Busy::End(mine), _) => {
                self.ended.push(mine);
                None
            }
            (Busy::Order { customer, sale }, told) => {
                if let Some(order) = told.text("order") {
                    let (sale, order) = (sale.id.clone(), order.to_owned());
                    self.unpaid.push(Mine { sale, order, customer: customer.clone() });
                }
                // Half of the time the next one is a stranger, so that a sale ends in spite of
                // its limit.
                if self.seed.below(2) == 0 {
                    self.customers.push_back(customer);
                } else {
                    self.customers.push_front(customer);
                }
                (told.refused() == Some("sold_out")).then_some(sale)
            }
        }
    }
}
