//! A later release on files of this one, and what it leaves for this one to read or to refuse
//! (`../storage/next_build.rs`): `cargo test -p firstcome-storage --features next --test next`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shared;
#[path = "../storage/shop.rs"]
#[expect(dead_code, reason = "the other target uses more of it")]
mod shop;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use firstcome_domain::command::{FeatureLevelRaise, OrderAnnotate};
use firstcome_domain::id::OrderId;
use firstcome_domain::kernel::row::Row as _;
use firstcome_domain::kernel::version::{Level, RELEASE};
use firstcome_domain::next::index::{OrdersByProduct, OrdersByTotal};
use firstcome_domain::next::row::OrderNote;
use firstcome_domain::order::row::{Order, OrdersByTicket};
use firstcome_domain::stock::PoolId;
use firstcome_domain::value::Revision;
use firstcome_domain::{Action, Command, Done, Outcome, ProductId, Refusal, UserId, View as _};
use firstcome_storage::codec;
use firstcome_storage::inspect::Inspection;
use firstcome_storage::log::Entry;
use firstcome_storage::query::ReadView;
use firstcome_storage::state::{Committed, Decided};

use crate::shared::{
    FILES, FURTHER, Home, Node, further, golden, recorded, unhex, unlogged, updating,
};
use crate::shop::{buy, by_staff, committed, create_product, done, product, tick};

/// The level of notes.
const NOTES: Level = Level(2);

fn raise() -> Command {
    let release = RELEASE.to_owned();
    by_staff(Action::FeatureLevelRaise(FeatureLevelRaise { to: NOTES.0, release }))
}

fn annotate(order: OrderId) -> Command {
    let text = "called, wants it on Monday".to_owned();
    by_staff(Action::OrderAnnotate(OrderAnnotate { order, text }))
}

/// What a command led to, decided one second after the last one.
fn ask(node: &Node, command: Command) -> Decided {
    let applied = node.state.applied();
    let entry = committed(node.applied() + 1, applied.now.get() + 1_000, Some(command));
    node.apply(&entry).unwrap().remove(0)
}

fn outcome(node: &Node, command: Command) -> Outcome {
    ask(node, command).outcome().unwrap()
}

fn order_in(outcome: Outcome) -> Order {
    let Outcome::Done(Done::Order(order)) = outcome else { panic!("no order, but {outcome:?}") };
    Arc::unwrap_or_clone(order)
}

/// All orders, the first placed first.
fn orders(view: &ReadView) -> Vec<Order> {
    let last = (Revision::new(u64::MAX), OrderId::new(u128::MAX));
    let found = view.scan::<OrdersByTicket>((Revision::new(0), OrderId::new(0)), last, usize::MAX);
    found.into_iter().map(|(_, id)| (*view.get::<Order>(id).unwrap()).clone()).collect()
}

/// The whole state, as another node would get it: one chunk is enough.
fn snapshot(node: &Node) -> Bytes {
    let mut reader = node.state.snapshot().unwrap();
    let chunk = reader.next_chunk().unwrap().unwrap();
    assert!(reader.next_chunk().unwrap().is_none());
    chunk
}

/// The version in which each order is stored.
fn versions(node: &Node) -> BTreeMap<OrderId, u8> {
    let chunk = snapshot(node);
    let mut versions = BTreeMap::new();
    // Format and sequence in front, a checksum behind.
    let mut rest = &chunk[9..chunk.len() - 8];
    let number =
        |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    while let Some((tag, record)) = rest.split_first() {
        if *tag != b'R' {
            rest = &record[4 + number(&record[..4])..];
            continue;
        }
        let (table, key_bytes) = (number(&record[..2]), number(&record[2..3]));
        let (key, value) = record[7..].split_at(key_bytes);
        if table == usize::from(Order::TABLE.0) {
            versions.insert(OrderId::new(u128::from_be_bytes(key.try_into().unwrap())), value[0]);
        }
        rest = &value[number(&record[3..7])..];
    }
    versions
}

/// Nothing is wrong with a stopped node; in particular, every index is complete.
#[track_caller]
fn sound(home: &Home) {
    assert_eq!(Inspection::open(&home.path()).unwrap().check().unwrap(), []);
}

