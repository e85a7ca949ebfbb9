//! Reads of the catalogue beside purchases.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::cluster::{Cluster, one_unit};
use crate::http::{Reader, Request};
use crate::process::{code, run, stderr, stdout};

const LONG_AGO: &str = "2026-01-01T00:00:00Z";
const PRODUCTS: usize = 400;
const SALES: usize = 5;
const PURCHASES: usize = 60;
const READERS_PER_NODE: usize = 8;
/// A search that finds nothing, one that finds all and returns a large page, a state that is derived
/// for every row, and a filter that rejects every row.
const READS: [&str; 4] = [
    "/v1/products?q=zzzz",
    "/v1/products?q=a&limit=100",
    "/v1/sales?state=open",
    "/v1/products?status=out_of_stock",
];

/// Creates products with long descriptions, and sales of some of them.
fn fill(cluster: &Cluster) {
    let text: String = "Cast by hand from recycled glass. ".chars().cycle().take(4800).collect();
    thread::scope(|scope| {
        for part in 0..READERS_PER_NODE {
            let text = &text;
            scope.spawn(move || {
                for at in (part..PRODUCTS).step_by(READERS_PER_NODE) {
                    let product = json!({
                        "name": format!("Glass lamp {at}"), "description": text, "stock": 10,
                        "no_shipping": true, "price": {"amount": 15000, "currency": "KRW"},
                    });
                    let key = format!("product-{at}");
                    let product = cluster.create("/v1/admin/products", &key, &product);
                    if at < SALES {
                        let sale = json!({
                            "product_id": product["id"], "title": "Spring", "units": 10,
                            "opens_at": LONG_AGO, "per_customer_limit": 1,
                        });
                        cluster.create("/v1/admin/sales", &format!("sale-{at}"), &sale);
                    }
                }
            });
        }
    });
}

/// Reads without pause until it is `over`, or a read fails; returns how often each status was seen.
/// After the first read it waits until all readers have read.
fn read_until(
    over: &AtomicBool,
    all_read: &Barrier,
    address: &str,
    number: usize,
) -> BTreeMap<String, u64> {
    let mut reader = Reader::new(address);
    let mut seen = BTreeMap::new();
    for turn in 0.. {
        let path = READS[(number + turn) % READS.len()];
        let read = reader.get(path);
        let label = read.map_or_else(|error| format!("{path}: {error}"), |read| read.to_string());
        let failed = label != "200";
        *seen.entry(label).or_default() += 1;
        if turn == 0 {
            all_read.wait();
        }
        if failed || over.load(Ordering::Relaxed) {
            break;
        }
    }
    seen
}

/// Story: a search looked at thousands of rows under the lock that apply needs, on the threads that
/// send heartbeats. 32 anonymous connections per node stopped all sales and cost the leader its
/// leadership.
#[test]
fn catalogue_reads_neither_stop_purchases_nor_change_the_leader() {
    let cluster = Cluster::start(&[]);
    fill(&cluster);
    let sale = cluster.sale(PURCHASES as u64, LONG_AGO);
    let body = one_unit(&sale);
    let buyers = cluster.customers(PURCHASES);
    cluster.leader();
    let before = cluster.terms();

    let (all_read, over) = (Barrier::new(3 * READERS_PER_NODE + 1), AtomicBool::new(false));
    let (bought, read) = thread::scope(|scope| {
        let readers = (0..3 * READERS_PER_NODE).map(|number| {
            let (cluster, all_read, over) = (&cluster, &all_read, &over);
            scope.spawn(move || read_until(over, all_read, cluster.api(number % 3), number))
        });
        let readers: Vec<_> = readers.collect();
        all_read.wait();
        let bought = buyers.iter().enumerate().map(|(at, token)| {
            let ask = Request::post("/v1/orders", &body).by(token).key("once");
            let answer = ask.send(cluster.api(at % 3));
            answer.map_or_else(|error| error.to_string(), |answer| answer.status.to_string())
        });
        let bought: Vec<String> = bought.collect();
        over.store(true, Ordering::Relaxed);
        let read = readers.into_iter().map(|reader| reader.join().expect("a reader"));
        (bought, read.collect::<Vec<_>>())
    });

    assert_eq!(bought, vec!["201"; PURCHASES]);
    for seen in &read {
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["200"], "{seen:?}");
    }
    assert_eq!(cluster.terms(), before, "the leader or the term changed");
}

#[test]
fn bench_compares_purchases_beside_two_kinds_of_reads() {
    let here = tempfile::tempdir().expect("a directory");
    let command = "bench --json --nodes 1 --connections 2 --warmup 0 --seconds 1 --products 20 \
                   --readers 2 --read-path /livez --read-path /v1/products?q=lamp";
    let output = run(here.path(), &command.split_whitespace().collect::<Vec<_>>());
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(report["violations"], json!([]));
    let rounds = report["beside"].as_array().expect("a list");
    let paths: Vec<_> = rounds.iter().map(|round| &round["path"]).collect();
    assert_eq!(paths, ["/livez", "/v1/products?q=lamp"]);
    for round in rounds {
        let count = |of: &Value| of["200"].as_u64().or(of["201"].as_u64());
        assert!(count(&round["reads"]["answers"]) > Some(0), "{round}");
        assert!(count(&round["purchases"]["answers"]) > Some(0), "{round}");
        assert_eq!(round["purchases"]["answers"].as_object().map(serde_json::Map::len), Some(1));
        assert_eq!(round["elections"], 0, "{round}");
    }
}
