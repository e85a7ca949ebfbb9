//! Tokens of the buyers, signed beforehand so that signing is not measured.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use firstcome_api::Keys;
use firstcome_domain::Role;

use super::plan::Plan;
use crate::credentials::fresh_user;

/// Purchases per second that the pool is sized for; beyond that, tokens are signed on demand.
const TOKENS_PER_SECOND: u64 = 30_000;
/// About 250 bytes each, so 125 MB at most.
const TOKENS_MAX: u64 = 500_000;
/// Longer than any run.
const TOKEN_SECONDS: u64 = 6 * 3600;

/// Tokens of distinct customers, concatenated in a few strings.
pub(super) struct Tokens {
    keys: Arc<Keys>,
    pools: Vec<Pool>,
    next: Cell<usize>,
}

/// The tokens signed by one thread.
#[derive(Default)]
struct Pool {
    text: String,
    ends: Vec<usize>,
}

impl Tokens {
    /// Signs as many tokens as the plan is likely to use, on all cores.
    pub(super) fn mint(keys: &Arc<Keys>, plan: &Plan) -> Self {
        let seconds = (plan.warmup + plan.measured).as_secs() + 1;
        let wanted = seconds * plan.rate.unwrap_or(TOKENS_PER_SECOND);
        let wanted = usize::try_from(wanted.min(TOKENS_MAX)).unwrap_or(0);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let signer: &Keys = keys;
        let pools = std::thread::scope(|scope| {
            let share = wanted.div_ceil(threads);
            let started: Vec<_> =
                (0..threads).map(|_| scope.spawn(move || Pool::mint(signer, share))).collect();
            started.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
        });
        Self { keys: Arc::clone(keys), pools, next: Cell::new(0) }
    }

    /// The next customer's token; signed on demand once the pool is used up.
    pub(super) fn next(&self) -> Cow<'_, str> {
        let mut at = self.next.replace(self.next.get() + 1);
        for pool in &self.pools {
            if let Some(token) = pool.get(at) {
                return Cow::Borrowed(token);
            }
            at = at.saturating_sub(pool.ends.len());
        }
        Cow::Owned(self.keys.mint(fresh_user(), Role::Customer, TOKEN_SECONDS))
    }

    /// Starts again from the first token, for a phase in which no customer has bought yet.
    pub(super) fn rewind(&self) {
        self.next.set(0);
    }
}

impl Pool {
    fn mint(keys: &Keys, count: usize) -> Self {
        let mut pool = Self::default();
        for _ in 0..count {
            pool.text.push_str(&keys.mint(fresh_user(), Role::Customer, TOKEN_SECONDS));
            pool.ends.push(pool.text.len());
        }
        pool
    }

    fn get(&self, at: usize) -> Option<&str> {
        let begin = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.text.get(begin..*self.ends.get(at)?)
    }
}
