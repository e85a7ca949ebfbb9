//! Rolling restarts between two binaries: one node first, mixed for a while, then the rest.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::context::FaultContext;
use super::{FaultInjector, Outcome};
use crate::drive::cluster::process::{Build, Node};
use crate::drive::http_client::HttpClient;
use crate::record::http::Request;

/// An operator waits for a node to be ready before restarting the next one.
const READY_LIMIT: Duration = Duration::from_secs(15);

/// A rolling restart from one binary to the other.
pub(super) struct RollingUpgrade {
    leader_first: bool,
    rest: Vec<usize>,
    to: Build,
    mixed: usize,
}

impl RollingUpgrade {
    pub(super) const fn new(leader_first: bool) -> Self {
        Self { leader_first, rest: Vec::new(), to: Build::Previous, mixed: 0 }
    }

    fn restart(&self, context: &mut FaultContext<'_>, at: usize) -> anyhow::Result<()> {
        let name = context.cluster.node(at)?.name.clone();
        context.terminate(at)?;
        context.cluster.node_mut(at)?.build = self.to;
        context.start(at)?;
        let api = context.cluster.node(at)?.api;
        let mut client = HttpClient::new(Duration::from_secs(1));
        let ready = Request::get("/readyz", "");
        let is_ready = context
            .wait(READY_LIMIT, |_| Ok(client.send(api, &ready).is_ok_and(|a| a.status == 200)))?;
        if !is_ready {
            context.finding(&format!("{name} is not ready on its {:?} binary", self.to));
        }
        Ok(())
    }

    /// The running programs, according to the kernel.
    fn programs(context: &FaultContext<'_>) -> BTreeSet<PathBuf> {
        let pids = context.cluster.nodes.iter().filter_map(Node::pid);
        pids.filter_map(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok()).collect()
    }
}

impl FaultInjector for RollingUpgrade {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        let mut nodes = context.wanted();
        let first = nodes.first().and_then(|at| context.cluster.node(*at).ok()).map(|n| n.build);
        self.to = if first == Some(Build::Current) { Build::Previous } else { Build::Current };
        let leader = context.leader();
        nodes.sort_by_key(|at| (Some(*at) == leader) != self.leader_first);
        // One node at first, so the majority still runs the other binary.
        self.rest = nodes.split_off(nodes.len().min(1));
        for at in nodes {
            self.restart(context, at)?;
        }
        Ok(json!({"to": format!("{:?}", self.to), "leader_first": self.leader_first}))
    }

    fn watch(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<()> {
        self.mixed = self.mixed.max(Self::programs(context).len());
        Ok(())
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        self.watch(context)?;
        for at in std::mem::take(&mut self.rest) {
            self.restart(context, at)?;
        }
        let programs = Self::programs(context);
        let took_effect = self.mixed > 1 && programs.len() == 1;
        let seen = json!({"programs_at_once": self.mixed, "in_the_end": programs});
        Ok(Outcome { took_effect, seen })
    }
}
