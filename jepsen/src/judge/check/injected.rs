//! What the nemesis did to a node, from start to end.

use serde_json::Value;

use crate::record::history::Event;

/// A log line may be this much older than the event of its fault, which is written when the fault
/// has been injected, and the consequences may show up this much later.
const SLACK_NS: u64 = 5_000_000_000;

/// A fault that was carried out.
pub(super) struct Injected<'e> {
    begin: &'e Event,
    end: Option<&'e Event>,
}

/// All of them, except those that were skipped.
pub(super) fn injected(faults: &[Event]) -> impl Iterator<Item = Injected<'_>> {
    let begins = |fault: &&Event| {
        fault.value.get("left_out").is_none()
            && fault.value.get("phase").is_none_or(|phase| phase == "begin")
    };
    faults.iter().filter(begins).map(|begin| {
        let number = begin.value.get("number");
        let is_end = |fault: &&Event| {
            fault.f == begin.f
                && fault.value.get("phase").is_some_and(|phase| phase == "end")
                && fault.value.get("number") == number
        };
        Injected { begin, end: faults.iter().find(is_end) }
    })
}

impl Injected<'_> {
    /// Whether its name or mode contains one of these words.
    pub(super) fn is(&self, words: &[&str]) -> bool {
        let mode = self.begin.value.get("mode").and_then(Value::as_str).unwrap_or_default();
        words.iter().any(|word| self.begin.f.contains(word) || mode.contains(word))
    }

    /// Whether it hit this node.
    pub(super) fn is_on(&self, node: &str) -> bool {
        let value = &self.begin.value;
        let nodes = value.get("nodes").and_then(Value::as_array);
        value.get("node").is_some_and(|one| one == node)
            || nodes.is_some_and(|nodes| nodes.iter().any(|one| one == node))
    }

    /// Whether its consequences may show at this time, in nanoseconds since the run began.
    pub(super) fn shows_at(&self, at: u64) -> bool {
        self.begin.t <= at.saturating_add(SLACK_NS)
            && self.end.is_none_or(|end| at <= end.t.saturating_add(SLACK_NS))
    }

    /// Whether its node came back as a new member with an empty directory.
    pub(super) fn ended_in_a_replacement(&self) -> bool {
        let replaced = self.end.and_then(|end| end.value.get("seen")?.get("replaced"));
        replaced.is_some_and(|replaced| *replaced == true)
    }
}