/// The new indexes hold each order once, and once for each of its products.
#[track_caller]
fn indexed(node: &Node) {
    let read = |view: &ReadView| {
        let orders = orders(view);
        let mut by_total: Vec<_> =
            orders.iter().map(|order| (u64::try_from(order.total).unwrap(), order.id)).collect();
        by_total.sort_unstable();
        let last = (u64::MAX, OrderId::new(u128::MAX));
        assert_eq!(view.scan::<OrdersByTotal>((0, OrderId::new(0)), last, usize::MAX), by_total);
        let first = (ProductId::new(0), Revision::new(0), OrderId::new(0));
        let last = (ProductId::new(u128::MAX), Revision::new(u64::MAX), OrderId::new(u128::MAX));
        let by_product = view.scan::<OrdersByProduct>(first, last, usize::MAX);
        assert!(by_product.iter().any(|(of, ..)| *of == product(1)));
        let products = |order: &Order| {
            let (at, id) = (order.ticket.revision, order.id);
            order.lines.iter().map(move |line| (line.product, at, id)).collect::<Vec<_>>()
        };
        let lines: BTreeSet<_> = orders.iter().flat_map(products).collect();
        assert!(by_product.iter().eq(&lines), "{by_product:?}");
        orders.len()
    };
    assert!(node.state.read(read).unwrap() > 20);
}

/// The first half of what both builds do with the files of version 1.
fn at_level_1() -> (Home, Node) {
    let home = Home::copy_of("v1/node");
    let node = home.open().unwrap();
    let entries = further(node.applied());
    node.account_of(&entries[..FURTHER / 2]);
    (home, node)
}

/// Goes on as the build of this release did, to the same hashes and answers.
fn goes_on_alike(node: &Node) {
    let entries = further(node.applied());
    let account = node.account_of(&entries);
    let expected = std::fs::read_to_string(golden("v1/further.txt")).unwrap();
    for (now, then) in account.iter().zip(expected.lines()) {
        assert_eq!(now, then, "revision, state hash, checksum of the outcome");
    }
    assert_eq!(account.len(), expected.lines().count());
}

#[test]
fn a_directory_of_this_release_gets_the_new_indexes_and_goes_on_alike() {
    let home = Home::copy_of("v1/node");
    // A file is not damaged because nobody has made its new indexes yet.
    sound(&home);
    let node = home.open().unwrap();
    let hash = std::fs::read_to_string(golden("v1/node.hash")).unwrap();
    assert_eq!(format!("{:032x}", node.state.applied().hash.0), hash.trim());
    assert_eq!(node.state.level(), Level::FIRST);
    indexed(&node);
    goes_on_alike(&node);
    indexed(&node);
    assert!(versions(&node).values().all(|version| *version == 1));
    let applied = node.state.applied();
    node.close();
    sound(&home);
    assert_eq!(home.open().unwrap().state.applied(), applied);
}

#[test]
fn a_snapshot_of_this_release_gets_the_new_indexes_and_goes_on_alike() {
    let home = Home::empty();
    let node = home.create();
    node.install(&unhex("v1/snapshot.hex")).unwrap();
    indexed(&node);
    goes_on_alike(&node);
    indexed(&node);
    node.close();
    sound(&home);
}

#[test]
fn below_its_level_the_new_command_is_refused_and_leaves_nothing() {
    let (home, node) = at_level_1();
    let order = node.state.read(orders).unwrap().remove(0);
    let before = node.state.applied().hash;
    let refused = outcome(&node, annotate(order.id));
    assert_eq!(refused, Outcome::Refused(Refusal::FeatureUnavailable { level: 2 }));
    assert_eq!(node.state.applied().hash, before);
    node.close();
    sound(&home);
}

#[test]
fn from_its_level_on_there_are_new_rows_and_new_versions_and_old_ones_are_read() {
    let (home, node) = at_level_1();
    // Customers and keys that the history does not have.
    let keyed = buy(900_001, 77, PoolId::Product(product(1)), 1, Some(1));
    let first = ask(&node, keyed.clone());
    let bought = order_in(first.outcome().unwrap());
    assert_eq!(first.outcome.0[0], 1);

    assert_eq!(outcome(&node, raise()), Outcome::Done(Done::FeatureLevel(2)));
    assert_eq!(node.state.level(), NOTES);
    assert!(versions(&node).values().all(|version| *version == 1), "nothing is rewritten");

    let noted = order_in(outcome(&node, annotate(bought.id)));
    let now = node.state.applied().now;
    let row = noted.row;
    assert_eq!(row.version, bought.row.version + 1);
    assert_eq!(noted, Order { noted_at: Some(now), row, ..bought.clone() });
    let later = order_in(outcome(&node, buy(900_002, 78, PoolId::Product(product(1)), 1, None)));

    let check = |node: &Node| {
        let versions = versions(node);
        let second: Vec<_> = versions.iter().filter(|(_, version)| **version == 2).collect();
        assert_eq!(second, [(&later.id.min(noted.id), &2), (&later.id.max(noted.id), &2)]);
        let read = |view: &ReadView| {
            let written = view.get::<OrderNote>(noted.id).unwrap();
            assert_eq!((written.author, written.row.version), (UserId::new(1), 1));
            assert_eq!(view.rows::<OrderNote>(OrderId::new(0), 9), [written]);
            let orders = orders(view);
            let is_noted = |order: &&Order| order.noted_at.is_some();
            assert_eq!(orders.iter().filter(is_noted).collect::<Vec<_>>(), [&noted]);
            assert!(orders.contains(&later) && orders.len() == versions.len());
        };
        node.state.read(read).unwrap();
        assert_eq!(node.state.level(), NOTES);
    };
    check(&node);
    // The receipt holds the outcome as it was stored at level 1.
    let again = ask(&node, keyed);
    assert!(again.replayed);
    assert_eq!(again.outcome, first.outcome);
    assert_eq!(order_in(again.outcome().unwrap()), bought);

    let applied = node.state.applied();
    node.close();
    sound(&home);
    let node = home.open().unwrap();
    assert_eq!(node.state.applied(), applied);
    check(&node);

    let other_home = Home::empty();
    let other = other_home.create();
    other.install(&snapshot(&node)).unwrap();
    assert_eq!(other.state.applied(), applied);
    check(&other);
    assert_eq!(ask(&other, annotate(later.id)), ask(&node, annotate(later.id)));
    assert_eq!(other.state.applied(), node.state.applied());
    other.close();
    sound(&other_home);
}

