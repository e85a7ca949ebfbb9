//! No node logs what a healthy node never logs: a panic, a broken invariant, corrupt data.
//!
//! A line is allowed if the nemesis injected a fault of that kind into that node: a node with a
//! flipped bit should say that its file is corrupt.

use super::injected::{Injected, injected};
use super::{Evidence, Finding};
use crate::record::node_log::{Line, SHOWN_CHARS};

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("log_scan");
    finding.checked = evidence.logs.lines;
    let mut explained_lines = 0_u64;
    for line in &evidence.logs.alarms {
        let at = line.at_ms.and_then(|ms| evidence.metadata.since_start(ms));
        let explained = injected(&evidence.history.faults).any(|fault| explains(&fault, line, at));
        if explained {
            explained_lines += 1;
        } else {
            let text: String = line.text.chars().take(SHOWN_CHARS).collect();
            let note = format!("{} line {}: {text}", line.node, line.number);
            match at {
                Some(at) => finding.wrong_at(at, note),
                None => finding.wrong(note),
            }
        }
    }
    // A simulation has no log files.
    let is_live = !evidence.metadata.binary.is_empty();
    if is_live && evidence.logs.logs == 0 {
        finding.unknown("the run has no node logs");
    }
    if explained_lines > 0 {
        finding.note(format!("{explained_lines} lines are explained by injected faults"));
    }
    finding
}

/// Whether the nemesis caused this line, on this node and at this time.
fn explains(fault: &Injected<'_>, line: &Line, at: Option<u64>) -> bool {
    let text = line.text.to_ascii_lowercase();
    let words: &[&str] = if text.contains("bug: failpoint") || text.contains("panic") {
        &["panic"]
    } else if text.contains("bug: ") {
        return false;
    } else {
        &["flip", "eio"]
    };
    fault.is(words) && fault.is_on(&line.node) && at.is_none_or(|at| fault.shows_at(at))
}
