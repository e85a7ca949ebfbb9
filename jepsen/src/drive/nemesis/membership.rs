//! Membership changes through the REST API, as an operator makes them: members are added, removed
//! and replaced, and leadership is transferred.
//!
//! What counts is the list of members afterwards, never a response. A removed id is never reused: a
//! node comes back with an empty directory and a new id. The run ends with its founders as the only
//! members.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::context::{EXIT_REMOVED, FaultContext};
use super::plan::MembershipChange;
use super::{FaultInjector, Outcome};
use crate::drive::cluster::watch::Member;

/// How long a healed cluster may take for one change, when no fault is active.
const RESTORE_LIMIT: Duration = Duration::from_secs(30);
/// How long a removed node may take to notice and exit.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);
/// The exit code of a node that was never a member and is stopped.
const EXIT_DONE: i32 = 0;

/// The injector for a membership change.
pub(super) fn injector(step: MembershipChange, nodes: Vec<usize>) -> Box<dyn FaultInjector> {
    match step {
        MembershipChange::Grow => Box::new(Grow { joined: 0, left: 0 }),
        MembershipChange::RemoveLeader => {
            Box::new(Removed { nodes, was_leader: false, gone: false })
        }
        MembershipChange::Replace => Box::new(Replaced { nodes }),
        MembershipChange::Transfer => Box::new(Transferred { to: None, moved: false }),
    }
}

fn named<'a>(members: &'a [Member], name: &str) -> Option<&'a Member> {
    members.iter().find(|member| member.name == name)
}

/// Makes a waiting node a learner.
fn add(context: &mut FaultContext<'_>, at: usize, limit: Duration) -> anyhow::Result<bool> {
    let node = context.cluster.node(at)?;
    let (name, api, peer) = (node.name.clone(), node.api.to_string(), node.peer.to_string());
    let body = json!({"name": name, "api": api, "peer": peer});
    let admin_request = |context: &FaultContext<'_>| {
        Some(context.admin_request("POST", "/v1/cluster/members".to_owned(), Some(body.clone())))
    };
    context.change(limit, admin_request, |members| named(members, &name).is_some())
}

/// Makes a learner a voter.
fn promote(context: &mut FaultContext<'_>, at: usize, limit: Duration) -> anyhow::Result<bool> {
    let name = context.cluster.node(at)?.name.clone();
    let admin_request = |context: &FaultContext<'_>| {
        let path = format!("/v1/cluster/members/{}/promotions", context.member(&name)?.id);
        Some(context.admin_request("POST", path, Some(json!({}))))
    };
    context
        .change(limit, admin_request, |members| named(members, &name).is_some_and(|m| m.is_voter))
}

/// Removes a member. If it is not gone in time, it may still go later.
fn remove(
    context: &mut FaultContext<'_>,
    at: usize,
    id: u64,
    limit: Duration,
) -> anyhow::Result<bool> {
    let name = context.cluster.node(at)?.name.clone();
    context.leaving.insert(at);
    let admin_request = |context: &FaultContext<'_>| {
        Some(context.admin_request("DELETE", format!("/v1/cluster/members/{id}"), None))
    };
    let gone = |members: &[Member]| named(members, &name).is_none_or(|member| member.id != id);
    context.change(limit, admin_request, gone)
}

/// Records one change as a step of a fault. It took effect if the list of members shows it.
fn record_event(context: &FaultContext<'_>, mode: &str, node: &str, took_effect: bool) {
    let value = json!({"phase": "step", "mode": mode, "node": node, "took_effect": took_effect});
    context.live.record_event("membership", value);
}

/// Starts an empty node and makes it a voter.
fn join(context: &mut FaultContext<'_>, at: usize, limit: Duration) -> anyhow::Result<bool> {
    let name = context.cluster.node(at)?.name.clone();
    context.start(at)?;
    let added = add(context, at, limit)?;
    record_event(context, "add", &name, added);
    let promoted = added && promote(context, at, limit)?;
    record_event(context, "promote", &name, promoted);
    if promoted {
        context.cluster.node_mut(at)?.is_wanted = true;
        context.destroyed.remove(&at);
        context.leaving.remove(&at);
    }
    Ok(promoted)
}

