//! What must hold at every instant, looked at after every tick.
//!
//! The observer sees all nodes at once, which no node does. It keeps what was ever true (who led a
//! term, what was decided, which hash a revision has) and compares. What a dead node last showed
//! still counts: it acknowledged it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firstcome_domain::{Millis, Stamp};
use firstcome_raft::Node;
use firstcome_raft::observe::{Leader, Observed, Position};

use crate::cluster::Cluster;
use crate::trace::Trace;

/// An entry: who wrote it, and hash of its bytes.
type Written = (Leader, u64);

fn index(position: Option<Position>) -> u64 {
    position.map_or(0, |(_, index)| index)
}

/// What is remembered of one machine's node.
#[derive(Default)]
struct Seen {
    /// The directory's history; a wiped disk begins another.
    last: Option<Observed>,
    incarnation: u64,
    /// The log as far as it was read, from the first entry that may still change.
    log: BTreeMap<u64, Written>,
    /// Entries up to here were compared with what is decided.
    compared: u64,
    /// Hashes up to here were compared.
    hashed: u64,
}

/// Keeps what was ever true.
pub struct Observer {
    trace: Arc<Trace>,
    seen: Vec<Seen>,
    /// Who ever led.
    leaders: BTreeSet<Leader>,
    /// What a position holds, and who wrote the entry before; equal on all nodes (log matching).
    written: BTreeMap<Position, (u64, Option<Leader>)>,
    /// What was decided, by index.
    decided: BTreeMap<u64, Written>,
    /// The state's hash at a revision.
    hashes: BTreeMap<u64, u128>,
    /// Log time at a revision, as far as it was seen.
    times: BTreeMap<u64, Millis>,
    /// Whose an id is: the machine, and which of its disks.
    ids: BTreeMap<u64, (usize, u64)>,
    /// How many disks a machine has had.
    disks: Vec<u64>,
    /// How often leadership changed.
    pub elections: u64,
    /// How many snapshots were installed.
    pub installs: u64,
}

impl Observer {
    /// Nothing seen yet.
    pub fn new(trace: Arc<Trace>, machines: usize) -> Self {
        Self {
            trace,
            seen: (0..machines).map(|_| Seen::default()).collect(),
            leaders: BTreeSet::new(),
            written: BTreeMap::new(),
            decided: BTreeMap::new(),
            hashes: BTreeMap::new(),
            times: BTreeMap::new(),
            ids: BTreeMap::new(),
            disks: vec![0; machines],
            elections: 0,
            installs: 0,
        }
    }

    /// The last decided index.
    pub fn decided(&self) -> u64 {
        self.decided.last_key_value().map_or(0, |(index, _)| *index)
    }

    /// A machine gets another disk. What the member acknowledged still counts, as long as it is a
    /// member: only a removal lets the others do without it.
    pub fn lose(&mut self, at: usize) {
        if let Some(disks) = self.disks.get_mut(at) {
            *disks += 1;
        }
    }

    /// The disk of a removed member was wiped: what it acknowledged is gone on purpose.
    pub fn forget(&mut self, at: usize) {
        self.lose(at);
        if let Some(seen) = self.seen.get_mut(at) {
            *seen = Seen::default();
        }
    }

    /// Looks at every node: first at all logs, then at what is said to be decided.
    pub fn look(&mut self, cluster: &Cluster) {
        let mut changed = Vec::new();
        for (at, host) in cluster.hosts.iter().enumerate() {
            if let Some(node) = &host.node
                && let Some(now) = self.look_at(at, &host.name, host.incarnation, node)
            {
                changed.push((at, &host.name, node, now));
            }
        }
        for (at, name, node, now) in changed {
            self.leadership(at, name, &now);
            self.decisions(at, name, &now);
            self.state(at, name, node, &now);
        }
    }

