//! Wishlists: what customers keep for later, and how all of it is ordered at once.

use firstcome_domain::command::*;
use firstcome_domain::order::{Order, Source};
use firstcome_domain::outcome::Done;
use firstcome_domain::stock::PoolId;
use firstcome_domain::value::{LINE_QUANTITY_MAX, LINES_MAX, WISHLIST_ITEMS_MAX};
use firstcome_domain::wishlist::{Wish, WishlistItem};
use firstcome_domain::{
    Millis, ProductId, Refusal, SaleId, Stamp, UserId, decide, early_refusal, outcome::Kind,
};

use crate::shop::*;

const NOBODY: PoolId = PoolId::Sale(SaleId::new(77));

fn remove(target: PoolId) -> Action {
    Action::WishlistRemove(WishlistRemove { target })
}

fn wish_in(done: Done) -> Wish {
    match done {
        Done::Wish(wish) => *wish,
        other => panic!("not a wish: {other:?}"),
    }
}

/// The targets and quantities on a customer's list, by target.
fn list(shop: &Shop, customer: u128) -> Vec<(PoolId, u32)> {
    let items = shop.memory.all::<WishlistItem>();
    let own = items.filter(|item| item.customer == UserId::new(customer));
    own.map(|item| (item.target, item.quantity)).collect()
}

/// A shop with `count` products, each with 10 units.
fn with_products(count: usize) -> (Shop, Vec<PoolId>) {
    let mut shop = Shop::empty();
    let ids = (1..=u128::try_from(count).unwrap()).map(ProductId::new);
    let pools = ids.map(|id| {
        shop.done(STAFF, Action::ProductCreate(product_of(id, 10)));
        PoolId::Product(id)
    });
    let pools = pools.collect();
    (shop, pools)
}

#[test]
fn a_quantity_is_set_not_added() {
    let mut shop = Shop::with_sale(1);
    let first = wish_in(shop.done(customer(1), wish(S, 3)));
    assert_eq!((first.item.quantity, first.item.row.version), (3, 1));
    let second = wish_in(shop.done(customer(1), wish(S, 2)));
    assert_eq!((second.item.quantity, second.item.row.version), (2, 2));
    assert_eq!(second.item.row.created, first.item.row.created, "it keeps its place");
    assert_eq!(list(&shop, 1), [(S, 2)]);
}

#[test]
fn an_item_is_shown_with_the_price_of_now() {
    let mut shop = Shop::with_sale(1);
    let price = |shop: &mut Shop, pool| wish_in(shop.done(customer(1), wish(pool, 1))).unit_price;
    assert_eq!(price(&mut shop, P), won(PRICE));
    let update = ProductUpdate {
        id: PRODUCT,
        if_version: 1,
        name: None,
        description: None,
        image_url: None,
        no_shipping: None,
        price: Some(won(5)),
        waitlist: None,
    };
    shop.done(STAFF, Action::ProductUpdate(update));
    assert_eq!(price(&mut shop, P), won(5));
    assert_eq!(price(&mut shop, S), won(PRICE), "a sale keeps its own");
}

#[test]
fn stock_and_window_do_not_matter_until_it_is_ordered() {
    let mut shop = Shop::with_product();
    let later = SaleCreate { opens_at: Millis::new(MINUTE), ..sale_of(SALE, 0) };
    shop.done(STAFF, Action::SaleCreate(later));
    shop.done(customer(1), wish(S, LINE_QUANTITY_MAX));
    assert_eq!(shop.code(customer(1), order_wishes(1)), "sale_not_open");
    shop.done(STAFF, pause(SALE));
    shop.done(customer(1), wish(S, 1));
    assert_eq!(shop.code(customer(1), order_wishes(1)), "sale_paused");
    shop.done(STAFF, resume(SALE));
    shop.done(STAFF, close(SALE));
    shop.done(customer(1), wish(S, 2));
    assert_eq!(shop.code(customer(1), order_wishes(1)), "sale_closed");
}

#[test]
fn what_cannot_be_wished_for_is_refused_in_the_documented_order() {
    let mut shop = Shop::with_sale(1);
    for quantity in [0, LINE_QUANTITY_MAX + 1, u32::MAX] {
        let refusal = shop.refused(customer(1), wish(NOBODY, quantity));
        let pointer = "/quantity".into();
        assert_eq!(refusal, Refusal::InvalidField { pointer, code: "out_of_range".into() });
    }
    let product = PoolId::Product(ProductId::new(77));
    assert_eq!(shop.refused(customer(1), wish(NOBODY, 1)), Refusal::NotFound(Kind::Sale));
    assert_eq!(shop.refused(customer(1), wish(product, 1)), Refusal::NotFound(Kind::Product));
    shop.done(customer(1), wish(P, 1));
    let end = ProductSetStatus { id: PRODUCT, if_version: 1, discontinued: true };
    shop.done(STAFF, Action::ProductSetStatus(end));
    for pool in [P, S] {
        let refusal = shop.refused(customer(1), wish(pool, 1));
        assert_eq!(refusal, Refusal::ProductDiscontinued { product: PRODUCT });
    }
    assert_eq!(list(&shop, 1), [(P, 1)]);
    shop.done(customer(1), remove(P));
    assert_eq!(shop.refused(Actor::Node, wish(P, 1)), Refusal::PermissionDenied);
}

