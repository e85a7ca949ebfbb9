//! The keyring: versions of the master key become known, active, known again, and retired.

use firstcome_domain::command::*;
use firstcome_domain::keyring::{ClusterKey, Keyring, MasterState};
use firstcome_domain::outcome::{Done, Kind};
use firstcome_domain::value::Sealed;
use firstcome_domain::{AddressId, Millis, OrderId, Refusal};

use crate::shop::*;

fn report(node: u64, versions: &[u32]) -> Action {
    let versions = versions.iter().copied().map(version).collect();
    Action::MasterVersionAdd(MasterVersionAdd { node, versions })
}

fn activate(number: u32, members: &[u64]) -> Action {
    let (members, keys) = (members.to_vec(), wrapped_by(number));
    Action::MasterVersionActivate(MasterVersionActivate { number, members, keys })
}

/// Keys of a cluster.
const KEYS: u32 = 5;

const fn retire(number: u32) -> Action {
    Action::MasterVersionRetire(MasterVersionRetire { number })
}

fn keyring_in(done: Done) -> Keyring {
    match done {
        Done::Keyring(keyring) => *keyring,
        other => panic!("not a keyring: {other:?}"),
    }
}

/// Number, state and nodes of each version.
fn versions(shop: &Shop) -> Vec<(u32, MasterState, Vec<u64>)> {
    let keyring = shop.memory.all::<Keyring>().next().cloned().unwrap_or_default();
    let versions = keyring.versions.into_iter();
    versions.map(|version| (version.number, version.state, version.nodes)).collect()
}

/// Three nodes with version 1, and a new version on all of them.
fn with_two_versions() -> Shop {
    let mut shop = Shop::empty();
    shop.done(Actor::Node, first_keyring(1, &[1]));
    for node in [1, 2, 3] {
        shop.done(Actor::Node, report(node, &[1, 2]));
    }
    shop
}

#[test]
fn the_first_keyring_wins() {
    let mut shop = Shop::empty();
    let first = keyring_in(shop.done(Actor::Node, first_keyring(1, &[4, 5])));
    let other = Action::KeyringCreate(KeyringCreate {
        node: 2,
        versions: vec![version(9)],
        keys: vec![ClusterKey { wrapped: Sealed(vec![6; 66]), ..wrapped_by(9).remove(0) }],
    });
    assert_eq!(keyring_in(shop.done(Actor::Node, other)), first, "it changes nothing");
    let expected = vec![(4, MasterState::Active, vec![1]), (5, MasterState::Known, vec![1])];
    assert_eq!(versions(&shop), expected);
}

#[test]
fn a_keyring_without_versions_or_keys_or_with_foreign_keys_is_refused() {
    let create = |versions: &[u32], keys| {
        let versions = versions.iter().copied().map(version).collect();
        Action::KeyringCreate(KeyringCreate { node: 1, versions, keys })
    };
    let long = ClusterKey { wrapped: Sealed(vec![0; 2049]), ..wrapped_by(1).remove(0) };
    let empty = ClusterKey { wrapped: Sealed(Vec::new()), ..wrapped_by(1).remove(0) };
    let mut shop = Shop::empty();
    for bad in [
        create(&[], wrapped_by(1)),
        create(&[0], wrapped_by(0)),
        create(&[2, 1], wrapped_by(1)),
        create(&[1, 1], wrapped_by(1)),
        create(&[1], Vec::new()),
        create(&[1], wrapped_by(2)),
        create(&[1, 2], [wrapped_by(1), wrapped_by(2)].concat()),
        create(&[1], vec![long]),
        create(&[1], vec![empty]),
        create(&(1..=257).collect::<Vec<_>>(), wrapped_by(1)),
    ] {
        assert_eq!(shop.code(Actor::Node, bad), "invalid_field");
    }
    assert_eq!(versions(&shop), []);
}

