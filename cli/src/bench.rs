//! The benchmark: one hot sale, distinct buyers, and a check of the ledger afterwards.
//!
//! `phase` makes the load and measures it, `tokens` has the buyers ready beforehand, `ledger`
//! checks that what was measured really happened. Ratios are taken within one run.

mod ledger;
mod phase;
mod tokens;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use firstcome_api::Keys;
use firstcome_domain::Role;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use self::phase::{Load, Measured};
use self::tokens::Tokens;
use crate::client::{Ask, Client};
use crate::cluster_process::ClusterProcess;
use crate::credentials;
use crate::exit::{Exit, Stop};
use crate::{instant, output};

/// The route that does everything but propose; exists with `serve --bench-routes`.
const NOOP_PATH: &str = "/v1/bench/noop";
/// More than any run can sell.
const UNITS: u64 = 1_000_000_000;
/// One administrative request.
const ADMIN_LIMIT: Duration = Duration::from_secs(10);

/// Which nodes take the requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Through {
    Leader,
    Followers,
    All,
}

/// What was asked for.
pub(crate) struct Plan {
    pub(crate) urls: Vec<String>,
    pub(crate) nodes: usize,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) connections: usize,
    pub(crate) measured: Duration,
    pub(crate) warmup: Duration,
    pub(crate) rate: Option<u64>,
    pub(crate) ceiling: bool,
    pub(crate) through: Through,
    pub(crate) sold_out: bool,
    pub(crate) json: bool,
}

/// The nodes under load: our own, or somebody's.
struct Target {
    /// `host:port` of each node.
    addresses: Vec<String>,
    keys: Arc<Keys>,
    /// Ended with the benchmark.
    own: Option<ClusterProcess>,
}

impl Target {
    async fn prepare(plan: &Plan) -> anyhow::Result<Self> {
        if plan.urls.is_empty() {
            let extra: &[&str] = if plan.ceiling { &["--bench-routes"] } else { &[] };
            let cluster = ClusterProcess::start(plan.nodes, extra).await?;
            let addresses = cluster.addresses();
            let keys = Arc::clone(&cluster.keys);
            return Ok(Self { addresses, keys, own: Some(cluster) });
        }
        let Some(keys) = credentials::find(plan.key_file.as_ref())? else {
            let message = "buyers need tokens: pass --key-file FILE with the cluster's master key";
            return Err(Stop::config(message).into());
        };
        let address = |url: &String| {
            let bare = url.trim_end_matches('/').strip_prefix("http://");
            bare.map(ToOwned::to_owned).ok_or_else(|| {
                Stop::new(Exit::Usage, format!("--url {url}: this version speaks http:// only"))
            })
        };
        let addresses = plan.urls.iter().map(address).collect::<Result<_, _>>()?;
        Ok(Self { addresses, keys: Arc::new(keys), own: None })
    }

    /// A client of node `at`, with all rights.
    fn admin(&self, at: usize) -> anyhow::Result<Client> {
        let address = self.addresses.get(at).map_or("", String::as_str);
        Client::minted(&format!("http://{address}"), &self.keys, Role::Admin, ADMIN_LIMIT)
    }

    /// The nodes that `--through` names.
    async fn through(&self, through: Through) -> anyhow::Result<Vec<String>> {
        if through == Through::All {
            return Ok(self.addresses.clone());
        }
        let cluster = self.admin(0)?.must(Ask::get("/v1/cluster")).await?.body;
        let leader = cluster.get("leader").cloned().unwrap_or_default();
        let members = cluster.get("members").and_then(Value::as_array);
        let leads = |member: &&Value| member.get("name") == Some(&leader);
        let api = members.into_iter().flatten().find(leads).and_then(|m| m.get("api"));
        let api = api.and_then(Value::as_str).unwrap_or_default();
        let wanted = |address: &&String| (address.as_str() == api) == (through == Through::Leader);
        let chosen: Vec<String> = self.addresses.iter().filter(wanted).cloned().collect();
        if chosen.is_empty() {
            let message = format!("none of the nodes is what --through asks for; leader: {leader}");
            return Err(Stop::new(Exit::Refused, message).into());
        }
        Ok(chosen)
    }
}

