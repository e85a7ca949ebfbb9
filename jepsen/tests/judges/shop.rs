//! A shop that cannot fail: it answers like a node, from the models themselves.
//!
//! Every request is served in one step, and the final dump shows what a node would show. The shop
//! never disagrees with the models, so a checker that finds an error is wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;

use firstcome_jepsen::judge::model::stock::{Accounts, Answer, Call, Status};
use firstcome_jepsen::judge::model::{Specification, register, stock};
use firstcome_jepsen::record::account::covers;
use firstcome_jepsen::record::dump::{Dump, EditRow, EventRow, LedgerRow, OrderRow, ProductRow};
use firstcome_jepsen::record::http::Response;
use firstcome_jepsen::record::invocation::{Invocation, TIME};
use serde_json::{Value, json};

use crate::people::People;

/// How long every hold lasts.
const PAY_WITHIN_MS: u64 = 60_000;

/// What was requested with a key, and the answer.
type Receipt = (Value, Response);

/// The shop.
#[derive(Default)]
pub(crate) struct Shop {
    people: People,
    stock: stock::Model,
    register: register::Model,
    revision: u64,
    minted: u64,
    receipts: BTreeMap<String, Receipt>,
    /// The product of each sale.
    sales: BTreeMap<String, Option<String>>,
    products: Vec<String>,
    /// Who ordered what; the status is the model's.
    orders: Vec<OrderRow>,
    events: Vec<EventRow>,
    ledger: Vec<LedgerRow>,
    edits: Vec<EditRow>,
    /// Unpaid orders, by the time they expire.
    holds: Vec<(u64, String)>,
}

/// Log time as text.
pub(crate) fn instant(ms: u64) -> String {
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("2026-01-01T{:02}:{:02}:{:02}.{ms:03}Z", s / 3600, s / 60 % 60, s % 60)
}

pub(crate) fn response(status: u16, revision: u64, replayed: bool, body: Value) -> Response {
    let mut headers = BTreeMap::from([("x-revision".to_owned(), revision.to_string())]);
    if replayed {
        headers.insert("idempotency-replayed".to_owned(), "true".to_owned());
    }
    Response { status, headers, body: Some(body) }
}

pub(crate) fn refusal(code: &str, revision: u64) -> Response {
    let status = match code {
        "code_invalid" => 400,
        "login_refused" | "session_reuse" | "token_invalid" | "token_revoked" => 401,
        "email_unverified" | "permission_denied" | "user_blocked" => 403,
        "not_found" => 404,
        "version_mismatch" => 412,
        "idempotency_key_reused" => 422,
        _ => 409,
    };
    response(status, revision, false, json!({"code": code, "executed": "no", "ticket": revision}))
}

impl Shop {
    /// A shop that mails to a folder.
    pub(crate) fn mailing_to(folder: PathBuf) -> Self {
        Self { people: People::mailing_to(folder), ..Self::default() }
    }

    /// Serves a request at this log time.
    pub(crate) fn serve(&mut self, invocation: &Invocation, now_ms: u64) -> Response {
        self.sweep(now_ms);
        if invocation.f == TIME {
            return response(200, self.revision, false, json!({"now": instant(now_ms)}));
        }
        if covers(invocation.f) {
            self.revision += u64::from(invocation.request.method != "GET");
            return self.people.serve(invocation, self.revision, now_ms);
        }
        let about = json!([invocation.f, invocation.pool, invocation.value]);
        if let Some((asked, reply)) =
            invocation.request.key.as_ref().and_then(|key| self.receipts.get(key))
        {
            if *asked != about {
                return refusal("idempotency_key_reused", self.revision);
            }
            let mut again = reply.clone();
            again.headers.insert("idempotency-replayed".to_owned(), "true".to_owned());
            return again;
        }
        let reply = self.decide(invocation, now_ms);
        if let Some(key) = &invocation.request.key {
            self.receipts.insert(key.clone(), (about, reply.clone()));
        }
        reply
    }

    /// Expires the holds that are due, each with a log entry of its own.
    fn sweep(&mut self, now_ms: u64) {
        while self.holds.first().is_some_and(|(end, _)| *end <= now_ms) {
            let (_, order) = self.holds.remove(0);
            let row = self.orders.iter().find(|row| row.id == order);
            let pools = self.touched(row.map_or("", |row| &row.pool), None);
            let before = self.accounts(&pools);
            let at = instant(now_ms);
            // Orders that were paid or canceled are no longer holds.
            if self.stock.expire(&order, Some(&at)).is_ok() {
                self.revision += 1;
                self.moved(&pools, &before, Some(&order));
                self.event("order.expired", &order, now_ms, Some("payment_pending"));
            }
        }
    }

