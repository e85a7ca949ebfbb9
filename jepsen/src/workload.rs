//! `flash_sale`: order, then settle or cancel, on sales of 1 to 100 units; a new sale when one is
//! sold out; stock reads; no hold ends by itself.
//!
//! Two sequential clients are pinned to each node and two roam. A customer belongs to one client,
//! so that the order of its requests is known; when an answer is lost, half of the time the same
//! key is sent again to other nodes until the outcome is known, and otherwise the customer retires.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::check::contract::BREACH;
use crate::client::{Class, Client, Request, classify};
use crate::history::{self, Event, Kind, Process};
use crate::seed::Seed;

/// How long a client waits for an answer: longer than a commit's deadline (3 s) would hide it.
pub const CLIENT_DEADLINE: Duration = Duration::from_secs(2);
/// A pause after a refused connection, so that a dead node does not fill the history.
const FAIL_PAUSE: Duration = Duration::from_millis(50);
/// How often one key is sent before its client gives up.
const SENDS_MAX: usize = 20;
/// Customers a client uses in turn.
const ACTIVE: usize = 3;
/// Longer than any run, so that no hold ends.
const PAY_WITHIN_SECONDS: u64 = 3600;

/// A buyer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Customer {
    /// `usr_...`
    pub id: String,
    /// Its access token.
    pub token: String,
}

/// The sale that is being sold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Current {
    /// `sal_...`
    pub id: String,
    /// Units per customer.
    pub limit: u64,
}

/// Writes the history; `i` and `t` are given out under one lock, so both only grow.
#[derive(Debug)]
struct Recorder {
    out: BufWriter<File>,
    next: u64,
    broken: Option<String>,
}

/// What all processes of a run share.
#[derive(Debug)]
pub struct Stage {
    recorder: Mutex<Recorder>,
    started: Instant,
    /// Names and REST addresses.
    pub nodes: Vec<(String, SocketAddr)>,
    /// Staff's token.
    pub staff: String,
    /// What is sold.
    pub product: String,
    /// Start of every sale's window, RFC 3339.
    pub opens_at: String,
    sale: Mutex<Option<Current>>,
    /// Every sale that was created.
    pub sales: Mutex<Vec<Current>>,
    wants_sale: AtomicBool,
    /// Tells the clients to finish.
    pub done: AtomicBool,
    next_process: AtomicU64,
    next_key: AtomicU64,
}

/// One request of the workload.
#[derive(Clone, Debug)]
pub struct Ask {
    f: &'static str,
    pool: Option<String>,
    value: Value,
    request: Request,
}

/// What came of it.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// Done, with the recorded value.
    Done(Value),
    /// Refused with a code.
    Refused(String),
    /// Did not happen.
    Never,
    /// Nobody knows.
    Unknown,
}

impl Stage {
    /// Opens the history of a run.
    pub fn new(
        file: File,
        run: &str,
        nodes: Vec<(String, SocketAddr)>,
        staff: String,
        product: String,
        opens_at: String,
    ) -> anyhow::Result<Self> {
        let mut out = BufWriter::new(file);
        history::write_header(&mut out, run)?;
        Ok(Self {
            recorder: Mutex::new(Recorder { out, next: 1, broken: None }),
            started: Instant::now(),
            nodes,
            staff,
            product,
            opens_at,
            sale: Mutex::new(None),
            sales: Mutex::new(Vec::new()),
            wants_sale: AtomicBool::new(true),
            done: AtomicBool::new(false),
            next_process: AtomicU64::new(0),
            next_key: AtomicU64::new(0),
        })
    }

    /// A process number nobody used before.
    pub fn process(&self) -> u64 {
        self.next_process.fetch_add(1, Ordering::Relaxed)
    }

    fn key(&self) -> String {
        format!("k-{}", self.next_key.fetch_add(1, Ordering::Relaxed))
    }

    /// What the nemesis or the harness has to say.
    pub fn say(&self, f: &str, value: Value) {
        let event = Event {
            i: 0,
            t: 0,
            p: Process::Named("nemesis".into()),
            kind: Kind::Info,
            f: f.to_owned(),
            pool: None,
            key: None,
            value,
            node: None,
            rev: None,
            replayed: false,
            early: false,
        };
        self.record(event);
    }

