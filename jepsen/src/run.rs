//! One run: three real nodes, eight clients and a nemesis; then heal, sell out, dump and judge.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::check::recovery::{NOT_RECOVERED, RECOVERED};
use crate::check::undersell::SOLD_OUT_PHASE;
use crate::check::{Evidence, Judgement, Test, judge};
use crate::client::{Client, Request};
use crate::cluster::process::Cluster;
use crate::dump::{Dump, EventRow, OrderRow};
use crate::nemesis::{self, Nemesis};
use crate::seed::Seed;
use crate::workload::{Buyer, Customer, Stage, Teller, Told, accounts};

/// Nodes of a run.
const NODES: usize = 3;
/// Clients pinned to each node.
const PINNED: usize = 2;
/// Clients that roam.
const ROAMING: usize = 2;
/// Customers of one client; lost answers use some up.
const CUSTOMERS: usize = 150;
/// Fresh buyers of the sell-out phase; each may buy of every sale.
const FRESH: usize = 100;
/// First election on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// What the claim promises after the last fault.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// General stock that the sales are cut from.
const STOCK: u64 = 1_000_000;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The product's binary.
    pub binary: PathBuf,
    /// What is broken.
    pub nemesis: Nemesis,
    /// How long the clients run.
    pub seconds: u64,
    /// Where all randomness comes from.
    pub seed: u64,
    /// Where run directories go.
    pub store: PathBuf,
}

/// Runs and judges; answers the run directory too.
pub fn run(plan: &Plan) -> anyhow::Result<(PathBuf, Judgement)> {
    let dir = directory(plan)?;
    let mut cluster = Cluster::prepare(&plan.binary, &dir, NODES)?;
    let faults = nemesis::plan(plan.nemesis, plan.seconds, NODES, Seed::of(plan.seed, 1_000));
    let test = Test {
        workload: "flash_sale".into(),
        nemesis: plan.nemesis.word().into(),
        seconds: plan.seconds,
        seed: plan.seed,
        nodes: NODES,
        binary: plan.binary.display().to_string(),
        version: cluster.run(&["--version"])?.trim().to_owned(),
    };
    write_json(&dir.join("test.json"), &test)?;
    write_json(&dir.join("plan.json"), &faults)?;
    let staff = cluster.run(&["token", "--role", "admin", "--ttl", "7200"])?.trim().to_owned();
    let mut customers = customers(&cluster)?;

    for at in 0..NODES {
        cluster.start(at)?;
    }
    cluster.wait_ready(START_LIMIT).context("the cluster did not start")?;
    let nodes: Vec<_> = cluster.nodes.iter().map(|node| (node.name.clone(), node.api)).collect();
    let mut desk = Desk { client: Client::new(Duration::from_secs(10)), staff: staff.clone() };
    let api = nodes.first().context("no node")?.1;
    let (product, opens_at) = desk.set_up(api)?;
    let run_name = dir.file_name().map(|name| name.to_string_lossy().into_owned());
    let history = File::create(dir.join("history.jsonl"))?;
    let stage =
        Stage::new(history, &run_name.unwrap_or_default(), nodes, staff, product, opens_at)?;

    let fresh = customers.split_off(customers.len().saturating_sub(FRESH));
    let carried_out = chaos(plan, &faults, &mut cluster, &stage, customers);
    stage.close()?;
    carried_out?;
    fs::create_dir_all(dir.join("dump"))?;
    match cluster.wait_ready(RECOVERY_LIMIT) {
        Ok(took) => {
            stage.say(RECOVERED, json!({"ms": took.as_millis().to_string()}));
            // What cannot be finished is said and judged: a broken cluster is a finding, not a
            // failure of the harness.
            if let Err(error) = sell_out(&stage, &mut desk, &fresh) {
                stage.say("sell_out_failed", json!(format!("{error:#}")));
            }
            if let Err(error) = dump(&stage, &mut desk, &dir) {
                stage.say("dump_failed", json!(format!("{error:#}")));
            }
        }
        Err(error) => stage.say(NOT_RECOVERED, json!(format!("{error:#}"))),
    }
    stage.close()?;
    let stopped = cluster.stop();
    let judgement = judge(&Evidence::read(&dir)?);
    write_json(&dir.join("results.json"), &judgement)?;
    stopped?;
    Ok((dir, judgement))
}

