//! Latency and rate over time, with a band for every fault.

use crate::judge::check::Evidence;
use crate::record::history::{Attempt, End, Event};
use crate::record::run_event::{NODE_EXITED, STILL_OPEN, UNEXPECTED};

use super::html::{escape, seconds};

/// Number of columns on the time axis.
const COLUMNS: u64 = 120;
/// Space for numbers left of the plot.
pub(super) const LEFT: f64 = 58.0;
/// Width of every chart.
pub(super) const WIDTH: f64 = 1_080.0;
const HEIGHT: f64 = 190.0;
const TOP: f64 = 20.0;
/// Events that end a fault, in histories without phases.
const ENDS: &[&str] = &["restart", "heal", "resume"];
/// Events of the harness, and their labels.
const PHASES: &[(&str, &str)] = &[
    ("recovered", "all nodes ready"),
    ("not_recovered", "not recovered"),
    ("sell_out", "sold out"),
    ("sell_out_failed", "sell-out failed"),
    ("dump_failed", "dump failed"),
    (STILL_OPEN, "requests without an outcome"),
    (NODE_EXITED, "exited for no known reason"),
    (UNEXPECTED, "no fault explains it"),
];

/// A period in which something was broken.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Band {
    pub(super) from: u64,
    pub(super) to: u64,
    /// The fault and its mode.
    pub(super) kind: String,
    /// The nodes it hit.
    pub(super) nodes: String,
    pub(super) took_effect: bool,
    /// Whether it is a fault: clocks set forward so that holds expire are not.
    pub(super) is_fault: bool,
}

#[expect(clippy::cast_precision_loss, reason = "a pixel is coarser than that")]
pub(super) const fn float(number: u64) -> f64 {
    number as f64
}

/// Maps the time of a run to the width of a chart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) width: f64,
}

impl Axis {
    pub(super) fn x(&self, t: u64) -> f64 {
        let span = float(self.to.saturating_sub(self.from).max(1));
        LEFT + float(t.clamp(self.from, self.to) - self.from) / span * (self.width - LEFT)
    }

    /// Times to label: about ten.
    fn marks(&self) -> impl Iterator<Item = u64> {
        const SECOND: u64 = 1_000_000_000;
        let whole = self.to.saturating_sub(self.from) / SECOND;
        let steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
        let step = steps.into_iter().find(|step| whole / step <= 12).unwrap_or(1_200) * SECOND;
        let (first, last) = (self.from.div_ceil(step), self.to / step);
        (first..=last).map(move |mark| mark * step)
    }

    /// Vertical lines with their seconds below `bottom`.
    pub(super) fn draw(&self, top: f64, bottom: f64) -> String {
        let mut out = String::new();
        for mark in self.marks() {
            let x = self.x(mark);
            out += &format!(
                "<line class=grid x1={x:.1} x2={x:.1} y1={top} y2={bottom} />\
                 <text class=tick x={x:.1} y={:.1} text-anchor=middle>{} s</text>",
                bottom + 14.0,
                mark / 1_000_000_000
            );
        }
        out
    }
}

/// The whole run.
pub(super) fn whole(evidence: &Evidence) -> Axis {
    let attempts = evidence.history.attempts.iter().map(|a| a.ended.unwrap_or(a.called));
    let faults = evidence.history.faults.iter().map(|fault| fault.t);
    Axis { from: 0, to: attempts.chain(faults).max().unwrap_or(1), width: WIDTH }
}

/// Bands of all faults, from start to end. A fault has a number and two phases; without a number
/// the end belongs to the fault on the same node.
pub(super) fn bands(evidence: &Evidence) -> Vec<Band> {
    let faults = &evidence.history.faults;
    let healed = faults.iter().find(|fault| fault.f == "recovered").map(|fault| fault.t);
    let limit = healed.unwrap_or_else(|| whole(evidence).to);
    let mut bands: Vec<Band> = Vec::new();
    let mut open: Vec<(usize, String)> = Vec::new();
    for fault in faults {
        let left_out = fault.value.get("left_out").is_some();
        let is_phase = PHASES.iter().any(|(word, _)| *word == fault.f);
        let is_step = fault.value.get("phase").is_some_and(|phase| phase == "step");
        if left_out
            || is_phase
            || is_step
            || fault.f.ends_with("_begun")
            || fault.f.starts_with("nemesis_")
        {
            continue;
        }
        let name = name(fault);
        if is_end(fault) {
            if let Some(place) = open.iter().position(|(_, of)| *of == name)
                && let Some(band) = bands.get_mut(open.remove(place).0)
            {
                band.to = fault.t;
                band.took_effect |= took_effect(fault);
            }
            continue;
        }
        open.push((bands.len(), name));
        let mode = fault.value.get("mode").and_then(|mode| mode.as_str()).unwrap_or_default();
        bands.push(Band {
            from: fault.t,
            to: limit.max(fault.t),
            kind: format!("{} {mode}", fault.f).trim().to_owned(),
            nodes: target(fault),
            took_effect: took_effect(fault),
            is_fault: fault.is_of_fault(),
        });
    }
    bands
}

