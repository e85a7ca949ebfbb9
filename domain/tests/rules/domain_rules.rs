//! D1 to D14 of the design, as far as products, stock, sales and orders go.

use std::collections::BTreeMap;

use firstcome_domain::command::*;
use firstcome_domain::kernel::row::Row as _;
use firstcome_domain::order::{Order, PaymentStatus, Refund, Status};
use firstcome_domain::settings::Settings;
use firstcome_domain::stock::{Accounts, Pool, PoolId, Usage};
use firstcome_domain::sweep::{
    AHEAD_ROWS_MAX, BACKGROUND_CHANGES_MAX, HOUSEKEEPING_ROWS_MAX, TICK_ROWS_MAX,
};
use firstcome_domain::testing::memory::Look as _;
use firstcome_domain::value::Revision;
use firstcome_domain::{
    Millis, ProductId, Refusal, SaleId, Stamp, View as _, decide, early_refusal, outcome::Kind,
};

use crate::shop::*;

#[test]
fn d01_one_log_entry_decides_everything() {
    let mut shop = Shop::with_sale(1);
    let decision = shop.ask_with_key(customer(1), key(1, 1), order_of(1, &[(S, 1)]));
    let changes = &decision.changes;
    let fresh = changes.iter().filter(|change| change.before.is_none());
    assert_eq!(fresh.clone().filter(|change| change.table == Order::TABLE).count(), 1);
    assert_eq!(writes::<Pool>(changes), 1);
    assert_eq!(writes::<Usage>(changes), 1);
    let entry = entry(changes).unwrap();
    assert_eq!((entry.movements.len(), entry.receipt.is_some()), (1, true));
    assert_eq!(changes.len(), 4, "the order, its pool, its usage, one entry of the journal");
    assert_eq!(facts(&decision), ["order.created", "stock.changed", "sale.sold_out"]);
    assert_eq!(shop.row(1).ticket, decision.decided);
}

#[test]
fn d02_lines_are_summed_before_the_check() {
    let mut shop = Shop::with_sale(3);
    let twice = order_of(1, &[(S, 1), (S, 1)]);
    let limit = shop.refused(customer(1), twice);
    assert_eq!(limit, Refusal::LimitReached { limit: 1, used: 0 });
    let refusal = shop.refused(customer(1), order_of(1, &[(P, 60), (S, 1), (P, 41)]));
    let expected =
        Refusal::InvalidField { pointer: "/lines/2/quantity".into(), code: "out_of_range".into() };
    assert_eq!(refusal, expected);
    let refusal = shop.refused(customer(1), order_of(1, &[(P, 4), (P, 4)]));
    assert_eq!(refusal, Refusal::SoldOut { pool: P, available: Some(7) });
    let order = order_in(shop.done(customer(1), order_of(1, &[(P, 3), (S, 1), (P, 4)])));
    let lines: Vec<_> = order.lines.iter().map(|line| (line.pool, line.quantity)).collect();
    assert_eq!(lines, [(P, 7), (S, 1)]);
}

#[test]
fn d03_repeat_clicks_never_touch_stock() {
    let mut shop = Shop::with_sale(1);
    let first = shop.ask_with_key(customer(1), key(1, 1), order_of(1, &[(S, 1)]));
    let again = shop.ask_with_key(customer(1), key(1, 1), order_of(2, &[(S, 1)]));
    assert_eq!((again.outcome, again.changes.len()), (first.outcome, 0));
    assert_eq!(shop.code(customer(1), order_of(3, &[(S, 1)])), "already_holding");
    shop.pay(1);
    assert_eq!(shop.code(customer(1), order_of(3, &[(S, 1)])), "limit_reached");
    assert_eq!(shop.code(customer(2), order_of(3, &[(S, 1)])), "sold_out");
    assert_eq!(shop.units(S), [0, 0, 1]);
}

