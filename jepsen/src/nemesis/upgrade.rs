//! Rolling restarts between two binaries: a part first, mixed for a while, then the rest.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::field::Field;
use super::{Affliction, Outcome};
use crate::client::{Client, Request};
use crate::cluster::process::{Build, Node};

/// An operator waits for a node before the next one.
const READY_LIMIT: Duration = Duration::from_secs(15);

/// From one binary to the other.
pub(super) struct Rolling {
    leader_first: bool,
    rest: Vec<usize>,
    to: Build,
    mixed: usize,
}

impl Rolling {
    pub(super) const fn new(leader_first: bool) -> Self {
        Self { leader_first, rest: Vec::new(), to: Build::Previous, mixed: 0 }
    }

    fn restart(&self, field: &mut Field<'_>, at: usize) -> anyhow::Result<()> {
        let name = field.cluster.node(at)?.name.clone();
        field.terminate(at)?;
        field.cluster.node_mut(at)?.build = self.to;
        field.start(at)?;
        let api = field.cluster.node(at)?.api;
        let mut client = Client::new(Duration::from_secs(1));
        let ready = Request::get("/readyz", "");
        let is_ready = field
            .wait(READY_LIMIT, |_| Ok(client.send(api, &ready).is_ok_and(|a| a.status == 200)))?;
        if !is_ready {
            field.finding(&format!("{name} is not ready on its {:?} binary", self.to));
        }
        Ok(())
    }

    /// Programs that run now, by the kernel's word.
    fn programs(field: &Field<'_>) -> BTreeSet<PathBuf> {
        let pids = field.cluster.nodes.iter().filter_map(Node::pid);
        pids.filter_map(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok()).collect()
    }
}

impl Affliction for Rolling {
    fn begin(&mut self, field: &mut Field<'_>) -> anyhow::Result<Value> {
        let mut nodes = field.wanted();
        let first = nodes.first().and_then(|at| field.cluster.node(*at).ok()).map(|n| n.build);
        self.to = if first == Some(Build::Current) { Build::Previous } else { Build::Current };
        let leader = field.leader();
        nodes.sort_by_key(|at| (Some(*at) == leader) != self.leader_first);
        // One at first: the majority still runs the other binary.
        self.rest = nodes.split_off(nodes.len().min(1));
        for at in nodes {
            self.restart(field, at)?;
        }
        Ok(json!({"to": format!("{:?}", self.to), "leader_first": self.leader_first}))
    }

    fn watch(&mut self, field: &mut Field<'_>) -> anyhow::Result<()> {
        self.mixed = self.mixed.max(Self::programs(field).len());
        Ok(())
    }

    fn end(&mut self, field: &mut Field<'_>) -> anyhow::Result<Outcome> {
        self.watch(field)?;
        for at in std::mem::take(&mut self.rest) {
            self.restart(field, at)?;
        }
        let programs = Self::programs(field);
        let took_effect = self.mixed > 1 && programs.len() == 1;
        let seen = json!({"programs_at_once": self.mixed, "in_the_end": programs});
        Ok(Outcome { took_effect, seen })
    }
}