fn took_effect(fault: &Event) -> bool {
    fault.value.get("took_effect").is_some_and(|took| took == true)
}

/// Tells one open fault from another.
fn name(fault: &Event) -> String {
    fault.value.get("number").map_or_else(|| target(fault), ToString::to_string)
}

/// Whether this event ends a fault.
fn is_end(fault: &Event) -> bool {
    let phase = fault.value.get("phase").and_then(|phase| phase.as_str());
    ENDS.contains(&fault.f.as_str()) || phase.is_some_and(|phase| phase == "end")
}

fn target(fault: &Event) -> String {
    let value = &fault.value;
    if let Some(node) = value.get("node").and_then(|node| node.as_str()) {
        return node.to_owned();
    }
    let nodes = value.get("nodes").and_then(|nodes| nodes.as_array());
    let names = nodes.into_iter().flatten().filter_map(|node| node.as_str());
    names.collect::<Vec<_>>().join("+")
}

/// Bands behind a chart; a fault without effect has only an outline.
pub(super) fn draw_bands(bands: &[Band], axis: &Axis, top: f64, bottom: f64) -> String {
    let mut out = String::new();
    for band in bands.iter().filter(|band| band.to >= axis.from && band.from <= axis.to) {
        let (x, end) = (axis.x(band.from), axis.x(band.to));
        let class = if band.took_effect { "fault" } else { "fault idle" };
        out += &format!(
            "<rect class=\"{class}\" x={x:.1} y={top} width={:.1} height={:.1}><title>{} {} from {} \
             to {}{}</title></rect>",
            (end - x).max(1.5),
            bottom - top,
            escape(&band.kind),
            escape(&band.nodes),
            seconds(band.from),
            seconds(band.to),
            if band.took_effect { "" } else { " (no effect seen)" }
        );
    }
    out
}

/// Marks the events of the harness.
fn phases(evidence: &Evidence, axis: &Axis, top: f64, bottom: f64) -> String {
    let mut out = String::new();
    for fault in &evidence.history.faults {
        let Some((_, label)) = PHASES.iter().find(|(word, _)| *word == fault.f) else { continue };
        if fault.value.get("explained").is_some_and(|explained| explained == true) {
            continue;
        }
        let x = axis.x(fault.t);
        let (anchor, at) = if x > WIDTH * 0.6 { ("end", x - 3.0) } else { ("start", x + 3.0) };
        out += &format!(
            "<line class=phase x1={x:.1} x2={x:.1} y1={top} y2={bottom} />\
             <text class=tick x={at:.1} y={:.1} text-anchor={anchor}>{label}</text>",
            top - 6.0
        );
    }
    out
}

/// The first error, if there is one.
pub(super) fn error_mark(at: Option<u64>, axis: &Axis, top: f64, bottom: f64) -> String {
    let Some(at) = at.filter(|at| (axis.from..=axis.to).contains(at)) else { return String::new() };
    let x = axis.x(at);
    format!(
        "<line class=error x1={x:.1} x2={x:.1} y1={top} y2={bottom} />\
         <text class=\"tick wrong\" x={:.1} y={:.1}>first error</text>",
        x + 4.0,
        top + 12.0
    )
}

fn column(t: u64, axis: &Axis) -> usize {
    usize::try_from(t.saturating_sub(axis.from) * COLUMNS / (axis.to - axis.from + 1)).unwrap_or(0)
}

fn middle(column: usize, axis: &Axis) -> f64 {
    let at = axis.from + (axis.to - axis.from) / COLUMNS * column as u64;
    axis.x(at + (axis.to - axis.from) / COLUMNS / 2)
}

/// A line through the columns that have a value.
fn line(class: &str, points: &[Option<f64>], axis: &Axis, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (at, value) in points.iter().enumerate() {
        match value {
            Some(value) => {
                let letter = if pen_down { 'L' } else { 'M' };
                path += &format!("{letter}{:.1} {:.1}", middle(at, axis), y(*value));
                // A single point shows as a dot.
                if !pen_down {
                    path += "h.1";
                }
                pen_down = true;
            }
            None => pen_down = false,
        }
    }
    format!("<path class=\"line {class}\" d=\"{path}\" />")
}

fn frame(body: &str, title: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=img aria-label=\"{title}\">{body}</svg>",
        TOP + HEIGHT + 22.0
    )
}

