//! Wrong clocks: by the control socket of a fault build, or by libfaketime on the plain one.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::field::Field;
use super::means::faketime_file;
use super::plan::Lie;
use super::{Affliction, Outcome};
use crate::cluster::watch;

/// An offset of so many ms in a node's own status is no measuring error.
const OFFSET_SEEN_MS: i64 = 300;
/// Nodes compare their clocks once a second, and believe them then.
const BELIEVED_WITHIN: Duration = Duration::from_secs(8);

/// Sets how wrong one clock is.
fn set(field: &Field<'_>, at: usize, offset_ms: i64, drift_ppm: i64) -> anyhow::Result<()> {
    if field.cluster.is_fault_build {
        field.cluster.set_clock(at, offset_ms, drift_ppm)?;
        return Ok(());
    }
    if field.cluster.is_silent() {
        return Ok(());
    }
    let name = &field.cluster.node(at)?.name;
    let sign = if offset_ms < 0 { "-" } else { "+" };
    let (seconds, ms) = (offset_ms.abs() / 1000, offset_ms.abs() % 1000);
    let speed = (drift_ppm != 0).then(|| format!(" x{}", faster(drift_ppm)));
    let text = format!("{sign}{seconds}.{ms:03}{}\n", speed.unwrap_or_default());
    let file = faketime_file(&field.dir, name);
    // In one step: the library must not read half a line.
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, &file).with_context(|| format!("cannot write {}", file.display()))
}

/// `1.5` for half a million parts in a million more.
fn faster(drift_ppm: i64) -> String {
    let parts = 1_000_000 + drift_ppm;
    format!("{}.{:06}", parts / 1_000_000, parts % 1_000_000)
}

/// Nodes whose clocks are wrong.
pub(super) struct Wrong {
    nodes: Vec<usize>,
    lie: Lie,
    offset_ms: i64,
    drift_ppm: i64,
    turns: u32,
    largest_ms: i64,
}

impl Wrong {
    pub(super) const fn new(nodes: Vec<usize>, lie: Lie, offset_ms: i64, drift_ppm: i64) -> Self {
        Self { nodes, lie, offset_ms, drift_ppm, turns: 0, largest_ms: 0 }
    }

    fn look(&mut self, field: &Field<'_>) {
        for &at in &self.nodes {
            let offset = field.metric(at, "clock_offset_ms").unwrap_or(0);
            if offset.abs() > self.largest_ms.abs() {
                self.largest_ms = offset;
            }
        }
    }
}

impl Affliction for Wrong {
    fn begin(&mut self, field: &mut Field<'_>) -> anyhow::Result<Value> {
        for &at in &self.nodes {
            set(field, at, self.offset_ms, self.drift_ppm)?;
        }
        Ok(json!({"offset_ms": self.offset_ms, "drift_ppm": self.drift_ppm}))
    }

    fn watch(&mut self, field: &mut Field<'_>) -> anyhow::Result<()> {
        self.look(field);
        self.turns += 1;
        if self.lie == Lie::Strobe {
            // Wrong for longer than a node takes to look at its clock, then right again.
            let offset_ms = if self.turns % 5 < 3 { self.offset_ms } else { 0 };
            for &at in &self.nodes {
                set(field, at, offset_ms, 0)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, field: &mut Field<'_>) -> anyhow::Result<Outcome> {
        self.look(field);
        for &at in &self.nodes {
            set(field, at, 0, 0)?;
        }
        let took_effect = self.largest_ms.abs() >= OFFSET_SEEN_MS;
        Ok(Outcome { took_effect, seen: json!({"clock_offset_ms": self.largest_ms}) })
    }
}

/// All clocks move forward together and stay there: holds end sooner.
pub(super) struct Advance {
    ms: i64,
    before: Option<i64>,
    moved_ms: i64,
}

impl Advance {
    pub(super) const fn new(ms: i64) -> Self {
        Self { ms, before: None, moved_ms: 0 }
    }

    /// How far the time of the cluster is ahead of this machine's.
    fn ahead_ms(field: &Field<'_>) -> Option<i64> {
        let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
        let here = i64::try_from(here.as_millis()).ok()?;
        let nodes = field.cluster.founders().iter().filter(|node| node.is_started());
        let times = nodes.filter_map(|node| watch::log_time_ms(node.api, &field.stage.staff));
        Some(times.min()? - here)
    }
}

impl Affliction for Advance {
    fn begin(&mut self, field: &mut Field<'_>) -> anyhow::Result<Value> {
        self.before = Self::ahead_ms(field);
        if !field.cluster.is_silent() {
            field.cluster.advanced_ms += self.ms;
        }
        for at in field.wanted() {
            // A node that is down takes the new time at its start.
            if field.cluster.is_running(at)? {
                field.cluster.set_clock(at, 0, 0)?;
            }
        }
        Ok(json!({"ms": self.ms, "in_all_ms": field.cluster.advanced_ms}))
    }

    fn end(&mut self, field: &mut Field<'_>) -> anyhow::Result<Outcome> {
        let (wanted, before) = (self.ms / 2, self.before.unwrap_or(0));
        let limit = if field.cluster.is_silent() { Duration::ZERO } else { BELIEVED_WITHIN };
        let took_effect = field.wait(limit, |field| {
            self.moved_ms = Self::ahead_ms(field).map_or(0, |ahead| ahead - before);
            Ok(self.moved_ms >= wanted)
        })?;
        Ok(Outcome { took_effect, seen: json!({"moved_ms": self.moved_ms}) })
    }
}
