//! One run: form a cluster, break it while clients buy, heal it, see that it comes back, judge.

use std::fs::File;
use std::future::Future;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use firstcome_api::{Keys, MasterKey};
use firstcome_domain::{Role, UserId};
use firstcome_jepsen::drive::workload::{self, WorkloadConfig};
use firstcome_jepsen::judge::check::{Evidence, RunMetadata, Verdict, judge};
use firstcome_jepsen::record::invocation::Customer;
use firstcome_jepsen::record::json_file::write_json;
use firstcome_jepsen::record::recorder::Recorder;
use firstcome_jepsen::record::run_event::RECOVERED;
use firstcome_jepsen::record::run_event::SOLD_OUT_PHASE;
use firstcome_raft::StartError;
use firstcome_storage::disk::sim::Policy;
use firstcome_storage::inspect::Inspection;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::runtime::{Builder, RngSeed, Runtime};
use xxhash_rust::xxh3::xxh3_64;

use crate::client::{Client, Stage};
use crate::closing;
use crate::cluster::{Cluster, Ended};
use crate::config::Config;
use crate::dice::Dice;
use crate::nemesis::Nemesis;
use crate::observer::Observer;
use crate::operator::{Office, Operator};
use crate::time::{Axis, TICK, ns};
use crate::trace::{Trace, Violation};

/// Forming a cluster without faults.
const START_LIMIT: Duration = Duration::from_secs(20);
/// What the claim promises after the last fault.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// Everything that has to be done afterwards, each.
const CLOSE_LIMIT: Duration = Duration::from_mins(3);
/// A node gives a request up before that.
const CALM: Duration = Duration::from_secs(10);
/// Customers of one client.
const CUSTOMERS: usize = 60;
/// Fresh buyers of the sell-out phase.
const FRESH: usize = 100;
/// Clients that sell what is left.
const SELLERS: usize = 8;
/// Rows are checked against the domain's invariants so often, one node after the other.
const INSPECT_EVERY: Duration = Duration::from_secs(4);
/// The key all nodes share; nothing here is secret.
const MASTER_KEY: &str = "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Exit codes of a node that are not bugs when the disk was told to fail, or it was removed.
const EXIT_IO: i32 = 74;
const EXIT_REMOVED: i32 = 77;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The first claim that did not hold.
    pub violation: Option<Violation>,
    /// Hash of everything that happened.
    pub digest: u64,
    /// One line for people.
    pub summary: String,
    /// The last events.
    pub last: Vec<String>,
}

/// The clients' machine.
struct Desk {
    runtime: Runtime,
    axis: Axis,
}

impl Desk {
    fn new(axis: Axis, seed: u64) -> anyhow::Result<Self> {
        let seed = RngSeed::from_bytes(&seed.to_le_bytes());
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).rng_seed(seed).build()?;
        Ok(Self { runtime, axis })
    }

    fn tick(&self) {
        let end = self.axis.now() + ns(TICK);
        let until = self.axis.instant(end);
        self.runtime.block_on(async move { tokio::time::sleep_until(until).await });
    }
}

/// A run under way.
struct Run {
    config: Config,
    cluster: Cluster,
    observer: Observer,
    nemesis: Nemesis,
    desk: Desk,
    office: Arc<Office>,
    trace: Arc<Trace>,
    dice: Dice,
    inspect_at: u64,
    inspected: u64,
}

