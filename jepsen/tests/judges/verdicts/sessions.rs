//! What one process sees of its own writes, and what lists show of acknowledged orders.

use serde_json::{Value, json};

use super::fixture::*;
use super::{Case, False, True, Unknown, check};

const SESSION: &[Case] = &[
    (|run| run.remove_lines("look"), Unknown, &[]),
    (|run| run.told("look")["rev"] = json!(19), False, &["20", "19"]),
    (
        |run| run.keyed(4, "stock", "", Value::Null, stock(2, [0, 0, 1, 1]), 19),
        False,
        &["19", "20"],
    ),
    // Another process is another session.
    (|run| run.keyed(5, "stock", "", Value::Null, stock(2, [0, 0, 1, 1]), 19), True, &[]),
    // A local read may show less.
    (
        |run| run.keyed(4, "stock", "", json!({"local": true}), stock(2, [0, 0, 1, 1]), 19),
        True,
        &[],
    ),
    (
        |run| {
            let asked = json!({"order": "ord_a"});
            run.keyed(9, "look", "", asked, json!({"status": "payment_pending"}), 20);
        },
        False,
        &["ord_a", "payment_pending"],
    ),
    (
        |run| {
            let asked = json!({"order": "ord_a", "local": true, "min": 17});
            run.keyed(9, "look", "", asked, json!({"status": "payment_pending"}), 20);
        },
        True,
        &[],
    ),
    (
        |run| {
            let asked = json!({"order": "ord_a", "local": true, "min": 18});
            run.keyed(9, "look", "", asked, json!({"status": "payment_pending"}), 20);
        },
        False,
        &["ord_a", "payment_pending"],
    ),
    (
        |run| {
            let gone = json!({"refused": "not_found"});
            run.keyed(9, "look", "", json!({"order": "ord_a"}), gone, 20);
        },
        False,
        &["ord_a", "not_found"],
    ),
];

const SET_FULL: &[Case] = &[
    (|run| run.remove_lines("orders"), Unknown, &[]),
    (
        |run| {
            let rows = run.told("orders")["value"]["orders"].as_array_mut().unwrap();
            rows.push(rows[0].clone());
        },
        False,
        &["sal_1"],
    ),
    (
        |run| drop(run.told("orders")["value"]["orders"].as_array_mut().unwrap().pop()),
        False,
        &["lost", "ord_b", "sal_1"],
    ),
    (
        |run| {
            list(run, &["ord_a"]);
            list(run, &["ord_a", "ord_b"]);
        },
        False,
        &["stale", "ord_b", "sal_1"],
    ),
    (
        |run| {
            list(run, &["ord_a", "ord_b"]);
            list(run, &["ord_a"]);
        },
        False,
        &["lost", "ord_b", "sal_1"],
    ),
    (|run| list(run, &["ord_a", "ord_b", "ord_x"]), False, &["ord_x", "sal_1"]),
    // Requested before the order was acknowledged.
    (
        |run| {
            list(run, &["ord_a"]);
            let at = run.lines.len();
            run.lines[at - 2]["t"] = json!(6 * MS);
            let asks = run.lines.remove(at - 2);
            run.lines.insert(6, asks);
        },
        True,
        &[],
    ),
];

fn list(run: &mut Run, ids: &[&str]) {
    let rows: Vec<_> = ids.iter().map(|id| json!([id, "paid"])).collect();
    run.keyed(40, "orders", "", Value::Null, json!({"orders": rows}), 30);
}

#[test]
fn a_session_sees_its_own_writes() {
    check("session", SESSION);
}

#[test]
fn an_acknowledged_order_is_in_every_later_list() {
    check("set_full", SET_FULL);
}
