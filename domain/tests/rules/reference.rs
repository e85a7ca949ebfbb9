//! Defects of the reference service that the domain owns: each must stay impossible.

use std::collections::BTreeSet;

use firstcome_domain::address::Address;
use firstcome_domain::command::*;
use firstcome_domain::event::Fact;
use firstcome_domain::journal::Journal;
use firstcome_domain::kernel::row::Row as _;
use firstcome_domain::order::{Order, PaymentStatus, Refund, Status};
use firstcome_domain::outcome::{Done, Kind};
use firstcome_domain::sale::Phase;
use firstcome_domain::settings::Settings;
use firstcome_domain::testing::memory::{Look as _, Memory};
use firstcome_domain::value::Revision;
use firstcome_domain::wishlist::WishlistItem;
use firstcome_domain::{Millis, Outcome, ProductId, Refusal, SaleId, Stamp, decide};

use crate::shop::*;

fn cancel(id: u128) -> Action {
    Action::OrderCancel(OrderCancel { id: oid(id) })
}

#[test]
fn ref01_other_users_rows_are_not_found() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    let before = shop.memory.clone();
    for id in [1, 77] {
        for action in [
            cancel(id),
            Action::OrderConfirm(OrderConfirm { id: oid(id) }),
            Action::OrderReturn(OrderReturn { id: oid(id) }),
        ] {
            let refusal = shop.refused(customer(2), action);
            assert_eq!(refusal, Refusal::NotFound(Kind::Order), "theirs or nobody's: the same");
        }
    }
    assert!(shop.memory.orders().eq(before.orders()));

    shop.done(customer(1), wish(P, 1));
    let theirs = Action::WishlistRemove(WishlistRemove { target: P });
    for absent in [theirs, Action::WishlistRemove(WishlistRemove { target: S })] {
        let refusal = shop.refused(customer(2), absent);
        assert_eq!(refusal, Refusal::NotFound(Kind::WishlistItem), "theirs or nobody's: the same");
    }
    assert_eq!(shop.refused(customer(2), order_wishes(9)), Refusal::WishlistEmpty);
    shop.done(customer(2), Action::WishlistClear(WishlistClear));
    assert_eq!(shop.memory.all::<WishlistItem>().count(), 1);

    let Done::Address(saved) = shop.done(customer(1), save(1, 3)) else { panic!("an address") };
    for (theirs, nobodys) in [
        (discard(1), discard(9)),
        (change(1, 1, 4, true), change(9, 1, 4, true)),
        (to_saved(order_of(9, &[(P, 1)]), 1), to_saved(order_of(9, &[(P, 1)]), 9)),
    ] {
        for absent in [theirs, nobodys] {
            let refusal = shop.refused(customer(2), absent);
            assert_eq!(refusal, Refusal::NotFound(Kind::Address), "theirs or nobody's: the same");
        }
    }
    assert!(shop.memory.all::<Address>().eq([&*saved]));
}

#[test]
fn ref02_sale_commands_need_operator() {
    let mut shop = Shop::with_sale(1);
    let product = Some(won(2)).map(|price| ProductUpdate {
        id: PRODUCT,
        if_version: 1,
        name: None,
        description: None,
        image_url: None,
        no_shipping: None,
        price: Some(price),
        waitlist: None,
    });
    let shop_actions = [
        Action::ProductCreate(product_of(ProductId::new(2), 1)),
        Action::ProductUpdate(product.unwrap()),
        Action::ProductSetStatus(ProductSetStatus {
            id: PRODUCT,
            if_version: 1,
            discontinued: true,
        }),
        Action::StockAdjust(StockAdjust {
            pool: P,
            adjustment: Adjustment::In,
            quantity: 1,
            note: None,
        }),
        Action::SaleCreate(sale_of(SaleId::new(2), 1)),
        Action::SaleUpdate(no_update(SALE, 1)),
        Action::SaleAllot(SaleAllot {
            id: SALE,
            allotment: Allotment::Down,
            quantity: 1,
            note: None,
        }),
        pause(SALE),
        resume(SALE),
        close(SALE),
    ];
    let before = shop.memory.clone();
    for action in shop_actions {
        for actor in [customer(1), SUPPORT, Actor::Node] {
            assert_eq!(shop.code(actor, action.clone()), "permission_denied", "{action:?}");
        }
    }
    let settings =
        Action::SettingsUpdate(SettingsUpdate { if_version: 0, settings: Settings::default() });
    for actor in [customer(1), SUPPORT, STAFF, Actor::Node] {
        assert_eq!(shop.code(actor, settings.clone()), "permission_denied");
    }
    for actor in [customer(1), SUPPORT, STAFF, ADMIN] {
        assert_eq!(shop.code(actor, Action::Tick(Tick)), "permission_denied");
        assert_eq!(shop.code(actor, captured(1, "cap", PRICE)), "permission_denied");
        assert_eq!(shop.code(actor, declined(1)), "permission_denied");
    }
    assert_eq!(shop.code(customer(1), paid_outside(1)), "permission_denied");
    assert_eq!(shop.code(Actor::Node, paid_outside(1)), "permission_denied");
    assert_eq!(shop.code(Actor::Node, order_of(1, &[(S, 1)])), "permission_denied");
    assert!(shop.memory.ledger().eq(before.ledger()));
    assert_eq!(shop.code(ADMIN, settings), "done");
}

