//! Every sentence of a judge: a small history that is right, one thing changed in it, and what the
//! judge must say then.

use firstcome_jepsen::judge::check::{CHECKERS, Evidence, Finding, RunMetadata, Verdict};
use firstcome_jepsen::record::dump::{Dump, EditRow, EventRow, LedgerRow};
use firstcome_jepsen::record::history;
use firstcome_jepsen::record::inspect::Inspected;
use firstcome_jepsen::record::node_log::{Line, Scan};
use firstcome_jepsen::record::run_event::SOLD_OUT_PHASE;
use firstcome_jepsen::record::run_event::{
    NODE_EXITED, NOT_RECOVERED, RECOVERED, STILL_OPEN, UNEXPECTED,
};
use serde_json::{Value, json};

const MS: u64 = 1_000_000;

/// What is known of a run.
struct Run {
    metadata: RunMetadata,
    lines: Vec<Value>,
    dumps: Vec<Dump>,
    inspected: Vec<Inspected>,
    logs: Scan,
}

impl Run {
    /// A sale of two units: one paid, the other paid and scrapped when it came back. All was seen.
    fn right() -> Self {
        let dumps = ["n1", "n2", "n3"].map(|node| {
            serde_json::from_value(json!({
                "node": node,
                "revision": 40,
                "hash": "ab",
                "orders": [
                    order_row("ord_a", "usr_a", "paid", 11),
                    order_row("ord_b", "usr_b", "returned", 12),
                ],
                "pools": {"sal_1": stock(2, [0, 0, 1, 1])},
                "events": [
                    event(13, "order.paid", "ord_a"),
                    event(14, "order.paid", "ord_b"),
                    event(15, "order.shipping", "ord_b"),
                    event(16, "order.delivered", "ord_b"),
                    event(17, "order.return_requested", "ord_b"),
                    event(18, "order.returned", "ord_b"),
                ],
                "ledger": [
                    moved(10, "outside", "available", 2, None),
                    moved(11, "available", "held", 1, Some("ord_a")),
                    moved(12, "available", "held", 1, Some("ord_b")),
                    moved(13, "held", "sold", 1, Some("ord_a")),
                    moved(14, "held", "sold", 1, Some("ord_b")),
                    moved(18, "sold", "scrapped", 1, Some("ord_b")),
                ],
            }))
            .unwrap()
        });
        let inspected = ["n1", "n2", "n3"].map(|node| Inspected {
            node: node.into(),
            revision: Some(40),
            stored: Some("ab".into()),
            recomputed: Some("ab".into()),
            wrong: None,
            unread: None,
        });
        let metadata = RunMetadata {
            workload: "order_set".into(),
            nodes: 3,
            binary: "firstcome".into(),
            started_unix_ms: 1_000,
            ..RunMetadata::default()
        };
        let logs = Scan { logs: 3, lines: 9, alarms: Vec::new() };
        let mut run = Self {
            metadata,
            lines: Vec::new(),
            dumps: dumps.to_vec(),
            inspected: inspected.to_vec(),
            logs,
        };
        run.keyed(1, "sale", "k-0", json!({"units": 2, "limit": 1}), json!({"sale": "sal_1"}), 10);
        run.keyed(2, "order", "k-1", buys("usr_a"), ordered("ord_a"), 11);
        run.keyed(3, "order", "k-2", buys("usr_b"), ordered("ord_b"), 12);
        for (at, f, order, status) in [
            (13, "settle", "ord_a", "paid"),
            (14, "settle", "ord_b", "paid"),
            (15, "ship", "ord_b", "shipping"),
            (16, "deliver", "ord_b", "delivered"),
            (17, "return", "ord_b", "return_requested"),
        ] {
            let key = format!("k-{at}");
            run.keyed(9, f, &key, json!({"order": order}), json!({"status": status}), at);
        }
        let (asked, told) =
            (json!({"order": "ord_b", "restock": false}), json!({"status": "returned"}));
        run.keyed(9, "receive", "k-18", asked, told, 18);
        run.keyed(4, "stock", "", Value::Null, stock(2, [0, 0, 1, 1]), 19);
        let listed = json!({"orders": [["ord_a", "paid"], ["ord_b", "returned"]]});
        run.keyed(4, "orders", "", Value::Null, listed, 20);
        let look = json!({"order": "ord_a", "min": 20});
        run.keyed(4, "look", "", look, json!({"status": "paid"}), 20);
        run.record_event(RECOVERED, json!({"ms": 1}));
        run.record_event(SOLD_OUT_PHASE, Value::Null);
        run
    }

    fn next_t(&self) -> u64 {
        (self.lines.len() as u64 + 1) * MS
    }

    /// A process asks and is answered; nobody else asks meanwhile.
    fn keyed(&mut self, p: u64, f: &str, key: &str, asked: Value, told: Value, rev: u64) {
        let line = |value: Value| {
            let mut line = json!({"p": p, "f": f, "node": "n1", "value": value});
            if f != "sale" {
                line["pool"] = json!("sal_1");
            }
            if !key.is_empty() {
                line["key"] = json!(key);
            }
            line
        };
        let (mut asks, mut ends) = (line(asked), line(told));
        asks["type"] = json!("invoke");
        asks["t"] = json!(self.next_t());
        self.lines.push(asks);
        ends["type"] = json!("ok");
        ends["t"] = json!(self.next_t());
        ends["rev"] = json!(rev);
        self.lines.push(ends);
    }

    fn record_event(&mut self, f: &str, value: impl Into<Value>) {
        let line = json!({"p": "nemesis", "type": "info", "f": f, "value": value.into(), "t": self.next_t()});
        self.lines.push(line);
    }

    /// The last line.
    fn last(&mut self) -> &mut Value {
        self.lines.last_mut().unwrap()
    }

    /// The answer to the last question of this kind.
    fn told(&mut self, f: &str) -> &mut Value {
        self.lines.iter_mut().rev().find(|line| line["f"] == f && line["type"] == "ok").unwrap()
    }

    /// Leaves out what was said of this.
    fn unsay(&mut self, f: &str) {
        self.lines.retain(|line| line["f"] != f);
    }

    fn each_dump(&mut self, change: impl Fn(&mut Dump)) {
        self.dumps.iter_mut().for_each(change);
    }

    fn evidence(&self) -> Evidence {
        self.read().unwrap()
    }

