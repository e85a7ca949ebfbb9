//! Members that come, go, lose their disks, and hand over: by REST, as an operator does it.
//!
//! What counts is never an answer but the list of members afterwards. A removed id is never used
//! again: whoever comes back has an empty directory and a new id. The run ends with its founders
//! as the only members.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::field::{EXIT_REMOVED, Field};
use super::plan::Step;
use super::{Affliction, Outcome};
use crate::cluster::watch::Member;

/// After the last fault nothing stands in the way: so long may a healed cluster take for anything.
const RESTORE_LIMIT: Duration = Duration::from_secs(30);
/// A removed node notices it by itself.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);
/// Everything else a node may do that waits for an identity and is ended.
const EXIT_DONE: i32 = 0;

/// Who takes this step.
pub(super) fn affliction(step: Step, nodes: Vec<usize>) -> Box<dyn Affliction> {
    match step {
        Step::Grow => Box::new(Grow { joined: 0, left: 0 }),
        Step::RemoveLeader => Box::new(Removed { nodes, was_leader: false, gone: false }),
        Step::Replace => Box::new(Replaced { nodes }),
        Step::Transfer => Box::new(Transferred { to: None, moved: false }),
    }
}

fn named<'a>(members: &'a [Member], name: &str) -> Option<&'a Member> {
    members.iter().find(|member| member.name == name)
}

/// Makes a waiting node a learner.
fn add(field: &mut Field<'_>, at: usize, limit: Duration) -> anyhow::Result<bool> {
    let node = field.cluster.node(at)?;
    let (name, api, peer) = (node.name.clone(), node.api.to_string(), node.peer.to_string());
    let body = json!({"name": name, "api": api, "peer": peer});
    let verb = |field: &Field<'_>| {
        Some(field.verb("POST", "/v1/cluster/members".to_owned(), Some(body.clone())))
    };
    field.change(limit, verb, |members| named(members, &name).is_some())
}

/// Makes a learner a voter.
fn promote(field: &mut Field<'_>, at: usize, limit: Duration) -> anyhow::Result<bool> {
    let name = field.cluster.node(at)?.name.clone();
    let verb = |field: &Field<'_>| {
        let path = format!("/v1/cluster/members/{}/promotions", field.member(&name)?.id);
        Some(field.verb("POST", path, Some(json!({}))))
    };
    field.change(limit, verb, |members| named(members, &name).is_some_and(|m| m.is_voter))
}

/// Takes a member out. When it is not gone in time, it may still go later.
fn remove(field: &mut Field<'_>, at: usize, id: u64, limit: Duration) -> anyhow::Result<bool> {
    let name = field.cluster.node(at)?.name.clone();
    field.leaving.insert(at);
    let verb =
        |field: &Field<'_>| Some(field.verb("DELETE", format!("/v1/cluster/members/{id}"), None));
    let gone = |members: &[Member]| named(members, &name).is_none_or(|member| member.id != id);
    field.change(limit, verb, gone)
}

/// Says one change, as a fault of its own: it took effect if the list of members shows it.
fn say(field: &Field<'_>, mode: &str, node: &str, took_effect: bool) {
    let value = json!({"phase": "step", "mode": mode, "node": node, "took_effect": took_effect});
    field.stage.say("membership", value);
}

/// Starts a node with nothing and makes it a voter.
fn join(field: &mut Field<'_>, at: usize, limit: Duration) -> anyhow::Result<bool> {
    let name = field.cluster.node(at)?.name.clone();
    field.start(at)?;
    let added = add(field, at, limit)?;
    say(field, "add", &name, added);
    let promoted = added && promote(field, at, limit)?;
    say(field, "promote", &name, promoted);
    if promoted {
        field.cluster.node_mut(at)?.is_wanted = true;
        field.destroyed.remove(&at);
        field.leaving.remove(&at);
    }
    Ok(promoted)
}

