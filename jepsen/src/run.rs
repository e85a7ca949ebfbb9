//! One run: real nodes, clients and a nemesis side by side; then heal, calm, close, dump, look into
//! the files of the stopped nodes, and judge.

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

use crate::ask::Customer;
use crate::check::recovery::{self, FALLEN, FINDING, NOT_RECOVERED, RECOVERED, STILL_OPEN};
use crate::check::{Evidence, Judgement, Verdict, judge};
use crate::closing;
use crate::cluster::process::Cluster;
use crate::desk::Desk;
use crate::inspect;
use crate::nemesis::{self, Nemesis};
use crate::origin::{self, Test};
use crate::recorder::Recorder;
use crate::report;
use crate::seed::Seed;
use crate::segment;
use crate::teller::{Stage, Teller, tellers};
use crate::workload::{self, Setting, Workload};

/// Customers of one client; lost answers use some up.
const CUSTOMERS: usize = 150;
/// Fresh buyers of the sell-out phase; each may buy of every sale.
const FRESH: usize = 100;
/// First election on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long the clients may take at least to bring to an end what they began; of a long run, where
/// each lists every sale, a tenth of it.
const CLOSE_LIMIT: Duration = Duration::from_mins(1);

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The product's binary.
    pub binary: PathBuf,
    /// What the clients do.
    pub workload: workload::Kind,
    /// What is broken.
    pub nemesis: Nemesis,
    /// How many nodes.
    pub nodes: usize,
    /// How long the clients run.
    pub seconds: u64,
    /// How long nothing is asked between the last fault and the closing.
    pub calm_seconds: u64,
    /// Where all randomness comes from.
    pub seed: u64,
    /// Where run directories go.
    pub store: PathBuf,
    /// What the nemesis has to work with.
    pub means: nemesis::means::Means,
    /// Keeps the data directories of a run that is true, too.
    pub keep: bool,
    /// Goes on with the data directories of this run, which lose them.
    pub previous: Option<PathBuf>,
    /// The command line that asked for it, from its second word on.
    pub arguments: Vec<String>,
}

/// Runs and judges; answers the run directory too.
pub fn run(plan: &Plan) -> anyhow::Result<(PathBuf, Judgement)> {
    let binary = plan.means.fault_binary.as_ref().unwrap_or(&plan.binary);
    match &plan.means.fault_binary {
        Some(binary) => origin::is_built(binary, "--fault-binary", origin::BUILD_FAULT)?,
        None => origin::is_built(binary, "--binary", origin::BUILD)?,
    }
    let binary_sha256 = origin::sha256(binary)?;
    let dir = directory(plan)?;
    let (mut cluster, abilities) =
        nemesis::means::prepare(plan.nemesis, &plan.means, &plan.binary, plan.nodes, &dir)?;
    if let Some(previous) = &plan.previous {
        segment::take_over(previous, &dir)?;
    }
    let drawn = nemesis::plan::draw(&nemesis::plan::Order {
        nemesis: plan.nemesis,
        advances: plan.workload.ends_holds(),
        seconds: plan.seconds,
        nodes: plan.nodes,
        abilities,
        seed: Seed::of(plan.seed, 1_000),
    });
    let faults = drawn.faults;
    let mut test = describe(plan, &cluster, binary_sha256)?;
    (test.required, test.missing, test.without) = (drawn.required, drawn.missing, drawn.without);
    write_json(&dir.join("test.json"), &test)?;
    write_json(&dir.join("plan.json"), &faults)?;
    let staff = cluster.run(&["token", "--role", "admin", "--ttl", "7200"])?.trim().to_owned();
    let mut customers = customers(&cluster, plan.nodes)?;
    let fresh = customers.split_off(customers.len().saturating_sub(FRESH));

    let nodes: Vec<_> =
        cluster.founders().iter().map(|node| (node.name.clone(), node.api)).collect();
    let api = nodes.first().context("no node")?.1;
    let history = BufWriter::new(File::create(dir.join("history.jsonl"))?);
    let recorder = Recorder::new(history, &name_of(&dir))?;
    test.started_unix_ms = origin::unix_ms()?;
    let stage = Stage { recorder, nodes, staff: staff.clone(), done: AtomicBool::new(false) };
    for at in 0..plan.nodes {
        cluster.start(at)?;
    }
    if let Err(error) = cluster.wait_ready(START_LIMIT) {
        // Directories that the product wrote must do; a first start may fail by this machine.
        ensure!(plan.previous.is_some(), "the cluster did not start: {error:#}");
        stage.say(NOT_RECOVERED, json!(format!("{error:#}")));
        return conclude(plan, cluster, &stage, dir);
    }
    let mut desk = Desk::new(staff.clone());
    if let Some(previous) = &plan.previous {
        let told = desk.hashes(api, plan.nodes)?;
        for lost in segment::lost(previous, &told)? {
            stage.say(FINDING, json!({"what": lost}));
        }
        test.baseline = told.0;
    }
    let (product, opens_at) = desk.set_up(api)?;
    write_json(&dir.join("test.json"), &test)?;
    let setting =
        Setting { seed: plan.seed, nodes: plan.nodes, customers, staff, product, opens_at };
    let workload = Mutex::new(plan.workload.workload(setting));

    let recovered = chaos(plan, &faults, &mut cluster, (&stage, &mut desk), &workload, &dir);
    stage.recorder.close()?;
    let recovered = recovered?;
    if recovered {
        thread::sleep(Duration::from_secs(plan.calm_seconds));
        if !close(plan, &stage, &workload) {
            stage.say(STILL_OPEN, json!(format!("after {:?}", close_limit(plan))));
        }
    }
    let workload = workload.into_inner().unwrap_or_else(PoisonError::into_inner);
    if recovered {
        if let Err(error) = closing::sell_out(&stage, &mut desk, &workload.sales(), &fresh) {
            stage.say("sell_out_failed", json!(format!("{error:#}")));
        }
        if let Err(error) = serve(&cluster, &mut desk, &name_of(&dir), "sell-out") {
            stage.say(FINDING, json!({"what": format!("after the sell-out {error:#}")}));
        }
    }
    // Of a broken cluster, too: what the others still show may tell more.
    let (sales, products) = (workload.sales(), workload.products());
    if let Err(error) = closing::dump(&stage, &mut desk, &sales, &products, &dir, test.baseline) {
        stage.say("dump_failed", json!(format!("{error:#}")));
    }
    conclude(plan, cluster, &stage, dir)
}