    fn read(&self) -> anyhow::Result<Evidence> {
        let header = json!({"i": 0, "type": "header", "format": 1, "run": "r"});
        let mut page = vec![header];
        page.extend(self.lines.iter().cloned());
        for (at, line) in page.iter_mut().enumerate() {
            line["i"] = json!(at);
        }
        let page: Vec<String> = page.iter().map(Value::to_string).collect();
        let history = history::read(page.join("\n").as_bytes()).unwrap();
        let mut evidence = Evidence::of(self.metadata.clone(), history, self.dumps.clone())?;
        (evidence.inspected, evidence.logs) = (self.inspected.clone(), self.logs.clone());
        Ok(evidence)
    }

    fn finding(&self, checker: &str) -> Finding {
        let checker = CHECKERS.iter().find(|c| c.name == checker).unwrap();
        (checker.check)(&self.evidence())
    }
}

fn buys(customer: &str) -> Value {
    json!({"customer": customer, "qty": 1})
}

fn ordered(order: &str) -> Value {
    let pay_by = "2026-01-01T01:00:00.000Z";
    json!({"order": order, "status": "payment_pending", "pay_by": pay_by})
}

fn stock(stocked: u64, [available, held, sold, scrapped]: [u64; 4]) -> Value {
    json!({"stocked": stocked, "available": available, "held": held, "sold": sold,
           "scrapped": scrapped})
}

fn order_row(id: &str, customer: &str, status: &str, revision: u64) -> Value {
    json!({"id": id, "customer": customer, "pool": "sal_1", "quantity": 1, "status": status,
           "revision": revision})
}

fn event(revision: u64, name: &str, order: &str) -> Value {
    json!({"revision": revision, "type": name, "order": order})
}

fn moved(revision: u64, from: &str, to: &str, quantity: u64, order: Option<&str>) -> Value {
    json!({"revision": revision, "offset": 0, "pool": "sal_1", "from": from, "to": to,
           "quantity": quantity, "order": order})
}

fn ledger_row(revision: u64, from: &str, to: &str, order: Option<&str>) -> LedgerRow {
    serde_json::from_value(moved(revision, from, to, 1, order)).unwrap()
}

fn alarm(node: &str, text: &str, at_ms: Option<u64>) -> Line {
    Line { node: node.into(), number: 7, at_ms, text: text.into() }
}

/// By whom, what is changed, and what is said then.
type Sentence = (&'static str, fn(&mut Run), Verdict, &'static str);

use Verdict::{False, True, Unknown};

const ONCE: &[Sentence] = &[
    (
        "once",
        |run| run.keyed(20, "order", "k-9", buys("usr_c"), ordered("ord_a"), 30),
        False,
        "answers two keys",
    ),
    (
        "once",
        |run| {
            let two = json!({"customer": "usr_a", "qty": 2});
            run.keyed(20, "order", "k-1", two, ordered("ord_a"), 11);
            run.last()["replayed"] = json!(true);
        },
        False,
        "a second body was accepted",
    ),
    (
        "once",
        |run| {
            run.keyed(20, "order", "k-1", buys("usr_a"), ordered("ord_a"), 12);
            run.last()["replayed"] = json!(true);
        },
        False,
        "at revision 11, then",
    ),
    (
        "once",
        |run| {
            run.keyed(20, "order", "k-1", buys("usr_a"), ordered("ord_a"), 11);
            run.last()["replayed"] = json!(true);
        },
        True,
        "",
    ),
    (
        "once",
        |run| run.keyed(20, "order", "k-1", buys("usr_a"), ordered("ord_a"), 11),
        False,
        "2 answers say that they were the first",
    ),
    (
        "once",
        |run| {
            let reused = json!({"refused": "idempotency_key_reused"});
            run.keyed(20, "order", "k-1", buys("usr_a"), reused, 30);
        },
        False,
        "refused as used otherwise",
    ),
    (
        "once",
        |run| {
            let two = json!({"customer": "usr_a", "qty": 2});
            let reused = json!({"refused": "idempotency_key_reused"});
            run.keyed(20, "order", "k-1", two, reused, 30);
        },
        True,
        "",
    ),
    // The answer to the other body was lost.
    (
        "once",
        |run| {
            run.keyed(20, "order", "k-9", buys("usr_c"), Value::Null, 0);
            run.is_lost();
            refused_as_used(run, json!({"customer": "usr_c", "qty": 2}));
        },
        True,
        "",
    ),
    (
        "once",
        |run| {
            run.keyed(20, "order", "k-9", buys("usr_c"), Value::Null, 0);
            run.is_lost();
            refused_as_used(run, buys("usr_c"));
        },
        False,
        "k-9: refused as used otherwise, but nobody used it otherwise",
    ),
    ("once", |run| refused_as_used(run, buys("usr_c")), False, "nobody used it otherwise"),
    (
        "once",
        |run| {
            run.keyed(20, "order", "k-9", buys("usr_d"), Value::Null, 0);
            fails(run);
            refused_as_used(run, buys("usr_c"));
        },
        False,
        "nobody used it otherwise",
    ),
    (
        "once",
        |run| {
            refused_as_used(run, buys("usr_c"));
            run.keyed(22, "order", "k-9", buys("usr_d"), Value::Null, 0);
            run.is_lost();
        },
        False,
        "nobody used it otherwise",
    ),
    // Its first copy was answered at 4 ms.
    ("once", |run| refused_early(run, 204 * MS), True, ""),
    ("once", |run| refused_early(run, 204 * MS + 1), False, "later refused from a read"),
    (
        "once",
        |run| run.each_dump(|dump| drop(dump.orders.remove(0))),
        False,
        "answered ord_a, which no node shows",
    ),
    ("once", |run| run.dumps.clear(), True, ""),
    ("once", unasked_order, False, "ord_x of usr_x on sal_1: no request of its own"),
    (
        "once",
        |run| {
            unasked_order(run);
            denied(run, "sal_1", buys("usr_x"));
        },
        False,
        "`executed: no` took effect",
    ),
    // Somebody else was told no, or on another sale.
    (
        "once",
        |run| {
            unasked_order(run);
            denied(run, "sal_1", buys("usr_y"));
            denied(run, "sal_2", buys("usr_x"));
        },
        False,
        "ord_x of usr_x on sal_1: no request of its own",
    ),
    ("once", unasked_event, False, "order.canceled of ord_a at revision 30: no request of its own"),
    (
        "once",
        |run| {
            unasked_event(run);
            run.keyed(21, "cancel", "k-21", json!({"order": "ord_a"}), Value::Null, 0);
            fails(run);
        },
        False,
        "order.canceled of ord_a at revision 30: a request answered `executed: no`",
    ),
    // What failed was about another order, or only a look.
    (
        "once",
        |run| {
            unasked_event(run);
            run.keyed(21, "cancel", "k-21", json!({"order": "ord_b"}), Value::Null, 0);
            fails(run);
            run.keyed(22, "look", "", json!({"order": "ord_a"}), Value::Null, 0);
            fails(run);
        },
        False,
        "order.canceled of ord_a at revision 30: no request of its own",
    ),
];

