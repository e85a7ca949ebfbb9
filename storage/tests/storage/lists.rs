//! Lists: pages join without a gap or a repeat, wherever the rows are.

use std::sync::Arc;

use firstcome_domain::journal::{Journal, LedgerRow};
use firstcome_domain::order::{Order, Status};
use firstcome_domain::product::Product;
use firstcome_domain::sale::Sale;
use firstcome_domain::stock::PoolId;
use firstcome_domain::value::{Millis, Revision};
use firstcome_domain::wishlist::WishlistItem;
use firstcome_storage::State;
use firstcome_storage::query::{Direction, OrderFilter, Page, Place, ReadView};

use crate::apply::Store;
use crate::shop::{
    Stream, buy, committed, create_product, create_sale, customer, discontinue, order, product,
    restock, sale, save_address, wish,
};

/// A store whose rows are in the file, in memory, or both.
fn filled(checkpoint_every: usize) -> Store {
    let mut stream = Stream::new(24);
    let store = Store::new();
    for step in 1..=500 {
        store.apply(&stream.entry());
        if step % checkpoint_every == 0 {
            store.state.checkpoint().unwrap();
        }
    }
    store
}

fn orders_by_pages(
    state: &State,
    filter: OrderFilter,
    direction: Direction,
    limit: usize,
) -> Vec<Arc<Order>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = state.read(|view| view.orders(filter, direction, after, limit)).unwrap();
        assert!(page.items.len() <= limit);
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// Filters of every kind; `all` has the newest order first.
fn filters(all: &[Arc<Order>]) -> Vec<OrderFilter> {
    let some = |filter: OrderFilter| filter;
    let mut filters = vec![OrderFilter::default()];
    for status in Status::ALL {
        filters.push(some(OrderFilter { status: Some(status), ..Default::default() }));
    }
    for n in 0..5 {
        let customer = Some(customer(n));
        let pool = Some(PoolId::Sale(sale(n)));
        let product = Some(product(n));
        filters.push(OrderFilter { customer, ..Default::default() });
        filters.push(OrderFilter { pool, ..Default::default() });
        filters.push(OrderFilter { product, ..Default::default() });
        let status = Some(Status::Canceled);
        filters.push(OrderFilter { pool, status, ..Default::default() });
        filters.push(OrderFilter { customer, product, status, ..Default::default() });
    }
    let (older, newer) = (&all[all.len() * 3 / 4], &all[all.len() / 4]);
    let ticket_after = Some(older.ticket.revision);
    let (placed_after, placed_before) = (Some(older.ticket.now), Some(newer.ticket.now));
    for pool in [None, Some(PoolId::Sale(sale(1)))] {
        filters.push(OrderFilter { pool, ticket_after, ..Default::default() });
        filters.push(OrderFilter { pool, placed_after, placed_before, ..Default::default() });
    }
    filters
}

fn matches(filter: &OrderFilter, order: &Order) -> bool {
    filter.customer.is_none_or(|id| order.customer == id)
        && filter.status.is_none_or(|status| order.status == status)
        && filter.pool.is_none_or(|pool| order.lines.iter().any(|line| line.pool == pool))
        && filter.product.is_none_or(|id| order.lines.iter().any(|line| line.product == id))
        && filter.ticket_after.is_none_or(|ticket| order.ticket.revision > ticket)
        && filter.placed_after.is_none_or(|at| order.ticket.now > at)
        && filter.placed_before.is_none_or(|at| order.ticket.now < at)
}

#[test]
fn order_lists_equal_a_filtered_full_scan_in_every_level() {
    for checkpoint_every in [1000, 500, 60, 7] {
        let store = filled(checkpoint_every);
        let all = orders_by_pages(&store.state, OrderFilter::default(), Direction::Down, 1000);
        assert!(all.len() > 50, "too few orders to mean anything");
        let ticket = |order: &Arc<Order>| order.ticket.revision;
        assert!(all.is_sorted_by(|a, b| ticket(a) > ticket(b)), "the newest ticket first");
        assert!(!all.is_sorted_by(|a, b| a.id > b.id), "the ids would do as well");
        let mut matched = 0;
        for filter in filters(&all) {
            let mut expected: Vec<_> =
                all.iter().filter(|order| matches(&filter, order)).cloned().collect();
            matched += expected.len();
            for direction in [Direction::Down, Direction::Up] {
                for limit in [1, 3, 100] {
                    let found = orders_by_pages(&store.state, filter, direction, limit);
                    assert_eq!(found, expected, "{filter:?} {direction:?} by {limit}");
                }
                expected.reverse();
            }
        }
        assert!(matched > all.len() * 3);
    }
}