#[test]
fn ref07_release_and_hold_in_any_order() {
    // Two releases and one hold of the same units, in each order: the sums are the same.
    let orders = [["c1", "c2", "o3"], ["c1", "o3", "c2"], ["o3", "c1", "c2"], ["c2", "o3", "c1"]];
    for steps in orders {
        let mut shop = Shop::with_sale(3);
        shop.order(1, S, 1);
        shop.order(2, S, 1);
        for step in steps {
            match step {
                "c1" => drop(shop.cancel(1)),
                "c2" => drop(shop.cancel(2)),
                _ => drop(shop.order(3, S, 1)),
            }
        }
        assert_eq!(shop.units(S), [2, 1, 0], "{steps:?}");
    }
}

#[test]
fn ref08_no_second_copy_of_stock() {
    // The cache was refilled from a number read before a decrement. Here new units are added to
    // what is there, and nothing is ever set.
    let mut shop = Shop::with_sale(2);
    shop.order(1, S, 1);
    let more = StockAdjust { pool: S, adjustment: Adjustment::In, quantity: 5, note: None };
    shop.done(STAFF, Action::StockAdjust(more));
    assert_eq!(shop.units(S), [6, 1, 0]);
    shop.pay(1);
    assert_eq!(shop.units(S), [6, 0, 1]);
}

#[test]
fn ref09_restart_keeps_holds() {
    let mut shop = Shop::with_sale(1);
    let mut copy = Memory::new();
    let decision = shop.ask_with_key(customer(1), key(1, 1), order_of(1, &[(S, 1)]));
    // The rows are all there is: a state rebuilt from them decides alike.
    shop.memory.products().for_each(|row| copy.put(row.clone()));
    shop.memory.sales().for_each(|row| copy.put(row.clone()));
    shop.memory.pools().for_each(|row| copy.put(*row));
    shop.memory.usages().for_each(|row| copy.put(*row));
    shop.memory.orders().for_each(|row| copy.put(row.clone()));
    let now = Millis::new(PAY_WITHIN);
    for (actor, action) in [
        (customer(2), order_of(2, &[(S, 1)])),
        (customer(1), order_of(2, &[(S, 1)])),
        (Actor::Node, Action::Tick(Tick)),
    ] {
        let command = Command { actor, receipt: None, action };
        for at in [Millis::new(0), now] {
            let stamp = Stamp { revision: Revision::new(99), now: at };
            assert_eq!(decide(&copy, &command, stamp), decide(&shop.memory, &command, stamp));
        }
    }
    assert_eq!(code(&decision), "done");
}

#[test]
fn ref10_late_success_never_revives() {
    for end in ["expired", "canceled", "declined"] {
        let mut shop = Shop::with_sale(1);
        shop.order(1, S, 1);
        match end {
            "expired" => shop.now = PAY_WITHIN,
            "canceled" => drop(shop.cancel(1)),
            _ => drop(shop.done(Actor::Node, declined(1))),
        }
        let order = shop.captured(1, "late", PRICE);
        assert!(order.status.is_terminal(), "{end}");
        assert_eq!(order.payment.status, PaymentStatus::RefundPending, "{end}");
        assert_eq!(shop.units(S), [1, 0, 0], "{end}");
    }
}

#[test]
fn ref11_failure_and_expiry_release_once() {
    let mut shop = Shop::with_sale(2);
    shop.order(1, S, 1);
    shop.order(2, S, 1);
    shop.done(Actor::Node, declined(1));
    shop.now = PAY_WITHIN;
    shop.tick();
    shop.done(Actor::Node, declined(1));
    shop.done(Actor::Node, declined(2));
    assert_eq!(shop.row(1).status, Status::PaymentFailed);
    assert_eq!(shop.row(2).status, Status::Expired);
    assert_eq!(shop.units(S), [2, 0, 0]);
}