/// A key that is not used by anybody else is refused as used otherwise.
fn refused_as_used(run: &mut Run, asked: Value) {
    run.keyed(21, "order", "k-9", asked, json!({"refused": "idempotency_key_reused"}), 30);
}

/// The key of the first order is refused from a read, by a copy that was called then.
fn refused_early(run: &mut Run, called: u64) {
    run.keyed(20, "order", "k-1", buys("usr_a"), json!({"refused": "sold_out"}), 19);
    run.last()["early"] = json!(true);
    let at = run.lines.len();
    run.lines[at - 2]["t"] = json!(called);
    run.lines[at - 1]["t"] = json!(called + 1);
}

/// Nobody asked for this order.
fn unasked_order(run: &mut Run) {
    run.each_dump(|dump| {
        let row = order_row("ord_x", "usr_x", "canceled", 30);
        dump.orders.push(serde_json::from_value(row).unwrap());
    });
}

/// Nobody canceled this order.
fn unasked_event(run: &mut Run) {
    run.each_dump(|dump| {
        let row: EventRow = serde_json::from_value(event(30, "order.canceled", "ord_a")).unwrap();
        dump.events.as_mut().unwrap().push(row);
    });
}

/// The last answer was `executed: no`.
fn fails(run: &mut Run) {
    run.last()["type"] = json!("fail");
    run.last().as_object_mut().unwrap().remove("rev");
}

fn denied(run: &mut Run, pool: &str, asked: Value) {
    let p = 30 + run.lines.len() as u64;
    run.keyed(p, "order", &format!("k-{p}"), asked, Value::Null, 0);
    fails(run);
    for line in run.lines.iter_mut().rev().take(2) {
        line["pool"] = json!(pool);
    }
}

const COUNTS: &[Sentence] = &[
    ("oversell", |run| run.dumps.clear(), Unknown, "no node was dumped"),
    (
        "oversell",
        |run| run.told("stock")["value"] = stock(2, [0, 0, 2, 1]),
        False,
        "revision 19: sal_1 is oversold",
    ),
    (
        "oversell",
        |run| run.told("stock")["value"] = stock(2, [0, 2, 0, 1]),
        False,
        "revision 19: sal_1 is oversold",
    ),
    (
        "oversell",
        |run| run.told("stock")["value"] = stock(2, [0, 0, 1, 2]),
        False,
        "revision 19: sal_1 is oversold",
    ),
    (
        "oversell",
        |run| run.told("stock")["value"] = stock(2, [1, 0, 1, 1]),
        False,
        "revision 19: the accounts of sal_1 do not add up",
    ),
    ("oversell", |run| run.told("stock")["value"] = stock(9, [3, 1, 4, 1]), True, ""),
    (
        "oversell",
        |run| run.dumps[1].pools.get_mut("sal_1").unwrap().available += 1,
        False,
        "n2: the accounts of sal_1 do not add up",
    ),
    (
        "oversell",
        |run| run.each_dump(|dump| dump.orders[0].quantity = 2),
        False,
        "usr_a has 2 units of sal_1, over its limit",
    ),
    // One unit was scrapped.
    (
        "oversell",
        |run| {
            run.each_dump(|dump| {
                let row = order_row("ord_c", "usr_c", "paid", 21);
                dump.orders.push(serde_json::from_value(row).unwrap());
            });
        },
        False,
        "sal_1 had 2 of 1 units taken at revision 21",
    ),
    ("oversell", |run| half_bought(run, "payment_pending", "held"), True, ""),
    // Units that came back do not count.
    (
        "oversell",
        |run| {
            run.each_dump(|dump| dump.orders[1].customer = "usr_a".into());
            for line in run.lines.iter_mut().filter(|line| line["value"]["customer"] == "usr_b") {
                line["value"]["customer"] = json!("usr_a");
            }
        },
        True,
        "",
    ),
    (
        "oversell",
        |run| run.each_dump(|dump| dump.events.as_mut().unwrap().retain(|e| e.order != "ord_b")),
        Unknown,
        "no node tells when all of its units came back",
    ),
    ("undersell", |run| run.dumps.clear(), Unknown, "no node was dumped"),
    ("undersell", |run| run.unsay(SOLD_OUT_PHASE), Unknown, "no sell-out phase"),
    (
        "undersell",
        |run| run.each_dump(|dump| dump.events.as_mut().unwrap().retain(|e| e.order != "ord_b")),
        Unknown,
        "no node tells when all of its units came back",
    ),
    (
        "undersell",
        |run| {
            run.each_dump(|dump| dump.events.as_mut().unwrap().retain(|e| e.order != "ord_b"));
            sold_out_at(run, 12, 1);
        },
        Unknown,
        "no node tells when all of its units came back",
    ),
    ("undersell", |run| sold_out_at(run, 13, 1), True, ""),
    ("undersell", |run| sold_out_at(run, 12, 1), False, "refused 1 as sold out with 1 left"),
    ("undersell", |run| sold_out_at(run, 12, 2), True, ""),
    (
        "undersell",
        |run| {
            sold_out_at(run, 12, 1);
            run.last()["early"] = json!(true);
        },
        True,
        "",
    ),
    (
        "undersell",
        |run| {
            let pool = run.dumps[2].pools.get_mut("sal_1").unwrap();
            (pool.sold, pool.held) = (0, 1);
        },
        False,
        "n3: sal_1 is not sold to the unit",
    ),
    ("conservation", |run| run.dumps.clear(), Unknown, "no node was dumped"),
    (
        "conservation",
        |run| run.told("stock")["value"] = stock(3, [0, 0, 1, 1]),
        False,
        "revision 19: sal_1 does not add up",
    ),
    ("conservation", |run| run.told("stock")["value"] = stock(9, [3, 1, 4, 1]), True, ""),
    (
        "conservation",
        |run| run.dumps[1].pools.get_mut("sal_1").unwrap().stocked += 1,
        False,
        "n2: sal_1 does not add up",
    ),
    ("conservation", |run| run.dumps[0].ledger = None, Unknown, "n1 does not list its ledger"),
    (
        "conservation",
        |run| {
            let row = &mut run.dumps[0].orders[0];
            row.payment = Some("pending".into());
        },
        False,
        "ord_a is paid, its payment pending",
    ),
    ("conservation", |run| run.dumps[0].orders[0].payment = Some("paid".into()), True, ""),
    ("conservation", |run| half_bought(run, "payment_pending", "held"), True, ""),
    (
        "conservation",
        |run| half_bought(run, "paid", "held"),
        False,
        "orders hold 0 and own 2 of sal_1",
    ),
    ("conservation", |run| run.dumps[0].ledger.as_mut().unwrap().swap(0, 1), True, ""),
    (
        "conservation",
        |run| run.dumps[0].ledger.as_mut().unwrap()[0].revision = 99,
        False,
        "available of sal_1 is -1 at revision 11",
    ),
    (
        "conservation",
        |run| run.dumps[0].ledger.as_mut().unwrap()[0].quantity = 3,
        False,
        "available of sal_1 is 0, its ledger says 1",
    ),
    // What a sale that is over hands back is no longer the order's.
    (
        "conservation",
        |run| {
            let ledger = run.dumps[0].ledger.as_mut().unwrap();
            ledger.push(ledger_row(30, "outside", "available", None));
            ledger.push(ledger_row(31, "available", "outside", Some("ord_b")));
        },
        True,
        "",
    ),
    (
        "conservation",
        |run| {
            let ledger = run.dumps[0].ledger.as_mut().unwrap();
            ledger.push(ledger_row(30, "sold", "held", Some("ord_a")));
            ledger.push(ledger_row(31, "held", "sold", Some("ord_a")));
        },
        False,
        "units of ord_a left held of sal_1 2 times",
    ),
    (
        "conservation",
        |run| {
            let ledger = run.dumps[0].ledger.as_mut().unwrap();
            ledger.push(ledger_row(30, "sold", "available", Some("ord_a")));
            ledger.push(ledger_row(31, "available", "sold", Some("ord_a")));
        },
        False,
        "units of ord_a left available of sal_1 2 times",
    ),
];