/// Runs a seed; `dir` gets the run directory.
pub fn run(
    config: &Config,
    dir: &Path,
    verbose: bool,
    lying_disks: bool,
) -> anyhow::Result<Outcome> {
    let axis = Axis::begin();
    let trace = Arc::new(Trace::new(axis.clone(), verbose));
    crate::panics::report_to(&trace);
    let mut run = Run::new(config, &axis, &trace)?;
    let story = run.story(dir, lying_disks);
    let history = std::fs::read(dir.join("history.jsonl")).unwrap_or_default();
    trace.note(&[xxh3_64(&history)], &[]);
    let (digest, events) = trace.digest();
    let violation = match (trace.violation(), story) {
        (Some(violation), _) => Some(violation),
        (None, Err(error)) => {
            Some(Violation { check: "error".to_owned(), text: format!("{error:#}") })
        }
        (None, Ok(())) => None,
    };
    let Run { observer, nemesis, inspected, office, .. } = &run;
    let replaced = *office.replaced.lock();
    let faults: Vec<String> =
        nemesis.counts.iter().map(|(what, n)| format!("{what} {n}")).collect();
    let summary = format!(
        "{}, {} nodes, {} s virtual, {} events, {} decided, {} elections, {} snapshots installed, \
         {replaced} members replaced, {inspected} inspections, {} history lines; {}",
        config.workload.name(),
        config.nodes,
        axis.now() / 1_000_000_000,
        events,
        observer.decided(),
        observer.elections,
        observer.installs,
        history.split(|byte| *byte == b'\n').count() - 1,
        faults.join(", ")
    );
    Ok(Outcome { violation, digest, summary, last: trace.last() })
}

impl Run {
    fn new(config: &Config, axis: &Axis, trace: &Arc<Trace>) -> anyhow::Result<Self> {
        let keys = Arc::new(Keys::new(&MasterKey::parse(MASTER_KEY)?)?);
        let mut dice = Dice::of(config.seed, 5);
        let office = Arc::new(Office::default());
        Ok(Self {
            config: config.clone(),
            cluster: Cluster::new(config, axis.clone(), Arc::clone(trace), keys),
            observer: Observer::new(Arc::clone(trace), config.nodes),
            nemesis: Nemesis::new(config, Arc::clone(&office)),
            office,
            desk: Desk::new(axis.clone(), dice.draw())?,
            trace: Arc::clone(trace),
            dice,
            inspect_at: 0,
            inspected: 0,
        })
    }