fn directory(plan: &Plan) -> anyhow::Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let name = format!("{now}-flash_sale-{}-{}", plan.nemesis.word(), plan.seed);
    let dir = plan.store.join(name);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(fs::canonicalize(dir)?)
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Fresh customers with their tokens, made without a running node.
fn customers(cluster: &Cluster) -> anyhow::Result<Vec<Customer>> {
    let count = (CUSTOMERS * (NODES * PINNED + ROAMING) + FRESH).to_string();
    let printed =
        cluster.run(&["token", "--role", "customer", "--ttl", "7200", "--count", &count])?;
    printed.lines().map(str::trim).filter(|line| !line.is_empty()).map(customer).collect()
}

/// Reads whose token it is; the signature is the nodes' business.
fn customer(token: &str) -> anyhow::Result<Customer> {
    let claims = token.split('.').nth(1).context("a token without claims")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let id = claims.get("sub").and_then(Value::as_str).context("a token without sub")?;
    Ok(Customer { id: id.to_owned(), token: token.to_owned() })
}

/// Clients and nemesis, side by side, until the time is over and everything is healed.
fn chaos(
    plan: &Plan,
    faults: &[nemesis::Fault],
    cluster: &mut Cluster,
    stage: &Stage,
    mut customers: Vec<Customer>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| stage.make_sales(Seed::of(plan.seed, 999)));
        let pins = (0..NODES * PINNED).map(|at| Some(at / PINNED));
        for (at, pin) in pins.chain((0..ROAMING).map(|_| None)).enumerate() {
            let mine = customers.split_off(customers.len().saturating_sub(CUSTOMERS));
            let buyer = Buyer::new(stage, Seed::of(plan.seed, at as u64), mine, pin);
            scope.spawn(move || buyer.run());
        }
        let carried_out = nemesis::carry_out(faults, cluster, stage);
        let end = Duration::from_secs(plan.seconds);
        if carried_out.is_ok() {
            thread::sleep(end.saturating_sub(started.elapsed()));
        }
        stage.done.store(true, Ordering::Relaxed);
        carried_out
    })
}

/// Settles what is unpaid, then lets fresh buyers have every unit that is left of every sale.
fn sell_out(stage: &Stage, desk: &mut Desk, fresh: &[Customer]) -> anyhow::Result<()> {
    let mut teller = Teller::new(stage, 1);
    let api = stage.nodes.first().context("no node")?.1;
    for row in desk.list(api, "/v1/admin/orders?status=payment_pending")? {
        let row = order_row(&row)?;
        teller.until_known(&stage.settle(&row.pool, &row.id));
    }
    let sales = stage.sales.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for sale in sales {
        for customer in fresh {
            let Told::Done(stock) = teller.until_known(&stage.stock(&sale.id)) else {
                bail!("the stock of {} cannot be read", sale.id);
            };
            let left = stock.get("available").and_then(Value::as_u64).unwrap_or(0);
            // One more than is left of the last unit: the refusal is part of the phase.
            let ask = stage.order(customer, &sale.id, left.clamp(1, sale.limit));
            let told = teller.until_known(&ask);
            if let Told::Done(value) = &told
                && let Some(order) = value.get("order").and_then(Value::as_str)
            {
                teller.until_known(&stage.settle(&sale.id, order));
            } else if told == Told::Refused("sold_out".into()) {
                break;
            }
        }
    }
    stage.say(SOLD_OUT_PHASE, Value::Null);
    Ok(())
}

/// Writes what every node shows in the end.
fn dump(stage: &Stage, desk: &mut Desk, dir: &Path) -> anyhow::Result<()> {
    let place = dir.join("dump");
    let api = stage.nodes.first().context("no node")?.1;
    let (revision, hashes) = desk.hashes(api)?;
    for (name, api) in &stage.nodes {
        let mut pools = BTreeMap::new();
        let sales = stage.sales.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for sale in sales {
            let body = desk.get(*api, &format!("/v1/sales/{}/stock", sale.id))?;
            let read = accounts(&body).with_context(|| format!("{name}: no accounts in {body}"))?;
            pools.insert(sale.id, serde_json::from_value(read)?);
        }
        let orders = desk.list(*api, "/v1/admin/orders")?;
        let events = desk.list(*api, "/v1/admin/events");
        let dump = Dump {
            node: name.clone(),
            revision,
            hash: hashes.get(name).cloned(),
            orders: orders.iter().map(order_row).collect::<anyhow::Result<_>>()?,
            pools,
            events: events.ok().map(|rows| rows.iter().filter_map(event_row).collect()),
        };
        write_json(&place.join(format!("{name}.json")), &dump)?;
    }
    Ok(())
}

