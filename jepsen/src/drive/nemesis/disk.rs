//! Bad disks: full, slow, failing, or with flipped bits.
//!
//! A node with a damaged file must refuse to start, or never serve what is damaged. Either way its
//! disk counts as lost, and the node comes back as a new member. A full or failing disk ends a node
//! with exit code 74; once the disk works, the node starts as before.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::context::FaultContext;
use super::membership;
use super::plan::DiskFault;
use super::process::{fired, outlives};
use super::{FaultInjector, Outcome};
use crate::drive::http_client::HttpClient;
use crate::record::http::Request;
use crate::seed::Seed;

/// Exit code: an I/O error.
const EXIT_IO: i32 = 74;
/// Exit code: data on disk is corrupt.
const EXIT_CORRUPT: i32 = 65;
/// The page size from which a damaged page is drawn.
const PAGE_BYTES: usize = 4096;
/// How many pages are damaged, when it is more than one.
const PAGES_MAX: usize = 24;

/// The injector for a kind of disk fault.
pub(super) fn injector(mode: DiskFault, nodes: Vec<usize>, draw: u64) -> Box<dyn FaultInjector> {
    match mode {
        DiskFault::BitFlip => Box::new(BitFlip::new(nodes, draw)),
        mode => {
            // Mostly the log alone: an error there must end the node, even if everything else
            // works.
            let file =
                if mode == DiskFault::Eio && !draw.is_multiple_of(3) { "log" } else { "any" };
            Box::new(FaultyDisk { nodes, mode, file, before: Vec::new(), ends: 0 })
        }
    }
}

/// A disk that is full, slow or failing.
struct FaultyDisk {
    nodes: Vec<usize>,
    mode: DiskFault,
    /// The files whose calls go wrong.
    file: &'static str,
    before: Vec<u64>,
    /// Number of exits before this fault.
    ends: usize,
}

impl FaultyDisk {
    /// The name for the control socket.
    const fn name(&self) -> &'static str {
        match self.mode {
            DiskFault::Full => "enospc",
            DiskFault::Slow => "slow",
            DiskFault::Eio | DiskFault::BitFlip => "eio",
        }
    }

    /// Whether a real disk is filled up.
    fn is_real(&self, context: &FaultContext<'_>, at: usize) -> anyhow::Result<bool> {
        Ok(self.mode == DiskFault::Full && context.cluster.node(at)?.disk.is_some())
    }
}

impl FaultInjector for FaultyDisk {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        let mut taken = 0;
        self.ends = context.exits.len();
        for &at in &self.nodes {
            if self.mode != DiskFault::Slow {
                context.allow_exit(at, "disk", &[EXIT_IO]);
            }
            if !self.is_real(context, at)? {
                self.before.push(fired(context, at, "disk", self.name()).unwrap_or(0));
                let request = json!({"do": "disk", "action": self.name(), "ms": 30, "every": 1,
                    "file": self.file});
                context.cluster.control(at, &request)?;
            } else if !context.cluster.is_silent()
                && let Some(disk) = &context.cluster.node(at)?.disk
            {
                taken += disk.fill()?;
            }
        }
        Ok(json!({"bytes_taken": taken}))
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        let (mut codes, mut late) = (Vec::new(), 0);
        for (place, &at) in self.nodes.iter().enumerate() {
            if self.is_real(context, at)? {
                if let Some(disk) = &context.cluster.node(at)?.disk {
                    disk.empty()?;
                }
            } else {
                // Switched off before counting, because a call may fail until then. A node that has
                // ended needs no switching off, and one that does not answer may be about to end.
                _ = context.cluster.control(at, &json!({"do": "disk", "action": "off"}));
                let before = self.before.get(place).copied().unwrap_or(0);
                let count = fired(context, at, "disk", self.name());
                let wrong = count.map_or(0, |count| count.saturating_sub(before));
                late += wrong;
                let may_end = self.mode != DiskFault::Slow && (count.is_none() || wrong > 0);
                let goes_on = may_end && outlives(context, at)?;
                if goes_on && wrong > 0 && self.file == "log" {
                    let name = &context.cluster.node(at)?.name;
                    context.finding(&format!(
                        "{name} kept running although {wrong} calls on its log failed"
                    ));
                }
            }
            context.forbid_exit(at, "disk")?;
            codes.extend(context.ended(self.ends, at));
            context.start(at)?;
        }
        let took_effect = match self.mode {
            DiskFault::Slow => late > 0,
            _ => codes.contains(&EXIT_IO),
        };
        Ok(Outcome { took_effect, seen: json!({"exit": codes, "late": late}) })
    }
}

/// Flips one bit of a stopped node's file, or one bit in each of several pages.
///
/// Most pages are never read again, so the node may well go on. Then it must show the same state as
/// the others, and its responses are judged like any other.
struct BitFlip {
    nodes: Vec<usize>,
    draw: u64,
    /// `log` or `state`.
    kind: &'static str,
    /// The file that was chosen.
    path: PathBuf,
    /// Where, and the byte that is there now.
    flipped: Vec<(usize, u8)>,
    /// Number of exits before this fault.
    ends: usize,
    refused: bool,
    same_hash: bool,
}

impl BitFlip {
    const fn new(nodes: Vec<usize>, draw: u64) -> Self {
        Self {
            nodes,
            draw,
            kind: if draw.is_multiple_of(2) { "state" } else { "log" },
            path: PathBuf::new(),
            flipped: Vec::new(),
            ends: 0,
            refused: false,
            same_hash: false,
        }
    }

    /// How many of the flipped bits are still on disk.
    fn left(&self) -> anyhow::Result<usize> {
        let bytes = fs::read(&self.path)?;
        let still = |(place, byte): &&(usize, u8)| bytes.get(*place) == Some(byte);
        Ok(self.flipped.iter().filter(still).count())
    }
}