#[test]
fn ref12_repeated_tick_releases_once() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    shop.now = PAY_WITHIN;
    for _ in 0..3 {
        shop.tick();
        assert_eq!(shop.units(S), [1, 0, 0]);
    }
    let releases = shop.memory.ledger().filter(|row| row.movement.reason.as_str() == "release");
    assert_eq!(releases.count(), 1);
}

#[test]
fn ref13_pay_and_expiry_have_one_winner() {
    for (paid_at, status) in [(PAY_WITHIN - 1, Status::Paid), (PAY_WITHIN, Status::Expired)] {
        let mut shop = Shop::with_sale(1);
        shop.order(1, S, 1);
        shop.now = paid_at;
        shop.captured(1, "cap", PRICE);
        shop.now = PAY_WITHIN;
        shop.tick();
        assert_eq!(shop.row(1).status, status, "at {paid_at}");
    }
}

#[test]
fn ref14_quantity_below_one_refused() {
    let mut shop = Shop::with_sale(1);
    for lines in [&[(S, 0)][..], &[(S, 1), (P, 0)], &[], &[(P, 101)]] {
        assert_eq!(shop.code(customer(1), order_of(1, lines)), "invalid_field");
    }
    for quantity in [0, 1_000_000_001] {
        let adjust = StockAdjust { pool: P, adjustment: Adjustment::In, quantity, note: None };
        assert_eq!(shop.code(STAFF, Action::StockAdjust(adjust)), "invalid_field");
        let allotment = Allotment::UpFromNew;
        let allot = SaleAllot { id: SALE, allotment, quantity, note: None };
        assert_eq!(shop.code(STAFF, Action::SaleAllot(allot)), "invalid_field");
    }
}

#[test]
fn ref15_double_cancel_releases_once() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    shop.pay(1);
    assert_eq!(code(&shop.cancel(1)), "done");
    assert_eq!(code(&shop.cancel(1)), "not_cancelable");
    assert_eq!(shop.code(STAFF, cancel(1)), "not_cancelable");
    assert_eq!(shop.units(S), [1, 0, 0]);
}

#[test]
fn ref17_multi_line_all_or_nothing() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    let before = shop.memory.clone();
    assert_eq!(shop.code(customer(2), order_of(2, &[(P, 3), (S, 1)])), "sold_out");
    assert!(shop.memory.pools().eq(before.pools()));
    assert!(shop.memory.ledger().eq(before.ledger()));
    assert!(shop.memory.usages().eq(before.usages()));
}

#[test]
fn ref20_repeated_report_changes_nothing() {
    let mut shop = Shop::with_sale(2);
    shop.order(1, S, 1);
    shop.order(2, S, 1);
    shop.pay(1);
    shop.done(Actor::Node, declined(2));
    for report in [captured(1, "cap", PRICE), declined(2), declined(1)] {
        assert_eq!(shop.ask(Actor::Node, report).changes, []);
    }
}

#[test]
fn ref21_event_never_precedes_its_order() {
    let mut shop = Shop::with_sale(1);
    let decision = shop.ask(customer(1), order_of(1, &[(S, 1)]));
    let place = |table| decision.changes.iter().position(|change| change.table == table).unwrap();
    let (order, facts) = (place(Order::TABLE), place(Journal::TABLE));
    assert!(!entry(&decision.changes).unwrap().facts.is_empty());
    assert!(order < facts, "one transaction, and the row first even inside it");
    for entry in shop.memory.journal() {
        for fact in &entry.facts {
            if let Fact::OrderCreated { order, .. } = fact {
                assert_eq!(shop.memory.order(*order).unwrap().ticket, entry.stamp);
            }
        }
    }
}

#[test]
fn ref23_accounts_equal_ledger() {
    let mut shop = Shop::with_sale(5);
    for id in 1..=5 {
        shop.order(id, S, 1);
    }
    shop.pay(1);
    shop.cancel(2);
    shop.done(Actor::Node, declined(3));
    shop.now = PAY_WITHIN;
    shop.tick();
    // The checker replays the whole ledger; it runs after every step above as well.
    assert_eq!(firstcome_domain::invariant::check(&shop.memory), Ok(Vec::new()));
    assert_eq!(shop.units(S), [4, 0, 1]);
}

#[test]
fn ref24_decline_reaches_the_order() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    let decision = shop.ask(Actor::Node, declined(1));
    let order = shop.row(1);
    assert_eq!(order.status, Status::PaymentFailed);
    assert_eq!(order.payment.status, PaymentStatus::Failed);
    assert_eq!(order.payment.last_code.as_deref(), Some("card_declined"));
    assert_eq!(facts(&decision)[..2], ["payment.failed", "order.payment_failed"]);
}

