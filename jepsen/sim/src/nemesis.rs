//! The nemesis: one fault after another, drawn from the seed, each undone after a while.
//!
//! Faults overlap. Disks are never destroyed but with their member removed first, so everything that
//! was acknowledged must survive whatever happens here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use firstcome_storage::disk::sim::Policy;

use crate::cluster::Cluster;
use crate::config::{Config, Fault};
use crate::dice::Dice;
use crate::operator::{Office, Operator};
use crate::time::{TICK, ns};

/// Input/output error.
const EIO: i32 = 5;
/// No space left on device.
const ENOSPC: i32 = 28;

/// What is to be undone, and when.
#[derive(Clone, Copy, Debug)]
enum Undo {
    Cut(usize, usize),
    Latency(usize, usize),
    Resets,
    Pace(usize),
    Clock(usize),
    SlowNode(usize),
}

/// Breaks things.
pub struct Nemesis {
    config: Config,
    dice: Dice,
    next_at: u64,
    undo: Vec<(u64, Undo)>,
    /// Stands still now and then.
    slow: Vec<usize>,
    /// Until when a machine that receives a snapshot loses power.
    trap_until: u64,
    /// Until when a machine that votes loses power, and how each voted last.
    ballot_until: u64,
    votes: Vec<Option<(u64, u64, bool)>>,
    /// Machines that lose power soon, while their disk is behind.
    doomed: Vec<(u64, usize)>,
    /// Whom to ask for another member.
    office: Arc<Office>,
    /// Machines with a disk call that was told to fail.
    failing: Vec<usize>,
    /// How often each fault happened.
    pub counts: BTreeMap<String, u64>,
}