/// Removes a node, stops it, and deletes its files.
fn part(context: &mut FaultContext<'_>, at: usize, limit: Duration) -> anyhow::Result<bool> {
    let name = context.cluster.node(at)?.name.clone();
    context.allow_exit(at, "part", &[EXIT_REMOVED, EXIT_DONE]);
    let gone = match context.member(&name) {
        Some(member) => {
            let gone = remove(context, at, member.id, limit)?;
            record_event(context, "remove", &name, gone);
            gone
        }
        None => context.members().is_some(),
    };
    if gone {
        context.cluster.node_mut(at)?.is_wanted = false;
        context.cluster.force_kill(at)?;
        context.cluster.wipe(at)?;
    }
    context.forbid_exit(at, "part")?;
    Ok(gone)
}

/// Brings a node whose disk is lost back as a new member; returns whether it is one.
pub(super) fn replace(context: &mut FaultContext<'_>, at: usize) -> anyhow::Result<bool> {
    context.destroyed.insert(at);
    context.cluster.force_kill(at)?;
    context.cluster.wipe(at)?;
    Ok(part(context, at, context.membership_timeout)?
        && join(context, at, context.membership_timeout)?)
}

/// Makes the first spare a learner, so that every node applies a new membership.
pub(super) fn come_as_learner(context: &mut FaultContext<'_>) -> anyhow::Result<()> {
    let spare = context.cluster.founders;
    context.start(spare)?;
    let (name, added) =
        (context.names(&[spare]).concat(), add(context, spare, context.membership_timeout)?);
    record_event(context, "add", &name, added);
    Ok(())
}

/// Removes that learner.
pub(super) fn leave(context: &mut FaultContext<'_>) -> anyhow::Result<()> {
    let spare = context.cluster.founders;
    part(context, spare, context.membership_timeout).map(drop)
}

/// The founders are the only members, and all of them vote.
pub(super) fn restore(context: &mut FaultContext<'_>) -> anyhow::Result<()> {
    if context.cluster.is_silent() {
        return Ok(());
    }
    for at in 0..context.cluster.founders {
        let name = context.cluster.node(at)?.name.clone();
        context.wait(RESTORE_LIMIT, |context| {
            Ok(context.leader().is_some() && context.members().is_some())
        })?;
        let member = context.member(&name);
        let is_back = match &member {
            Some(member)
                if !context.destroyed.contains(&at) && context.cluster.node(at)?.is_wanted =>
            {
                member.is_voter || promote(context, at, RESTORE_LIMIT)?
            }
            _ => part(context, at, RESTORE_LIMIT)? && join(context, at, RESTORE_LIMIT)?,
        };
        if !is_back {
            context.finding(&format!("{name} cannot be made a member again"));
        }
        context.cluster.node_mut(at)?.is_wanted = true;
    }
    for at in context.cluster.founders..context.cluster.nodes.len() {
        if context.cluster.node(at)?.is_started() && !part(context, at, RESTORE_LIMIT)? {
            let name = context.names(&[at]).concat();
            context.finding(&format!("{name} cannot be removed"));
        }
    }
    Ok(())
}

/// Spares become voters, and leave again.
struct Grow {
    joined: usize,
    left: usize,
}

impl Grow {
    fn spares(context: &FaultContext<'_>) -> std::ops::Range<usize> {
        context.cluster.founders..context.cluster.nodes.len()
    }
}

