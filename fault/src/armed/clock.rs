//! A clock that is wrong by as much as was asked for.

use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::locked;

/// How wrong, and since when it drifts.
#[derive(Clone, Copy)]
struct Wrong {
    offset_ms: i64,
    drift_ppm: i64,
    since: Instant,
}

static CLOCK: Mutex<Option<Wrong>> = Mutex::new(None);
/// Read instead of the machine's clock.
static SOURCE: Mutex<Option<fn() -> i64>> = Mutex::new(None);

/// What to add to the machine's clock now, in ms.
pub fn clock_offset_ms() -> i64 {
    let Some(wrong) = *locked(&CLOCK) else { return 0 };
    let elapsed_ms = i64::try_from(wrong.since.elapsed().as_millis()).unwrap_or(i64::MAX);
    let drifted = elapsed_ms.saturating_mul(wrong.drift_ppm) / 1_000_000;
    wrong.offset_ms.saturating_add(drifted)
}

/// The clock of this process, for bugs that read one where they must not; ms since 1970.
pub fn wall_ms() -> i64 {
    let source = *locked(&SOURCE);
    if let Some(source) = source {
        return source().saturating_add(clock_offset_ms());
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_add(clock_offset_ms())
}

/// Has bugs read this clock, in ms since 1970: a simulation has no machine's clock to read.
pub fn clock_from(source: fn() -> i64) {
    *locked(&SOURCE) = Some(source);
}

/// From now on the clock is off by this much, and runs fast by this many parts in a million.
pub(super) fn set(offset_ms: i64, drift_ppm: i64) {
    *locked(&CLOCK) = Some(Wrong { offset_ms, drift_ppm, since: Instant::now() });
}
