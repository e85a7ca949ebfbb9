//! The audit log: what staff did, in a chain.

use firstcome_domain::audit::{AuditEntry, AuditHead};
use firstcome_domain::command::*;
use firstcome_domain::invariant::{Rule, check};
use firstcome_domain::outcome::Kind;
use firstcome_domain::testing::memory::Memory;
use firstcome_domain::value::{SEALED_BYTES_MAX, Sealed};
use firstcome_domain::{Refusal, UserId, View as _};

use crate::shop::*;

fn reveal(id: u128, bytes: usize) -> Action {
    Action::OrderReveal(OrderReveal { id: oid(id), reason: Sealed(vec![9; bytes]) })
}

/// Who did what to what, oldest first.
fn log(shop: &Shop) -> Vec<(u128, String, String)> {
    let entries = shop.memory.all::<AuditEntry>();
    entries.map(|row| (row.actor.get(), row.action.clone(), row.target.clone())).collect()
}

#[test]
fn staff_are_in_the_log_with_what_they_did_and_customers_are_not() {
    let mut shop = Shop::with_sale(3);
    shop.order(1, S, 1);
    shop.cancel(1);
    shop.order(2, S, 1);
    shop.pay(2);
    shop.done(SUPPORT, Action::OrderShip(OrderShip { id: oid(2), tracking_no: None }));
    let denied = shop.refused(SUPPORT, Action::ProductCreate(product_of(PRODUCT, 1)));
    assert_eq!(denied, Refusal::PermissionDenied);
    let (product, sale, order) = (PRODUCT.to_string(), SALE.to_string(), oid(2).to_string());
    assert_eq!(
        log(&shop),
        [
            (900, "ProductCreate".to_owned(), product),
            (900, "SaleCreate".to_owned(), sale),
            (901, "OrderShip".to_owned(), order),
        ]
    );
}

#[test]
fn a_reveal_changes_nothing_but_the_log_and_says_why() {
    let mut shop = Shop::with_sale(3);
    let order = shop.order(1, S, 1);
    let step = shop.ask(SUPPORT, reveal(1, 40));
    assert_eq!((writes::<AuditEntry>(&step.changes), step.changes.len()), (1, 2));
    assert_eq!(shop.row(1), order);
    let entry = shop.memory.all::<AuditEntry>().last().unwrap().clone();
    assert_eq!(entry.reason, Some(Sealed(vec![9; 40])));
    for bytes in [0, SEALED_BYTES_MAX + 1] {
        assert_eq!(shop.code(SUPPORT, reveal(1, bytes)), "invalid_field");
    }
    assert_eq!(shop.refused(SUPPORT, reveal(2, 1)), Refusal::NotFound(Kind::Order));
    assert_eq!(shop.refused(customer(1), reveal(1, 1)), Refusal::PermissionDenied);
    let user = Action::UserReveal(UserReveal { id: UserId::new(7), reason: Sealed(vec![9]) });
    assert_eq!(shop.refused(SUPPORT, user), Refusal::NotFound(Kind::User));
    assert_eq!(log(&shop).len(), 3);
}

#[test]
fn a_repeat_with_its_key_is_one_entry() {
    let mut shop = Shop::with_sale(3);
    shop.order(1, S, 1);
    shop.ask_with_key(SUPPORT, key(1, 1), reveal(1, 40));
    let again = shop.ask_with_key(SUPPORT, key(1, 1), reveal(1, 41));
    assert!(again.replayed);
    assert_eq!(log(&shop).len(), 3);
}

/// Four entries.
fn busy() -> Memory {
    let mut shop = Shop::with_sale(3);
    shop.done(STAFF, pause(SALE));
    shop.done(STAFF, resume(SALE));
    shop.memory
}

fn broken(change: impl FnOnce(&mut Memory)) -> bool {
    let mut memory = busy();
    change(&mut memory);
    let Ok(violations) = check(&memory);
    violations.iter().any(|violation| violation.rule == Rule::U3)
}

fn entry(memory: &Memory, seq: u64) -> AuditEntry {
    (*memory.get::<AuditEntry>(seq).unwrap()).clone()
}

#[test]
fn audit_chain_detects_edit() {
    assert!(!broken(|_| ()));
    let edits: [fn(&mut AuditEntry); 7] = [
        |entry| entry.actor = UserId::new(1),
        |entry| entry.action = "SaleClose".to_owned(),
        |entry| entry.target.push('x'),
        |entry| entry.reason = Some(Sealed(vec![1])),
        |entry| entry.stamp.now = firstcome_domain::Millis::new(9),
        |entry| entry.previous[3] ^= 1,
        |entry| entry.hash[3] ^= 1,
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        let changed = |seq| {
            move |memory: &mut Memory| {
                let mut entry = entry(memory, seq);
                edit(&mut entry);
                memory.put(entry);
            }
        };
        assert!(broken(changed(2)), "edit {at}");
        assert!(broken(changed(4)), "edit {at} of the last entry");
        // One who computes the hash of the changed entry anew breaks the next one, or the head.
        for seq in [2, 4] {
            let consistent = move |memory: &mut Memory| {
                let mut entry = entry(memory, seq);
                edit(&mut entry);
                entry.hash = entry.chained();
                memory.put(entry);
            };
            assert!(broken(consistent) || at == 6, "edit {at} of {seq} with its hash");
        }
    }
    // What belongs to one field does not pass for the next.
    let mut one = entry(&busy(), 2);
    let before = one.chained();
    let moved = one.target.remove(0);
    one.action.push(moved);
    assert_ne!(one.chained(), before);
    assert!(broken(|memory| memory.put(AuditHead::default())));
}
