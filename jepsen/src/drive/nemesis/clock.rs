//! Wrong clocks: through the control socket of a fault build, or through libfaketime.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::capabilities::faketime_file;
use super::context::FaultContext;
use super::plan::ClockError;
use super::{FaultInjector, Outcome};
use crate::drive::cluster::watch;

/// A clock offset of this many ms in a node's status is not a measuring error.
const OFFSET_SEEN_MS: i64 = 300;
/// Nodes compare their clocks once a second, and accept the new time after a few seconds.
const BELIEVED_WITHIN: Duration = Duration::from_secs(8);

/// Sets the error of one clock.
fn set(
    context: &FaultContext<'_>,
    at: usize,
    offset_ms: i64,
    drift_ppm: i64,
) -> anyhow::Result<()> {
    if context.cluster.is_fault_build {
        context.cluster.set_clock(at, offset_ms, drift_ppm)?;
        return Ok(());
    }
    if context.cluster.is_silent() {
        return Ok(());
    }
    let name = &context.cluster.node(at)?.name;
    let sign = if offset_ms < 0 { "-" } else { "+" };
    let (seconds, ms) = (offset_ms.abs() / 1000, offset_ms.abs() % 1000);
    let speed = (drift_ppm != 0).then(|| format!(" x{}", faster(drift_ppm)));
    let text = format!("{sign}{seconds}.{ms:03}{}\n", speed.unwrap_or_default());
    let file = faketime_file(&context.dir, name);
    // Replaced atomically: the library must not read half a line.
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, &file).with_context(|| format!("cannot write {}", file.display()))
}

/// The clock speed as a factor: `1.5` for a drift of 500 000 ppm.
fn faster(drift_ppm: i64) -> String {
    let parts = 1_000_000 + drift_ppm;
    format!("{}.{:06}", parts / 1_000_000, parts % 1_000_000)
}

/// Nodes whose clocks are wrong.
pub(super) struct WrongClocks {
    nodes: Vec<usize>,
    lie: ClockError,
    offset_ms: i64,
    drift_ppm: i64,
    turns: u32,
    largest_ms: i64,
}

impl WrongClocks {
    pub(super) const fn new(
        nodes: Vec<usize>,
        lie: ClockError,
        offset_ms: i64,
        drift_ppm: i64,
    ) -> Self {
        Self { nodes, lie, offset_ms, drift_ppm, turns: 0, largest_ms: 0 }
    }

    fn sample(&mut self, context: &FaultContext<'_>) {
        for &at in &self.nodes {
            let offset = context.metric(at, "clock_offset_ms").unwrap_or(0);
            if offset.abs() > self.largest_ms.abs() {
                self.largest_ms = offset;
            }
        }
    }
}

impl FaultInjector for WrongClocks {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        for &at in &self.nodes {
            set(context, at, self.offset_ms, self.drift_ppm)?;
        }
        Ok(json!({"offset_ms": self.offset_ms, "drift_ppm": self.drift_ppm}))
    }

    fn watch(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<()> {
        self.sample(context);
        self.turns += 1;
        if self.lie == ClockError::Strobe {
            // Wrong for longer than a node takes to notice, then right again.
            let offset_ms = if self.turns % 5 < 3 { self.offset_ms } else { 0 };
            for &at in &self.nodes {
                set(context, at, offset_ms, 0)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        self.sample(context);
        for &at in &self.nodes {
            set(context, at, 0, 0)?;
        }
        let took_effect = self.largest_ms.abs() >= OFFSET_SEEN_MS;
        Ok(Outcome { took_effect, seen: json!({"clock_offset_ms": self.largest_ms}) })
    }
}

/// All clocks are set forward together and stay there, so that holds expire sooner.
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
    fn ahead_ms(context: &FaultContext<'_>) -> Option<i64> {
        let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
        let here = i64::try_from(here.as_millis()).ok()?;
        let nodes = context.cluster.founders().iter().filter(|node| node.is_started());
        let times = nodes.filter_map(|node| watch::log_time_ms(node.api, &context.live.staff));
        Some(times.min()? - here)
    }
}

impl FaultInjector for Advance {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        self.before = Self::ahead_ms(context);
        if !context.cluster.is_silent() {
            context.cluster.advanced_ms += self.ms;
        }
        for at in context.wanted() {
            // A node that is down gets the new time when it starts.
            if context.cluster.is_running(at)? {
                context.cluster.set_clock(at, 0, 0)?;
            }
        }
        Ok(json!({"ms": self.ms, "in_all_ms": context.cluster.advanced_ms}))
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        let (wanted, before) = (self.ms / 2, self.before.unwrap_or(0));
        let limit = if context.cluster.is_silent() { Duration::ZERO } else { BELIEVED_WITHIN };
        let took_effect = context.wait(limit, |context| {
            self.moved_ms = Self::ahead_ms(context).map_or(0, |ahead| ahead - before);
            Ok(self.moved_ms >= wanted)
        })?;
        Ok(Outcome { took_effect, seen: json!({"moved_ms": self.moved_ms}) })
    }
}
