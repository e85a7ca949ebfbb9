//! Failpoints: a panic or a sleep at a named point of the product. Needs a fault build.
//!
//! Most points are passed by any busy node and are simply armed. A node receives a snapshot only
//! after it was away long enough, and applies members only when they change, so for those points
//! the fault causes that too.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::context::FaultContext;
use super::membership;
use super::plan::FailpointAction;
use super::process::{fired, outlives};
use super::{FaultInjector, Outcome};

/// Exit code after a panic.
const EXIT_BUG: i32 = 70;
/// After this time a node that was away needs a snapshot, with the settings of a run.
const AWAY_MAX: Duration = Duration::from_secs(3);
/// The control socket exists before the node serves.
const SOCKET_LIMIT: Duration = Duration::from_secs(3);

/// Armed nodes.
pub(super) struct Failpoint {
    nodes: Vec<usize>,
    name: String,
    act: FailpointAction,
    ms: u64,
    /// The node has been down since then and comes back armed.
    away: Option<Instant>,
    /// The last log index it had applied.
    applied: i64,
    fired: u64,
    /// Number of exits before this fault.
    ends: usize,
}

impl Failpoint {
    pub(super) fn new(nodes: Vec<usize>, name: &str, act: FailpointAction, ms: u64) -> Self {
        Self { nodes, name: name.to_owned(), act, ms, away: None, applied: 0, fired: 0, ends: 0 }
    }

    fn arm(&self, context: &mut FaultContext<'_>, at: usize) -> anyhow::Result<()> {
        let request = match self.act {
            FailpointAction::Panic => {
                json!({"do": "failpoint", "name": self.name, "action": "panic"})
            }
            FailpointAction::Sleep => {
                json!({"do": "failpoint", "name": self.name, "action": "sleep", "ms": self.ms})
            }
        };
        let mut last = None;
        let armed = context.wait(SOCKET_LIMIT, |context| {
            last = context.cluster.control(at, &request).err();
            Ok(last.is_none())
        })?;
        anyhow::ensure!(armed, "{last:?}");
        Ok(())
    }

    /// Whether the log entries the node is missing are gone; the leader is asked to purge them.
    fn needs_snapshot(&self, context: &FaultContext<'_>) -> bool {
        let Some(leader) = context.leader() else { return false };
        // Refused while a snapshot is being built: asked again at the next check.
        _ = context.cluster.control(leader, &json!({"do": "snapshot"}));
        context.metric(leader, "raft_purged_index").is_some_and(|purged| purged > self.applied)
    }

    fn sample(&mut self, context: &FaultContext<'_>) {
        for &at in &self.nodes {
            self.fired = self.fired.max(fired(context, at, "failpoints", &self.name).unwrap_or(0));
        }
    }
}

impl FaultInjector for Failpoint {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        self.ends = context.exits.len();
        if matches!(self.act, FailpointAction::Panic) {
            for &at in &self.nodes {
                context.allow_exit(at, "failpoint", &[EXIT_BUG]);
            }
        }
        if self.name.starts_with("snapshot") {
            for &at in &self.nodes {
                self.applied = context.metric(at, "raft_applied_index").unwrap_or(0);
                context.cluster.kill(at)?;
            }
            self.away = Some(Instant::now());
        } else {
            for &at in &self.nodes.clone() {
                self.arm(context, at)?;
            }
            if self.name.starts_with("membership") {
                membership::come_as_learner(context)?;
            }
        }
        Ok(json!({"point": self.name, "action": self.act, "ms": self.ms}))
    }

    fn watch(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<()> {
        if let Some(since) = self.away
            && (self.needs_snapshot(context) || since.elapsed() >= AWAY_MAX)
        {
            self.away = None;
            for &at in &self.nodes.clone() {
                context.start(at)?;
                self.arm(context, at)?;
            }
        }
        self.sample(context);
        Ok(())
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        context.check_exits()?;
        self.sample(context);
        let mut codes = Vec::new();
        for &at in &self.nodes {
            let off = json!({"do": "failpoint", "name": self.name, "action": "off"});
            // A node that has ended needs no switching off, and one that passed the point is about
            // to end.
            _ = context.cluster.control(at, &off);
            let count = fired(context, at, "failpoints", &self.name);
            if matches!(self.act, FailpointAction::Panic) && count.is_none_or(|count| count > 0) {
                outlives(context, at)?;
            }
            context.forbid_exit(at, "failpoint")?;
            codes.extend(context.ended(self.ends, at));
            context.start(at)?;
        }
        if self.name.starts_with("membership") {
            membership::leave(context)?;
        }
        let took_effect = match self.act {
            FailpointAction::Panic => codes.contains(&EXIT_BUG),
            FailpointAction::Sleep => self.fired > 0,
        };
        let seen = json!({"point": self.name, "exit": codes, "fired": self.fired});
        Ok(Outcome { took_effect, seen })
    }
}