/// Latency of answered requests: median, 99th percentile and maximum of each column, log scale.
pub(super) fn latency(evidence: &Evidence, error: Option<u64>) -> String {
    let axis = whole(evidence);
    let mut columns: Vec<Vec<u64>> = vec![Vec::new(); usize::try_from(COLUMNS).unwrap_or(0)];
    for attempt in &evidence.history.attempts {
        if let (End::Ok { at, .. }, Some(times)) =
            (&attempt.end, columns.get_mut(column(attempt.called, &axis)))
        {
            times.push(at - attempt.called);
        }
    }
    let mut drawn = [const { Vec::new() }; 3];
    for times in &mut columns {
        times.sort_unstable();
        for (share, points) in [50, 99, 100].into_iter().zip(&mut drawn) {
            let place = (times.len() * share).div_ceil(100).saturating_sub(1);
            points.push(times.get(place).map(|ns| (float(*ns) / 1e6).max(0.01).log10()));
        }
    }
    let all = || drawn.iter().flatten().flatten().copied();
    let low = all().fold(0.0_f64, f64::min).floor();
    let high = all().fold(1.0_f64, f64::max).ceil();
    let bottom = TOP + HEIGHT;
    let y = |value: f64| bottom - (value - low) / (high - low) * HEIGHT;
    let mut body = draw_bands(&bands(evidence), &axis, TOP, bottom) + &axis.draw(TOP, bottom);
    let mut decade = low;
    while decade <= high {
        let at = y(decade);
        let label = if decade >= 3.0 {
            format!("{} s", 10_f64.powf(decade - 3.0))
        } else {
            format!("{} ms", 10_f64.powf(decade))
        };
        body += &format!(
            "<line class=grid x1={LEFT} x2={WIDTH} y1={at:.1} y2={at:.1} />\
             <text class=tick x={:.1} y={:.1} text-anchor=end>{label}</text>",
            LEFT - 6.0,
            at + 4.0
        );
        decade += 1.0;
    }
    for (class, points) in ["p50", "p99", "max"].into_iter().zip(&drawn).rev() {
        body += &line(class, points, &axis, y);
    }
    body += &phases(evidence, &axis, TOP, bottom);
    body += &error_mark(error, &axis, TOP, bottom);
    frame(&body, "latency over time")
}

/// The index of the line for this outcome.
fn kind(attempt: &Attempt) -> usize {
    match &attempt.end {
        End::Ok { value, .. } if value.get("refused").is_some() => 1,
        End::Ok { .. } => 0,
        End::Fail => 2,
        End::Info { .. } => 3,
    }
}

/// Requests per second, by outcome.
pub(super) fn rate(evidence: &Evidence, error: Option<u64>) -> String {
    let axis = whole(evidence);
    let mut counts = [const { Vec::new() }; 4];
    for count in &mut counts {
        *count = vec![0_u64; usize::try_from(COLUMNS).unwrap_or(0)];
    }
    for attempt in &evidence.history.attempts {
        let at = column(attempt.ended.unwrap_or(attempt.called), &axis);
        if let Some(count) = counts.get_mut(kind(attempt)).and_then(|counts| counts.get_mut(at)) {
            *count += 1;
        }
    }
    let per_second = 1e9 * float(COLUMNS) / float(axis.to - axis.from + 1);
    let most = counts.iter().flatten().copied().max().unwrap_or(0);
    let top_rate = nice(float(most) * per_second);
    let bottom = TOP + HEIGHT;
    let y = |value: f64| bottom - value / top_rate * HEIGHT;
    let mut body = draw_bands(&bands(evidence), &axis, TOP, bottom) + &axis.draw(TOP, bottom);
    for quarter in 0..=4_u32 {
        let rate = top_rate * f64::from(quarter) / 4.0;
        let at = y(rate);
        body += &format!(
            "<line class=grid x1={LEFT} x2={WIDTH} y1={at:.1} y2={at:.1} />\
             <text class=tick x={:.1} y={:.1} text-anchor=end>{rate:.0}/s</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for (class, counts) in ["done", "refused", "failed", "lost"].into_iter().zip(&counts) {
        let rare = class == "failed" || class == "lost";
        let points: Vec<Option<f64>> = counts
            .iter()
            .map(|count| (!rare || *count > 0).then_some(float(*count) * per_second))
            .collect();
        body += &line(class, &points, &axis, y);
    }
    body += &phases(evidence, &axis, TOP, bottom);
    body += &error_mark(error, &axis, TOP, bottom);
    frame(&body, "requests a second over time")
}

/// The next number of the form 1, 2, 4 or 8 times a power of ten.
fn nice(number: f64) -> f64 {
    let mut step = 4.0;
    for factor in [1.0, 2.0, 2.0, 2.0, 1.25].into_iter().cycle().take(40) {
        step *= factor;
        if step >= number {
            break;
        }
    }
    step
}
