//! What every fault may touch: the nodes, the ways between them, and the history.
//!
//! A node that ends by itself is a finding, unless a fault at work explains it by its exit code.

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

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A change of members is one commit; beyond this it is asked again, or given up.
const VERB_LIMIT: Duration = Duration::from_secs(2);
/// So long without a leader, nothing can be changed: other faults must be mended first.
const LEADERLESS_MAX: Duration = Duration::from_secs(2);
/// Between two requests for the same change.
const VERB_PAUSE: Duration = Duration::from_millis(250);
/// The node was removed from its cluster.
pub(super) const EXIT_REMOVED: i32 = 77;

/// The ground of a run, while faults are carried out.
pub(super) struct FaultContext<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) live: &'a LiveRun,
    /// Files of this run that belong to the nemesis.
    pub(super) dir: PathBuf,
    /// How each node ended, if it did so by itself.
    pub(super) exits: Vec<(usize, i32)>,
    /// How long a change of members may take, while other faults wait for their turn.
    pub(super) membership_timeout: Duration,
    /// Members were changed: at the end they have to be looked at.
    pub(super) touched_members: bool,
    /// Nodes whose disks are lost, and that are not yet back as new members.
    pub(super) destroyed: BTreeSet<usize>,
    /// Nodes that were told to leave, whatever was answered, and are not back as new members.
    pub(super) leaving: BTreeSet<usize>,
    /// Exit codes that faults at work explain, by node and by whoever excuses them.
    allowed_exits: BTreeMap<(usize, &'static str), Vec<i32>>,
    /// Nodes that fell and stay down: findings.
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

    /// The places of the nodes that belong to the cluster.
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

    /// Something that no fault explains.
    pub(super) fn finding(&self, what: &str) {
        self.live.record_event(UNEXPECTED, json!({"what": what}));
    }

    /// From now on this node may end with one of these codes: faults overlap, so each says who it
    /// is, and takes back what is its own.
    pub(super) fn allow_exit(&mut self, at: usize, who: &'static str, codes: &[i32]) {
        self.allowed_exits.insert((at, who), codes.to_vec());
    }

    /// The codes with which a node ended by itself, after the first `since` ends of any node.
    pub(super) fn ended(&self, since: usize, at: usize) -> impl Iterator<Item = i32> {
        let exits = self.exits.iter().skip(since);
        exits.filter(move |(node, _)| *node == at).map(|(_, code)| *code)
    }

    /// No longer.
    pub(super) fn forbid_exit(&mut self, at: usize, who: &'static str) -> anyhow::Result<()> {
        self.check_exits()?;
        self.allowed_exits.remove(&(at, who));
        Ok(())
    }

    /// Notes the nodes that ended by themselves since the last look.
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

    /// Whether a fault at work explains that a node ends with this code.
    fn explains(&self, at: usize, code: i32) -> bool {
        self.allowed_exits.iter().any(|((node, _), codes)| *node == at && codes.contains(&code))
            || (code == EXIT_REMOVED && self.leaving.contains(&at))
    }

    /// Asks a node to stop, and waits; answers its exit code, if it ran.
    pub(super) fn terminate(&mut self, at: usize) -> anyhow::Result<Option<i32>> {
        let name = self.cluster.node(at)?.name.clone();
        match self.cluster.terminate(at) {
            Ok(Some(code)) => {
                // What it was about to end by anyway may come first.
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

    /// Starts a node, unless it fell for no known reason: then it stays as it is, to be looked at.
    pub(super) fn start(&mut self, at: usize) -> anyhow::Result<()> {
        self.check_exits()?;
        if self.given_up.contains(&at) { Ok(()) } else { self.cluster.start(at) }
    }

    /// Looks until something holds, or the time is over; answers whether it held.
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
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The members as the most advanced node that answers has them.
    pub(super) fn members(&self) -> Option<Vec<Member>> {
        let statuses = self.statuses();
        let (name, _) = statuses.iter().max_by_key(|(_, status)| (status.term, status.revision))?;
        let node = self.cluster.nodes.iter().find(|node| node.name == *name)?;
        watch::members(node.api, &self.live.staff)
    }

    pub(super) fn member(&self, name: &str) -> Option<Member> {
        self.members()?.into_iter().find(|member| member.name == name)
    }

    /// Asks for a change of members, at node after node, until `holds` is seen or time is over.
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
            // A node that waits to be a member is up, and answers nothing.
            let statuses = context.statuses();
            let nodes =
                context.cluster.nodes.iter().filter(|node| statuses.contains_key(&node.name));
            let asked = nodes.cycle().nth(turn % statuses.len().max(1));
            if let (Some(node), Some(request)) = (asked, admin_request(context)) {
                // Refused and lost are alike: what counts is what the members are afterwards.
                _ = client.send(node.api, &request);
            }
            turn += 1;
            next = Instant::now() + VERB_PAUSE;
            Ok(false)
        })?;
        Ok(held)
    }

    /// A request of an admin about the cluster.
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

    /// How often the nodes' logs say that something was done.
    pub(super) fn log_count(&self, text: &str) -> usize {
        let logs =
            self.cluster.nodes.iter().map(|node| self.dir.join(format!("{}.log", node.name)));
        logs.map(|log| std::fs::read_to_string(log).unwrap_or_default().matches(text).count()).sum()
    }
}
