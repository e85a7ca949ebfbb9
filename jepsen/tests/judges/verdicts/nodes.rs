//! What the nodes hold, log and answer, and whether the cluster recovers.

use firstcome_jepsen::record::node_log::Line;
use firstcome_jepsen::record::run_event::{
    NODE_EXITED, NOT_RECOVERED, RECOVERED, STILL_OPEN, UNEXPECTED,
};
use serde_json::json;

use super::fixture::*;
use super::{Case, False, True, Unknown, check};

const CONVERGENCE: &[Case] = &[
    (|run| run.dumps[1].hash = Some("cd".into()), False, &["40", "n1", "ab", "n2", "cd"]),
    (|run| run.dumps[1].hash = None, Unknown, &["2 of 3"]),
    (|run| run.dumps[1].revision = 41, Unknown, &["3 of 3"]),
    (|run| run.dumps[2].orders[0].status = "canceled".into(), False, &["n1", "n3", "orders"]),
    (|run| run.dumps[2].orders.reverse(), True, &[]),
    (|run| run.dumps[2].pools.clear(), False, &["n1", "n3", "stock"]),
    (|run| run.inspected[0].wrong = Some("S1".into()), False, &["n1", "S1"]),
    (
        |run| {
            run.inspected[0].revision = None;
            run.inspected[0].unread = Some("no file".into());
        },
        Unknown,
        &["n1", "no file"],
    ),
    (|run| run.inspected[0].stored = Some("cd".into()), False, &["n1", "cd", "ab"]),
    (
        |run| {
            run.inspected[0].stored = Some("cd".into());
            run.inspected[0].recomputed = Some("cd".into());
        },
        False,
        &["n3", "ab", "n1", "cd"],
    ),
    (|run| drop(run.inspected.pop()), Unknown, &["2 of 3"]),
    (
        |run| {
            run.inspected.clear();
            run.metadata.binary.clear();
        },
        True,
        &[],
    ),
    (
        |run| {
            run.inspected[0].wrong = Some("S1".into());
            run.record_event("disk", json!({"mode": "flip", "node": "n1"}));
        },
        True,
        &["n1"],
    ),
    (
        |run| {
            run.inspected[0].wrong = Some("S1".into());
            run.record_event("disk", json!({"mode": "flip", "node": "n2"}));
        },
        False,
        &["n1", "S1"],
    ),
];

const RECOVERY: &[Case] = &[
    (|run| run.remove_lines(RECOVERED), Unknown, &[]),
    (|run| run.record_event(NOT_RECOVERED, json!("n2")), False, &["n2"]),
    (|run| run.record_event(UNEXPECTED, json!("n2")), False, &["n2"]),
    (|run| run.record_event(NODE_EXITED, json!({"code": 1})), False, &["code"]),
    (|run| run.record_event(NODE_EXITED, json!({"code": 1, "explained": false})), False, &["code"]),
    (|run| run.record_event(NODE_EXITED, json!({"code": 1, "explained": true})), True, &[]),
    (|run| run.record_event(STILL_OPEN, "after 60s"), Unknown, &["60s"]),
];

const CONTRACT: &[Case] = &[
    (
        |run| {
            run.last_answer_is(json!({"breach": "500 without a body"}));
        },
        False,
        &["500 without a body"],
    ),
    (|run| run.last_answer_is(json!({"error": "reset"})), True, &[]),
];

const LOG_SCAN: &[Case] = &[
    (|run| run.logs.logs = 0, Unknown, &[]),
    (
        |run| {
            run.logs.logs = 0;
            run.metadata.binary.clear();
        },
        True,
        &[],
    ),
    (
        |run| run.logs.alarms.push(alarm("n1", "is damaged", None)),
        False,
        &["n1", "7", "is damaged"],
    ),
    (
        |run| {
            run.logs.alarms.push(alarm("n1", "is damaged", None));
            run.record_event("disk", json!({"mode": "flip", "node": "n1"}));
        },
        True,
        &["1"],
    ),
    (
        |run| {
            run.logs.alarms.push(alarm("n1", "a Panic", None));
            run.record_event("disk", json!({"mode": "flip", "node": "n1"}));
        },
        False,
        &["n1", "7", "a Panic"],
    ),
    (
        |run| {
            run.logs.alarms.push(alarm("n1", "a Panic", None));
            run.record_event("failpoint", json!({"mode": "panic", "nodes": ["n2", "n1"]}));
        },
        True,
        &["1"],
    ),
    (
        |run| {
            run.logs.alarms.push(alarm("n1", "a Panic", None));
            run.record_event("failpoint", json!({"mode": "panic", "nodes": ["n2", "n3"]}));
        },
        False,
        &["n1", "7", "a Panic"],
    ),
    // One line that is exactly 5 s older than the event of its fault, and one that is older still.
    (|run| panics(run, "bug: failpoint log.append"), True, &["1"]),
    (|run| panics(run, "bug: index out of bounds"), False, &["bug: index out of bounds"]),
    (|run| damaged_before(run, 5_000), True, &["1"]),
    (|run| damaged_before(run, 5_001), False, &["n1", "7", "is damaged"]),
    (|run| damaged_at(run, 4_999), False, &["n1", "7", "is damaged"]),
    (|run| damaged_at(run, 12_000), True, &["1"]),
    (|run| damaged_at(run, 25_000), True, &["1"]),
    (|run| damaged_at(run, 25_001), False, &["n1", "7", "is damaged"]),
];

fn alarm(node: &str, text: &str, at_ms: Option<u64>) -> Line {
    Line { node: node.into(), number: 7, at_ms, text: text.into() }
}

/// A node logs this while a failpoint makes it panic.
fn panics(run: &mut Run, said: &str) {
    run.record_event("failpoint", json!({"mode": "panic", "node": "n1"}));
    run.logs.alarms.push(alarm("n1", said, None));
}

/// A bit is flipped 10 s into the run, on a node that logged damage this much earlier.
fn damaged_before(run: &mut Run, ms: u64) {
    run.record_event("disk", json!({"mode": "flip", "node": "n1"}));
    run.last()["t"] = json!(10_000 * MS);
    let at = run.metadata.started_unix_ms + 10_000 - ms;
    run.logs.alarms.push(alarm("n1", "is damaged", Some(at)));
}

/// The same with a fault that lasts until 20 s into the run; the node logged damage at this time.
fn damaged_at(run: &mut Run, ms: u64) {
    for (phase, at) in [("begin", 10_000), ("end", 20_000)] {
        run.record_event(
            "disk",
            json!({"mode": "flip", "node": "n1", "number": 3, "phase": phase}),
        );
        run.last()["t"] = json!(at * MS);
    }
    let at = run.metadata.started_unix_ms + ms;
    run.logs.alarms.push(alarm("n1", "is damaged", Some(at)));
}

#[test]
fn nodes_at_one_revision_hold_one_state() {
    check("convergence", CONVERGENCE);
}

#[test]
fn a_healed_cluster_serves_again() {
    check("recovery", RECOVERY);
}

#[test]
fn an_answer_outside_the_contract_is_false() {
    check("contract", CONTRACT);
}

#[test]
fn an_alarm_in_a_log_needs_an_injected_fault() {
    check("log_scan", LOG_SCAN);
}