/// Takes a node out, ends it, and removes its files.
fn part(field: &mut Field<'_>, at: usize, limit: Duration) -> anyhow::Result<bool> {
    let name = field.cluster.node(at)?.name.clone();
    field.excuse(at, "part", &[EXIT_REMOVED, EXIT_DONE]);
    let gone = match field.member(&name) {
        Some(member) => {
            let gone = remove(field, at, member.id, limit)?;
            say(field, "remove", &name, gone);
            gone
        }
        None => field.members().is_some(),
    };
    if gone {
        field.cluster.node_mut(at)?.is_wanted = false;
        field.cluster.put_down(at)?;
        field.cluster.wipe(at)?;
    }
    field.expect_to_run(at, "part")?;
    Ok(gone)
}

/// A node whose disk is lost comes back as a new member; answers whether it is one.
pub(super) fn replace(field: &mut Field<'_>, at: usize) -> anyhow::Result<bool> {
    field.destroyed.insert(at);
    field.cluster.put_down(at)?;
    field.cluster.wipe(at)?;
    Ok(part(field, at, field.patience)? && join(field, at, field.patience)?)
}

/// The first spare becomes a learner: a new membership for everybody to apply.
pub(super) fn come_as_learner(field: &mut Field<'_>) -> anyhow::Result<()> {
    let spare = field.cluster.founders;
    field.start(spare)?;
    let (name, added) = (field.names(&[spare]).concat(), add(field, spare, field.patience)?);
    say(field, "add", &name, added);
    Ok(())
}

/// It leaves again.
pub(super) fn leave(field: &mut Field<'_>) -> anyhow::Result<()> {
    let spare = field.cluster.founders;
    part(field, spare, field.patience).map(drop)
}

