//! Process faults: killed, asked to stop, or paused.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::context::FaultContext;
use super::{FaultInjector, Outcome};
use crate::drive::cluster::control;

/// Time limit for a signal to take effect.
const SIGNAL_LIMIT: Duration = Duration::from_secs(2);

/// Time limit for a node to end when it has a reason to.
const END_LIMIT: Duration = Duration::from_secs(2);
/// How often it is checked meanwhile.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// Kills nodes.
pub(super) struct KilledNodes {
    nodes: Vec<usize>,
    needs_fault_build: bool,
    ran: bool,
    gone: bool,
    leader: Option<usize>,
}

impl KilledNodes {
    /// SIGKILL: everything written stays.
    pub(super) const fn killed(nodes: Vec<usize>) -> Self {
        Self { nodes, needs_fault_build: false, ran: false, gone: false, leader: None }
    }

    /// SIGKILL of fault builds: what was not synced is lost.
    pub(super) const fn without_power(nodes: Vec<usize>) -> Self {
        Self { nodes, needs_fault_build: true, ran: false, gone: false, leader: None }
    }
}

impl FaultInjector for KilledNodes {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        self.leader = context.leader();
        self.ran = true;
        for &at in &self.nodes {
            self.ran &= context.cluster.is_running(at)?;
            if self.needs_fault_build {
                let status = context.cluster.control(at, &json!({"do": "status"}))?;
                anyhow::ensure!(status.get("build").is_some(), "not a fault build: {status}");
            }
        }
        let pids: Vec<_> =
            self.nodes.iter().filter_map(|at| context.cluster.node(*at).ok()?.pid()).collect();
        for &at in &self.nodes {
            context.cluster.kill(at)?;
        }
        // According to the kernel, none of the processes is left.
        let left = pids.iter().filter(|pid| is_alive(**pid)).count();
        self.gone = left == 0;
        let hit_leader = self.leader.is_some_and(|leader| self.nodes.contains(&leader));
        Ok(json!({"pids": pids, "left": left, "hit_leader": hit_leader}))
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        let leader = context.leader();
        for &at in &self.nodes {
            context.start(at)?;
        }
        let seen = json!({"ran": self.ran, "gone": self.gone,
            "leader_changed": leader != self.leader});
        Ok(Outcome { took_effect: self.ran && self.gone, seen })
    }
}

fn is_alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// Asks nodes to stop.
pub(super) struct StoppedNodes {
    nodes: Vec<usize>,
    codes: Vec<i32>,
}

impl StoppedNodes {
    pub(super) const fn new(nodes: Vec<usize>) -> Self {
        Self { nodes, codes: Vec::new() }
    }
}

impl FaultInjector for StoppedNodes {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        for &at in &self.nodes {
            self.codes.extend(context.terminate(at)?);
        }
        Ok(json!({"exit": self.codes}))
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        for &at in &self.nodes {
            context.start(at)?;
        }
        let took_effect = !self.codes.is_empty() && self.codes.len() == self.nodes.len();
        Ok(Outcome { took_effect, seen: json!({"exit": self.codes}) })
    }
}

/// Pauses nodes, which keep their connections.
pub(super) struct PausedNodes {
    nodes: Vec<usize>,
    leader: Option<usize>,
    froze: bool,
}

impl PausedNodes {
    pub(super) const fn new(nodes: Vec<usize>) -> Self {
        Self { nodes, leader: None, froze: false }
    }

    fn are(&self, context: &FaultContext<'_>, frozen: bool) -> anyhow::Result<bool> {
        let mut all = true;
        for &at in &self.nodes {
            all &= context.cluster.is_frozen(at)? == frozen;
        }
        Ok(all)
    }
}

impl FaultInjector for PausedNodes {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        self.leader = context.leader();
        for &at in &self.nodes {
            context.cluster.freeze(at, true)?;
        }
        if !context.cluster.is_silent() {
            self.froze = context.wait(SIGNAL_LIMIT, |context| self.are(context, true))?;
        }
        let hit_leader = self.leader.is_some_and(|leader| self.nodes.contains(&leader));
        Ok(json!({"hit_leader": hit_leader}))
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        // Asked only now: during a short pause, waiting for an answer would make it a long one.
        let still_frozen = self.are(context, true)?;
        for &at in &self.nodes {
            context.cluster.freeze(at, false)?;
        }
        let goes_on = context.wait(SIGNAL_LIMIT, |context| self.are(context, false))?;
        let leader_changed = context.leader() != self.leader;
        let seen = json!({"froze": self.froze, "still_frozen": still_frozen, "goes_on": goes_on,
            "leader_changed": leader_changed});
        Ok(Outcome { took_effect: self.froze && still_frozen && goes_on, seen })
    }
}

/// How often something fired in a node; `None` if the node does not answer.
pub(super) fn fired(context: &FaultContext<'_>, at: usize, group: &str, name: &str) -> Option<u64> {
    let status = context.cluster.control(at, &json!({"do": "status"})).ok()?;
    Some(control::fired(&status, group, name))
}

/// Whether a node that has a reason to end goes on; it may take a moment to end.
pub(super) fn outlives(context: &mut FaultContext<'_>, at: usize) -> anyhow::Result<bool> {
    let until = Instant::now() + END_LIMIT;
    if context.cluster.is_silent() {
        return Ok(false);
    }
    while context.cluster.is_running(at)? {
        if Instant::now() >= until {
            return Ok(true);
        }
        thread::sleep(POLL_EVERY);
    }
    Ok(false)
}
