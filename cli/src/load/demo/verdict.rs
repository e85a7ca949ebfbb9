//! The verdict: compares what every node reports afterwards with what every buyer was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::plan::{ADMIN_LIMIT, Outage, Plan};
use super::sale::Sale;
use crate::client::{Client, Request, Response, rows};
use crate::exit::{Exit, Stop};
use crate::load::latency::milliseconds;
use crate::load::local_cluster::LocalCluster;
use crate::output::{field, table};

/// Time for a restarted node to catch up.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two checks of the applied revisions.
const POLL_PAUSE: Duration = Duration::from_millis(50);

/// The sale's units as one node reports them.
struct NodeStock {
    name: String,
    revision: u64,
    stocked: u64,
    sold: u64,
    held: u64,
    available: u64,
    hash: Option<String>,
}

/// The result of the checks.
pub(super) struct Verdict {
    nodes: Vec<NodeStock>,
    facts: Vec<(&'static str, Value)>,
    answers: BTreeMap<String, u64>,
    retries: BTreeMap<String, u64>,
    /// What went wrong; must be empty.
    pub(super) violations: Vec<String>,
}

/// Queries every node and checks the result.
pub(super) async fn judge(
    plan: &Plan,
    cluster: &LocalCluster,
    sale: &Sale,
    outage: &Outage,
    lasted: Duration,
) -> anyhow::Result<Verdict> {
    let mut clients = Vec::new();
    for (at, name) in cluster.names().into_iter().enumerate() {
        clients.push((name, cluster.admin(at, ADMIN_LIMIT)?));
    }
    let revision = same_revision(&clients).await?;
    let mut nodes = Vec::new();
    for (name, client) in &clients {
        nodes.push(stock(name, client, &sale.id).await?);
    }
    let Some((_, client)) = clients.first() else {
        return Err(Stop::new(Exit::Bug, "there are no nodes").into());
    };
    hashes(client, revision, &mut nodes).await?;
    let orders = orders(client, &sale.id).await?;
    Ok(compare(plan, sale, outage, lasted, nodes, &orders))
}

/// Waits until all nodes have applied the same revision.
async fn same_revision(clients: &[(String, Client)]) -> anyhow::Result<u64> {
    let deadline = Instant::now() + CATCH_UP_LIMIT;
    loop {
        let mut seen = BTreeSet::new();
        for (_, client) in clients {
            let answer = client.send(Request::get("/v1/cluster?consistency=local")).await;
            seen.insert(answer.ok().and_then(|a| a.body.get("revision").and_then(Value::as_u64)));
        }
        if let (1, Some(Some(revision))) = (seen.len(), seen.first()) {
            return Ok(*revision);
        }
        if Instant::now() > deadline {
            let message =
                format!("the nodes did not reach the same revision within 30 s: {seen:?}");
            return Err(Stop::new(Exit::Refused, message).into());
        }
        sleep(POLL_PAUSE).await;
    }
}

async fn stock(name: &str, client: &Client, sale_id: &str) -> anyhow::Result<NodeStock> {
    let path = format!("/v1/sales/{sale_id}/stock?consistency=local");
    let body = client.send_ok(Request::get(&path)).await?.body;
    let count = |name| body.get(name).and_then(Value::as_u64).unwrap_or(0);
    Ok(NodeStock {
        name: name.to_owned(),
        revision: count("revision"),
        stocked: count("stocked"),
        sold: count("sold"),
        held: count("held"),
        available: count("available"),
        hash: None,
    })
}

/// Fetches the state hash of every node. If the revision has moved on, uses the latest one.
async fn hashes(client: &Client, revision: u64, nodes: &mut [NodeStock]) -> anyhow::Result<()> {
    let asked: Response =
        client.send(Request::get(&format!("/v1/cluster/hash?revision={revision}"))).await?;
    let asked = if asked.status.is_success() {
        asked
    } else {
        client.send_ok(Request::get("/v1/cluster/hash")).await?
    };
    let found = asked.body.get("nodes").and_then(Value::as_array);
    for found in found.into_iter().flatten() {
        let name = found.get("name").and_then(Value::as_str);
        if let Some(node) = nodes.iter_mut().find(|node| Some(node.name.as_str()) == name) {
            node.hash = found.get("hash").and_then(Value::as_str).map(ToOwned::to_owned);
        }
    }
    Ok(())
}

/// All orders of the sale: id to customer and units.
async fn orders(client: &Client, sale_id: &str) -> anyhow::Result<BTreeMap<String, (String, u64)>> {
    let mut orders = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/admin/orders?sale_id={sale_id}&limit=100{cursor}");
        let page = client.send_ok(Request::get(&path)).await?.body;
        for order in rows(&page) {
            let lines = order.get("lines").and_then(Value::as_array);
            let quantities = lines.into_iter().flatten();
            let units = quantities.filter_map(|l| l.get("quantity").and_then(Value::as_u64)).sum();
            orders.insert(field(order, "id"), (field(order, "customer_id"), units));
        }
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(orders),
        }
    }
}