#[test]
fn a_full_wishlist_takes_no_other_item() {
    let (mut shop, pools) = with_products(WISHLIST_ITEMS_MAX + 1);
    let (last, first) = pools.split_last().unwrap();
    for pool in first {
        shop.done(customer(1), wish(*pool, 1));
    }
    assert_eq!(shop.refused(customer(1), wish(*last, 1)), Refusal::WishlistFull);
    shop.done(customer(1), wish(first[0], 2));
    shop.done(customer(2), wish(*last, 1));
    shop.done(customer(1), remove(first[7]));
    shop.done(customer(1), wish(*last, 1));
    assert_eq!(list(&shop, 1).len(), WISHLIST_ITEMS_MAX);

    shop.done(customer(1), Action::WishlistClear(WishlistClear));
    assert_eq!((list(&shop, 1).len(), list(&shop, 2).len()), (0, 1));
    let again = shop.ask(customer(1), Action::WishlistClear(WishlistClear));
    assert_eq!((code(&again), again.changes), ("done", Vec::new()));
}

#[test]
fn an_item_is_removed_once() {
    let mut shop = Shop::with_sale(1);
    shop.done(customer(1), wish(S, 1));
    shop.done(customer(1), wish(P, 1));
    shop.done(customer(1), remove(S));
    assert_eq!(shop.refused(customer(1), remove(S)), Refusal::NotFound(Kind::WishlistItem));
    assert_eq!(list(&shop, 1), [(P, 1)]);
}

#[test]
fn one_entry_orders_the_whole_list_and_empties_it() {
    let mut shop = Shop::with_sale(2);
    shop.done(customer(1), wish(P, 3));
    shop.done(customer(1), wish(S, 1));
    shop.done(customer(2), wish(P, 1));
    let step = shop.ask_with_key(customer(1), key(1, 1), order_wishes(1));
    let order = shop.row(1);
    assert_eq!((order.source, order.total), (Source::Wishlist, 4 * PRICE));
    let lines: Vec<_> = order.lines.iter().map(|line| (line.pool, line.quantity)).collect();
    assert_eq!(lines, [(P, 3), (S, 1)], "in the order in which they were put on the list");
    assert_eq!((shop.units(P), shop.units(S)), ([5, 3, 0], [1, 1, 0]));
    assert_eq!((list(&shop, 1), list(&shop, 2)), (vec![], vec![(P, 1)]));
    assert_eq!(writes::<Order>(&step.changes), 1);

    let again = shop.ask_with_key(customer(1), key(1, 1), order_wishes(2));
    assert!(again.replayed && again.outcome == step.outcome && again.changes.is_empty());
    shop.done(customer(1), wish(P, 1));
    let again = shop.ask_with_key(customer(1), key(1, 1), order_wishes(3));
    assert!(again.replayed, "the key answers, whatever is on the list by now");
    assert_eq!(list(&shop, 1), [(P, 1)]);
}

#[test]
fn one_line_that_cannot_be_had_leaves_stock_and_list_as_they_were() {
    let mut shop = Shop::with_sale(1);
    shop.order(2, S, 1);
    shop.done(customer(1), wish(P, 3));
    shop.done(customer(1), wish(S, 1));
    let step = shop.ask(customer(1), order_wishes(1));
    assert_eq!((code(&step), step.changes), ("sold_out", vec![]));
    assert_eq!(list(&shop, 1), [(P, 3), (S, 1)]);
}

/// The rules are those of an order that names the same lines.
#[test]
fn an_order_of_the_list_is_refused_like_an_order_of_its_lines() {
    let mut shop = Shop::with_sale(3);
    shop.done(customer(1), wish(S, 2));
    assert_eq!(
        shop.refused(customer(1), order_wishes(1)),
        Refusal::LimitReached { limit: 1, used: 0 }
    );
    shop.done(customer(1), wish(S, 1));
    shop.done(customer(1), wish(P, 2));
    let ask = |change: fn(&mut WishlistOrder)| match order_wishes(1) {
        Action::WishlistOrder(mut ask) => {
            change(&mut ask);
            Action::WishlistOrder(ask)
        }
        other => other,
    };
    let other_total = ask(|ask| ask.expected_total = Some(won(PRICE)));
    let total = won(3 * PRICE);
    assert_eq!(shop.refused(customer(1), other_total), Refusal::PriceChanged { total });
    let nowhere = Refusal::InvalidField { pointer: "/address".into(), code: "required".into() };
    assert_eq!(shop.refused(customer(1), ask(|ask| ask.address = None)), nowhere);
    let dollars = firstcome_domain::value::Currency::new("USD").unwrap();
    let price = firstcome_domain::value::Money { amount: 1, currency: dollars };
    let imported = ProductCreate { price, ..product_of(ProductId::new(2), 1) };
    shop.done(STAFF, Action::ProductCreate(imported));
    shop.done(customer(1), wish(PoolId::Product(ProductId::new(2)), 1));
    assert_eq!(shop.refused(customer(1), order_wishes(1)), Refusal::CurrencyMixed);
    shop.done(customer(1), remove(PoolId::Product(ProductId::new(2))));
    shop.done(customer(1), ask(|ask| ask.expected_total = Some(won(3 * PRICE))));
    shop.done(customer(1), wish(S, 1));
    assert_eq!(shop.code(customer(1), order_wishes(2)), "already_holding");
    assert_eq!(shop.refused(Actor::Node, order_wishes(3)), Refusal::PermissionDenied);
}

