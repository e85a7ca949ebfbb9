//! How a run ends once everything is healed: what is open is brought to an end, every sale is sold
//! out to fresh buyers, and every node is dumped.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::ask::{self, Customer, Told};
use crate::check::undersell::SOLD_OUT_PHASE;
use crate::desk::Desk;
use crate::dump::{Dump, EditRow, EventRow, LedgerRow, OrderRow, ProductRow};
use crate::run::write_json;
use crate::seed::Seed;
use crate::teller::{Stage, Teller};
use crate::workload::Sale;

/// Longest sell-out; nodes that answer need a fraction of it.
const SELL_OUT_LIMIT: Duration = Duration::from_mins(5);

/// Settles what is unpaid, then lets fresh buyers have every unit that is left of every sale.
pub fn sell_out(
    stage: &Stage,
    desk: &mut Desk,
    sales: &[Sale],
    fresh: &[Customer],
) -> anyhow::Result<()> {
    let began = Instant::now();
    let in_time = || {
        ensure!(began.elapsed() < SELL_OUT_LIMIT, "it took longer than {SELL_OUT_LIMIT:?}");
        Ok(())
    };
    let mut teller = Teller::new(stage, Seed::new(1), None);
    let mut keys = (0..).map(|n| format!("end-{n}"));
    let mut key = || keys.next().unwrap_or_default();
    let api = stage.nodes.first().context("no node")?.1;
    for row in desk.list(api, "/v1/admin/orders?status=payment_pending")? {
        in_time()?;
        let row = order_row(&row)?;
        teller.until_known(&ask::settle(&stage.staff, &key(), &row.pool, &row.id));
    }
    for sale in sales {
        for customer in fresh {
            in_time()?;
            let stock = ask::stock(&stage.staff, &sale.id);
            let Told::Done { value: stock, .. } = teller.until_known(&stock) else {
                bail!("the stock of {} cannot be read", sale.id);
            };
            let left = stock.get("available").and_then(Value::as_u64).unwrap_or(0);
            // One more than is left of the last unit: the refusal is part of the phase.
            let order = ask::order(customer, &key(), &sale.id, left.clamp(1, sale.limit));
            let told = teller.until_known(&order);
            if let Some(order) = told.text("order") {
                teller.until_known(&ask::settle(&stage.staff, &key(), &sale.id, order));
            } else if matches!(told.refused(), Some("sold_out" | "sale_closed")) {
                break;
            }
        }
    }
    stage.say(SOLD_OUT_PHASE, Value::Null);
    Ok(())
}

/// Writes what every node shows in the end; an error names the nodes that show nothing. Of a run
/// that went on with older data (`baseline` is its last revision) only the rows of its own sales
/// and events are asked for.
pub fn dump(
    stage: &Stage,
    desk: &mut Desk,
    sales: &[Sale],
    products: &[String],
    dir: &Path,
    baseline: u64,
) -> anyhow::Result<()> {
    let place = dir.join("dump");
    fs::create_dir_all(&place)?;
    // Any node that answers will do: one that does not must not hide what the others show.
    let mut asked = stage.nodes.iter().map(|(_, api)| desk.hashes(*api, stage.nodes.len()));
    let told = asked.find_map(Result::ok).context("no node tells its hash")?;
    let mut silent = Vec::new();
    for (name, api) in &stage.nodes {
        match shown(desk, (name, *api), sales, products, &told, baseline) {
            Ok(dump) => write_json(&place.join(format!("{name}.json")), &dump)?,
            Err(error) => silent.push(format!("{name}: {error:#}")),
        }
    }
    ensure!(silent.is_empty(), "{}", silent.join("; "));
    Ok(())
}

