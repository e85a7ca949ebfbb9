//! The answers of a fault build, kept in this process.
//!
//! All state is of the process, not of a node: a fault build runs one node per process. What was
//! asked for and did happen is counted, because a fault that never fired proves nothing.

mod clock;
mod control;
mod disk;
mod points;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::Bug;

pub use clock::{clock_from, clock_offset_ms, wall_ms};
pub use control::{listen, on_trigger};
pub use disk::disk_call;
pub use points::reach;

/// Bugs to begin with, by name, with commas between.
const BUG_VARIABLE: &str = "FIRSTCOME_FAULT_BUG";
/// Where all randomness of the volatile disk comes from; 0 if absent.
const SEED_VARIABLE: &str = "FIRSTCOME_FAULT_SEED";

/// One bit per bug.
static BUGS: OnceLock<AtomicU64> = OnceLock::new();
/// How often an armed bug was asked for.
static BUGS_FIRED: [AtomicU64; Bug::ALL.len()] = [const { AtomicU64::new(0) }; Bug::ALL.len()];

/// Whether the product shall be wrong here.
pub fn armed(bug: Bug) -> bool {
    let is_armed = bugs().load(Ordering::Relaxed) & bit(bug) != 0;
    if is_armed && let Some(fired) = BUGS_FIRED.get(bug as usize) {
        fired.fetch_add(1, Ordering::Relaxed);
    }
    is_armed
}

/// Reads the environment; the message says what is wrong with it. `main` calls it first.
pub fn start() -> Result<(), String> {
    named_bugs()?;
    Ok(())
}

/// Where the randomness of this process begins.
pub fn seed() -> u64 {
    std::env::var(SEED_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Puts items in an order of this process and this moment.
pub fn shuffle<T>(items: &mut [T]) {
    for place in (1..items.len()).rev() {
        let drawn = RandomState::new().build_hasher().finish();
        let other = usize::try_from(drawn % (place as u64 + 1)).unwrap_or(0);
        items.swap(place, other);
    }
}

const fn bit(bug: Bug) -> u64 {
    1 << bug as u64
}

/// The bugs of this process; those of the environment to begin with.
fn bugs() -> &'static AtomicU64 {
    BUGS.get_or_init(|| match named_bugs() {
        Ok(bits) => AtomicU64::new(bits),
        Err(wrong) => panic!("{wrong}"),
    })
}

fn named_bugs() -> Result<u64, String> {
    let text = std::env::var(BUG_VARIABLE).unwrap_or_default();
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(Bug::named).try_fold(0, |bits, bug| Ok(bits | bit(bug?))).map_err(|wrong: String| {
        format!("{BUG_VARIABLE}: {wrong}; name seeded bugs with commas between, or unset it")
    })
}

/// Arms or disarms a bug.
fn set_bug(bug: Bug, on: bool) {
    if on {
        bugs().fetch_or(bit(bug), Ordering::Relaxed);
    } else {
        bugs().fetch_and(!bit(bug), Ordering::Relaxed);
    }
}

/// The armed bugs, and how often each was asked for.
fn armed_bugs() -> Vec<(&'static str, u64)> {
    let bits = bugs().load(Ordering::Relaxed);
    let armed = Bug::ALL.iter().filter(|(_, bug)| bits & bit(*bug) != 0);
    let fired = |bug: Bug| BUGS_FIRED.get(bug as usize).map_or(0, |n| n.load(Ordering::Relaxed));
    armed.map(|(name, bug)| (*name, fired(*bug))).collect()
}

/// A failpoint panics, perhaps while something is locked: what it protects is still whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_armed_until_it_is_disarmed() {
        assert!(!armed(Bug::PurgeTooFar));
        set_bug(Bug::PurgeTooFar, true);
        assert!(armed(Bug::PurgeTooFar) && !armed(Bug::NoReceipt));
        assert!(armed_bugs().iter().any(|(name, fired)| *name == "purge_too_far" && *fired > 0));
        set_bug(Bug::PurgeTooFar, false);
        assert!(!armed(Bug::PurgeTooFar));
    }

    #[test]
    fn every_bug_has_a_bit_and_a_name_of_its_own() {
        assert!(Bug::ALL.len() <= 64);
        for (name, bug) in Bug::ALL {
            assert!(Bug::named(name) == Ok(*bug) && bug.name() == *name);
        }
        let wrong = Bug::named("oversell").unwrap_err();
        assert!(wrong.contains("oversell_off_by_one"), "{wrong}");
    }

    #[test]
    fn shuffling_loses_nothing_and_changes_something() {
        let mut items: Vec<u32> = (0..100).collect();
        shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
