//! Load by hand: raw HTTP/1.1 over keep-alive connections, cheap enough that the generator does
//! not eat the cores it shares with the nodes it measures.

mod caller;
mod connection;

pub(crate) use caller::{Answer, Caller, Lost};
pub(crate) use connection::{Connection, Post};

use anyhow::Context as _;
use hdrhistogram::Histogram;

/// Longest latency that is told apart, in microseconds: two minutes.
const LATENCY_US_MAX: u64 = 120_000_000;

/// An empty histogram of microseconds, good to three digits.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).context("cannot make a histogram")
}

/// Microseconds in milliseconds, with two digits, for eyes.
pub(crate) fn milliseconds(us: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for eyes")]
    let ms = us as f64 / 1000.0;
    (ms * 100.0).round() / 100.0
}