    /// The phases, one after the other.
    fn story(&mut self, dir: &Path, lying_disks: bool) -> anyhow::Result<()> {
        let nodes = self.config.nodes;
        let seed = self.config.seed;
        for at in 0..nodes {
            self.cluster.start(at)?;
        }
        self.until("the cluster forms", START_LIMIT, Self::is_ready)?;

        let (staff, mut customers) = people(&self.config)?;
        let fresh = customers.split_off(customers.len().saturating_sub(FRESH));
        let clock = self.cluster.axis.clone();
        let history = BufWriter::new(File::create(dir.join("history.jsonl"))?);
        let recorder = Recorder::with_clock(history, &format!("sim-{seed}"), move || clock.now())?;
        let stage = Arc::new(Stage {
            axis: self.cluster.axis.clone(),
            doors: Arc::clone(&self.cluster.doors),
            recorder,
            workload: Mutex::new(None),
            over: AtomicBool::new(false),
            think_ms: self.config.think_ms,
        });
        let client = |number| Client::new(&stage, Dice::of(seed, number), None);
        let mut first = client(20_000);
        let for_staff = staff.clone();
        let (product, opens_at) = self.job("the shop is set up", CLOSE_LIMIT, async move {
            closing::set_up(&mut first, &for_staff).await
        })?;
        let mail = workload::Mailbox::default();
        let setting = WorkloadConfig {
            seed,
            nodes,
            customers,
            staff: staff.clone(),
            product,
            opens_at,
            mail,
        };
        let workload = self.config.workload.workload(setting);
        let clients = workload.clients();
        *stage.workload.lock() = Some(workload);
        let mut working = Vec::new();
        for number in 0..clients {
            let client = Client::numbered(&stage, seed, number);
            working.push(self.desk.runtime.spawn(client.work(number)));
        }

        let operator = Operator::new(
            Arc::clone(&self.office),
            Arc::clone(&self.cluster.doors),
            Arc::clone(&self.trace),
            Dice::of(seed, 6),
        );
        drop(self.desk.runtime.spawn(operator.work()));

        self.cluster.disks_lie.store(lying_disks, Ordering::Relaxed);
        self.chaos()?;
        self.nemesis.heal(&mut self.cluster);
        stage.recorder.record_event("heal", Value::Null);
        let healed = self.cluster.axis.now();
        self.until("the healed cluster is ready", RECOVERY_LIMIT, Self::is_ready)?;
        let took = (self.cluster.axis.now() - healed) / 1_000_000;
        stage.recorder.record_event(RECOVERED, json!({"ms": took.to_string()}));
        self.until("the operator is done", CLOSE_LIMIT, |run| !Operator::is_needed(&run.office))?;
        self.office.closed.store(true, Ordering::Relaxed);
        self.until("every member is ready", RECOVERY_LIMIT, Self::is_ready)?;

        if let Some(workload) = stage.workload.lock().as_mut() {
            workload.close();
        }
        self.until("every client ends what it began", CLOSE_LIMIT, |_| {
            working.iter().all(tokio::task::JoinHandle::is_finished)
        })?;
        // What its client gave up may still be done.
        let calm = self.cluster.axis.now() + ns(CALM);
        self.until("nothing is on its way any more", CLOSE_LIMIT, |run| {
            run.cluster.axis.now() >= calm
        })?;
        stage.over.store(true, Ordering::Relaxed);
        let made = stage.workload.lock().as_ref().map(|w| (w.sales(), w.products()));
        let (sales, products) = made.unwrap_or_default();
        let (mut last, for_staff) = (client(20_001), staff.clone());
        self.job("what is unpaid is settled", CLOSE_LIMIT, async move {
            closing::settle_all(&mut last, &for_staff).await
        })?;
        let sellers: Vec<_> = sales
            .chunks(sales.len().div_ceil(SELLERS).max(1))
            .zip(20_010..)
            .map(|(sales, number)| {
                let (mut seller, staff) = (client(number), staff.clone());
                let (sales, fresh) = (sales.to_vec(), fresh.clone());
                self.desk.runtime.spawn(async move {
                    closing::sell_out(&mut seller, &staff, &sales, &fresh).await
                })
            })
            .collect();
        self.job("what is left is sold", CLOSE_LIMIT, async move {
            for seller in sellers {
                seller.await??;
            }
            Ok(())
        })?;
        stage.recorder.record_event(SOLD_OUT_PHASE, Value::Null);
        let (mut last, to) = (client(20_002), dir.to_owned());
        self.job("every node is dumped", CLOSE_LIMIT, async move {
            closing::dump(&mut last, &staff, nodes, &sales, &products, &to).await
        })?;
        stage.recorder.close()?;
        for at in 0..nodes {
            self.inspect(at);
        }
        self.judge(dir)
    }

    /// One tick of everything, then a look at it.
    fn tick(&mut self) -> anyhow::Result<()> {
        self.desk.tick();
        let lost = self.office.lose.lock().take();
        if let Some(at) = lost {
            self.cluster.lose_disk(at);
            self.observer.lose(at);
            self.cluster.start(at)?;
        }
        let damaged = self.office.damage.lock().take();
        if let Some(at) = damaged {
            *self.office.damaged.lock() = damaged;
            self.nemesis.count("damaged disk");
            self.cluster.damage_disk(at)?;
        }
        if let Some(at) = *self.office.wipe.lock() {
            *self.office.damaged.lock() = None;
            self.cluster.wipe(at);
            self.observer.forget(at);
            self.office.gone.lock().retain(|gone| *gone != at);
            self.cluster.start(at)?;
        }
        *self.office.wipe.lock() = None;
        self.cluster.tick();
        self.cluster.axis.advance();
        let ended = self.cluster.tend();
        // A node may have acknowledged entries in the very tick in which it stopped.
        self.observer.look(&self.cluster);
        for (at, ended) in ended {
            self.take_end(at, &ended);
        }
        let now = self.cluster.axis.now();
        if now >= self.inspect_at {
            self.inspect_at = now + ns(INSPECT_EVERY);
            let at = self.dice.index(self.config.nodes);
            self.inspect(at);
        }
        match self.trace.violation() {
            Some(violation) => bail!("{violation}"),
            None => Ok(()),
        }
    }

