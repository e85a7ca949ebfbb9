//! The checker itself: each invariant is broken once by hand, and the checker must say so.

use firstcome_domain::address::Address;
use firstcome_domain::invariant::{Rule, check};
use firstcome_domain::journal::{Journal, LedgerEntry};
use firstcome_domain::order::{Order, PaymentStatus, Refund, Status};
use firstcome_domain::session::Session;
use firstcome_domain::stock::{Account, Accounts, Movement, Pool, PoolId, Reason, Usage};
use firstcome_domain::testing::memory::{Look as _, Memory};
use firstcome_domain::user::User;
use firstcome_domain::value::Revision;
use firstcome_domain::{Actor, Millis, ProductId, SessionId, Stamp, UserId, View as _};

use crate::shop::*;

/// One unpaid order (1), one paid (2), one expired (3), and units left.
fn busy() -> Memory {
    let mut shop = Shop::with_sale(5);
    shop.order(3, S, 1);
    shop.now = PAY_WITHIN;
    shop.tick();
    shop.order(1, S, 1);
    shop.order(2, S, 1);
    shop.pay(2);
    shop.memory
}

fn rules(memory: &Memory) -> Vec<Rule> {
    let Ok(violations) = check(memory);
    let mut rules: Vec<_> = violations.iter().map(|violation| violation.rule).collect();
    rules.dedup();
    rules
}

fn order(memory: &Memory, id: u128) -> Order {
    (*memory.order(oid(id)).unwrap()).clone()
}

fn movements(memory: &Memory) -> impl Iterator<Item = LedgerEntry> {
    memory.journal().flat_map(|row| row.movements.clone())
}

/// Enters one more movement into the ledger, without rules.
fn enter(memory: &mut Memory, entry: LedgerEntry) {
    memory.put(Journal {
        stamp: Stamp { revision: Revision::new(999), now: Millis::new(0) },
        actor: Actor::Node,
        receipt: None,
        movements: vec![entry],
        facts: Vec::new(),
    });
}

fn with_pool(change: impl FnOnce(&mut Pool)) -> Memory {
    let mut memory = busy();
    let mut pool = *memory.pool(S).unwrap();
    change(&mut pool);
    memory.put(pool);
    memory
}

#[test]
fn a_sound_state_has_no_violations() {
    assert_eq!(rules(&busy()), []);
}

#[test]
fn s01_units_from_nowhere_are_found() {
    let memory = with_pool(|pool| pool.accounts.scrapped += 1);
    assert_eq!(rules(&memory), [Rule::S1, Rule::S2]);
}

#[test]
fn s01_no_account_gives_what_it_has_not() {
    let movement = |from, to| Movement { from, to, quantity: 2, reason: Reason::Hold };
    let some = Accounts { available: 1, held: u64::MAX, ..Accounts::default() };
    assert_eq!(some.after(movement(Account::Available, Account::Sold)), None);
    assert_eq!(some.after(movement(Account::Outside, Account::Held)), None);
    assert!(some.after(movement(Account::Held, Account::Outside)).is_some());
}

#[test]
fn s01_a_ledger_without_its_pool_is_found() {
    let mut memory = busy();
    let first = movements(&memory).next().unwrap();
    enter(&mut memory, LedgerEntry { pool: PoolId::Product(ProductId::new(404)), ..first });
    assert_eq!(rules(&memory), [Rule::S1]);
}

#[test]
fn s02_an_account_off_its_ledger_is_found() {
    let memory = with_pool(|pool| {
        pool.accounts.available -= 1;
        pool.accounts.scrapped += 1;
    });
    assert_eq!(rules(&memory), [Rule::S2], "the sum still fits");
}

#[test]
fn s03_held_units_without_an_unpaid_order_are_found() {
    let memory = with_pool(|pool| {
        pool.accounts.available -= 1;
        pool.accounts.held += 1;
    });
    assert_eq!(rules(&memory), [Rule::S2, Rule::S3]);
}

#[test]
fn s04_sold_units_without_a_paid_order_are_found() {
    let memory = with_pool(|pool| {
        pool.accounts.available -= 1;
        pool.accounts.sold += 1;
    });
    assert_eq!(rules(&memory), [Rule::S2, Rule::S4]);
}

#[test]
fn s05_a_wrong_usage_is_found() {
    let wrong = |change: fn(&mut Usage)| {
        let mut memory = busy();
        let mut usage = *memory.usage(SALE, UserId::new(1)).unwrap();
        change(&mut usage);
        memory.put(usage);
        rules(&memory)
    };
    assert_eq!(wrong(|usage| usage.used = 0), [Rule::S5]);
    assert_eq!(wrong(|usage| usage.holding = None), [Rule::S5]);
    assert_eq!(wrong(|usage| usage.customer = UserId::new(55)), [Rule::S5]);
}

#[test]
fn s05_units_without_a_usage_are_found() {
    let mut memory = busy();
    let mut order = order(&memory, 1);
    order.customer = UserId::new(55);
    memory.put(order);
    let Ok(violations) = check(&memory);
    let details: Vec<_> = violations.iter().map(|violation| violation.detail.as_str()).collect();
    assert!(details.iter().any(|detail| detail.contains("but no usage")), "{details:?}");
}

