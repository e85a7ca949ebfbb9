//! What every fault may touch: the nodes, the links between them, and the history.
//!
//! A node whose process ends by itself is an error, unless an active fault explains its exit code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::drive::client_loop::LiveRun;
use crate::drive::cluster::process::Cluster;
use crate::drive::cluster::watch::{self, Member, NodeStatus};
use crate::drive::http_client::HttpClient;
use crate::record::http::Request;
use crate::record::run_event::{NODE_EXITED, UNEXPECTED};

/// How often a condition is checked.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// A membership change is one commit; after this time it is requested again, or given up.
const VERB_LIMIT: Duration = Duration::from_secs(2);
/// Without a leader for this long nothing can be changed: other faults must end first.
const LEADERLESS_MAX: Duration = Duration::from_secs(2);
/// The pause between two requests for the same change.
const VERB_PAUSE: Duration = Duration::from_millis(250);
/// The node was removed from its cluster.
pub(super) const EXIT_REMOVED: i32 = 77;

/// The state of a run while faults are injected.
pub(super) struct FaultContext<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) live: &'a LiveRun,
    /// The run directory, for files of the nemesis.
    pub(super) dir: PathBuf,
    /// Nodes whose process ended by itself, with their exit codes.
    pub(super) exits: Vec<(usize, i32)>,
    /// How long a membership change may take before other faults get their turn.
    pub(super) membership_timeout: Duration,
    /// Members were changed, so they must be restored at the end.
    pub(super) touched_members: bool,
    /// Nodes whose disk is lost and that are not yet back as new members.
    pub(super) destroyed: BTreeSet<usize>,
    /// Nodes whose removal was requested, whatever the response, and that are not back as new
    /// members.
    pub(super) leaving: BTreeSet<usize>,
    /// Exit codes that active faults allow, by node and by the fault that allows them.
    allowed_exits: BTreeMap<(usize, &'static str), Vec<i32>>,
    /// Nodes that ended for no known reason and stay down.
    given_up: BTreeSet<usize>,
}

impl<'a> FaultContext<'a> {
    pub(super) fn new(cluster: &'a mut Cluster, live: &'a LiveRun, dir: PathBuf) -> Self {
        Self {
            cluster,
            live,
            dir,
            exits: Vec::new(),
            membership_timeout: Duration::from_secs(10),
            touched_members: false,
            destroyed: BTreeSet::new(),
            leaving: BTreeSet::new(),
            allowed_exits: BTreeMap::new(),
            given_up: BTreeSet::new(),
        }
    }

    /// The indexes of the nodes that belong to the cluster.
    pub(super) fn wanted(&self) -> Vec<usize> {
        let nodes = self.cluster.nodes.iter().enumerate();
        nodes.filter(|(_, node)| node.is_wanted).map(|(at, _)| at).collect()
    }

    pub(super) fn names(&self, nodes: &[usize]) -> Vec<String> {
        let name = |at: &usize| self.cluster.nodes.get(*at).map(|node| node.name.clone());
        nodes.iter().filter_map(name).collect()
    }

    pub(super) fn leader(&self) -> Option<usize> {
        self.cluster.leader(&self.live.staff)
    }

    pub(super) fn statuses(&self) -> BTreeMap<String, NodeStatus> {
        watch::statuses(self.cluster, &self.live.staff)
    }

    pub(super) fn metric(&self, at: usize, name: &str) -> Option<i64> {
        watch::metric(self.cluster.nodes.get(at)?.api, name)
    }

    /// Records something that no fault explains.
    pub(super) fn finding(&self, what: &str) {
        self.live.record_event(UNEXPECTED, json!({"what": what}));
    }

    /// Allows this node to end with one of these codes. Faults overlap, so each names itself and
    /// later takes back only its own permission.
    pub(super) fn allow_exit(&mut self, at: usize, who: &'static str, codes: &[i32]) {
        self.allowed_exits.insert((at, who), codes.to_vec());
    }

    /// The exit codes of a node that ended by itself, after the first `since` exits of any node.
    pub(super) fn ended(&self, since: usize, at: usize) -> impl Iterator<Item = i32> {
        let exits = self.exits.iter().skip(since);
        exits.filter(move |(node, _)| *node == at).map(|(_, code)| *code)
    }

    /// Takes back the permission given by [`Self::allow_exit`].
    pub(super) fn forbid_exit(&mut self, at: usize, who: &'static str) -> anyhow::Result<()> {
        self.check_exits()?;
        self.allowed_exits.remove(&(at, who));
        Ok(())
    }