#[test]
fn d04_every_refusal_has_code_and_ticket() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    let asked = [
        (customer(2), order_of(2, &[(S, 1)]), "sold_out"),
        (customer(1), order_of(2, &[(S, 1)]), "already_holding"),
        (customer(2), order_of(2, &[]), "invalid_field"),
        (customer(2), Action::OrderCancel(OrderCancel { id: oid(1) }), "not_found"),
        (customer(1), Action::OrderConfirm(OrderConfirm { id: oid(1) }), "wrong_status"),
        (STAFF, Action::SaleUpdate(no_update(SALE, 77)), "version_mismatch"),
    ];
    for (place, (actor, action, expected)) in asked.into_iter().enumerate() {
        let name = u8::try_from(place).unwrap();
        let decision = shop.ask_with_key(actor, key(name, 0), action);
        assert_eq!(code(&decision), expected);
        assert_eq!(decision.decided, shop.memory.last(), "{expected}: the entry that decided");
        let entry = entry(&decision.changes).unwrap();
        assert_eq!(decision.changes.len(), 1, "{expected}");
        assert!(entry.receipt.is_some() && entry.movements.is_empty(), "{expected}");
        assert!(entry.facts.is_empty(), "{expected}");
    }
    let decision = shop.ask_with_key(customer(1), key(99, 0), Action::Tick(Tick));
    assert_eq!((code(&decision), decision.changes.len()), ("permission_denied", 0));
}

#[test]
fn d06_only_log_time_decides() {
    let mut shop = Shop::with_product();
    let ask = SaleCreate {
        opens_at: Millis::new(1_000),
        closes_at: Some(Millis::new(2_000)),
        ..sale_of(SALE, 5)
    };
    shop.done(STAFF, Action::SaleCreate(ask));
    let command = Command { actor: customer(1), receipt: None, action: order_of(1, &[(S, 1)]) };
    for (now, expected) in
        [(999, "sale_not_open"), (1_000, "done"), (1_999, "done"), (2_000, "sale_closed")]
    {
        let stamp = Stamp { revision: Revision::new(50), now: Millis::new(now) };
        let decision = decide(&shop.memory, &command, stamp);
        assert_eq!(decided_code(&decision), expected, "at {now}");
    }
    // A leader whose clock is behind cannot reopen what is over.
    shop.now = 2_000;
    shop.tick();
    shop.now = 1_500;
    assert_eq!(shop.code(customer(1), order_of(1, &[(S, 1)])), "sale_closed");
}

#[test]
fn d07_hold_ends_exactly_once() {
    let mut shop = Shop::with_sale(1);
    let pay_by = shop.order(1, S, 1).pay_by;
    for now in [1, MINUTE, PAY_WITHIN - 1] {
        shop.now = now;
        let refusal = shop.refused(customer(1), order_of(2, &[(S, 1)]));
        let expected = Refusal::AlreadyHolding { order: oid(1), pay_by: pay_by.unwrap() };
        assert_eq!(refusal, expected, "touching a hold does not extend it");
    }
    shop.now = PAY_WITHIN;
    shop.tick();
    let ended = shop.row(1);
    assert_eq!((ended.status, shop.units(S)), (Status::Expired, [1, 0, 0]));
    shop.tick();
    assert_eq!(code(&shop.cancel(1)), "not_cancelable");
    shop.done(Actor::Node, declined(1));
    assert_eq!(shop.row(1), ended);
    shop.captured(1, "late", PRICE);
    assert_eq!((shop.row(1).status, shop.units(S)), (Status::Expired, [1, 0, 0]));
}

#[test]
fn d08_own_hold_never_competes() {
    let mut shop = Shop::with_sale(1);
    let order = shop.order(1, S, 1);
    let refusal = shop.refused(customer(1), order_of(2, &[(P, 1), (S, 1)]));
    let pay_by = order.pay_by.unwrap();
    assert_eq!(refusal, Refusal::AlreadyHolding { order: oid(1), pay_by });
    // The product's general stock knows no such rule.
    shop.order(3, P, 1);
    assert_eq!(shop.code(customer(3), order_of(4, &[(P, 1)])), "done");
    // Once its time is over, the hold points nowhere, however long the backlog.
    shop.now = PAY_WITHIN;
    assert_eq!(shop.code(customer(1), order_of(5, &[(S, 1)])), "done");
}

/// A shop with 40 overdue orders on other products, ahead of one on the sale's only unit.
fn with_other_backlog() -> Shop {
    let mut shop = Shop::with_sale(1);
    for id in (100..140).map(ProductId::new) {
        shop.done(STAFF, Action::ProductCreate(product_of(id, 1)));
        shop.order(id.get(), PoolId::Product(id), 1);
    }
    shop.now = 1;
    shop.order(1, S, 1);
    shop.now = PAY_WITHIN + 1;
    shop
}

