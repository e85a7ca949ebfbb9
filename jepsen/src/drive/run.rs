//! One run: nodes, clients and a nemesis run side by side; then the cluster is healed, left alone,
//! sold out, dumped, stopped, inspected and judged.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::drive::admin_client::AdminClient;
use crate::drive::binary;
use crate::drive::client_loop::{ClientLoop, LiveRun, client_loops};
use crate::drive::cluster::process::Cluster;
use crate::drive::final_phase;
use crate::drive::inspection;
use crate::drive::nemesis::{self, Nemesis};
use crate::drive::resume;
use crate::drive::workload::{self, Mailbox, Workload, WorkloadConfig};
use crate::judge::check::recovery;
use crate::judge::check::{Evidence, Judgement, Verdict, judge};
use crate::record::invocation::Customer;
use crate::record::json_file::write_json;
use crate::record::recorder::Recorder;
use crate::record::run_event::{NODE_EXITED, NOT_RECOVERED, RECOVERED, STILL_OPEN, UNEXPECTED};
use crate::record::run_metadata::{self, RunMetadata};
use crate::report;
use crate::seed::Seed;

/// Customers of one client; lost responses use some of them up.
const CUSTOMERS: usize = 150;
/// Fresh buyers of the sell-out phase; each may buy from every sale.
const FRESH: usize = 100;
/// Time limit of the first election on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The least time that clients get to complete their open requests; in a long run, where each lists
/// every sale, they get a tenth of its length.
const CLOSE_LIMIT: Duration = Duration::from_mins(1);

/// The parameters of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The product's binary.
    pub binary: PathBuf,
    /// What the clients do.
    pub workload: workload::Kind,
    /// Which faults are injected.
    pub nemesis: Nemesis,
    /// How many nodes.
    pub nodes: usize,
    /// How long the clients run.
    pub seconds: u64,
    /// How long no request is sent between the last fault and the final phase.
    pub calm_seconds: u64,
    /// Source of all randomness.
    pub seed: u64,
    /// Directory for run directories.
    pub store: PathBuf,
    /// How faults are injected.
    pub options: nemesis::capabilities::FaultOptions,
    /// Keeps the data directories even if the verdict is true.
    pub keep: bool,
    /// Continues with the data directories of this run, which are moved.
    pub previous: Option<PathBuf>,
    /// The arguments of `jepsen`.
    pub arguments: Vec<String>,
}

/// Runs and judges; returns the run directory too.
pub fn run(plan: &Plan) -> anyhow::Result<(PathBuf, Judgement)> {
    let binary = plan.options.fault_binary.as_ref().unwrap_or(&plan.binary);
    match &plan.options.fault_binary {
        Some(binary) => binary::ensure_built(binary, "--fault-binary", binary::BUILD_FAULT)?,
        None => binary::ensure_built(binary, "--binary", binary::BUILD)?,
    }
    let binary_sha256 = run_metadata::sha256(binary)?;
    let dir = directory(plan)?;
    let (mut cluster, capabilities) = nemesis::capabilities::prepare(
        plan.nemesis,
        &plan.options,
        &plan.binary,
        plan.nodes,
        &dir,
    )?;
    if let Some(previous) = &plan.previous {
        resume::take_data(previous, &dir)?;
    }
    let drawn = nemesis::plan::draw(&nemesis::plan::PlanRequest {
        nemesis: plan.nemesis,
        advances: plan.workload.ends_holds(),
        seconds: plan.seconds,
        nodes: plan.nodes,
        capabilities,
        seed: Seed::of(plan.seed, 1_000),
    });
    let faults = drawn.faults;
    let mut metadata = describe(plan, &cluster, binary_sha256)?;
    (metadata.required, metadata.missing, metadata.without) =
        (drawn.required, drawn.missing, drawn.without);
    write_json(&dir.join("test.json"), &metadata)?;
    write_json(&dir.join("plan.json"), &faults)?;
    let staff = cluster.run(&["token", "--role", "admin", "--ttl", "7200"])?.trim().to_owned();
    let mut customers = customers(&cluster, plan.nodes)?;
    let fresh = customers.split_off(customers.len().saturating_sub(FRESH));

    let nodes: Vec<_> =
        cluster.founders().iter().map(|node| (node.name.clone(), node.api)).collect();
    let api = nodes.first().context("no node")?.1;
    let history = BufWriter::new(File::create(dir.join("history.jsonl"))?);
    let recorder = Recorder::new(history, &name_of(&dir))?;
    metadata.started_unix_ms = run_metadata::unix_ms()?;
    let live = LiveRun { recorder, nodes, staff: staff.clone(), done: AtomicBool::new(false) };
    for at in 0..plan.nodes {
        cluster.start(at)?;
    }
    if let Err(error) = cluster.wait_ready(START_LIMIT) {
        // Data directories that the product wrote must work; a fresh start may fail because of this
        // machine.
        ensure!(plan.previous.is_some(), "the cluster did not start: {error:#}");
        live.record_event(NOT_RECOVERED, json!(format!("{error:#}")));
        return stop_and_judge(plan, cluster, &live, dir);
    }
    let mut admin = AdminClient::new(staff.clone());
    if let Some(previous) = &plan.previous {
        let state = admin.hashes(api, plan.nodes)?;
        for lost in resume::missing_state(previous, &state)? {
            live.record_event(UNEXPECTED, json!({"what": lost}));
        }
        metadata.baseline = state.0;
    }
    let (product, opens_at) = admin.set_up(api)?;
    write_json(&dir.join("test.json"), &metadata)?;
    let mail = Mailbox::new(cluster.nodes.iter().map(|node| node.data_dir.clone()));
    let (seed, nodes) = (plan.seed, plan.nodes);
    let config = WorkloadConfig { seed, nodes, customers, staff, product, opens_at, mail };
    let workload = Mutex::new(plan.workload.workload(config));

    let faults = (faults.as_slice(), metadata.required.as_slice());
    let recovered =
        run_clients_and_faults(plan, faults, &mut cluster, (&live, &mut admin), &workload, &dir);
    live.recorder.close()?;
    let recovered = recovered?;
    if recovered {
        thread::sleep(Duration::from_secs(plan.calm_seconds));
        if !complete_open_requests(plan, &live, &workload) {
            live.record_event(STILL_OPEN, json!(format!("after {:?}", close_limit(plan))));
        }
    }
    let workload = workload.into_inner().unwrap_or_else(PoisonError::into_inner);
    if recovered {
        if let Err(error) = final_phase::sell_out(&live, &mut admin, &workload.sales(), &fresh) {
            live.record_event("sell_out_failed", json!(format!("{error:#}")));
        }
        if let Err(error) = check_serves(&cluster, &mut admin, &name_of(&dir), "sell-out") {
            live.record_event(UNEXPECTED, json!({"what": format!("after the sell-out {error:#}")}));
        }
    }
    // Also of a broken cluster: what the other nodes show may help.
    let (sales, products) = (workload.sales(), workload.products());
    if let Err(error) =
        final_phase::dump(&live, &mut admin, &sales, &products, &dir, metadata.baseline)
    {
        live.record_event("dump_failed", json!(format!("{error:#}")));
    }
    stop_and_judge(plan, cluster, &live, dir)
}

