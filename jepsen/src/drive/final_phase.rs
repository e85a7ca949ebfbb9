//! The end of a run on a healed cluster: open requests are completed, every sale is sold out to
//! fresh buyers, and every node is dumped.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::drive::admin_client::AdminClient;
use crate::drive::client_loop::{ClientLoop, LiveRun};
use crate::drive::workload::Sale;
use crate::record::dump::Dump;
use crate::record::invocation::{self, Customer, Reply};
use crate::record::json_file::write_json;
use crate::record::rows::{edit_row, event_row, ledger_row, order_row, product_row};
use crate::record::run_event::SOLD_OUT_PHASE;
use crate::seed::Seed;

/// Time limit of the sell-out; a working cluster needs a fraction of it.
const SELL_OUT_LIMIT: Duration = Duration::from_mins(5);

/// Settles every unpaid order, then lets fresh buyers buy every unit that is left of every sale.
pub fn sell_out(
    live: &LiveRun,
    admin: &mut AdminClient,
    sales: &[Sale],
    fresh: &[Customer],
) -> anyhow::Result<()> {
    let began = Instant::now();
    let in_time = || {
        ensure!(
            began.elapsed() < SELL_OUT_LIMIT,
            "the sell-out took longer than {SELL_OUT_LIMIT:?}"
        );
        Ok(())
    };
    let mut client_loop = ClientLoop::new(live, Seed::new(1), None);
    let mut keys = (0..).map(|n| format!("end-{n}"));
    let mut key = || keys.next().unwrap_or_default();
    let api = live.nodes.first().context("no node")?.1;
    for row in admin.list(api, "/v1/admin/orders?status=payment_pending")? {
        in_time()?;
        let row = order_row(&row)?;
        client_loop.until_known(&invocation::settle(&live.staff, &key(), &row.pool, &row.id));
    }
    for sale in sales {
        for customer in fresh {
            in_time()?;
            let stock = invocation::stock(&live.staff, &sale.id);
            let Reply::Done { value: stock, .. } = client_loop.until_known(&stock) else {
                bail!("the stock of {} cannot be read", sale.id);
            };
            let left = stock.get("available").and_then(Value::as_u64).unwrap_or(0);
            // Asks for at least one unit even if none is left: the refusal is part of the phase.
            let order = invocation::order(customer, &key(), &sale.id, left.clamp(1, sale.limit));
            let reply = client_loop.until_known(&order);
            if let Some(order) = reply.text("order") {
                client_loop.until_known(&invocation::settle(&live.staff, &key(), &sale.id, order));
            } else if matches!(reply.refused(), Some("sold_out" | "sale_closed")) {
                break;
            }
        }
    }
    live.record_event(SOLD_OUT_PHASE, Value::Null);
    Ok(())
}

/// Writes what every node shows at the end; an error names the nodes that show nothing. If the run
/// continued with older data (`baseline` is its last revision), only the rows of its own sales and
/// events are read.
pub fn dump(
    live: &LiveRun,
    admin: &mut AdminClient,
    sales: &[Sale],
    products: &[String],
    dir: &Path,
    baseline: u64,
) -> anyhow::Result<()> {
    let place = dir.join("dump");
    fs::create_dir_all(&place)?;
    // Any node that answers will do, so that one broken node does not hide what the others show.
    let mut asked = live.nodes.iter().map(|(_, api)| admin.hashes(*api, live.nodes.len()));
    let hashes = asked.find_map(Result::ok).context("no node reports its hash")?;
    let mut silent = Vec::new();
    for (name, api) in &live.nodes {
        match node_dump(admin, (name, *api), sales, products, &hashes, baseline) {
            Ok(dump) => write_json(&place.join(format!("{name}.json")), &dump)?,
            Err(error) => silent.push(format!("{name}: {error:#}")),
        }
    }
    ensure!(silent.is_empty(), "{}", silent.join("; "));
    Ok(())
}

/// What one node shows. A sale or product that it does not know is left out.
fn node_dump(
    admin: &mut AdminClient,
    (name, api): (&str, SocketAddr),
    sales: &[Sale],
    products: &[String],
    (revision, hashes): &(u64, BTreeMap<String, String>),
    baseline: u64,
) -> anyhow::Result<Dump> {
    let mut pools = BTreeMap::new();
    for sale in sales {
        let Some(body) = admin.find(api, &format!("/v1/sales/{}/stock", sale.id))? else {
            continue;
        };
        let read = invocation::accounts(&body).with_context(|| format!("no accounts in {body}"))?;
        pools.insert(sale.id.clone(), serde_json::from_value(read)?);
    }
    let mut product_rows = BTreeMap::new();
    for product in products {
        let Some(body) = admin.find(api, &format!("/v1/products/{product}"))? else { continue };
        let row = product_row(&body).with_context(|| format!("no product in {body}"))?;
        product_rows.insert(product.clone(), row);
    }
    let mut orders = Vec::new();
    let mut ledger = Some(Vec::new());
    if baseline == 0 {
        orders = admin.list(api, "/v1/admin/orders")?;
        ledger = admin.list(api, "/v1/admin/stock-ledger").ok();
    } else {
        for sale in sales {
            orders.extend(admin.list(api, &format!("/v1/admin/orders?sale_id={}", sale.id))?);
        }
        let pools = sales.iter().map(|sale| &sale.id).chain(products);
        for pool in pools {
            let rows = admin.list(api, &format!("/v1/admin/stock-ledger?pool={pool}")).ok();
            ledger = ledger.zip(rows).map(|(mut all, rows)| {
                all.extend(rows);
                all
            });
        }
    }
    let events = admin.events(api, baseline).ok();
    Ok(Dump {
        node: name.to_owned(),
        revision: *revision,
        hash: hashes.get(name).cloned(),
        orders: orders.iter().map(order_row).collect::<anyhow::Result<_>>()?,
        pools,
        edits: events.iter().flatten().filter_map(edit_row).collect(),
        events: events.map(|rows| rows.iter().filter_map(event_row).collect()),
        ledger: ledger.map(|rows| rows.iter().filter_map(ledger_row).collect()),
        products: product_rows,
    })
}
