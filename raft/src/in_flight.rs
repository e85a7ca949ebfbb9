//! Keys of commands that this node has proposed, and whose receipts its rows may not show yet.
//!
//! A repeat of such a command must not be refused early: its first copy may be about to win.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use firstcome_domain::receipt::Scope;
use parking_lot::Mutex;

/// The copies of keyed commands that are under way.
#[derive(Default)]
pub(crate) struct InFlight {
    scopes: Mutex<Scopes>,
}

#[derive(Default)]
struct Scopes {
    /// Copies under way, or not long gone.
    copies: HashMap<Scope, usize>,
    /// Copies that have ended, and how long they count nevertheless. They leave in this order: one
    /// that counts for longer keeps others, which costs memory and proposals, but is never wrong.
    ended: VecDeque<(Instant, Scope)>,
}

/// A copy of a keyed command on its way; it ends when dropped, also if its caller has gone.
pub(crate) struct Copy<'f> {
    in_flight: &'f InFlight,
    scope: Scope,
    is_repeat: bool,
    counts_on: Duration,
}

impl InFlight {
    /// Counts a copy in.
    pub(crate) fn enter(&self, scope: Scope) -> Copy<'_> {
        let mut scopes = self.scopes.lock();
        scopes.let_go(Instant::now());
        let copies = scopes.copies.entry(scope).or_default();
        let is_repeat = *copies > 0;
        *copies += 1;
        drop(scopes);
        Copy { in_flight: self, scope, is_repeat, counts_on: Duration::ZERO }
    }
}

impl Scopes {
    fn let_go(&mut self, now: Instant) {
        while let Some((until, scope)) = self.ended.front().copied()
            && until <= now
        {
            self.ended.pop_front();
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

    /// For how long it counts after it has ended.
    pub(crate) const fn counts_on_for(&mut self, time: Duration) {
        self.counts_on = time;
    }
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        let mut scopes = self.in_flight.scopes.lock();
        if self.counts_on.is_zero() {
            scopes.leave(self.scope);
        } else {
            scopes.ended.push_back((Instant::now() + self.counts_on, self.scope));
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
        first.counts_on_for(Duration::from_mins(1));
        drop(first);
        assert!(in_flight.enter(scope).is_repeat());
        in_flight.scopes.lock().let_go(Instant::now() + Duration::from_mins(2));
        assert!(!in_flight.enter(scope).is_repeat());
        assert!(in_flight.scopes.lock().copies.is_empty(), "nothing is kept");
    }
}