/// Compares the state of the nodes with the responses to the buyers.
fn compare(
    plan: &Plan,
    sale: &Sale,
    outage: &Outage,
    lasted: Duration,
    nodes: Vec<NodeStock>,
    orders: &BTreeMap<String, (String, u64)>,
) -> Verdict {
    let tally = sale.tally.borrow();
    let mut violations = tally.violations.clone();
    let mut per_buyer: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (customer, units) in orders.values() {
        let had = per_buyer.entry(customer).or_default();
        *had = (had.0 + 1, had.1 + units);
    }
    let max_orders = per_buyer.values().map(|had| had.0).max().unwrap_or(0);
    let max_units = per_buyer.values().map(|had| had.1).max().unwrap_or(0);
    let duplicates: u64 = per_buyer.values().map(|had| had.0 - 1).sum();
    let missing = tally.acknowledged.keys().filter(|id| !orders.contains_key(*id)).count();
    let unknown = orders.keys().filter(|id| !tally.acknowledged.contains_key(*id)).count();
    let mut broken = |is: bool, text: String| {
        if is {
            violations.push(text);
        }
    };
    broken(missing > 0, format!("{missing} acknowledged orders are missing"));
    broken(
        unknown as u64 > tally.unanswered,
        format!("{unknown} orders that were never acknowledged"),
    );
    broken(duplicates > 0, format!("{duplicates} orders are duplicates"));
    broken(max_units > 1, format!("a buyer has {max_units} units; the limit is 1"));
    let in_orders: u64 = orders.values().map(|(_, units)| units).sum();
    for node in &nodes {
        let (name, taken) = (&node.name, node.sold + node.held);
        let sum = taken + node.available;
        broken(
            sum != plan.units,
            format!("{name}: {sum} units in total, but {} were stocked", plan.units),
        );
        broken(taken > plan.units, format!("{name}: oversold, {taken} of {}", plan.units));
        broken(taken != in_orders, format!("{name}: {taken} units taken, {in_orders} in orders"));
        broken(
            taken < plan.expected_sales(),
            format!("{name}: undersold, {taken} of {}", plan.expected_sales()),
        );
        broken(
            node.sold != tally.settled,
            format!("{name}: {} units sold, {} orders settled", node.sold, tally.settled),
        );
    }
    let hashes: BTreeSet<_> = nodes.iter().map(|node| node.hash.as_deref()).collect();
    let equal = hashes.len() == 1 && !hashes.contains(&None);
    broken(!equal, "the state hashes of the nodes differ".to_owned());
    broken(plan.kill && outage.leader.is_none(), "the leader was not killed".to_owned());

    let ms = |quantile| milliseconds(tally.latency.value_at_quantile(quantile));
    let answered: u64 = tally.answers.values().sum();
    #[expect(clippy::cast_precision_loss, reason = "a rounded figure for display")]
    let rate = (answered as f64 / lasted.as_secs_f64()).round();
    let gap = outage.without_leader.map(|gap| u64::try_from(gap.as_millis()).unwrap_or(u64::MAX));
    let facts = vec![
        ("buyers", json!(plan.buyers)),
        ("units", json!(plan.units)),
        ("orders", json!(orders.len())),
        ("orders_per_buyer_max", json!(max_orders)),
        ("duplicates", json!(duplicates)),
        ("acknowledged_orders_missing", json!(missing)),
        ("clicked_twice", json!(tally.clicked_twice)),
        ("second_orders", json!(tally.tried_again)),
        ("settled", json!(tally.settled)),
        ("seconds", json!((lasted.as_secs_f64() * 1000.0).round() / 1000.0)),
        ("answers_per_second", json!(rate)),
        ("latency_p50_ms", json!(ms(0.5))),
        ("latency_p99_ms", json!(ms(0.99))),
        ("latency_max_ms", json!(milliseconds(tally.latency.max()))),
        ("leader_killed", json!(outage.leader)),
        ("purchases_before_kill", json!(outage.purchases_before)),
        ("without_leader_ms", json!(gap)),
        ("hashes_equal", json!(equal)),
    ];
    Verdict {
        nodes,
        facts,
        answers: tally.answers.clone(),
        retries: tally.retries.clone(),
        violations,
    }
}

impl Verdict {
    /// The verdict as JSON.
    pub(super) fn to_json(&self) -> Value {
        let node = |n: &NodeStock| {
            json!({
                "name": n.name, "revision": n.revision, "stocked": n.stocked, "sold": n.sold,
                "held": n.held, "available": n.available, "hash": n.hash,
            })
        };
        let mut document = json!({
            "object": "demo",
            "ok": self.violations.is_empty(),
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
            "answers": self.answers,
            "retries": self.retries,
            "violations": self.violations,
        });
        if let Some(fields) = document.as_object_mut() {
            fields
                .extend(self.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        }
        document
    }

    /// The verdict as text.
    pub(super) fn to_text(&self) -> String {
        let headers = ["NODE", "REVISION", "STOCKED", "SOLD", "HELD", "AVAILABLE", "STATE HASH"];
        let row = |n: &NodeStock| {
            let counts = [n.revision, n.stocked, n.sold, n.held, n.available];
            let mut cells = vec![n.name.clone()];
            cells.extend(counts.map(|count| count.to_string()));
            cells.push(n.hash.clone().unwrap_or_else(|| "-".to_owned()));
            cells
        };
        let nodes: Vec<_> = self.nodes.iter().map(row).collect();
        let mut text = format!("\n{}\n", table(&headers, &nodes));
        for (name, value) in &self.facts {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            text.push_str(&format!("{:<28}  {value}\n", name.replace('_', " ")));
        }
        for (title, counts) in [("answers", &self.answers), ("retried after", &self.retries)] {
            for (label, count) in counts {
                text.push_str(&format!("{title:<28}  {count} x {label}\n"));
            }
        }
        if self.violations.is_empty() {
            text.push_str("\nNothing oversold, nothing lost, nothing duplicated.\n");
        } else {
            text.push_str("\nVIOLATIONS\n");
            for violation in self.violations.iter().take(20) {
                text.push_str(&format!("  {violation}\n"));
            }
            if self.violations.len() > 20 {
                text.push_str(&format!("  ... and {} more\n", self.violations.len() - 20));
            }
        }
        text
    }
}
