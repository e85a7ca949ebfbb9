//! Same state everywhere: nodes at one revision have one hash and show the same rows.

use std::collections::BTreeMap;

use super::{Evidence, Finding};
use crate::dump::Dump;

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
            finding.looked_at += 1;
            compare(*revision, first, other, &mut finding);
        }
    }
    let hashed = evidence.dumps.iter().filter(|dump| dump.hash.is_some()).count();
    if hashed < evidence.test.nodes || by_revision.len() > 1 {
        finding.unsure(format!(
            "{hashed} of {} nodes told a hash, at {} revisions",
            evidence.test.nodes,
            by_revision.len()
        ));
    }
    finding
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
