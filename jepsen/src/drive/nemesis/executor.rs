//! Executes a plan on a thread beside the clients, and heals everything at the end.
//!
//! Every fault is recorded when it begins (`"phase": "begin"`) and when it ends, with what was
//! observed. Faults that could not end in time are skipped, and so are those whose nodes all have
//! another fault. Faults end in reverse order, even if one of them fails.
//!
//! A slow machine skips more of them, and overlapping faults keep each other from taking effect. So
//! a required fault that was not seen to take effect is repeated afterwards, alone, while the
//! clients go on.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::context::FaultContext;
use super::plan::{Fault, PlannedFault};
use super::{FaultInjector, Outcome, injector, membership};
use crate::drive::client_loop::LiveRun;
use crate::drive::cluster::process::Cluster;
use crate::judge::check::recovery;

/// How often the plan is checked.
const TICK: Duration = Duration::from_millis(50);
/// How often active faults are checked.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// Other faults may block membership changes; they must get their turn to end.
const PATIENCE_IN_CHAOS: Duration = Duration::from_secs(4);
/// How often a required fault is repeated at most.
const REPEATS_MAX: usize = 2;
/// How long a repeated fault waits for a leader.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The event at the end of the nemesis.
const NOTES: &str = "nemesis_notes";

/// An active fault.
struct ActiveFault {
    number: usize,
    planned: PlannedFault,
    nodes: Vec<usize>,
    until: Instant,
    injector: Box<dyn FaultInjector>,
    errors: Vec<String>,
}

/// Executes the plan within this time, repeats what is required within half of it more, and undoes
/// every fault.
pub fn execute(
    (plan, required): (&[PlannedFault], &[String]),
    limit: Duration,
    cluster: &mut Cluster,
    live: &LiveRun,
    dir: &Path,
) -> anyhow::Result<()> {
    let mut context = FaultContext::new(cluster, live, dir.to_owned());
    let mut kinds = plan.iter().map(PlannedFault::kind);
    let first = kinds.next();
    if kinds.any(|kind| Some(kind) != first) {
        context.membership_timeout = PATIENCE_IN_CHAOS;
    }
    let mut took_effect = BTreeSet::new();
    let result = run_plan((0, plan), limit, &mut context, &mut took_effect)
        .and_then(|()| repeat((plan, required), limit / 2, &mut context, &mut took_effect));
    let healed = heal(&mut context, recovery::LIMIT);
    let snapshots = context.log_count("sending a snapshot");
    context.live.record_event(NOTES, json!({"snapshots_sent": snapshots}));
    result.and(healed)
}

/// Repeats each required fault that did not take effect, one after another.
fn repeat(
    (plan, required): (&[PlannedFault], &[String]),
    limit: Duration,
    context: &mut FaultContext<'_>,
    took_effect: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    let until = Instant::now() + limit;
    let mut number = plan.len();
    for name in required {
        let of_name = plan.iter().filter(|planned| names(planned).contains(name));
        for planned in of_name.cycle().take(REPEATS_MAX) {
            let left = until.saturating_duration_since(Instant::now());
            if took_effect.contains(name) || left.is_zero() {
                break;
            }
            context.wait(left.min(PAUSE_MAX), |context| Ok(context.leader().is_some()))?;
            let left = until.saturating_duration_since(Instant::now());
            let planned = PlannedFault { at_ms: 0, ..planned.clone() };
            run_plan((number, &[planned]), left, context, took_effect)?;
            number += 1;
        }
    }
    Ok(())
}

/// The names under which a fault can be required.
fn names(planned: &PlannedFault) -> [String; 2] {
    let kind = planned.kind().name();
    [kind.to_owned(), format!("{kind}/{}", planned.mode())]
}

/// Executes faults at their times. All of them have ended afterwards, even after an error.
fn run_plan(
    (first, plan): (usize, &[PlannedFault]),
    limit: Duration,
    context: &mut FaultContext<'_>,
    took_effect: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    let mut open = Vec::new();
    let result = run_to_the_end((first, plan), limit, context, &mut open, took_effect);
    while let Some(fault) = open.pop() {
        end(fault, context, took_effect);
    }
    result
}