    fn decide(&mut self, invocation: &Invocation, now_ms: u64) -> Response {
        let pool = invocation.pool.clone().unwrap_or_default();
        let edit = register::Model::call(invocation.f, &invocation.value).unwrap();
        let call = stock::Model::call(invocation.f, &invocation.value).unwrap();
        let is_write = invocation.request.method != "GET";
        self.revision += u64::from(is_write);
        if let (Some(edit), None) = (edit, &call) {
            return self.edit(&pool, edit);
        }
        let call = call.unwrap_or_else(|| panic!("nobody knows {}", invocation.f));
        let minted = self.mint(&call, now_ms);
        let pools = self.touched(&pool, Some(&call));
        let before = self.accounts(&pools);
        let was = call.order().and_then(|order| self.status(order));
        let reply = if is_write {
            self.stock.step(&pool, None, &call, &minted)
        } else {
            self.stock.predict(&pool, &call, &minted)
        };
        if let Answer::Refused(code) = &reply {
            return refusal(code, self.revision);
        }
        if is_write {
            self.note(&pool, &call, &reply, now_ms, was);
            let order = match &reply {
                Answer::Ordered { order, .. } => Some(order.as_str()),
                _ => call.order(),
            };
            let made = match &reply {
                Answer::Product { product: id } | Answer::Sale { sale: id } => Some(id.clone()),
                _ => None,
            };
            let pools: Vec<String> = pools.into_iter().chain(made).collect();
            self.moved(&pools, &before, order);
        }
        if let (Some(edit), Answer::Product { product }) = (edit, &reply) {
            self.register.step(
                "",
                None,
                &edit,
                &register::Answer::Created { product: product.clone(), version: 1 },
            );
        }
        let status = if is_write { 201 } else { 200 };
        response(status, self.revision, false, body(invocation.f, &reply))
    }

    fn edit(&mut self, pool: &str, edit: register::Call) -> Response {
        let reply = register::Answer::Refused(String::new());
        match self.register.step(pool, None, &edit, &reply) {
            register::Answer::Refused(code) => refusal(&code, self.revision),
            register::Answer::Value { price, version } => {
                if edit != register::Call::Read {
                    let product = pool.to_owned();
                    self.edits.push(EditRow { revision: self.revision, product });
                }
                let price = json!({"amount": price});
                response(200, self.revision, false, json!({"price": price, "version": version}))
            }
            register::Answer::Created { .. } => panic!("a product is created by its stock"),
        }
    }

    fn mint(&mut self, call: &Call, now_ms: u64) -> Answer {
        self.minted += 1;
        let id = self.minted;
        match call {
            Call::Product { .. } => Answer::Product { product: format!("prd_{id}") },
            Call::Sale { .. } => Answer::Sale { sale: format!("sal_{id}") },
            _ => Answer::Ordered {
                order: format!("ord_{id}"),
                pay_by: Some(instant(now_ms + PAY_WITHIN_MS)),
            },
        }
    }

