//! The words of a report: the verdict in one sentence, the meaning of each checker, the claims,
//! what was requested, and what was not tested.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::judge::check::{Evidence, Finding, Judgement, Verdict};
use crate::record::history::{End, Event};

use super::html::{number, seconds};
use super::plot::{bands, whole};

/// The claims, and the checkers that look for the opposite.
pub(super) const CLAIMS: &[(&str, &str, &[&str])] = &[
    (
        "Linearizable",
        "Every acknowledged write and every default read takes effect at one instant between \
         request and response. Only early refusals may be older, by 200 ms at most.",
        &["witness", "wgl", "session"],
    ),
    (
        "No oversell, no undersell",
        "Every unit is available, held, sold or scrapped, never two of these; a unit nobody owns \
         can be sold.",
        &["oversell", "undersell", "conservation", "set_full"],
    ),
    (
        "Exactly once",
        "One idempotency key has one effect and one answer, however often it is sent.",
        &["once"],
    ),
    (
        "Revoked at once",
        "Who was logged out, blocked, demoted or given a new password does nothing more, on any \
         node, from the acknowledgement on; an address has one account, and a code five tries.",
        &["revocation", "renewal", "one_account", "tries", "last_admin"],
    ),
    (
        "Durable",
        "Whatever was acknowledged is still there after the faults.",
        &["witness", "set_full", "once"],
    ),
    (
        "Honest answers",
        "A request answered with executed: no never takes effect; in doubt the answer is maybe.",
        &["once", "contract"],
    ),
    (
        "Same state everywhere",
        "Nodes at one revision have one state, in memory and on disk.",
        &["convergence", "log_scan"],
    ),
    (
        "Recovers",
        "Within 30 s of the last fault every node serves reads and writes without help, and no \
         node does anything that no fault explains.",
        &["recovery"],
    ),
];

/// What a checker looks for, in one line.
pub(super) fn meaning(checker: &str) -> &'static str {
    match checker {
        "witness" => {
            "Replays everything in the order the nodes claim (revisions) through an independent \
             model, and checks that this order respects real time."
        }
        "wgl" => {
            "Searches, for each sale and product, for any order of operations that explains the \
             answers; ignores revisions."
        }
        "once" => {
            "One key, one effect, one answer; a request answered with executed: no did not run."
        }
        "oversell" => "Never more units held and sold than there are; no customer over the limit.",
        "undersell" => {
            "Nobody was refused as sold out while units were left, and in the end every unit is sold."
        }
        "conservation" => "The accounts of every read and of every node add up.",
        "set_full" => "Every acknowledged order is listed, exactly once.",
        "session" => "A client sees its own writes, and never goes back in time.",
        "revocation" => {
            "Nothing is carried out for a session, role, password or user after it was revoked."
        }
        "renewal" => "One refresh token gives one successor, and no older one is taken.",
        "one_account" => "An address has one account, and a user who signed up can log in.",
        "tries" => "Five wrong tries make a code worthless, and the right one counts once.",
        "last_admin" => "Somebody always stays who can sign in as an admin.",
        "convergence" => {
            "All nodes hold the same state, as they report it and as read from their files."
        }
        "recovery" => {
            "After the last fault every node served again in time, and nothing happened that no \
             fault explains: no node ended, served damaged state or would not join again."
        }
        "contract" => "Every response is one that the API contract allows.",
        "log_scan" => "No node logged a panic, a broken invariant or corrupt data.",
        "coverage" => "The run did enough and its faults took effect; otherwise it shows little.",
        _ => "",
    }
}

/// What a checker counts.
pub fn unit(checker: &str) -> &'static str {
    match checker {
        "witness" => "operations",
        "wgl" => "sales or products",
        "once" => "keys",
        "oversell" | "undersell" => "answers and sales",
        "conservation" => "sets of accounts",
        "set_full" => "lists",
        "session" | "contract" => "requests",
        "revocation" => "accesses",
        "renewal" => "renewals",
        "one_account" => "addresses",
        "tries" => "codes",
        "last_admin" => "demotions",
        "convergence" => "comparisons",
        "recovery" => "nodes",
        "log_scan" => "log lines",
        "coverage" => "decisions",
        _ => "",
    }
}

