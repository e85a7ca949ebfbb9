//! The demo: one sale, real nodes, a killed leader, and a verdict on every unit.
//!
//! `buyers` simulates the customers, `sale` records their responses, `progress` shows the sale while
//! it runs, and `verdict` compares what all nodes report afterwards with what the buyers were told.

mod buyers;
mod plan;
mod progress;
mod sale;
mod verdict;

use std::rc::Rc;
use std::time::{Duration, Instant};

use firstcome_domain::Role;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

pub(crate) use self::plan::Plan;

use self::plan::{ADMIN_LIMIT, Outage};
use self::sale::Sale;
use super::local_cluster::LocalCluster;
use crate::credentials::fresh_user;
use crate::exit::{Exit, Stop};
use crate::{output, rfc3339};

/// A killed leader is restarted after the first purchase without it, or after this time.
const RESTART_AFTER: Duration = Duration::from_secs(4);

/// Runs the demo; an interrupt stops the nodes as well.
pub(crate) async fn run(plan: Plan) -> anyhow::Result<Exit> {
    let mut terminate = signal(SignalKind::terminate())?;
    let local = LocalSet::new();
    tokio::select! {
        done = local.run_until(play(&plan)) => done,
        _ = tokio::signal::ctrl_c() => Err(Stop::new(Exit::Refused, "interrupted").into()),
        _ = terminate.recv() => Err(Stop::new(Exit::Refused, "terminated").into()),
    }
}

async fn play(plan: &Plan) -> anyhow::Result<Exit> {
    say(plan, &format!("starting {} nodes ...", plan.nodes));
    let started = Instant::now();
    let mut cluster = LocalCluster::start(plan.nodes, &[]).await?;
    say(
        plan,
        &format!(
            "ready after {:.1} s in {}",
            started.elapsed().as_secs_f64(),
            cluster.path().display()
        ),
    );
    let played = sell(plan, &mut cluster).await;
    match &played {
        Ok((Exit::Done, sale_id)) if plan.keep_running => keep_running(&cluster, sale_id).await?,
        Ok((Exit::Done, _)) => {}
        _ => {
            let kept = cluster.keep();
            output::note(&format!("logs and data of the nodes were kept in {}", kept.display()));
        }
    }
    played.map(|(exit, _)| exit)
}

/// Opens the sale, runs the buyers, and checks the result.
async fn sell(plan: &Plan, cluster: &mut LocalCluster) -> anyhow::Result<(Exit, String)> {
    let sale_id = open_sale(plan, cluster).await?;
    say(plan, &format!("{} buyers for {} units of {sale_id}", plan.buyers, plan.units));
    let sale = Rc::new(Sale::new(plan, cluster, sale_id.clone())?);
    let shown = tokio::task::spawn_local(progress::show(
        Rc::clone(&sale),
        plan.units,
        cluster.addresses(),
        cluster.keys.mint(fresh_user(), Role::Admin, 3600),
        plan.json,
    ));
    let buyers = tokio::task::spawn_local(buyers::run_all(Rc::clone(&sale)));
    let began = Instant::now();
    let outage =
        if plan.kill { kill_leader(plan, cluster, &sale).await? } else { Outage::default() };
    buyers.await?;
    let lasted = began.elapsed();
    sale.close();
    shown.await?;
    cluster.wait_ready().await?;
    let verdict = verdict::judge(plan, cluster, &sale, &outage, lasted).await?;
    if plan.json {
        output::json(&verdict.to_json());
    } else {
        output::write(&verdict.to_text());
    }
    let exit = if verdict.violations.is_empty() { Exit::Done } else { Exit::Refused };
    Ok((exit, sale_id))
}

/// Creates a product and a sale that is open at once.
async fn open_sale(plan: &Plan, cluster: &LocalCluster) -> anyhow::Result<String> {
    let admin = cluster.admin(0, ADMIN_LIMIT)?;
    let product = json!({
        "name": "Lamp", "description": "A limited edition.", "no_shipping": true,
        "price": {"amount": 15000, "currency": "KRW"}, "stock": plan.units,
    });
    let product = admin.retry("/v1/admin/products", &product).await?.body;
    let sale = json!({
        "product_id": product.get("id"), "title": "First come, first served",
        "units": plan.units, "opens_at": rfc3339::format(rfc3339::now_ms()),
        "per_customer_limit": 1,
    });
    let sale = admin.retry("/v1/admin/sales", &sale).await?.body;
    let id = sale.get("id").and_then(Value::as_str);
    id.map(ToOwned::to_owned)
        .ok_or_else(|| Stop::new(Exit::Bug, format!("the new sale has no id: {sale}")).into())
}

/// Waits until about a third of the units are sold, kills the leader, and restarts it once the
/// other nodes have sold without it.
async fn kill_leader(
    plan: &Plan,
    cluster: &mut LocalCluster,
    sale: &Rc<Sale>,
) -> anyhow::Result<Outage> {
    sale.wait_for_purchases((plan.expected_sales() * 3 / 10).max(1)).await;
    let Some(at) = cluster.leader().await else {
        return Ok(Outage::default());
    };
    let purchases_before = sale.purchases();
    cluster.kill(at)?;
    let killed = Instant::now();
    sale.killed_at(killed);
    let leader = cluster.names().get(at).cloned();
    if plan.nodes < 3 {
        cluster.restart(at)?; // No other node can become leader.
    }
    let first = timeout(RESTART_AFTER, sale.first_after_kill()).await;
    if plan.nodes >= 3 {
        cluster.restart(at)?;
    }
    let first = match first {
        Ok(first) => first,
        Err(_) => sale.first_after_kill().await,
    };
    let without_leader = first.map(|first| first.duration_since(killed));
    Ok(Outage { leader, purchases_before, without_leader })
}

/// Keeps the nodes running until Ctrl-C.
async fn keep_running(cluster: &LocalCluster, sale_id: &str) -> anyhow::Result<()> {
    let address = cluster.addresses().into_iter().next().unwrap_or_default();
    let staff = cluster.keys.mint(fresh_user(), Role::Admin, 86_400);
    let buyer = cluster.keys.mint(fresh_user(), Role::Customer, 86_400);
    output::line(&format!(
        "\nThe nodes are still running. Put ten more units on sale, then buy one:\n\n\
         curl -sS http://{address}/v1/admin/sales/{sale_id}/stock-adjustments \\\n  \
         -H 'Authorization: Bearer {staff}' \\\n  \
         -H 'Idempotency-Key: more-1' -H 'Content-Type: application/json' \\\n  \
         -d '{{\"delta\": 10, \"reason\": \"more\"}}'\n\n\
         curl -sS http://{address}/v1/orders \\\n  \
         -H 'Authorization: Bearer {buyer}' \\\n  \
         -H 'Idempotency-Key: mine-1' -H 'Content-Type: application/json' \\\n  \
         -d '{{\"lines\": [{{\"sale_id\": \"{sale_id}\", \"quantity\": 1}}]}}'\n\n\
         Press Ctrl-C to stop them."
    ));
    tokio::signal::ctrl_c().await?;
    // Lets the terminal print ^C before the prompt returns.
    sleep(Duration::from_millis(10)).await;
    Ok(())
}

fn say(plan: &Plan, text: &str) {
    if !plan.json {
        output::line(text);
    }
}