/// An order of an admin list, shortened.
fn order_row(row: &Value) -> anyhow::Result<OrderRow> {
    let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    let line = row.get("lines").and_then(|lines| lines.get(0));
    let shortened = || {
        Some(OrderRow {
            id: text("id")?,
            customer: text("customer_id")?,
            pool: line?.get("sale_id").and_then(Value::as_str)?.to_owned(),
            quantity: line?.get("quantity").and_then(Value::as_u64)?,
            status: text("status")?,
            revision: row.get("ticket").and_then(Value::as_u64)?,
        })
    };
    shortened().with_context(|| format!("not an order: {row}"))
}

/// An event of the admin list, if it is about an order.
fn event_row(row: &Value) -> Option<EventRow> {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let name = text(row, "type").or_else(|| text(row, "event"))?;
    let data = row.get("data").unwrap_or(row);
    let order = text(data, "order_id").or_else(|| text(data, "order"));
    let revision = row.get("revision").and_then(Value::as_u64)?;
    let at = text(row, "at").or_else(|| text(row, "created_at"));
    name.starts_with("order.").then_some(EventRow { revision, name, order: order?, at })
}

/// Staff's own requests, outside the history.
struct Desk {
    client: Client,
    staff: String,
}

impl Desk {
    fn get(&mut self, api: std::net::SocketAddr, path: &str) -> anyhow::Result<Value> {
        let mut last = String::new();
        for _ in 0..20 {
            match self.client.send(api, &Request::get(path, &self.staff)) {
                Ok(answer) if answer.status == 200 => return answer.body.context("not JSON"),
                Ok(answer) => last = format!("{} {:?}", answer.status, answer.body),
                Err(error) => last = format!("{error:?}"),
            }
            thread::sleep(Duration::from_millis(200));
        }
        bail!("GET {path} at {api}: {last}")
    }

    /// All pages of a list.
    fn list(&mut self, api: std::net::SocketAddr, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let page = self.get(api, &format!("{path}{mark}limit=100{cursor}"))?;
            let data = page.get("data").and_then(Value::as_array).context("a list without data")?;
            rows.extend(data.iter().cloned());
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(rows),
            }
        }
    }

    /// Creates the product; answers its id and an instant at which its sales have opened.
    fn set_up(&mut self, api: std::net::SocketAddr) -> anyhow::Result<(String, String)> {
        let time = self.get(api, "/v1/time")?;
        let now = time.get("now").and_then(Value::as_str).context("no now in /v1/time")?;
        let body = json!({"name": "jepsen", "price": {"amount": 1000, "currency": "KRW"},
            "stock": STOCK, "no_shipping": true});
        let request = Request::post("/v1/admin/products", &self.staff, "set-up", body);
        let mut answer = None;
        // The same key again: the leader may change while the cluster settles.
        for _ in 0..20 {
            answer = self.client.send(api, &request).ok();
            if answer.as_ref().is_some_and(|answer| answer.status < 500) {
                break;
            }
            thread::sleep(Duration::from_millis(200));
        }
        let answer = answer.context("creating the product: no answer")?;
        ensure!(
            matches!(answer.status, 200 | 201),
            "creating the product: {} {:?}",
            answer.status,
            answer.body
        );
        let id = answer.body.as_ref().and_then(|body| body.get("id")?.as_str());
        Ok((id.context("a product without id")?.to_owned(), now.to_owned()))
    }

    /// The state hash of every node at one revision, once all tell it.
    fn hashes(
        &mut self,
        api: std::net::SocketAddr,
    ) -> anyhow::Result<(u64, BTreeMap<String, String>)> {
        for last in [false; 40].into_iter().chain([true]) {
            let body = self.get(api, "/v1/cluster/hash")?;
            let revision = body.get("revision").and_then(Value::as_u64).context("no revision")?;
            let nodes = body.get("nodes").and_then(Value::as_array).context("no nodes")?;
            let told: BTreeMap<String, String> = nodes
                .iter()
                .filter_map(|node| {
                    let text = |name: &str| node.get(name)?.as_str().map(str::to_owned);
                    Some((text("name")?, text("hash")?))
                })
                .collect();
            if told.len() == NODES || last {
                return Ok((revision, told));
            }
            thread::sleep(Duration::from_millis(250));
        }
        bail!("no hashes")
    }
}