    fn record(&self, mut event: Event) {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        event.i = recorder.next;
        event.t = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        recorder.next += 1;
        if let Err(error) = history::write_event(&mut recorder.out, &event) {
            recorder.broken.get_or_insert(format!("{error:#}"));
        }
    }

    /// Writes out what is buffered; fails if any line could not be written.
    pub fn close(&self) -> anyhow::Result<()> {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        recorder.out.flush()?;
        anyhow::ensure!(recorder.broken.is_none(), "history: {:?}", recorder.broken);
        Ok(())
    }

    fn current(&self) -> Option<Current> {
        self.sale.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Creates sales while the run lasts, one whenever the last is sold out.
    pub fn make_sales(&self, mut seed: Seed) {
        let mut teller = Teller::new(self, seed.draw());
        while !self.done.load(Ordering::Relaxed) {
            if !self.wants_sale.swap(false, Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(2));
                continue;
            }
            // Half of the sales are tiny: their edge is reached at once and often.
            let units = if seed.below(2) == 0 { seed.between(1, 8) } else { seed.between(9, 100) };
            let limit = seed.between(1, 3);
            if let Some(id) = self.make_sale(&mut teller, units, limit) {
                let current = Current { id, limit };
                self.sales.lock().unwrap_or_else(PoisonError::into_inner).push(current.clone());
                *self.sale.lock().unwrap_or_else(PoisonError::into_inner) = Some(current);
            } else {
                self.wants_sale.store(true, Ordering::Relaxed);
            }
        }
    }

    fn make_sale(&self, teller: &mut Teller<'_>, units: u64, limit: u64) -> Option<String> {
        let body = json!({
            "product_id": self.product, "title": format!("{units} units"), "units": units,
            "opens_at": self.opens_at, "per_customer_limit": limit,
            "pay_within_seconds": PAY_WITHIN_SECONDS,
        });
        let ask = Ask {
            f: "sale",
            pool: None,
            value: json!({"units": units, "limit": limit}),
            request: Request::post("/v1/admin/sales", &self.staff, &self.key(), body),
        };
        match teller.until_known(&ask) {
            Told::Done(value) => value.get("sale")?.as_str().map(str::to_owned),
            Told::Refused(_) | Told::Never | Told::Unknown => None,
        }
    }

    /// An order by `customer`.
    pub fn order(&self, customer: &Customer, sale: &str, quantity: u64) -> Ask {
        let body = json!({"lines": [{"sale_id": sale, "quantity": quantity}]});
        Ask {
            f: "order",
            pool: Some(sale.to_owned()),
            value: json!({"customer": customer.id, "qty": quantity}),
            request: Request::post("/v1/orders", &customer.token, &self.key(), body),
        }
    }

    /// Staff took the money of an order.
    pub fn settle(&self, sale: &str, order: &str) -> Ask {
        let path = format!("/v1/admin/orders/{order}/settlements");
        Ask {
            f: "settle",
            pool: Some(sale.to_owned()),
            value: json!({"order": order}),
            request: Request::post(path, &self.staff, &self.key(), json!({})),
        }
    }

    fn cancel(&self, customer: &Customer, sale: &str, order: &str) -> Ask {
        let path = format!("/v1/orders/{order}/cancellations");
        Ask {
            f: "cancel",
            pool: Some(sale.to_owned()),
            value: json!({"order": order}),
            request: Request::post(path, &customer.token, &self.key(), json!({})),
        }
    }

    /// A read of a sale's accounts, as staff.
    pub fn stock(&self, sale: &str) -> Ask {
        Ask {
            f: "stock",
            pool: Some(sale.to_owned()),
            value: Value::Null,
            request: Request::get(format!("/v1/sales/{sale}/stock"), &self.staff),
        }
    }
}

/// One process after another, asking one thing after another.
#[derive(Debug)]
pub struct Teller<'a> {
    stage: &'a Stage,
    client: Client,
    seed: Seed,
    process: u64,
    /// The node it is pinned to; `None`: roams.
    pinned: Option<usize>,
}

impl<'a> Teller<'a> {
    /// A roaming process.
    pub fn new(stage: &'a Stage, seed: u64) -> Self {
        let process = stage.process();
        let client = Client::new(CLIENT_DEADLINE);
        Self { stage, client, seed: Seed::new(seed), process, pinned: None }
    }

