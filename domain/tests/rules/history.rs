//! Random histories: a small world in which few people want few units, so that sold out, expired
//! and replayed are the normal case.

use firstcome_domain::command::*;
use firstcome_domain::order::Status;
use firstcome_domain::stock::PoolId;
use firstcome_domain::testing::memory::{Look as _, Memory, Step as Decided};
use firstcome_domain::{Millis, OrderId, SaleId, UserId};
use proptest::prelude::*;

use crate::people::{Personal, acting, asked, personal};
use crate::shop::*;

pub(crate) const SECOND_SALE: SaleId = SaleId::new(2);
/// The pool of a sale that opens after a second and closes after an hour.
pub(crate) const T: PoolId = PoolId::Sale(SECOND_SALE);
pub(crate) const POOLS: [PoolId; 3] = [P, S, T];

/// What somebody does next; numbers pick among what exists by then.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Order {
        lines: Vec<(usize, u32)>,
    },
    Wish {
        pool: usize,
        quantity: u32,
    },
    Unwish {
        pool: usize,
    },
    ClearWishes,
    OrderWishes,
    Cancel,
    CancelByStaff,
    Captured {
        name: u8,
        off: i64,
    },
    Declined,
    Outside,
    Ship,
    Deliver,
    Confirm,
    Return,
    Receive {
        restock: bool,
    },
    /// Whatever comes next for an order, up to its return.
    Onward {
        restock: bool,
    },
    Adjust {
        pool: usize,
        adjustment: Adjustment,
        quantity: u64,
    },
    Allot {
        pool: usize,
        allotment: Allotment,
        quantity: u64,
    },
    Pause {
        pool: usize,
    },
    Resume {
        pool: usize,
    },
    Close {
        pool: usize,
    },
    SetStatus {
        discontinued: bool,
    },
    Tick,
    /// Something about an account.
    Account(Personal),
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) wait_ms: i64,
    pub(crate) customer: u128,
    /// Which of the orders made so far, counted from the newest.
    pub(crate) order: u128,
    pub(crate) key: Option<(u8, u8)>,
    pub(crate) deed: Deed,
}

fn shop_deed() -> impl Strategy<Value = Deed> {
    let lines =
        prop::collection::vec((0..3usize, 0..=2u32), 1..=2).prop_map(|lines| Deed::Order { lines });
    let one_unit = (0..3usize).prop_map(|pool| Deed::Order { lines: vec![(pool, 1)] });
    let adjustment = prop_oneof![
        Just(Adjustment::In),
        Just(Adjustment::Out),
        Just(Adjustment::Scrap),
        Just(Adjustment::Unscrap),
    ];
    let adjust = (0..3usize, adjustment, 1..=2u64)
        .prop_map(|(pool, adjustment, quantity)| Deed::Adjust { pool, adjustment, quantity });
    let allotment = prop_oneof![
        Just(Allotment::UpFromGeneral),
        Just(Allotment::UpFromNew),
        Just(Allotment::Down),
    ];
    let allot = (1..3usize, allotment, 1..=2u64)
        .prop_map(|(pool, allotment, quantity)| Deed::Allot { pool, allotment, quantity });
    let off = prop_oneof![8 => Just(0i64), 1 => Just(1), 1 => Just(-1)];
    prop_oneof![
        38 => one_unit,
        6 => lines,
        12 => (0..3usize, 0..=2u32).prop_map(|(pool, quantity)| Deed::Wish { pool, quantity }),
        1 => (0..3usize).prop_map(|pool| Deed::Unwish { pool }),
        1 => Just(Deed::ClearWishes),
        8 => Just(Deed::OrderWishes),
        5 => Just(Deed::Cancel),
        1 => Just(Deed::CancelByStaff),
        10 => (0..2u8, off).prop_map(|(name, off)| Deed::Captured { name, off }),
        2 => Just(Deed::Declined),
        2 => Just(Deed::Outside),
        2 => Just(Deed::Ship),
        2 => Just(Deed::Deliver),
        1 => Just(Deed::Confirm),
        2 => Just(Deed::Return),
        2 => any::<bool>().prop_map(|restock| Deed::Receive { restock }),
        26 => any::<bool>().prop_map(|restock| Deed::Onward { restock }),
        3 => adjust,
        2 => allot,
        1 => (1..3usize).prop_map(|pool| Deed::Pause { pool }),
        3 => (1..3usize).prop_map(|pool| Deed::Resume { pool }),
        1 => (1..3usize).prop_map(|pool| Deed::Close { pool }),
        1 => Just(Deed::SetStatus { discontinued: true }),
        3 => Just(Deed::SetStatus { discontinued: false }),
        3 => Just(Deed::Tick),
    ]
}