impl FaultInjector for BitFlip {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        let &at = self.nodes.first().context("no node")?;
        self.ends = context.exits.len();
        context.allow_exit(at, "bit_flip", &[EXIT_CORRUPT]);
        context.cluster.kill(at)?;
        if context.cluster.is_silent() {
            return Ok(Value::Null);
        }
        self.path = newest(&context.cluster.node(at)?.data_dir, self.kind)?;
        let path = &self.path;
        let mut bytes =
            fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        // The file differs from run to run, so the pages do too; the history records which they
        // were.
        let mut seed = Seed::of(self.draw, bytes.len() as u64);
        for _ in 0..if seed.below(2) == 0 { 1 } else { PAGES_MAX } {
            let place = flip(&mut bytes, seed.draw())?;
            self.flipped.push((place, bytes.get(place).copied().unwrap_or(0)));
        }
        context.destroyed.insert(at);
        fs::write(path, bytes)?;
        context.start(at)?;
        Ok(json!({"file": path.file_name().map(OsStr::to_string_lossy), "flipped": self.flipped}))
    }

    fn watch(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<()> {
        let Some(at) = self.nodes.first() else { return Ok(()) };
        self.refused |= context.ended(self.ends, *at).any(|code| code == EXIT_CORRUPT);
        if !self.refused && !context.cluster.is_silent() {
            self.same_hash |= compare(context, *at)?;
        }
        Ok(())
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        let &at = self.nodes.first().context("no node")?;
        self.watch(context)?;
        if context.cluster.is_silent() {
            context.forbid_exit(at, "bit_flip")?;
            return Ok(Outcome::default());
        }
        // It may refuse until the last moment.
        context.cluster.force_kill(at)?;
        context.forbid_exit(at, "bit_flip")?;
        self.refused |= context.ended(self.ends, at).any(|code| code == EXIT_CORRUPT);
        let left = self.left()?;
        let data_dir = context.cluster.node(at)?.data_dir.to_string_lossy().into_owned();
        let check = context.cluster.run(&["inspect", "check", "--data-dir", &data_dir]);
        let back = membership::replace(context, at)?;
        let seen = json!({"refused": self.refused, "same_hash_as_others": self.same_hash,
            "left_on_disk": left, "inspect_check": check.err().map(|error| format!("{error:#}")),
            "replaced": back});
        Ok(Outcome { took_effect: self.refused || self.same_hash && left > 0, seen })
    }
}

/// The last file of a kind: `state.redb`, or the file of the log that was written last.
fn newest(dir: &Path, kind: &str) -> anyhow::Result<PathBuf> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name());
    }
    names.retain(|name| match name.to_str().and_then(|name| name.split_once('.')) {
        Some((found, rest)) => found == kind && !rest.starts_with("new."),
        None => false,
    });
    let last = names.into_iter().max();
    Ok(dir.join(last.with_context(|| format!("no {kind} in {}", dir.display()))?))
}

/// Whether the damaged node has the same state as the others; records it if not.
fn compare(context: &FaultContext<'_>, at: usize) -> anyhow::Result<bool> {
    let name = &context.cluster.node(at)?.name;
    let others = context.cluster.founders().iter().filter(|n| n.name != *name && n.is_started());
    let mut client = HttpClient::new(Duration::from_secs(4));
    for other in others {
        let request = Request::get("/v1/cluster/hash", &context.live.staff);
        let Ok(answer) = client.send(other.api, &request) else { continue };
        let Some(body) = answer.body else { continue };
        let rows = body.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
        let hash = |wanted: &str| {
            let row = rows.iter().find(|row| row.get("name").is_some_and(|n| n == wanted))?;
            row.get("hash")?.as_str().map(str::to_owned)
        };
        if let (Some(own), Some(theirs)) = (hash(name), hash(&other.name)) {
            if own != theirs {
                context.finding(&format!(
                    "{name} serves a damaged state: hash {own} instead of {theirs}"
                ));
            }
            return Ok(own == theirs);
        }
    }
    Ok(false)
}

/// Flips one bit of a page that is not empty; returns its position.
fn flip(bytes: &mut [u8], draw: u64) -> anyhow::Result<usize> {
    let used: Vec<usize> = (0..bytes.len().div_ceil(PAGE_BYTES))
        .map(|page| page * PAGE_BYTES)
        .filter(|at| bytes.iter().skip(*at).take(PAGE_BYTES).any(|byte| *byte != 0))
        .collect();
    ensure!(!used.is_empty(), "the file is empty");
    let page = used.get(usize::try_from(draw % used.len() as u64)?).copied().unwrap_or(0);
    let filled = |at: &usize| bytes.get(*at).is_some_and(|byte| *byte != 0);
    let places: Vec<usize> = (page..page + PAGE_BYTES).filter(filled).collect();
    let place = places.get(usize::try_from((draw >> 16) % places.len().max(1) as u64)?);
    let place = place.copied().context("the page is empty")?;
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1 << (draw % 8);
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_of_a_used_page_is_flipped() {
        for draw in 0..500 {
            let mut bytes = vec![0_u8; 3 * PAGE_BYTES];
            bytes[PAGE_BYTES + 7] = 1;
            bytes[2 * PAGE_BYTES + 9] = 255;
            let before = bytes.clone();
            let place = flip(&mut bytes, draw * 7919).unwrap();
            assert!([PAGE_BYTES + 7, 2 * PAGE_BYTES + 9].contains(&place), "{place}");
            let flipped: u32 = before.iter().zip(&bytes).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!(flipped, 1);
        }
        assert!(flip(&mut [0; 10], 1).is_err());
    }
}
