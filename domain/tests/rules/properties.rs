//! What holds for every history, tried on random ones: 256 in the gate, `PROPTEST_CASES` more.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use firstcome_domain::command::*;
use firstcome_domain::invariant::check;
use firstcome_domain::journal::Journal;
use firstcome_domain::kernel::key::Key;
use firstcome_domain::kernel::row::{IndexKind, TableId};
use firstcome_domain::order::{Source, Status};
use firstcome_domain::registry::{INDEXES, TABLES, visit_kind};
use firstcome_domain::testing::memory::{Look as _, Memory};
use firstcome_domain::wishlist::WishlistItem;
use firstcome_domain::{
    Actor, Answer, Millis, OrderId, Outcome, Refusal, Stamp, decide, early_refusal,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::history::*;
use crate::model::Model;
use crate::registry::RowsOf;
use crate::shop::*;

type Verdict = Result<(), TestCaseError>;

/// 256 cases, or `PROPTEST_CASES`. A failing history is printed, not kept in a file.
fn config() -> Config {
    Config { failure_persistence: None, ..Config::default() }
}

/// Runs a property over random histories.
fn try_histories(property: impl Fn(&[Step]) -> Verdict) {
    try_each(steps(), property);
}

fn try_each(steps: impl Strategy<Value = Vec<Step>>, property: impl Fn(&[Step]) -> Verdict) {
    let mut runner = TestRunner::new(config());
    runner.run(&steps, |steps| property(&steps)).unwrap();
}

/// Whether the asker is kept out, whatever they ask.
fn is_kept_out(outcome: &Outcome) -> bool {
    let (closed, blocked) = (Refusal::SessionClosed, Refusal::UserBlocked);
    [closed, blocked].map(Outcome::Refused).contains(outcome)
}

/// Whether a refusal is forgotten: the next time, who asks or how often may be another matter.
fn is_forgotten(outcome: &Outcome) -> bool {
    let Outcome::Refused(refusal) = outcome else { return false };
    is_kept_out(outcome)
        || matches!(
            refusal,
            Refusal::SessionReuse
                | Refusal::LoginRefused
                | Refusal::LoginThrottled { .. }
                | Refusal::CodeInvalid
                | Refusal::CodeTooSoon { .. }
                | Refusal::CodeTooMany { .. }
                | Refusal::EmailUnverified
        )
}

fn sound(memory: &Memory) -> Verdict {
    let Ok(violations) = check(memory);
    prop_assert_eq!(violations, []);
    Ok(())
}

#[test]
fn p01_replay_is_identical() {
    try_histories(|steps| {
        let first = Run::of(steps);
        let mut second = Memory::new();
        for entry in &first.entries {
            let decision = second.step(&entry.command, entry.now);
            prop_assert_eq!(&decision, &entry.decision);
        }
        prop_assert_eq!(second, first.memory);
        Ok(())
    });
}

#[test]
fn p02_duplicate_any_command() {
    try_histories(|steps| {
        let mut run = Run::new();
        for (place, step) in steps.iter().enumerate() {
            // Every request has a key of its own, so only the copy can meet its receipt.
            let mut command = run.command(step);
            run.now += step.wait_ms;
            let step_is_keyed = command.actor != Actor::Node;
            if step_is_keyed {
                command.receipt = Some(key(u8::try_from(place + 100).unwrap(), 0));
            }
            let first = run.propose(command.clone()).clone();
            let copy = run.propose(command).clone();
            // Every wrong code counts.
            let is_wrong = copy.outcome == Outcome::Refused(Refusal::CodeInvalid);
            prop_assert!(copy.changes.is_empty() || is_wrong, "the copy of {:?} acted", step);
            // Whatever the state says by now: the key was decided, unless it was refused ahead of the
            // rules, the refusal is one that is forgotten, or the first one shut its asker out.
            let is_denied = first.outcome == Outcome::Refused(Refusal::PermissionDenied)
                && !matches!(run.entries.last().unwrap().command.action, Action::SessionIssue(_));
            let is_out = !is_kept_out(&first.outcome) && is_kept_out(&copy.outcome);
            let is_keyed = step_is_keyed && !is_denied && !is_forgotten(&first.outcome) && !is_out;
            prop_assert_eq!(copy.replayed, is_keyed, "the copy of {:?} was decided anew", step);
            if copy.replayed {
                prop_assert_eq!((copy.outcome, copy.decided), (first.outcome, first.decided));
            }
        }
        Ok(())
    });
}

#[test]
fn p03_snapshot_at_any_cut() {
    let mut runner = TestRunner::new(config());
    let cut = any::<prop::sample::Index>();
    let property = |(steps, cut): (Vec<Step>, prop::sample::Index)| {
        let whole = Run::of(&steps);
        let cut = cut.index(whole.entries.len());
        // The state at the cut, rebuilt from changes alone, as another node receives it.
        let mut restored = Memory::new();
        for (place, entry) in whole.entries.iter().enumerate() {
            if place < cut {
                let revision = firstcome_domain::Revision::new(u64::try_from(place).unwrap() + 1);
                restored.apply(Stamp { revision, now: entry.now }, &entry.decision.changes);
            } else {
                let decision = restored.step(&entry.command, entry.now);
                prop_assert_eq!(&decision, &entry.decision);
            }
        }
        prop_assert_eq!(restored, whole.memory);
        Ok(())
    };
    runner.run(&(steps(), cut), property).unwrap();
}

#[test]
fn p04_invariants_hold_after_every_command() {
    let met: RefCell<BTreeMap<&str, u32>> = RefCell::default();
    try_histories(|steps| {
        let mut run = Run::new();
        let mut seen: BTreeMap<OrderId, Status> = BTreeMap::new();
        for step in steps {
            let decision = run.step(step).clone();
            *met.borrow_mut().entry(code(&decision)).or_default() += 1;
            sound(&run.memory)?;
            if !decision.replayed {
                no_undersell(&run.memory, &decision.outcome, run.entries.last().unwrap())?;
            }
            for order in run.memory.orders() {
                let before = seen.insert(order.id, order.status);
                let stays =
                    before.is_none_or(|before| !before.is_terminal() || before == order.status);
                prop_assert!(stays, "{} left a terminal status", order.id);
            }
        }
        Ok(())
    });
    enough(
        &met.into_inner(),
        &[
            ("session_closed", 20),
            ("user_blocked", 10),
            ("session_reuse", 1),
            ("login_refused", 20),
            ("code_invalid", 20),
            ("code_too_soon", 5),
            ("email_unverified", 20),
            ("email_taken", 1),
            ("admin_exists", 1),
            ("version_mismatch", 5),
            ("id_in_use", 1),
        ],
    );
}

/// S7: who was told `sold_out` wanted more than there was. S5: who got units is within the limit.
fn no_undersell(memory: &Memory, outcome: &Outcome, entry: &Entry) -> Verdict {
    let Action::OrderCreate(ask) = &entry.command.action else { return Ok(()) };
    match outcome {
        Outcome::Refused(Refusal::SoldOut { pool, .. }) => {
            let lines = ask.lines.iter().filter(|line| line.target == *pool);
            let wanted: u64 = lines.map(|line| u64::from(line.quantity)).sum();
            prop_assert!(memory.pool(*pool).unwrap().accounts.available < wanted);
        }
        Outcome::Done(_) => {
            for usage in memory.usages() {
                let limit = memory.sale(usage.sale).unwrap().per_customer_limit;
                prop_assert!(usage.used <= u64::from(limit));
            }
        }
        Outcome::Refused(_) => {}
    }
    Ok(())
}

#[test]
fn p05_enough_demand_sells_every_unit() {
    let sold = RefCell::new(0u64);
    try_histories(|steps| {
        let mut run = Run::of(steps);
        // Whatever happened before: let every hold run out, open what is not over, and let a
        // crowd in.
        run.now += MINUTE * 20;
        let offer = run.set_status(false);
        run.propose(Command { actor: STAFF, receipt: None, action: offer });
        run.propose(Command { actor: STAFF, receipt: None, action: resume(SALE) });
        for pool in [S, P] {
            let free = run.memory.pool(pool).unwrap().accounts.available;
            let open = pool == P || !run.memory.sale(SALE).unwrap().closed;
            let mut won = 0;
            for buyer in 0..60 {
                let id = 1_000 + buyer + if pool == P { 100 } else { 0 };
                let action = order_of(id, &[(pool, 1)]);
                let command = Command { actor: customer(id), receipt: None, action };
                won += u64::from(code(run.propose(command)) == "done");
            }
            prop_assert_eq!(won, if open { free } else { 0 });
            *sold.borrow_mut() += won;
            let left = run.memory.pool(pool).unwrap().accounts.available;
            prop_assert_eq!(left, 0, "{:?} is left with units that nobody can have", pool);
        }
        sound(&run.memory)
    });
    assert!(sold.into_inner() > 256, "the crowd must find units");
}

#[test]
fn decide_agrees_with_a_naive_model() {
    let met: RefCell<BTreeMap<&str, u32>> = RefCell::default();
    let count = |what: &'static str| *met.borrow_mut().entry(what).or_default() += 1;
    try_each(shop_steps(), |steps| {
        let mut run = Run::new();
        let mut model = Model::default();
        for entry in &run.entries {
            model.decide(&entry.command, entry.now.get());
        }
        for step in steps {
            let decision = run.step(step).clone();
            let command = run.entries.last().unwrap().command.clone();
            let expected = model.decide(&command, run.now);
            prop_assert_eq!(code(&decision), expected, "{:?}", command);
            for pool in POOLS {
                let accounts = run.memory.pool(pool).unwrap().accounts;
                let counted = [accounts.available, accounts.held, accounts.sold, accounts.scrapped];
                prop_assert_eq!(counted, model.accounts(pool), "{:?} after {:?}", pool, command);
            }
            let statuses: BTreeMap<_, _> =
                run.memory.orders().map(|order| (order.id, order.status)).collect();
            prop_assert_eq!(statuses, model.statuses());
            let wished = run.memory.all::<WishlistItem>().count();
            prop_assert_eq!(wished, model.wished(), "after {:?}", command);
            count(expected);
            if decision.replayed {
                count("replayed");
            }
        }
        run.memory.orders().for_each(|order| count(order.status.as_str()));
        let wished = run.memory.orders().filter(|order| order.source == Source::Wishlist);
        wished.for_each(|_| count("bought_wishes"));
        Ok(())
    });
    enough(
        &met.into_inner(),
        &[
            ("sold_out", 100),
            ("replayed", 50),
            ("idempotency_key_reused", 5),
            ("already_holding", 20),
            ("limit_reached", 10),
            ("sale_closed", 20),
            ("sale_not_open", 10),
            ("not_enough_units", 20),
            ("expired", 100),
            ("canceled", 20),
            ("payment_failed", 20),
            ("returned", 10),
            ("wishlist_empty", 10),
            ("bought_wishes", 5),
        ],
    );
}

/// A run that never got there proves nothing.
fn enough(met: &BTreeMap<&str, u32>, wanted: &[(&str, u32)]) {
    for (what, at_least) in wanted {
        let times = met.get(what).copied().unwrap_or(0);
        assert!(times >= *at_least, "{what} was met {times} times: {met:?}");
    }
}

#[test]
fn early_refusals_agree_with_the_rules_when_nothing_is_due() {
    let refused = RefCell::new(0u32);
    try_histories(|steps| {
        let mut run = Run::of(steps);
        for step in steps.iter().filter(|step| matches!(step.deed, Deed::Order { .. })) {
            let command = run.command(step);
            let now = Millis::new(run.now);
            run.memory.step(
                &Command { actor: Actor::Node, receipt: None, action: Action::Tick(Tick) },
                now,
            );
            if let Some(early) = early_refusal(&run.memory, &command, now, None) {
                let revision = firstcome_domain::Revision::new(10_000);
                let decision = decide(&run.memory, &command, Stamp { revision, now });
                let Answer::Decided(outcome) = decision.answer else { panic!("{command:?}") };
                // Who may not ask at all learns that from the rules.
                if !is_kept_out(&outcome) {
                    prop_assert_eq!(outcome, Outcome::Refused(early));
                    *refused.borrow_mut() += 1;
                }
            }
        }
        Ok(())
    });
    assert!(refused.into_inner() > 100);
}

#[test]
fn log_time_never_goes_back() {
    let mut runner = TestRunner::new(config());
    let clocks = prop::collection::vec(0..10 * MINUTE, 1..30);
    let property = |(steps, clocks): (Vec<Step>, Vec<i64>)| {
        let mut run = Run::new();
        let mut last = Stamp::default();
        for (step, clock) in steps.iter().zip(clocks.iter().cycle()) {
            let mut command = run.command(step);
            command.receipt = None;
            run.now = *clock;
            let decided = run.propose(command).decided;
            prop_assert!(last.now <= decided.now && last.revision < decided.revision);
            last = decided;
        }
        let mut entries = run.memory.journal().map(|entry| entry.stamp.now);
        let mut before = Millis::new(0);
        prop_assert!(entries.all(|now| std::mem::replace(&mut before, now) <= now));
        sound(&run.memory)
    };
    runner.run(&(steps(), clocks), property).unwrap();
}

#[test]
fn a_decision_writes_each_row_once_and_numbers_its_ledger() {
    try_histories(|steps| {
        for entry in Run::of(steps).entries {
            let changes = &entry.decision.changes;
            let mut keys: Vec<_> =
                changes.iter().map(|change| (change.table, change.key)).collect();
            let ledger = crate::shop::entry(changes).into_iter().flat_map(Journal::ledger);
            let mut offsets = ledger.map(|row| row.key.offset);
            let written = keys.len();
            keys.sort();
            keys.dedup();
            prop_assert_eq!(keys.len(), written);
            prop_assert!(offsets.by_ref().zip(0..).all(|(offset, place)| offset == place));
        }
        Ok(())
    });
}

/// Storage keeps a key of an appended index for good, and only behind those that it has.
#[test]
fn index_rows_follow_from_the_rows() {
    try_histories(|steps| {
        let mut run = Run::new();
        let mut kept: BTreeMap<TableId, BTreeSet<Key>> = BTreeMap::new();
        // By then, retention has something to drop.
        let late = Step { wait_ms: 8 * DAY, deed: Deed::Tick, ..steps[0].clone() };
        for step in steps.iter().chain([&late]) {
            run.step(step);
            let tables = TABLES.iter().map(|table| table.table);
            let rows = tables.flat_map(|table| visit_kind(table, RowsOf(&run.memory)).unwrap());
            let entries = rows.flat_map(|row| row.index_rows());
            let expected: BTreeSet<_> = entries.map(|entry| (entry.table, entry.key)).collect();
            let found: Vec<_> = run.memory.index_rows().collect();
            prop_assert!(found.iter().eq(&expected), "after {:?}", step);
            for index in INDEXES {
                let IndexKind::Appended { term_bytes } = index.kind else { continue };
                let now = found.iter().filter(|(table, _)| *table == index.table);
                let now: BTreeSet<Key> = now.map(|(_, key)| *key).collect();
                let before = kept.insert(index.table, now.clone()).unwrap_or_default();
                prop_assert!(now.is_superset(&before), "{} lost a key", index.name);
                for new in now.difference(&before) {
                    let term = &new.as_slice()[..term_bytes];
                    let mut same = before.iter().filter(|key| key.as_slice().starts_with(term));
                    prop_assert!(same.all(|key| key < new), "{} is not appended", index.name);
                }
            }
        }
        Ok(())
    });
}
