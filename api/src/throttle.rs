//! Throttles logins for addresses without an account, on this node, by the same schedule as for
//! accounts, so that throttling does not reveal which addresses have one.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use firstcome_domain::session::wait_after;
use firstcome_domain::value::EmailIndex;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Addresses that are remembered: about 1 MB.
const ADDRESSES_MAX: usize = 10_000;

/// Wrong passwords by address.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    failures: HashMap<u128, Failures>,
    /// Those in the map, oldest first.
    order: VecDeque<u128>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    until: Option<Instant>,
}

impl Throttle {
    /// How long the next login has to wait.
    pub(crate) fn wait(&self, email: EmailIndex) -> Option<Duration> {
        let until = self.0.lock().failures.get(&email.head())?.until?;
        Some(until.saturating_duration_since(Instant::now())).filter(|wait| !wait.is_zero())
    }

    /// Counts a wrong password.
    pub(crate) fn fail(&self, email: EmailIndex) {
        let (mut kept, head) = (self.0.lock(), email.head());
        let count = kept.failures.get(&head).map_or(0, |known| known.count).saturating_add(1);
        let wait = wait_after(count).map(|ms| Duration::from_millis(ms.unsigned_abs()));
        let until = wait.map(|wait| Instant::now() + wait);
        if kept.failures.insert(head, Failures { count, until }).is_none() {
            kept.order.push_back(head);
            if kept.order.len() > ADDRESSES_MAX
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.failures.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn email(number: u128) -> EmailIndex {
        let mut bytes = [0; 32];
        let head = number.to_be_bytes();
        let mut at = 0;
        while at < head.len() {
            bytes[at] = head[at];
            at += 1;
        }
        EmailIndex(bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_without_an_account_waits_as_one_with_an_account_does() {
        let throttle = Throttle::default();
        for _ in 0..5 {
            throttle.fail(email(1));
            assert_eq!(throttle.wait(email(1)), None);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            throttle.fail(email(1));
            let wait = Duration::from_secs(seconds);
            assert_eq!(throttle.wait(email(1)), Some(wait));
            assert_eq!(throttle.wait(email(2)), None);
            tokio::time::advance(wait).await;
            assert_eq!(throttle.wait(email(1)), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_address_is_forgotten_when_there_are_too_many() {
        let throttle = Throttle::default();
        for _ in 0..6 {
            throttle.fail(email(0));
        }
        for number in 1..10_000 {
            throttle.fail(email(number));
        }
        assert!(throttle.wait(email(0)).is_some());
        throttle.fail(email(10_000));
        assert_eq!(throttle.wait(email(0)), None);
        assert_eq!(throttle.0.lock().failures.len(), ADDRESSES_MAX);
    }
}
