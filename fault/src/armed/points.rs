//! Failpoints: places where the process dies or dawdles.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::locked;
use crate::Point;

/// What happens at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// The process ends as after any bug.
    Panic,
    /// The thread waits.
    Sleep(Duration),
}

#[derive(Clone, Copy)]
struct Plan {
    action: Action,
    /// How often yet; `None`: every time.
    left: Option<u64>,
}

#[derive(Default)]
struct Points {
    plans: BTreeMap<Point, Plan>,
    fired: BTreeMap<Point, u64>,
}

/// Whether any point is planned: one load on the way through.
static PLANNED: AtomicBool = AtomicBool::new(false);
static POINTS: Mutex<Points> =
    Mutex::new(Points { plans: BTreeMap::new(), fired: BTreeMap::new() });

/// Passes a point: most often without noticing.
pub fn reach(point: Point) {
    if !PLANNED.load(Ordering::Relaxed) {
        return;
    }
    match take(point) {
        None => {}
        Some(Action::Sleep(pause)) => std::thread::sleep(pause),
        Some(Action::Panic) => panic!("failpoint {}", point.name()),
    }
}

fn take(point: Point) -> Option<Action> {
    let mut points = locked(&POINTS);
    let plan = points.plans.get_mut(&point)?;
    let action = plan.action;
    match &mut plan.left {
        Some(0) => return None,
        Some(left) => *left -= 1,
        None => {}
    }
    *points.fired.entry(point).or_default() += 1;
    Some(action)
}

/// Plans what happens at a point; `None` for the action: nothing.
pub(super) fn plan(point: Point, action: Option<Action>, times: Option<u64>) {
    let mut points = locked(&POINTS);
    match action {
        Some(action) => points.plans.insert(point, Plan { action, left: times }),
        None => points.plans.remove(&point),
    };
    PLANNED.store(!points.plans.is_empty(), Ordering::Relaxed);
}

/// How often each point did something.
pub(super) fn fired() -> Vec<(&'static str, u64)> {
    locked(&POINTS).fired.iter().map(|(point, times)| (point.name(), *times)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_does_what_is_planned_as_often_as_planned() {
        let point = Point::MembershipSaveAfter;
        plan(point, Some(Action::Sleep(Duration::ZERO)), Some(2));
        for _ in 0..5 {
            reach(point);
        }
        assert!(fired().contains(&("membership_save_after", 2)), "{:?}", fired());
        plan(point, Some(Action::Panic), None);
        let panicked = std::panic::catch_unwind(|| reach(point)).unwrap_err();
        let text = panicked.downcast_ref::<String>().unwrap();
        assert_eq!(text, "failpoint membership_save_after");
        plan(point, None, None);
        reach(point);
        assert!(fired().contains(&("membership_save_after", 3)));
    }
}