fn run_to_the_end(
    (first, plan): (usize, &[PlannedFault]),
    limit: Duration,
    context: &mut FaultContext<'_>,
    open: &mut Vec<ActiveFault>,
    took_effect: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut watched = started;
    let mut left = (first..).zip(plan).peekable();
    while left.peek().is_some() || !open.is_empty() {
        thread::sleep(TICK);
        context.check_exits()?;
        while let Some(at) = open.iter().position(|fault| fault.until <= Instant::now()) {
            end(open.remove(at), context, took_effect);
        }
        // A fault that was slow to begin delays the next one of its kind: they must not overlap.
        let due = |planned: &PlannedFault| {
            started.elapsed() >= Duration::from_millis(planned.at_ms)
                && open.iter().all(|fault| fault.planned.kind() != planned.kind())
        };
        if let Some((number, planned)) = left.next_if(|(_, planned)| due(planned)) {
            let ends = started.elapsed() + Duration::from_millis(planned.lasts_ms);
            if ends < limit && !context.live.done.load(Ordering::Relaxed) {
                begin(number, planned, context, open);
            } else {
                let said = json!({"phase": "begin", "number": number, "mode": planned.mode(),
                    "left_out": "there was no time left for it"});
                context.live.record_event(planned.kind().name(), said);
            }
        }
        if watched.elapsed() >= WATCH_EVERY {
            watched = Instant::now();
            for fault in open.iter_mut() {
                if let Err(error) = fault.injector.watch(context) {
                    fault.errors.push(format!("{error:#}"));
                }
            }
        }
    }
    Ok(())
}

fn begin(
    number: usize,
    planned: &PlannedFault,
    context: &mut FaultContext<'_>,
    open: &mut Vec<ActiveFault>,
) {
    let busy = |at: &usize| {
        planned.holds_nodes()
            && open.iter().any(|fault| fault.planned.holds_nodes() && fault.nodes.contains(at))
    };
    let mut nodes = planned.target.resolve(&context.wanted(), context.leader(), planned.node);
    nodes.retain(|at| !busy(at));
    let (kind, mode) = (planned.kind().name(), planned.mode());
    let names = context.names(&nodes);
    let mut said = json!({"phase": "begin", "number": number, "mode": mode,
        "target": planned.target.name(), "nodes": names});
    let one_is_away = !context.destroyed.is_empty()
        || context.cluster.founders().iter().any(|node| !node.is_wanted);
    if let Some(why) = obstacle(planned, &nodes, one_is_away, open) {
        if let Some(said) = said.as_object_mut() {
            said.insert("left_out".to_owned(), json!(why));
        }
        return context.live.record_event(kind, said);
    }
    context.live.record_event(kind, said);
    let injector = injector(planned, &nodes);
    let until = Instant::now() + Duration::from_millis(planned.lasts_ms);
    let planned = planned.clone();
    let mut fault = ActiveFault { number, planned, nodes, until, injector, errors: vec![] };
    let begun = fault.injector.begin(context);
    match begun {
        Ok(Value::Null) => {}
        Ok(done) => context.live.record_event(
            &format!("{kind}_begun"),
            json!({"number": number, "mode": fault.planned.mode(), "done": done}),
        ),
        Err(error) => fault.errors.push(format!("{error:#}")),
    }
    // A fault that was slow to begin still lasts as long as planned, unless its end time matters.
    if !matches!(fault.planned.fault, Fault::Pause { .. }) {
        fault.until = Instant::now() + Duration::from_millis(fault.planned.lasts_ms);
    }
    open.push(fault);
}

/// Why a fault is skipped, if it is. Disks lost at the same time must stay a minority: one of three
/// nodes, and to be safe one of five.
fn obstacle(
    planned: &PlannedFault,
    nodes: &[usize],
    one_is_away: bool,
    open: &[ActiveFault],
) -> Option<&'static str> {
    if nodes.is_empty() {
        return Some("its nodes already have a fault");
    }
    let one_is_lost = one_is_away || open.iter().any(|fault| fault.planned.destroys());
    (planned.destroys() && one_is_lost).then_some("another disk is or may be lost")
}

fn end(mut fault: ActiveFault, context: &mut FaultContext<'_>, took_effect: &mut BTreeSet<String>) {
    let outcome = fault.injector.end(context).unwrap_or_else(|error| {
        fault.errors.push(format!("{error:#}"));
        Outcome::default()
    });
    if outcome.took_effect {
        took_effect.extend(names(&fault.planned));
    }
    let names = context.names(&fault.nodes);
    let mut said = json!({"phase": "end", "number": fault.number, "mode": fault.planned.mode(),
        "nodes": names, "took_effect": outcome.took_effect, "seen": outcome.seen});
    if let Some(said) = said.as_object_mut()
        && !fault.errors.is_empty()
    {
        said.insert("troubles".to_owned(), json!(fault.errors));
    }
    context.live.record_event(fault.planned.kind().name(), said);
}

/// Undoes everything: no link is cut, the members are the founders, and all of them run.
fn heal(context: &mut FaultContext<'_>, limit: Duration) -> anyhow::Result<()> {
    let ways = context.cluster.network.heal_all();
    all_run(context)?;
    // Membership changes need a leader, but it must come back in time all the same.
    if !context.wait(limit, |context| Ok(context.leader().is_some()))? {
        context.finding(&format!("no leader within {limit:?} of the last fault"));
    }
    let members = if context.touched_members { membership::restore(context) } else { Ok(()) };
    all_run(context)?;
    ways.and(members)
}