/// A fresh customer is told at this revision that so many are not there.
fn sold_out_at(run: &mut Run, revision: u64, quantity: u64) {
    let asked = json!({"customer": "usr_c", "qty": quantity});
    run.keyed(20, "order", "k-20", asked, json!({"refused": "sold_out"}), revision);
}

/// A third unit, which a third order has in this status and this account.
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

const ORDER: &[Sentence] = &[
    ("session", |run| run.unsay("look"), Unknown, "no read named the revision it wants"),
    ("session", |run| run.told("look")["rev"] = json!(19), False, "wanted revision 20, got 19"),
    (
        "session",
        |run| run.keyed(4, "stock", "", Value::Null, stock(2, [0, 0, 1, 1]), 19),
        False,
        "revision 19 after revision 20",
    ),
    // Another process has another session.
    ("session", |run| run.keyed(5, "stock", "", Value::Null, stock(2, [0, 0, 1, 1]), 19), True, ""),
    // A local read may show less.
    (
        "session",
        |run| run.keyed(4, "stock", "", json!({"local": true}), stock(2, [0, 0, 1, 1]), 19),
        True,
        "",
    ),
    (
        "session",
        |run| {
            let asked = json!({"order": "ord_a"});
            run.keyed(9, "look", "", asked, json!({"status": "payment_pending"}), 20);
        },
        False,
        "ord_a of its own is shown as",
    ),
    (
        "session",
        |run| {
            let asked = json!({"order": "ord_a", "local": true, "min": 17});
            run.keyed(9, "look", "", asked, json!({"status": "payment_pending"}), 20);
        },
        True,
        "",
    ),
    (
        "session",
        |run| {
            let asked = json!({"order": "ord_a", "local": true, "min": 18});
            run.keyed(9, "look", "", asked, json!({"status": "payment_pending"}), 20);
        },
        False,
        "ord_a of its own is shown as",
    ),
    (
        "session",
        |run| {
            let gone = json!({"refused": "not_found"});
            run.keyed(9, "look", "", json!({"order": "ord_a"}), gone, 20);
        },
        False,
        "ord_a of its own is not there",
    ),
    ("set_full", |run| run.unsay("orders"), Unknown, "no list was answered"),
    (
        "set_full",
        |run| {
            let rows = run.told("orders")["value"]["orders"].as_array_mut().unwrap();
            rows.push(rows[0].clone());
        },
        False,
        "shows an order twice",
    ),
    (
        "set_full",
        |run| drop(run.told("orders")["value"]["orders"].as_array_mut().unwrap().pop()),
        False,
        "lost: ord_b of sal_1",
    ),
    (
        "set_full",
        |run| {
            list(run, &["ord_a"]);
            list(run, &["ord_a", "ord_b"]);
        },
        False,
        "stale: ord_b of sal_1",
    ),
    (
        "set_full",
        |run| {
            list(run, &["ord_a", "ord_b"]);
            list(run, &["ord_a"]);
        },
        False,
        "lost: ord_b of sal_1",
    ),
    ("set_full", |run| list(run, &["ord_a", "ord_b", "ord_x"]), False, "nobody added it"),
    // Asked before its order was answered.
    (
        "set_full",
        |run| {
            list(run, &["ord_a"]);
            let at = run.lines.len();
            run.lines[at - 2]["t"] = json!(6 * MS);
            let asks = run.lines.remove(at - 2);
            run.lines.insert(6, asks);
        },
        True,
        "",
    ),
];

fn list(run: &mut Run, ids: &[&str]) {
    let rows: Vec<_> = ids.iter().map(|id| json!([id, "paid"])).collect();
    run.keyed(40, "orders", "", Value::Null, json!({"orders": rows}), 30);
}