    /// Records the nodes that ended by themselves since the last check.
    pub(super) fn check_exits(&mut self) -> anyhow::Result<()> {
        for (at, code) in self.cluster.take_exited()? {
            let explained = self.explains(at, code);
            self.exits.push((at, code));
            if !explained {
                self.given_up.insert(at);
            }
            let node = self.cluster.node(at)?.name.clone();
            self.live.record_event(
                NODE_EXITED,
                json!({"node": node, "exit": code, "explained": explained}),
            );
        }
        Ok(())
    }

    /// Whether an active fault explains this exit code.
    fn explains(&self, at: usize, code: i32) -> bool {
        self.allowed_exits.iter().any(|((node, _), codes)| *node == at && codes.contains(&code))
            || (code == EXIT_REMOVED && self.leaving.contains(&at))
    }

    /// Asks a node to stop, and waits; returns its exit code, if it ran.
    pub(super) fn terminate(&mut self, at: usize) -> anyhow::Result<Option<i32>> {
        let name = self.cluster.node(at)?.name.clone();
        match self.cluster.terminate(at) {
            Ok(Some(code)) => {
                // It may end first for a reason that is already known.
                if code != 0 && !self.explains(at, code) {
                    self.finding(&format!("{name} ended with {code} after SIGTERM"));
                }
                Ok(Some(code))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.finding(&format!("{error:#}"));
                Ok(None)
            }
        }
    }

    /// Starts a node, unless it ended for no known reason: then it stays down, for inspection.
    pub(super) fn start(&mut self, at: usize) -> anyhow::Result<()> {
        self.check_exits()?;
        if self.given_up.contains(&at) { Ok(()) } else { self.cluster.start(at) }
    }

    /// Waits until the condition holds or the time is up; returns whether it held.
    pub(super) fn wait(
        &mut self,
        limit: Duration,
        mut holds: impl FnMut(&mut Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        let until = Instant::now() + limit;
        loop {
            self.check_exits()?;
            if holds(self)? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            thread::sleep(POLL_EVERY);
        }
    }

    /// The members according to the most advanced node that answers.
    pub(super) fn members(&self) -> Option<Vec<Member>> {
        let statuses = self.statuses();
        let (name, _) = statuses.iter().max_by_key(|(_, status)| (status.term, status.revision))?;
        let node = self.cluster.nodes.iter().find(|node| node.name == *name)?;
        watch::members(node.api, &self.live.staff)
    }

    pub(super) fn member(&self, name: &str) -> Option<Member> {
        self.members()?.into_iter().find(|member| member.name == name)
    }

    /// Requests a membership change, at node after node, until `holds` is true or the time is up.
    pub(super) fn change(
        &mut self,
        limit: Duration,
        mut admin_request: impl FnMut(&Self) -> Option<Request>,
        holds: impl Fn(&[Member]) -> bool,
    ) -> anyhow::Result<bool> {
        self.touched_members = true;
        let mut client = HttpClient::new(VERB_LIMIT);
        let mut next = Instant::now();
        let mut led = Instant::now();
        let mut held = false;
        let mut turn = 0;
        self.wait(limit, |context| {
            held = context.members().is_some_and(|members| holds(&members));
            if context.leader().is_some() {
                led = Instant::now();
            }
            if held || led.elapsed() > LEADERLESS_MAX {
                return Ok(true);
            }
            if context.cluster.is_silent() || Instant::now() < next {
                return Ok(false);
            }
            // A node that is not a member yet runs, but does not answer.
            let statuses = context.statuses();
            let nodes =
                context.cluster.nodes.iter().filter(|node| statuses.contains_key(&node.name));
            let asked = nodes.cycle().nth(turn % statuses.len().max(1));
            if let (Some(node), Some(request)) = (asked, admin_request(context)) {
                // The response does not matter, only the list of members afterwards.
                _ = client.send(node.api, &request);
            }
            turn += 1;
            next = Instant::now() + VERB_PAUSE;
            Ok(false)
        })?;
        Ok(held)
    }

    /// An admin request about the cluster.
    pub(super) fn admin_request(
        &self,
        method: &'static str,
        path: String,
        body: Option<Value>,
    ) -> Request {
        Request {
            method,
            path,
            token: Some(self.live.staff.clone()),
            key: None,
            headers: Vec::new(),
            body,
        }
    }

    /// How often this text appears in the logs of the nodes.
    pub(super) fn log_count(&self, text: &str) -> usize {
        let logs =
            self.cluster.nodes.iter().map(|node| self.dir.join(format!("{}.log", node.name)));
        logs.map(|log| std::fs::read_to_string(log).unwrap_or_default().matches(text).count()).sum()
    }
}
