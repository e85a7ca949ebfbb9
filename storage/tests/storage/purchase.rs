//! What a purchase costs on disk: the rows that its checkpoint writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use firstcome_domain::command::{Action, Actor, Command, OrderCreate, Role, ShipTo, WantedLine};
use firstcome_domain::id::{OrderId, UserId};
use firstcome_domain::receipt::{ReceiptKey, Scope};
use firstcome_domain::registry::{INDEXES, TABLES};
use firstcome_domain::stock::{Pool, PoolId};
use firstcome_domain::value::Sealed;
use firstcome_domain::{Done, Outcome, View as _};
use firstcome_storage::inspect::Inspection;
use firstcome_storage::{DataDir, Log, State};
use redb::{ReadableTable, TableDefinition, TableError};

use crate::shop::{LOG, STATE, committed, create_product, create_sale, identity, meta, sale};

const PURCHASES: u64 = 1000;
/// Purchases before each checkpoint: fewer than under load, so more rows for each.
const GROUP: u64 = 100;

/// Every row of the file, by table.
type File = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

fn rows_of(path: &Path) -> File {
    let db = redb::Database::open(path.join("state.redb")).unwrap();
    let txn = redb::ReadableDatabase::begin_read(&db).unwrap();
    let names = TABLES.iter().map(|table| table.name);
    let names = names.chain(INDEXES.iter().map(|index| index.name)).chain(["applied"]);
    let mut file = File::new();
    for name in names {
        let rows = match txn.open_table(TableDefinition::<&[u8], &[u8]>::new(name)) {
            Ok(table) => table.iter().unwrap().map(|row| row.unwrap()).fold(
                BTreeMap::new(),
                |mut rows, (key, value)| {
                    rows.insert(key.value().to_vec(), value.value().to_vec());
                    rows
                },
            ),
            Err(TableError::TableDoesNotExist(_)) => BTreeMap::new(),
            Err(error) => panic!("{name}: {error}"),
        };
        file.insert(name.to_owned(), rows);
    }
    file
}

/// The purchase of a buyer who never bought before. Ids of orders come in the order of time, as
/// those of one node do; buyers and keys do not.
fn purchase(revision: u64) -> Command {
    let spread = u128::from(revision).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let mut scope = [0; 32];
    scope[..16].copy_from_slice(&spread.to_be_bytes());
    Command {
        actor: Actor::User { id: UserId::new(spread), role: Role::Customer },
        receipt: Some(ReceiptKey { scope: Scope(scope), fingerprint: [5; 32] }),
        action: Action::OrderCreate(OrderCreate {
            id: OrderId::new((u128::from(revision) << 64) | (spread >> 64)),
            lines: vec![WantedLine { target: PoolId::Sale(sale(1)), quantity: 1 }],
            address: Some(ShipTo::Sent(Sealed(vec![9; 120]))),
            expected_total: None,
        }),
    }
}

/// Counted is every row of redb that a checkpoint inserts, replaces or removes, in all tables: what
/// is different in the file before and after it. That are the rows of new keys (a packed row holds
/// many keys and counts once), and per checkpoint the rows that all purchases share: the pool, and
/// how far the file is. A table has ascending keys if all that a checkpoint inserts follow those
/// that are there.
#[test]
fn a_purchase_writes_at_most_five_rows() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("n7");
    drop(DataDir::create(&path, &identity()).unwrap());
    let in_state = |entries: Vec<_>| {
        let dir = DataDir::open(&path).unwrap();
        let log = Log::open_inline(&dir, LOG).unwrap();
        let state = State::open_inline(&dir, STATE, log).unwrap();
        for (revision, command) in entries {
            let decided = state.apply(&[committed(revision, 0, Some(command))], meta(revision));
            let outcome = decided.unwrap()[0].outcome().unwrap();
            assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
            assert_eq!(matches!(outcome, Outcome::Done(Done::Order(_))), revision > 2);
        }
        state.close().unwrap();
    };
    in_state(vec![(1, create_product(1, 5000)), (2, create_sale(1, 1, 2000, 1))]);

    let (mut inserted, mut changed) = (BTreeMap::new(), BTreeMap::new());
    let mut scattered = BTreeSet::new();
    let mut before = rows_of(&path);
    for group in 0..PURCHASES / GROUP {
        let first = 3 + group * GROUP;
        in_state((first..first + GROUP).map(|n| (n, purchase(n))).collect());
        let after = rows_of(&path);
        for (name, rows) in &after {
            let old = &before[name];
            let new: Vec<_> = rows.keys().filter(|key| !old.contains_key(*key)).collect();
            *inserted.entry(name.clone()).or_insert(0) += new.len() as u64;
            let kept = old.iter().filter(|(key, value)| rows.get(*key) != Some(*value));
            *changed.entry(name.clone()).or_insert(0) += kept.count() as u64;
            if new.iter().any(|key| old.last_key_value().is_some_and(|(last, _)| *key < last)) {
                scattered.insert(name.clone());
            }
        }
        before = after;
    }

    let written: u64 = inserted.values().chain(changed.values()).sum();
    let told = format!("inserted {inserted:?}, changed {changed:?}");
    assert!(written <= 5 * PURCHASES, "{written} rows: {told}");
    assert!(scattered.len() <= 2, "{scattered:?} are not in order: {told}");
    // What was counted were purchases, and all that was written is what the file has.
    assert!(written >= 3 * PURCHASES, "{told}");
    let look = Inspection::open(&path).unwrap();
    assert_eq!(look.check().unwrap(), vec![]);
    let pool = look.read(|view| view.get::<Pool>(PoolId::Sale(sale(1)))).unwrap().unwrap();
    assert_eq!(pool.accounts.held, PURCHASES);
    for table in look.tables().unwrap() {
        let found = before.get(table.name).map_or(0, |rows| rows.len() as u64);
        assert_eq!(table.file_rows, found, "{}", table.name);
    }
}
