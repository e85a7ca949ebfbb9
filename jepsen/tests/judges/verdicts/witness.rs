//! The order of the revisions is replayed through the model and compared with the dumps.

use serde_json::{Value, json};

use super::fixture::*;
use super::{Case, False, True, Unknown, check};

const WITNESS: &[Case] = &[
    (|run| run.dumps.clear(), Unknown, &[]),
    (
        |run| run.dumps[1].orders[0].status = "canceled".into(),
        False,
        &["n2", "ord_a", "canceled", "paid"],
    ),
    (|run| drop(run.dumps[1].orders.remove(0)), False, &["n2", "ord_a", "paid"]),
    (add_unrequested_order, False, &["n1", "1"]),
    (|run| run.dumps[1].pools.clear(), False, &["n2", "sal_1"]),
    (
        |run| {
            changed(run, "prd_1", 1, 2);
            run.dumps[1].products.clear();
        },
        False,
        &["n2", "prd_1"],
    ),
    // A first attempt that did not run does not count, so its retry comes too late; one with a lost
    // response does.
    (|run| bought_after(run, "fail"), False, &["11", "12"]),
    (|run| bought_after(run, "info"), True, &[]),
    (|run| run.dumps[1].pools.get_mut("sal_1").unwrap().available += 1, False, &["n2", "sal_1"]),
    (|run| run.told("stock")["value"] = stock(2, [1, 0, 1, 0]), False, &["19", "sal_1"]),
    (|run| run.told("stock")["rev"] = json!(17), False, &["17", "Stock", "sal_1"]),
    (|run| adjusted(run, "info"), Unknown, &["Adjust"]),
    (|run| adjusted(run, "fail"), True, &[]),
    // No node lists the events.
    (|run| run.each_dump(|dump| dump.events = None), True, &[]),
    (
        |run| {
            run.keyed(20, "cancel", "k-20", json!({"order": "ord_a"}), Value::Null, 0);
            run.lose_last_response();
        },
        True,
        &[],
    ),
    (
        |run| {
            run.keyed(20, "cancel", "k-20", json!({"order": "ord_a"}), Value::Null, 0);
            run.lose_last_response();
            run.each_dump(|dump| dump.events = None);
        },
        Unknown,
        &["orders"],
    ),
    (|run| paid_at(run, "2026-01-01T00:59:59.999Z"), True, &[]),
    (
        |run| paid_at(run, "2026-01-01T01:00:00.000Z"),
        False,
        &["13", "order.paid", "ord_a", "2026-01-01T01:00:00.000Z"],
    ),
    (|run| refused_at(run, "2026-01-01T00:59:59.999Z"), True, &[]),
    (
        |run| refused_at(run, "2026-01-01T01:00:00.000Z"),
        False,
        &["12", "sal_2", "2026-01-01T01:00:00.000Z", "1"],
    ),
    // The entry that refused it also expired the hold.
    (
        |run| {
            refused_at(run, "2026-01-01T01:00:00.000Z");
            run.each_dump(|dump| {
                dump.events.as_mut().unwrap().last_mut().unwrap().revision = 12;
            });
        },
        True,
        &[],
    ),
    (|run| changed(run, "prd_1", 1, 2), True, &[]),
    // No response was lost, so the events are not needed.
    (|run| priced(run, 1), True, &[]),
    (|run| priced(run, 2), False, &["price: 1, version: 1"]),
    (
        |run| {
            changed(run, "prd_1", 1, 2);
            run.dumps[1].products.get_mut("prd_1").unwrap().price = 3;
        },
        False,
        &["n2", "prd_1", "(3, 2)", "(2, 2)"],
    ),
    (
        |run| {
            changed(run, "prd_1", 1, 2);
            run.each_dump(|dump| dump.edits.clear());
        },
        Unknown,
        &["products"],
    ),
];

/// The first attempt of the first order ended like this; its retry was answered after the second
/// order.
fn bought_after(run: &mut Run, ended: &str) {
    let at = run.lines.iter().position(|line| line["key"] == "k-1").unwrap();
    let (asks, mut ends) = (run.lines[at].clone(), run.lines[at + 1].clone());
    let first = &mut run.lines[at + 1];
    (first["type"], first["value"]) = (json!(ended), json!({"error": "no"}));
    first.as_object_mut().unwrap().remove("rev");
    let after = run.lines.iter().rposition(|line| line["key"] == "k-2").unwrap();
    ends["t"] = run.lines[after]["t"].clone();
    let mut again = asks;
    (again["p"], ends["p"], again["t"]) = (json!(40), json!(40), ends["t"].clone());
    for line in &mut run.lines[after + 1..] {
        line["t"] = json!(line["t"].as_u64().unwrap() + 2);
    }
    run.lines.splice(after + 1..=after, [again, ends]);
    for line in &mut run.lines[after + 1..after + 3] {
        line["t"] = json!(line["t"].as_u64().unwrap() + 1);
    }
}

/// A sale of one unit is sold out at this log time, while an order of it is unpaid and due within
/// the hour. The order is paid later.
fn refused_at(run: &mut Run, at: &str) {
    *run = Run { lines: Vec::new(), ..Run::correct() };
    run.keyed(1, "sale", "k-0", json!({"units": 1, "limit": 1}), json!({"sale": "sal_2"}), 10);
    run.keyed(2, "order", "k-1", buys("usr_a"), ordered("ord_a"), 11);
    run.keyed(3, "order", "k-2", buys("usr_b"), json!({"refused": "sold_out"}), 12);
    run.keyed(2, "settle", "k-3", json!({"order": "ord_a"}), json!({"status": "paid"}), 13);
    for line in run.lines.iter_mut().filter(|line| line["pool"] == "sal_1") {
        line["pool"] = json!("sal_2");
    }
    let row = json!({"id": "ord_a", "customer": "usr_a", "pool": "sal_2", "quantity": 1,
                     "status": "paid", "revision": 11});
    let events = json!([
        {"revision": 11, "type": "order.placed", "order": "ord_a",
         "pay_by": "2026-01-01T01:00:00.000Z", "at": "2026-01-01T00:30:00.000Z"},
        {"revision": 12, "type": "order.paid", "order": "ord_z", "at": at},
        {"revision": 13, "type": "order.paid", "order": "ord_a", "from": "payment_pending"},
    ]);
    run.each_dump(|dump| {
        dump.orders = vec![serde_json::from_value(row.clone()).unwrap()];
        dump.pools =
            [("sal_2".into(), serde_json::from_value(stock(1, [0, 0, 1, 0])).unwrap())].into();
        dump.events = Some(serde_json::from_value(events.clone()).unwrap());
    });
}

/// A stock correction that ended like this.
fn adjusted(run: &mut Run, ended: &str) {
    run.keyed(20, "adjust", "k-20", json!({"delta": 1, "scrap": false}), Value::Null, 0);
    fail_last_request(run);
    run.last()["type"] = json!(ended);
}

/// The first order was paid at this time; it was due within the hour.
fn paid_at(run: &mut Run, at: &str) {
    run.each_dump(|dump| {
        let events = dump.events.as_mut().unwrap();
        let paid = &mut events[0];
        (paid.at, paid.from) = (Some(at.into()), Some("payment_pending".into()));
        let row = json!({"revision": 11, "type": "order.placed", "order": "ord_a",
                         "pay_by": "2026-01-01T01:00:00.000Z"});
        events.insert(0, serde_json::from_value(row).unwrap());
    });
}

#[test]
fn the_order_of_the_revisions_is_a_linearization() {
    check("witness", WITNESS);
}