#[test]
fn an_overdue_own_hold_is_settled_behind_any_backlog() {
    let mut shop = with_other_backlog();
    assert_eq!(shop.code(customer(1), order_of(2, &[(S, 1)])), "done");
    assert_eq!(shop.row(1).status, Status::Expired);
    let overdue = shop.memory.orders().filter(|order| order.status == Status::PaymentPending);
    assert_eq!(overdue.count(), 1 + 40 - AHEAD_ROWS_MAX, "the rest of the backlog is still due");
}

#[test]
fn a_short_pool_expires_its_own_overdue_orders_behind_any_backlog() {
    let mut shop = with_other_backlog();
    assert_eq!(shop.code(customer(2), order_of(2, &[(S, 1)])), "done");
    assert_eq!(shop.row(1).status, Status::Expired);
}

#[test]
fn a_short_pool_expires_no_more_than_it_must() {
    let mut shop = with_other_backlog();
    let allot = SaleAllot { id: SALE, allotment: Allotment::UpFromNew, quantity: 1, note: None };
    shop.now = 1;
    shop.done(STAFF, Action::SaleAllot(allot));
    shop.now = 2;
    shop.order(2, S, 1);
    shop.now = PAY_WITHIN + 2;
    assert_eq!(shop.code(customer(3), order_of(3, &[(S, 1)])), "done");
    assert_eq!(shop.row(1).status, Status::Expired, "the oldest");
    assert_eq!(shop.row(2).status, Status::PaymentPending, "due, but not in the way");
}

#[test]
fn a_sale_that_is_over_ends_behind_any_backlog() {
    let mut shop = with_other_backlog();
    let mut sale = shop.sale();
    (sale.closes_at, sale.due_at) = (Some(Millis::new(shop.now)), Some(Millis::new(shop.now)));
    shop.memory.put(sale);
    assert_eq!(shop.code(STAFF, pause(SALE)), "sale_closed");
    assert!(shop.sale().closed, "although the refusal changes nothing else");
}

#[test]
fn a_return_window_is_over_at_its_end_behind_any_backlog() {
    let mut shop = with_backlog(60);
    shop.now = 0;
    shop.order(1_000, P, 1);
    shop.deliver(1_000);
    shop.now = shop.row(1_000).due_at.unwrap().get();
    let back = Action::OrderReturn(OrderReturn { id: oid(1_000) });
    assert_eq!(shop.code(customer(1_000), back), "not_returnable");
    assert_eq!(shop.row(1_000).status, Status::Delivered, "there was no room for its timer");
}

#[test]
fn a_timer_on_a_product_is_forgotten() {
    let mut shop = Shop::with_product();
    let mut product = (*shop.memory.product(PRODUCT).unwrap()).clone();
    product.due_at = Some(Millis::new(0));
    shop.memory.put(product);
    assert_eq!(shop.tick(), (false, None));
    assert_eq!(shop.memory.product(PRODUCT).unwrap().due_at, None);
}

#[test]
fn an_overdue_order_expires_before_it_is_paid_behind_any_backlog() {
    let mut shop = with_other_backlog();
    let order = shop.captured(1, "late", PRICE);
    assert_eq!((order.status, shop.units(S)), (Status::Expired, [1, 0, 0]));
}

#[test]
fn d09_ledger_rebuilds_every_account() {
    let mut shop = Shop::with_sale(4);
    for id in 1..=4 {
        shop.order(id, S, 1);
    }
    shop.deliver(1);
    shop.done(customer(1), Action::OrderReturn(OrderReturn { id: oid(1) }));
    shop.done(STAFF, Action::ReturnReceive(ReturnReceive { id: oid(1), restock: false }));
    shop.pay(2);
    shop.cancel(2);
    shop.pay(3);
    shop.done(STAFF, close(SALE));
    shop.now = PAY_WITHIN;
    shop.tick();
    let mut rebuilt: BTreeMap<PoolId, Accounts> = BTreeMap::new();
    for row in shop.memory.ledger() {
        let accounts = rebuilt.entry(row.key.pool).or_default();
        *accounts = accounts.after(row.movement).unwrap();
    }
    let rows: BTreeMap<_, _> = shop.memory.pools().map(|pool| (pool.id, pool.accounts)).collect();
    assert_eq!(rebuilt, rows);
    assert_eq!(rows[&S], Accounts { available: 0, held: 0, sold: 1, scrapped: 1 });
    assert_eq!(rows[&P].available, 8);
}