const NODES: &[Sentence] = &[
    (
        "convergence",
        |run| run.dumps[1].hash = Some("cd".into()),
        False,
        "revision 40: n1 has hash ab, n2 has cd",
    ),
    (
        "convergence",
        |run| run.dumps[1].hash = None,
        Unknown,
        "2 of 3 nodes told a hash, at 1 revisions",
    ),
    (
        "convergence",
        |run| run.dumps[1].revision = 41,
        Unknown,
        "3 of 3 nodes told a hash, at 2 revisions",
    ),
    (
        "convergence",
        |run| run.dumps[2].orders[0].status = "canceled".into(),
        False,
        "n1 and n3 show different orders",
    ),
    ("convergence", |run| run.dumps[2].orders.reverse(), True, ""),
    ("convergence", |run| run.dumps[2].pools.clear(), False, "n1 and n3 show different stock"),
    ("convergence", |run| run.inspected[0].wrong = Some("S1".into()), False, "n1 on disk: S1"),
    (
        "convergence",
        |run| {
            run.inspected[0].revision = None;
            run.inspected[0].unread = Some("no file".into());
        },
        Unknown,
        "n1 on disk: no file",
    ),
    (
        "convergence",
        |run| run.inspected[0].stored = Some("cd".into()),
        False,
        "n1 keeps hash cd, its rows have ab",
    ),
    (
        "convergence",
        |run| {
            run.inspected[0].stored = Some("cd".into());
            run.inspected[0].recomputed = Some("cd".into());
        },
        False,
        "n3 online has hash ab, n1 on disk has cd",
    ),
    ("convergence", |run| drop(run.inspected.pop()), Unknown, "2 of 3 data directories"),
    (
        "convergence",
        |run| {
            run.inspected.clear();
            run.metadata.binary.clear();
        },
        True,
        "",
    ),
    (
        "convergence",
        |run| {
            run.inspected[0].wrong = Some("S1".into());
            run.record_event("disk", json!({"mode": "flip", "node": "n1"}));
        },
        True,
        "n1 was given corrupt files",
    ),
    (
        "convergence",
        |run| {
            run.inspected[0].wrong = Some("S1".into());
            run.record_event("disk", json!({"mode": "flip", "node": "n2"}));
        },
        False,
        "n1 on disk: S1",
    ),
    ("recovery", |run| run.unsay(RECOVERED), Unknown, "does not say whether"),
    (
        "recovery",
        |run| run.record_event(NOT_RECOVERED, json!("n2")),
        False,
        "not every node served",
    ),
    ("recovery", |run| run.record_event(UNEXPECTED, json!("n2")), False, "no fault explains it"),
    (
        "recovery",
        |run| run.record_event(NODE_EXITED, json!({"code": 1})),
        False,
        "a node ended, and no fault",
    ),
    (
        "recovery",
        |run| run.record_event(NODE_EXITED, json!({"code": 1, "explained": false})),
        False,
        "a node ended, and no fault",
    ),
    (
        "recovery",
        |run| run.record_event(NODE_EXITED, json!({"code": 1, "explained": true})),
        True,
        "",
    ),
    (
        "recovery",
        |run| run.record_event(STILL_OPEN, "after 60s"),
        Unknown,
        "no outcome after 60s on a",
    ),
    (
        "contract",
        |run| {
            run.last_answer_is(json!({"breach": "500 without a body"}));
        },
        False,
        "500 without a body",
    ),
    ("contract", |run| run.last_answer_is(json!({"error": "reset"})), True, ""),
    ("log_scan", |run| run.logs.logs = 0, Unknown, "no node logs"),
    (
        "log_scan",
        |run| {
            run.logs.logs = 0;
            run.metadata.binary.clear();
        },
        True,
        "",
    ),
    (
        "log_scan",
        |run| run.logs.alarms.push(alarm("n1", "is damaged", None)),
        False,
        "n1 line 7: is damaged",
    ),
    (
        "log_scan",
        |run| {
            run.logs.alarms.push(alarm("n1", "is damaged", None));
            run.record_event("disk", json!({"mode": "flip", "node": "n1"}));
        },
        True,
        "1 lines tell of faults that were injected",
    ),
    (
        "log_scan",
        |run| {
            run.logs.alarms.push(alarm("n1", "a Panic", None));
            run.record_event("disk", json!({"mode": "flip", "node": "n1"}));
        },
        False,
        "n1 line 7: a Panic",
    ),
    (
        "log_scan",
        |run| {
            run.logs.alarms.push(alarm("n1", "a Panic", None));
            run.record_event("failpoint", json!({"mode": "panic", "nodes": ["n2", "n1"]}));
        },
        True,
        "1 lines tell",
    ),
    (
        "log_scan",
        |run| {
            run.logs.alarms.push(alarm("n1", "a Panic", None));
            run.record_event("failpoint", json!({"mode": "panic", "nodes": ["n2", "n3"]}));
        },
        False,
        "n1 line 7: a Panic",
    ),
    // A line of 5 s before the words of the nemesis, and one of earlier.
    ("log_scan", |run| panics(run, "bug: failpoint log.append"), True, "1 lines tell"),
    ("log_scan", |run| panics(run, "bug: index out of bounds"), False, "bug: index out of bounds"),
    ("log_scan", |run| damaged_before(run, 5_000), True, "1 lines tell"),
    ("log_scan", |run| damaged_before(run, 5_001), False, "n1 line 7: is damaged"),
    ("log_scan", |run| damaged_at(run, 4_999), False, "n1 line 7: is damaged"),
    ("log_scan", |run| damaged_at(run, 12_000), True, "1 lines tell"),
    ("log_scan", |run| damaged_at(run, 25_000), True, "1 lines tell"),
    ("log_scan", |run| damaged_at(run, 25_001), False, "n1 line 7: is damaged"),
    ("once", made_by_nobody, False, "nobody made version 2 of prd_1"),
    ("once", |run| changed(run, "prd_1", 1, 2), True, ""),
    ("once", |run| changed(run, "prd_2", 1, 2), False, "nobody made version 2 of prd_1"),
    ("once", |run| changed(run, "prd_1", 2, 2), False, "nobody made version 2 of prd_1"),
    ("once", |run| changed(run, "prd_1", 1, 3), False, "nobody made version 2 of prd_1"),
    (
        "once",
        |run| {
            changed(run, "prd_1", 1, 2);
            run.last()["type"] = json!("fail");
        },
        False,
        "nobody made version 2 of prd_1",
    ),
    // A product whose creation nobody was told of is not judged.
    (
        "once",
        |run| {
            made_by_nobody(run);
            run.unsay("product");
        },
        True,
        "",
    ),
];