#[test]
fn only_nodes_report_and_only_admins_change() {
    let mut shop = with_two_versions();
    for actor in [customer(1), SUPPORT, STAFF] {
        for action in [first_keyring(1, &[1]), report(1, &[1]), activate(2, &[1]), retire(1)] {
            assert_eq!(shop.refused(actor, action), Refusal::PermissionDenied);
        }
    }
    for action in [first_keyring(1, &[1]), report(1, &[1])] {
        assert_eq!(shop.refused(ADMIN, action), Refusal::PermissionDenied);
    }
    for action in [activate(2, &[1]), retire(1)] {
        assert_eq!(shop.refused(Actor::Node, action), Refusal::PermissionDenied);
    }
}

#[test]
fn a_report_says_all_that_a_node_has() {
    let mut shop = with_two_versions();
    shop.done(Actor::Node, report(2, &[2, 7]));
    let expected = vec![
        (1, MasterState::Active, vec![1, 3]),
        (2, MasterState::Known, vec![1, 2, 3]),
        (7, MasterState::Known, vec![2]),
    ];
    assert_eq!(versions(&shop), expected);
}

#[test]
fn another_key_under_a_known_number_is_refused() {
    let mut shop = with_two_versions();
    let other = MasterCheck { check: [99; 32], ..version(2) };
    let other = MasterVersionAdd { node: 4, versions: vec![version(1), other] };
    let refused = shop.refused(Actor::Node, Action::MasterVersionAdd(other));
    let Refusal::InvalidField { pointer, code } = refused else { panic!("{refused:?}") };
    assert_eq!((pointer.as_str(), code.as_str()), ("/versions", "mismatch"));
}

/// The ids of removed nodes stay until there are too many.
#[test]
fn a_member_with_a_low_id_is_not_forgotten_for_others_that_are_gone() {
    let mut shop = with_two_versions();
    for node in 4..200 {
        shop.done(Actor::Node, report(node, &[1, 2]));
    }
    for node in [1, 2, 3] {
        shop.done(Actor::Node, report(node, &[1, 2]));
    }
    assert!(versions(&shop).iter().all(|(_, _, nodes)| nodes.len() == 128));
    let step = shop.ask(Actor::Node, report(1, &[1, 2]));
    assert_eq!(step.changes.len(), 0, "it is known");
    shop.done(ADMIN, activate(2, &[1, 2, 3]));
}

#[test]
fn a_version_is_active_only_once_every_member_has_it() {
    let mut shop = with_two_versions();
    shop.done(Actor::Node, report(2, &[1]));
    let refused = shop.refused(ADMIN, activate(2, &[1, 2, 3, 4]));
    assert_eq!(refused, Refusal::KeyVersionMissing { nodes: vec![2, 4] });
    assert_eq!(shop.refused(ADMIN, activate(3, &[1])), Refusal::NotFound(Kind::MasterVersion));
    shop.done(Actor::Node, report(2, &[1, 2]));
    let keyring = keyring_in(shop.done(ADMIN, activate(2, &[1, 2, 3])));
    assert_eq!(keyring.active().map(|version| version.number), Some(2));
    assert_eq!((keyring.wrapped_by(1), keyring.wrapped_by(2)), (0, wrapped_by(2).len()));
    let again = keyring_in(shop.done(ADMIN, activate(2, &[1, 2, 3])));
    assert_eq!(again, keyring, "the second time changes nothing");
    let states: Vec<_> = versions(&shop).into_iter().map(|(_, state, _)| state).collect();
    assert_eq!(states, [MasterState::Known, MasterState::Active]);
}

#[test]
fn a_version_becomes_active_only_with_every_key_of_the_cluster() {
    let mut shop = with_two_versions();
    let with = |keys| {
        Action::MasterVersionActivate(MasterVersionActivate { number: 2, members: vec![1], keys })
    };
    let second = ClusterKey { number: 2, ..wrapped_by(2).remove(0) };
    for keys in
        [Vec::new(), wrapped_by(1), vec![second.clone()], [wrapped_by(2), vec![second]].concat()]
    {
        assert_eq!(shop.code(ADMIN, with(keys)), "invalid_field");
    }
    assert_eq!(versions(&shop)[0].1, MasterState::Active);
}

