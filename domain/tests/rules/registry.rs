//! The registry: what storage takes for granted about tables, indexes and their keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use firstcome_domain::cluster::FeatureLevel;
use firstcome_domain::command::*;
use firstcome_domain::email_code::CodePurpose;
use firstcome_domain::journal::row::Retention;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::{IndexDef, IndexKind, TableId};
use firstcome_domain::registry::{
    AnyRow, Declared, INDEXES, KindVisitor, TABLES, TableDef, index_rows, visit_kind,
};
use firstcome_domain::settings::Settings;
use firstcome_domain::testing::memory::Memory;
use firstcome_domain::value::{Revision, RowStamp, Stamp};
use firstcome_domain::{EffectId, Millis, SaleId, UserId};

use crate::shop::*;

/// The first id of an index.
const FIRST_INDEX: TableId = TableId(1000);

/// A state with rows of every kind, and in every index.
fn one_of_each() -> Memory {
    let mut shop = Shop::with_sale(5);
    let later = SaleCreate { opens_at: Millis::new(MINUTE), ..sale_of(SaleId::new(2), 1) };
    shop.done(STAFF, Action::SaleCreate(later));
    shop.ask_with_key(customer(71), key(1, 1), order_of(81, &[(S, 1), (P, 1)]));
    shop.order(82, S, 1);
    shop.pay(82);
    shop.order(83, S, 1);
    shop.cancel(83);
    shop.done(customer(83), wish(S, 1));
    shop.done(customer(83), wish(P, 2));
    shop.done(customer(83), save(1, 3));
    shop.done(customer(83), save(2, 3));
    let settings = Settings::default();
    shop.done(ADMIN, Action::SettingsUpdate(SettingsUpdate { if_version: 0, settings }));
    let row = RowStamp::first(Stamp { revision: Revision::new(50), now: Millis::new(0) });
    shop.memory.put(FeatureLevel { level: 1, release: "0.1.0".into(), row });
    shop.done(Actor::Node, first_keyring(1, &[1, 2]));
    shop.memory.put(Retention { row, ..Retention::default() });
    shop.done(
        ADMIN,
        Action::AdminBootstrap(AdminBootstrap { id: UserId::new(1), account: account(1) }),
    );
    shop.done(Actor::Anyone, open_session(1, 1, 1));
    for address in [2, 3] {
        shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, address, address));
    }
    let attempt = Attempt::Failed { code: "smtp_refused".into() };
    let report = EffectReport { id: EffectId::new(2), attempts: 0, attempt };
    shop.done(Actor::Node, Action::EffectReport(report));
    shop.memory
}

/// Every row of one table.
pub(crate) struct RowsOf<'a>(pub(crate) &'a Memory);

impl KindVisitor for RowsOf<'_> {
    type Output = Vec<AnyRow>;

    fn kind<R: Declared>(self) -> Vec<AnyRow> {
        self.0.all::<R>().map(|row| R::into_any(Arc::new(row.clone()))).collect()
    }
}

fn rows_of(memory: &Memory, table: &TableDef) -> Vec<AnyRow> {
    visit_kind(table.table, RowsOf(memory)).unwrap()
}

fn index(table: TableId) -> &'static IndexDef {
    INDEXES.iter().find(|index| index.table == table).expect("each index is in the list")
}

#[test]
fn ids_and_names_of_tables_are_unique_and_indexes_start_at_1000() {
    let tables = || TABLES.iter().map(|table| (table.table, table.name));
    let indexes = || INDEXES.iter().map(|index| (index.table, index.name));
    let ids: BTreeSet<_> = tables().chain(indexes()).map(|(id, _)| id).collect();
    let names: BTreeSet<_> = tables().chain(indexes()).map(|(_, name)| name).collect();
    let count = TABLES.len() + INDEXES.len();
    assert_eq!((ids.len(), names.len()), (count, count));
    assert!(tables().all(|(id, _)| id < FIRST_INDEX) && tables().is_sorted());
    assert!(indexes().all(|(id, _)| id >= FIRST_INDEX) && indexes().is_sorted());
}