/// What one node shows. A sale or product that it does not know is left out.
fn shown(
    desk: &mut Desk,
    (name, api): (&str, SocketAddr),
    sales: &[Sale],
    products: &[String],
    (revision, hashes): &(u64, BTreeMap<String, String>),
    baseline: u64,
) -> anyhow::Result<Dump> {
    let mut pools = BTreeMap::new();
    for sale in sales {
        let Some(body) = desk.find(api, &format!("/v1/sales/{}/stock", sale.id))? else { continue };
        let read = ask::accounts(&body).with_context(|| format!("no accounts in {body}"))?;
        pools.insert(sale.id.clone(), serde_json::from_value(read)?);
    }
    let mut goods = BTreeMap::new();
    for product in products {
        let Some(body) = desk.find(api, &format!("/v1/products/{product}"))? else { continue };
        let row = product_row(&body).with_context(|| format!("no product in {body}"))?;
        goods.insert(product.clone(), row);
    }
    let mut orders = Vec::new();
    let mut ledger = Some(Vec::new());
    if baseline == 0 {
        orders = desk.list(api, "/v1/admin/orders")?;
        ledger = desk.list(api, "/v1/admin/stock-ledger").ok();
    } else {
        for sale in sales {
            orders.extend(desk.list(api, &format!("/v1/admin/orders?sale_id={}", sale.id))?);
        }
        let pools = sales.iter().map(|sale| &sale.id).chain(products);
        for pool in pools {
            let rows = desk.list(api, &format!("/v1/admin/stock-ledger?pool={pool}")).ok();
            ledger = ledger.zip(rows).map(|(mut all, rows)| {
                all.extend(rows);
                all
            });
        }
    }
    let events = desk.events(api, baseline).ok();
    Ok(Dump {
        node: name.to_owned(),
        revision: *revision,
        hash: hashes.get(name).cloned(),
        orders: orders.iter().map(order_row).collect::<anyhow::Result<_>>()?,
        pools,
        edits: events.iter().flatten().filter_map(edit_row).collect(),
        events: events.map(|rows| rows.iter().filter_map(event_row).collect()),
        ledger: ledger.map(|rows| rows.iter().filter_map(ledger_row).collect()),
        products: goods,
    })
}

/// An order of an admin list, shortened.
pub fn order_row(row: &Value) -> anyhow::Result<OrderRow> {
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
            pay_by: text("pay_by"),
            payment: row.get("payment")?.get("status").and_then(Value::as_str).map(str::to_owned),
        })
    };
    shortened().with_context(|| format!("not an order: {row}"))
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name).and_then(Value::as_u64)
}

/// An event of the admin list, if it is about an order.
pub fn event_row(row: &Value) -> Option<EventRow> {
    let name = text(row, "type")?;
    let data = row.get("data")?;
    name.starts_with("order.").then_some(EventRow {
        revision: number(row, "revision")?,
        name,
        order: text(data, "order_id")?,
        at: text(row, "at"),
        from: text(data, "from"),
        pay_by: text(data, "pay_by"),
    })
}

/// An event of the admin list, if it made a new version of a product.
pub fn edit_row(row: &Value) -> Option<EditRow> {
    let name = text(row, "type")?;
    let product = text(row.get("data")?, "product_id")?;
    name.starts_with("product.").then_some(EditRow { revision: number(row, "revision")?, product })
}

/// A row of the ledger.
pub fn ledger_row(row: &Value) -> Option<LedgerRow> {
    Some(LedgerRow {
        revision: number(row, "revision")?,
        offset: number(row, "offset")?,
        pool: text(row, "pool")?,
        from: text(row, "from")?,
        to: text(row, "to")?,
        quantity: number(row, "quantity")?,
        order: text(row, "order_id"),
    })
}

/// A product as it is shown.
pub fn product_row(body: &Value) -> Option<ProductRow> {
    Some(ProductRow {
        price: number(body.get("price")?, "amount")?,
        version: number(body, "version")?,
        accounts: serde_json::from_value(ask::accounts(body.get("stock")?)?).ok()?,
    })
}
