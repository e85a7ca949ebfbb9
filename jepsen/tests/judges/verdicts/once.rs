//! One key has one effect and one answer, and nothing happens that nobody requested.

use serde_json::{Value, json};

use super::fixture::*;
use super::{Case, False, True, check};

const ONCE: &[Case] = &[
    (|run| run.keyed(20, "order", "k-9", buys("usr_c"), ordered("ord_a"), 30), False, &["ord_a"]),
    (
        |run| {
            let two = json!({"customer": "usr_a", "qty": 2});
            run.keyed(20, "order", "k-1", two, ordered("ord_a"), 11);
            run.last()["replayed"] = json!(true);
        },
        False,
        &["k-1"],
    ),
    (
        |run| {
            run.keyed(20, "order", "k-1", buys("usr_a"), ordered("ord_a"), 12);
            run.last()["replayed"] = json!(true);
        },
        False,
        &["k-1", "11", "12"],
    ),
    (
        |run| {
            run.keyed(20, "order", "k-1", buys("usr_a"), ordered("ord_a"), 11);
            run.last()["replayed"] = json!(true);
        },
        True,
        &[],
    ),
    (
        |run| run.keyed(20, "order", "k-1", buys("usr_a"), ordered("ord_a"), 11),
        False,
        &["k-1", "2"],
    ),
    (
        |run| {
            let reused = json!({"refused": "idempotency_key_reused"});
            run.keyed(20, "order", "k-1", buys("usr_a"), reused, 30);
        },
        False,
        &["k-1"],
    ),
    (
        |run| {
            let two = json!({"customer": "usr_a", "qty": 2});
            let reused = json!({"refused": "idempotency_key_reused"});
            run.keyed(20, "order", "k-1", two, reused, 30);
        },
        True,
        &[],
    ),
    // The response to the other body was lost.
    (
        |run| {
            run.keyed(20, "order", "k-9", buys("usr_c"), Value::Null, 0);
            run.lose_last_response();
            refused_as_used(run, json!({"customer": "usr_c", "qty": 2}));
        },
        True,
        &[],
    ),
    (
        |run| {
            run.keyed(20, "order", "k-9", buys("usr_c"), Value::Null, 0);
            run.lose_last_response();
            refused_as_used(run, buys("usr_c"));
        },
        False,
        &["k-9"],
    ),
    (|run| refused_as_used(run, buys("usr_c")), False, &["k-9"]),
    (
        |run| {
            run.keyed(20, "order", "k-9", buys("usr_d"), Value::Null, 0);
            fail_last_request(run);
            refused_as_used(run, buys("usr_c"));
        },
        False,
        &["k-9"],
    ),
    (
        |run| {
            refused_as_used(run, buys("usr_c"));
            run.keyed(22, "order", "k-9", buys("usr_d"), Value::Null, 0);
            run.lose_last_response();
        },
        False,
        &["k-9"],
    ),
    // The first copy was answered at 4 ms.
    (|run| refused_early(run, 204 * MS), True, &[]),
    (|run| refused_early(run, 204 * MS + 1), False, &["k-1"]),
    (|run| run.each_dump(|dump| drop(dump.orders.remove(0))), False, &["k-1", "ord_a"]),
    (|run| run.dumps.clear(), True, &[]),
    (add_unrequested_order, False, &["ord_x", "usr_x", "sal_1", "!executed: no"]),
    (
        |run| {
            add_unrequested_order(run);
            denied(run, "sal_1", buys("usr_x"));
        },
        False,
        &["ord_x", "executed: no"],
    ),
    // The refused requests were of another customer, or about another sale.
    (
        |run| {
            add_unrequested_order(run);
            denied(run, "sal_1", buys("usr_y"));
            denied(run, "sal_2", buys("usr_x"));
        },
        False,
        &["ord_x", "usr_x", "sal_1", "!executed: no"],
    ),
    (add_unrequested_event, False, &["order.canceled", "ord_a", "30", "!executed: no"]),
    (
        |run| {
            add_unrequested_event(run);
            run.keyed(21, "cancel", "k-21", json!({"order": "ord_a"}), Value::Null, 0);
            fail_last_request(run);
        },
        False,
        &["order.canceled", "ord_a", "30", "executed: no"],
    ),
    // The failed requests were about another order, or only reads.
    (
        |run| {
            add_unrequested_event(run);
            run.keyed(21, "cancel", "k-21", json!({"order": "ord_b"}), Value::Null, 0);
            fail_last_request(run);
            run.keyed(22, "look", "", json!({"order": "ord_a"}), Value::Null, 0);
            fail_last_request(run);
        },
        False,
        &["order.canceled", "ord_a", "30", "!executed: no"],
    ),
    (add_unexplained_version, False, &["2", "prd_1"]),
    (|run| changed(run, "prd_1", 1, 2), True, &[]),
    (|run| changed(run, "prd_2", 1, 2), False, &["2", "prd_1"]),
    (|run| changed(run, "prd_1", 2, 2), False, &["2", "prd_1"]),
    (|run| changed(run, "prd_1", 1, 3), False, &["2", "prd_1"]),
    (
        |run| {
            changed(run, "prd_1", 1, 2);
            run.last()["type"] = json!("fail");
        },
        False,
        &["2", "prd_1"],
    ),
    // A product whose creation nobody saw is not judged.
    (
        |run| {
            add_unexplained_version(run);
            run.remove_lines("product");
        },
        True,
        &[],
    ),
];

/// A key is refused as used with another body.
fn refused_as_used(run: &mut Run, asked: Value) {
    run.keyed(21, "order", "k-9", asked, json!({"refused": "idempotency_key_reused"}), 30);
}

/// The key of the first order is refused from a read, by a copy sent at this time.
fn refused_early(run: &mut Run, called: u64) {
    run.keyed(20, "order", "k-1", buys("usr_a"), json!({"refused": "sold_out"}), 19);
    run.last()["early"] = json!(true);
    let at = run.lines.len();
    run.lines[at - 2]["t"] = json!(called);
    run.lines[at - 1]["t"] = json!(called + 1);
}

fn denied(run: &mut Run, pool: &str, asked: Value) {
    let p = 30 + run.lines.len() as u64;
    run.keyed(p, "order", &format!("k-{p}"), asked, Value::Null, 0);
    fail_last_request(run);
    for line in run.lines.iter_mut().rev().take(2) {
        line["pool"] = json!(pool);
    }
}

#[test]
fn a_key_has_one_effect_and_one_answer() {
    check("once", ONCE);
}