#[test]
fn d11_one_payment_path() {
    let mut outside = Shop::with_sale(1);
    let mut provider = Shop::with_sale(1);
    outside.order(1, S, 1);
    provider.order(1, S, 1);
    outside.done(SUPPORT, paid_outside(1));
    provider.captured(1, "outside", PRICE);
    assert_eq!(outside.row(1), provider.row(1), "who reports does not matter");
    assert_eq!(outside.stock(S), provider.stock(S));
    assert_eq!(provider.code(STAFF, paid_outside(1)), "order_not_payable");
}

#[test]
fn d12_late_capture_is_refunded() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    shop.now = PAY_WITHIN;
    shop.order(2, S, 1);
    let order = shop.captured(1, "late", PRICE);
    assert_eq!(order.status, Status::Expired);
    assert_eq!(order.payment.status, PaymentStatus::RefundPending);
    assert_eq!(order.payment.captures[0].refund, Refund::Pending);
    assert_eq!(shop.captured(1, "late", PRICE), order, "the same report again changes nothing");
    assert_eq!(shop.units(S), [0, 1, 0], "the unit belongs to somebody else");
    assert_eq!(shop.code(SUPPORT, paid_outside(1)), "order_not_payable");
}

#[test]
fn a_declined_payment_ends_the_order() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    let order = order_in(shop.done(Actor::Node, declined(1)));
    assert_eq!((order.status, shop.units(S)), (Status::PaymentFailed, [1, 0, 0]));
    assert_eq!(order.payment.status, PaymentStatus::Failed);
    assert_eq!(order.payment.last_code.as_deref(), Some("card_declined"));
    let again = order_in(shop.done(Actor::Node, declined(1)));
    assert_eq!(again, order, "the same report again changes nothing");
}

#[test]
fn d13_unsettled_money_is_visible() {
    let mut shop = Shop::with_sale(2);
    for id in 1..=2 {
        shop.order(id, S, 1);
    }
    shop.now = PAY_WITHIN;
    shop.tick();
    assert_eq!(shop.row(1).payment.status, PaymentStatus::Canceled);
    shop.captured(1, "late", PRICE);
    assert_eq!(shop.row(1).payment.status, PaymentStatus::RefundPending);
    let order = order_in(shop.done(Actor::Node, declined(2)));
    assert_eq!(order.payment.status, PaymentStatus::Canceled, "the order is over");
}

/// A shop where `orders` unpaid orders of 20 closed sales each are due.
fn with_backlog(orders: u128) -> Shop {
    let mut shop = Shop::empty();
    shop.done(STAFF, Action::ProductCreate(product_of(PRODUCT, 100_000)));
    let sales: Vec<SaleId> = (1..=20).map(SaleId::new).collect();
    for sale in &sales {
        shop.done(STAFF, Action::SaleCreate(sale_of(*sale, 1_000)));
    }
    let lines: Vec<_> = sales.iter().map(|sale| (PoolId::Sale(*sale), 1)).collect();
    for id in 1..=orders {
        shop.done(customer(id), order_of(id, &lines));
    }
    for id in sales {
        shop.done(STAFF, close(id));
    }
    shop.now = PAY_WITHIN;
    shop
}

#[test]
fn d14_work_is_bounded() {
    let mut shop = with_backlog(60);
    let tick = Command { actor: Actor::Node, receipt: None, action: Action::Tick(Tick) };
    let mut ticks = 0;
    loop {
        let decision = shop.propose(&tick);
        // A movement costs what a row does, and the entry of the journal comes on top.
        let movements = entry(&decision.changes).map_or(0, |entry| entry.movements.len());
        assert!(decision.changes.len() + movements <= BACKGROUND_CHANGES_MAX + 1);
        ticks += 1;
        let next = shop.memory.next_due();
        if next.is_none() {
            break;
        }
    }
    assert!(ticks > 1, "60 orders of 20 lines do not fit one entry");
    assert!(shop.memory.orders().all(|order| order.status == Status::Expired));
}