/// The verdict in one sentence.
pub(super) fn sentence(evidence: &Evidence, judgement: &Judgement, error: Option<u64>) -> String {
    let named = |verdict: Verdict| -> Vec<&str> {
        let of = judgement.findings.iter().filter(|finding| finding.verdict == verdict);
        of.map(|finding| finding.checker.as_str()).collect()
    };
    match judgement.verdict {
        Verdict::False => {
            let when = error.map_or_else(String::new, |at| {
                format!(" The first error happened {} into the run.", seconds(at))
            });
            format!(
                "The nodes broke a promise: {} found something that must never happen.{when}",
                listed(&named(Verdict::False))
            )
        }
        Verdict::Unknown => format!(
            "Nothing wrong was seen, but this run does not show what it claims to: {} could not \
             decide.",
            listed(&named(Verdict::Unknown))
        ),
        Verdict::True => format!(
            "Nothing wrong was seen in {} requests to {} nodes, {}. All answers fit into \
             one order of events{}.",
            number(evidence.history.attempts.len() as u64),
            evidence.metadata.nodes,
            under(evidence),
            if named(Verdict::True).contains(&"conservation") {
                "; no unit was sold twice, and none was lost"
            } else {
                ""
            }
        ),
    }
}

/// What the verdict means for the reader.
pub(super) const fn consequence(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::True => {
            "This says what was not observed in this run, under these faults. It is not a proof."
        }
        Verdict::Unknown => {
            "This run counts as unknown, not as true. The notes below say what is missing."
        }
        Verdict::False => {
            "This is a bug in the product or in the judge. Keep this directory: it holds everything \
             needed to judge the run again."
        }
    }
}

fn under(evidence: &Evidence) -> String {
    let took = bands(evidence).iter().filter(|band| band.is_fault && band.took_effect).count();
    match evidence.metadata.nemesis.as_str() {
        "none" => "with nothing broken on purpose".to_owned(),
        nemesis => format!("through {took} faults of `{nemesis}`"),
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => "no checker".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The worst verdict of the checkers for a claim.
pub(super) fn word_on<'a>(
    judgement: &'a Judgement,
    checkers: &[&str],
) -> Option<(Verdict, Vec<&'a str>)> {
    let asked: Vec<&Finding> =
        judgement.findings.iter().filter(|f| checkers.contains(&f.checker.as_str())).collect();
    let worst = asked.iter().map(|finding| finding.verdict).max()?;
    Some((worst, asked.iter().map(|finding| finding.checker.as_str()).collect()))
}

/// How often each operation was requested, and how it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    pub(super) asked: u64,
    pub(super) done: u64,
    pub(super) refused: u64,
    pub(super) early: u64,
    pub(super) failed: u64,
    pub(super) lost: u64,
}

/// Counts by operation, and refusals by code.
pub(super) fn operations(evidence: &Evidence) -> (BTreeMap<&str, Counts>, BTreeMap<&str, u64>) {
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut refusals: BTreeMap<&str, u64> = BTreeMap::new();
    for attempt in &evidence.history.attempts {
        let count = counts.entry(&attempt.f).or_default();
        count.asked += 1;
        let refused = match &attempt.end {
            End::Ok { value, .. } => value.get("refused").and_then(|code| code.as_str()),
            End::Fail | End::Info { .. } => None,
        };
        if let Some(code) = refused {
            *refusals.entry(code).or_default() += 1;
        }
        match &attempt.end {
            End::Ok { early: true, .. } => count.early += 1,
            End::Ok { .. } if refused.is_some() => count.refused += 1,
            End::Ok { .. } => count.done += 1,
            End::Fail => count.failed += 1,
            End::Info { .. } => count.lost += 1,
        }
    }
    (counts, refusals)
}

/// Faults by kind: how many began, and how many took effect.
pub(super) fn faults(evidence: &Evidence) -> BTreeMap<String, (u64, u64)> {
    let mut counted: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for band in bands(evidence) {
        let count = counted.entry(band.kind).or_default();
        count.0 += 1;
        count.1 += u64::from(band.took_effect);
    }
    counted
}