#[test]
fn ledger_pages_join_and_stay_in_their_pool() {
    for checkpoint_every in [1000, 60] {
        let store = filled(checkpoint_every);
        let all = store.state.read(|view| view.ledger(None, None, 100_000)).unwrap();
        let place = |row: &LedgerRow| (row.key.revision, row.key.offset);
        assert!(all.next.is_none() && all.items.is_sorted_by_key(place));
        for pool in [None, Some(PoolId::Sale(sale(1))), Some(PoolId::Product(product(0)))] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = store.state.read(|view| view.ledger(pool, after, 3)).unwrap();
                found.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let wanted = all.items.iter().filter(|row| pool.is_none_or(|id| row.key.pool == id));
            assert!(found.iter().eq(wanted));
            assert!(!found.is_empty());
        }
    }
}

/// Story: most entries of a hot sale are refusals, with a receipt and without movements. The ledger
/// looked through all of them in one call.
#[test]
fn the_ledger_passes_by_entries_without_movements_in_pages() {
    let store = Store::new();
    let pool = PoolId::Product(product(1));
    store.apply(&committed(1, 0, Some(create_product(1, 2))));
    for n in 2..=2500_u64 {
        // The first two get the units, and the last one more.
        if n == 2500 {
            store.apply(&committed(n, 0, Some(restock(pool))));
        } else {
            store.apply(&committed(n, 0, Some(buy(n.into(), n.into(), pool, 1, Some(n)))));
        }
    }
    assert_eq!(crate::contents::contents(&store.state).count::<Journal>(), 2500);
    let (mut found, mut pages) = (Vec::new(), 0);
    let mut after = None;
    loop {
        let page = store.state.read(|view| view.ledger(None, after, 100)).unwrap();
        found.extend(page.items.iter().map(|row| row.key.revision.get()));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, [1, 2, 3, 2500]);
    assert_eq!(pages, 3, "a page looks at a bounded number of rows");
}

#[test]
fn catalogue_pages_may_be_short_but_reach_every_row() {
    let store = Store::new();
    for n in 0..2500_u64 {
        store.apply(&committed(n + 1, 0, Some(create_product(u128::from(n), 1))));
        if n == 1200 {
            store.state.checkpoint().unwrap();
        }
    }
    let rare = |row: &Product| row.id.get().is_multiple_of(500);
    let mut expected = [0, 500, 1000, 1500, 2000];
    for direction in [Direction::Up, Direction::Down] {
        let (found, pages) = by_pages(&store.state, |view, after| {
            view.products(false, None, direction, after, 10, rare)
        });
        let found: Vec<_> = found.iter().map(|row| row.id).collect();
        assert_eq!(found, expected.iter().map(|n| product(*n)).collect::<Vec<_>>());
        assert_eq!(pages, 3, "a page looks at a bounded number of rows");
        expected.reverse();
    }
}

