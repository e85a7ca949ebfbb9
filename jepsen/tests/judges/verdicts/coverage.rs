//! Did the run do enough? Every floor is compared with what was seen.

use firstcome_jepsen::judge::check::Finding;
use firstcome_jepsen::record::run_event::SOLD_OUT_PHASE;
use serde_json::{Value, json};

use super::Unknown;
use super::fixture::*;

/// What is changed, the name of a floor, and the numbers seen and wanted if it is not reached.
type FloorCase = (fn(&mut Run), &'static str, Option<(u64, u64)>);

const FLOORS: &[FloorCase] = &[
    (|run| lasts(run, "order_set", "none", 10), "decided operations", Some((12, 400))),
    (|run| lasts(run, "order_set", "none", 10), "decided order", Some((2, 10))),
    (|run| lasts(run, "order_set", "none", 10), "sales sold out", Some((0, 1))),
    (
        |run| lasts(run, "order_set", "none", 0),
        "concurrent requests on one sale or product",
        Some((1, 3)),
    ),
    (|run| lasts(run, "order_set", "none", 0), "decided operations", None),
    (|run| open_at_once(run, 2), "concurrent requests on one sale or product", Some((2, 3))),
    (|run| open_at_once(run, 3), "concurrent requests on one sale or product", None),
    // The runs that gate a change.
    (|run| lasts(run, "flash_sale", "none", 30), "decided operations", Some((12, 4000))),
    (|run| lasts(run, "flash_sale", "none", 30), "sales sold out", Some((0, 25))),
    (|run| lasts(run, "flash_sale", "disk", 30), "decided operations", Some((12, 1200))),
    (|run| lasts(run, "flash_sale", "disk", 30), "sales sold out", Some((0, 15))),
    (|run| lasts(run, "sessions", "none", 30), "decided operations", Some((12, 1200))),
    (
        |run| {
            sold_out_at(run, 30, 1);
            lasts(run, "order_set", "none", 20);
        },
        "sales sold out",
        Some((1, 2)),
    ),
    (
        |run| {
            priced(run, 1);
            lasts(run, "register", "none", 10);
        },
        "decided read",
        Some((1, 50)),
    ),
    (
        |run| {
            priced(run, 1);
            lasts(run, "register", "none", 10);
        },
        "decided price",
        Some((0, 50)),
    ),
    (
        |run| {
            priced(run, 1);
            let (asked, told) =
                (json!({"version": 7, "price": 2}), json!({"refused": "version_mismatch"}));
            run.keyed(61, "price", "", asked, told, 33);
            lasts(run, "register", "none", 10);
        },
        "decided version_mismatch",
        Some((1, 5)),
    ),
    (
        |run| {
            let late = json!({"refused": "order_not_payable"});
            run.keyed(20, "settle", "k-20", json!({"order": "ord_b"}), late, 30);
            lasts(run, "deadline", "none", 10);
        },
        "decided late",
        Some((1, 2)),
    ),
    (
        |run| {
            run.keyed(20, "order", "k-1", buys("usr_a"), ordered("ord_a"), 11);
            run.last()["replayed"] = json!(true);
            lasts(run, "orders_once", "none", 10);
        },
        "decided replay",
        Some((1, 10)),
    ),
    (
        |run| {
            let two = json!({"customer": "usr_a", "qty": 2});
            let reused = json!({"refused": "idempotency_key_reused"});
            run.keyed(20, "order", "k-1", two, reused, 30);
            lasts(run, "orders_once", "none", 10);
        },
        "decided reuse",
        Some((1, 5)),
    ),
    (
        |run| {
            run.dumps[0].events.as_mut().unwrap()[0].name = "order.expired".into();
            lasts(run, "deadline", "none", 10);
        },
        "decided expired",
        Some((1, 5)),
    ),
    (|run| killed_at(run, 2_000), "answers before the first fault", Some((12, 80))),
    (|run| killed_at(run, 9_999), "answers before the first fault", Some((12, 360))),
    (|run| killed_at(run, 10_000), "answers before the first fault", None),
    (
        |run| {
            killed_at(run, 2_000);
            run.metadata.nemesis = "none".into();
        },
        "answers before the first fault",
        None,
    ),
    // It was answered at the time of the fault.
    (
        |run| {
            run.keyed(20, "stock", "", Value::Null, stock(2, [0, 0, 1, 1]), 30);
            run.last()["t"] = json!(2_000 * MS);
            killed_at(run, 2_000);
        },
        "answers before the first fault",
        Some((12, 80)),
    ),
];

/// What is changed, and how many orders are then older than the run.
type OlderCase = (fn(&mut Run), u64);

const OLDER: &[OlderCase] = &[
    (|run| run.each_dump(|dump| dump.orders[0].revision = 9), 1),
    (|run| run.each_dump(|dump| dump.orders[0].revision = 10), 0),
    (|run| run.remove_lines("sale"), 2),
];

fn lasts(run: &mut Run, workload: &str, nemesis: &str, seconds: u64) {
    run.metadata.workload = workload.into();
    run.metadata.nemesis = nemesis.into();
    run.metadata.seconds = seconds;
}

/// A run of 10 s with its first fault at this time.
fn killed_at(run: &mut Run, ms: u64) {
    lasts(run, "order_set", "kill", 10);
    run.remove_lines(SOLD_OUT_PHASE);
    run.record_event("kill", json!({"mode": "one"}));
    run.last()["t"] = json!(ms * MS);
}

fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// The numbers seen and wanted, if the finding says that this floor was not reached.
fn shortfall(finding: &Finding, floor: &str) -> Option<(u64, u64)> {
    let start = format!("{floor}: ");
    let rest = finding.notes.iter().find_map(|note| note.strip_prefix(&start))?;
    match numbers(rest)[..] {
        [seen, wanted] => Some((seen, wanted)),
        _ => panic!("{rest:?} does not name two numbers"),
    }
}

#[test]
fn a_floor_that_is_not_reached_leaves_the_run_unknown() {
    for (at, (change, floor, expected)) in FLOORS.iter().enumerate() {
        let mut run = Run::correct();
        change(&mut run);
        let finding = run.finding("coverage");
        assert_eq!(shortfall(&finding, floor), *expected, "{at}: {floor}: {finding:?}");
        assert!(expected.is_none() || finding.verdict == Unknown, "{at}: {finding:?}");
    }
}

#[test]
fn orders_older_than_the_run_leave_it_unknown() {
    for (at, (change, expected)) in OLDER.iter().enumerate() {
        let mut run = Run::correct();
        change(&mut run);
        let finding = run.finding("coverage");
        let told = finding.notes.iter().find(|note| note.ends_with("before the run began"));
        let count = told.map_or(0, |note| numbers(note)[0]);
        assert_eq!(count, *expected, "{at}: {finding:?}");
        assert!(count == 0 || finding.verdict == Unknown, "{at}: {finding:?}");
    }
}

#[test]
fn a_workload_without_floors_shows_nothing() {
    let mut run = Run::correct();
    lasts(&mut run, "unheard", "none", 0);
    assert_eq!(run.finding("coverage").verdict, Unknown);
}