    /// Looks at one node; `None` if nothing changed, or its log cannot be read.
    fn look_at(
        &mut self,
        at: usize,
        name: &str,
        incarnation: u64,
        node: &Node,
    ) -> Option<Observed> {
        let now = node.observe();
        let seen = self.seen.get_mut(at)?;
        if seen.last.as_ref() == Some(&now) && seen.incarnation == incarnation {
            return None;
        }
        let disk = self.disks.get(at).copied().unwrap_or_default();
        // An empty node has no id until it is added.
        if now.id != 0 && *self.ids.entry(now.id).or_insert((at, disk)) != (at, disk) {
            let text = format!("{name}: member {} has another disk than it had", now.id);
            self.trace.violated("membership", text);
        }
        let again = seen.incarnation == incarnation;
        let before = seen.last.replace(now.clone());
        if !again {
            // What was not synced may be gone; read the log anew.
            seen.incarnation = incarnation;
            seen.log.clear();
            seen.compared = now.purged.map_or(0, |(_, index)| index);
            seen.hashed = 0;
        }
        self.progress(name, before.as_ref().filter(|before| before.id == now.id), &now, again);
        Self::order(&self.trace, name, &now);
        self.read_log(at, name, &now, node).then_some(now)
    }

    /// Nothing durable goes back; within one process nothing at all does.
    fn progress(&mut self, name: &str, before: Option<&Observed>, now: &Observed, again: bool) {
        let trace = &self.trace;
        if let Some(before) = before {
            if now.vote < before.vote {
                let text =
                    format!("{name}: vote went back from {:?} to {:?}", before.vote, now.vote);
                trace.violated("monotonic vote", text);
            }
            if now.checkpointed < before.checkpointed {
                let (old, new) = (before.checkpointed, now.checkpointed);
                let text = format!("{name}: checkpoint went back from {old} to {new}");
                trace.violated("monotonic checkpoint", text);
            }
            if again {
                let marks = [
                    ("term", Some(((before.term, 0), 0)), Some(((now.term, 0), 0))),
                    ("committed", before.committed, now.committed),
                    ("applied", before.applied, now.applied),
                    ("snapshot", before.snapshot, now.snapshot),
                    ("purged", before.purged, now.purged),
                ];
                for (what, old, new) in marks {
                    if new < old {
                        let text = format!("{name}: {what} went back from {old:?} to {new:?}");
                        trace.violated("monotonic marks", text);
                    }
                }
            }
            if again && index(now.purged) > index(before.last) {
                self.installs += 1;
                trace.event(name, &format!("installed a snapshot at {:?}", now.purged));
            }
        }
        let news = before.is_none_or(|before| {
            !again
                || (before.term, before.leads, before.runs) != (now.term, now.leads, now.runs)
                || before.voters != now.voters
        });
        if news {
            let role = if now.leads { "leads" } else { "follows" };
            let Observed { term, committed, voters, .. } = now;
            let last = index(now.last);
            let text = format!("{role} term={term} last={last} {committed:?} voters={voters:?}");
            trace.event(name, &text);
        }
        let marks = [now.id, now.term, index(now.last), index(now.committed), index(now.applied)];
        trace.note(&marks, name.as_bytes());
    }

    /// purged <= snapshot <= applied <= committed <= last
    fn order(trace: &Trace, name: &str, now: &Observed) {
        let chain = [
            ("purged", index(now.purged)),
            ("snapshot", index(now.snapshot)),
            ("applied", index(now.applied)),
            ("committed", index(now.committed)),
            ("last", index(now.last)),
        ];
        for pair in chain.windows(2) {
            if let [(low, a), (high, b)] = pair
                && a > b
            {
                let text = format!("{name}: {low} {a} is beyond {high} {b}");
                trace.violated(&format!("{low} <= {high}"), text);
            }
        }
    }

    /// Reads what is new in a log: same index and term, same entry, same entry before it.
    fn read_log(&mut self, at: usize, name: &str, now: &Observed, node: &Node) -> bool {
        let Some(seen) = self.seen.get_mut(at) else { return false };
        let purged = now.purged.map_or(0, |(_, index)| index);
        seen.compared = seen.compared.max(purged);
        let first = seen.compared.max(1);
        // A disk that fails ends the node; that is judged elsewhere.
        let Ok(entries) = node.entries_from(first) else { return false };
        seen.log.clear();
        let mut before = None;
        for (index, leader, hash) in entries {
            let written = self.written.entry((leader, index)).or_insert((hash, before));
            if written.1.is_none() {
                written.1 = before;
            }
            if written.0 != hash || (before.is_some() && written.1 != before) {
                let text = format!("{name}: another entry than elsewhere at {index} of {leader:?}");
                self.trace.violated("log matching", text);
            }
            before = Some(leader);
            seen.log.insert(index, (leader, hash));
        }
        true
    }

