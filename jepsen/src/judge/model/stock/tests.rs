//! The rules, tried one by one.

use super::*;

fn sale(units: u64, limit: u64) -> Model {
    let mut model = Model::default();
    let answer = Answer::Sale { sale: "s".into() };
    model.step("s", None, &Call::Sale { product: None, units, limit }, &answer);
    model
}

/// A product of 10 units, 4 of them in a sale.
fn shop() -> Model {
    let mut model = Model::default();
    let product = Answer::Product { product: "p".into() };
    model.step("", None, &Call::Product { units: 10 }, &product);
    let call = Call::Sale { product: Some("p".into()), units: 4, limit: 4 };
    model.step("", None, &call, &Answer::Sale { sale: "s".into() });
    model
}

fn order(model: &mut Model, customer: &str, quantity: u64, id: &str) -> Answer {
    let answer = Answer::Ordered { order: id.into(), pay_by: Some("2026-01-02".into()) };
    model.step("s", None, &Call::Order { customer: customer.into(), quantity }, &answer)
}

fn done(model: &mut Model, call: &Call) -> Answer {
    model.step("s", None, call, &Answer::Status(String::new()))
}

fn refused(answer: &Answer, code: &str) {
    assert_eq!(answer, &Answer::Refused(code.into()));
}

/// stocked, available, held, sold, scrapped.
fn stands(model: &Model, pool: &str) -> [u64; 5] {
    let read = model.accounts(pool).unwrap();
    [read.stocked, read.available, read.held, read.sold, read.scrapped]
}

#[test]
fn the_last_unit_goes_to_the_first() {
    let mut model = sale(1, 1);
    assert!(matches!(order(&mut model, "a", 1, "o1"), Answer::Ordered { .. }));
    refused(&order(&mut model, "b", 1, "o2"), "sold_out");
    assert_eq!(stands(&model, "s"), [1, 0, 1, 0, 0]);
}

#[test]
fn own_hold_and_limit_are_told_before_stock() {
    let mut model = sale(2, 2);
    order(&mut model, "a", 2, "o1");
    refused(&order(&mut model, "a", 1, "o2"), "already_holding");
    done(&mut model, &Call::Settle { order: "o1".into() });
    refused(&order(&mut model, "a", 1, "o3"), "limit_reached");
    refused(&order(&mut model, "b", 1, "o4"), "sold_out");
}

#[test]
fn canceled_and_expired_orders_give_their_units_back_once() {
    let mut model = sale(2, 1);
    order(&mut model, "a", 1, "o1");
    order(&mut model, "b", 1, "o2");
    let cancel = Call::Cancel { order: "o1".into() };
    done(&mut model, &cancel);
    refused(&done(&mut model, &cancel), "not_cancelable");
    assert!(model.expire("o2", Some("2026-01-01")).is_err(), "before its pay_by");
    model.expire("o2", Some("2026-01-03")).unwrap();
    assert!(model.expire("o2", Some("2026-01-03")).is_err(), "twice");
    assert_eq!(stands(&model, "s"), [2, 2, 0, 0, 0]);
}

#[test]
fn a_used_key_answers_as_the_first_time_and_changes_nothing() {
    let mut model = sale(2, 2);
    let call = Call::Order { customer: "a".into(), quantity: 1 };
    let given = Answer::Ordered { order: "o1".into(), pay_by: None };
    model.step("s", Some("k"), &call, &given);
    assert_eq!(model.step("s", Some("k"), &call, &given), given);
    assert_eq!(model.accounts("s").unwrap().held, 1);
    let other = Call::Order { customer: "a".into(), quantity: 2 };
    refused(&model.step("s", Some("k"), &other, &given), "idempotency_key_reused");
}

#[test]
fn an_order_comes_back_to_be_sold_again_or_scrapped() {
    let mut model = shop();
    for (id, restock) in [("o1", true), ("o2", false)] {
        order(&mut model, id, 1, id);
        let early = done(&mut model, &Call::Ship { order: id.into() });
        refused(&early, "wrong_status");
        let id = || id.to_owned();
        done(&mut model, &Call::Settle { order: id() });
        done(&mut model, &Call::Ship { order: id() });
        refused(&done(&mut model, &Call::Cancel { order: id() }), "not_cancelable");
        refused(&done(&mut model, &Call::Return { order: id() }), "not_returnable");
        done(&mut model, &Call::Deliver { order: id() });
        done(&mut model, &Call::Return { order: id() });
        let given = done(&mut model, &Call::Receive { order: id(), restock });
        assert_eq!(given, Answer::Status("returned".into()));
    }
    assert_eq!(stands(&model, "s"), [4, 3, 0, 0, 1]);
    assert!(matches!(order(&mut model, "o1", 3, "o3"), Answer::Ordered { .. }), "limit is free");
}

#[test]
fn units_move_between_sale_and_product_and_never_below_none() {
    let mut model = shop();
    assert_eq!(stands(&model, "p"), [6, 6, 0, 0, 0]);
    refused(&done(&mut model, &Call::Allot { delta: 7, fresh: false }), "not_enough_units");
    done(&mut model, &Call::Allot { delta: 6, fresh: false });
    done(&mut model, &Call::Allot { delta: 2, fresh: true });
    assert_eq!((stands(&model, "s"), stands(&model, "p")), ([12, 12, 0, 0, 0], [0; 5]));
    done(&mut model, &Call::Allot { delta: -12, fresh: false });
    refused(&done(&mut model, &Call::Adjust { delta: -1, scrap: false }), "not_enough_units");
    done(&mut model, &Call::Adjust { delta: 3, scrap: false });
    done(&mut model, &Call::Adjust { delta: -2, scrap: true });
    refused(&done(&mut model, &Call::Adjust { delta: 3, scrap: true }), "not_enough_units");
    done(&mut model, &Call::Adjust { delta: 1, scrap: true });
    assert_eq!((stands(&model, "s"), stands(&model, "p")), ([3, 2, 0, 0, 1], [12, 12, 0, 0, 0]));
}

#[test]
fn a_closed_sale_hands_back_what_is_left_and_what_comes_free() {
    let mut model = shop();
    order(&mut model, "a", 3, "o1");
    let given = done(&mut model, &Call::Close);
    let left = Accounts { stocked: 3, held: 3, ..Accounts::default() };
    assert_eq!(given, Answer::Stock(left));
    refused(&done(&mut model, &Call::Close), "sale_closed");
    refused(&done(&mut model, &Call::Adjust { delta: 1, scrap: false }), "sale_closed");
    refused(&order(&mut model, "b", 1, "o2"), "sale_closed");
    done(&mut model, &Call::Cancel { order: "o1".into() });
    assert_eq!((stands(&model, "s"), stands(&model, "p")), ([0; 5], [10, 10, 0, 0, 0]));
}

#[test]
fn reads_show_one_order_and_all_orders_of_a_sale() {
    let mut model = shop();
    order(&mut model, "b", 1, "o2");
    order(&mut model, "a", 1, "o1");
    done(&mut model, &Call::Settle { order: "o1".into() });
    let none = Answer::Refused(String::new());
    let look = |order: &str| model.predict("s", &Call::Look { order: order.into() }, &none);
    assert_eq!(look("o1"), Answer::Status("paid".into()));
    refused(&look("o3"), "not_found");
    let rows = [("o1", "paid"), ("o2", "payment_pending")];
    let rows = rows.map(|(id, status)| (id.to_owned(), status.to_owned())).to_vec();
    assert_eq!(model.predict("s", &Call::Orders, &none), Answer::Orders(rows));
}