#[test]
fn a_tick_handles_256_rows_and_another_command_32() {
    let mut shop = Shop::empty();
    shop.done(STAFF, Action::ProductCreate(product_of(PRODUCT, 1_000)));
    for id in 1..=400 {
        shop.order(id, P, 1);
    }
    shop.now = PAY_WITHIN;
    let expired =
        |shop: &Shop| shop.memory.orders().filter(|order| order.status == Status::Expired).count();
    shop.ask(customer(1), Action::OrderConfirm(OrderConfirm { id: oid(9_999) }));
    assert_eq!(expired(&shop), AHEAD_ROWS_MAX, "also ahead of a refusal");
    shop.ask(Actor::Node, captured(9_999, "cap", PRICE));
    assert_eq!(expired(&shop), 2 * AHEAD_ROWS_MAX, "whoever asks");
    let (more, next_due) = shop.tick();
    assert_eq!(expired(&shop), 2 * AHEAD_ROWS_MAX + TICK_ROWS_MAX);
    assert!(more && next_due == Some(Millis::new(PAY_WITHIN)));
    let (more, next_due) = shop.tick();
    assert!(!more && next_due.is_none());
}

#[test]
fn a_tick_deletes_old_receipts_and_events_in_bounded_steps() {
    let receipts =
        |shop: &Shop| shop.memory.journal().filter(|entry| entry.receipt.is_some()).count();
    let events =
        |shop: &Shop| shop.memory.journal().filter(|entry| !entry.facts.is_empty()).count();
    let mut shop = Shop::with_product();
    for number in 0..1_100u128 {
        let mut scope = [0; 32];
        scope[..16].copy_from_slice(&number.to_be_bytes());
        let key = firstcome_domain::receipt::ReceiptKey {
            scope: firstcome_domain::receipt::Scope(scope),
            fingerprint: [0; 32],
        };
        let command = Command {
            actor: customer(1),
            receipt: Some(key),
            action: Action::OrderConfirm(OrderConfirm { id: oid(1) }),
        };
        shop.memory.step(&command, Millis::new(0));
    }
    shop.now = DAY - 1;
    assert!(!shop.tick().0);
    assert_eq!(receipts(&shop), 1_100);
    shop.now = DAY;
    assert!(shop.tick().0, "more is to be deleted");
    // The entry that created the product has no receipt, but is gone through like the others.
    assert_eq!(receipts(&shop), 1 + 1_100 - HOUSEKEEPING_ROWS_MAX);
    assert!(!shop.tick().0);
    assert_eq!(receipts(&shop), 0);
    assert_eq!(events(&shop), 1, "events are kept longer");
    shop.now = 7 * DAY;
    shop.tick();
    assert_eq!(events(&shop), 0);
}

#[test]
fn early_refusal_says_what_the_rules_would_say() {
    let mut shop = Shop::with_sale(1);
    let ask = |id: u128| Command {
        actor: customer(id),
        receipt: Some(key(u8::try_from(id).unwrap(), 0)),
        action: order_of(id, &[(S, 1)]),
    };
    let early =
        |shop: &Shop, id| early_refusal(&shop.memory, &ask(id), Millis::new(shop.now), None);
    assert_eq!(early(&shop, 1), None, "success is never answered from a read");
    shop.propose(&ask(1));
    let sold_out = Refusal::SoldOut { pool: S, available: Some(0) };
    assert_eq!(early(&shop, 2), Some(sold_out));
    assert_eq!(early(&shop, 1), None, "a receipt answers instead");
    shop.now = PAY_WITHIN;
    assert_eq!(early(&shop, 2), None, "an overdue order could free a unit");
    shop.tick();
    assert_eq!(early(&shop, 2), None);
    shop.done(STAFF, close(SALE));
    let closed = Refusal::SaleClosed { closes_at: Some(Millis::new(PAY_WITHIN)) };
    assert_eq!(early(&shop, 2), Some(closed));
}

/// Units of a product come back when holds end, and when a sale that is over hands back its rest.
#[test]
fn early_refusal_of_general_stock_waits_for_whatever_is_due() {
    let mut shop = Shop::with_product();
    shop.order(1, P, 10);
    let ask = Command { actor: customer(2), receipt: None, action: order_of(2, &[(P, 1)]) };
    let early = |now| early_refusal(&shop.memory, &ask, Millis::new(now), None);
    let sold_out = Some(Refusal::SoldOut { pool: P, available: Some(0) });
    assert_eq!(early(PAY_WITHIN - 1), sold_out);
    assert_eq!(early(PAY_WITHIN), None, "the hold ends now");
    assert_eq!(early(PAY_WITHIN + 1), None);
}

