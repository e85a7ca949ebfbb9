//! What each process did: one row per process, one bar per request.

use std::collections::BTreeMap;

use crate::judge::check::Evidence;
use crate::record::history::{Attempt, End};

use super::html::{escape, seconds};
use super::plot::{Axis, LEFT, bands, draw_bands, error_mark, float};

/// More bars would not be readable.
const OPERATIONS_MAX: usize = 10_000;
/// How many bars have a tooltip, those nearest to the point of interest.
const TITLES_MAX: usize = 3_000;
const ROW: f64 = 11.0;
const TOP: f64 = 18.0;
/// Wider than a page, so it scrolls.
const WIDTH: f64 = 3_200.0;
/// A shorter bar would be invisible.
const BAR_MIN: f64 = 0.7;

/// The chart, and a description of the part of the run it shows.
pub(super) fn draw(evidence: &Evidence, first_error: Option<u64>) -> (String, String) {
    let attempts = &evidence.history.attempts;
    let shown = part(evidence, first_error);
    let from = shown.iter().map(|attempt| attempt.called).min().unwrap_or(0);
    let to = shown.iter().map(end_of).max().unwrap_or(from + 1);
    let axis = Axis { from, to: to.max(from + 1), width: WIDTH };
    let mut rows: BTreeMap<u64, Vec<&Attempt>> = BTreeMap::new();
    for attempt in shown {
        rows.entry(attempt.process).or_default().push(attempt);
    }
    let bottom = TOP + float(rows.len() as u64) * ROW;
    let mut body = draw_bands(&bands(evidence), &axis, TOP, bottom) + &axis.draw(TOP, bottom);
    let count = shown.len();
    let middle = first_error.unwrap_or(from);
    for (row, (process, own)) in rows.iter().enumerate() {
        let y = TOP + float(row as u64) * ROW;
        body += &format!(
            "<text class=tick x={:.1} y={:.1} text-anchor=end>p{process}</text>",
            LEFT - 6.0,
            y + ROW - 2.5
        );
        body += &bars(own, &axis, y, count, middle, to - from);
    }
    body += &error_mark(first_error, &axis, TOP, bottom);
    let drawing = format!(
        "<svg class=wide width={WIDTH} height={0:.0} viewBox=\"0 0 {WIDTH} {0:.0}\" role=img \
         aria-label=\"timeline of each process\">{body}</svg>",
        bottom + 22.0
    );
    let words = format!(
        "{count} of {} requests, from {} to {}",
        attempts.len(),
        seconds(from),
        seconds(to)
    );
    (drawing, words)
}

/// The requests around the first error, or around the first fault.
fn part(evidence: &Evidence, first_error: Option<u64>) -> &[Attempt] {
    let attempts = &evidence.history.attempts;
    let middle = first_error.or_else(|| bands(evidence).first().map(|band| band.from)).unwrap_or(0);
    let at = attempts.partition_point(|attempt| attempt.called < middle);
    let from = at.saturating_sub(OPERATIONS_MAX / 2);
    let to = (from + OPERATIONS_MAX).min(attempts.len());
    attempts.get(to.saturating_sub(OPERATIONS_MAX)..to).unwrap_or_default()
}

fn end_of(attempt: &Attempt) -> u64 {
    attempt.ended.unwrap_or(attempt.called)
}

const fn class(attempt: &Attempt, refused: bool) -> &'static str {
    match &attempt.end {
        End::Ok { early: true, .. } => "early",
        End::Ok { .. } if refused => "refused",
        End::Ok { .. } => "done",
        End::Fail => "failed",
        End::Info { .. } => "lost",
    }
}

/// The bars of one process: one path per color, and bars with a tooltip near the point of interest.
fn bars(own: &[&Attempt], axis: &Axis, y: f64, shown: usize, middle: u64, span: u64) -> String {
    let mut plain: BTreeMap<&str, String> = BTreeMap::new();
    let mut out = String::new();
    for attempt in own {
        let refused =
            matches!(&attempt.end, End::Ok { value, .. } if value.get("refused").is_some());
        let class = class(attempt, refused);
        let (x, end) = (axis.x(attempt.called), axis.x(end_of(attempt)));
        let width = (end - x).max(BAR_MIN);
        let near = attempt.called.abs_diff(middle) * (shown as u64)
            < span.saturating_mul(TITLES_MAX as u64) / 2;
        if near || class == "lost" || class == "failed" {
            out += &format!(
                "<rect class=\"bar {class}\" x={x:.2} y={:.1} width={width:.2} height={:.1}>\
                 <title>{}</title></rect>",
                y + 1.5,
                ROW - 3.0,
                escape(&words(attempt))
            );
        } else {
            let path = plain.entry(class).or_default();
            *path += &format!("M{x:.2} {:.1}h{width:.2}", y + ROW / 2.0);
        }
    }
    for (class, path) in plain {
        out += &format!("<path class=\"bars {class}\" d=\"{path}\" />");
    }
    out
}

/// One request on one line.
pub(super) fn words(attempt: &Attempt) -> String {
    let pool = attempt.pool.as_deref().unwrap_or_default();
    let node = attempt.node.as_deref().unwrap_or_default();
    let told = match &attempt.end {
        End::Ok { value, rev, replayed, early, .. } => {
            let mark = match (replayed, early) {
                (true, _) => ", replayed",
                (_, true) => ", early",
                _ => "",
            };
            format!("ok {value} at revision {rev}{mark}")
        }
        End::Fail => "did not run".to_owned(),
        End::Info { value } => format!("outcome unknown: {value}"),
    };
    let key = attempt.key.as_deref().unwrap_or_default();
    format!(
        "p{} {} {pool} {key} {} at {node}, {} to {}: {told}",
        attempt.process,
        attempt.f,
        attempt.asked,
        seconds(attempt.called),
        seconds(end_of(attempt))
    )
}