/// Stops the nodes and judges. They have not been touched since they were healed, so an exit or an
/// unclean stop counts as an error.
fn stop_and_judge(
    plan: &Plan,
    mut cluster: Cluster,
    live: &LiveRun,
    dir: PathBuf,
) -> anyhow::Result<(PathBuf, Judgement)> {
    fs::create_dir_all(dir.join("dump"))?;
    for (at, exit) in cluster.take_exited()? {
        let node = cluster.node(at)?;
        if node.is_wanted {
            live.record_event(
                NODE_EXITED,
                json!({"node": node.name, "exit": exit, "explained": false}),
            );
        }
    }
    if let Err(error) = cluster.stop() {
        live.record_event(UNEXPECTED, json!({"what": format!("{error:#}")}));
    }
    live.recorder.close()?;
    inspection::inspect(&cluster, &dir)?;
    let judgement = rejudge(&dir)?;
    if judgement.verdict == Verdict::True && !plan.keep {
        drop(cluster); // A disk of its own goes with it.
        fs::remove_dir_all(dir.join("data")).context("cannot remove the data directories")?;
    }
    Ok((dir, judgement))
}

/// Judges a run directory, and writes `results.json` and `report.html` into it.
pub fn rejudge(dir: &Path) -> anyhow::Result<Judgement> {
    let evidence = Evidence::read(dir)?;
    let judgement = judge(&evidence);
    write_json(&dir.join("results.json"), &judgement)?;
    report::write(dir, &evidence, &judgement)?;
    Ok(judgement)
}

fn describe(plan: &Plan, cluster: &Cluster, binary_sha256: String) -> anyhow::Result<RunMetadata> {
    Ok(RunMetadata {
        workload: plan.workload.name().into(),
        nemesis: plan.nemesis.name().into(),
        seconds: plan.seconds,
        seed: plan.seed,
        nodes: plan.nodes,
        calm_seconds: plan.calm_seconds,
        binary: plan.options.fault_binary.as_ref().unwrap_or(&plan.binary).display().to_string(),
        network: nemesis::capabilities::network_word(plan.nemesis, &plan.options).into(),
        required: Vec::new(),
        missing: Vec::new(),
        without: Vec::new(),
        version: cluster.run(&["--version"])?.trim().to_owned(),
        binary_sha256,
        commit: run_metadata::commit(),
        jepsen: env!("CARGO_PKG_VERSION").to_owned(),
        machine: run_metadata::machine(),
        previous: plan.previous.as_deref().map(|dir| dir.display().to_string()),
        started_unix_ms: 0,
        baseline: 0,
        bug: plan.options.bug.clone(),
        arguments: plan.arguments.clone(),
    })
}