#[test]
fn ref26_outage_does_not_collapse_states() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    shop.pay(1);
    shop.now = 30 * DAY;
    for (expected, entered) in [(Status::Shipping, 30), (Status::Delivered, 31)] {
        shop.tick();
        let order = shop.row(1);
        assert_eq!((order.status, order.entered_at), (expected, Millis::new(entered * DAY)));
        assert_eq!(order.due_at, Some(Millis::new((entered + 1) * DAY)));
        shop.tick();
        assert_eq!(shop.row(1), order, "one step per entry into a status");
        shop.now += DAY;
    }
    shop.tick();
    assert_eq!((shop.row(1).status, shop.row(1).due_at), (Status::Confirmed, None));
}

#[test]
fn ref27_tick_reads_only_due_rows() {
    let mut shop = Shop::empty();
    shop.done(STAFF, Action::ProductCreate(product_of(PRODUCT, 1_000)));
    for id in 1..=3 {
        shop.order(id, P, 1);
    }
    shop.now = 1;
    for id in 4..=300 {
        shop.order(id, P, 1);
    }
    let view = Counting::new(&shop.memory);
    let tick = Command { actor: Actor::Node, receipt: None, action: Action::Tick(Tick) };
    let stamp = Stamp { revision: Revision::new(9_999), now: Millis::new(PAY_WITHIN) };
    decide(&view, &tick, stamp);
    let reads = view.reads.into_inner();
    let orders: BTreeSet<_> = reads.iter().filter(|read| read.starts_with("orders ")).collect();
    assert_eq!(orders.len(), 3, "{reads:?}");
    assert!(reads.len() < 15, "{reads:?}");
    let view = Counting::new(&shop.memory);
    decide(&view, &tick, Stamp { now: Millis::new(2), ..stamp });
    let reads = view.reads.into_inner();
    let tables: Vec<_> = reads.iter().filter_map(|read| read.split(' ').next()).collect();
    let over = ["sessions_by_end", "email_codes_by_end", "effects_failed"];
    let retention = ["settings", "retention", "journal", "journal"];
    let wanted: Vec<_> = ["due"].into_iter().chain(over).chain(retention).collect();
    assert_eq!(tables, wanted, "{reads:?}");
}

#[test]
fn ref28_ticks_from_two_leaders_are_harmless() {
    let mut shop = Shop::with_sale(2);
    shop.order(1, S, 1);
    shop.order(2, S, 1);
    shop.now = PAY_WITHIN;
    shop.tick();
    let before = shop.memory.clone();
    // The other leader's clock is behind; log time is not.
    shop.now = PAY_WITHIN - 5;
    let decision = shop.ask(Actor::Node, Action::Tick(Tick));
    assert_eq!(decision.changes, []);
    assert!(shop.memory.orders().eq(before.orders()));
}

#[test]
fn ref29_window_is_an_instant_range() {
    let mut shop = Shop::with_product();
    let mut ask = sale_of(SALE, 1);
    ask.opens_at = Millis::new(10);
    ask.closes_at = Some(Millis::new(10));
    assert_eq!(shop.code(STAFF, Action::SaleCreate(ask.clone())), "invalid_field");
    ask.closes_at = Some(Millis::new(10 + 3 * DAY));
    shop.done(STAFF, Action::SaleCreate(ask));
    assert_eq!(shop.sale().due_at, Some(Millis::new(10)));
    shop.now = 10;
    let decision = shop.ask(Actor::Node, Action::Tick(Tick));
    assert_eq!(facts(&decision), ["sale.opened"]);
    assert_eq!(shop.sale().due_at, Some(Millis::new(10 + 3 * DAY)));
    shop.now = 10 + 3 * DAY;
    let decision = shop.ask(Actor::Node, Action::Tick(Tick));
    assert_eq!(facts(&decision), ["sale.closed", "stock.changed", "stock.changed"]);
    assert!(shop.sale().closed && shop.sale().due_at.is_none());
    assert_eq!(shop.units(P), [10, 0, 0]);
}

#[test]
fn ref30_discontinued_is_refused() {
    let mut shop = Shop::with_sale(2);
    shop.order(1, S, 1);
    let ask = ProductSetStatus { id: PRODUCT, if_version: 1, discontinued: true };
    shop.done(STAFF, Action::ProductSetStatus(ask));
    for pool in [P, S] {
        let refusal = shop.refused(customer(2), order_of(2, &[(pool, 1)]));
        assert_eq!(refusal, Refusal::ProductDiscontinued { product: PRODUCT });
    }
    assert_eq!(shop.pay(1).status, Status::Paid, "running orders go on");
}