/// Stops the nodes and judges. Nobody has touched them since they were healed: whoever has ended,
/// or does not end well, is a finding.
fn conclude(
    plan: &Plan,
    mut cluster: Cluster,
    stage: &Stage,
    dir: PathBuf,
) -> anyhow::Result<(PathBuf, Judgement)> {
    fs::create_dir_all(dir.join("dump"))?;
    for (at, exit) in cluster.fallen()? {
        let node = cluster.node(at)?;
        if node.is_wanted {
            stage.say(FALLEN, json!({"node": node.name, "exit": exit, "explained": false}));
        }
    }
    if let Err(error) = cluster.stop() {
        stage.say(FINDING, json!({"what": format!("{error:#}")}));
    }
    stage.recorder.close()?;
    inspect::inspect(&cluster, &dir)?;
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

fn describe(plan: &Plan, cluster: &Cluster, binary_sha256: String) -> anyhow::Result<Test> {
    Ok(Test {
        workload: plan.workload.word().into(),
        nemesis: plan.nemesis.word().into(),
        seconds: plan.seconds,
        seed: plan.seed,
        nodes: plan.nodes,
        calm_seconds: plan.calm_seconds,
        binary: plan.means.fault_binary.as_ref().unwrap_or(&plan.binary).display().to_string(),
        network: nemesis::means::network_word(plan.nemesis, &plan.means).into(),
        required: Vec::new(),
        missing: Vec::new(),
        without: Vec::new(),
        version: cluster.run(&["--version"])?.trim().to_owned(),
        binary_sha256,
        commit: origin::commit(),
        jepsen: env!("CARGO_PKG_VERSION").to_owned(),
        machine: origin::machine(),
        previous: plan.previous.as_deref().map(|dir| dir.display().to_string()),
        started_unix_ms: 0,
        baseline: 0,
        bug: plan.means.bug.clone(),
        arguments: plan.arguments.clone(),
    })
}

fn directory(plan: &Plan) -> anyhow::Result<PathBuf> {
    let now = origin::utc_now()?;
    let (workload, nemesis) = (plan.workload.word(), plan.nemesis.word());
    let dir = plan.store.join(format!("{now}-{workload}-{nemesis}-{}", plan.seed));
    fs::create_dir_all(&plan.store)
        .with_context(|| format!("cannot create {}", plan.store.display()))?;
    fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(fs::canonicalize(dir)?)
}

/// The run's name: that of its directory.
fn name_of(dir: &Path) -> String {
    dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Writes a file of the run directory.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Fresh customers with their tokens, made without a running node.
fn customers(cluster: &Cluster, nodes: usize) -> anyhow::Result<Vec<Customer>> {
    let buyers = nodes * workload::PINNED + workload::ROAMING;
    let count = (CUSTOMERS * buyers + FRESH).to_string();
    let printed =
        cluster.run(&["token", "--role", "customer", "--ttl", "7200", "--count", &count])?;
    printed.lines().map(str::trim).filter(|line| !line.is_empty()).map(customer).collect()
}

/// Reads whose token it is; the signature is the nodes' business.
fn customer(token: &str) -> anyhow::Result<Customer> {
    let claims = token.split('.').nth(1).context("a token without claims")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let id = claims.get("sub").and_then(Value::as_str).context("a token without sub")?;
    Ok(Customer { id: id.to_owned(), token: token.to_owned() })
}

/// Clients and nemesis, side by side, until the time is over and everything is healed; answers
/// whether every node serves again.
fn chaos(
    plan: &Plan,
    faults: &[nemesis::plan::Planned],
    cluster: &mut Cluster,
    (stage, desk): (&Stage, &mut Desk),
    workload: &Mutex<Box<dyn Workload>>,
    dir: &Path,
) -> anyhow::Result<bool> {
    let started = Instant::now();
    let clients = workload.lock().unwrap_or_else(PoisonError::into_inner).clients();
    thread::scope(|scope| {
        for (client, mut teller) in tellers(stage, clients, plan.seed).into_iter().enumerate() {
            scope.spawn(move || teller.work(workload, client, &stage.done));
        }
        let end = Duration::from_secs(plan.seconds);
        let carried_out = nemesis::conduct::carry_out(faults, end, cluster, stage, dir);
        let served = carried_out.map(|()| served(cluster, desk, &name_of(dir)));
        if served.is_ok() {
            thread::sleep(end.saturating_sub(started.elapsed()));
        }
        stage.done.store(true, Ordering::Relaxed);
        match &served {
            Ok(Ok(took)) => stage.say(RECOVERED, json!({"ms": took.as_millis().to_string()})),
            Ok(Err(error)) => stage.say(NOT_RECOVERED, json!(format!("{error:#}"))),
            Err(_) => {}
        }
        Ok(served?.is_ok())
    })
}

/// Waits until every node serves; answers how long that took.
fn served(cluster: &mut Cluster, desk: &mut Desk, run: &str) -> anyhow::Result<Duration> {
    let healed = Instant::now();
    cluster.wait_ready(recovery::LIMIT)?;
    serve(cluster, desk, run, "heal")?;
    let took = healed.elapsed();
    ensure!(took < recovery::LIMIT, "it took {took:?}");
    Ok(took)
}

/// Every node decides a write, and reads what it wrote.
fn serve(cluster: &Cluster, desk: &mut Desk, run: &str, after: &str) -> anyhow::Result<()> {
    for node in cluster.founders() {
        desk.product(node.api, &format!("{run}-{after}-{}", node.name), 1)
            .and_then(|product| desk.get(node.api, &format!("/v1/products/{product}")))
            .with_context(|| format!("{} does not serve", node.name))?;
    }
    Ok(())
}

fn close_limit(plan: &Plan) -> Duration {
    CLOSE_LIMIT.max(Duration::from_secs(plan.seconds / 10))
}

/// Lets every client bring to an end what it began; answers whether all did in time.
fn close(plan: &Plan, stage: &Stage, workload: &Mutex<Box<dyn Workload>>) -> bool {
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
        let mut tellers: Vec<(usize, Teller<'_>)> =
            tellers(stage, clients, plan.seed.wrapping_add(1)).into_iter().enumerate().collect();
        thread::scope(|scope| {
            for (client, teller) in &mut tellers {
                scope.spawn(|| teller.work(workload, *client, late));
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    !late.into_inner()
}