/// Story: newest first, `placed_before` walked from the newest order down to the window, a thousand
/// rows a page; oldest first, `placed_after` did the same from below.
#[test]
fn a_window_of_time_is_found_without_a_walk() {
    let store = Store::new();
    let pool = PoolId::Product(product(1));
    store.apply(&committed(1, 0, Some(create_product(1, 10_000))));
    for n in 2..=3500_u64 {
        // Five orders at each instant.
        let now = i64::try_from(n / 5).unwrap();
        store.apply(&committed(n, now, Some(buy(n.into(), n.into(), pool, 1, None))));
        if n == 2000 {
            store.state.checkpoint().unwrap();
        }
    }
    let at = |ms| Some(Millis::new(ms));
    let (early, late) = (at(20), at(680));
    for (filter, direction, first) in [
        (OrderFilter { placed_before: early, ..Default::default() }, Direction::Down, 99),
        (OrderFilter { placed_after: late, ..Default::default() }, Direction::Up, 3405),
        (OrderFilter { placed_after: late, ..Default::default() }, Direction::Down, 3500),
        (OrderFilter { placed_before: early, ..Default::default() }, Direction::Up, 2),
    ] {
        for pool in [None, Some(pool)] {
            let filter = OrderFilter { pool, ..filter };
            let page = store.state.read(|view| view.orders(filter, direction, None, 10)).unwrap();
            let tickets: Vec<_> = page.items.iter().map(|row| row.ticket.revision.get()).collect();
            let expected: Vec<u64> = match direction {
                Direction::Up => (first..first + 10).collect(),
                Direction::Down => (first - 9..=first).rev().collect(),
            };
            assert_eq!(tickets, expected, "{filter:?} {direction:?}");
        }
    }
    let nothing = OrderFilter { placed_after: late, placed_before: early, ..Default::default() };
    for filter in [
        nothing,
        OrderFilter { placed_before: at(0), ..Default::default() },
        OrderFilter { placed_after: at(1_000_000), ..Default::default() },
    ] {
        for direction in [Direction::Up, Direction::Down] {
            let page = store.state.read(|view| view.orders(filter, direction, None, 10)).unwrap();
            assert!(page.items.is_empty() && page.next.is_none(), "{filter:?} {direction:?}");
        }
    }
}

/// Story: a list of the orders of a product opened one scan for each sale the product ever had.
#[test]
fn orders_of_a_product_with_many_sales_are_looked_for_among_all() {
    let store = Store::new();
    for n in 1..=2_u64 {
        store.apply(&committed(n, 0, Some(create_product(n.into(), 10_000))));
    }
    let mut revision = 2;
    let mut next = |command| {
        revision += 1;
        store.apply(&committed(revision, 0, Some(command)));
    };
    for n in 0..100 {
        next(create_sale(n, 1, 5, 5));
    }
    // One of these orders is of the product with many sales.
    for n in 1..=2500 {
        let pool = if n == 700 { PoolId::Sale(sale(50)) } else { PoolId::Product(product(2)) };
        next(buy(n, n, pool, 1, None));
    }
    for direction in [Direction::Up, Direction::Down] {
        let filter = OrderFilter { product: Some(product(1)), ..Default::default() };
        let (found, pages) =
            by_pages(&store.state, |view, after| view.orders(filter, direction, after, 10));
        assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [order(700)]);
        assert_eq!(pages, 3, "a page looks at a bounded number of rows");
        // The product with few pools is listed from their index.
        let filter = OrderFilter { product: Some(product(2)), ..Default::default() };
        let page = store.state.read(|view| view.orders(filter, direction, None, 999)).unwrap();
        assert_eq!(page.items.len(), 999);
    }
}

/// Every page of a list joined, and how many there were.
pub(crate) fn by_pages<T, I: Copy>(
    state: &State,
    page: impl Fn(&ReadView, Option<Place<I>>) -> Page<Arc<T>, Place<I>>,
) -> (Vec<Arc<T>>, usize) {
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = state.read(|view| page(view, after)).unwrap();
        found.extend(page.items);
        pages += 1;
        after = page.next;
        if after.is_none() {
            return (found, pages);
        }
    }
}