#[test]
fn ref31_price_change_is_announced() {
    let mut shop = Shop::with_product();
    let seen = |total| match order_of(1, &[(P, 2)]) {
        Action::OrderCreate(ask) => {
            Action::OrderCreate(OrderCreate { expected_total: Some(total), ..ask })
        }
        other => other,
    };
    let total = won(2 * PRICE);
    let currency = firstcome_domain::value::Currency::new("USD").unwrap();
    let in_dollars = firstcome_domain::value::Money { currency, ..total };
    for other in [won(2 * PRICE - 1), in_dollars] {
        let refusal = shop.refused(customer(1), seen(other));
        assert_eq!(refusal, Refusal::PriceChanged { total });
    }
    shop.done(customer(1), seen(total));
}

#[test]
fn ref32_unpaid_order_can_be_canceled() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    assert_eq!(code(&shop.cancel(1)), "done");
    assert_eq!(shop.row(1).payment.status, PaymentStatus::Canceled);
    assert_eq!(shop.memory.usage(SALE, firstcome_domain::UserId::new(1)).unwrap().used, 0);
    shop.order(2, S, 1);
}

#[test]
fn ref33_cancel_and_return_refund() {
    let mut shop = Shop::with_sale(3);
    for id in 1..=3 {
        shop.order(id, S, 1);
    }
    shop.pay(1);
    shop.cancel(1);
    for (id, restock) in [(2, true), (3, false)] {
        shop.deliver(id);
        shop.done(customer(id), Action::OrderReturn(OrderReturn { id: oid(id) }));
        assert_eq!(shop.row(id).payment.status, PaymentStatus::Paid, "not before it came back");
        shop.done(SUPPORT, Action::ReturnReceive(ReturnReceive { id: oid(id), restock }));
    }
    for id in 1..=3 {
        let payment = shop.row(id).payment;
        assert_eq!(payment.status, PaymentStatus::RefundPending);
        assert_eq!(payment.captures[0].refund, Refund::Pending);
    }
    let accounts = shop.stock(S);
    assert_eq!((accounts.available, accounts.sold, accounts.scrapped), (2, 0, 1));
}

#[test]
fn ref34_one_payment_exact_amount() {
    let mut shop = Shop::with_sale(3);
    for id in 1..=3 {
        shop.order(id, S, 1);
    }
    for (id, amount) in [(1, PRICE - 1), (2, PRICE + 1)] {
        let order = shop.captured(id, "cap", amount);
        assert_eq!(order.status, Status::PaymentFailed);
        assert_eq!(order.payment.captures[0].refund, Refund::Pending);
    }
    shop.captured(3, "first", PRICE);
    let order = shop.captured(3, "second", PRICE);
    assert_eq!((order.status, order.payment.status), (Status::Paid, PaymentStatus::Paid));
    let refunds: Vec<_> = order.payment.captures.iter().map(|capture| capture.refund).collect();
    assert_eq!(refunds, [Refund::None, Refund::Pending], "only the second one goes back");
}

#[test]
fn ref35_same_key_same_outcome() {
    let mut shop = Shop::with_sale(1);
    let first = shop.ask_with_key(customer(1), key(1, 1), order_of(1, &[(S, 1)]));
    let lost = shop.ask_with_key(customer(2), key(2, 1), order_of(2, &[(S, 1)]));
    shop.now = PAY_WITHIN;
    shop.tick();
    // Another node proposes other ids; the outcome is still the first one's.
    for (actor, name, before) in [(customer(1), 1, &first), (customer(2), 2, &lost)] {
        let again = shop.ask_with_key(actor, key(name, 1), order_of(50, &[(S, 1)]));
        assert!(again.replayed);
        assert_eq!((&again.outcome, again.decided), (&before.outcome, before.decided));
        assert_eq!(again.changes, []);
    }
    let other = shop.ask_with_key(customer(1), key(1, 2), order_of(50, &[(S, 1)]));
    assert_eq!((code(&other), other.changes.len()), ("idempotency_key_reused", 0));
    // From expires_at on, the key is new.
    shop.now = DAY;
    let new = shop.ask_with_key(customer(1), key(1, 2), order_of(51, &[(S, 1)]));
    assert_eq!((code(&new), new.replayed), ("done", false));
}