#[test]
fn keys_are_as_wide_as_their_declarations_say() {
    let memory = one_of_each();
    let mut met = BTreeSet::new();
    for table in TABLES {
        let rows = rows_of(&memory, table);
        assert!(!rows.is_empty(), "no row of {}", table.name);
        for row in rows {
            assert_eq!(row.key().as_slice().len(), table.key_bytes, "{}", table.name);
            for entry in row.index_rows() {
                let index = index(entry.table);
                assert_eq!(entry.key.as_slice().len(), index.key_bytes, "{}", index.name);
                met.insert(index.name);
            }
        }
    }
    let never: Vec<_> =
        INDEXES.iter().map(|index| index.name).filter(|name| !met.contains(name)).collect();
    assert!(never.is_empty(), "no row was in {never:?}");
}

#[test]
fn appended_indexes_have_the_revision_right_behind_their_term() {
    let memory = one_of_each();
    let mut met = BTreeSet::new();
    for row in TABLES.iter().flat_map(|table| rows_of(&memory, table)) {
        let born = match &row {
            AnyRow::Journal(entry) => entry.stamp.revision,
            AnyRow::AuditEntry(entry) => entry.stamp.revision,
            other => other.stamp().unwrap().created.revision,
        };
        for entry in row.index_rows() {
            let index = index(entry.table);
            if let IndexKind::Appended { term_bytes } = index.kind {
                let revision = entry.key.as_slice().get(term_bytes..term_bytes + 8);
                assert_eq!(revision, Some(&born.get().to_be_bytes()[..]), "{}", index.name);
                met.insert(index.table);
            }
        }
    }
    let appended =
        INDEXES.iter().filter(|index| matches!(index.kind, IndexKind::Appended { .. })).count();
    assert_eq!(met.len(), appended);
}

/// Looks at rows as what they are and as rows of any kind.
struct Compare<'a>(&'a Memory);

impl KindVisitor for Compare<'_> {
    type Output = ();

    fn kind<R: Declared>(self) {
        for row in self.0.all::<R>() {
            let any = R::into_any(Arc::new(row.clone()));
            assert_eq!(any.table(), R::TABLE);
            assert_eq!(any.key(), Key::of(&row.key()));
            assert_eq!(any.key().decode::<R::Key>(), Some(row.key()));
            assert_eq!((any.stamp(), any.due_at()), (row.stamp(), row.due_at()));
            assert_eq!(any.index_rows(), index_rows(row));
            assert_eq!(R::from_any(&any).map(|row| &**row), Some(row));
            let of_others = TABLES.iter().filter(|table| table.table != R::TABLE);
            for other in of_others.flat_map(|table| rows_of(self.0, table)) {
                assert_eq!(R::from_any(&other), None, "{other:?} is no row of {}", R::NAME);
            }
        }
    }
}

#[test]
fn a_row_of_any_kind_says_what_the_row_says() {
    let memory = one_of_each();
    for table in TABLES {
        assert_eq!(visit_kind(table.table, Compare(&memory)), Some(()));
    }
}

#[test]
fn tables_of_a_later_release_are_unknown() {
    let memory = Memory::new();
    let known: BTreeSet<_> = TABLES.iter().map(|table| table.table).collect();
    for table in (0..=u16::MAX).map(TableId).filter(|table| !known.contains(table)) {
        assert_eq!(visit_kind(table, RowsOf(&memory)), None);
    }
}

/// A start reads only these tables to fill the indexes in memory.
#[test]
fn rows_in_a_live_index_are_of_a_table_that_a_start_reads() {
    let memory = one_of_each();
    for table in TABLES {
        let rows = rows_of(&memory, table);
        let mut entries = rows.iter().flat_map(AnyRow::index_rows);
        let is_live = entries.any(|entry| index(entry.table).kind == IndexKind::Live);
        assert!(table.live || !is_live, "{} has rows in a live index", table.name);
    }
}
