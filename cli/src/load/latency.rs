//! Latency histograms in microseconds.

use anyhow::Context as _;
use hdrhistogram::Histogram;

/// Longest latency that is recorded exactly, in microseconds: two minutes.
const LATENCY_US_MAX: u64 = 120_000_000;

/// An empty histogram of microseconds with three significant digits.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).context("cannot make a histogram")
}

/// Microseconds as milliseconds, rounded to two digits.
pub(crate) fn milliseconds(us: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rounded figure for display")]
    let ms = us as f64 / 1000.0;
    (ms * 100.0).round() / 100.0
}
