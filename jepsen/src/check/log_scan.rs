//! No node says what no healthy node says: a panic, a broken invariant, corrupt data.
//!
//! A fault of that kind that the nemesis put on that node is let off: a node that was given a
//! flipped bit should say that its file is corrupt.

use super::{Evidence, Finding};
use crate::history::Event;
use crate::nodelog::Line;

/// A log line may be older than the words of the nemesis by this much: it speaks when it is done.
const SLACK_NS: u64 = 5_000_000_000;

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("log_scan");
    finding.looked_at = evidence.logs.lines;
    let mut let_off = 0_u64;
    for line in &evidence.logs.alarms {
        let at = line.at_ms.and_then(|ms| evidence.test.since_start(ms));
        let injected = evidence.history.faults.iter().any(|fault| explains(fault, line, at));
        if injected {
            let_off += 1;
        } else {
            let note = format!("{} line {}: {}", line.node, line.number, line.text);
            match at {
                Some(at) => finding.wrong_at(at, note),
                None => finding.wrong(note),
            }
        }
    }
    if evidence.logs.logs == 0 {
        finding.unsure("the run has no node logs");
    }
    if let_off > 0 {
        finding.tell(format!("{let_off} lines tell of faults that were injected"));
    }
    finding
}

/// Whether the nemesis asked for it, on this node and before.
fn explains(fault: &Event, line: &Line, at: Option<u64>) -> bool {
    let said = format!("{} {}", fault.f, fault.value).to_ascii_lowercase();
    let kinds: &[&str] = if line.text.to_ascii_lowercase().contains("panic") {
        &["panic"]
    } else {
        &["flip", "corrupt", "eio", "torn"]
    };
    kinds.iter().any(|kind| said.contains(kind))
        && said.contains(&format!("\"{}\"", line.node))
        && at.is_none_or(|at| fault.t <= at.saturating_add(SLACK_NS))
}