impl Nemesis {
    /// Begins after the first gap.
    pub fn new(config: &Config, office: Arc<Office>) -> Self {
        Self {
            config: config.clone(),
            dice: Dice::of(config.seed, 4),
            next_at: 0,
            undo: Vec::new(),
            slow: Vec::new(),
            trap_until: 0,
            ballot_until: 0,
            votes: Vec::new(),
            doomed: Vec::new(),
            office,
            failing: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Counts a fault.
    pub fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// One tick of chaos.
    pub fn tick(&mut self, cluster: &mut Cluster) -> anyhow::Result<()> {
        let now = cluster.axis.now();
        self.undo_due(cluster, now);
        Self::restart_due(cluster, now)?;
        self.stand_still(cluster, now);
        self.spring_trap(cluster, now);
        self.watch_votes(cluster, now);
        self.doom(cluster, now);
        if now >= self.next_at {
            let gap = self.dice.magnitude(self.config.gap_ms / 4 + 1, self.config.gap_ms * 2);
            self.next_at = now + ns(Duration::from_millis(gap));
            if let Some(fault) = self.dice.pick(&self.config.faults.clone()) {
                self.strike(cluster, fault, now);
            }
        }
        Ok(())
    }

    /// Starts what is due to start, also when nothing is broken any more.
    pub fn restart_due(cluster: &mut Cluster, now: u64) -> anyhow::Result<()> {
        for at in 0..cluster.hosts.len() {
            let due = cluster.hosts.get(at).and_then(|host| host.start_at);
            if due.is_some_and(|due| due <= now) {
                cluster.start(at)?;
            }
        }
        Ok(())
    }

    /// Undoes every fault and starts every machine; nothing is broken afterwards.
    pub fn heal(&mut self, cluster: &mut Cluster) {
        cluster.trace.event("nemesis", "heals everything");
        let now = cluster.axis.now();
        for (_, undo) in std::mem::take(&mut self.undo) {
            self.undo_one(cluster, undo);
        }
        self.slow.clear();
        self.trap_until = 0;
        self.ballot_until = 0;
        self.doomed.clear();
        for host in &mut cluster.hosts {
            host.disk.fail_call(0, 0);
            host.paused_until = 0;
            if host.start_at.is_some() {
                host.start_at = Some(now);
            }
        }
    }

    /// Draws when a node that ended is started again.
    pub fn restart_later(&mut self, cluster: &mut Cluster, at: usize) {
        let delay = self.dice.time(20, 8_000);
        let now = cluster.axis.now();
        if let Some(host) = cluster.hosts.get_mut(at) {
            host.start_at = Some(now + ns(delay));
        }
    }

    /// Whether a machine's disk was told to fail since it was last asked.
    pub fn was_told_to_fail(&mut self, cluster: &Cluster, at: usize) -> bool {
        let told = self.failing.contains(&at)
            && cluster.hosts.get(at).is_some_and(|host| host.disk.has_failed());
        self.failing.retain(|failing| *failing != at);
        told
    }

    /// How much a power loss takes.
    pub fn policy(&mut self) -> Policy {
        let seed = self.dice.draw();
        match self.dice.below(6) {
            0 => Policy::KeepAll,
            1 => Policy::DropUnsynced,
            2 => Policy::KeepPrefix(seed),
            3 => Policy::KeepSome(seed),
            4 => Policy::TearLast(seed),
            _ => Policy::HoldNames,
        }
    }

    fn undo_due(&mut self, cluster: &mut Cluster, now: u64) {
        let (due, later) =
            std::mem::take(&mut self.undo).into_iter().partition(|(at, _)| *at <= now);
        self.undo = later;
        let due: Vec<(u64, Undo)> = due;
        for (_, undo) in due {
            self.undo_one(cluster, undo);
        }
    }

    fn undo_one(&mut self, cluster: &mut Cluster, undo: Undo) {
        let all = 0..cluster.hosts.len();
        match undo {
            Undo::Cut(from, to) => cluster.net.change(from, to, |link| link.cut = false),
            Undo::Latency(from, to) => {
                cluster.net.change(from, to, |link| link.extra = Duration::ZERO);
            }
            Undo::Resets => {
                for (from, to) in all.clone().flat_map(|a| all.clone().map(move |b| (a, b))) {
                    cluster.net.change(from, to, |link| link.resets_per_mille = 0);
                }
            }
            Undo::Pace(at) => {
                if let Some(host) = cluster.hosts.get(at) {
                    host.knobs.set_sync(self.config.sync_us);
                }
            }
            Undo::Clock(at) => {
                if let Some(host) = cluster.hosts.get(at) {
                    host.knobs.drift_ppm.store(0, Ordering::Relaxed);
                    host.knobs.clock_error_us.store(0, Ordering::Relaxed);
                }
            }
            Undo::SlowNode(at) => self.slow.retain(|slow| *slow != at),
        }
        cluster.trace.event("nemesis", &format!("undoes {undo:?}"));
    }

    fn stand_still(&mut self, cluster: &mut Cluster, now: u64) {
        for at in self.slow.clone() {
            if self.dice.per_mille(30)
                && let Some(host) = cluster.hosts.get_mut(at)
            {
                host.paused_until = now + ns(TICK) * self.dice.between(5, 60);
            }
        }
    }

    fn spring_trap(&mut self, cluster: &mut Cluster, now: u64) {
        if now >= self.trap_until {
            return;
        }
        for at in 0..cluster.hosts.len() {
            if cluster.receives_snapshot(at) && self.dice.per_mille(100) {
                self.trap_until = 0;
                self.count("power loss in a snapshot");
                self.lose_power(cluster, at);
            }
        }
    }

    fn watch_votes(&mut self, cluster: &mut Cluster, now: u64) {
        if now >= self.ballot_until {
            return;
        }
        let vote = |host: &crate::cluster::Host| Some(host.node.as_ref()?.observe().vote);
        let votes: Vec<_> = cluster.hosts.iter().map(vote).collect();
        let before = std::mem::replace(&mut self.votes, votes.clone());
        for (at, (before, vote)) in before.into_iter().zip(votes).enumerate() {
            let changed = before.is_some() && vote.is_some() && before != vote;
            if changed && self.dice.per_mille(400) {
                self.count("power loss in an election");
                self.lose_power(cluster, at);
            }
        }
    }

    fn doom(&mut self, cluster: &mut Cluster, now: u64) {
        let (due, later) =
            std::mem::take(&mut self.doomed).into_iter().partition(|(at, _)| *at <= now);
        self.doomed = later;
        let due: Vec<(u64, usize)> = due;
        for (_, at) in due {
            self.count("power loss of a slow disk");
            self.lose_power(cluster, at);
        }
    }

    fn lose_power(&mut self, cluster: &mut Cluster, at: usize) {
        let policy = self.policy();
        cluster.stop(at, Some(policy));
        self.restart_later(cluster, at);
    }

    /// The leader twice as often as others.
    fn victim(&mut self, cluster: &Cluster) -> usize {
        let leads = |host: &crate::cluster::Host| {
            host.node.as_ref().is_some_and(|node| node.observe().leads)
        };
        let leader = cluster.hosts.iter().position(leads);
        match leader {
            Some(leader) if self.dice.per_mille(400) => leader,
            _ => self.dice.index(cluster.hosts.len()),
        }
    }

    fn strike(&mut self, cluster: &mut Cluster, fault: Fault, now: u64) {
        let victim = self.victim(cluster);
        let count = cluster.hosts.len();
        let later = |time: Duration| now + ns(time);
        let name = format!("n{}", victim + 1);
        self.count(&format!("{fault:?}"));
        match fault {
            Fault::Partition => self.partition(cluster, victim, now),
            Fault::Latency => {
                let extra = self.dice.time(2, 400);
                let until = later(self.dice.time(200, 8_000));
                let everywhere = self.dice.per_mille(300);
                cluster.trace.event("nemesis", &format!("latency of {name} grows by {extra:?}"));
                for (from, to) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
                    if everywhere || from == victim || to == victim {
                        cluster.net.change(from, to, |link| link.extra = extra);
                        self.undo.push((until, Undo::Latency(from, to)));
                    }
                }
            }
            Fault::Reset if self.dice.per_mille(500) => {
                cluster.trace.event("nemesis", &format!("connections of {name} break"));
                cluster.net.reset_all(Some(victim));
            }
            Fault::Reset => {
                let often = self.dice.magnitude(1, 50);
                cluster.trace.event("nemesis", &format!("{often} of 1000 writes break"));
                for (from, to) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
                    cluster.net.change(from, to, |link| link.resets_per_mille = often);
                }
                self.undo.push((later(self.dice.time(100, 5_000)), Undo::Resets));
            }
            Fault::Kill => {
                if cluster.hosts.get(victim).is_some_and(crate::cluster::Host::runs) {
                    cluster.stop(victim, None);
                    self.restart_later(cluster, victim);
                }
            }
            Fault::Power => {
                let many = if self.dice.per_mille(300) { self.dice.index(count) + 1 } else { 1 };
                for at in (victim..victim + many).map(|at| at % count) {
                    self.lose_power(cluster, at);
                }
            }
            Fault::PowerInSnapshot => self.trap_until = later(Duration::from_secs(10)),
            Fault::PowerInElection => {
                self.votes.clear();
                self.ballot_until = later(Duration::from_secs(10));
                Self::ask(cluster, victim, Fault::Transfer);
            }
            Fault::DiskError => {
                let error = if self.dice.per_mille(500) { EIO } else { ENOSPC };
                if let Some(host) = cluster.hosts.get(victim) {
                    let call = host.disk.calls() + self.dice.magnitude(1, 300);
                    host.disk.fail_call(call, error);
                    self.failing.push(victim);
                    let text = format!("disk call {call} of {name} is going to fail with {error}");
                    cluster.trace.event("nemesis", &text);
                }
            }
            Fault::SlowDisk => {
                let pace = self.dice.magnitude(5_000, 600_000);
                if let Some(host) = cluster.hosts.get(victim) {
                    host.knobs.set_sync((pace / 2, pace));
                    cluster.trace.event("nemesis", &format!("disk of {name} takes {pace} us"));
                }
                let span = self.dice.time(200, 8_000);
                self.undo.push((later(span), Undo::Pace(victim)));
                // What a log owes is most when its disk is slow.
                if self.dice.per_mille(500) {
                    let soon = self.dice.time(50, 2_000).min(span);
                    self.doomed.push((later(soon), victim));
                }
            }
            Fault::Pause => {
                let time = self.dice.time(50, 6_000);
                if let Some(host) = cluster.hosts.get_mut(victim) {
                    host.paused_until = later(time);
                    cluster.trace.event("nemesis", &format!("{name} stands still for {time:?}"));
                }
            }
            Fault::SlowNode => {
                cluster.trace.event("nemesis", &format!("{name} is slow"));
                self.slow.push(victim);
                self.undo.push((later(self.dice.time(500, 8_000)), Undo::SlowNode(victim)));
            }
            Fault::Clock => self.bend_clock(cluster, victim, now),
            Fault::ClockStep => {
                // Holds last a minute at least: this is how they end within a run.
                let ms = i64::try_from(self.dice.between(20_000, 90_000)).unwrap_or(0);
                for host in &cluster.hosts {
                    host.knobs.clock_base_us.fetch_add(ms * 1000, Ordering::Relaxed);
                }
                cluster.trace.event("nemesis", &format!("all clocks are set forward by {ms} ms"));
            }
            Fault::Transfer | Fault::Snapshot => Self::ask(cluster, victim, fault),
            Fault::Membership => Operator::wish(&self.office, victim),
        }
    }

