//! Saved addresses: their limits, their default, and what orders keep of them.

use firstcome_domain::address::Address;
use firstcome_domain::command::*;
use firstcome_domain::outcome::{Done, Kind};
use firstcome_domain::value::{ADDRESSES_MAX, SEALED_BYTES_MAX, Sealed};
use firstcome_domain::{
    AddressId, Millis, Outcome, ProductId, Refusal, Revision, Stamp, UserId, decide, early_refusal,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::shop::*;

fn address_in(done: Done) -> Address {
    match done {
        Done::Address(address) => (*address).clone(),
        other => panic!("not an address: {other:?}"),
    }
}

/// Id, length of the body, whether it is the default: a customer's addresses, oldest first.
fn list(shop: &Shop, customer: u128) -> Vec<(u128, usize, bool)> {
    let rows = shop.memory.all::<Address>();
    let mut own: Vec<_> = rows.filter(|row| row.customer == UserId::new(customer)).collect();
    own.sort_by_key(|row| row.row.created.revision);
    own.iter().map(|row| (row.id.get(), row.body.0.len(), row.is_default)).collect()
}

fn too_long(pointer: &str) -> Refusal {
    Refusal::InvalidField { pointer: pointer.into(), code: "too_long".into() }
}

#[test]
fn a_customer_has_a_bounded_number_of_addresses() {
    let mut shop = Shop::empty();
    for id in 1..=u128::try_from(ADDRESSES_MAX).unwrap() {
        shop.done(customer(1), save(id, 3));
    }
    assert_eq!(shop.refused(customer(1), save(99, 3)), Refusal::AddressLimit);
    shop.done(customer(1), change(7, 1, 4, true));
    shop.done(customer(2), save(99, 3));
    shop.done(customer(1), discard(8));
    shop.done(customer(1), save(99, 3));
    assert_eq!(list(&shop, 1).len(), ADDRESSES_MAX);
}

#[test]
fn a_body_is_as_long_as_a_sealed_value_may_be() {
    let mut shop = Shop::empty();
    let (most, more) = (SEALED_BYTES_MAX, SEALED_BYTES_MAX + 1);
    assert_eq!(shop.refused(customer(1), save(1, more)), too_long(""));
    shop.done(customer(1), save(1, most));
    assert_eq!(shop.refused(customer(1), change(1, 1, more, true)), too_long(""));
    shop.done(customer(1), change(1, 1, most, true));
    assert_eq!(list(&shop, 1), [(1, most, true)]);
    assert_eq!(shop.refused(Actor::Node, save(2, 1)), Refusal::PermissionDenied);
}

#[test]
fn an_id_names_one_address_of_a_customer() {
    let mut shop = Shop::empty();
    let first = address_in(shop.done(customer(1), save(1, 3)));
    assert_eq!((first.is_default, first.row.version), (true, 1));
    assert_eq!(shop.refused(customer(1), save(1, 4)), Refusal::IdInUse);
    shop.done(customer(2), save(1, 5));
    shop.done(customer(2), discard(1));
    assert_eq!(list(&shop, 1), [(1, 3, true)]);
    shop.done(customer(1), discard(1));
    assert_eq!(shop.refused(customer(1), discard(1)), Refusal::NotFound(Kind::Address));
}

#[test]
fn a_change_of_another_version_is_refused() {
    let mut shop = Shop::empty();
    shop.done(customer(1), save(1, 3));
    shop.done(customer(1), save(2, 3));
    let second = address_in(shop.done(customer(1), change(2, 1, 4, false)));
    assert_eq!((second.row.version, second.is_default), (2, false));
    let stale = Refusal::VersionMismatch { current: 2 };
    assert_eq!(shop.refused(customer(1), change(2, 1, 5, true)), stale);
    let remove = |if_version| {
        Action::AddressRemove(AddressRemove { id: AddressId::new(2), if_version: Some(if_version) })
    };
    assert_eq!(shop.refused(customer(1), remove(1)), stale);
    assert_eq!(list(&shop, 1), [(1, 3, true), (2, 4, false)]);
    // Losing the default is a change of the row, too.
    shop.done(customer(1), change(2, 2, 4, true));
    let stale = Refusal::VersionMismatch { current: 2 };
    assert_eq!(shop.refused(customer(1), change(1, 1, 5, false)), stale);
    shop.done(customer(1), remove(3));
    assert_eq!(list(&shop, 1), [(1, 3, true)]);
}

#[test]
fn the_default_moves_in_one_entry() {
    let mut shop = Shop::empty();
    for id in 1..=3 {
        shop.done(customer(1), save(id, 3));
    }
    let step = shop.ask(customer(1), change(3, 1, 4, true));
    assert_eq!(writes::<Address>(&step.changes), 2, "the one that gets it, the one that loses it");
    let step = shop.ask(customer(1), change(3, 2, 4, true));
    assert_eq!(writes::<Address>(&step.changes), 1, "it has it already");
    let step = shop.ask(customer(1), discard(3));
    assert_eq!((writes::<Address>(&step.changes), step.changes.len()), (1, 2));
    let step = shop.ask(customer(1), discard(2));
    assert_eq!((writes::<Address>(&step.changes), step.changes.len()), (0, 1));
}

#[test]
fn a_repeat_with_its_key_saves_no_second_address() {
    let mut shop = Shop::empty();
    let first = shop.ask_with_key(customer(1), key(1, 1), save(1, 3));
    shop.done(customer(1), change(1, 1, 4, false));
    // A retry through another node has another id and is sealed anew.
    let again = shop.ask_with_key(customer(1), key(1, 1), save(2, 5));
    assert!(again.replayed && again.outcome == first.outcome && again.changes.is_empty());
    assert_eq!(list(&shop, 1), [(1, 4, true)]);
}

#[test]
fn an_order_keeps_the_address_as_it_was() {
    let mut shop = Shop::with_sale(2);
    shop.done(customer(1), save(1, 3));
    shop.done(customer(1), wish(P, 1));
    shop.done(customer(1), to_saved(order_of(1, &[(S, 1)]), 1));
    shop.done(customer(1), change(1, 1, 9, false));
    shop.done(customer(1), to_saved(order_wishes(2), 1));
    shop.done(customer(1), discard(1));
    let sent_to = |id| shop.row(id).address;
    assert_eq!((sent_to(1), sent_to(2)), (Some(Sealed(vec![7; 3])), Some(Sealed(vec![7; 9]))));
    let gone = shop.refused(customer(1), to_saved(order_of(3, &[(P, 1)]), 1));
    assert_eq!(gone, Refusal::NotFound(Kind::Address));
}

/// The address is a named row: checked after the targets, before what depends on stock and time.
#[test]
fn an_unknown_address_is_refused_in_its_place() {
    let mut shop = Shop::with_sale(0);
    let nobodys = |lines: &[_]| to_saved(order_of(1, lines), 9);
    let absent = Refusal::NotFound(Kind::Address);
    assert_eq!(shop.refused(customer(1), nobodys(&[(S, 1)])), absent, "not sold_out");
    assert_eq!(shop.refused(customer(1), nobodys(&[(P, 60), (P, 60)])), absent);
    let unknown = firstcome_domain::stock::PoolId::Product(ProductId::new(77));
    let refusal = shop.refused(customer(1), nobodys(&[(unknown, 1)]));
    assert_eq!(refusal, Refusal::NotFound(Kind::Product));
    let free = ProductCreate { no_shipping: true, ..product_of(ProductId::new(2), 5) };
    shop.done(STAFF, Action::ProductCreate(free));
    let free = firstcome_domain::stock::PoolId::Product(ProductId::new(2));
    assert_eq!(shop.refused(customer(1), nobodys(&[(free, 1)])), absent, "needed or not");

    let action = nobodys(&[(S, 1)]);
    let command = Command { actor: customer(1), receipt: None, action };
    let early = early_refusal(&shop.memory, &command, Millis::new(0), None).unwrap();
    assert_eq!(early, absent);
    assert!(early.needs_current_rows(), "the address may have been saved a moment ago");
}

/// The cost does not depend on how many customers there are.
#[test]
fn commands_read_the_addresses_of_one_customer_only() {
    let mut shop = Shop::empty();
    for id in 0..60 {
        shop.done(customer(id % 6), save(id, 3));
    }
    for action in [save(99, 3), change(3, 1, 4, true), discard(3)] {
        let rows = Counting::new(&shop.memory);
        let command = Command { actor: customer(3), receipt: None, action };
        let stamp = Stamp { revision: Revision::new(1_000), now: Millis::new(0) };
        decide(&rows, &command, stamp);
        let reads = rows.reads.take();
        let own = reads.iter().filter(|read| read.starts_with("address"));
        assert!((1..=12).contains(&own.count()), "{reads:?}");
    }
}

/// What a customer does; `id` and `version` may be wrong.
#[derive(Clone, Debug)]
enum Deed {
    Save { id: u128 },
    Change { id: u128, stale: bool, make_default: bool },
    Discard { id: u128 },
}

fn deeds() -> impl Strategy<Value = Vec<(u128, Deed)>> {
    let deed = prop_oneof![
        3 => (0..25_u128).prop_map(|id| Deed::Save { id }),
        3 => (0..25_u128, prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(id, stale, make_default)| Deed::Change { id, stale, make_default }),
        1 => (0..25_u128).prop_map(|id| Deed::Discard { id }),
    ];
    prop::collection::vec((1..=2_u128, deed), 1..120)
}

/// The same rules, told by lists: per customer ids oldest first, and the id of the default.
#[derive(Default)]
struct Model {
    saved: [Vec<u128>; 3],
    default: [Option<u128>; 3],
}

impl Model {
    fn apply(&mut self, who: usize, deed: &Deed) -> &'static str {
        let (saved, default) = (&mut self.saved[who], &mut self.default[who]);
        match *deed {
            Deed::Save { .. } if saved.len() == ADDRESSES_MAX => "address_limit",
            Deed::Save { id } if saved.contains(&id) => "id_in_use",
            Deed::Save { id } => {
                saved.push(id);
                default.get_or_insert(id);
                "done"
            }
            Deed::Change { id, .. } | Deed::Discard { id } if !saved.contains(&id) => "not_found",
            Deed::Change { stale: true, .. } => "version_mismatch",
            Deed::Change { id, make_default, .. } => {
                if make_default {
                    *default = Some(id);
                }
                "done"
            }
            Deed::Discard { id } => {
                saved.retain(|other| *other != id);
                if *default == Some(id) {
                    *default = saved.first().copied();
                }
                "done"
            }
        }
    }
}

