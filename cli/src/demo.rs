//! The demo: one sale, real nodes, a killed leader, and a verdict on every unit.
//!
//! `buyers` plays the customers, `progress` shows the sale while it runs, `verdict` judges it
//! afterwards by what the nodes say, never by what the demo believes it did.

mod buyers;
mod progress;
mod verdict;

use std::rc::Rc;
use std::time::{Duration, Instant};

use firstcome_domain::Role;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use self::buyers::Sale;
use crate::cluster_process::ClusterProcess;
use crate::credentials::fresh_user;
use crate::exit::{Exit, Stop};
use crate::{instant, output};

/// How long buyers keep arriving, so that a killed leader is noticed.
const ARRIVALS: Duration = Duration::from_millis(3500);
/// More buyers than this a second arrive over a longer time.
const ARRIVALS_A_SECOND: usize = 4000;
/// A killed leader comes back after the first purchase without it, or after this.
const RESTART_AFTER: Duration = Duration::from_secs(4);
/// One administrative request.
const ADMIN_LIMIT: Duration = Duration::from_secs(10);

/// What was asked for.
pub(crate) struct Plan {
    pub(crate) buyers: usize,
    pub(crate) units: u64,
    pub(crate) nodes: usize,
    pub(crate) connections: usize,
    pub(crate) kill: bool,
    pub(crate) keep_running: bool,
    pub(crate) json: bool,
}

impl Plan {
    /// How long buyers keep arriving.
    fn arrivals(&self) -> Duration {
        let crowd = Duration::from_millis((self.buyers * 1000 / ARRIVALS_A_SECOND) as u64);
        ARRIVALS.max(crowd)
    }

    /// Units that end up with somebody.
    fn wanted(&self) -> u64 {
        self.units.min(self.buyers as u64)
    }
}

/// What the killing found out.
#[derive(Default)]
struct Killing {
    leader: Option<String>,
    won_before: u64,
    without_leader: Option<Duration>,
}

/// Runs the demo; interrupting it ends the nodes too.
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
    let mut cluster = ClusterProcess::start(plan.nodes, &[]).await?;
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
            output::note(&format!("logs and data of the nodes are kept in {}", kept.display()));
        }
    }
    played.map(|(exit, _)| exit)
}

/// Opens the sale, lets everybody in, and judges.
async fn sell(plan: &Plan, cluster: &mut ClusterProcess) -> anyhow::Result<(Exit, String)> {
    let sale_id = open_sale(plan, cluster).await?;
    say(plan, &format!("{} buyers come for {} units of {sale_id}", plan.buyers, plan.units));
    let sale = Rc::new(Sale::new(plan, cluster, sale_id.clone())?);
    let shown = tokio::task::spawn_local(progress::show(
        Rc::clone(&sale),
        plan.units,
        cluster.addresses(),
        cluster.keys.mint(fresh_user(), Role::Admin, 3600),
        plan.json,
    ));
    let crowd = tokio::task::spawn_local(buyers::all(Rc::clone(&sale)));
    let began = Instant::now();
    let killing =
        if plan.kill { kill_leader(plan, cluster, &sale).await? } else { Killing::default() };
    crowd.await?;
    let lasted = began.elapsed();
    sale.close();
    shown.await?;
    cluster.wait_ready().await?;
    let verdict = verdict::judge(plan, cluster, &sale, &killing, lasted).await?;
    if plan.json {
        output::json(&verdict.to_json());
    } else {
        output::write(&verdict.to_text());
    }
    let exit = if verdict.violations.is_empty() { Exit::Done } else { Exit::Refused };
    Ok((exit, sale_id))
}

/// Creates the product and the sale; both are open at once.
async fn open_sale(plan: &Plan, cluster: &ClusterProcess) -> anyhow::Result<String> {
    let admin = cluster.admin(0, ADMIN_LIMIT)?;
    let product = json!({
        "name": "Lamp", "description": "One of a few.", "no_shipping": true,
        "price": {"amount": 15000, "currency": "KRW"}, "stock": plan.units,
    });
    let product = admin.insist("/v1/admin/products", &product).await?.body;
    let sale = json!({
        "product_id": product.get("id"), "title": "First come, first served",
        "units": plan.units, "opens_at": instant::format(instant::now_ms()),
        "per_customer_limit": 1,
    });
    let sale = admin.insist("/v1/admin/sales", &sale).await?.body;
    let id = sale.get("id").and_then(Value::as_str);
    id.map(ToOwned::to_owned)
        .ok_or_else(|| Stop::new(Exit::Bug, format!("the new sale has no id: {sale}")).into())
}

/// Waits until about a third of the units are gone, kills whoever leads, and brings it back once
/// the others have sold without it.
async fn kill_leader(
    plan: &Plan,
    cluster: &mut ClusterProcess,
    sale: &Rc<Sale>,
) -> anyhow::Result<Killing> {
    sale.won_at_least((plan.wanted() * 3 / 10).max(1)).await;
    let Some(at) = cluster.leader().await else {
        return Ok(Killing::default());
    };
    let won_before = sale.won();
    cluster.kill(at)?;
    let killed = Instant::now();
    sale.killed_at(killed);
    let leader = cluster.names().get(at).cloned();
    if plan.nodes < 3 {
        cluster.restart(at)?; // Nobody else can lead.
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
    Ok(Killing { leader, won_before, without_leader })
}

/// Leaves the nodes to the person at the terminal.
async fn keep_running(cluster: &ClusterProcess, sale_id: &str) -> anyhow::Result<()> {
    let address = cluster.addresses().into_iter().next().unwrap_or_default();
    let staff = cluster.keys.mint(fresh_user(), Role::Admin, 86_400);
    let buyer = cluster.keys.mint(fresh_user(), Role::Customer, 86_400);
    output::line(&format!(
        "\nThe nodes keep running. Put ten more units on sale, then buy one:\n\n\
         curl -sS http://{address}/v1/admin/sales/{sale_id}/stock-adjustments \\\n  \
         -H 'Authorization: Bearer {staff}' \\\n  \
         -H 'Idempotency-Key: more-1' -H 'Content-Type: application/json' \\\n  \
         -d '{{\"delta\": 10, \"reason\": \"more\"}}'\n\n\
         curl -sS http://{address}/v1/orders \\\n  \
         -H 'Authorization: Bearer {buyer}' \\\n  \
         -H 'Idempotency-Key: mine-1' -H 'Content-Type: application/json' \\\n  \
         -d '{{\"lines\": [{{\"sale_id\": \"{sale_id}\", \"quantity\": 1}}]}}'\n\n\
         Ctrl-C ends them."
    ));
    tokio::signal::ctrl_c().await?;
    // Lets the line with ^C end before the prompt comes back.
    sleep(Duration::from_millis(10)).await;
    Ok(())
}

fn say(plan: &Plan, text: &str) {
    if !plan.json {
        output::line(text);
    }
}
