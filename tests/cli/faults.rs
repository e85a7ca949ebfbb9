//! Nodes that are paused and killed: what buyers are told, and what is true afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cluster::{Cluster, one_unit, until};
use crate::http::{Request, Response};

const LONG_AGO: &str = "2026-01-01T00:00:00Z";

/// Retries an order with its key, through every node in turn, until the response is definite.
fn retry(cluster: &Cluster, token: &str, key: &str, body: &str) -> Response {
    let mut turn = 0;
    until("a definite response", || {
        turn += 1;
        let ask = Request::post("/v1/orders", body).by(token).key(key);
        ask.send(cluster.api(turn % 3)).ok().filter(|answer| answer.status < 500)
    })
}

/// The ids of a customer's orders.
fn orders_of(cluster: &Cluster, token: &str) -> Vec<String> {
    let answer = until("a list of orders", || {
        let asked = Request::get("/v1/orders").by(token).send(cluster.api(1)).ok();
        asked.filter(|answer| answer.status == 200)
    });
    let rows = answer.body["data"].as_array().expect("a list").iter();
    rows.map(|order| order["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn with_a_paused_majority_orders_get_504_and_a_retry_returns_the_real_outcome() {
    let cluster = Cluster::start(&[]);
    let sale = cluster.sale(1000, LONG_AGO);
    let body = one_unit(&sale);
    let mut doubtful = Vec::new();
    let mut refused = Vec::new();
    // The leader accepts orders for two election timeouts after its last contact with a majority,
    // so nearly every round has a "maybe". If the machine stalls longer, there is another round.
    for round in 0..5 {
        let leader = cluster.leader();
        let followers: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
        let buyers = cluster.customers(4);
        cluster.signal("STOP", &followers);
        let answers: Vec<(String, String, Response)> = thread::scope(|scope| {
            let asked = buyers.into_iter().enumerate().map(|(n, token)| {
                let (cluster, body) = (&cluster, &body);
                scope.spawn(move || {
                    let key = format!("round-{round}-{n}");
                    let ask = Request::post("/v1/orders", body).by(&token).key(&key);
                    let answer = ask.send(cluster.api(leader)).expect("the leader answers");
                    (token, key, answer)
                })
            });
            let asked: Vec<_> = asked.collect();
            asked.into_iter().map(|thread| thread.join().expect("an answer")).collect()
        });
        cluster.signal("CONT", &followers);
        for (token, key, answer) in answers {
            match (answer.status, answer.text("code"), answer.text("executed")) {
                (504, "outcome_unknown", "maybe") => doubtful.push((token, key)),
                (503, "no_quorum", "no") => refused.push(token),
                _ => panic!("neither \"maybe\" nor \"no\": {answer:?}"),
            }
        }
        if !doubtful.is_empty() {
            break;
        }
    }
    assert!(!doubtful.is_empty(), "no order was answered with \"maybe\"");

    for (token, key) in &doubtful {
        let first = retry(&cluster, token, key, &body);
        assert_eq!(first.status, 201, "units are left, so the order must succeed: {first:?}");
        let again = retry(&cluster, token, key, &body);
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{again:?}");
        assert_eq!(again.body, first.body);
        assert_eq!(orders_of(&cluster, token), [first.text("id")]);
    }
    for token in &refused {
        assert!(orders_of(&cluster, token).is_empty(), "an order with executed \"no\" was placed");
    }
    let stock = cluster.stock(0, &sale);
    assert_eq!(stock.body["held"], doubtful.len(), "{stock:?}");
    let hashes = cluster.hashes();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

/// Checks how a node without a majority responds, and how fast.
fn check_alone(cluster: &Cluster, alone: usize, sale: &str) {
    let api = cluster.api(alone);
    until("the last node notices that it has no majority", || {
        let ask = Request::get("/v1/cluster?consistency=local").by(&cluster.admin);
        let status = ask.send(api).expect("an answer");
        assert_eq!(status.status, 200, "{status:?}");
        (status.body["leader"] == Value::Null).then_some(())
    });
    let order = one_unit(sale);
    let product =
        json!({"name": "x", "stock": 0, "price": {"amount": 1, "currency": "KRW"}}).to_string();
    let customers = cluster.customers(5);
    let stock = format!("/v1/sales/{sale}/stock");
    let mut asks: Vec<Request<'_>> = customers
        .iter()
        .map(|token| Request::post("/v1/orders", &order).by(token).key("alone"))
        .collect();
    asks.push(Request::post("/v1/admin/products", &product).by(&cluster.admin).key("alone"));
    asks.push(Request::get(&stock));
    asks.push(Request::get("/v1/orders").by(&customers[0]));
    asks.push(Request::get("/v1/cluster").by(&cluster.admin));
    for ask in asks {
        let since = Instant::now();
        let answer = ask.send(api).expect("an answer");
        let took = since.elapsed();
        assert_eq!((answer.status, answer.text("code")), (503, "no_quorum"), "{answer:?}");
        assert_eq!(answer.text("executed"), "no", "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        assert!(took < Duration::from_secs(2), "the refusal took {took:?}: {answer:?}");
    }
    let local = format!("{stock}?consistency=local");
    for (path, expected) in
        [(local.as_str(), 200), ("/v1/products", 200), ("/readyz", 503), ("/livez", 200)]
    {
        let answer = Request::get(path).send(api).expect("an answer");
        assert_eq!(answer.status, expected, "{path}: {answer:?}");
    }
}

#[test]
fn without_a_quorum_requests_are_refused_quickly_with_executed_no() {
    let mut cluster = Cluster::start(&[]);
    let sale = cluster.sale(10, LONG_AGO);
    // Once the leader remains, once a follower.
    for leader_stays in [true, false] {
        let leader = cluster.leader();
        let alone = if leader_stays { leader } else { (leader + 1) % 3 };
        let others: Vec<usize> = (0..3).filter(|at| *at != alone).collect();
        cluster.kill(&others);
        check_alone(&cluster, alone, &sale);
        cluster.restart(&others);
    }
    let stock = cluster.stock(0, &sale);
    assert_eq!(stock.body["available"], 10, "a refused order took units: {stock:?}");
}

/// RFC 3339 of the time this many minutes from now.
fn in_minutes(minutes: i64) -> String {
    let at = OffsetDateTime::now_utc() + time::Duration::minutes(minutes);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Checks that every node reports the right time and keeps the sale closed.
fn check_closed(cluster: &Cluster, nodes: &[usize], sale: &str) {
    for at in nodes {
        let name = cluster.name(*at);
        let answer = until("an order is decided", || {
            let token = cluster.customers(1).remove(0);
            let order = one_unit(sale);
            let ask = Request::post("/v1/orders", &order).by(&token).key("early");
            ask.send(cluster.api(*at)).ok().filter(|answer| answer.status < 500)
        });
        assert_eq!(answer.text("code"), "sale_not_open", "{name}: {answer:?}");
        let time = until("the time", || {
            let asked = Request::get("/v1/time").send(cluster.api(*at)).ok();
            asked.filter(|answer| answer.status == 200)
        });
        let told = OffsetDateTime::parse(time.text("now"), &Rfc3339).expect("a time");
        let off = (told - OffsetDateTime::now_utc()).abs();
        assert!(off < time::Duration::seconds(30), "the clock of {name} is off by {off}: {time:?}");
        let shown =
            Request::get(&format!("/v1/sales/{sale}")).send(cluster.api(*at)).expect("a sale");
        assert_eq!(shown.text("state"), "scheduled", "{name}: {shown:?}");
    }
}

#[test]
fn a_node_whose_clock_is_ten_minutes_off_never_opens_a_sale_early() {
    let wrong = 1;
    let mut cluster = Cluster::start(&[(wrong, &["--clock-offset-ms", "600000"])]);
    let sale = cluster.sale(10, &in_minutes(5));
    check_closed(&cluster, &[0, 1, 2], &sale);

    // It does not become leader when leadership is transferred to it.
    let to = json!({"to": wrong + 1}).to_string();
    let asked = Request::post("/v1/cluster/leader-transfers", &to).by(&cluster.admin);
    let asked = asked.send(cluster.api(0)).expect("an answer");
    check_closed(&cluster, &[0, 1, 2], &sale);
    let leader = until("a node with a correct clock leads", || {
        cluster.leader_seen_by(wrong).filter(|leader| *leader != wrong)
    });
    assert_ne!(leader, wrong, "{asked:?}");

    // Nor when the leader dies and only one other clock is left for comparison.
    cluster.kill(&[leader]);
    let alive: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    check_closed(&cluster, &alive, &sale);
    let next = until("another node leads", || {
        cluster.leader_seen_by(wrong).filter(|next| *next != leader)
    });
    assert_ne!(next, wrong, "a node with a wrong clock became leader");
}

#[test]
fn a_killed_cluster_keeps_every_acknowledged_order() {
    /// Orders to acknowledge before all nodes are killed.
    const ENOUGH: usize = 150;
    const BUYERS: usize = 6;
    let mut cluster = Cluster::start(&[]);
    let sale = cluster.sale(1_000_000, LONG_AGO);
    let body = one_unit(&sale);
    let tokens = cluster.customers(20_000);
    let (next, acknowledged) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let killed = AtomicBool::new(false);

    // By buyer's token: the acknowledged order, or nothing if there was no response.
    let mut bought: BTreeMap<&str, Option<Value>> = BTreeMap::new();
    thread::scope(|scope| {
        let (cluster_now, tokens, body) = (&cluster, &tokens, &body);
        let (next, acknowledged, killed) = (&next, &acknowledged, &killed);
        let buyers: Vec<_> = (0..BUYERS)
            .map(|n| {
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    while !killed.load(Ordering::SeqCst) {
                        let at = next.fetch_add(1, Ordering::SeqCst);
                        let token = tokens[at].as_str();
                        let ask = Request::post("/v1/orders", body).by(token).key("once");
                        let order = match ask.send(cluster_now.api(n % 3)) {
                            Ok(answer) if answer.status == 201 => Some(answer.body),
                            Ok(answer) if answer.text("executed") == "no" => continue,
                            Ok(_) | Err(_) => None,
                        };
                        acknowledged.fetch_add(usize::from(order.is_some()), Ordering::SeqCst);
                        mine.push((token, order));
                    }
                    mine
                })
            })
            .collect();
        until("enough orders", || (acknowledged.load(Ordering::SeqCst) >= ENOUGH).then_some(()));
        cluster.signal("KILL", &[0, 1, 2]);
        killed.store(true, Ordering::SeqCst);
        for buyer in buyers {
            bought.extend(buyer.join().expect("a buyer"));
        }
    });
    cluster.reap(&[0, 1, 2]);
    cluster.restart(&[0, 1, 2]);

    let mut orders = 0;
    for (at, (token, order)) in bought.iter().enumerate() {
        if let Some(order) = order {
            let path = format!("/v1/orders/{}", order["id"].as_str().expect("an id"));
            let found = Request::get(&path).by(token).send(cluster.api(at % 3)).expect("an answer");
            assert_eq!(found.status, 200, "an acknowledged order is lost: {order} {found:?}");
            assert_eq!(found.body["ticket"], order["ticket"], "{found:?}");
        }
        // Every buyer retries, with or without an earlier response.
        let answer = retry(&cluster, token, "once", &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(orders_of(&cluster, token), [answer.text("id")]);
        orders += 1;
    }
    assert!(orders >= ENOUGH);
    for at in 0..3 {
        let stock = cluster.stock(at, &sale);
        assert_eq!(stock.body["held"], orders, "{stock:?}");
    }
    let hashes = cluster.hashes();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}