    fn partition(&mut self, cluster: &Cluster, victim: usize, now: u64) {
        let count = cluster.hosts.len();
        let (mut here, mut one_way) = (vec![victim], self.dice.per_mille(300));
        let kind = match self.dice.below(4) {
            0 => {
                let other = (victim + 1 + self.dice.index(count - 1)) % count;
                let until = now + ns(self.dice.time(50, 10_000));
                for (from, to) in [(victim, other), (other, victim)] {
                    cluster.net.change(from, to, |link| link.cut = true);
                    self.undo.push((until, Undo::Cut(from, to)));
                    if one_way {
                        break;
                    }
                }
                let text = format!("cuts n{} - n{}, one way: {one_way}", victim + 1, other + 1);
                return cluster.trace.event("nemesis", &text);
            }
            1 => {
                here = (0..count).filter(|_| self.dice.per_mille(500)).collect();
                "splits"
            }
            2 => {
                one_way = true;
                "makes deaf or mute"
            }
            _ => "isolates",
        };
        let inward = self.dice.per_mille(500);
        let until = now + ns(self.dice.time(50, 12_000));
        for (from, to) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
            let (from_here, to_here) = (here.contains(&from), here.contains(&to));
            let crosses = from_here != to_here && (!one_way || to_here == inward);
            if crosses {
                cluster.net.change(from, to, |link| link.cut = true);
                self.undo.push((until, Undo::Cut(from, to)));
            }
        }
        let names: Vec<String> = here.iter().map(|at| format!("n{}", at + 1)).collect();
        let text = format!("{kind} {}, one way: {one_way}", names.join(" "));
        cluster.trace.event("nemesis", &text);
    }

    fn bend_clock(&mut self, cluster: &Cluster, victim: usize, now: u64) {
        let Some(host) = cluster.hosts.get(victim) else { return };
        let sign = if self.dice.per_mille(500) { 1 } else { -1 };
        if self.dice.per_mille(700) {
            // Small ones are believed, large ones are refused.
            let most = if self.dice.per_mille(500) { 400 } else { 60_000 };
            let ms = i64::try_from(self.dice.magnitude(20, most)).unwrap_or(0) * sign;
            host.knobs.clock_error_us.fetch_add(ms * 1000, Ordering::Relaxed);
            cluster.trace.event("nemesis", &format!("clock of {} jumps by {ms} ms", host.name));
        } else {
            let ppm = i64::try_from(self.dice.magnitude(500, 200_000)).unwrap_or(0) * sign;
            host.knobs.drift_ppm.store(ppm, Ordering::Relaxed);
            cluster.trace.event("nemesis", &format!("clock of {} drifts by {ppm} ppm", host.name));
        }
        self.undo.push((now + ns(self.dice.time(200, 15_000)), Undo::Clock(victim)));
    }

    /// Asks a node for a leader transfer or a snapshot mark; what comes of it is its business.
    fn ask(cluster: &Cluster, victim: usize, fault: Fault) {
        let door = cluster.doors.get(victim).and_then(|door| door.lock().clone());
        let Some(door) = door else { return };
        let trace = Arc::clone(&cluster.trace);
        let name = format!("n{}", victim + 1);
        drop(door.handle.clone().spawn(async move {
            let done = match fault {
                Fault::Transfer => format!("{:?}", door.node.transfer_leader(None).await),
                _ => format!("{:?}", door.node.snapshot().await),
            };
            trace.event(&name, &format!("was asked for a {fault:?}: {done}"));
        }));
    }
}