#[test]
fn early_refusal_knows_that_a_sale_is_over_by_its_time() {
    let mut shop = Shop::with_product();
    let closes_at = Some(Millis::new(MINUTE));
    shop.done(STAFF, Action::SaleCreate(SaleCreate { closes_at, ..sale_of(SALE, 5) }));
    let ask = Command { actor: customer(1), receipt: None, action: order_of(1, &[(S, 1)]) };
    let early = |now| early_refusal(&shop.memory, &ask, Millis::new(now), None);
    assert_eq!(early(MINUTE - 1), None);
    assert_eq!(early(MINUTE), Some(Refusal::SaleClosed { closes_at }));
}

#[test]
fn early_refusal_is_for_those_who_want_more_than_there_is() {
    let shop = Shop::with_product();
    let ask = |quantity| {
        let action = order_of(1, &[(P, quantity)]);
        let command = Command { actor: customer(1), receipt: None, action };
        early_refusal(&shop.memory, &command, Millis::new(0), None).map(|refusal| refusal.code())
    };
    assert_eq!([ask(10), ask(11)], [None, Some("sold_out")]);
}

/// Story: an order that a customer sent back gives its units to the pool of its sale when it is
/// due, and the early check looked only at orders that were not paid for.
#[test]
fn early_refusal_waits_for_a_return_that_is_due() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    shop.deliver(1);
    shop.done(customer(1), Action::OrderReturn(OrderReturn { id: oid(1) }));
    let ask = Command { actor: customer(2), receipt: None, action: order_of(2, &[(S, 1)]) };
    let early = |now| early_refusal(&shop.memory, &ask, Millis::new(now), None);
    let due = shop.memory.next_due().expect("a return waits for its time");
    assert_eq!(early(due.get() - 1).map(|refusal| refusal.code()), Some("sold_out"));
    assert_eq!(early(due.get()), None);
}

/// Story: the timers of yesterday's orders are due while today's sale sells out, and every loser had
/// to go through the log.
#[test]
fn early_refusal_does_not_wait_for_what_gives_nothing_to_the_sale() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    shop.done(STAFF, paid_outside(1));
    let ask = Command { actor: customer(2), receipt: None, action: order_of(2, &[(S, 1)]) };
    let due = shop.memory.next_due().expect("a paid order is shipped in time");
    let early = early_refusal(&shop.memory, &ask, due, None);
    assert_eq!(early.map(|refusal| refusal.code()), Some("sold_out"));
}

/// A log entry that decided would be stamped later than the rows are; but a clock ends no sale.
#[test]
fn early_refusal_takes_the_later_of_log_time_and_the_clock_but_closes_by_log_time() {
    let mut shop = Shop::with_product();
    let (opens_at, closes_at) = (Millis::new(MINUTE), Some(Millis::new(2 * MINUTE)));
    shop.done(STAFF, Action::SaleCreate(SaleCreate { opens_at, closes_at, ..sale_of(SALE, 1) }));
    let ask = Command { actor: customer(2), receipt: None, action: order_of(2, &[(S, 1)]) };
    let code = |shop: &Shop, log_time, clock: Option<i64>| {
        early_refusal(&shop.memory, &ask, Millis::new(log_time), clock.map(Millis::new))
            .map(|refusal| refusal.code())
    };
    assert_eq!(code(&shop, 0, None), Some("sale_not_open"));
    assert_eq!(code(&shop, 0, Some(MINUTE - 1)), Some("sale_not_open"));
    assert_eq!(code(&shop, 0, Some(MINUTE)), None, "by now it may have been opened");
    assert_eq!(code(&shop, MINUTE, Some(0)), None);
    shop.now = MINUTE;
    shop.order(1, S, 1);
    assert_eq!(code(&shop, MINUTE, Some(2 * MINUTE - 1)), Some("sold_out"));
    assert_eq!(code(&shop, MINUTE, Some(2 * MINUTE)), None, "not closed, and no longer open");
    assert_eq!(code(&shop, 2 * MINUTE, None), Some("sale_closed"));
    assert_eq!(code(&shop, 2 * MINUTE, Some(0)), Some("sale_closed"));
    assert_eq!(code(&shop, 2 * MINUTE, Some(5 * MINUTE)), Some("sale_closed"));
}

