//! How a run ends: what is open is settled, every sale is sold out to fresh buyers, every node is
//! dumped for the judge. The same as a live run's end, over the simulated clients.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use firstcome_jepsen::drive::workload::Sale;
use firstcome_jepsen::record::dump::Dump;
use firstcome_jepsen::record::http::Request;
use firstcome_jepsen::record::invocation::{self, Customer, Reply};
use firstcome_jepsen::record::json_file::write_json;
use firstcome_jepsen::record::rows::{edit_row, event_row, ledger_row, order_row, product_row};
use serde_json::{Value, json};

use crate::client::Client;

/// General stock that the sales are cut from.
const STOCK: u64 = 1_000_000;

/// Creates the product; answers its id and an instant at which its sales have opened.
pub async fn set_up(client: &mut Client, staff: &str) -> anyhow::Result<(String, String)> {
    let time = client.insist(0, &Request::get("/v1/time", staff)).await?;
    let now = time.get("now").and_then(Value::as_str).context("no now in /v1/time")?;
    let body = json!({"name": "simulated", "price": {"amount": 1000, "currency": "KRW"},
        "stock": STOCK, "no_shipping": true});
    let request = Request::post("/v1/admin/products", staff, "set-up", body);
    let product = client.insist(0, &request).await?;
    let id = product.get("id").and_then(Value::as_str).context("a product without id")?;
    Ok((id.to_owned(), now.to_owned()))
}

/// Settles what is unpaid.
pub async fn settle_all(client: &mut Client, staff: &str) -> anyhow::Result<()> {
    for row in client.list(0, staff, "/v1/admin/orders?status=payment_pending").await? {
        let row = order_row(&row)?;
        let key = format!("settle-{}", row.id);
        client.until_known(&invocation::settle(staff, &key, &row.pool, &row.id)).await;
    }
    Ok(())
}

/// Lets fresh buyers have every unit that is left of these sales.
pub async fn sell_out(
    client: &mut Client,
    staff: &str,
    sales: &[Sale],
    fresh: &[Customer],
) -> anyhow::Result<()> {
    for sale in sales {
        let mut number = 0;
        let mut key = || {
            number += 1;
            format!("end-{}-{number}", sale.id)
        };
        for customer in fresh {
            let stock = invocation::stock(staff, &sale.id);
            let Reply::Done { value: stock, .. } = client.until_known(&stock).await else {
                bail!("the stock of {} cannot be read", sale.id);
            };
            let left = stock.get("available").and_then(Value::as_u64).unwrap_or(0);
            let order = invocation::order(customer, &key(), &sale.id, left.clamp(1, sale.limit));
            let reply = client.until_known(&order).await;
            if let Some(order) = reply.text("order") {
                client.until_known(&invocation::settle(staff, &key(), &sale.id, order)).await;
            } else if matches!(reply.refused(), Some("sold_out" | "sale_closed")) {
                break;
            }
        }
    }
    Ok(())
}

/// Writes what every node shows in the end.
pub async fn dump(
    client: &mut Client,
    staff: &str,
    nodes: usize,
    sales: &[Sale],
    products: &[String],
    dir: &Path,
) -> anyhow::Result<()> {
    let place = dir.join("dump");
    std::fs::create_dir_all(&place)?;
    let (revision, hashes) = hashes(client, staff, nodes).await?;
    for at in 0..nodes {
        let name = format!("n{}", at + 1);
        let mut pools = BTreeMap::new();
        for sale in sales {
            let request = Request::get(format!("/v1/sales/{}/stock", sale.id), staff);
            let body = client.insist(at, &request).await?;
            let read =
                invocation::accounts(&body).with_context(|| format!("no accounts in {body}"))?;
            pools.insert(sale.id.clone(), serde_json::from_value(read)?);
        }
        let mut goods = BTreeMap::new();
        for product in products {
            let body =
                client.insist(at, &Request::get(format!("/v1/products/{product}"), staff)).await?;
            let row = product_row(&body).with_context(|| format!("no product in {body}"))?;
            goods.insert(product.clone(), row);
        }
        let orders = client.list(at, staff, "/v1/admin/orders").await?;
        let events = client.list(at, staff, "/v1/admin/events").await.ok();
        let ledger = client.list(at, staff, "/v1/admin/stock-ledger").await.ok();
        let dump = Dump {
            hash: hashes.get(&name).cloned(),
            node: name.clone(),
            revision,
            orders: orders.iter().map(order_row).collect::<anyhow::Result<_>>()?,
            pools,
            edits: events.iter().flatten().filter_map(edit_row).collect(),
            events: events.map(|rows| rows.iter().filter_map(event_row).collect()),
            ledger: ledger.map(|rows| rows.iter().filter_map(ledger_row).collect()),
            products: goods,
        };
        write_json(&place.join(format!("{name}.json")), &dump)?;
    }
    Ok(())
}

/// The state hash of every node at one revision, once all tell it.
async fn hashes(
    client: &mut Client,
    staff: &str,
    nodes: usize,
) -> anyhow::Result<(u64, BTreeMap<String, String>)> {
    for _ in 0..40 {
        let body = client.insist(0, &Request::get("/v1/cluster/hash", staff)).await?;
        let revision = body.get("revision").and_then(Value::as_u64).context("no revision")?;
        let rows = body.get("nodes").and_then(Value::as_array).context("no nodes")?;
        let reply: BTreeMap<String, String> = rows
            .iter()
            .filter_map(|node| {
                let text = |name: &str| node.get(name)?.as_str().map(str::to_owned);
                Some((text("name")?, text("hash")?))
            })
            .collect();
        if reply.len() >= nodes {
            return Ok((revision, reply));
        }
    }
    ensure!(nodes == 0, "not every node tells its hash");
    bail!("no nodes")
}
