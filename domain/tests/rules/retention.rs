//! Retention: what leaves the journal when its time is over, what stays, and how much at a time.

use firstcome_domain::command::*;
use firstcome_domain::invariant::check;
use firstcome_domain::journal::{Journal, LedgerRow, retention};
use firstcome_domain::kernel::row::Row as _;
use firstcome_domain::receipt::{ReceiptKey, Scope};
use firstcome_domain::settings::Settings;
use firstcome_domain::sweep::HOUSEKEEPING_ROWS_MAX;
use firstcome_domain::testing::memory::Memory;
use firstcome_domain::{Millis, Revision, Stamp, decide};

use crate::shop::*;

/// More rows than one Tick goes through.
const ORDERS: u128 = 1_200;
const HOUR: i64 = 60 * MINUTE;
const WEEK: i64 = 7 * DAY;

/// A product with as many orders, each with a key; all of them ran out of time.
fn with_many_orders() -> Shop {
    let mut shop = Shop::empty();
    shop.done(STAFF, Action::ProductCreate(product_of(PRODUCT, 2_000)));
    for number in 1..=ORDERS {
        let mut scope = [0; 32];
        scope[..16].copy_from_slice(&number.to_be_bytes());
        let receipt = Some(ReceiptKey { scope: Scope(scope), fingerprint: [0; 32] });
        let action = order_of(number, &[(P, 1)]);
        let command = Command { actor: customer(number), receipt, action };
        assert_eq!(code(&shop.memory.step(&command, Millis::new(0))), "done");
    }
    shop.now = PAY_WITHIN;
    while shop.tick().0 {}
    shop
}

fn receipts(memory: &Memory) -> usize {
    memory.journal().filter(|entry| entry.receipt.is_some()).count()
}

fn with_facts(memory: &Memory) -> usize {
    memory.journal().filter(|entry| !entry.facts.is_empty()).count()
}

fn is_due(shop: &Shop) -> bool {
    retention::is_due(&shop.memory, Millis::new(shop.now))
}

fn find(memory: &Memory, revision: Revision) -> Option<&Journal> {
    memory.journal().find(|entry| entry.stamp.revision == revision)
}

/// Ticks until nothing is due any more, and checks each step; answers how many there were.
fn tick_until_done(shop: &mut Shop) -> usize {
    let mut ticks = 0;
    while ticks == 0 || is_due(shop) {
        let step = shop.ask(Actor::Node, Action::Tick(Tick));
        let journal = step.changes.iter().filter(|change| change.table == Journal::TABLE).count();
        assert!(journal <= HOUSEKEEPING_ROWS_MAX, "{journal} rows in one step");
        ticks += 1;
        assert!(ticks < 10, "it never ends");
    }
    ticks
}

#[test]
fn receipts_and_facts_leave_in_bounded_steps_and_movements_stay() {
    let mut shop = with_many_orders();
    let orders = usize::try_from(ORDERS).unwrap();
    let ledger: Vec<LedgerRow> = shop.memory.ledger().collect();
    assert_eq!(ledger.len(), 1 + 2 * orders, "in, and each unit held and released");
    shop.now = DAY - 1;
    assert!(!is_due(&shop));
    let facts = with_facts(&shop.memory);

    shop.now = DAY;
    assert!(is_due(&shop));
    assert_eq!(tick_until_done(&mut shop), 2);
    assert_eq!((receipts(&shop.memory), with_facts(&shop.memory)), (0, facts));

    shop.now = WEEK - 1;
    // The entries of the Ticks that ended the orders had no receipt, but are gone through.
    tick_until_done(&mut shop);
    assert_eq!(with_facts(&shop.memory), facts);

    shop.now = WEEK + PAY_WITHIN;
    assert!(is_due(&shop));
    assert_eq!(tick_until_done(&mut shop), 2);
    assert_eq!(with_facts(&shop.memory), 0);

    assert!(shop.memory.ledger().eq(ledger), "every movement is still there");
    assert!(shop.memory.journal().all(|entry| !entry.movements.is_empty()));
    assert_eq!(check(&shop.memory), Ok(Vec::new()), "and explains every account");
    let before = shop.memory.clone();
    assert_eq!(shop.ask(Actor::Node, Action::Tick(Tick)).changes, []);
    assert!(shop.memory.journal().eq(before.journal()));
}

#[test]
fn a_step_that_is_full_says_that_there_may_be_more() {
    let mut shop = with_many_orders();
    shop.now = DAY;
    assert!(shop.tick().0);
    assert_eq!(
        receipts(&shop.memory),
        1 + usize::try_from(ORDERS).unwrap() - HOUSEKEEPING_ROWS_MAX
    );
    assert!(!shop.tick().0);
    assert_eq!(receipts(&shop.memory), 0);
}

/// A sale that is paused with a key, then a refusal with a key: the first entry has a fact and a
/// receipt, the second a receipt alone.
fn with_two_entries(settings: Settings) -> (Shop, [Revision; 2]) {
    let mut shop = Shop::with_sale(1);
    shop.done(ADMIN, Action::SettingsUpdate(SettingsUpdate { if_version: 0, settings }));
    let paused = shop.ask_with_key(STAFF, key(1, 1), pause(SALE));
    let refused = shop.ask_with_key(customer(1), key(2, 1), order_of(1, &[(S, 1)]));
    assert_eq!((code(&paused), code(&refused)), ("done", "sale_paused"));
    (shop, [paused.decided.revision, refused.decided.revision])
}