#[test]
fn catalogue_lists_equal_a_filtered_full_scan_by_ticket() {
    for checkpoint_every in [1000, 60, 7] {
        let store = filled(checkpoint_every);
        store.apply(&committed(501, 0, Some(discontinue(product(0)))));
        let (mut products, mut sales) = (Vec::new(), Vec::new());
        let view = store.state.view().unwrap();
        view.each::<Product>(|row| {
            products.push(row.clone());
            true
        });
        view.each::<Sale>(|row| {
            sales.push(row.clone());
            true
        });
        products.sort_by_key(|row| row.row.created.revision);
        sales.sort_by_key(|row| row.row.created.revision);
        assert!(products.iter().any(|row| row.discontinued), "all products are offered");
        assert!(products.iter().any(|row| !row.discontinued), "no product is offered");
        assert!(sales.iter().any(|row| row.closed) && sales.iter().any(|row| !row.closed));
        for direction in [Direction::Up, Direction::Down] {
            for offered in [false, true] {
                let (found, _) = by_pages(&store.state, |view, after| {
                    view.products(offered, None, direction, after, 2, |_| true)
                });
                let wanted = products.iter().filter(|row| !offered || !row.discontinued);
                assert!(found.iter().map(|row| &**row).eq(wanted), "{offered} {direction:?}");
            }
            for closed in [None, Some(false), Some(true)] {
                let (found, _) = by_pages(&store.state, |view, after| {
                    view.sales(closed, direction, after, 2, |_| true)
                });
                let wanted = sales.iter().filter(|row| closed.is_none_or(|c| row.closed == c));
                assert!(found.iter().map(|row| &**row).eq(wanted), "{closed:?} {direction:?}");
            }
            products.reverse();
            sales.reverse();
        }
    }
}

#[test]
fn open_sales_of_a_product_leave_out_the_closed() {
    for checkpoint_every in [1000, 60] {
        let store = filled(checkpoint_every);
        let all = |view: &ReadView| view.sales(None, Direction::Down, None, 100, |_| true);
        let sales = store.state.read(all).unwrap().items;
        assert!(sales.iter().any(|row| row.closed) && sales.iter().any(|row| !row.closed));
        for n in 0..3 {
            let open = store.state.read(|view| view.open_sales_of(product(n), 100)).unwrap();
            let wanted = sales.iter().filter(|row| row.product == product(n) && !row.closed);
            assert!(open.iter().eq(wanted));
        }
    }
}

/// Story: a call decoded up to ten thousand rows of the journal.
#[test]
fn events_pass_by_entries_without_any_in_pages() {
    let store = Store::new();
    let pool = PoolId::Product(product(1));
    store.apply(&committed(1, 0, Some(create_product(1, 1))));
    for n in 2..=2500_u64 {
        // The first gets the unit; the others are refused, with a receipt.
        let command =
            if n == 2500 { restock(pool) } else { buy(n.into(), n.into(), pool, 1, Some(n)) };
        store.apply(&committed(n, 0, Some(command)));
    }
    let (mut found, mut pages, mut from) = (Vec::new(), 0, Revision::new(0));
    loop {
        let page = store.state.read(|view| view.events(from, 100)).unwrap();
        found.extend(page.items.iter().map(|row| row.stamp.revision.get()));
        pages += 1;
        let Some(next) = page.next else { break };
        from = next;
    }
    assert_eq!(found, [1, 2, 2500]);
    assert_eq!(pages, 3, "a page looks at a bounded number of rows");
}

/// The oldest entry with events, and what was removed before it.
fn oldest_event(state: &State) -> (Option<Revision>, Revision) {
    let view = state.view().unwrap();
    let oldest = view.events(Revision::new(0), 1).items.first().map(|row| row.stamp.revision);
    (oldest, view.events_removed_until())
}

#[test]
fn events_go_on_from_any_revision_and_know_what_was_removed() {
    let store = filled(60);
    let all = store.state.read(|view| view.events(Revision::new(0), 100_000)).unwrap();
    assert!(all.next.is_none(), "the list is not over");
    let all = all.items;
    assert!(all.len() > 50);
    assert!(all.is_sorted_by_key(|row| row.stamp.revision));
    let middle = all[20].stamp.revision;
    let rest = store.state.read(|view| view.events(middle, 5)).unwrap();
    assert_eq!(rest.items, all[20..25]);
    let (oldest, removed) = oldest_event(&store.state);
    assert_eq!(oldest, all.first().map(|row| row.stamp.revision));
    assert!(Some(removed) < oldest);
    // A month later a tick removes them.
    let mut last_row = Revision::new(0);
    store.state.view().unwrap().each::<Journal>(|row| {
        last_row = row.stamp.revision;
        true
    });
    let month = 40 * 24 * 3_600_000;
    let last = store.state.applied();
    let revision = last.revision.unwrap().get() + 1;
    let tick = committed(revision, last.now.get() + month, Some(crate::shop::tick()));
    store.apply(&tick);
    let (oldest, removed) = oldest_event(&store.state);
    assert_eq!(removed, last_row);
    assert!(oldest.is_none_or(|oldest| oldest > removed));
    store.state.checkpoint().unwrap();
    let store = store.reopened();
    assert_eq!(oldest_event(&store.state), (oldest, removed));
}