    fn node(&mut self) -> usize {
        let count = self.stage.nodes.len();
        let drawn = self.seed.below(count as u64);
        self.pinned.unwrap_or_else(|| usize::try_from(drawn).unwrap_or(0))
    }

    /// Asks once at a node of its choice.
    pub fn ask(&mut self, ask: &Ask) -> Told {
        let at = self.node();
        self.ask_at(at, ask)
    }

    fn ask_at(&mut self, at: usize, ask: &Ask) -> Told {
        let Some((node, address)) = self.stage.nodes.get(at) else { return Told::Never };
        let event = Event {
            i: 0,
            t: 0,
            p: Process::Client(self.process),
            kind: Kind::Invoke,
            f: ask.f.to_owned(),
            pool: ask.pool.clone(),
            key: ask.request.key.clone(),
            value: ask.value.clone(),
            node: Some(node.clone()),
            rev: None,
            replayed: false,
            early: false,
        };
        self.stage.record(event.clone());
        let is_write = ask.request.method != "GET";
        let seen = self.client.send(*address, &ask.request);
        let class = classify(is_write, seen.as_ref());
        let body = seen.ok().and_then(|response| response.body).unwrap_or_default();
        let (completed, told) = complete(event, class, &body);
        if completed.kind == Kind::Info {
            self.process = self.stage.process();
        }
        self.stage.record(completed);
        if told == Told::Never {
            thread::sleep(FAIL_PAUSE);
        }
        told
    }

    /// Sends one key to node after node until its outcome is known, or gives up.
    pub fn until_known(&mut self, ask: &Ask) -> Told {
        let mut told = self.ask(ask);
        for step in 1..SENDS_MAX {
            match told {
                Told::Done(_) | Told::Refused(_) => break,
                Told::Never | Told::Unknown => {}
            }
            let at = (self.node() + step) % self.stage.nodes.len().max(1);
            told = match (self.ask_at(at, ask), told) {
                (Told::Never, Told::Unknown) => Told::Unknown,
                (next, _) => next,
            };
        }
        told
    }
}

/// The event that completes `invoke`, and what its process may think.
fn complete(invoke: Event, class: Class, body: &Value) -> (Event, Told) {
    let is_read = invoke.f == "stock";
    match class {
        Class::Ok { refused, rev, replayed, early } => {
            let value = match &refused {
                Some(code) => Some(json!({"refused": code})),
                None => answer(&invoke.f, body),
            };
            let Some(value) = value else {
                let breach = json!({BREACH: format!("{} answered {body}", invoke.f)});
                return (Event { kind: Kind::Info, value: breach, ..invoke }, Told::Unknown);
            };
            let told = refused.map_or_else(|| Told::Done(value.clone()), Told::Refused);
            (Event { kind: Kind::Ok, value, rev: Some(rev), replayed, early, ..invoke }, told)
        }
        Class::Fail(why) | Class::Dropped(why) => {
            let value = json!({"error": why});
            (Event { kind: Kind::Fail, value, ..invoke }, Told::Never)
        }
        Class::Info(why) => {
            let value = json!({"error": why});
            (Event { kind: Kind::Info, value, ..invoke }, Told::Unknown)
        }
        Class::Breach(why) => {
            let told = if is_read { Told::Never } else { Told::Unknown };
            (Event { kind: Kind::Info, value: json!({BREACH: why}), ..invoke }, told)
        }
    }
}

/// The part of an answer that the model predicts; `None` when it is not there.
fn answer(f: &str, body: &Value) -> Option<Value> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    Some(match f {
        "sale" => json!({"sale": text("id")?}),
        "order" => {
            json!({"order": text("id")?, "status": text("status")?, "pay_by": text("pay_by")?})
        }
        "stock" => accounts(body)?,
        _ => {
            let nested = body.get("order").and_then(|order| order.get("status")?.as_str());
            json!({"status": nested.or_else(|| text("status"))?})
        }
    })
}

/// The accounts of an exact stock answer.
pub fn accounts(body: &Value) -> Option<Value> {
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    Some(json!({
        "stocked": number("stocked")?, "available": number("available")?, "held": number("held")?,
        "sold": number("sold")?, "scrapped": number("scrapped")?,
    }))
}