fn step(deed: impl Strategy<Value = Deed>) -> impl Strategy<Value = Step> {
    let wait_ms = prop_oneof![
        24 => Just(0i64),
        6 => Just(1_000),
        2 => Just(MINUTE - 1),
        2 => Just(MINUTE),
        1 => Just(PAY_WITHIN),
        1 => Just(DAY),
    ];
    let key = prop_oneof![2 => Just(None), 1 => (0..4u8, 0..8u8).prop_map(|(name, body)| {
        Some((name, u8::from(body == 0)))
    })];
    (wait_ms, 1..=4u128, 0..4u128, key, deed).prop_map(|(wait_ms, customer, order, key, deed)| {
        Step { wait_ms, customer, order, key, deed }
    })
}

/// Deeds of a shop whose users have no accounts.
pub(crate) fn shop_steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(shop_deed()), 1..60)
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let deed = prop_oneof![shop_deed(), personal().prop_map(Deed::Account)];
    prop::collection::vec(step(deed), 1..60)
}

/// A command of a history, when it was proposed, and what was decided.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) command: Command,
    pub(crate) now: Millis,
    pub(crate) decision: Decided,
}

/// A history in the making.
pub(crate) struct Run {
    pub(crate) memory: Memory,
    pub(crate) entries: Vec<Entry>,
    pub(crate) now: i64,
    orders: u128,
    mails: u128,
}

impl Run {
    pub(crate) fn new() -> Self {
        let (memory, entries) = (Memory::new(), Vec::new());
        let mut run = Self { memory, entries, now: 0, orders: 0, mails: 0 };
        run.staff(Action::ProductCreate(product_of(PRODUCT, 5)));
        run.staff(Action::SaleCreate(SaleCreate {
            per_customer_limit: 2,
            pay_within_ms: Some(MINUTE),
            ..sale_of(SALE, 2)
        }));
        run.staff(Action::SaleCreate(SaleCreate {
            opens_at: Millis::new(1_000),
            closes_at: Some(Millis::new(60 * MINUTE)),
            pay_within_ms: Some(2 * MINUTE),
            price: Some(won(PRICE - 100)),
            ..sale_of(SECOND_SALE, 1)
        }));
        run
    }

    pub(crate) fn of(steps: &[Step]) -> Self {
        let mut run = Self::new();
        for step in steps {
            run.step(step);
        }
        run
    }

    fn staff(&mut self, action: Action) {
        self.propose(Command { actor: STAFF, receipt: None, action });
    }

    pub(crate) fn propose(&mut self, command: Command) -> &Decided {
        let now = Millis::new(self.now);
        let decision = self.memory.step(&command, now);
        self.entries.push(Entry { command, now, decision });
        &self.entries.last().unwrap().decision
    }

    pub(crate) fn step(&mut self, step: &Step) -> &Decided {
        self.now += step.wait_ms;
        let command = self.command(step);
        self.propose(command)
    }

