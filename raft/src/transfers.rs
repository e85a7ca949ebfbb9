//! Snapshots on their way to members, and the log their receivers read next.
//!
//! A large snapshot takes longer than a busy leader needs to write what it retains. Purged
//! meanwhile, the log behind the snapshot leaves its receiver with nothing but another one, and so
//! on for ever. So the log stays from the snapshot on until its receiver has caught up; etcd pauses
//! its compaction for the same reason (its `server.go`: "a snapshot sending cycle"). What this
//! keeps is bounded: a transfer ends after a time without progress, and so does catching up.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What the receivers of snapshots have, by member id.
#[derive(Default)]
pub(crate) struct Transfers {
    receivers: Mutex<BTreeMap<u64, Receiver>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Receiver {
    /// It needs the log above this index.
    has: u64,
    /// When it came so far; `None` while the snapshot is on its way.
    since: Option<Instant>,
}

/// A snapshot on its way; dropped before it arrived, it holds nothing.
pub(crate) struct Transfer<'t> {
    transfers: &'t Transfers,
    member: u64,
}

impl Transfers {
    /// A snapshot up to `index` goes to `member`.
    pub(crate) fn begin(&self, member: u64, index: u64) -> Transfer<'_> {
        self.receivers.lock().insert(member, Receiver { has: index, since: None });
        Transfer { transfers: self, member }
    }

    /// How far the log may be purged, of `upto`: less what receivers read next.
    ///
    /// `matched` tells up to where a member's log is known to equal this leader's, and `None` if it
    /// is no member, or this no leader. A receiver that has not moved for `patience` is let go.
    pub(crate) fn purgeable(
        &self,
        upto: u64,
        patience: Duration,
        matched: impl Fn(u64) -> Option<u64>,
    ) -> u64 {
        let mut receivers = self.receivers.lock();
        receivers.retain(|member, receiver| {
            let Some(since) = &mut receiver.since else { return true };
            let Some(matched) = matched(*member) else { return false };
            if matched > receiver.has {
                *receiver = Receiver { has: matched, since: Some(Instant::now()) };
                return matched < upto;
            }
            since.elapsed() < patience
        });
        receivers.values().map(|receiver| receiver.has).fold(upto, u64::min)
    }
}

impl Transfer<'_> {
    /// The member has it.
    pub(crate) fn arrived(self) {
        if let Some(receiver) = self.transfers.receivers.lock().get_mut(&self.member) {
            receiver.since = Some(Instant::now());
        }
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        let mut receivers = self.transfers.receivers.lock();
        if receivers.get(&self.member).is_some_and(|receiver| receiver.since.is_none()) {
            receivers.remove(&self.member);
        }
    }
}

#[cfg(test)]
mod tests;