impl FaultInjector for Grow {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        for at in Self::spares(context) {
            // A spare that did not leave in time before.
            if !context.leaving.contains(&at) || part(context, at, context.membership_timeout)? {
                self.joined += usize::from(join(context, at, context.membership_timeout)?);
            }
        }
        let voters = context.members().map(|all| all.iter().filter(|m| m.is_voter).count());
        Ok(json!({"joined": self.joined, "voters": voters}))
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        for at in Self::spares(context) {
            self.left += usize::from(part(context, at, context.membership_timeout)?);
        }
        let all = Self::spares(context).len();
        let took_effect = all > 0 && self.joined == all && self.left == all;
        Ok(Outcome { took_effect, seen: json!({"joined": self.joined, "left": self.left}) })
    }
}

/// The leader is removed, and comes back as a new member.
struct Removed {
    nodes: Vec<usize>,
    was_leader: bool,
    gone: bool,
}

impl FaultInjector for Removed {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        let &at = self.nodes.first().context("no node")?;
        let name = context.cluster.node(at)?.name.clone();
        self.was_leader = context.leader() == Some(at);
        let id = context.member(&name).context("it is no member")?.id;
        context.allow_exit(at, "remove_leader", &[EXIT_REMOVED]);
        self.gone = remove(context, at, id, context.membership_timeout)?;
        record_event(context, "remove", &name, self.gone);
        Ok(json!({"id": id, "was_leader": self.was_leader, "gone": self.gone}))
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        let &at = self.nodes.first().context("no node")?;
        let limit = if self.gone { LEAVE_LIMIT } else { Duration::ZERO };
        let ended = context.wait(limit, |context| Ok(!context.cluster.is_running(at)?))?;
        let exit = context.ended(0, at).last();
        let back = if self.gone { replace(context, at)? } else { false };
        context.forbid_exit(at, "remove_leader")?;
        let seen = json!({"was_leader": self.was_leader, "gone": self.gone, "ended": ended,
            "exit": exit, "back": back});
        Ok(Outcome { took_effect: self.was_leader && self.gone && back, seen })
    }
}

/// A node loses its disk.
struct Replaced {
    nodes: Vec<usize>,
}

impl FaultInjector for Replaced {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        let &at = self.nodes.first().context("no node")?;
        context.cluster.kill(at)?;
        if !context.cluster.is_silent() {
            context.destroyed.insert(at);
            context.cluster.wipe(at)?;
        }
        Ok(Value::Null)
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        let &at = self.nodes.first().context("no node")?;
        let name = context.cluster.node(at)?.name.clone();
        let old = context.member(&name).map(|member| member.id);
        let back = !context.cluster.is_silent() && replace(context, at)?;
        let new = context.member(&name).map(|member| member.id);
        let seen = json!({"old_id": old, "new_id": new, "back": back});
        Ok(Outcome { took_effect: back && new != old, seen })
    }
}

/// Leadership is transferred to another voter.
struct Transferred {
    to: Option<usize>,
    moved: bool,
}

impl FaultInjector for Transferred {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        let leader = context.leader();
        let others: Vec<usize> =
            (0..context.cluster.founders).filter(|at| Some(*at) != leader).collect();
        self.to = others.first().copied();
        let to = self.to.context("nobody else can lead")?;
        let name = context.cluster.node(to)?.name.clone();
        let id = context.member(&name).context("it is no member")?.id;
        let request = context.admin_request(
            "POST",
            "/v1/cluster/leader-transfers".to_owned(),
            Some(json!({"to": id})),
        );
        let api = context.cluster.node(leader.unwrap_or(to))?.api;
        if !context.cluster.is_silent() {
            // The response does not matter, only who leads afterwards.
            _ = crate::drive::http_client::HttpClient::new(LEAVE_LIMIT).send(api, &request);
        }
        let limit = if context.cluster.is_silent() { Duration::ZERO } else { LEAVE_LIMIT };
        self.moved = context.wait(limit, |context| Ok(context.leader() == Some(to)))?;
        Ok(json!({"from": leader.map(|at| at + 1), "to": to + 1}))
    }

    fn end(&mut self, _: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        Ok(Outcome { took_effect: self.moved, seen: json!({"moved": self.moved}) })
    }
}