#[test]
fn a_list_with_more_items_than_an_order_has_lines_is_not_ordered() {
    let (mut shop, pools) = with_products(LINES_MAX + 1);
    for pool in &pools {
        shop.done(customer(1), wish(*pool, 1));
    }
    let too_long = Refusal::InvalidField { pointer: "/wishlist".into(), code: "too_long".into() };
    assert_eq!(shop.refused(customer(1), order_wishes(1)), too_long);
    shop.done(customer(1), remove(pools[0]));
    shop.done(customer(1), order_wishes(1));
    assert_eq!(shop.row(1).lines.len(), LINES_MAX);
    assert_eq!(list(&shop, 1), []);
}

#[test]
fn an_overdue_hold_of_the_list_makes_room_in_the_same_entry() {
    let mut shop = Shop::with_sale(1);
    for id in 100..140 {
        shop.done(STAFF, Action::ProductCreate(product_of(ProductId::new(id), 1)));
        shop.order(id, PoolId::Product(ProductId::new(id)), 1);
    }
    shop.order(200, S, 1);
    shop.done(customer(1), wish(S, 1));
    shop.now = PAY_WITHIN;
    // More is due than a command sweeps ahead; that of the list comes last.
    shop.done(customer(1), order_wishes(1));
    assert_eq!(shop.row(200).status.as_str(), "expired");
    let held = shop.memory.orders().filter(|order| order.status.as_str() == "payment_pending");
    assert!(held.count() > 1, "the others are not all swept yet");
}

#[test]
fn an_order_that_names_its_lines_takes_them_off_the_list() {
    let mut shop = Shop::with_sale(1);
    shop.done(customer(1), wish(P, 5));
    shop.done(customer(1), wish(S, 1));
    shop.done(customer(2), wish(S, 1));
    shop.done(customer(1), order_of(1, &[(S, 1)]));
    assert_eq!((list(&shop, 1), list(&shop, 2)), (vec![(P, 5)], vec![(S, 1)]));
    assert_eq!(shop.row(1).source, Source::Direct);
    assert_eq!(shop.code(customer(1), order_of(2, &[(P, 11)])), "sold_out");
    assert_eq!(list(&shop, 1), [(P, 5)]);
    shop.done(customer(1), order_of(3, &[(P, 1)]));
    assert_eq!(list(&shop, 1), [], "also when fewer units were bought than wished for");
}

#[test]
fn only_a_target_that_does_not_exist_is_refused_early() {
    let mut shop = Shop::with_sale(0);
    shop.done(customer(1), wish(S, 1));
    let early = |action| {
        let command = Command { actor: customer(1), receipt: None, action };
        early_refusal(&shop.memory, &command, Millis::new(0), None)
    };
    let unknown = early(wish(NOBODY, 1)).unwrap();
    assert_eq!(unknown, Refusal::NotFound(Kind::Sale));
    assert!(unknown.needs_current_rows());
    for action in [wish(S, 1), order_wishes(1), remove(P), Action::WishlistClear(WishlistClear)] {
        assert_eq!(early(action.clone()), None, "{action:?}");
    }
}

/// The cost of a list does not depend on how many customers or products there are.
#[test]
fn commands_read_the_rows_of_one_list_only() {
    let (mut shop, pools) = with_products(60);
    for (place, pool) in pools.iter().enumerate() {
        let place = u128::try_from(place).unwrap();
        shop.done(customer(place % 7), wish(*pool, 1));
    }
    let own = list(&shop, 3).len();
    let reads = |action| {
        let rows = Counting::new(&shop.memory);
        let command = Command { actor: customer(3), receipt: None, action };
        let revision = firstcome_domain::Revision::new(1_000);
        decide(&rows, &command, Stamp { revision, now: Millis::new(0) });
        rows.reads.take()
    };
    let clear = reads(Action::WishlistClear(WishlistClear));
    let of_list =
        |reads: &[String]| reads.iter().filter(|read| read.starts_with("wishlist_")).count();
    assert_eq!(of_list(&clear), own + 1, "{clear:?}");
    let order = reads(order_wishes(1));
    assert_eq!(of_list(&order), own + 2, "settled, then decided: {order:?}");
    assert!(order.iter().all(|read| !read.contains("..") || read.contains("..=")), "{order:?}");
}
