//! The audit after the load: every acknowledged order exists once, on every node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::round::Round;
use super::target::Target;
use crate::client::{Request, rows};
use crate::output::field;

/// Time for reading orders back. After a long run only a part is checked; the report says how many.
const READ_BACK_LIMIT: Duration = Duration::from_secs(30);
/// Time for nodes to catch up after the load.
const HASH_LIMIT: Duration = Duration::from_secs(20);

/// Stock, orders and hashes after the load.
pub(super) struct Audit {
    acknowledged: u64,
    lost: u64,
    sold: u64,
    held: u64,
    orders_checked: u64,
    per_buyer_max: u64,
    hashes_equal: bool,
    /// What went wrong; must be empty.
    pub(super) violations: Vec<String>,
}

/// Runs the audit; `extra` orders were placed outside the load.
pub(super) async fn run(
    target: &Target,
    sale_id: &str,
    rounds: &[Round],
    extra: u64,
) -> anyhow::Result<Audit> {
    let admin = target.admin(0)?;
    let path = format!("/v1/sales/{sale_id}/stock?consistency=linearizable");
    let stock = admin.send_ok(Request::get(&path)).await?.body;
    let count = |name| stock.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (sold, held) = (count("sold"), count("held"));
    let bought = rounds.iter().map(|round| round.purchases.answered("201"));
    let acknowledged = bought.sum::<u64>() + extra;
    // A request without a definite response may have been executed.
    let lost = rounds.iter().map(|round| round.purchases.lost + round.purchases.unknown()).sum();
    let (orders_checked, per_buyer_max) = read_back(target, sale_id).await?;
    let hashes_equal = hashes_equal(target).await?;
    let mut violations = Vec::new();
    let taken = sold + held;
    if !(acknowledged..=acknowledged + lost).contains(&taken) {
        violations.push(format!(
            "{taken} units taken, {acknowledged} orders acknowledged, {lost} unknown"
        ));
    }
    if per_buyer_max > 1 {
        violations.push(format!("a buyer has {per_buyer_max} units; the limit is 1"));
    }
    if !hashes_equal {
        violations.push("the state hashes of the nodes differ".to_owned());
    }
    Ok(Audit {
        acknowledged,
        lost,
        sold,
        held,
        orders_checked,
        per_buyer_max,
        hashes_equal,
        violations,
    })
}

/// Reads back as many orders as time allows: their number, and the largest number of one buyer.
async fn read_back(target: &Target, sale_id: &str) -> anyhow::Result<(u64, u64)> {
    let admin = target.admin(0)?;
    let deadline = Instant::now() + READ_BACK_LIMIT;
    let mut per_buyer: BTreeMap<String, u64> = BTreeMap::new();
    let (mut checked, mut cursor) = (0, String::new());
    while Instant::now() < deadline {
        let path =
            format!("/v1/admin/orders?sale_id={sale_id}&limit=100&consistency=local{cursor}");
        let page = admin.send_ok(Request::get(&path)).await?.body;
        for order in rows(&page) {
            checked += 1;
            *per_buyer.entry(field(order, "customer_id")).or_default() += 1;
        }
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    Ok((checked, per_buyer.values().copied().max().unwrap_or(0)))
}

/// Whether all nodes have the same state hash, once they have caught up.
async fn hashes_equal(target: &Target) -> anyhow::Result<bool> {
    let admin = target.admin(0)?;
    let deadline = Instant::now() + HASH_LIMIT;
    loop {
        let answer = admin.send_ok(Request::get("/v1/cluster/hash")).await?.body;
        let nodes = answer.get("nodes").and_then(Value::as_array);
        let hashes: Vec<_> =
            nodes.into_iter().flatten().map(|n| n.get("hash").and_then(Value::as_str)).collect();
        let different: BTreeSet<_> = hashes.iter().flatten().collect();
        if different.len() > 1 {
            return Ok(false);
        }
        if !hashes.is_empty() && hashes.iter().all(Option::is_some) {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

impl Audit {
    /// The audit as JSON.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "acknowledged": self.acknowledged, "unknown": self.lost, "sold": self.sold,
            "held": self.held, "orders_checked": self.orders_checked,
            "orders_per_buyer_max": self.per_buyer_max, "hashes_equal": self.hashes_equal,
        })
    }

    /// The audit as text.
    pub(super) fn to_text(&self) -> String {
        let mut text = format!(
            "audit      {} units taken, {} orders acknowledged, {} unknown; {} orders read back, \
             at most {} per buyer; state hashes {}\n",
            self.sold + self.held,
            self.acknowledged,
            self.lost,
            self.orders_checked,
            self.per_buyer_max,
            if self.hashes_equal { "equal" } else { "DIFFER" }
        );
        for violation in &self.violations {
            text.push_str(&format!("VIOLATION  {violation}\n"));
        }
        text
    }
}