    fn status(&self, order: &str) -> Option<&'static str> {
        let look = Call::Look { order: order.to_owned() };
        let reply = self.stock.predict("", &look, &Answer::Refused(String::new()));
        let all = [
            Status::Pending,
            Status::Paid,
            Status::Shipping,
            Status::Delivered,
            Status::ReturnRequested,
            Status::Returned,
            Status::Canceled,
            Status::Expired,
        ];
        all.map(Status::name).into_iter().find(|word| reply == Answer::Status((*word).into()))
    }

    fn event(&mut self, name: &str, order: &str, now_ms: u64, from: Option<&str>) {
        let is_new = name == "order.created";
        self.events.push(EventRow {
            revision: self.revision,
            name: name.to_owned(),
            order: order.to_owned(),
            at: Some(instant(now_ms)),
            from: from.map(str::to_owned),
            pay_by: is_new.then(|| instant(now_ms + PAY_WITHIN_MS)),
        });
    }

    /// Adds the rows of a decision.
    fn note(&mut self, pool: &str, call: &Call, reply: &Answer, now_ms: u64, was: Option<&str>) {
        match (call, reply) {
            (Call::Product { .. }, Answer::Product { product }) => {
                self.products.push(product.clone());
                self.edits.push(EditRow { revision: self.revision, product: product.clone() });
            }
            (Call::Sale { product, .. }, Answer::Sale { sale }) => {
                self.sales.insert(sale.clone(), product.clone());
            }
            (Call::Order { customer, quantity }, Answer::Ordered { order, .. }) => {
                self.orders.push(OrderRow {
                    id: order.clone(),
                    customer: customer.clone(),
                    pool: pool.to_owned(),
                    quantity: *quantity,
                    status: String::new(),
                    revision: self.revision,
                    pay_by: None,
                    payment: None,
                });
                self.holds.push((now_ms + PAY_WITHIN_MS, order.clone()));
                self.event("order.created", order, now_ms, None);
            }
            _ => {
                if let (Some(order), Some(status)) = (call.order(), call.enters()) {
                    self.event(&format!("order.{}", status.name()), order, now_ms, was);
                }
            }
        }
    }

    /// A pool, and the product its units come from.
    fn touched(&self, pool: &str, call: Option<&Call>) -> Vec<String> {
        let product = match call {
            Some(Call::Sale { product, .. }) => product.as_ref(),
            _ => self.sales.get(pool).and_then(Option::as_ref),
        };
        let pools = [Some(pool.to_owned()), product.cloned()];
        pools.into_iter().flatten().filter(|id| self.stock.accounts(id).is_some()).collect()
    }

    fn accounts(&self, pools: &[String]) -> BTreeMap<String, Accounts> {
        pools.iter().map(|id| (id.clone(), self.stock.accounts(id).unwrap())).collect()
    }

    /// Adds the movements that explain the change.
    fn moved(
        &mut self,
        pools: &[String],
        before: &BTreeMap<String, Accounts>,
        order: Option<&str>,
    ) {
        let mut offset = 0;
        for (pool, after) in self.accounts(pools) {
            let before = before.get(&pool).copied().unwrap_or_default();
            let signed = |n: u64| i64::try_from(n).unwrap();
            let change = |a: u64, b: u64| signed(a) - signed(b);
            let mut changes = [
                ("held", change(after.held, before.held)),
                ("sold", change(after.sold, before.sold)),
                ("scrapped", change(after.scrapped, before.scrapped)),
                ("available", change(after.available, before.available)),
                ("outside", change(before.stocked, after.stocked)),
            ];
            while let Some(from) = changes.iter().position(|(_, change)| *change < 0) {
                let to = changes.iter().position(|(_, change)| *change > 0).unwrap();
                let count = changes[to].1.min(-changes[from].1);
                changes[from].1 += count;
                changes[to].1 -= count;
                self.ledger.push(LedgerRow {
                    revision: self.revision,
                    offset,
                    pool: pool.clone(),
                    from: changes[from].0.to_owned(),
                    to: changes[to].0.to_owned(),
                    quantity: count.unsigned_abs(),
                    order: order.map(str::to_owned),
                });
                offset += 1;
            }
        }
    }

    /// What a node shows at the end.
    pub(crate) fn dump(&self, node: &str) -> Dump {
        let paid = ["paid", "shipping", "delivered", "return_requested"];
        let row = |row: &OrderRow| {
            let status = self.status(&row.id).unwrap();
            let payment = if paid.contains(&status) { "paid" } else { "other" };
            OrderRow { status: status.into(), payment: Some(payment.into()), ..row.clone() }
        };
        let all: Vec<String> = self.sales.keys().chain(&self.products).cloned().collect();
        let pools = self.accounts(&all);
        let product = |id: &String| {
            let (price, version) = self.register.value(id).unwrap();
            (id.clone(), ProductRow { price, version, accounts: pools[id] })
        };
        Dump {
            node: node.to_owned(),
            revision: self.revision,
            hash: Some("ab".to_owned()),
            orders: self.orders.iter().map(row).collect(),
            pools: self.sales.keys().map(|id| (id.clone(), pools[id])).collect(),
            events: Some(self.events.clone()),
            ledger: Some(self.ledger.clone()),
            products: self.products.iter().map(product).collect(),
            edits: self.edits.clone(),
        }
    }
}

/// The response body of a node.
fn body(f: &str, reply: &Answer) -> Value {
    match reply {
        Answer::Product { product } => json!({"id": product, "version": 1}),
        Answer::Sale { sale } => json!({"id": sale}),
        Answer::Ordered { order, pay_by } => {
            json!({"id": order, "status": "payment_pending", "pay_by": pay_by})
        }
        Answer::Status(status) => json!({"status": status}),
        Answer::Stock(read) if matches!(f, "allot" | "close") => json!({"stock": read}),
        Answer::Stock(read) => json!(read),
        Answer::Orders(rows) => {
            let rows: Vec<Value> =
                rows.iter().map(|(id, status)| json!({"id": id, "status": status})).collect();
            json!({"data": rows, "next_cursor": null})
        }
        Answer::Refused(_) => Value::Null,
    }
}