#[test]
fn an_entry_that_is_left_empty_is_deleted() {
    let (mut shop, [paused, refused]) = with_two_entries(Settings::default());
    shop.now = DAY;
    tick_until_done(&mut shop);
    let entry = find(&shop.memory, paused).unwrap();
    assert!(entry.receipt.is_none() && entry.facts.len() == 1);
    assert_eq!(find(&shop.memory, refused), None);
    shop.now = WEEK;
    tick_until_done(&mut shop);
    assert_eq!(find(&shop.memory, paused), None);
}

#[test]
fn facts_may_leave_before_the_receipt() {
    let settings = Settings { event_retention_ms: HOUR, ..Settings::default() };
    let (mut shop, [paused, refused]) = with_two_entries(settings);
    shop.now = HOUR;
    tick_until_done(&mut shop);
    let entry = find(&shop.memory, paused).unwrap();
    assert!(entry.receipt.is_some() && entry.facts.is_empty());
    assert!(find(&shop.memory, refused).unwrap().receipt.is_some());
    let again = shop.ask_with_key(STAFF, key(1, 1), pause(SALE));
    assert!(again.replayed);
    shop.now = DAY;
    tick_until_done(&mut shop);
    assert_eq!((find(&shop.memory, paused), find(&shop.memory, refused)), (None, None));
}

#[test]
fn one_tick_drops_receipt_and_facts_of_the_same_entry() {
    let (mut shop, [paused, refused]) = with_two_entries(Settings::default());
    shop.now = WEEK;
    assert_eq!(tick_until_done(&mut shop), 1);
    assert_eq!((find(&shop.memory, paused), find(&shop.memory, refused)), (None, None));
    assert_eq!((receipts(&shop.memory), with_facts(&shop.memory)), (0, 0));
}

#[test]
fn a_receipt_stays_until_its_own_end_when_the_setting_is_shortened() {
    let (mut shop, _) = with_two_entries(Settings::default());
    let shorter = Settings { receipt_retention_ms: HOUR, ..Settings::default() };
    shop.done(ADMIN, Action::SettingsUpdate(SettingsUpdate { if_version: 1, settings: shorter }));
    shop.now = DAY - 1;
    tick_until_done(&mut shop);
    assert_eq!(receipts(&shop.memory), 2);
    assert!(shop.ask_with_key(STAFF, key(1, 1), pause(SALE)).replayed);
    shop.now = DAY;
    tick_until_done(&mut shop);
    assert_eq!(receipts(&shop.memory), 0);
}

/// Otherwise every decision without a key would want a Tick for itself.
#[test]
fn a_decision_without_a_receipt_wants_no_tick() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    shop.pay(1);
    assert!(!is_due(&shop));
    assert_eq!(shop.ask(Actor::Node, Action::Tick(Tick)).changes, []);
}

#[test]
fn a_key_may_be_used_again_before_and_after_its_receipt_is_dropped() {
    let mut shop = Shop::with_product();
    let ask = |shop: &mut Shop, order| {
        let step = shop.ask_with_key(customer(1), key(1, 1), order_of(order, &[(P, 1)]));
        (code(&step), step.replayed)
    };
    assert_eq!(ask(&mut shop, 1), ("done", false));
    shop.now = DAY;
    assert_eq!(ask(&mut shop, 2), ("done", false), "over, although no Tick has dropped it");
    assert_eq!(receipts(&shop.memory), 2);
    assert_eq!(ask(&mut shop, 3), ("done", true), "the newest receipt answers");
    tick_until_done(&mut shop);
    assert_eq!(receipts(&shop.memory), 1, "only the old one goes");
    assert_eq!(ask(&mut shop, 4), ("done", true));
    shop.now = 2 * DAY;
    tick_until_done(&mut shop);
    assert_eq!(receipts(&shop.memory), 0);
    assert_eq!(ask(&mut shop, 5), ("done", false));
}

/// Ticks drop receipts in the order of the log, so one that lasts long keeps others behind it.
#[test]
fn a_key_that_is_used_again_every_hour_is_recognised_each_time() {
    let longest = Settings { receipt_retention_ms: WEEK, ..Settings::default() };
    let (mut shop, _) = with_two_entries(longest);
    let shortest = Settings { receipt_retention_ms: HOUR, ..Settings::default() };
    shop.done(ADMIN, Action::SettingsUpdate(SettingsUpdate { if_version: 1, settings: shortest }));
    let mut ask = |now| {
        shop.now = now;
        let action = Action::OrderConfirm(OrderConfirm { id: oid(1) });
        let replayed = shop.ask_with_key(customer(1), key(3, 1), action).replayed;
        shop.tick();
        (replayed, receipts(&shop.memory))
    };
    for used in 1..WEEK / HOUR {
        let kept = 2 + usize::try_from(used).unwrap();
        assert_eq!(ask(used * HOUR), (false, kept));
        assert_eq!(ask(used * HOUR + 1), (true, kept));
    }
    assert_eq!(ask(WEEK), (false, 1));
}

#[test]
fn a_tick_reads_what_it_drops_once() {
    let (mut shop, _) = with_two_entries(Settings::default());
    shop.now = WEEK;
    let view = Counting::new(&shop.memory);
    let tick = Command { actor: Actor::Node, receipt: None, action: Action::Tick(Tick) };
    let stamp = Stamp { revision: Revision::new(99), now: Millis::new(WEEK) };
    let changes = decide(&view, &tick, stamp).record(|_| Vec::new()).changes;
    assert!(changes.iter().any(|change| change.table == Journal::TABLE));
    let reads = view.reads.into_inner();
    let journal: Vec<_> = reads.iter().filter(|read| read.starts_with("journal ")).collect();
    // For receipts and for facts: the first row behind the mark, then the rows.
    assert_eq!(journal.len(), 4, "{reads:?}");
    assert!(journal.iter().all(|read| read.ends_with("..")), "{reads:?}");
}
