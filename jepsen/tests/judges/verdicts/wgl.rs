//! The search for any order: what it accepts, rejects and skips.

use serde_json::{Value, json};

use super::fixture::*;
use super::{Case, False, True, Unknown, check};

const WGL: &[Case] = &[
    (|run| open_at_once(run, 12), True, &[]),
    (|run| open_at_once(run, 13), True, &["1", "12"]),
    (|run| reads(run, 400 - 12), True, &[]),
    (|run| reads(run, 401 - 12), Unknown, &["1", "400"]),
    // What a customer does elsewhere does not matter to this sale.
    (
        |run| {
            let told = json!({"refused": "too_many_pending_orders"});
            run.keyed(20, "order", "k-20", buys("usr_c"), told, 30);
        },
        True,
        &[],
    ),
    (|run| lost_answers(run, 9), True, &[]),
    (|run| lost_answers(run, 10), Unknown, &["1", "10"]),
    (|run| run.remove_lines("sale"), Unknown, &["1"]),
    (|run| run.told("stock")["value"] = stock(2, [1, 0, 1, 0]), False, &["sal_1"]),
    (puzzled, True, &["1"]),
    (
        |run| {
            puzzled(run);
            run.told("product")["rev"] = json!(99);
        },
        Unknown,
        &["1"],
    ),
    (|run| priced(run, 1), True, &[]),
    (
        |run| {
            priced(run, 1);
            run.remove_lines("product");
        },
        True,
        &["1"],
    ),
    (|run| priced(run, 2), False, &["prd_1", "2"]),
];

fn reads(run: &mut Run, count: u64) {
    for _ in 0..count {
        run.keyed(100, "stock", "", Value::Null, stock(2, [0, 0, 1, 1]), 30);
    }
}

fn lost_answers(run: &mut Run, count: usize) {
    for n in 0..count {
        let p = 100 + n as u64;
        let customer = format!("usr_{p}");
        run.keyed(p, "order", &format!("k-{p}"), buys(&customer), json!({"error": "reset"}), 0);
        run.lose_last_response();
    }
}

/// Reads of a price beside changes whose responses were lost: too many orders to try.
fn puzzled(run: &mut Run) {
    product(run);
    for n in 0..9 {
        let asked = json!({"version": 1, "price": 50 + n});
        run.keyed(200 + n, "price", "", asked, json!({"error": "reset"}), 0);
        run.lose_last_response();
    }
    for _ in 0..300 {
        run.keyed(61, "read", "", Value::Null, json!({"price": 1, "version": 1}), 32);
    }
    let product = run.lines.iter_mut().filter(|line| line["f"] == "price" || line["f"] == "read");
    product.for_each(|line| line["pool"] = json!("prd_1"));
}

#[test]
fn some_order_explains_the_answers_of_each_object() {
    check("wgl", WGL);
}