    /// A node that stopped by itself is started again, if it had a reason to stop.
    fn take_end(&mut self, at: usize, ended: &Ended) {
        let reply = self.nemesis.was_told_to_fail(&self.cluster, at);
        let name = format!("n{}", at + 1);
        let fine = match ended {
            Ended::NotStarted(
                StartError::Storage(firstcome_storage::Error::Io { .. })
                | StartError::Failed { code: EXIT_IO, .. },
            ) => reply,
            Ended::NotStarted(StartError::Storage(firstcome_storage::Error::Corrupt {
                ..
            })) => *self.office.damaged.lock() == Some(at),
            Ended::NotStarted(StartError::Bootstrap(_) | StartError::Removed) => true,
            Ended::NotStarted(_) => false,
            Ended::Failed(code, _) => (reply && *code == EXIT_IO) || *code == EXIT_REMOVED,
        };
        self.trace.event(&name, &ended.to_string());
        if !fine {
            let check = match ended {
                Ended::NotStarted(_) => "restart",
                Ended::Failed(..) => "fail-stop",
            };
            self.trace.violated(check, format!("{name} stopped without a reason: {ended}"));
        }
        let removed = matches!(
            ended,
            Ended::NotStarted(StartError::Removed) | Ended::Failed(EXIT_REMOVED, _)
        );
        if removed {
            self.cluster.stop(at, None);
            self.office.gone.lock().push(at);
            return;
        }
        // After a failed sync nobody knows what is on the disk.
        let lost = self.dice.per_mille(300).then(|| Policy::KeepSome(self.dice.draw()));
        self.cluster.stop(at, lost);
        self.nemesis.restart_later(&mut self.cluster, at);
    }

    /// Ticks until `done`, for `limit` at most.
    fn until(
        &mut self,
        what: &str,
        limit: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let end = self.cluster.axis.now() + ns(limit);
        while !done(self) {
            if self.cluster.axis.now() >= end {
                let why = self.not_ready().join("; ");
                self.trace.violated("recovery", format!("not within {limit:?}: {what}; {why}"));
            }
            let now = self.cluster.axis.now();
            Nemesis::restart_due(&mut self.cluster, now)?;
            self.tick()?;
        }
        self.trace.event("run", what);
        Ok(())
    }