    /// A leader was voted for, and has everything that was decided before.
    fn leadership(&mut self, at: usize, name: &str, now: &Observed) {
        if !now.leads {
            return;
        }
        let (term, leader) = (now.term, now.id);
        // It leads in its own name; the vote is what its followers obey.
        if now.leader != Some(leader) {
            let text = format!("{name} leads term {term}, in which {:?} was elected", now.leader);
            self.trace.violated("leader vote", text);
        }
        // The vote that elected it was saved first. By now a later one may have been.
        if now.vote < (term, leader, true) {
            let text = format!("{name} leads term {term} under the saved vote {:?}", now.vote);
            self.trace.violated("leader vote", text);
        }
        if !self.leaders.insert((term, leader)) {
            return;
        }
        self.elections += 1;
        let Some(seen) = self.seen.get(at) else { return };
        let missing = self.decided.iter().rev().find(|(index, entry)| {
            entry.0 < (term, leader)
                && **index > seen.compared
                && seen.log.get(index).is_none_or(|own| own != *entry)
        });
        if let Some((index, (writer, _))) = missing {
            let text = format!("{name} leads term {term} without entry {index} of {writer:?}");
            self.trace.violated("leader completeness", text);
        }
    }

    /// What is decided never changes, is the same everywhere, and was on a majority first.
    fn decisions(&mut self, at: usize, name: &str, now: &Observed) {
        let Some((_, committed)) = now.committed else { return };
        let Some(seen) = self.seen.get_mut(at) else { return };
        let news: Vec<(u64, Written)> = seen
            .log
            .range(seen.compared..=committed)
            .map(|(index, written)| (*index, *written))
            .collect();
        seen.compared = seen.compared.max(committed.min(index(now.last)));
        let mut newest = None;
        for (index, written) in news {
            match self.decided.get(&index) {
                Some(known) if *known != written => {
                    let text =
                        format!("{name}: {index} was decided as {known:?} and is {written:?} here");
                    self.trace.violated("decided never changes", text);
                }
                Some(_) => {}
                None => {
                    self.decided.insert(index, written);
                    newest = Some((index, written));
                }
            }
        }
        if let Some((index, written)) = newest {
            self.on_majority(name, now, index, written);
        }
    }

    fn on_majority(&self, name: &str, now: &Observed, index: u64, written: Written) {
        // While members change, a majority of the new ones says nothing about older entries.
        let agreed =
            self.seen.iter().filter_map(|s| s.last.as_ref()).all(|s| s.voters == now.voters);
        if !agreed {
            return;
        }
        for voters in &now.voters {
            let have = |seen: &&Seen| {
                let Some(last) = &seen.last else { return false };
                let has = seen.log.get(&index) == Some(&written) || seen.compared > index;
                voters.contains(&last.id) && has
            };
            let count = self.seen.iter().filter(have).count();
            if count * 2 <= voters.len() {
                let text = format!(
                    "{name} holds {index} of {:?} for decided, but {count} of {} voters have it",
                    written.0,
                    voters.len()
                );
                self.trace.violated("decided on a quorum", text);
            }
        }
    }

    /// Log time never goes back, and is the same everywhere.
    fn log_time(&mut self, name: &str, node: &Node) {
        let Stamp { revision, now } = node.applied();
        let known = *self.times.entry(revision.get()).or_insert(now);
        let before = self.times.range(..revision.get()).next_back();
        let wrong = if known == now {
            before.filter(|(_, before)| **before > now).map(|(at, before)| (*at, *before))
        } else {
            Some((revision.get(), known))
        };
        if let Some((other, told)) = wrong {
            let text = format!("{name}: it is {now:?} at {revision}, and {told:?} at {other}");
            self.trace.violated("clock", text);
        }
    }

    /// Equal revision, equal state.
    fn state(&mut self, at: usize, name: &str, node: &Node, now: &Observed) {
        let applied = node.applied().revision.get();
        if applied == 0 || now.applied.is_none() {
            return;
        }
        let Some(seen) = self.seen.get_mut(at) else { return };
        let from = seen.hashed.max(applied.saturating_sub(64)) + 1;
        for revision in from..=applied {
            let Some(hash) = node.hash_at(revision) else { continue };
            let known = *self.hashes.entry(revision).or_insert(hash);
            if known != hash {
                let text =
                    format!("{name}: state {hash:032x} at {revision}, elsewhere {known:032x}");
                self.trace.violated("hash", text);
            }
        }
        seen.hashed = applied;
        self.log_time(name, node);
    }
}