#[test]
fn pages_of_a_wishlist_join_and_hold_nobody_elses_items() {
    for checkpoint_every in [7, 100, 1000] {
        let store = filled(checkpoint_every);
        let mut all = Vec::new();
        let mut keep = |item: &WishlistItem| {
            all.push(*item);
            true
        };
        store.state.read(|view| view.each(&mut keep)).unwrap();
        assert!(all.len() > 3, "{all:?}");
        for who in 0..9 {
            let mut own: Vec<_> =
                all.iter().filter(|item| item.customer == customer(who)).copied().collect();
            own.sort_by_key(|item| item.row.created.revision);
            for direction in [Direction::Up, Direction::Down] {
                for limit in [1, 2, 100] {
                    let (mut found, mut after) = (Vec::new(), None);
                    loop {
                        let read =
                            |view: &ReadView| view.wishlist(customer(who), direction, after, limit);
                        let page = store.state.read(read).unwrap();
                        found.extend(page.items.iter().map(|item| **item));
                        after = page.next;
                        if after.is_none() {
                            break;
                        }
                    }
                    assert_eq!(found, own, "{direction:?} by {limit}");
                }
                own.reverse();
            }
        }
    }
}

/// A full list is one page; its end is known without another request.
#[test]
fn a_full_wishlist_is_one_page() {
    let store = Store::new();
    store.apply(&committed(1, 0, Some(create_product(0, 200))));
    for n in 0..100 {
        let revision = 2 + 2 * u64::try_from(n).unwrap();
        store.apply(&committed(revision, 0, Some(create_sale(n, 0, 1, 1))));
        store.apply(&committed(revision + 1, 0, Some(wish(1, PoolId::Sale(sale(n)), 1))));
    }
    let list = |limit| {
        let read = |view: &ReadView| view.wishlist(customer(1), Direction::Down, None, limit);
        store.state.read(read).unwrap()
    };
    assert_eq!((list(100).items.len(), list(100).next), (100, None));
    assert_eq!((list(99).items.len(), list(99).next.is_some()), (99, true));
}

/// Pages join in both directions, and the end of a full list is known without another request.
#[test]
fn addresses_are_listed_in_the_order_in_which_they_were_saved() {
    let mut store = Store::new();
    for n in 0..20 {
        let revision = 1 + 2 * u64::try_from(n).unwrap();
        // Ids that run the other way.
        store.apply(&committed(revision, 0, Some(save_address(99 - n, 1))));
        store.apply(&committed(revision + 1, 0, Some(save_address(n, 2 + n))));
    }
    for _ in 0..2 {
        for (direction, first) in [(Direction::Up, 99), (Direction::Down, 80)] {
            for limit in [1, 7, 20, 100] {
                let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
                loop {
                    let read =
                        |view: &ReadView| view.addresses(customer(1), direction, after, limit);
                    let page = store.state.read(read).unwrap();
                    found.extend(page.items.iter().map(|address| address.id.get()));
                    pages += 1;
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!((found.len(), pages), (20, 20_usize.div_ceil(limit)));
                let saved: Vec<u128> = (80..=99).rev().collect();
                let ordered = if first == 99 { saved } else { (80..=99).collect() };
                assert_eq!(found, ordered, "{direction:?} by {limit}");
            }
        }
        store.state.checkpoint().unwrap();
        store = store.reopened();
    }
}