    /// Ticks until a task of the clients' machine has its answer.
    fn job<T: Send + 'static>(
        &mut self,
        what: &str,
        limit: Duration,
        work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) -> anyhow::Result<T> {
        let working = self.desk.runtime.spawn(work);
        self.until(what, limit, |_| working.is_finished())?;
        self.desk.runtime.block_on(working)?.with_context(|| what.to_owned())
    }

    fn chaos(&mut self) -> anyhow::Result<()> {
        let end = self.cluster.axis.now() + ns(self.config.chaos);
        while self.cluster.axis.now() < end {
            self.nemesis.tick(&mut self.cluster)?;
            self.tick()?;
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.not_ready().is_empty()
    }

    /// Why the cluster is not ready: every node up and a voter, one leader, nobody behind.
    fn not_ready(&self) -> Vec<String> {
        let mut why = Vec::new();
        let mut leaders = Vec::new();
        let observed =
            self.cluster.hosts.iter().filter_map(|host| Some(host.node.as_ref()?.observe()));
        let voters = observed.filter(|node| node.leads).max_by_key(|node| node.term);
        let voters = voters.map(|leader| leader.voters).unwrap_or_default();
        let decided = self.observer.decided();
        let replaced = *self.office.busy.lock();
        for (at, host) in self.cluster.hosts.iter().enumerate() {
            if replaced == Some(at) {
                continue;
            }
            let Some(node) = &host.node else {
                why.push(format!("{} is down", host.name));
                continue;
            };
            let reasons = node.not_ready();
            if !reasons.is_empty() {
                why.push(format!("{}: {}", host.name, reasons.join(", ")));
            }
            leaders.push(node.leader_name());
            // A removal that the operator gave up may be done late.
            if !voters.iter().all(|half| half.contains(&node.observe().id)) {
                why.push(format!("{} does not vote", host.name));
            }
            let applied = node.applied().revision.get();
            if applied + 200 < decided {
                why.push(format!("{} is at {applied} of {decided}", host.name));
            }
        }
        leaders.sort();
        leaders.dedup();
        if leaders.len() > 1 {
            why.push(format!("leaders {leaders:?}"));
        }
        why
    }

    /// Checks all rows of a disk as the next process would find them.
    fn inspect(&mut self, at: usize) {
        let Some(host) = self.cluster.hosts.get(at).filter(|host| host.node.is_some()) else {
            return;
        };
        let disk = Arc::new(host.disk.copy());
        let findings = Inspection::open_on(disk, Cluster::data_dir())
            .and_then(|inspection| inspection.check());
        match findings {
            Ok(findings) => {
                for finding in findings {
                    let text = format!("{}: {}: {}", host.name, finding.check, finding.detail);
                    self.trace.violated("rows", text);
                }
            }
            Err(error) => {
                let text = format!("{}: cannot be inspected: {error}", host.name);
                self.trace.violated("rows", text);
            }
        }
        self.inspected += 1;
    }

    fn judge(&self, dir: &Path) -> anyhow::Result<()> {
        let seconds = self.config.chaos.as_secs();
        let test = json!({
            "workload": self.config.workload.name(), "nemesis": "none", "seconds": seconds,
            "seed": self.config.seed, "nodes": self.config.nodes,
            "binary": "", "version": env!("CARGO_PKG_VERSION"),
        });
        let test: RunMetadata = serde_json::from_value(test)?;
        write_json(&dir.join("test.json"), &test)?;
        let judgement = judge(&Evidence::read(dir)?);
        write_json(&dir.join("results.json"), &judgement)?;
        for finding in &judgement.findings {
            self.trace.event("judge", &format!("{}: {:?}", finding.checker, finding.verdict));
            // A short run shows little, and a search may be too long; nothing else may be unsure.
            let may_be_unsure = ["coverage", "wgl"].contains(&finding.checker.as_str());
            let notes = finding.notes.join("; ");
            match finding.verdict {
                Verdict::True => {}
                Verdict::Unknown if may_be_unsure => {}
                Verdict::Unknown => {
                    self.trace.violated(&finding.checker, format!("cannot tell: {notes}"));
                }
                Verdict::False => self.trace.violated(&finding.checker, notes),
            }
        }
        Ok(())
    }
}

/// Staff's token and all customers, the fresh ones last.
fn people(config: &Config) -> anyhow::Result<(String, Vec<Customer>)> {
    let keys = Keys::new(&MasterKey::parse(MASTER_KEY)?)?;
    let id =
        |number: usize| UserId::new(0x0193_0000_0000_7000_8000_0000_0000_0000 + number as u128);
    let buyers = config.nodes * workload::PINNED + workload::ROAMING;
    let customers = (1..=CUSTOMERS * buyers + FRESH).map(|number| {
        let token = keys.mint(id(number), Role::Customer, 7200);
        Customer { id: id(number).to_string(), token }
    });
    Ok((keys.mint(id(0), Role::Admin, 7200), customers.collect()))
}

/// Where a run keeps its files: one place per process.
pub fn directory(store: &Path, seed: u64) -> anyhow::Result<PathBuf> {
    let dir = store.join(format!("sim-{seed}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}
