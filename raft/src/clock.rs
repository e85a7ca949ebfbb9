//! The wall clock, read in this one file.
//!
//! Log time is the leader's, so a leader must not follow a clock that jumps. Between two checks
//! against the other voters the clock is carried by this machine's monotonic one: a step of more
//! than `max_ms` against it is not used until the voters' median confirms it. See
//! docs/adr/0006-a-clock-that-is-off-does-not-lead.md.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;
#[cfg(not(simulation))]
use std::time::{SystemTime, UNIX_EPOCH};

use firstcome_domain::Millis;
use parking_lot::Mutex;

/// A clock that refuses to jump.
pub(crate) struct Clock {
    /// Added to the wall clock; tests set it to play a machine whose clock is wrong.
    offset_ms: i64,
    max_ms: i64,
    anchor: Mutex<Anchor>,
    /// Whether the voters agree with it well enough to lead by it.
    is_fit: AtomicBool,
    /// Its offset from the voters' median, as last measured.
    offset_from_median_ms: AtomicI64,
}

struct Anchor {
    wall_ms: i64,
    at: Instant,
}

impl Clock {
    pub(crate) fn new(offset_ms: i64, max_ms: i64) -> Self {
        let anchor = Anchor { wall_ms: wall_ms() + offset_ms, at: Instant::now() };
        Self {
            offset_ms,
            max_ms,
            anchor: Mutex::new(anchor),
            is_fit: AtomicBool::new(false),
            offset_from_median_ms: AtomicI64::new(0),
        }
    }

    /// What the machine's clock says, believed or not.
    pub(crate) fn wall(&self) -> i64 {
        wall_ms() + self.offset_ms + firstcome_fault::clock_offset_ms()
    }

    /// What another voter is told that compares clocks. The machine's clock and not the carried
    /// time: the asker compares with its machine's clock, and when all clocks are set at once, all
    /// must be seen to agree.
    pub(crate) fn answer(&self) -> i64 {
        self.wall()
    }

    /// The time to stamp with.
    pub(crate) fn now(&self) -> Millis {
        Millis::new(self.read(self.wall(), Instant::now()).max(0))
    }

    fn read(&self, wall: i64, at: Instant) -> i64 {
        let mut anchor = self.anchor.lock();
        let elapsed = i64::try_from(at.saturating_duration_since(anchor.at).as_millis());
        let carried = anchor.wall_ms.saturating_add(elapsed.unwrap_or(i64::MAX));
        if (wall - carried).abs() > self.max_ms {
            return carried;
        }
        *anchor = Anchor { wall_ms: wall, at };
        wall
    }

    /// Takes a verdict of the voters: whether this clock is fit to lead by, and how far it is from
    /// their median. A fit one is believed from now on.
    pub(crate) fn judge(&self, is_fit: bool, offset_ms: i64) {
        if is_fit {
            self.confirm();
        }
        self.is_fit.store(is_fit, Ordering::Relaxed);
        self.offset_from_median_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// Whether the voters agree with it well enough to lead by it; not before they were asked.
    pub(crate) fn is_fit(&self) -> bool {
        self.is_fit.load(Ordering::Relaxed)
    }

    /// Its offset from the voters' median, in ms.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_from_median_ms.load(Ordering::Relaxed)
    }

    fn confirm(&self) {
        *self.anchor.lock() = Anchor { wall_ms: self.wall(), at: Instant::now() };
    }
}

#[cfg(simulation)]
use crate::simulation::wall_ms;

#[cfg(not(simulation))]
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether this node's clock is fit to lead, given the other voters' offsets from it in ms.
///
/// `None`: unknown, the last verdict stands. The clocks of a majority (this node included) must be
/// known, and if an even number of clocks disagrees, neither half can be called right.
pub(crate) fn verdict(offsets: &[i64], voters: usize, max_ms: i64) -> Option<bool> {
    let mut all: Vec<i64> = offsets.to_vec();
    all.push(0);
    if all.len() * 2 <= voters {
        return None;
    }
    all.sort_unstable();
    let (low, high) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
    if high - low > 2 * max_ms {
        return None;
    }
    let median = low + (high - low) / 2;
    Some(median.abs() <= max_ms)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Story: voters told each other the carried time. When the clocks of all machines were set at
    /// once, every node saw the others off by the whole step and none was fit to lead.
    #[test]
    fn clocks_set_together_agree_and_are_followed() {
        let clocks = [0; 3].map(|_| {
            let clock = Clock::new(0, 500);
            Clock { offset_ms: 36_000, ..clock }
        });
        let [asker, others @ ..] = &clocks;
        assert!(asker.now().get() < asker.wall() - 30_000, "the step is not used yet");
        let offsets: Vec<i64> = others.iter().map(|other| other.answer() - asker.wall()).collect();
        assert_eq!(verdict(&offsets, 3, 500), Some(true), "{offsets:?}");
        asker.confirm();
        assert!((asker.wall() - asker.now().get()).abs() < 500);
    }

    #[test]
    fn a_step_is_not_followed_until_confirmed() {
        let clock = Clock::new(0, 500);
        let start = Instant::now();
        let wall = clock.wall();
        assert_eq!(clock.read(wall + 100, start + Duration::from_millis(100)), wall + 100);
        let jumped = clock.read(wall + 600_000, start + Duration::from_millis(200));
        assert!((jumped - wall - 200).abs() < 50, "carried on: {jumped} from {wall}");
        let back = clock.read(wall - 600_000, start + Duration::from_millis(300));
        assert!((back - wall - 300).abs() < 50, "carried on: {back} from {wall}");
    }

    #[test]
    fn the_odd_clock_out_is_unfit_and_a_tie_keeps_the_last_verdict() {
        assert_eq!(verdict(&[], 1, 500), Some(true));
        assert_eq!(verdict(&[], 3, 500), None);
        assert_eq!(verdict(&[10, -20], 3, 500), Some(true));
        assert_eq!(verdict(&[10, 600_000], 3, 500), Some(true));
        assert_eq!(verdict(&[-600_000, -600_010], 3, 500), Some(false));
        assert_eq!(verdict(&[600_000], 3, 500), None);
        assert_eq!(verdict(&[5], 3, 500), Some(true));
    }
}