/// What this run cannot show.
pub(super) fn not_tested(evidence: &Evidence, judgement: &Judgement) -> Vec<String> {
    let mut list = vec![
        format!(
            "Faults other than `{}`, loads other than `{}`, and runs longer than {}.",
            evidence.metadata.nemesis,
            evidence.metadata.workload,
            seconds(whole(evidence).to)
        ),
        "Several machines: all nodes run on this one, over loopback or network namespaces.".into(),
        "Disks that lie about fsync, nodes that lie on purpose (Byzantine), months of age.".into(),
        "A proxy that cuts a link leaves bytes in kernel buffers, and a killed process does not lose \
         unsynced writes (except in the fault build and the simulation)."
            .into(),
    ];
    let skipped = judgement.findings.iter().filter(|finding| finding.checker == "wgl");
    for note in skipped.flat_map(|finding| &finding.notes) {
        if note.contains("skipped") || note.contains("revisions") {
            list.push(format!("By the search for any order (wgl): {note}."));
        }
    }
    list.extend(evidence.metadata.without.iter().map(|fault| format!("Chaos left out {fault}.")));
    let coverage = judgement.findings.iter().filter(|finding| finding.checker == "coverage");
    let idle =
        coverage.flat_map(|finding| &finding.notes).filter(|note| note.contains("without effect"));
    list.extend(idle.map(|note| format!("In this run, {note}.")));
    if evidence.metadata.nemesis != "none" {
        let mut attempts = evidence.history.attempts.iter();
        if !attempts.any(|attempt| matches!(attempt.end, End::Info { .. })) {
            list.push("Lost responses: every request was answered, despite the faults.".into());
        }
        let sent = |fault: &Event| fault.value.get("snapshots_sent").and_then(Value::as_u64);
        if evidence.history.faults.iter().find_map(sent) == Some(0) {
            list.push("Snapshots between nodes: none was sent.".into());
        }
    }
    let left_out = evidence.history.faults.iter().filter(|f| f.value.get("left_out").is_some());
    let left_out = left_out.count();
    if left_out > 0 {
        list.push(format!(
            "{left_out} of the planned faults: the state of the cluster did not allow them, or \
             there was no time left."
        ));
    }
    if evidence.dumps.is_empty() {
        list.push("The final state: no node was dumped.".into());
    }
    if evidence.inspected.is_empty() {
        list.push("The files of the stopped nodes: they were not inspected.".into());
    }
    list
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn fault(f: &str, value: Value) -> Event {
        Event { f: f.into(), value, ..Event::default() }
    }

    /// One node was killed, a member was added as a step, clocks were set forward, and one fault
    /// was skipped.
    fn evidence() -> Evidence {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions/valid/whole_life");
        let mut evidence = Evidence::read(&place).unwrap();
        evidence.metadata.nemesis = "chaos".into();
        let kill = |phase| json!({"number": 0, "mode": "one", "phase": phase, "node": "n1", "took_effect": phase == "end"});
        let advance =
            |phase| json!({"number": 1, "mode": "advance", "phase": phase, "took_effect": true});
        evidence.history.faults = vec![
            fault("kill", kill("begin")),
            fault("membership", json!({"phase": "step", "mode": "add", "took_effect": true})),
            fault("kill", kill("end")),
            fault("clock", advance("begin")),
            fault("clock", advance("end")),
            fault("fallen", json!({"node": "n1", "exit": 77, "explained": true})),
            fault("disk", json!({"number": 2, "phase": "begin", "left_out": "no time was left"})),
            fault("nemesis_notes", json!({"snapshots_sent": 0})),
        ];
        evidence
    }

    fn judged(verdict: Verdict, checkers: &[&str]) -> Judgement {
        let findings = checkers.iter().map(|checker| Finding::new(checker)).collect();
        Judgement { verdict, findings }
    }

    #[test]
    fn a_right_run_is_said_to_show_what_was_asked() {
        let said =
            |checkers: &[&str]| sentence(&evidence(), &judged(Verdict::True, checkers), None);
        assert!(said(&["witness"]).contains("through 1 faults of `chaos`"));
        assert!(!said(&["witness"]).contains("no unit was sold twice"), "nobody judged that");
        assert!(said(&["witness", "conservation"]).contains("no unit was sold twice"));
    }

    #[test]
    fn a_fault_is_what_was_planned_and_done() {
        let counted = faults(&evidence());
        let expected = [("clock advance", (1, 1)), ("kill one", (1, 1))];
        assert_eq!(counted, expected.map(|(kind, count)| (kind.to_owned(), count)).into());
    }

    #[test]
    fn what_did_not_happen_was_not_tested() {
        let mut judgement = judged(Verdict::True, &["coverage"]);
        judgement.findings[0].note("kinds of faults without effect: failpoint");
        let list = not_tested(&evidence(), &judgement).concat();
        for part in [
            "In this run, kinds of faults without effect: failpoint.",
            "1 of the planned",
            "Lost responses: every request was answered",
            "Snapshots between nodes: none was sent.",
        ] {
            assert!(list.contains(part), "{list}");
        }
        let mut evidence = evidence();
        evidence.metadata.nemesis = "none".into();
        let list = not_tested(&evidence, &judgement).concat();
        assert!(!list.contains("despite the faults"), "there were none: {list}");
    }

    #[test]
    fn every_checker_has_a_meaning_and_a_unit() {
        for checker in crate::judge::check::CHECKERS {
            assert!(!meaning(checker.name).is_empty() && !unit(checker.name).is_empty());
        }
    }
}