#[test]
fn ref36_limit_counts_unpaid_orders() {
    let mut shop = Shop::with_product();
    shop.done(STAFF, Action::SaleCreate(SaleCreate { per_customer_limit: 3, ..sale_of(SALE, 9) }));
    let ask = |id, quantity| order_of(id, &[(S, quantity)]);
    shop.done(customer(1), ask(1, 2));
    shop.pay(1);
    let refusal = shop.refused(customer(1), ask(2, 2));
    assert_eq!(refusal, Refusal::LimitReached { limit: 3, used: 2 });
    shop.done(customer(1), ask(2, 1));
    let update = SaleUpdate { per_customer_limit: Some(1), ..no_update(SALE, 1) };
    shop.done(STAFF, Action::SaleUpdate(update));
    assert_eq!(shop.units(S), [6, 1, 2], "lowering a limit takes no units away");
    shop.done(customer(1), cancel(2));
    let refusal = shop.refused(customer(1), ask(3, 1));
    assert_eq!(refusal, Refusal::LimitReached { limit: 1, used: 2 });
}

#[test]
fn unpaid_orders_of_one_customer_are_bounded() {
    let mut shop = Shop::empty();
    shop.done(STAFF, Action::ProductCreate(product_of(PRODUCT, 1_000)));
    for id in 1..=10 {
        shop.done(customer(1), order_of(id, &[(P, 1)]));
    }
    let refusal = shop.refused(customer(1), order_of(11, &[(P, 1)]));
    assert_eq!(refusal, Refusal::TooManyPendingOrders { limit: 10 });
    shop.done(customer(1), cancel(1));
    shop.done(customer(1), order_of(11, &[(P, 1)]));
}

#[test]
fn ref37_out_of_stock_follows_units() {
    let mut shop = Shop::with_sale(2);
    let phase = |shop: &Shop| {
        let sale = shop.sale();
        sale.phase(false, shop.stock(S).available, Millis::new(shop.now))
    };
    shop.order(1, S, 1);
    assert_eq!(phase(&shop), Phase::Open);
    let last = shop.ask(customer(2), order_of(2, &[(S, 1)]));
    assert_eq!(phase(&shop), Phase::SoldOut);
    assert!(facts(&last).contains(&"sale.sold_out"));
    let back = shop.cancel(1);
    assert_eq!(phase(&shop), Phase::Open);
    assert!(facts(&back).contains(&"sale.available_again"));
}

#[test]
fn ref38_reads_show_window_and_phase() {
    let mut shop = Shop::with_product();
    let ask = SaleCreate {
        opens_at: Millis::new(10),
        closes_at: Some(Millis::new(20)),
        ..sale_of(SALE, 1)
    };
    let Done::Sale(sale, pool, discontinued) = shop.done(STAFF, Action::SaleCreate(ask)) else {
        panic!("a sale");
    };
    let at = |now| sale.phase(discontinued, pool.accounts.available, Millis::new(now));
    assert_eq!(
        [at(9), at(10), at(19), at(20)],
        [Phase::Scheduled, Phase::Open, Phase::Open, Phase::Closed]
    );
    let mut sale = *sale;
    sale.paused = true;
    assert_eq!(sale.phase(false, 1, Millis::new(9)), Phase::Paused);
    assert_eq!(sale.phase(true, 1, Millis::new(9)), Phase::Discontinued);
    sale.closed = true;
    assert_eq!(sale.phase(true, 1, Millis::new(9)), Phase::Closed);
    sale = shop.sale();
    assert_eq!(sale.phase(false, 0, Millis::new(10)), Phase::SoldOut);
}

#[test]
fn ref41_lost_race_is_sold_out() {
    let mut shop = Shop::with_sale(1);
    let outcomes: Vec<_> =
        (1..=5).map(|id| shop.code(customer(id), order_of(id, &[(S, 1)]))).collect();
    assert_eq!(outcomes, ["done", "sold_out", "sold_out", "sold_out", "sold_out"]);
}

#[test]
fn ref43_empty_wishlist_is_refused() {
    let mut shop = Shop::with_sale(1);
    assert_eq!(shop.refused(customer(1), order_wishes(1)), Refusal::WishlistEmpty);
    shop.done(customer(1), wish(S, 1));
    shop.done(customer(1), order_wishes(2));
    assert_eq!(shop.refused(customer(1), order_wishes(3)), Refusal::WishlistEmpty);
}

