//! Carries a plan out, one thread beside the clients, and heals whatever happens.
//!
//! Every fault is said twice: as it begins (`"phase": "begin"`) and as it ends, with what was seen
//! of it. Faults that came too late to end in time are left out; those whose nodes all bear
//! another fault say so. Healing goes backwards, also when a step fails.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::field::Field;
use super::plan::{Fault, Planned};
use super::{Affliction, Outcome, affliction, membership};
use crate::check::recovery;
use crate::cluster::process::Cluster;
use crate::teller::Stage;

/// How often the clock of the plan is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often what is broken is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// Other faults may keep members from changing; those must get their turn to end.
const PATIENCE_IN_CHAOS: Duration = Duration::from_secs(4);
/// What the nemesis says at its end.
const NOTES: &str = "nemesis_notes";

/// A fault at work.
struct Open {
    number: usize,
    planned: Planned,
    nodes: Vec<usize>,
    until: Instant,
    affliction: Box<dyn Affliction>,
    troubles: Vec<String>,
}

/// Carries the plan out within this time; everything that was broken is mended.
pub fn carry_out(
    plan: &[Planned],
    limit: Duration,
    cluster: &mut Cluster,
    stage: &Stage,
    dir: &Path,
) -> anyhow::Result<()> {
    let mut field = Field::new(cluster, stage, dir.to_owned());
    let mut kinds = plan.iter().map(Planned::kind);
    let first = kinds.next();
    if kinds.any(|kind| Some(kind) != first) {
        field.patience = PATIENCE_IN_CHAOS;
    }
    let mut open = Vec::new();
    let conducted = conduct(plan, limit, &mut field, &mut open);
    while let Some(fault) = open.pop() {
        end(fault, &mut field);
    }
    let healed = heal(&mut field, recovery::LIMIT);
    let snapshots = field.told("sending a snapshot");
    field.stage.say(NOTES, json!({"snapshots_sent": snapshots}));
    conducted.and(healed)
}

fn conduct(
    plan: &[Planned],
    limit: Duration,
    field: &mut Field<'_>,
    open: &mut Vec<Open>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut watched = started;
    let mut left = plan.iter().enumerate().peekable();
    while left.peek().is_some() || !open.is_empty() {
        thread::sleep(TICK);
        field.look_for_fallen()?;
        while let Some(at) = open.iter().position(|fault| fault.until <= Instant::now()) {
            end(open.remove(at), field);
        }
        // What was slow to begin holds up the next of its kind: they must not overlap.
        let due = |planned: &Planned| {
            started.elapsed() >= Duration::from_millis(planned.at_ms)
                && open.iter().all(|fault| fault.planned.kind() != planned.kind())
        };
        if let Some((number, planned)) = left.next_if(|(_, planned)| due(planned)) {
            let ends = started.elapsed() + Duration::from_millis(planned.lasts_ms);
            if ends < limit && !field.stage.done.load(Ordering::Relaxed) {
                begin(number, planned, field, open);
            } else {
                let said = json!({"phase": "begin", "number": number, "mode": planned.mode(),
                    "left_out": "no time was left for it"});
                field.stage.say(planned.kind().word(), said);
            }
        }
        if watched.elapsed() >= WATCH_EVERY {
            watched = Instant::now();
            for fault in open.iter_mut() {
                if let Err(error) = fault.affliction.watch(field) {
                    fault.troubles.push(format!("{error:#}"));
                }
            }
        }
    }
    Ok(())
}

fn begin(number: usize, planned: &Planned, field: &mut Field<'_>, open: &mut Vec<Open>) {
    let busy = |at: &usize| {
        planned.holds_nodes()
            && open.iter().any(|fault| fault.planned.holds_nodes() && fault.nodes.contains(at))
    };
    let mut nodes = planned.target.resolve(&field.wanted(), field.leader(), planned.node);
    nodes.retain(|at| !busy(at));
    let (kind, mode) = (planned.kind().word(), planned.mode());
    let names = field.names(&nodes);
    let mut said = json!({"phase": "begin", "number": number, "mode": mode,
        "target": planned.target.word(), "nodes": names});
    let one_is_away =
        !field.destroyed.is_empty() || field.cluster.founders().iter().any(|node| !node.is_wanted);
    if let Some(why) = obstacle(planned, &nodes, one_is_away, open) {
        if let Some(said) = said.as_object_mut() {
            said.insert("left_out".to_owned(), json!(why));
        }
        return field.stage.say(kind, said);
    }
    field.stage.say(kind, said);
    let affliction = affliction(planned, &nodes);
    let until = Instant::now() + Duration::from_millis(planned.lasts_ms);
    let planned = planned.clone();
    let mut fault = Open { number, planned, nodes, until, affliction, troubles: vec![] };
    let begun = fault.affliction.begin(field);
    match begun {
        Ok(Value::Null) => {}
        Ok(done) => field.stage.say(
            &format!("{kind}_begun"),
            json!({"number": number, "mode": fault.planned.mode(), "done": done}),
        ),
        Err(error) => fault.troubles.push(format!("{error:#}")),
    }
    // What began slowly still lasts as long as planned, unless its end is what counts.
    if !matches!(fault.planned.fault, Fault::Pause { .. }) {
        fault.until = Instant::now() + Duration::from_millis(fault.planned.lasts_ms);
    }
    open.push(fault);
}