/// Runs the benchmark; interrupting it ends its own nodes too.
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
    let purchases = phase::run(load("/v1/orders"), tokens).await?;
    let extra = u64::from(plan.sold_out);
    let ledger = ledger::check(&target, &sale_id, &purchases, extra).await?;
    let wanted = if plan.sold_out { "409 sold_out" } else { "201" };
    report(plan, &target, ceiling.as_ref(), &purchases, wanted, &ledger);
    Ok(if ledger.violations.is_empty() { Exit::Done } else { Exit::Refused })
}

async fn open_sale(plan: &Plan, target: &Target) -> anyhow::Result<String> {
    let admin = target.admin(0)?;
    let units = if plan.sold_out { 1 } else { UNITS };
    let product = json!({
        "name": "Bench", "description": "Hot.", "no_shipping": true, "stock": units,
        "price": {"amount": 15000, "currency": "KRW"},
    });
    let product = admin.insist("/v1/admin/products", &product).await?.body;
    let sale = json!({
        "product_id": product.get("id"), "title": "Bench", "units": units,
        "opens_at": instant::format(instant::now_ms()), "per_customer_limit": 1,
        "pay_within_seconds": 86400,
    });
    let sale = admin.insist("/v1/admin/sales", &sale).await?.body;
    Ok(output::field(&sale, "id"))
}

async fn buy_the_only_unit(target: &Target, sale_id: &str) -> anyhow::Result<()> {
    let address = target.addresses.first().map_or("", String::as_str);
    let url = format!("http://{address}");
    let buyer = Client::minted(&url, &target.keys, Role::Customer, ADMIN_LIMIT)?;
    let order = json!({"lines": [{"sale_id": sale_id, "quantity": 1}]});
    buyer.insist("/v1/orders", &order).await?;
    Ok(())
}

fn report(
    plan: &Plan,
    target: &Target,
    ceiling: Option<&Measured>,
    purchases: &Measured,
    wanted: &str,
    ledger: &ledger::Ledger,
) {
    let rate = purchases.rate(|label| label == wanted);
    let top = ceiling.map(|ceiling| ceiling.rate(|label| label.starts_with('2')));
    let ratio = top.filter(|top| *top > 0.0).map(|top| (rate / top * 1000.0).round() / 1000.0);
    let document = json!({
        "object": "bench",
        "version": crate::VERSION,
        "machine": machine(),
        "flags": {
            "nodes": target.addresses.len(), "own_nodes": target.own.is_some(),
            "connections": plan.connections, "seconds": plan.measured.as_secs(),
            "warmup": plan.warmup.as_secs(), "rate": plan.rate,
            "through": format!("{:?}", plan.through).to_lowercase(), "sold_out": plan.sold_out,
        },
        "counted": wanted,
        "ceiling": ceiling.map(Measured::to_json),
        "ceiling_per_second": top,
        "purchases": purchases.to_json(),
        "per_second": rate,
        "ratio": ratio,
        "ledger": ledger.to_json(),
        "violations": ledger.violations,
    });
    if plan.json {
        output::json(&document);
        return;
    }
    let mut text = format!("firstcome {}, {}\n", crate::VERSION, machine());
    if let (Some(ceiling), Some(top)) = (ceiling, top) {
        text.push_str(&format!("ceiling    {top:>9.0} /s   {}\n", ceiling.latencies()));
    }
    text.push_str(&format!("{wanted:<10} {rate:>9.0} /s   {}\n", purchases.latencies()));
    if let Some(ratio) = ratio {
        text.push_str(&format!("ratio      {ratio:>9.3}\n"));
    }
    for (label, count) in &purchases.answers {
        text.push_str(&format!("answers    {count:>9} x {label}\n"));
    }
    output::write(&(text + &ledger.to_text()));
}

/// Cores and kernel: figures without them say nothing.
fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({"cores": cores, "kernel": kernel.trim(), "arch": std::env::consts::ARCH})
}