#[test]
fn ref54_exactly_one_default_address() {
    let mut shop = Shop::with_product();
    let defaults = |shop: &Shop| -> Vec<u128> {
        let default = shop.memory.all::<Address>().filter(|address| address.is_default);
        default.map(|address| address.id.get()).collect()
    };
    // The ids do not run in the order in which the addresses are saved.
    for id in [3, 1, 2] {
        shop.done(customer(1), save(id, 3));
        assert_eq!(defaults(&shop), [3], "the first one");
    }
    shop.done(customer(1), change(2, 1, 3, true));
    assert_eq!(defaults(&shop), [2], "taken from the other");
    shop.done(customer(1), change(3, 2, 4, false));
    shop.done(customer(1), discard(1));
    assert_eq!(defaults(&shop), [2], "whatever happens to others");
    shop.done(customer(1), save(4, 3));
    shop.done(customer(1), discard(2));
    assert_eq!(defaults(&shop), [3], "passed to the oldest");
    shop.done(customer(1), discard(3));
    assert_eq!(defaults(&shop), [4]);
    shop.done(customer(1), discard(4));
    assert_eq!(defaults(&shop), [], "none is left");
    shop.done(customer(1), save(5, 3));
    assert_eq!(defaults(&shop), [5], "the first one again");
}

#[test]
fn ref62_every_row_is_stamped() {
    let mut shop = Shop::with_sale(1);
    shop.now = 5;
    let created = shop.ask(customer(1), order_of(1, &[(S, 1)])).decided;
    shop.now = 6;
    shop.pay(1);
    let updated = shop.memory.last();
    shop.done(
        ADMIN,
        Action::SettingsUpdate(SettingsUpdate { if_version: 0, settings: Settings::default() }),
    );
    let order = shop.row(1).row;
    assert_eq!((order.version, order.created, order.updated), (2, created, updated));
    let rows = [
        shop.memory.product(PRODUCT).unwrap().row,
        shop.sale().row,
        shop.memory.pool(S).unwrap().row,
        shop.memory.pool(P).unwrap().row,
        shop.memory.usages().next().unwrap().row,
        shop.memory.settings().row,
    ];
    for row in rows {
        assert!(row.version > 0 && row.created.revision > Revision::new(0));
        assert!(row.updated.revision >= row.created.revision);
    }
    // However many writes one entry makes to a row, its version goes up by one.
    assert_eq!(shop.memory.pool(S).unwrap().row.version, 3);
}

#[test]
fn stale_editors_are_told_the_current_version() {
    let mut shop = Shop::with_sale(1);
    let rename = SaleUpdate { title: Some("New".into()), ..no_update(SALE, 1) };
    shop.done(STAFF, Action::SaleUpdate(rename.clone()));
    let refusal = shop.refused(STAFF, Action::SaleUpdate(rename));
    assert_eq!(refusal, Refusal::VersionMismatch { current: 2 });
    let pause = SalePause { id: SALE, if_version: Some(1) };
    assert_eq!(shop.code(STAFF, Action::SalePause(pause)), "version_mismatch");
}

#[test]
fn order_checks_come_in_the_documented_order() {
    // Every check fails at first; each round repairs the one that spoke.
    let mut shop = Shop::with_sale(1);
    shop.order(9, S, 1);
    shop.order(2, P, 1);
    let settings = Settings { max_pending_orders: 1, ..Settings::default() };
    shop.done(ADMIN, Action::SettingsUpdate(SettingsUpdate { if_version: 0, settings }));
    let later = SaleCreate {
        opens_at: Millis::new(50),
        closes_at: Some(Millis::new(100)),
        ..sale_of(SaleId::new(3), 1)
    };
    shop.done(STAFF, Action::SaleCreate(later));
    shop.done(STAFF, pause(SALE));
    let set_status = |if_version, discontinued| {
        Action::ProductSetStatus(ProductSetStatus { id: PRODUCT, if_version, discontinued })
    };
    shop.done(STAFF, set_status(1, true));
    let later = firstcome_domain::stock::PoolId::Sale(SaleId::new(3));
    let ask = |lines: &[_], total| match order_of(1, lines) {
        Action::OrderCreate(ask) => {
            Action::OrderCreate(OrderCreate { expected_total: total, ..ask })
        }
        other => other,
    };
    let both = [(later, 2), (S, 2)];
    let wrong = Some(won(1));
    assert_eq!(shop.code(customer(2), ask(&both, wrong)), "product_discontinued");
    shop.done(STAFF, set_status(2, false));
    assert_eq!(shop.code(customer(2), ask(&both, wrong)), "sale_paused");
    shop.done(STAFF, resume(SALE));
    assert_eq!(shop.code(customer(2), ask(&both, wrong)), "sale_not_open");
    shop.now = 100;
    assert_eq!(shop.code(customer(2), ask(&both, wrong)), "sale_closed");
    let one = [(S, 2)];
    assert_eq!(shop.code(customer(9), ask(&one, wrong)), "price_changed");
    assert_eq!(shop.code(customer(9), ask(&one, None)), "already_holding");
    assert_eq!(shop.code(customer(2), ask(&one, None)), "too_many_pending_orders");
    shop.cancel(2);
    assert_eq!(shop.code(customer(2), ask(&one, None)), "limit_reached");
    assert_eq!(shop.code(customer(2), ask(&[(S, 1)], None)), "sold_out");
    shop.cancel(9);
    assert_eq!(shop.code(customer(2), ask(&[(S, 1)], None)), "done");
}

