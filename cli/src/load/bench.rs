//! The benchmark: one sale under load from distinct buyers, and an audit afterwards.
//!
//! `phase` generates and measures the load, `tokens` signs the buyers' tokens beforehand, `audit`
//! checks that what was measured really happened, `report` prints the result. Purchases can be
//! measured beside reads of a large catalogue: `catalogue` creates it, `readers` read, and `round`
//! measures purchases once beside each kind of read. Compare ratios within one run.

mod audit;
mod catalogue;
mod phase;
mod plan;
mod readers;
mod report;
mod round;
mod target;
mod tokens;

use std::rc::Rc;

use firstcome_domain::Role;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

pub(crate) use self::plan::{Plan, Through};

use self::phase::Load;
use self::target::{ADMIN_LIMIT, Target};
use self::tokens::Tokens;
use crate::client::Client;
use crate::exit::{Exit, Stop};
use crate::{output, rfc3339};

/// A route that does everything except propose; served with `serve --bench-routes`.
const NOOP_PATH: &str = "/v1/bench/noop";
/// More units than any run can sell.
const UNITS: u64 = 1_000_000_000;

/// Runs the benchmark; an interrupt stops the nodes it started as well.
pub(crate) async fn run(plan: Plan) -> anyhow::Result<Exit> {
    let mut terminate = signal(SignalKind::terminate())?;
    let local = LocalSet::new();
    tokio::select! {
        done = local.run_until(measure(&plan)) => done,
        _ = tokio::signal::ctrl_c() => Err(Stop::new(Exit::Refused, "interrupted").into()),
        _ = terminate.recv() => Err(Stop::new(Exit::Refused, "terminated").into()),
    }
}

async fn measure(plan: &Plan) -> anyhow::Result<Exit> {
    let target = Target::prepare(plan).await?;
    let through = target.through(plan.through).await?;
    let tokens = Rc::new(Tokens::mint(&target.keys, plan));
    catalogue::create(&target, plan.products).await?;
    let sale_id = open_sale(plan, &target).await?;
    let load = |path| Load {
        addresses: through.clone(),
        path,
        body: format!(r#"{{"lines":[{{"sale_id":"{sale_id}","quantity":1}}]}}"#),
        connections: plan.connections,
        warmup: plan.warmup,
        measured: plan.measured,
        rate: plan.rate,
    };
    let ceiling = if plan.ceiling {
        Some(phase::run(load(NOOP_PATH), Rc::clone(&tokens)).await?)
    } else {
        None
    };
    if plan.sold_out {
        buy_the_only_unit(&target, &sale_id).await?;
    }
    tokens.rewind();
    let rounds = round::run_all(plan, &target, &load("/v1/orders"), &tokens).await?;
    let extra = u64::from(plan.sold_out);
    let audit = audit::run(&target, &sale_id, &rounds, extra).await?;
    let wanted = if plan.sold_out { "409 sold_out" } else { "201" };
    report::print(plan, &target, ceiling.as_ref(), &rounds, wanted, &audit);
    Ok(if audit.violations.is_empty() { Exit::Done } else { Exit::Refused })
}

/// Creates a product and a sale that is open at once.
async fn open_sale(plan: &Plan, target: &Target) -> anyhow::Result<String> {
    let admin = target.admin(0)?;
    let units = if plan.sold_out { 1 } else { UNITS };
    let product = json!({
        "name": "Bench", "description": "Load test.", "no_shipping": true, "stock": units,
        "price": {"amount": 15000, "currency": "KRW"},
    });
    let product = admin.retry("/v1/admin/products", &product).await?.body;
    let sale = json!({
        "product_id": product.get("id"), "title": "Bench", "units": units,
        "opens_at": rfc3339::format(rfc3339::now_ms()), "per_customer_limit": 1,
        "pay_within_seconds": 86400,
    });
    let sale = admin.retry("/v1/admin/sales", &sale).await?.body;
    Ok(output::field(&sale, "id"))
}

/// Sells the sale out.
async fn buy_the_only_unit(target: &Target, sale_id: &str) -> anyhow::Result<()> {
    let address = target.addresses.first().map_or("", String::as_str);
    let url = format!("http://{address}");
    let buyer = Client::as_new_user(&url, &target.keys, Role::Customer, ADMIN_LIMIT)?;
    let order = json!({"lines": [{"sale_id": sale_id, "quantity": 1}]});
    buyer.retry("/v1/orders", &order).await?;
    Ok(())
}
