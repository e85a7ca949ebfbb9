//! Snapshots being sent to members, and the log that their receivers read next.
//!
//! While a large snapshot is sent, a busy leader may write more than it retains. If it purged the
//! log behind the snapshot, the receiver would need another snapshot, and so on without end. So
//! the leader keeps the log from the snapshot on until its receiver has caught up; etcd pauses its
//! compaction for the same reason (its `server.go`: "a snapshot sending cycle"). openraft keeps
//! what it is sending, but only until the next error of a link.
//!
//! The wait is bounded: a transfer without progress is cancelled, and a receiver that does not
//! come closer is given up. Until then the log grows by what is written meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Transfers by number, each until its receiver has caught up.
#[derive(Default)]
pub(crate) struct Transfers {
    numbered: Mutex<BTreeMap<u64, Receiver>>,
}

struct Receiver {
    member: u64,
    /// It needs the log above this index.
    has: u64,
    catching_up: Option<CatchingUp>,
}

/// The snapshot has arrived.
struct CatchingUp {
    /// How far it was from what may be purged, at its closest, and since when.
    distance: u64,
    since: Instant,
}

/// A snapshot on its way; dropped before it arrived, it holds nothing.
pub(crate) struct Transfer<'t> {
    transfers: &'t Transfers,
    number: u64,
}

impl Transfers {
    /// A snapshot up to `index` goes to `member`.
    pub(crate) fn begin(&self, member: u64, index: u64) -> Transfer<'_> {
        let mut numbered = self.numbered.lock();
        let number = numbered.last_key_value().map_or(0, |(last, _)| last + 1);
        numbered.insert(number, Receiver { member, has: index, catching_up: None });
        Transfer { transfers: self, number }
    }

    /// How far the log may be purged, of `upto`: less what receivers read next.
    ///
    /// `matched` tells up to where a member's log is known to equal this leader's, and `None` if it
    /// is no member, or this no leader. A receiver that has not come closer for `patience` is let
    /// go.
    pub(crate) fn purgeable(
        &self,
        upto: u64,
        patience: Duration,
        matched: impl Fn(u64) -> Option<u64>,
    ) -> u64 {
        let mut numbered = self.numbered.lock();
        numbered.retain(|_, receiver| {
            let Some(catching_up) = &mut receiver.catching_up else { return true };
            let Some(matched) = matched(receiver.member) else { return false };
            // openraft notes the arrival later than we do.
            receiver.has = receiver.has.max(matched);
            let distance = upto.saturating_sub(receiver.has);
            if distance < catching_up.distance {
                *catching_up = CatchingUp { distance, since: Instant::now() };
            }
            distance > 0 && catching_up.since.elapsed() < patience
        });
        numbered.values().map(|receiver| receiver.has).fold(upto, u64::min)
    }
}

impl Transfer<'_> {
    /// The member has it.
    pub(crate) fn arrived(self) {
        if let Some(receiver) = self.transfers.numbered.lock().get_mut(&self.number) {
            let since = Instant::now();
            receiver.catching_up = Some(CatchingUp { distance: u64::MAX, since });
        }
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        let mut numbered = self.transfers.numbered.lock();
        if numbered.get(&self.number).is_some_and(|receiver| receiver.catching_up.is_none()) {
            numbered.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests;