const WITNESS: &[Sentence] = &[
    ("witness", |run| run.dumps.clear(), Unknown, "no node was dumped"),
    (
        "witness",
        |run| run.dumps[1].orders[0].status = "canceled".into(),
        False,
        "n2 shows ord_a as canceled, not paid",
    ),
    ("witness", |run| drop(run.dumps[1].orders.remove(0)), False, "n2 has lost ord_a (paid)"),
    ("witness", unasked_order, False, "n1 shows 1 orders nobody made"),
    ("witness", |run| run.dumps[1].pools.clear(), False, "n2 has lost sal_1"),
    (
        "witness",
        |run| {
            changed(run, "prd_1", 1, 2);
            run.dumps[1].products.clear();
        },
        False,
        "n2 has lost prd_1",
    ),
    // What was told not to have happened does not count, and its retry came too late for that.
    ("witness", |run| bought_after(run, "fail"), False, "had already been answered"),
    ("witness", |run| bought_after(run, "info"), True, ""),
    (
        "witness",
        |run| run.dumps[1].pools.get_mut("sal_1").unwrap().available += 1,
        False,
        "n2 shows sal_1 as",
    ),
    ("witness", |run| run.told("stock")["value"] = stock(2, [1, 0, 1, 0]), False, "the model says"),
    ("witness", |run| run.told("stock")["rev"] = json!(17), False, "revision 17: Stock on sal_1"),
    ("witness", |run| adjusted(run, "info"), Unknown, "nobody knows what became of Adjust"),
    ("witness", |run| adjusted(run, "fail"), True, ""),
    // Nobody lists what became of orders.
    ("witness", |run| run.each_dump(|dump| dump.events = None), True, ""),
    (
        "witness",
        |run| {
            run.keyed(20, "cancel", "k-20", json!({"order": "ord_a"}), Value::Null, 0);
            run.is_lost();
        },
        True,
        "",
    ),
    (
        "witness",
        |run| {
            run.keyed(20, "cancel", "k-20", json!({"order": "ord_a"}), Value::Null, 0);
            run.is_lost();
            run.each_dump(|dump| dump.events = None);
        },
        Unknown,
        "answers about orders were lost and no node lists its events",
    ),
    ("witness", |run| paid_at(run, "2026-01-01T00:59:59.999Z"), True, ""),
    (
        "witness",
        |run| paid_at(run, "2026-01-01T01:00:00.000Z"),
        False,
        "revision 13: order.paid of ord_a at 2026-01-01T01:00:00.000Z, but its time was over",
    ),
    ("witness", |run| refused_at(run, "2026-01-01T00:59:59.999Z"), True, ""),
    (
        "witness",
        |run| refused_at(run, "2026-01-01T01:00:00.000Z"),
        False,
        "revision 12: sal_2 was sold out at 2026-01-01T01:00:00.000Z or later, though 1 of its",
    ),
    // Its own entry ended the hold.
    (
        "witness",
        |run| {
            refused_at(run, "2026-01-01T01:00:00.000Z");
            run.each_dump(|dump| {
                dump.events.as_mut().unwrap().last_mut().unwrap().revision = 12;
            });
        },
        True,
        "",
    ),
    ("witness", |run| changed(run, "prd_1", 1, 2), True, ""),
    // No answer was lost, so nobody needs the events.
    ("witness", |run| priced(run, 1), True, ""),
    ("witness", |run| priced(run, 2), False, "the model says Value { price: 1, version: 1 }"),
    (
        "witness",
        |run| {
            changed(run, "prd_1", 1, 2);
            run.dumps[1].products.get_mut("prd_1").unwrap().price = 3;
        },
        False,
        "n2 shows prd_1 with price and version (3, 2), not (2, 2)",
    ),
    (
        "witness",
        |run| {
            changed(run, "prd_1", 1, 2);
            run.each_dump(|dump| dump.edits.clear());
        },
        Unknown,
        "answers about products were lost and no node lists its events",
    ),
];

/// The first attempt of the first order ended so; the answer to its retry came after the second.
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