fn all_run(context: &mut FaultContext<'_>) -> anyhow::Result<()> {
    for at in context.wanted() {
        context.cluster.freeze(at, false)?;
        context.start(at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::drive::cluster::process::tests::scripted;
    use crate::drive::nemesis::plan::{DiskFault, FailpointAction, MembershipChange, Target};
    use crate::record::recorder::Recorder;

    #[derive(Debug)]
    struct Harmless;

    impl FaultInjector for Harmless {
        fn begin(&mut self, _: &mut FaultContext<'_>) -> anyhow::Result<Value> {
            Ok(Value::Null)
        }

        fn end(&mut self, _: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
            Ok(Outcome::default())
        }
    }

    #[test]
    fn a_healed_cluster_without_a_leader_is_a_finding() {
        let (dir, mut cluster) = scripted("exec sleep 600", false);
        let live = live(dir.path());
        let mut context = FaultContext::new(&mut cluster, &live, dir.path().to_owned());
        heal(&mut context, Duration::ZERO).unwrap();
        assert!(said(&live, dir.path()).contains("no leader within 0ns of the last fault"));
        assert!(context.cluster.is_running(0).unwrap());
    }

    /// A fault ends just as its node is about to exit because of it.
    #[track_caller]
    fn is_let_off(fault: Fault, who: &'static str, code: i32) {
        let (dir, mut cluster) = scripted(&format!("sleep 0.1; exit {code}"), false);
        let live = live(dir.path());
        let mut context = FaultContext::new(&mut cluster, &live, dir.path().to_owned());
        context.start(0).unwrap();
        context.allow_exit(0, who, &[code]);
        let planned = PlannedFault { at_ms: 0, lasts_ms: 1, target: Target::One, node: 0, fault };
        let outcome = injector(&planned, &[0]).end(&mut context).unwrap();
        assert!(outcome.took_effect, "{outcome:?}");
        let history = said(&live, dir.path());
        assert!(history.contains(r#""explained":true"#), "{history}");
    }

    #[test]
    fn a_node_that_ends_as_its_fault_is_lifted_is_let_off() {
        is_let_off(Fault::Disk { mode: DiskFault::Full }, "disk", 74);
        let name = "log_append_before".to_owned();
        is_let_off(
            Fault::Failpoint { name, action: FailpointAction::Panic, ms: 0 },
            "failpoint",
            70,
        );
    }

    fn live(dir: &Path) -> LiveRun {
        let history = std::fs::File::create(dir.join("history.jsonl")).unwrap();
        let recorder = Recorder::new(history, "r").unwrap();
        LiveRun { recorder, nodes: Vec::new(), staff: String::new(), done: AtomicBool::new(false) }
    }

    fn said(live: &LiveRun, dir: &Path) -> String {
        live.recorder.close().unwrap();
        std::fs::read_to_string(dir.join("history.jsonl")).unwrap()
    }

    #[test]
    fn a_required_fault_that_was_left_out_is_repeated() {
        let (dir, mut cluster) = scripted("exec sleep 600", false);
        cluster.start(0).unwrap();
        let live = live(dir.path());
        let kill = PlannedFault {
            at_ms: 5_900,
            lasts_ms: 200,
            target: Target::One,
            node: 0,
            fault: Fault::Kill,
        };
        let required = ["kill".to_owned(), "pause".to_owned()];
        let mut context = FaultContext::new(&mut cluster, &live, dir.path().to_owned());
        let mut took_effect = BTreeSet::new();
        repeat((&[kill], &required), Duration::from_secs(5), &mut context, &mut took_effect)
            .unwrap();
        assert_eq!(took_effect, BTreeSet::from(["kill".to_owned(), "kill/one".to_owned()]));
        let history = said(&live, dir.path());
        assert_eq!(history.matches(r#""phase":"end""#).count(), 1, "{history}");
        assert!(history.contains(r#""number":1"#), "numbered behind the plan: {history}");
    }

    #[test]
    fn a_disk_is_not_destroyed_while_another_is_lost() {
        let planned =
            |fault| PlannedFault { at_ms: 0, lasts_ms: 1, target: Target::One, node: 0, fault };
        let at_work = |planned: &PlannedFault| ActiveFault {
            number: 1,
            planned: planned.clone(),
            nodes: vec![1],
            until: Instant::now(),
            injector: Box::new(Harmless),
            errors: Vec::new(),
        };
        let (replace, kill) =
            (planned(Fault::Membership { step: MembershipChange::Replace }), planned(Fault::Kill));
        assert_eq!(obstacle(&replace, &[0], false, &[]), None);
        assert_eq!(obstacle(&replace, &[0], false, &[at_work(&kill)]), None);
        let lost = Some("another disk is or may be lost");
        assert_eq!(obstacle(&replace, &[0], true, &[]), lost);
        assert_eq!(obstacle(&replace, &[0], false, &[at_work(&replace)]), lost);
        assert_eq!(obstacle(&kill, &[0], true, &[at_work(&replace)]), None);
        assert_eq!(obstacle(&kill, &[], false, &[]), Some("its nodes already have a fault"));
    }
}