#[test]
fn orders_in_two_currencies_are_refused() {
    let mut shop = Shop::with_product();
    let euro = firstcome_domain::value::Money {
        amount: 5,
        currency: firstcome_domain::value::Currency::new("EUR").unwrap(),
    };
    let other = ProductId::new(2);
    shop.done(STAFF, Action::ProductCreate(ProductCreate { price: euro, ..product_of(other, 1) }));
    let pool = firstcome_domain::stock::PoolId::Product(other);
    assert_eq!(shop.code(customer(1), order_of(1, &[(P, 1), (pool, 1)])), "currency_mixed");
}

#[test]
fn addresses_are_needed_unless_nothing_is_shipped() {
    let mut shop = Shop::with_product();
    let ticket = ProductId::new(2);
    shop.done(
        STAFF,
        Action::ProductCreate(ProductCreate { no_shipping: true, ..product_of(ticket, 5) }),
    );
    let ask = |lines: &[_]| match order_of(1, lines) {
        Action::OrderCreate(ask) => Action::OrderCreate(OrderCreate { address: None, ..ask }),
        other => other,
    };
    let pool = firstcome_domain::stock::PoolId::Product(ticket);
    let refusal = shop.refused(customer(1), ask(&[(pool, 1), (P, 1)]));
    let expected = Refusal::InvalidField { pointer: "/address".into(), code: "required".into() };
    assert_eq!(refusal, expected);
    shop.done(customer(1), ask(&[(pool, 1)]));
}

#[test]
fn used_ids_are_refused() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, P, 1);
    assert_eq!(shop.code(customer(1), order_of(1, &[(P, 1)])), "id_in_use");
    assert_eq!(shop.code(STAFF, Action::ProductCreate(product_of(PRODUCT, 1))), "id_in_use");
    assert_eq!(shop.code(STAFF, Action::SaleCreate(sale_of(SALE, 1))), "id_in_use");
}

#[test]
fn allotments_move_units_between_a_sale_and_its_product() {
    let mut shop = Shop::with_sale(4);
    let mut allot = |allotment, quantity| {
        let ask = SaleAllot { id: SALE, allotment, quantity, note: None };
        let decision = shop.ask(STAFF, Action::SaleAllot(ask));
        let stock = (shop.stock(P).available, shop.stock(S).available);
        (matches!(decision.outcome, Outcome::Done(_)), stock)
    };
    assert_eq!(allot(Allotment::UpFromGeneral, 6), (true, (0, 10)));
    assert_eq!(allot(Allotment::UpFromGeneral, 1), (false, (0, 10)));
    assert_eq!(allot(Allotment::UpFromNew, 5), (true, (0, 15)));
    assert_eq!(allot(Allotment::Down, 16), (false, (0, 15)));
    assert_eq!(allot(Allotment::Down, 15), (true, (15, 0)));
}

#[test]
fn a_closed_sale_hands_on_whatever_comes_back() {
    let mut shop = Shop::with_sale(3);
    shop.order(1, S, 1);
    shop.order(2, S, 1);
    let scrap = StockAdjust { pool: S, adjustment: Adjustment::Scrap, quantity: 1, note: None };
    shop.done(STAFF, Action::StockAdjust(scrap.clone()));
    shop.pay(1);
    shop.done(STAFF, close(SALE));
    assert_eq!(shop.units(P), [7, 0, 0]);
    shop.cancel(1);
    assert_eq!(shop.units(P), [8, 0, 0]);
    shop.now = PAY_WITHIN;
    shop.tick();
    assert_eq!(shop.units(P), [9, 0, 0]);
    let unscrap = StockAdjust { adjustment: Adjustment::Unscrap, ..scrap.clone() };
    shop.done(STAFF, Action::StockAdjust(unscrap));
    assert_eq!((shop.units(P), shop.units(S)), ([10, 0, 0], [0, 0, 0]));
    let more = StockAdjust { adjustment: Adjustment::In, ..scrap };
    assert_eq!(shop.code(STAFF, Action::StockAdjust(more)), "sale_closed");
}