/// A sale of one unit is sold out at this instant of log time, while an order of it is unpaid that
/// was to be paid within the hour; later the order is paid.
fn refused_at(run: &mut Run, at: &str) {
    *run = Run { lines: Vec::new(), ..Run::right() };
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

/// A correction of stock that ended so.
fn adjusted(run: &mut Run, ended: &str) {
    run.keyed(20, "adjust", "k-20", json!({"delta": 1, "scrap": false}), Value::Null, 0);
    fails(run);
    run.last()["type"] = json!(ended);
}

/// The first order was paid at this instant; it was to be paid within the hour.
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

const SEARCH: &[Sentence] = &[
    ("wgl", |run| open_at_once(run, 12), True, ""),
    (
        "wgl",
        |run| open_at_once(run, 13),
        True,
        "1 sales or products skipped: more than 12 open at once",
    ),
    ("wgl", |run| reads(run, 400 - 12), True, ""),
    (
        "wgl",
        |run| reads(run, 401 - 12),
        Unknown,
        "1 sales or products skipped: more than 400 operations",
    ),
    // What a customer has elsewhere is no matter of this sale.
    (
        "wgl",
        |run| {
            let told = json!({"refused": "too_many_pending_orders"});
            run.keyed(20, "order", "k-20", buys("usr_c"), told, 30);
        },
        True,
        "",
    ),
    ("wgl", |run| lost_answers(run, 9), True, ""),
    (
        "wgl",
        |run| lost_answers(run, 10),
        Unknown,
        "1 sales or products skipped: 10 or more lost answers",
    ),
    ("wgl", |run| run.unsay("sale"), Unknown, "skipped: they share units with a product"),
    ("wgl", |run| run.unsay("sale"), Unknown, "nothing was small and quiet enough"),
    ("wgl", |run| run.told("stock")["value"] = stock(2, [1, 0, 1, 0]), False, "no order of its"),
    ("wgl", puzzled, True, "1 sales or products had too many sequences to try"),
    (
        "wgl",
        |run| {
            puzzled(run);
            run.told("product")["rev"] = json!(99);
        },
        Unknown,
        "1 sales or products were given up",
    ),
    ("wgl", |run| priced(run, 1), True, ""),
    (
        "wgl",
        |run| {
            priced(run, 1);
            run.unsay("product");
        },
        True,
        "1 sales or products skipped: they share units with a product, or nobody was told",
    ),
    ("wgl", |run| priced(run, 2), False, "prd_1: no order of its 2 operations"),
];

/// What is changed, what `coverage` may say of it, and whether it does.
type Floor = (fn(&mut Run), &'static str, bool);

const FLOORS: &[Floor] = &[
    (|run| lasts(run, "order_set", "none", 10), "operations: 12, below the floor of 400", true),
    (|run| lasts(run, "order_set", "none", 10), "order: 2, below the floor of 10", true),
    (|run| lasts(run, "order_set", "none", 10), "sold out: 0, below the floor of 1", true),
    (|run| lasts(run, "order_set", "none", 0), "requests at once on one sale or product: 1,", true),
    (|run| lasts(run, "order_set", "none", 0), "decided", false),
    (|run| open_at_once(run, 2), "requests at once on one sale or product: 2,", true),
    (|run| open_at_once(run, 3), "requests at once", false),
    (|run| lasts(run, "unheard", "none", 10), "unheard has no floors", true),
    // The cells that gate a change.
    (|run| lasts(run, "flash_sale", "none", 30), "operations: 12, below the floor of 4000", true),
    (|run| lasts(run, "flash_sale", "none", 30), "sold out: 0, below the floor of 25", true),
    (|run| lasts(run, "flash_sale", "disk", 30), "operations: 12, below the floor of 1200", true),
    (|run| lasts(run, "flash_sale", "disk", 30), "sold out: 0, below the floor of 15", true),
    (|run| lasts(run, "sessions", "none", 30), "operations: 12, below the floor of 1200", true),
    (
        |run| {
            sold_out_at(run, 30, 1);
            lasts(run, "order_set", "none", 20);
        },
        "sold out: 1, below the floor of 2",
        true,
    ),
    (
        |run| {
            priced(run, 1);
            lasts(run, "register", "none", 10);
        },
        "decided read: 1, below the floor of 50",
        true,
    ),
    (
        |run| {
            priced(run, 1);
            lasts(run, "register", "none", 10);
        },
        "decided price: 0, below the floor of 50",
        true,
    ),
    (
        |run| {
            priced(run, 1);
            let (asked, told) =
                (json!({"version": 7, "price": 2}), json!({"refused": "version_mismatch"}));
            run.keyed(61, "price", "", asked, told, 33);
            lasts(run, "register", "none", 10);
        },
        "decided version_mismatch: 1, below the floor of 5",
        true,
    ),
    (
        |run| {
            let late = json!({"refused": "order_not_payable"});
            run.keyed(20, "settle", "k-20", json!({"order": "ord_b"}), late, 30);
            lasts(run, "deadline", "none", 10);
        },
        "decided late: 1, below the floor of 2",
        true,
    ),
    (
        |run| {
            run.keyed(20, "order", "k-1", buys("usr_a"), ordered("ord_a"), 11);
            run.last()["replayed"] = json!(true);
            lasts(run, "orders_once", "none", 10);
        },
        "decided replay: 1, below the floor of 10",
        true,
    ),
    (
        |run| {
            let two = json!({"customer": "usr_a", "qty": 2});
            let reused = json!({"refused": "idempotency_key_reused"});
            run.keyed(20, "order", "k-1", two, reused, 30);
            lasts(run, "orders_once", "none", 10);
        },
        "decided reuse: 1, below the floor of 5",
        true,
    ),
    (
        |run| {
            run.dumps[0].events.as_mut().unwrap()[0].name = "order.expired".into();
            lasts(run, "deadline", "none", 10);
        },
        "decided expired: 1, below the floor of 5",
        true,
    ),
    (
        |run| run.each_dump(|dump| dump.orders[0].revision = 9),
        "1 orders were there before the run began",
        true,
    ),
    (|run| run.each_dump(|dump| dump.orders[0].revision = 10), "before the run began", false),
    (|run| run.unsay("sale"), "2 orders were there before the run began", true),
    (
        |run| killed_at(run, 2_000),
        "answers before the first fault: 12, below the floor of 80",
        true,
    ),
    (
        |run| killed_at(run, 9_999),
        "answers before the first fault: 12, below the floor of 360",
        true,
    ),
    (|run| killed_at(run, 10_000), "before the first fault", false),
    (
        |run| {
            killed_at(run, 2_000);
            run.metadata.nemesis = "none".into();
        },
        "before the first fault",
        false,
    ),
    // It was answered in the moment of the fault.
    (
        |run| {
            run.keyed(20, "stock", "", Value::Null, stock(2, [0, 0, 1, 1]), 30);
            run.last()["t"] = json!(2_000 * MS);
            killed_at(run, 2_000);
        },
        "answers before the first fault: 12,",
        true,
    ),
];

fn lasts(run: &mut Run, workload: &str, nemesis: &str, seconds: u64) {
    run.metadata.workload = workload.into();
    run.metadata.nemesis = nemesis.into();
    run.metadata.seconds = seconds;
}

/// A run of 10 s with a first fault at this instant.
fn killed_at(run: &mut Run, ms: u64) {
    lasts(run, "order_set", "kill", 10);
    run.unsay(SOLD_OUT_PHASE);
    run.record_event("kill", json!({"mode": "one"}));
    run.last()["t"] = json!(ms * MS);
}

/// So many requests for one answer, each called before any was answered.
fn open_at_once(run: &mut Run, count: u64) {
    let at = run.lines.len();
    for p in 0..count {
        run.keyed(100 + p, "stock", "", Value::Null, stock(2, [0, 0, 1, 1]), 30);
    }
    let (called, end) = (run.lines[at]["t"].clone(), run.next_t());
    run.lines[at..].sort_by_key(|line| line["type"] == "ok");
    for line in &mut run.lines[at..] {
        line["t"] = if line["type"] == "ok" { json!(end) } else { called.clone() };
    }
}

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
        run.is_lost();
    }
}

/// Reads of a price beside changes whose answers were lost: too many orders to try.
fn puzzled(run: &mut Run) {
    product(run);
    for n in 0..9 {
        let asked = json!({"version": 1, "price": 50 + n});
        run.keyed(200 + n, "price", "", asked, json!({"error": "reset"}), 0);
        run.is_lost();
    }
    for _ in 0..300 {
        run.keyed(61, "read", "", Value::Null, json!({"price": 1, "version": 1}), 32);
    }
    let product = run.lines.iter_mut().filter(|line| line["f"] == "price" || line["f"] == "read");
    product.for_each(|line| line["pool"] = json!("prd_1"));
}

/// A product of price 1 is read at this price.
fn priced(run: &mut Run, price: u64) {
    product(run);
    run.keyed(61, "read", "", Value::Null, json!({"price": price, "version": 1}), 32);
    for line in run.lines.iter_mut().rev().take(2) {
        line["pool"] = json!("prd_1");
    }
}

impl Run {
    /// One more request, of which only this was seen.
    fn last_answer_is(&mut self, seen: Value) {
        self.keyed(50, "stock", "", Value::Null, seen, 0);
        self.is_lost();
    }

