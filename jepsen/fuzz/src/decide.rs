//! Operations drawn from bytes, decided one after the other, with a naive second opinion.
//!
//! Four bytes are one operation: what, who and which, how much, and how much time has passed.
//! After each: the invariants hold, counting orders anew gives the same accounts, "sold out" was
//! true, an early refusal would have said the same, and a repeat with the key gets the outcome
//! of the first.

use firstcome_domain::command::{Adjustment, Allotment, Settlement, Tick};
use firstcome_domain::decide::find_receipt;
use firstcome_domain::invariant::check;
use firstcome_domain::order::Status;
use firstcome_domain::stock::PoolId;
use firstcome_domain::testing::memory::{self, Look as _, Memory};
use firstcome_domain::{
    Action, Actor, Answer, Command, Done, Millis, Outcome, Refusal, Revision, Stamp, decide,
    early_refusal,
};

use crate::Reached;
use crate::shop::{
    POOLS, STAFF, adjust, allot, cancel, close, customer, key, order, pause, resume, settle,
};

/// Operations of one input; more would only be slower.
const STEPS_MAX: usize = 64;

const HOUR: i64 = 3_600_000;
/// Eight days are longer than receipts and facts are kept.
const DAY: i64 = 24 * HOUR;

/// A history of a small shop.
pub fn decide_ops(data: &[u8]) -> Reached {
    let mut world = World { memory: crate::shop::memory(), orders: 3, now: 0, sold: false };
    for step in data.chunks_exact(4).take(STEPS_MAX) {
        world.step([step[0], step[1], step[2], step[3]]);
    }
    if world.sold { Reached::Accepted } else { Reached::Refused }
}

struct World {
    memory: Memory,
    orders: u32,
    now: i64,
    sold: bool,
}

impl World {
    fn step(&mut self, [what, which, amount, time]: [u8; 4]) {
        self.now += [0, 0, 8 * DAY, 1, 999, 59_999, 60_000, HOUR][usize::from(time % 8)];
        let command = self.command(what, which, amount);
        let now = Millis::new(self.now);
        let early = early_refusal(&self.memory, &command, now, None);
        let mut twin = self.memory.clone();
        let step = self.memory.step(&command, now);
        if let Some(early) = early {
            assert_eq!(step.outcome, Outcome::Refused(early), "{command:?}");
        }
        assert_eq!(twin.step(&command, now), step, "decided twice, differently");
        assert_eq!(twin, self.memory, "applied twice, differently");
        let Ok(broken) = check(&self.memory);
        assert!(broken.is_empty(), "{broken:?} after {command:?}");
        self.count_anew();
        self.check_outcome(&command, &step.outcome);
        self.check_repeat(&command, &step.outcome);
    }

    fn command(&mut self, what: u8, which: u8, amount: u8) -> Command {
        let pool = POOLS[usize::from(which) % 3];
        let sale = 1 + which % 2;
        let id = 1 + u32::from(which) % self.orders;
        let (units, quantity) = (u32::from(amount % 4), 1 + u64::from(amount % 4));
        let buyer = customer(which / 3 % 5);
        let (actor, action) = match what % 16 {
            0..=5 => {
                self.orders += 1;
                let second = (POOLS[usize::from(amount / 4) % 3], 1);
                let lines = [(pool, units), second];
                let count = if amount >= 128 { 2 } else { 1 };
                (buyer, order(self.orders, &lines[..count]))
            }
            6 => (STAFF, cancel(id)),
            7 => (buyer, cancel(id)),
            8 => (Actor::Node, settle(id, captured(amount))),
            9 => (STAFF, settle(id, Settlement::PaidOutside { reference: None })),
            10 => (Actor::Node, settle(id, declined())),
            11 => (STAFF, adjust(pool, ADJUSTMENTS[usize::from(amount / 4) % 4], quantity)),
            12 => (STAFF, allot(sale, ALLOTMENTS[usize::from(amount / 4) % 3], quantity)),
            13 if amount < 128 => (STAFF, pause(sale)),
            13 => (STAFF, resume(sale)),
            14 => (STAFF, close(sale)),
            _ => (Actor::Node, Action::Tick(Tick)),
        };
        let keyed = what >= 128 && matches!(actor, Actor::User { .. });
        let receipt = keyed.then(|| key(which, what));
        Command { actor, receipt, action }
    }

    /// The naive opinion keeps no accounts: it adds up the lines of all orders.
    fn count_anew(&self) {
        let units = |pool: PoolId, wanted: fn(Status) -> bool| -> u64 {
            let orders = self.memory.orders().filter(|order| wanted(order.status));
            let lines = orders.flat_map(|order| &order.lines).filter(|line| line.pool == pool);
            lines.map(|line| u64::from(line.quantity)).sum()
        };
        for row in self.memory.pools() {
            let held = units(row.id, |status| status == Status::PaymentPending);
            let sold = units(row.id, Status::is_sold);
            assert_eq!((row.accounts.held, row.accounts.sold), (held, sold), "{:?}", row.id);
        }
    }

    fn check_outcome(&mut self, command: &Command, outcome: &Outcome) {
        let Action::OrderCreate(ask) = &command.action else { return };
        match outcome {
            Outcome::Done(Done::Order(_)) => self.sold = true,
            Outcome::Refused(Refusal::SoldOut { pool, .. }) => {
                let wanted: u64 = ask
                    .lines
                    .iter()
                    .filter(|line| line.target == *pool)
                    .map(|line| u64::from(line.quantity))
                    .sum();
                let left = self.memory.pool(*pool).expect("a pool that is sold out").accounts;
                assert!(left.available < wanted || command.receipt.is_some(), "{left:?}");
            }
            Outcome::Done(_) | Outcome::Refused(_) => {}
        }
    }

    fn check_repeat(&self, command: &Command, outcome: &Outcome) {
        let Some(key) = command.receipt else { return };
        let Some((receipt, _)) = find_receipt(&self.memory, key.scope) else { return };
        if receipt.key.fingerprint != key.fingerprint {
            assert_eq!(*outcome, Outcome::Refused(Refusal::IdempotencyKeyReused));
            return;
        }
        let stamp = Stamp { revision: Revision::new(u64::MAX), now: Millis::new(self.now) };
        let again = decide(&self.memory, command, stamp).answer;
        let Answer::Replayed { outcome: stored, .. } = &again else { panic!("{again:?}") };
        assert_eq!(memory::decode(stored), *outcome, "another answer for the same key");
    }
}

const ADJUSTMENTS: [Adjustment; 4] =
    [Adjustment::In, Adjustment::Out, Adjustment::Scrap, Adjustment::Unscrap];

const ALLOTMENTS: [Allotment; 3] =
    [Allotment::UpFromGeneral, Allotment::UpFromNew, Allotment::Down];

fn captured(amount: u8) -> Settlement {
    // Mostly what one or two units cost, sometimes a won too much.
    let amount = i64::from(1 + amount % 2) * 15_000 + i64::from(amount >= 240);
    Settlement::Captured { provider_ref: format!("cap_{amount}"), amount }
}

fn declined() -> Settlement {
    Settlement::Declined { code: "declined".to_owned() }
}