fn directory(plan: &Plan) -> anyhow::Result<PathBuf> {
    let now = run_metadata::utc_now()?;
    let (workload, nemesis) = (plan.workload.name(), plan.nemesis.name());
    let dir = plan.store.join(format!("{now}-{workload}-{nemesis}-{}", plan.seed));
    fs::create_dir_all(&plan.store)
        .with_context(|| format!("cannot create {}", plan.store.display()))?;
    fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(fs::canonicalize(dir)?)
}

/// The name of the run is that of its directory.
fn name_of(dir: &Path) -> String {
    dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Creates customers with their tokens; needs no running node.
fn customers(cluster: &Cluster, nodes: usize) -> anyhow::Result<Vec<Customer>> {
    let buyers = nodes * workload::PINNED + workload::ROAMING;
    let count = (CUSTOMERS * buyers + FRESH).to_string();
    let printed =
        cluster.run(&["token", "--role", "customer", "--ttl", "7200", "--count", &count])?;
    printed.lines().map(str::trim).filter(|line| !line.is_empty()).map(customer).collect()
}

/// Reads the customer of a token. Checking the signature is up to the nodes.
fn customer(token: &str) -> anyhow::Result<Customer> {
    let claims = token.split('.').nth(1).context("a token without claims")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let id = claims.get("sub").and_then(Value::as_str).context("a token without sub")?;
    Ok(Customer { id: id.to_owned(), token: token.to_owned() })
}

/// Runs clients and nemesis side by side until the time is up and everything is healed; returns
/// whether every node serves again.
fn run_clients_and_faults(
    plan: &Plan,
    faults: (&[nemesis::plan::PlannedFault], &[String]),
    cluster: &mut Cluster,
    (live, admin): (&LiveRun, &mut AdminClient),
    workload: &Mutex<Box<dyn Workload>>,
    dir: &Path,
) -> anyhow::Result<bool> {
    let started = Instant::now();
    let clients = workload.lock().unwrap_or_else(PoisonError::into_inner).clients();
    thread::scope(|scope| {
        for (client, mut client_loop) in
            client_loops(live, clients, plan.seed).into_iter().enumerate()
        {
            scope.spawn(move || client_loop.work(workload, client, &live.done));
        }
        let end = Duration::from_secs(plan.seconds);
        let carried_out = nemesis::executor::execute(faults, end, cluster, live, dir);
        let recovered = carried_out.map(|()| wait_until_served(cluster, admin, &name_of(dir)));
        if recovered.is_ok() {
            thread::sleep(end.saturating_sub(started.elapsed()));
        }
        live.done.store(true, Ordering::Relaxed);
        match &recovered {
            Ok(Ok(took)) => {
                live.record_event(RECOVERED, json!({"ms": took.as_millis().to_string()}));
            }
            Ok(Err(error)) => live.record_event(NOT_RECOVERED, json!(format!("{error:#}"))),
            Err(_) => {}
        }
        Ok(recovered?.is_ok())
    })
}

/// Waits until every node serves; returns how long that took.
fn wait_until_served(
    cluster: &mut Cluster,
    admin: &mut AdminClient,
    run: &str,
) -> anyhow::Result<Duration> {
    let healed = Instant::now();
    cluster.wait_ready(recovery::LIMIT)?;
    check_serves(cluster, admin, run, "heal")?;
    let took = healed.elapsed();
    ensure!(took < recovery::LIMIT, "it took {took:?}");
    Ok(took)
}

/// Every node accepts a write and reads it back.
fn check_serves(
    cluster: &Cluster,
    admin: &mut AdminClient,
    run: &str,
    after: &str,
) -> anyhow::Result<()> {
    for node in cluster.founders() {
        admin
            .product(node.api, &format!("{run}-{after}-{}", node.name), 1)
            .and_then(|product| admin.get(node.api, &format!("/v1/products/{product}")))
            .with_context(|| format!("{} does not serve", node.name))?;
    }
    Ok(())
}

fn close_limit(plan: &Plan) -> Duration {
    CLOSE_LIMIT.max(Duration::from_secs(plan.seconds / 10))
}

/// Lets every client complete its open requests; returns whether all did so in time.
fn complete_open_requests(
    plan: &Plan,
    live: &LiveRun,
    workload: &Mutex<Box<dyn Workload>>,
) -> bool {
    let clients = {
        let mut workload = workload.lock().unwrap_or_else(PoisonError::into_inner);
        workload.close();
        workload.clients()
    };
    let (late, done) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let (late, done) = (&late, &done);
        scope.spawn(move || {
            let until = Instant::now() + close_limit(plan);
            while !done.load(Ordering::Relaxed) {
                if Instant::now() >= until {
                    return late.store(true, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        let mut client_loops: Vec<(usize, ClientLoop<'_>)> =
            client_loops(live, clients, plan.seed.wrapping_add(1))
                .into_iter()
                .enumerate()
                .collect();
        thread::scope(|scope| {
            for (client, client_loop) in &mut client_loops {
                scope.spawn(|| client_loop.work(workload, *client, late));
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    !late.into_inner()
}