    /// The last answer is none.
    fn is_lost(&mut self) {
        self.last()["type"] = json!("info");
        self.last().as_object_mut().unwrap().remove("rev");
    }
}

/// A node says this while it is asked to panic at a failpoint.
fn panics(run: &mut Run, said: &str) {
    run.record_event("failpoint", json!({"mode": "panic", "node": "n1"}));
    run.logs.alarms.push(alarm("n1", said, None));
}

/// A bit is flipped 10 s into the run, on a node that said so this much earlier.
fn damaged_before(run: &mut Run, ms: u64) {
    run.record_event("disk", json!({"mode": "flip", "node": "n1"}));
    run.last()["t"] = json!(10_000 * MS);
    let at = run.metadata.started_unix_ms + 10_000 - ms;
    run.logs.alarms.push(alarm("n1", "is damaged", Some(at)));
}

/// The same, which lasted until 20 s into the run; the node said so at this instant.
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

fn product(run: &mut Run) {
    let asked = json!({"units": 0, "price": 1});
    let told = json!({"product": "prd_1", "version": 1});
    run.keyed(60, "product", "k-60", asked, told, 31);
    for line in run.lines.iter_mut().rev().take(2) {
        line.as_object_mut().unwrap().remove("pool");
    }
    shows(run, 1, 1);
}

/// A product has a version that no request explains.
fn made_by_nobody(run: &mut Run) {
    product(run);
    run.each_dump(|dump| {
        let edit = |revision| EditRow { revision, product: "prd_1".into() };
        dump.edits = vec![edit(31), edit(32)];
    });
}

/// The answer to a change of this product from this version to this price is lost; the nodes show
/// `prd_1` in version 2 at the price of 2.
fn changed(run: &mut Run, product: &str, version: u64, price: u64) {
    made_by_nobody(run);
    let asked = json!({"version": version, "price": price});
    run.keyed(70, "price", "k-70", asked, json!({"error": "reset"}), 0);
    run.is_lost();
    for line in run.lines.iter_mut().rev().take(2) {
        line["pool"] = json!(product);
    }
    shows(run, 2, 2);
}

/// Every node shows the product so.
fn shows(run: &mut Run, price: u64, version: u64) {
    run.each_dump(|dump| {
        let row = json!({"price": price, "version": version, "accounts": stock(0, [0; 4])});
        dump.products = [("prd_1".into(), serde_json::from_value(row).unwrap())].into();
    });
}

#[test]
fn what_is_right_is_called_right_by_every_judge() {
    let run = Run::right();
    for checker in CHECKERS.iter().filter(|c| c.name != "coverage") {
        let finding = run.finding(checker.name);
        assert_eq!(finding.verdict, True, "{finding:?}");
        assert!(finding.looked_at > 0, "{finding:?}");
    }
}

#[test]
fn each_sentence_is_said_when_it_is_meant() {
    for sentences in [ONCE, COUNTS, ORDER, NODES, WITNESS, SEARCH] {
        for (at, (checker, change, verdict, said)) in sentences.iter().enumerate() {
            let mut run = Run::right();
            change(&mut run);
            let finding = run.finding(checker);
            let place = format!("{at}: {checker}, {said:?}: {finding:?}");
            assert_eq!(finding.verdict, *verdict, "{place}");
            let is_said = finding.notes.iter().any(|note| note.contains(said));
            assert!(if said.is_empty() { finding.notes.is_empty() } else { is_said }, "{place}");
        }
    }
}

#[test]
fn each_floor_is_named_when_it_is_not_reached() {
    for (at, (change, said, is_said)) in FLOORS.iter().enumerate() {
        let mut run = Run::right();
        change(&mut run);
        let finding = run.finding("coverage");
        // A number at the end is the whole number.
        let is_said_by = |note: &String| {
            note.contains(said) && (note.ends_with(said) || !said.ends_with(char::is_numeric))
        };
        let heard = finding.notes.iter().any(is_said_by);
        assert_eq!(heard, *is_said, "{at}: {said:?}: {finding:?}");
        assert!(!is_said || finding.verdict == Unknown, "{at}: {finding:?}");
    }
}

#[test]
fn a_judge_is_asked_about_what_it_knows() {
    let asked = |workload: &str| -> Vec<&str> {
        let test = RunMetadata { workload: workload.into(), ..RunMetadata::default() };
        CHECKERS.iter().filter(|c| (c.applies)(&test)).map(|c| c.name).collect()
    };
    let always =
        ["witness", "wgl", "once", "convergence", "recovery", "contract", "log_scan", "coverage"];
    let sells = ["oversell", "undersell", "conservation"];
    for (workload, more) in [
        ("register", &[][..]),
        ("flash_sale", &sells),
        ("order_set", &["oversell", "undersell", "conservation", "set_full"]),
        ("cold_start", &["oversell", "undersell", "conservation", "set_full"]),
        ("sessions", &["oversell", "undersell", "conservation", "session"]),
    ] {
        let mut expected: Vec<&str> = always.iter().chain(more).copied().collect();
        let mut found = asked(workload);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{workload}");
    }
    // Their holds end, so nothing of them can be searched.
    for workload in ["conservation", "deadline"] {
        assert!(!asked(workload).contains(&"wgl"), "{workload}");
    }
}

#[test]
fn the_first_error_has_the_moment_in_which_it_was_asked() {
    let mut run = Run::right();
    // A read at the same revision, before it, is not what was decided there.
    run.lines[2]["f"] = json!("stock");
    run.lines[3]["f"] = json!("stock");
    run.lines[3]["value"] = stock(2, [2, 0, 0, 0]);
    run.lines[3]["rev"] = json!(12);
    run.each_dump(|dump| {
        dump.orders[0].customer = "usr_b".into();
        dump.ledger.as_mut().unwrap()[0].quantity = 1;
    });
    let finding = run.finding("conservation");
    assert_eq!(finding.verdict, False);
    let asked = run.lines.iter().find(|line| line["key"] == "k-2").unwrap();
    assert_eq!(json!(finding.first_at), asked["t"], "{finding:?}");
}

#[test]
fn an_operation_that_nobody_knows_is_refused() {
    let mut run = Run::right();
    run.keyed(90, "time", "", Value::Null, json!({"now": "2026-01-01T00:00:00.000Z"}), 30);
    run.evidence();
    run.keyed(90, "dance", "", Value::Null, Value::Null, 30);
    assert!(run.read().is_err());
}
