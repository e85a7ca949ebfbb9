//! The first reason why this node cannot go on; the caller of [`crate::Node::failed`] ends the
//! process with it.

use std::sync::Arc;

use firstcome_storage::Error;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The exit codes of docs/operations.md that this crate decides.
pub(crate) mod exit {
    pub(crate) const CORRUPT: i32 = 65;
    pub(crate) const BUG: i32 = 70;
    pub(crate) const IO: i32 = 74;
    pub(crate) const TEMPORARY: i32 = 75;
    pub(crate) const IDENTITY: i32 = 76;
    pub(crate) const REMOVED: i32 = 77;
}

/// The exit code that a storage error ends the process with.
pub fn storage_exit_code(error: &Error) -> i32 {
    match error {
        Error::Io { .. } => exit::IO,
        Error::Corrupt { .. } => exit::CORRUPT,
        Error::Foreign { .. } | Error::Empty { .. } => exit::IDENTITY,
        Error::InUse { .. } => exit::TEMPORARY,
        Error::Invariant(_) => exit::BUG,
    }
}

/// Shared slot; the first failure stays.
#[derive(Clone, Default)]
pub(crate) struct FailureSlot(Arc<Slot>);

#[derive(Default)]
struct Slot {
    first: Mutex<Option<(i32, String)>>,
    filled: Notify,
}

impl FailureSlot {
    pub(crate) fn set(&self, code: i32, reason: impl Into<String>) {
        let mut slot = self.0.first.lock();
        if slot.is_none() {
            *slot = Some((code, reason.into()));
        }
        drop(slot);
        self.0.filled.notify_waiters();
    }

    pub(crate) fn set_storage(&self, error: &Error) {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        self.set(storage_exit_code(error), reason);
    }

    /// What failed first, if anything did.
    pub(crate) fn first(&self) -> Option<(i32, String)> {
        self.0.first.lock().clone()
    }

    /// Resolves once something failed.
    pub(crate) async fn wait(&self) -> (i32, String) {
        loop {
            let notified = self.0.filled.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(failure) = self.first() {
                return failure;
            }
            notified.await;
        }
    }
}
