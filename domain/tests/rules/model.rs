//! A second, naive opinion: it keeps no accounts at all, only a list of orders and how many units
//! ever came into each pool, and counts everything anew for every question.

use std::collections::BTreeMap;

use firstcome_domain::command::*;
use firstcome_domain::order::Status;
use firstcome_domain::receipt::Scope;
use firstcome_domain::stock::PoolId;
use firstcome_domain::{OrderId, SaleId, UserId};

use crate::shop::{DAY, PAY_WITHIN};

struct Sold {
    id: OrderId,
    customer: UserId,
    lines: Vec<(PoolId, u64)>,
    total: i64,
    status: Status,
    /// When time moves it on.
    due: i64,
    captures: Vec<String>,
}

struct Offer {
    opens: i64,
    closes: i64,
    limit: u64,
    pay_within: i64,
    price: i64,
    paused: bool,
    closed: bool,
}

#[derive(Default)]
pub(crate) struct Model {
    now: i64,
    price: i64,
    discontinued: bool,
    /// Units that came in and did not leave, per pool.
    supply: BTreeMap<PoolId, u64>,
    scrapped: BTreeMap<PoolId, u64>,
    sales: BTreeMap<PoolId, Offer>,
    orders: Vec<Sold>,
    /// Wanted units, in the order in which they were first wished for.
    wishes: BTreeMap<UserId, Vec<WantedLine>>,
    receipts: BTreeMap<Scope, ([u8; 32], &'static str, i64)>,
}

impl Model {
    /// The code that a command must be answered with.
    pub(crate) fn decide(&mut self, command: &Command, now: i64) -> &'static str {
        self.now = now;
        self.let_time_pass();
        if let Some(key) = command.receipt
            && let Some((fingerprint, code, expires)) = self.receipts.get(&key.scope)
            && now < *expires
        {
            return if *fingerprint == key.fingerprint { code } else { "idempotency_key_reused" };
        }
        let code = self.act(command.actor, &command.action).err().unwrap_or("done");
        self.drain_closed_sales();
        if let Some(key) = command.receipt {
            self.receipts.insert(key.scope, (key.fingerprint, code, now + DAY));
        }
        code
    }

    pub(crate) fn statuses(&self) -> BTreeMap<OrderId, Status> {
        self.orders.iter().map(|order| (order.id, order.status)).collect()
    }

    /// Items on all wishlists.
    pub(crate) fn wished(&self) -> usize {
        self.wishes.values().map(Vec::len).sum()
    }

    /// Available, held, sold and scrapped units.
    pub(crate) fn accounts(&self, pool: PoolId) -> [u64; 4] {
        let held = self.units(pool, |order| order.status == Status::PaymentPending);
        let sold = self.units(pool, |order| order.status.is_sold());
        [self.available(pool), held, sold, *self.scrapped.get(&pool).unwrap_or(&0)]
    }

    fn units(&self, pool: PoolId, wanted: impl Fn(&Sold) -> bool) -> u64 {
        let orders = self.orders.iter().filter(|order| wanted(order));
        let lines = orders.flat_map(|order| &order.lines);
        lines.filter(|line| line.0 == pool).map(|line| line.1).sum()
    }

    fn available(&self, pool: PoolId) -> u64 {
        let taken = self
            .units(pool, |order| order.status == Status::PaymentPending || order.status.is_sold());
        self.supply.get(&pool).unwrap_or(&0) - taken - self.scrapped.get(&pool).unwrap_or(&0)
    }

    fn let_time_pass(&mut self) {
        for order in &mut self.orders {
            if order.due > self.now {
                continue;
            }
            let (status, stays) = match order.status {
                Status::PaymentPending => (Status::Expired, i64::MAX),
                Status::Paid => (Status::Shipping, DAY),
                Status::Shipping => (Status::Delivered, DAY),
                Status::Delivered => (Status::Confirmed, i64::MAX),
                Status::ReturnRequested => (Status::Returned, i64::MAX),
                over => (over, i64::MAX),
            };
            order.status = status;
            order.due = self.now.saturating_add(stays);
        }
        for offer in self.sales.values_mut() {
            offer.closed |= offer.closes <= self.now;
        }
        self.drain_closed_sales();
    }