/// Two customers race for defaults with the same ids, in every order the log may put it.
/// `Shop::ask` checks after each entry that each of them has exactly one.
#[test]
fn there_is_one_default_after_any_sequence() {
    let config = Config { failure_persistence: None, ..Config::default() };
    let property = |deeds: Vec<(u128, Deed)>| {
        let (mut shop, mut model) = (Shop::empty(), Model::default());
        for (who, deed) in deeds {
            let action = match deed {
                Deed::Save { id } => save(id, 3),
                Deed::Change { id, stale, make_default } => {
                    let mut rows = shop.memory.all::<Address>();
                    let key = (UserId::new(who), AddressId::new(id));
                    let row = rows.find(|row| (row.customer, row.id) == key);
                    let version = row.map_or(1, |row| row.row.version);
                    change(id, version + u64::from(stale), 4, make_default)
                }
                Deed::Discard { id } => discard(id),
            };
            let place = usize::try_from(who).unwrap();
            prop_assert_eq!(shop.code(customer(who), action), model.apply(place, &deed));
            let ids: Vec<_> = list(&shop, who).into_iter().map(|(id, ..)| id).collect();
            prop_assert_eq!(&ids, &model.saved[place]);
            let default = list(&shop, who).into_iter().find(|(.., is_default)| *is_default);
            prop_assert_eq!(default.map(|(id, ..)| id), model.default[place]);
        }
        Ok(())
    };
    TestRunner::new(config).run(&deeds(), property).unwrap();
}

/// All devices of a customer ask at once, each for another address and with the version it has
/// seen. The last one in the log sets the default, and no request is refused.
#[test]
fn the_last_one_to_ask_has_the_default() {
    let mut shop = Shop::empty();
    for id in 0..5 {
        shop.done(customer(1), save(id, 3));
    }
    for id in [3, 1, 4, 2] {
        let outcome = shop.ask(customer(1), change(id, 1, 3, true)).outcome;
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        let default = list(&shop, 1).into_iter().find(|(.., is_default)| *is_default).unwrap();
        assert_eq!(default.0, id);
    }
}
