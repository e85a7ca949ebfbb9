//! A small correct run, and ways to change one thing in it.

use firstcome_jepsen::judge::check::{CHECKERS, Evidence, Finding, RunMetadata};
use firstcome_jepsen::record::dump::{Dump, EditRow, EventRow, LedgerRow};
use firstcome_jepsen::record::history;
use firstcome_jepsen::record::inspect::Inspected;
use firstcome_jepsen::record::node_log::Scan;
use firstcome_jepsen::record::run_event::{RECOVERED, SOLD_OUT_PHASE};
use serde_json::{Value, json};

pub(super) const MS: u64 = 1_000_000;

/// The parts of a run.
pub(super) struct Run {
    pub(super) metadata: RunMetadata,
    pub(super) lines: Vec<Value>,
    pub(super) dumps: Vec<Dump>,
    pub(super) inspected: Vec<Inspected>,
    pub(super) logs: Scan,
}

impl Run {
    /// A sale of two units: one is paid, the other is paid, returned and scrapped.
    pub(super) fn correct() -> Self {
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

    pub(super) fn next_t(&self) -> u64 {
        (self.lines.len() as u64 + 1) * MS
    }

    /// One request with its answer, while no other request is open.
    pub(super) fn keyed(
        &mut self,
        p: u64,
        f: &str,
        key: &str,
        asked: Value,
        told: Value,
        rev: u64,
    ) {
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

    pub(super) fn record_event(&mut self, f: &str, value: impl Into<Value>) {
        let line = json!({"p": "nemesis", "type": "info", "f": f, "value": value.into(), "t": self.next_t()});
        self.lines.push(line);
    }

    /// The last line of the history.
    pub(super) fn last(&mut self) -> &mut Value {
        self.lines.last_mut().unwrap()
    }

    /// The answer to the last request of this kind.
    pub(super) fn told(&mut self, f: &str) -> &mut Value {
        self.lines.iter_mut().rev().find(|line| line["f"] == f && line["type"] == "ok").unwrap()
    }

    /// Removes all lines of this operation or event.
    pub(super) fn remove_lines(&mut self, f: &str) {
        self.lines.retain(|line| line["f"] != f);
    }

    pub(super) fn each_dump(&mut self, change: impl Fn(&mut Dump)) {
        self.dumps.iter_mut().for_each(change);
    }

    pub(super) fn evidence(&self) -> Evidence {
        self.read().unwrap()
    }

    pub(super) fn read(&self) -> anyhow::Result<Evidence> {
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

    pub(super) fn finding(&self, checker: &str) -> Finding {
        let checker = CHECKERS.iter().find(|c| c.name == checker).unwrap();
        (checker.check)(&self.evidence())
    }

    /// One more request, of which only this was seen.
    pub(super) fn last_answer_is(&mut self, seen: Value) {
        self.keyed(50, "stock", "", Value::Null, seen, 0);
        self.lose_last_response();
    }

    /// The last response is lost.
    pub(super) fn lose_last_response(&mut self) {
        self.last()["type"] = json!("info");
        self.last().as_object_mut().unwrap().remove("rev");
    }
}

pub(super) fn buys(customer: &str) -> Value {
    json!({"customer": customer, "qty": 1})
}

pub(super) fn ordered(order: &str) -> Value {
    let pay_by = "2026-01-01T01:00:00.000Z";
    json!({"order": order, "status": "payment_pending", "pay_by": pay_by})
}

pub(super) fn stock(stocked: u64, [available, held, sold, scrapped]: [u64; 4]) -> Value {
    json!({"stocked": stocked, "available": available, "held": held, "sold": sold,
           "scrapped": scrapped})
}

pub(super) fn order_row(id: &str, customer: &str, status: &str, revision: u64) -> Value {
    json!({"id": id, "customer": customer, "pool": "sal_1", "quantity": 1, "status": status,
           "revision": revision})
}

pub(super) fn event(revision: u64, name: &str, order: &str) -> Value {
    json!({"revision": revision, "type": name, "order": order})
}

pub(super) fn moved(
    revision: u64,
    from: &str,
    to: &str,
    quantity: u64,
    order: Option<&str>,
) -> Value {
    json!({"revision": revision, "offset": 0, "pool": "sal_1", "from": from, "to": to,
           "quantity": quantity, "order": order})
}

pub(super) fn ledger_row(revision: u64, from: &str, to: &str, order: Option<&str>) -> LedgerRow {
    serde_json::from_value(moved(revision, from, to, 1, order)).unwrap()
}

/// An order that nobody requested.
pub(super) fn add_unrequested_order(run: &mut Run) {
    run.each_dump(|dump| {
        let row = order_row("ord_x", "usr_x", "canceled", 30);
        dump.orders.push(serde_json::from_value(row).unwrap());
    });
}

/// A cancellation that nobody requested.
pub(super) fn add_unrequested_event(run: &mut Run) {
    run.each_dump(|dump| {
        let row: EventRow = serde_json::from_value(event(30, "order.canceled", "ord_a")).unwrap();
        dump.events.as_mut().unwrap().push(row);
    });
}

/// The last request is answered with `executed: no`.
pub(super) fn fail_last_request(run: &mut Run) {
    run.last()["type"] = json!("fail");
    run.last().as_object_mut().unwrap().remove("rev");
}

/// A new customer is refused this many units at this revision.
pub(super) fn sold_out_at(run: &mut Run, revision: u64, quantity: u64) {
    let asked = json!({"customer": "usr_c", "qty": quantity});
    run.keyed(20, "order", "k-20", asked, json!({"refused": "sold_out"}), revision);
}

/// This many requests at once, each called before any of them returns.
pub(super) fn open_at_once(run: &mut Run, count: u64) {
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

pub(super) fn product(run: &mut Run) {
    let asked = json!({"units": 0, "price": 1});
    let told = json!({"product": "prd_1", "version": 1});
    run.keyed(60, "product", "k-60", asked, told, 31);
    for line in run.lines.iter_mut().rev().take(2) {
        line.as_object_mut().unwrap().remove("pool");
    }
    shows(run, 1, 1);
}

/// A product of price 1 is read with this price.
pub(super) fn priced(run: &mut Run, price: u64) {
    product(run);
    run.keyed(61, "read", "", Value::Null, json!({"price": price, "version": 1}), 32);
    for line in run.lines.iter_mut().rev().take(2) {
        line["pool"] = json!("prd_1");
    }
}

/// A product has a version that no request explains.
pub(super) fn add_unexplained_version(run: &mut Run) {
    product(run);
    run.each_dump(|dump| {
        let edit = |revision| EditRow { revision, product: "prd_1".into() };
        dump.edits = vec![edit(31), edit(32)];
    });
}

/// The response to a change of this product, from this version to this price, is lost; the nodes
/// show `prd_1` in version 2 at price 2.
pub(super) fn changed(run: &mut Run, product: &str, version: u64, price: u64) {
    add_unexplained_version(run);
    let asked = json!({"version": version, "price": price});
    run.keyed(70, "price", "k-70", asked, json!({"error": "reset"}), 0);
    run.lose_last_response();
    for line in run.lines.iter_mut().rev().take(2) {
        line["pool"] = json!(product);
    }
    shows(run, 2, 2);
}

/// Every node shows the product like this.
pub(super) fn shows(run: &mut Run, price: u64, version: u64) {
    run.each_dump(|dump| {
        let row = json!({"price": price, "version": version, "accounts": stock(0, [0; 4])});
        dump.products = [("prd_1".into(), serde_json::from_value(row).unwrap())].into();
    });
}