    fn drain_closed_sales(&mut self) {
        let closed: Vec<_> =
            self.sales.iter().filter(|(_, offer)| offer.closed).map(|(pool, _)| *pool).collect();
        for pool in closed {
            let left = self.available(pool);
            *self.supply.get_mut(&pool).unwrap() -= left;
            *self.supply.get_mut(&crate::shop::P).unwrap() += left;
        }
    }

    fn act(&mut self, actor: Actor, action: &Action) -> Result<(), &'static str> {
        match action {
            Action::ProductCreate(ask) => {
                self.price = ask.price.amount;
                self.supply.insert(PoolId::Product(ask.id), ask.stock);
                Ok(())
            }
            Action::SaleCreate(ask) => {
                self.offer(ask);
                Ok(())
            }
            Action::OrderCreate(ask) => self.order(actor, ask),
            Action::WishlistSet(ask) => {
                if ask.quantity == 0 {
                    return Err("invalid_field");
                }
                if self.discontinued {
                    return Err("product_discontinued");
                }
                let WishlistSet { target, quantity } = *ask;
                let wishes = self.wishes(actor);
                match wishes.iter_mut().find(|wish| wish.target == target) {
                    Some(wish) => wish.quantity = quantity,
                    None => wishes.push(WantedLine { target, quantity }),
                }
                Ok(())
            }
            Action::WishlistRemove(ask) => {
                let wishes = self.wishes(actor);
                let place = wishes.iter().position(|wish| wish.target == ask.target);
                wishes.remove(place.ok_or("not_found")?);
                Ok(())
            }
            Action::WishlistClear(_) => {
                self.wishes(actor).clear();
                Ok(())
            }
            Action::WishlistOrder(ask) => {
                let lines = self.wishes(actor).clone();
                if lines.is_empty() {
                    return Err("wishlist_empty");
                }
                let WishlistOrder { id, address, expected_total } = ask.clone();
                self.order(actor, &OrderCreate { id, lines, address, expected_total })
            }
            Action::OrderCancel(ask) => self.cancel(actor, ask.id),
            Action::OrderShip(ask) => self.advance(ask.id, Status::Paid, Status::Shipping, DAY),
            Action::OrderDeliver(ask) => {
                self.advance(ask.id, Status::Shipping, Status::Delivered, DAY)
            }
            Action::OrderConfirm(ask) => {
                self.own(actor, ask.id)?;
                self.advance(ask.id, Status::Delivered, Status::Confirmed, i64::MAX)
            }
            Action::OrderReturn(ask) => {
                self.own(actor, ask.id)?;
                let next = Status::ReturnRequested;
                self.advance(ask.id, Status::Delivered, next, DAY).map_err(|_| "not_returnable")
            }
            Action::ReturnReceive(ask) => {
                let from = Status::ReturnRequested;
                self.advance(ask.id, from, Status::Returned, i64::MAX)?;
                let lines = self.find(ask.id)?.lines.clone();
                for (pool, quantity) in lines.into_iter().filter(|_| !ask.restock) {
                    *self.scrapped.entry(pool).or_default() += quantity;
                }
                Ok(())
            }
            Action::PaymentSettle(ask) => self.settle(ask),
            Action::StockAdjust(ask) => self.adjust(ask),
            Action::SaleAllot(ask) => self.allot(ask),
            Action::SalePause(ask) => self.live_offer(ask.id).map(|offer| offer.paused = true),
            Action::SaleResume(ask) => self.live_offer(ask.id).map(|offer| offer.paused = false),
            Action::SaleClose(ask) => self.live_offer(ask.id).map(|offer| offer.closed = true),
            Action::ProductSetStatus(ask) => {
                self.discontinued = ask.discontinued;
                Ok(())
            }
            Action::Tick(_) => Ok(()),
            other => panic!("the model does not know {other:?}"),
        }
    }

    fn wishes(&mut self, actor: Actor) -> &mut Vec<WantedLine> {
        let Actor::User { id, .. } = actor else { panic!("the node wishes for nothing") };
        self.wishes.entry(id).or_default()
    }

    fn offer(&mut self, ask: &SaleCreate) {
        let (general, allotted) = (PoolId::Product(ask.product), PoolId::Sale(ask.id));
        *self.supply.get_mut(&general).unwrap() -= ask.units;
        self.supply.insert(allotted, ask.units);
        let offer = Offer {
            opens: ask.opens_at.get(),
            closes: ask.closes_at.map_or(i64::MAX, firstcome_domain::Millis::get),
            limit: ask.per_customer_limit.into(),
            pay_within: ask.pay_within_ms.unwrap_or(PAY_WITHIN),
            price: ask.price.map_or(self.price, |price| price.amount),
            paused: false,
            closed: false,
        };
        self.sales.insert(allotted, offer);
    }

    fn order(&mut self, actor: Actor, ask: &OrderCreate) -> Result<(), &'static str> {
        let Actor::User { id: customer, .. } = actor else { return Err("permission_denied") };
        if ask.lines.iter().any(|line| line.quantity == 0) {
            return Err("invalid_field");
        }
        let mut lines: Vec<(PoolId, u64)> = Vec::new();
        for line in &ask.lines {
            match lines.iter_mut().find(|known| known.0 == line.target) {
                Some(known) => known.1 += u64::from(line.quantity),
                None => lines.push((line.target, line.quantity.into())),
            }
        }
        let offers = || lines.iter().filter_map(|line| Some((self.sales.get(&line.0)?, *line)));
        if self.discontinued {
            return Err("product_discontinued");
        }
        if offers().any(|(offer, _)| offer.paused) {
            return Err("sale_paused");
        }
        if offers().any(|(offer, _)| self.now < offer.opens && !offer.closed) {
            return Err("sale_not_open");
        }
        if offers().any(|(offer, _)| offer.closed) {
            return Err("sale_closed");
        }
        let unpaid =
            |order: &Sold| order.customer == customer && order.status == Status::PaymentPending;
        if offers().any(|(_, line)| self.units(line.0, unpaid) > 0) {
            return Err("already_holding");
        }
        if self.orders.iter().filter(|order| unpaid(order)).count() >= 10 {
            return Err("too_many_pending_orders");
        }
        let mine =
            |order: &Sold| order.customer == customer && (unpaid(order) || order.status.is_sold());
        if offers().any(|(offer, line)| self.units(line.0, mine) + line.1 > offer.limit) {
            return Err("limit_reached");
        }
        if lines.iter().any(|line| self.available(line.0) < line.1) {
            return Err("sold_out");
        }
        let price = |pool| self.sales.get(pool).map_or(self.price, |offer| offer.price);
        let total = lines.iter().map(|line| price(&line.0) * i64::try_from(line.1).unwrap()).sum();
        let hold = |pool| self.sales.get(pool).map_or(PAY_WITHIN, |offer| offer.pay_within);
        let due = self.now + lines.iter().map(|line| hold(&line.0)).min().unwrap();
        self.wishes(actor).retain(|wish| ask.lines.iter().all(|line| line.target != wish.target));
        let (id, status, captures) = (ask.id, Status::PaymentPending, Vec::new());
        self.orders.push(Sold { id, customer, lines, total, status, due, captures });
        Ok(())
    }

    fn find(&mut self, id: OrderId) -> Result<&mut Sold, &'static str> {
        self.orders.iter_mut().find(|order| order.id == id).ok_or("not_found")
    }

    fn own(&mut self, actor: Actor, id: OrderId) -> Result<(), &'static str> {
        let customer = self.find(id)?.customer;
        match actor {
            Actor::User { id, .. } if id == customer => Ok(()),
            _ => Err("not_found"),
        }
    }

    fn cancel(&mut self, actor: Actor, id: OrderId) -> Result<(), &'static str> {
        if matches!(actor, Actor::User { role: Role::Customer, .. }) {
            self.own(actor, id)?;
        }
        let order = self.find(id)?;
        if !matches!(order.status, Status::PaymentPending | Status::Paid) {
            return Err("not_cancelable");
        }
        (order.status, order.due) = (Status::Canceled, i64::MAX);
        Ok(())
    }

    fn advance(
        &mut self,
        id: OrderId,
        from: Status,
        to: Status,
        stays: i64,
    ) -> Result<(), &'static str> {
        let now = self.now;
        let order = self.find(id)?;
        if order.status != from {
            return Err("wrong_status");
        }
        (order.status, order.due) = (to, now.saturating_add(stays));
        Ok(())
    }

    fn settle(&mut self, ask: &PaymentSettle) -> Result<(), &'static str> {
        let now = self.now;
        let order = self.find(ask.order)?;
        let live = order.status == Status::PaymentPending;
        let (name, pays) = match &ask.settlement {
            Settlement::PaidOutside { .. } if !live => return Err("order_not_payable"),
            Settlement::PaidOutside { .. } => ("outside".to_owned(), true),
            Settlement::Captured { provider_ref, amount } => {
                (provider_ref.clone(), *amount == order.total)
            }
            Settlement::Declined { .. } => {
                if live {
                    (order.status, order.due) = (Status::PaymentFailed, i64::MAX);
                }
                return Ok(());
            }
        };
        if order.captures.contains(&name) {
            return Ok(());
        }
        order.captures.push(name);
        if live && pays {
            (order.status, order.due) = (Status::Paid, now + DAY);
        } else if live {
            (order.status, order.due) = (Status::PaymentFailed, i64::MAX);
        }
        Ok(())
    }

    fn adjust(&mut self, ask: &StockAdjust) -> Result<(), &'static str> {
        let available = self.available(ask.pool);
        let scrapped = self.scrapped.entry(ask.pool).or_default();
        let supply = self.supply.get_mut(&ask.pool).unwrap();
        let source = match ask.adjustment {
            Adjustment::In if self.sales.get(&ask.pool).is_some_and(|offer| offer.closed) => {
                return Err("sale_closed");
            }
            Adjustment::In => u64::MAX,
            Adjustment::Out | Adjustment::Scrap => available,
            Adjustment::Unscrap => *scrapped,
        };
        if source < ask.quantity {
            return Err("not_enough_units");
        }
        match ask.adjustment {
            Adjustment::In => *supply += ask.quantity,
            Adjustment::Out => *supply -= ask.quantity,
            Adjustment::Scrap => *scrapped += ask.quantity,
            Adjustment::Unscrap => *scrapped -= ask.quantity,
        }
        Ok(())
    }

    fn allot(&mut self, ask: &SaleAllot) -> Result<(), &'static str> {
        let (general, allotted) = (crate::shop::P, PoolId::Sale(ask.id));
        self.live_offer(ask.id)?;
        let (from, to) = match ask.allotment {
            Allotment::UpFromNew => (None, allotted),
            Allotment::UpFromGeneral => (Some(general), allotted),
            Allotment::Down => (Some(allotted), general),
        };
        if let Some(from) = from {
            if self.available(from) < ask.quantity {
                return Err("not_enough_units");
            }
            *self.supply.get_mut(&from).unwrap() -= ask.quantity;
        }
        *self.supply.get_mut(&to).unwrap() += ask.quantity;
        Ok(())
    }

    fn live_offer(&mut self, id: SaleId) -> Result<&mut Offer, &'static str> {
        let offer = self.sales.get_mut(&PoolId::Sale(id)).unwrap();
        if offer.closed { Err("sale_closed") } else { Ok(offer) }
    }
}
