//! One piece of work for all requests that wait for it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Lets requests that arrive while a round is running share the next one. Nobody gets a result of a
/// round that began before the request arrived.
pub(crate) struct SharedRound<T> {
    begun: AtomicU64,
    /// The last finished round, and its number.
    last: Mutex<Option<(u64, T)>>,
}

impl<T: Clone> SharedRound<T> {
    /// No round has begun.
    pub(crate) fn new() -> Self {
        Self { begun: AtomicU64::new(0), last: Mutex::new(None) }
    }

    /// The result of a round that begins now or later: of `round`, or of one that another request
    /// began meanwhile.
    pub(crate) async fn run(&self, round: impl Future<Output = T>) -> T {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if let Some((number, result)) = &*last
            && *number > begun
        {
            return result.clone();
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let result = round.await;
        *last = Some((number, result.clone()));
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::FutureExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn requests_that_wait_share_a_round_that_begins_after_them() {
        let (shared, rounds, gate) = (SharedRound::new(), AtomicUsize::new(0), Semaphore::new(0));
        let ask = || {
            Box::pin(shared.run(async {
                let number = rounds.fetch_add(1, Ordering::SeqCst) + 1;
                gate.acquire().await.unwrap().forget();
                number
            }))
        };
        let mut first = ask();
        assert_eq!((&mut first).now_or_never(), None);
        let mut waiting: Vec<_> = (0..5).map(|_| ask()).collect();
        for request in &mut waiting {
            assert_eq!(request.now_or_never(), None);
        }
        gate.add_permits(3);
        assert_eq!(first.await, 1);
        for request in waiting {
            assert_eq!(request.await, 2, "not the round that was running already");
        }
        assert_eq!(ask().await, 3, "nobody gets an old result");
    }

    #[tokio::test]
    async fn a_request_that_gives_up_does_not_keep_the_others() {
        let shared = SharedRound::new();
        let mut stuck = Box::pin(shared.run(std::future::pending()));
        let mut next = Box::pin(shared.run(async { 2 }));
        assert_eq!((&mut stuck).now_or_never(), None);
        assert_eq!((&mut next).now_or_never(), None);
        drop(stuck);
        assert_eq!(next.await, 2);
    }
}