/// The founders are the only members, and all of them vote.
pub(super) fn restore(field: &mut Field<'_>) -> anyhow::Result<()> {
    if field.cluster.is_silent() {
        return Ok(());
    }
    for at in 0..field.cluster.founders {
        let name = field.cluster.node(at)?.name.clone();
        field.wait(RESTORE_LIMIT, |field| {
            Ok(field.leader().is_some() && field.members().is_some())
        })?;
        let member = field.member(&name);
        let is_back = match &member {
            Some(member) if !field.destroyed.contains(&at) && field.cluster.node(at)?.is_wanted => {
                member.is_voter || promote(field, at, RESTORE_LIMIT)?
            }
            _ => part(field, at, RESTORE_LIMIT)? && join(field, at, RESTORE_LIMIT)?,
        };
        if !is_back {
            field.finding(&format!("{name} cannot be made a member again"));
        }
        field.cluster.node_mut(at)?.is_wanted = true;
    }
    for at in field.cluster.founders..field.cluster.nodes.len() {
        if field.cluster.node(at)?.is_started() && !part(field, at, RESTORE_LIMIT)? {
            let name = field.names(&[at]).concat();
            field.finding(&format!("{name} cannot be removed"));
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
    fn spares(field: &Field<'_>) -> std::ops::Range<usize> {
        field.cluster.founders..field.cluster.nodes.len()
    }
}

impl Affliction for Grow {
    fn begin(&mut self, field: &mut Field<'_>) -> anyhow::Result<Value> {
        for at in Self::spares(field) {
            // What did not leave in time before.
            if !field.leaving.contains(&at) || part(field, at, field.patience)? {
                self.joined += usize::from(join(field, at, field.patience)?);
            }
        }
        let voters = field.members().map(|all| all.iter().filter(|m| m.is_voter).count());
        Ok(json!({"joined": self.joined, "voters": voters}))
    }

    fn end(&mut self, field: &mut Field<'_>) -> anyhow::Result<Outcome> {
        for at in Self::spares(field) {
            self.left += usize::from(part(field, at, field.patience)?);
        }
        let all = Self::spares(field).len();
        let took_effect = all > 0 && self.joined == all && self.left == all;
        Ok(Outcome { took_effect, seen: json!({"joined": self.joined, "left": self.left}) })
    }
}

/// The leader is removed, and comes back as somebody new.
struct Removed {
    nodes: Vec<usize>,
    was_leader: bool,
    gone: bool,
}

impl Affliction for Removed {
    fn begin(&mut self, field: &mut Field<'_>) -> anyhow::Result<Value> {
        let &at = self.nodes.first().context("no node")?;
        let name = field.cluster.node(at)?.name.clone();
        self.was_leader = field.leader() == Some(at);
        let id = field.member(&name).context("it is no member")?.id;
        field.excuse(at, "remove_leader", &[EXIT_REMOVED]);
        self.gone = remove(field, at, id, field.patience)?;
        say(field, "remove", &name, self.gone);
        Ok(json!({"id": id, "was_leader": self.was_leader, "gone": self.gone}))
    }

    fn end(&mut self, field: &mut Field<'_>) -> anyhow::Result<Outcome> {
        let &at = self.nodes.first().context("no node")?;
        let limit = if self.gone { LEAVE_LIMIT } else { Duration::ZERO };
        let ended = field.wait(limit, |field| Ok(!field.cluster.is_running(at)?))?;
        let exit = field.ended(0, at).last();
        let back = if self.gone { replace(field, at)? } else { false };
        field.expect_to_run(at, "remove_leader")?;
        let seen = json!({"was_leader": self.was_leader, "gone": self.gone, "ended": ended,
            "exit": exit, "back": back});
        Ok(Outcome { took_effect: self.was_leader && self.gone && back, seen })
    }
}

/// A node loses its disk.
struct Replaced {
    nodes: Vec<usize>,
}

impl Affliction for Replaced {
    fn begin(&mut self, field: &mut Field<'_>) -> anyhow::Result<Value> {
        let &at = self.nodes.first().context("no node")?;
        field.cluster.kill(at)?;
        if !field.cluster.is_silent() {
            field.destroyed.insert(at);
            field.cluster.wipe(at)?;
        }
        Ok(Value::Null)
    }

    fn end(&mut self, field: &mut Field<'_>) -> anyhow::Result<Outcome> {
        let &at = self.nodes.first().context("no node")?;
        let name = field.cluster.node(at)?.name.clone();
        let old = field.member(&name).map(|member| member.id);
        let back = !field.cluster.is_silent() && replace(field, at)?;
        let new = field.member(&name).map(|member| member.id);
        let seen = json!({"old_id": old, "new_id": new, "back": back});
        Ok(Outcome { took_effect: back && new != old, seen })
    }
}

/// Another voter leads.
struct Transferred {
    to: Option<usize>,
    moved: bool,
}

impl Affliction for Transferred {
    fn begin(&mut self, field: &mut Field<'_>) -> anyhow::Result<Value> {
        let leader = field.leader();
        let others: Vec<usize> =
            (0..field.cluster.founders).filter(|at| Some(*at) != leader).collect();
        self.to = others.first().copied();
        let to = self.to.context("nobody else can lead")?;
        let name = field.cluster.node(to)?.name.clone();
        let id = field.member(&name).context("it is no member")?.id;
        let request =
            field.verb("POST", "/v1/cluster/leader-transfers".to_owned(), Some(json!({"to": id})));
        let api = field.cluster.node(leader.unwrap_or(to))?.api;
        if !field.cluster.is_silent() {
            // Refused or lost: who leads afterwards is what counts.
            _ = crate::client::Client::new(LEAVE_LIMIT).send(api, &request);
        }
        let limit = if field.cluster.is_silent() { Duration::ZERO } else { LEAVE_LIMIT };
        self.moved = field.wait(limit, |field| Ok(field.leader() == Some(to)))?;
        Ok(json!({"from": leader.map(|at| at + 1), "to": to + 1}))
    }

    fn end(&mut self, _: &mut Field<'_>) -> anyhow::Result<Outcome> {
        Ok(Outcome { took_effect: self.moved, seen: json!({"moved": self.moved}) })
    }
}