#[test]
fn a_version_is_retired_only_when_it_was_out_of_use_for_a_while() {
    let mut shop = with_two_versions();
    let active = Refusal::KeyVersionInUse { active: true, wrapped_keys: KEYS, not_before: None };
    assert_eq!(shop.refused(ADMIN, retire(1)), active);
    shop.now += MINUTE;
    shop.done(ADMIN, activate(2, &[1, 2, 3]));
    let free = shop.now + 10 * MINUTE;
    let lately = |at| {
        let not_before = Some(Millis::new(at));
        Refusal::KeyVersionInUse { active: false, wrapped_keys: 0, not_before }
    };
    assert_eq!(shop.refused(ADMIN, retire(1)), lately(free));
    shop.now = free - 1;
    assert_eq!(shop.refused(ADMIN, retire(1)), lately(free));
    shop.now = free;
    let retired = keyring_in(shop.done(ADMIN, retire(1)));
    assert_eq!(keyring_in(shop.done(ADMIN, retire(1))), retired, "the second time is no change");
    assert_eq!(shop.refused(ADMIN, activate(1, &[1, 2, 3])), Refusal::KeyVersionRetired);
    shop.done(Actor::Node, report(1, &[1, 2]));
    assert_eq!(versions(&shop)[0].1, MasterState::Retired, "a line in a file does not revive it");
    let other = MasterCheck { check: [99; 32], ..version(1) };
    let other = MasterVersionAdd { node: 4, versions: vec![other, version(2)] };
    shop.done(Actor::Node, Action::MasterVersionAdd(other));
    assert!(versions(&shop)[1].2.contains(&4), "nor does another key keep the rest from counting");
    assert_eq!(shop.refused(ADMIN, retire(9)), Refusal::NotFound(Kind::MasterVersion));
}

/// A node that lags behind may still seal with it.
#[test]
fn nothing_new_is_sealed_with_a_retired_version() {
    let mut shop = with_two_versions();
    shop.done(ADMIN, activate(2, &[1, 2, 3]));
    let body = |version: u8| Sealed(vec![1, 1, 0, 0, 0, version, 9, 9]);
    let add = |version: u8| {
        let id = AddressId::new(version.into());
        Action::AddressAdd(AddressAdd { id, body: body(version) })
    };
    shop.done(customer(1), add(1));
    shop.now += 10 * MINUTE;
    shop.done(ADMIN, retire(1));
    let address = Some(ShipTo::Sent(body(1)));
    let order = OrderCreate { id: OrderId::new(1), lines: vec![], address, expected_total: None };
    let update =
        AddressUpdate { id: AddressId::new(1), if_version: 1, body: body(1), make_default: false };
    for action in [add(1), Action::AddressUpdate(update), Action::OrderCreate(order)] {
        assert_eq!(shop.refused(customer(1), action), Refusal::KeyVersionRetired);
    }
    shop.done(customer(1), add(2));
}

#[test]
fn versions_are_bounded() {
    let mut shop = with_two_versions();
    let all: Vec<u32> = (1..=256).collect();
    shop.done(Actor::Node, report(1, &all));
    assert_eq!(shop.code(Actor::Node, report(2, &[257])), "invalid_field");
    assert_eq!(versions(&shop).len(), 256);
}

#[test]
fn a_keyring_of_an_earlier_release_gets_the_keys_it_lacks() {
    let mut shop = Shop::empty();
    let create = |keys: Vec<ClusterKey>| {
        let versions = vec![version(1), version(2)];
        Action::KeyringCreate(KeyringCreate { node: 1, versions, keys })
    };
    shop.done(Actor::Node, create(wrapped_by(1)[..1].to_vec()));
    assert_eq!(shop.code(Actor::Node, create(wrapped_by(2))), "invalid_field", "not active");
    let before = wrapped_by(1).remove(0);
    let keyring = keyring_in(shop.done(Actor::Node, create(wrapped_by(1))));
    assert_eq!(keyring.keys, wrapped_by(1));
    assert_eq!(keyring.keys[0], before);
    let step = shop.ask(Actor::Node, create(wrapped_by(1)));
    assert_eq!(step.changes.len(), 0, "nothing is lacking");
}