/// Bytes in lines of hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.chunks(50).fold(String::new(), |mut text, line| {
        for byte in line {
            write!(text, "{byte:02x}").unwrap();
        }
        text + "\n"
    })
}

/// An entry of the log; `unlogged` reads it.
fn logged(entry: &Committed, level: Level) -> Entry {
    let mut bytes = BytesMut::new();
    bytes.put_i64_le(entry.stamp.now.get());
    if let Some(command) = &entry.command {
        bytes.put_slice(&codec::encode_command(command, level));
    }
    Entry { index: entry.stamp.revision.get(), bytes: bytes.freeze() }
}

/// Stops the node and records what it leaves, or compares: what it leaves and its snapshot.
fn record(home: &Home, node: Node, name: &str) {
    let (applied, snapshot) = (node.state.applied(), hex(&snapshot(&node)));
    node.close();
    if updating() {
        std::fs::create_dir_all(golden("next").join(name)).unwrap();
        for file in FILES {
            std::fs::copy(home.path().join(file), golden("next").join(name).join(file)).unwrap();
        }
    }
    assert_eq!(recorded(&format!("next/{name}.hex"), &snapshot), snapshot);
    let home = Home::copy_of(&format!("next/{name}"));
    sound(&home);
    assert_eq!(Inspection::open(&home.path()).unwrap().applied(), applied);
}

/// For the plain build: a node that stopped at level 1, with the way to level 2 in its log.
#[test]
fn a_node_at_level_1_is_recorded() {
    let home = Home::copy_of("v1/node");
    let node = home.open().unwrap();
    let old = &further(node.applied())[..20];
    let order = node.state.read(orders).unwrap().remove(0).id;
    let Committed { stamp, .. } = old[19];
    let new = [raise(), annotate(order), tick()].map(Some);
    let new: Vec<Committed> = (1..)
        .zip(new)
        .map(|(n, command)| committed(stamp.revision.get() + n, stamp.now.get(), command))
        .collect();
    let entries = old.iter().map(|entry| logged(entry, Level::FIRST));
    let entries = entries.chain(new.iter().map(|entry| logged(entry, NOTES)));
    node.log.append(entries.collect(), done().0);
    node.account_of(&old[..10]);
    record(&home, node, "level-1");

    // The log leads to level 2.
    let node = Home::copy_of("next/level-1");
    let node = node.open().unwrap();
    let logged = node.log.read(node.applied() + 1..u64::MAX, usize::MAX).unwrap();
    let entries: Vec<_> = logged.iter().map(|entry| unlogged(entry).unwrap()).collect();
    assert_eq!(entries.len(), 13);
    node.account_of(&entries);
    assert_eq!(node.state.level(), NOTES);
    assert!(node.state.read(|view| view.get::<OrderNote>(order)).unwrap().is_some());
}

/// For the plain build: a node at level 2.
#[test]
fn a_node_at_level_2_is_recorded() {
    let home = Home::empty();
    let node = home.create();
    node.apply(&committed(1, 1_000, Some(create_product(1, 9)))).unwrap();
    assert_eq!(outcome(&node, raise()), Outcome::Done(Done::FeatureLevel(2)));
    let bought = order_in(outcome(&node, buy(1, 1, PoolId::Product(product(1)), 1, None)));
    order_in(outcome(&node, annotate(bought.id)));
    record(&home, node, "level-2");
}
