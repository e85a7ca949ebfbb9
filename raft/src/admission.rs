//! How many commands this node takes at once, and whether it takes any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// How often a node that stops looks whether it has answered everything.
const QUIET_POLL: Duration = Duration::from_millis(5);

/// Counts commands in and out.
pub(crate) struct Admission {
    limit: usize,
    in_flight: AtomicUsize,
    draining: AtomicBool,
}

/// A command in flight; counted out when dropped.
pub(crate) struct Admitted(Arc<Admission>);

impl Admission {
    /// At most `limit` commands in flight.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, in_flight: AtomicUsize::new(0), draining: AtomicBool::new(false) }
    }

    /// Counts a command in; `None`: too many are in flight.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Admitted> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted(Arc::clone(self));
        (before < self.limit).then_some(admitted)
    }

    /// Commands taken here and not answered yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// From now on nothing is taken.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the node is shutting down.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Waits until everything that was taken is answered.
    pub(crate) async fn quiet(&self) {
        while self.in_flight() > 0 {
            tokio::time::sleep(QUIET_POLL).await;
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_beyond_the_limit_are_not_admitted_and_do_not_count() {
        let admission = Arc::new(Admission::new(2));
        let first = admission.enter().unwrap();
        let _second = admission.enter().unwrap();
        assert!(admission.enter().is_none());
        assert_eq!(admission.in_flight(), 2);
        drop(first);
        assert!(admission.enter().is_some());
    }
}
