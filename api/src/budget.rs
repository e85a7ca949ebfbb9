//! Concurrency budgets: how many requests of each kind may be in flight, and how long the next one
//! waits before it gets 503. A flood of one kind does not slow down the others.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::problem::{Code, Problem};

/// Which budget a route draws from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Budget {
    /// Health, metrics, documents, changes of the cluster: never refused, since they show what is
    /// wrong, or mend it.
    Unbounded,
    /// Cluster status: cheap, because those that wait share one round to the members.
    ClusterStatus,
    /// State hashes: each asks every member.
    StateHash,
    /// Catalogue and stock.
    PublicRead,
    /// Placing an order.
    Purchase,
    /// All other customer requests.
    Customer,
    /// Sign-up, login and what comes before them. Passwords are hashed in a pool of their own.
    Auth,
    /// All staff requests.
    Admin,
}

/// The semaphores of one node.
pub(crate) struct Budgets {
    cluster_status: Semaphore,
    state_hash: Semaphore,
    public_read: Semaphore,
    purchase: Semaphore,
    customer: Semaphore,
    auth: Semaphore,
    admin: Semaphore,
}

impl Budgets {
    /// Purchases are sized by the options; the other sizes are fixed.
    pub(crate) fn new(purchase_slots: usize) -> Self {
        Self {
            cluster_status: Semaphore::new(256),
            state_hash: Semaphore::new(8),
            public_read: Semaphore::new(512),
            purchase: Semaphore::new(purchase_slots.clamp(1, Semaphore::MAX_PERMITS)),
            customer: Semaphore::new(256),
            auth: Semaphore::new(256),
            admin: Semaphore::new(32),
        }
    }

    /// Waits for a permit, but only briefly.
    pub(crate) async fn enter(
        &self,
        budget: Budget,
    ) -> Result<Option<SemaphorePermit<'_>>, Problem> {
        let (slots, wait_ms) = match budget {
            Budget::Unbounded => return Ok(None),
            Budget::ClusterStatus => (&self.cluster_status, 1000),
            Budget::StateHash => (&self.state_hash, 3000),
            Budget::PublicRead => (&self.public_read, 200),
            Budget::Purchase => (&self.purchase, 500),
            Budget::Customer => (&self.customer, 500),
            Budget::Auth => (&self.auth, 1000),
            Budget::Admin => (&self.admin, 1000),
        };
        if let Ok(permit) = slots.try_acquire() {
            return Ok(Some(permit));
        }
        match tokio::time::timeout(Duration::from_millis(wait_ms), slots.acquire()).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            Ok(Err(_)) | Err(_) => Err(Problem::new(Code::Overloaded)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ref61_overload_is_refused_fast() {
        let budgets = Budgets::new(1);
        let held = budgets.enter(Budget::Purchase).await.unwrap();
        let refused = budgets.enter(Budget::Purchase).await.err().unwrap();
        assert_eq!(refused.code(), Code::Overloaded);
        assert_eq!(refused.retry_after_seconds(), Some(1));
        assert!(budgets.enter(Budget::Admin).await.is_ok());
        drop(held);
        assert!(budgets.enter(Budget::Purchase).await.is_ok());
    }
}