    pub(crate) fn command(&mut self, step: &Step) -> Command {
        let (id, owner) = self.pick(step.order);
        let sale = |pool: usize| SaleId::new(u128::try_from(pool).unwrap());
        let buyer = acting(&self.memory, step.customer);
        // Now and then somebody else tries.
        let owner = if step.customer == 4 { buyer } else { owner };
        let (actor, action) = match &self.onward(&step.deed, id) {
            Deed::Order { lines } => {
                self.orders += 1;
                let lines: Vec<_> =
                    lines.iter().map(|(pool, quantity)| (POOLS[*pool], *quantity)).collect();
                (buyer, order_of(self.orders, &lines))
            }
            Deed::Wish { pool, quantity } => (buyer, wish(POOLS[*pool], *quantity)),
            Deed::Unwish { pool } => {
                (buyer, Action::WishlistRemove(WishlistRemove { target: POOLS[*pool] }))
            }
            Deed::ClearWishes => (buyer, Action::WishlistClear(WishlistClear)),
            Deed::OrderWishes => {
                self.orders += 1;
                (buyer, order_wishes(self.orders))
            }
            Deed::Cancel => (owner, Action::OrderCancel(OrderCancel { id })),
            Deed::CancelByStaff => (SUPPORT, Action::OrderCancel(OrderCancel { id })),
            Deed::Captured { name, off } => {
                let total = self.memory.order(id).map_or(PRICE, |order| order.total);
                (Actor::Node, captured(id.get(), &format!("cap_{name}"), total + off))
            }
            Deed::Declined => (Actor::Node, declined(id.get())),
            Deed::Outside => (SUPPORT, paid_outside(id.get())),
            Deed::Ship => (STAFF, Action::OrderShip(OrderShip { id, tracking_no: None })),
            Deed::Deliver => (STAFF, Action::OrderDeliver(OrderDeliver { id })),
            Deed::Confirm => (owner, Action::OrderConfirm(OrderConfirm { id })),
            Deed::Return => (owner, Action::OrderReturn(OrderReturn { id })),
            Deed::Receive { restock } => {
                (STAFF, Action::ReturnReceive(ReturnReceive { id, restock: *restock }))
            }
            Deed::Adjust { pool, adjustment, quantity } => {
                let (pool, adjustment, quantity) = (POOLS[*pool], *adjustment, *quantity);
                let ask = StockAdjust { pool, adjustment, quantity, note: None };
                (STAFF, Action::StockAdjust(ask))
            }
            Deed::Allot { pool, allotment, quantity } => {
                let (allotment, quantity) = (*allotment, *quantity);
                let ask = SaleAllot { id: sale(*pool), allotment, quantity, note: None };
                (STAFF, Action::SaleAllot(ask))
            }
            Deed::Pause { pool } => (STAFF, pause(sale(*pool))),
            Deed::Resume { pool } => (STAFF, resume(sale(*pool))),
            Deed::Close { pool } => (STAFF, close(sale(*pool))),
            Deed::SetStatus { discontinued } => (STAFF, self.set_status(*discontinued)),
            Deed::Account(deed) => {
                self.mails += 1;
                asked(&self.memory, *deed, self.mails)
            }
            Deed::Tick | Deed::Onward { .. } => (Actor::Node, Action::Tick(Tick)),
        };
        let receipt = match (actor, step.key) {
            (Actor::User { .. } | Actor::Session { .. } | Actor::Anyone, Some((name, body))) => {
                let mut key = key(name, body);
                let id = actor.user().map_or(0, UserId::get);
                key.scope.0[0] = u8::try_from(id % 251).unwrap();
                key.scope.0[1] = u8::try_from(action.name().len()).unwrap();
                Some(key)
            }
            _ => None,
        };
        Command { actor, receipt, action }
    }

    fn onward(&self, deed: &Deed, id: OrderId) -> Deed {
        let Deed::Onward { restock } = deed else { return deed.clone() };
        match self.memory.order(id).map(|order| order.status) {
            Some(Status::PaymentPending) => Deed::Captured { name: 0, off: 0 },
            Some(Status::Paid) => Deed::Ship,
            Some(Status::Shipping) => Deed::Deliver,
            Some(Status::Delivered) => Deed::Return,
            Some(Status::ReturnRequested) => Deed::Receive { restock: *restock },
            _ => Deed::Tick,
        }
    }

    /// One of the newest orders and its owner; an order that never was while there is none.
    fn pick(&self, place: u128) -> (OrderId, Actor) {
        let orders: Vec<_> = self.memory.orders().map(|row| (row.id, row.customer)).collect();
        let place = usize::try_from(place).unwrap() % orders.len().max(1);
        orders
            .iter()
            .rev()
            .nth(place)
            .map_or((oid(1), customer(1)), |(id, owner)| (*id, acting(&self.memory, owner.get())))
    }

    pub(crate) fn set_status(&self, discontinued: bool) -> Action {
        let if_version = self.memory.product(PRODUCT).unwrap().row.version;
        Action::ProductSetStatus(ProductSetStatus { id: PRODUCT, if_version, discontinued })
    }
}