/// Why a fault is left out, if it is. Disks that are lost at once stay a minority: of three nodes
/// one, and of five one as well.
fn obstacle(
    planned: &Planned,
    nodes: &[usize],
    one_is_away: bool,
    open: &[Open],
) -> Option<&'static str> {
    if nodes.is_empty() {
        return Some("its nodes bear another fault");
    }
    let one_is_lost = one_is_away || open.iter().any(|fault| fault.planned.destroys());
    (planned.destroys() && one_is_lost).then_some("another disk is lost, or may be")
}

fn end(mut fault: Open, field: &mut Field<'_>) {
    let outcome = fault.affliction.end(field).unwrap_or_else(|error| {
        fault.troubles.push(format!("{error:#}"));
        Outcome::default()
    });
    let names = field.names(&fault.nodes);
    let mut said = json!({"phase": "end", "number": fault.number, "mode": fault.planned.mode(),
        "nodes": names, "took_effect": outcome.took_effect, "seen": outcome.seen});
    if let Some(said) = said.as_object_mut()
        && !fault.troubles.is_empty()
    {
        said.insert("troubles".to_owned(), json!(fault.troubles));
    }
    field.stage.say(fault.planned.kind().word(), said);
}

/// After the last fault: no way is cut, the members are the founders, and all of them run.
fn heal(field: &mut Field<'_>, limit: Duration) -> anyhow::Result<()> {
    let ways = field.cluster.network.heal_all();
    all_run(field)?;
    // Changes of members wait for a leader; it has to come back in time all the same.
    if !field.wait(limit, |field| Ok(field.leader().is_some()))? {
        field.finding(&format!("no leader within {limit:?} of the last fault"));
    }
    let members = if field.touched_members { membership::restore(field) } else { Ok(()) };
    all_run(field)?;
    ways.and(members)
}

fn all_run(field: &mut Field<'_>) -> anyhow::Result<()> {
    for at in field.wanted() {
        field.cluster.freeze(at, false)?;
        field.start(at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::cluster::process::tests::scripted;
    use crate::nemesis::plan::{Act, Spoiled, Step, Target};
    use crate::recorder::Recorder;

    #[derive(Debug)]
    struct Harmless;

    impl Affliction for Harmless {
        fn begin(&mut self, _: &mut Field<'_>) -> anyhow::Result<Value> {
            Ok(Value::Null)
        }

        fn end(&mut self, _: &mut Field<'_>) -> anyhow::Result<Outcome> {
            Ok(Outcome::default())
        }
    }

    #[test]
    fn a_healed_cluster_without_a_leader_is_a_finding() {
        let (dir, mut cluster) = scripted("exec sleep 600", false);
        let stage = stage(dir.path());
        let mut field = Field::new(&mut cluster, &stage, dir.path().to_owned());
        heal(&mut field, Duration::ZERO).unwrap();
        assert!(said(&stage, dir.path()).contains("no leader within 0ns of the last fault"));
        assert!(field.cluster.is_running(0).unwrap());
    }

    /// What a node was hurt by is lifted while it is about to end.
    #[track_caller]
    fn is_let_off(fault: Fault, who: &'static str, code: i32) {
        let (dir, mut cluster) = scripted(&format!("sleep 0.1; exit {code}"), false);
        let stage = stage(dir.path());
        let mut field = Field::new(&mut cluster, &stage, dir.path().to_owned());
        field.start(0).unwrap();
        field.excuse(0, who, &[code]);
        let planned = Planned { at_ms: 0, lasts_ms: 1, target: Target::One, node: 0, fault };
        let outcome = affliction(&planned, &[0]).end(&mut field).unwrap();
        assert!(outcome.took_effect, "{outcome:?}");
        let told = said(&stage, dir.path());
        assert!(told.contains(r#""explained":true"#), "{told}");
    }

    #[test]
    fn a_node_that_ends_as_its_fault_is_lifted_is_let_off() {
        is_let_off(Fault::Disk { mode: Spoiled::Full }, "disk", 74);
        let name = "log_append_before".to_owned();
        is_let_off(Fault::Failpoint { name, action: Act::Panic, ms: 0 }, "failpoint", 70);
    }

    fn stage(dir: &Path) -> Stage {
        let history = std::fs::File::create(dir.join("history.jsonl")).unwrap();
        let recorder = Recorder::new(history, "r").unwrap();
        Stage { recorder, nodes: Vec::new(), staff: String::new(), done: AtomicBool::new(false) }
    }

    fn said(stage: &Stage, dir: &Path) -> String {
        stage.recorder.close().unwrap();
        std::fs::read_to_string(dir.join("history.jsonl")).unwrap()
    }

    #[test]
    fn a_disk_is_not_destroyed_while_another_is_lost() {
        let planned =
            |fault| Planned { at_ms: 0, lasts_ms: 1, target: Target::One, node: 0, fault };
        let at_work = |planned: &Planned| Open {
            number: 1,
            planned: planned.clone(),
            nodes: vec![1],
            until: Instant::now(),
            affliction: Box::new(Harmless),
            troubles: Vec::new(),
        };
        let (replace, kill) =
            (planned(Fault::Membership { step: Step::Replace }), planned(Fault::Kill));
        assert_eq!(obstacle(&replace, &[0], false, &[]), None);
        assert_eq!(obstacle(&replace, &[0], false, &[at_work(&kill)]), None);
        let lost = Some("another disk is lost, or may be");
        assert_eq!(obstacle(&replace, &[0], true, &[]), lost);
        assert_eq!(obstacle(&replace, &[0], false, &[at_work(&replace)]), lost);
        assert_eq!(obstacle(&kill, &[0], true, &[at_work(&replace)]), None);
        assert_eq!(obstacle(&kill, &[], false, &[]), Some("its nodes bear another fault"));
    }
}
