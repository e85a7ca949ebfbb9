//! All nodes hold the same state: nodes at one revision report the same hash and the same rows, and
//! the files they leave behind have that hash and keep every invariant.

use std::collections::BTreeMap;

use super::injected::injected;
use super::{Evidence, Finding};
use crate::record::dump::Dump;

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("convergence");
    let mut by_revision: BTreeMap<u64, Vec<&Dump>> = BTreeMap::new();
    for dump in &evidence.dumps {
        by_revision.entry(dump.revision).or_default().push(dump);
    }
    for (revision, dumps) in &by_revision {
        let Some((first, others)) = dumps.split_first() else { continue };
        for other in others {
            finding.count();
            compare(*revision, first, other, &mut finding);
        }
    }
    let hashed = evidence.dumps.iter().filter(|dump| dump.hash.is_some()).count();
    if hashed < evidence.metadata.nodes || by_revision.len() > 1 {
        finding.unknown(format!(
            "{hashed} of {} nodes reported a hash, at {} revisions",
            evidence.metadata.nodes,
            by_revision.len()
        ));
    }
    on_disk(evidence, &mut finding);
    finding
}

/// Compares the files of the stopped nodes with each other and with the reported hashes.
fn on_disk(evidence: &Evidence, finding: &mut Finding) {
    let online = evidence.dumps.iter().filter_map(|dump| {
        Some((dump.revision, (format!("{} online", dump.node), dump.hash.clone()?)))
    });
    let mut known: BTreeMap<u64, (String, String)> = online.collect();
    for inspected in &evidence.inspected {
        let node = &inspected.node;
        if is_spoilt(evidence, node) {
            finding.note(format!("{node} was given corrupt files, so it is not compared"));
            continue;
        }
        if let Some(why) = &inspected.wrong {
            finding.wrong(format!("{node} on disk: {why}"));
        }
        let (Some(revision), Some(stored), Some(recomputed)) =
            (inspected.revision, &inspected.stored, &inspected.recomputed)
        else {
            let why = inspected.unread.as_deref().unwrap_or("no hash");
            finding.unknown(format!("{node} on disk: {why}"));
            continue;
        };
        finding.count();
        if stored != recomputed {
            finding.wrong(format!(
                "revision {revision}: {node} stores the hash {stored}, but its rows have {recomputed}"
            ));
        }
        let own = (format!("{node} on disk"), recomputed.clone());
        let (other, hash) = known.entry(revision).or_insert(own);
        if hash != recomputed {
            finding.wrong(format!(
                "revision {revision}: {other} has hash {hash}, {node} on disk has {recomputed}"
            ));
        }
    }
    let is_live = !evidence.metadata.binary.is_empty();
    if is_live && evidence.inspected.len() < evidence.metadata.nodes {
        finding.unknown(format!(
            "{} of {} data directories were inspected after the stop",
            evidence.inspected.len(),
            evidence.metadata.nodes
        ));
    }
}

/// Whether the nemesis damaged the files that this node has now.
fn is_spoilt(evidence: &Evidence, node: &str) -> bool {
    injected(&evidence.history.faults)
        .any(|fault| fault.is(&["flip"]) && fault.is_on(node) && !fault.ended_in_a_replacement())
}

fn compare(revision: u64, a: &Dump, b: &Dump, finding: &mut Finding) {
    let (one, two) = (&a.node, &b.node);
    if let (Some(x), Some(y)) = (&a.hash, &b.hash)
        && x != y
    {
        finding.wrong(format!("revision {revision}: {one} has hash {x}, {two} has {y}"));
    }
    let rows = |dump: &Dump| {
        let rows = dump.orders.iter().map(|row| (row.id.clone(), row.clone()));
        rows.collect::<BTreeMap<_, _>>()
    };
    if rows(a) != rows(b) {
        finding.wrong(format!("revision {revision}: {one} and {two} show different orders"));
    }
    if a.pools != b.pools {
        finding.wrong(format!("revision {revision}: {one} and {two} show different stock"));
    }
}