/// An order a client still has to bring to an end.
#[derive(Clone, Debug)]
struct Mine {
    sale: String,
    order: String,
    customer: Customer,
}

/// One client of the sale.
#[derive(Debug)]
pub struct Buyer<'a> {
    teller: Teller<'a>,
    seed: Seed,
    customers: VecDeque<Customer>,
    unpaid: Vec<Mine>,
    ended: Vec<Mine>,
}

impl<'a> Buyer<'a> {
    /// A client with customers of its own, pinned to a node or roaming.
    pub fn new(
        stage: &'a Stage,
        mut seed: Seed,
        customers: Vec<Customer>,
        pin: Option<usize>,
    ) -> Self {
        let mut teller = Teller::new(stage, seed.draw());
        teller.pinned = pin;
        let customers = customers.into();
        Self { teller, seed, customers, unpaid: Vec::new(), ended: Vec::new() }
    }

    /// Buys until told that the run is done.
    pub fn run(mut self) {
        while !self.teller.stage.done.load(Ordering::Relaxed) {
            let Some(current) = self.teller.stage.current() else {
                thread::sleep(Duration::from_millis(2));
                continue;
            };
            match self.seed.below(100) {
                0..45 => self.order(&current),
                45..65 => self.settle(),
                65..80 => self.cancel(),
                _ => {
                    let ask = self.teller.stage.stock(&current.id);
                    self.teller.ask(&ask);
                }
            }
        }
    }

    fn order(&mut self, current: &Current) {
        let place = self.seed.below(ACTIVE.min(self.customers.len()) as u64);
        let Some(customer) = self.customers.remove(usize::try_from(place).unwrap_or(0)) else {
            return;
        };
        let over = u64::from(self.seed.below(20) == 0);
        let quantity = self.seed.between(1, current.limit) + over;
        let ask = self.teller.stage.order(&customer, &current.id, quantity);
        match self.told(&ask) {
            Told::Done(value) => {
                if let Some(order) = value.get("order").and_then(Value::as_str) {
                    let (sale, order) = (current.id.clone(), order.to_owned());
                    self.unpaid.push(Mine { sale, order, customer: customer.clone() });
                }
            }
            Told::Refused(code) if code == "sold_out" => {
                let now = self.teller.stage.current();
                if now.as_ref() == Some(current) {
                    self.teller.stage.wants_sale.store(true, Ordering::Relaxed);
                }
            }
            Told::Refused(_) | Told::Never => {}
            Told::Unknown => return, // The customer is retired.
        }
        // Half of the time the next one is a stranger, so that a sale ends in spite of its limit.
        if self.seed.below(2) == 0 {
            self.customers.push_back(customer);
        } else {
            self.customers.push_front(customer);
        }
    }

    fn told(&mut self, ask: &Ask) -> Told {
        let told = self.teller.ask(ask);
        if told == Told::Unknown && self.seed.below(2) == 0 {
            return self.teller.until_known(ask);
        }
        told
    }

    /// Draws an order to end: mostly an unpaid one, sometimes one that has ended.
    fn draw(&mut self, from_ended: u64) -> Option<Mine> {
        let ended = self.seed.below(10) < from_ended;
        let list = if ended { &mut self.ended } else { &mut self.unpaid };
        let place = self.seed.below(list.len() as u64);
        let place = usize::try_from(place).ok().filter(|place| *place < list.len())?;
        Some(list.swap_remove(place))
    }

    fn settle(&mut self) {
        let Some(mine) = self.draw(1) else { return };
        let ask = self.teller.stage.settle(&mine.sale, &mine.order);
        self.end(&ask, mine);
    }

    fn cancel(&mut self) {
        let Some(mine) = self.draw(4) else { return };
        let ask = self.teller.stage.cancel(&mine.customer, &mine.sale, &mine.order);
        self.end(&ask, mine);
    }

    fn end(&mut self, ask: &Ask, mine: Mine) {
        match self.told(ask) {
            Told::Done(_) | Told::Refused(_) => self.ended.push(mine),
            Told::Never => self.unpaid.push(mine),
            Told::Unknown => {}
        }
    }
}