/// Story: a stranger could have 20 invented ids per order written to every log.
#[test]
fn early_refusal_knows_what_does_not_exist_and_what_is_no_order() {
    let shop = Shop::with_sale(1);
    let mut ask = Command { actor: customer(2), receipt: None, action: order_of(2, &[(S, 1)]) };
    let mut early = |change: fn(&mut OrderCreate)| {
        ask.action = order_of(2, &[(S, 1)]);
        let Action::OrderCreate(order) = &mut ask.action else { panic!("an order") };
        change(order);
        early_refusal(&shop.memory, &ask, Millis::new(0), None)
    };
    assert_eq!(early(|_| ()), None);
    let sale = early(|order| order.lines[0].target = PoolId::Sale(SaleId::new(77)));
    assert_eq!(sale, Some(Refusal::NotFound(Kind::Sale)));
    let product = early(|order| order.lines[0].target = PoolId::Product(ProductId::new(77)));
    assert_eq!(product, Some(Refusal::NotFound(Kind::Product)));
    let many = early(|order| order.lines = vec![WantedLine { target: S, quantity: 60 }; 2]);
    assert_eq!(many.map(|refusal| refusal.code()), Some("invalid_field"));
    let nowhere = early(|order| order.address = None);
    assert_eq!(nowhere.map(|refusal| refusal.code()), Some("invalid_field"));
}

/// What is due rides along with the next command, and is the node's doing.
#[test]
fn the_ledger_names_who_asked() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    shop.now = PAY_WITHIN;
    shop.order(2, S, 1);
    let mut named: Vec<_> = shop
        .memory
        .ledger()
        .filter_map(|row| Some((row.order?, row.movement.reason.as_str(), row.actor)))
        .collect();
    named.sort_by_key(|(order, reason, _)| (*order, *reason));
    let expected = [
        (oid(1), "hold", customer(1)),
        (oid(1), "release", Actor::Node),
        (oid(2), "hold", customer(2)),
    ];
    assert_eq!(named, expected);
}

#[test]
fn events_name_the_user_whose_command_did_something_and_else_the_node() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    shop.now = PAY_WITHIN;
    shop.order(2, S, 1);
    shop.now = 2 * PAY_WITHIN;
    // Refused, but not before the order that was due had expired.
    shop.refused(customer(3), order_of(3, &[(S, 2)]));
    let with_facts = shop.memory.journal().filter(|entry| !entry.facts.is_empty());
    let actors: Vec<Actor> = with_facts.map(|entry| entry.actor).collect();
    assert!(actors.ends_with(&[customer(1), customer(2), Actor::Node]), "{actors:?}");
}

/// What ended in the same log entry does not count any more, and others' orders never do.
#[test]
fn orders_that_end_in_the_same_entry_do_not_count_as_pending() {
    for (earlier, outcome) in [(1, "too_many_pending_orders"), (2, "done")] {
        let mut shop = Shop::with_product();
        let settings = Settings { max_pending_orders: 1, ..Settings::default() };
        shop.done(ADMIN, Action::SettingsUpdate(SettingsUpdate { settings, if_version: 0 }));
        // Ends ahead of the last command.
        shop.order(earlier, P, 1);
        shop.now = 1;
        if earlier == 1 {
            shop.order(2, P, 1);
        }
        shop.now = PAY_WITHIN;
        assert_eq!(code(&shop.ask(customer(2), order_of(3, &[(P, 1)]))), outcome);
    }
}

#[test]
fn an_order_reads_each_row_once() {
    let mut shop = Shop::with_sale(2);
    shop.order(1, S, 1);
    let command =
        Command { actor: customer(2), receipt: Some(key(1, 1)), action: order_of(2, &[(S, 1)]) };
    let view = Counting::new(&shop.memory);
    let stamp = Stamp { revision: Revision::new(50), now: Millis::new(0) };
    assert_eq!(decided_code(&decide(&view, &command, stamp)), "done");
    let mut reads = view.reads.into_inner();
    reads.sort();
    let total = reads.len();
    reads.dedup();
    assert_eq!(reads.len(), total, "{reads:?}");
    assert_eq!(total, 11, "{reads:?}");
}