#[test]
fn s06_oversold_units_are_found() {
    let memory = with_pool(|pool| {
        pool.accounts.available = 0;
        pool.accounts.held = 9;
    });
    assert!(rules(&memory).contains(&Rule::S6));
}

#[test]
fn s09_a_released_order_that_holds_again_is_found() {
    let mut memory = busy();
    let mut order = order(&memory, 3);
    order.status = Status::PaymentPending;
    order.due_at = order.pay_by;
    memory.put(order);
    assert!(rules(&memory).contains(&Rule::S9));
}

#[test]
fn s09_units_released_twice_are_found() {
    let mut memory = busy();
    let release = movements(&memory).find(|entry| entry.movement.reason == Reason::Release);
    enter(&mut memory, release.unwrap());
    assert!(rules(&memory).contains(&Rule::S9));
}

#[test]
fn s09_wrong_timers_are_found() {
    let with_timer = |id, due_at| {
        let mut memory = busy();
        let mut order = order(&memory, id);
        order.due_at = due_at;
        memory.put(order);
        rules(&memory)
    };
    assert_eq!(with_timer(1, None), [Rule::S9], "an unpaid order waits for its pay_by");
    assert_eq!(with_timer(3, Some(Millis::new(5))), [Rule::S9], "a terminal one for nothing");
    assert_eq!(with_timer(2, None), [], "shipping may wait for staff alone");
    let mut memory = busy();
    let mut order = order(&memory, 1);
    order.pay_by = order.pay_by.map(|at| at.plus(1));
    memory.put(order);
    assert_eq!(rules(&memory), [Rule::S9], "an unpaid order has another timer than its pay_by");
}

#[test]
fn s09_movements_of_no_order_are_found() {
    let mut memory = busy();
    let pays = |entry: &LedgerEntry| entry.movement.reason == Reason::Pay;
    let row = memory.journal().find(|row| row.movements.iter().any(pays)).unwrap();
    let mut row = row.clone();
    row.movements.iter_mut().find(|entry| pays(entry)).unwrap().order = Some(oid(404));
    memory.put(row);
    assert!(rules(&memory).contains(&Rule::S9));
}

#[test]
fn s10_an_unpaid_payment_of_a_paid_order_is_found() {
    let mut memory = busy();
    let mut order = order(&memory, 2);
    order.payment.status = PaymentStatus::Pending;
    memory.put(order);
    assert_eq!(rules(&memory), [Rule::S10]);
}

#[test]
fn s11_money_kept_for_nothing_is_found() {
    let mut memory = busy();
    let mut order = order(&memory, 2);
    order.payment.captures[0].refund = Refund::Pending;
    memory.put(order.clone());
    assert_eq!(rules(&memory), [Rule::S11], "sold, but the money goes back");
    order.payment.captures[0].refund = Refund::None;
    order.payment.captures.push(order.payment.captures[0].clone());
    memory.put(order);
    assert_eq!(rules(&memory), [Rule::S11], "a second capture that stays");
}

#[test]
fn s12_leftover_in_a_closed_sale_is_found() {
    let mut memory = busy();
    let mut sale = (*memory.sale(SALE).unwrap()).clone();
    sale.closed = true;
    memory.put(sale);
    assert_eq!(rules(&memory), [Rule::S12]);
}

#[test]
fn a1_none_or_two_default_addresses_are_found() {
    let mut shop = Shop::empty();
    shop.done(customer(1), save(1, 3));
    shop.done(customer(1), save(2, 3));
    shop.done(customer(2), save(1, 3));
    assert_eq!(rules(&shop.memory), []);
    let address = |id| {
        let mut own = shop.memory.all::<Address>().filter(|row| row.customer == UserId::new(1));
        own.find(|row| row.id.get() == id).unwrap().clone()
    };
    for (id, is_default) in [(1, false), (2, true)] {
        let mut memory = shop.memory.clone();
        memory.put(Address { is_default, ..address(id) });
        assert_eq!(rules(&memory), [Rule::A1]);
    }
}

#[test]
fn u1_and_u2_addresses_are_unique_and_logins_few() {
    let user = |id: u128, email: u8| {
        let account = Some(account(email));
        User { account, ..User::unknown(UserId::new(id)) }
    };
    let mut memory = busy();
    memory.put(user(1, 1));
    memory.put(user(2, 2));
    assert_eq!(rules(&memory), []);
    memory.put(user(3, 2));
    assert_eq!(rules(&memory), [Rule::U1]);

    let mut shop = Shop::empty();
    shop.memory.put(user(1, 1));
    for session in 1..=10 {
        shop.done(Actor::Anyone, open_session(session, 1, 1));
    }
    let mut memory = shop.memory;
    let session = memory.get::<Session>(SessionId::new(1)).unwrap();
    memory.put(Session { id: SessionId::new(99), ..(*session).clone() });
    assert_eq!(rules(&memory), [Rule::U2]);
}
