//! Units are counted: never too many sold, never too few, none made or lost.

use firstcome_jepsen::record::run_event::SOLD_OUT_PHASE;
use serde_json::json;

use super::fixture::*;
use super::{Case, False, True, Unknown, check};

const OVERSELL: &[Case] = &[
    (|run| run.dumps.clear(), Unknown, &[]),
    (|run| run.told("stock")["value"] = stock(2, [0, 0, 2, 1]), False, &["19", "sal_1"]),
    (|run| run.told("stock")["value"] = stock(2, [0, 2, 0, 1]), False, &["19", "sal_1"]),
    (|run| run.told("stock")["value"] = stock(2, [0, 0, 1, 2]), False, &["19", "sal_1"]),
    (|run| run.told("stock")["value"] = stock(2, [1, 0, 1, 1]), False, &["19", "sal_1"]),
    (|run| run.told("stock")["value"] = stock(9, [3, 1, 4, 1]), True, &[]),
    (|run| run.dumps[1].pools.get_mut("sal_1").unwrap().available += 1, False, &["n2", "sal_1"]),
    (|run| run.each_dump(|dump| dump.orders[0].quantity = 2), False, &["usr_a", "2", "sal_1"]),
    // One unit was scrapped.
    (
        |run| {
            run.each_dump(|dump| {
                let row = order_row("ord_c", "usr_c", "paid", 21);
                dump.orders.push(serde_json::from_value(row).unwrap());
            });
        },
        False,
        &["sal_1", "2 of 1", "21"],
    ),
    (|run| half_bought(run, "payment_pending", "held"), True, &[]),
    // Released units do not count.
    (
        |run| {
            run.each_dump(|dump| dump.orders[1].customer = "usr_a".into());
            for line in run.lines.iter_mut().filter(|line| line["value"]["customer"] == "usr_b") {
                line["value"]["customer"] = json!("usr_a");
            }
        },
        True,
        &[],
    ),
    (
        |run| run.each_dump(|dump| dump.events.as_mut().unwrap().retain(|e| e.order != "ord_b")),
        Unknown,
        &["sal_1"],
    ),
];

const UNDERSELL: &[Case] = &[
    (|run| run.dumps.clear(), Unknown, &[]),
    (|run| run.remove_lines(SOLD_OUT_PHASE), Unknown, &[]),
    (
        |run| run.each_dump(|dump| dump.events.as_mut().unwrap().retain(|e| e.order != "ord_b")),
        Unknown,
        &["sal_1"],
    ),
    (
        |run| {
            run.each_dump(|dump| dump.events.as_mut().unwrap().retain(|e| e.order != "ord_b"));
            sold_out_at(run, 12, 1);
        },
        Unknown,
        &["sal_1"],
    ),
    (|run| sold_out_at(run, 13, 1), True, &[]),
    (|run| sold_out_at(run, 12, 1), False, &["sal_1", "12", "1"]),
    (|run| sold_out_at(run, 12, 2), True, &[]),
    (
        |run| {
            sold_out_at(run, 12, 1);
            run.last()["early"] = json!(true);
        },
        True,
        &[],
    ),
    (
        |run| {
            let pool = run.dumps[2].pools.get_mut("sal_1").unwrap();
            (pool.sold, pool.held) = (0, 1);
        },
        False,
        &["n3", "sal_1"],
    ),
];

const CONSERVATION: &[Case] = &[
    (|run| run.dumps.clear(), Unknown, &[]),
    (|run| run.told("stock")["value"] = stock(3, [0, 0, 1, 1]), False, &["19", "sal_1"]),
    (|run| run.told("stock")["value"] = stock(9, [3, 1, 4, 1]), True, &[]),
    (|run| run.dumps[1].pools.get_mut("sal_1").unwrap().stocked += 1, False, &["n2", "sal_1"]),
    (|run| run.dumps[0].ledger = None, Unknown, &["n1"]),
    (
        |run| {
            let row = &mut run.dumps[0].orders[0];
            row.payment = Some("pending".into());
        },
        False,
        &["ord_a", "paid", "pending"],
    ),
    (|run| run.dumps[0].orders[0].payment = Some("paid".into()), True, &[]),
    (|run| half_bought(run, "payment_pending", "held"), True, &[]),
    (|run| half_bought(run, "paid", "held"), False, &["sal_1", "0", "2"]),
    (|run| run.dumps[0].ledger.as_mut().unwrap().swap(0, 1), True, &[]),
    (
        |run| run.dumps[0].ledger.as_mut().unwrap()[0].revision = 99,
        False,
        &["available", "sal_1", "-1", "11"],
    ),
    (
        |run| run.dumps[0].ledger.as_mut().unwrap()[0].quantity = 3,
        False,
        &["available", "sal_1", "0", "1"],
    ),
    // What a closed sale hands back no longer belongs to the order.
    (
        |run| {
            let ledger = run.dumps[0].ledger.as_mut().unwrap();
            ledger.push(ledger_row(30, "outside", "available", None));
            ledger.push(ledger_row(31, "available", "outside", Some("ord_b")));
        },
        True,
        &[],
    ),
    (
        |run| {
            let ledger = run.dumps[0].ledger.as_mut().unwrap();
            ledger.push(ledger_row(30, "sold", "held", Some("ord_a")));
            ledger.push(ledger_row(31, "held", "sold", Some("ord_a")));
        },
        False,
        &["ord_a", "held", "sal_1", "2"],
    ),
    (
        |run| {
            let ledger = run.dumps[0].ledger.as_mut().unwrap();
            ledger.push(ledger_row(30, "sold", "available", Some("ord_a")));
            ledger.push(ledger_row(31, "available", "sold", Some("ord_a")));
        },
        False,
        &["ord_a", "available", "sal_1", "2"],
    ),
];

/// Adds a third unit, in an order with this status and in this account.
fn half_bought(run: &mut Run, status: &str, account: &str) {
    run.each_dump(|dump| {
        let row = order_row("ord_c", "usr_c", status, 21);
        dump.orders.push(serde_json::from_value(row).unwrap());
        let pool = dump.pools.get_mut("sal_1").unwrap();
        pool.stocked += 1;
        pool.held += 1;
        let ledger = dump.ledger.as_mut().unwrap();
        ledger.push(ledger_row(19, "outside", "available", None));
        ledger.push(ledger_row(21, "available", account, Some("ord_c")));
    });
}

#[test]
fn more_units_than_there_are_are_an_oversell() {
    check("oversell", OVERSELL);
}

#[test]
fn units_refused_while_left_are_an_undersell() {
    check("undersell", UNDERSELL);
}

#[test]
fn units_are_neither_made_nor_lost() {
    check("conservation", CONSERVATION);
}
