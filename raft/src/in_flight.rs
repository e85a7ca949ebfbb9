//! Keys of commands that this node has proposed, and whose receipts its rows may not show yet.
//!
//! A repeat of such a command must not be refused early: its first copy may be about to win.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use firstcome_domain::receipt::Scope;
use parking_lot::Mutex;

/// Ended copies that one new copy lets go of: more than one, so that the queues get shorter, and
/// few, because all keyed commands wait for this lock.
const LET_GO_MAX: usize = 8;

/// The copies of keyed commands that are under way.
#[derive(Default)]
pub(crate) struct InFlight {
    scopes: Mutex<Scopes>,
}

#[derive(Default)]
struct Scopes {
    /// Copies under way, or not long gone.
    copies: HashMap<Scope, usize>,
    /// Copies that have ended, and until when they count nevertheless.
    decided: VecDeque<(Instant, Scope)>,
    abandoned: VecDeque<(Instant, Scope)>,
}

/// A copy of a keyed command on its way; it ends when dropped, also if its caller has gone.
pub(crate) struct Copy<'f> {
    in_flight: &'f InFlight,
    scope: Scope,
    is_repeat: bool,
    end: End,
}

/// How a copy ends, and how long it counts after that.
#[derive(Clone, Copy)]
enum End {
    NotProposed,
    Decided(Duration),
    Abandoned(Duration),
}

impl InFlight {
    /// Registers a copy.
    pub(crate) fn enter(&self, scope: Scope) -> Copy<'_> {
        let mut scopes = self.scopes.lock();
        scopes.let_go(Instant::now());
        let copies = scopes.copies.entry(scope).or_default();
        let is_repeat = *copies > 0;
        *copies += 1;
        drop(scopes);
        Copy { in_flight: self, scope, is_repeat, end: End::NotProposed }
    }
}

impl Scopes {
    fn let_go(&mut self, now: Instant) {
        for _ in 0..LET_GO_MAX {
            // All copies in one queue count for the same time.
            let queues = [&mut self.decided, &mut self.abandoned];
            let over = |queue: &&mut VecDeque<(Instant, Scope)>| {
                queue.front().is_some_and(|(until, _)| *until <= now)
            };
            let Some((_, scope)) = queues.into_iter().find(over).and_then(VecDeque::pop_front)
            else {
                return;
            };
            self.leave(scope);
        }
    }

    fn leave(&mut self, scope: Scope) {
        if let Some(copies) = self.copies.get_mut(&scope) {
            *copies -= 1;
            if *copies == 0 {
                self.copies.remove(&scope);
            }
        }
    }
}

impl Copy<'_> {
    /// Whether another copy came before, and may not be decided.
    pub(crate) const fn is_repeat(&self) -> bool {
        self.is_repeat
    }

    /// It is proposed now. If it ends without a decision, it counts for this long.
    pub(crate) const fn proposed(&mut self, counts: Duration) {
        self.end = End::Abandoned(counts);
    }

    /// It is decided. It counts for this long.
    pub(crate) const fn decided(&mut self, counts: Duration) {
        self.end = End::Decided(counts);
    }
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        let mut scopes = self.in_flight.scopes.lock();
        match self.end {
            End::NotProposed => scopes.leave(self.scope),
            End::Decided(counts) => {
                scopes.decided.push_back((Instant::now() + counts, self.scope));
            }
            End::Abandoned(counts) => {
                scopes.abandoned.push_back((Instant::now() + counts, self.scope));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_counts_while_it_is_under_way_and_as_long_as_asked_after_that() {
        let (in_flight, scope, other) = (InFlight::default(), Scope([1; 32]), Scope([2; 32]));
        let mut first = in_flight.enter(scope);
        assert!(!first.is_repeat());
        assert!(in_flight.enter(scope).is_repeat());
        assert!(!in_flight.enter(other).is_repeat());
        first.proposed(Duration::from_mins(1));
        drop(first);
        assert!(in_flight.enter(scope).is_repeat());
        in_flight.scopes.lock().let_go(Instant::now() + Duration::from_mins(2));
        assert!(!in_flight.enter(scope).is_repeat());
        let mut second = in_flight.enter(other);
        second.proposed(Duration::from_mins(1));
        second.decided(Duration::from_millis(1));
        drop(second);
        in_flight.scopes.lock().let_go(Instant::now() + Duration::from_secs(1));
        assert!(!in_flight.enter(other).is_repeat(), "an abandoned copy does not keep others");
        assert!(in_flight.scopes.lock().copies.is_empty(), "nothing is kept");
    }
}
