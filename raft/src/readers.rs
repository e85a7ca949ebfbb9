//! Readers that wait for a read index, and how fresh the rows here are known to be.

use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::answer::Failure;

/// A confirmed read index, and when it was asked for.
pub(crate) type Confirmed = Result<(u64, Instant), Failure>;

/// One waiting reader.
pub(crate) struct Reader(oneshot::Sender<Confirmed>);

impl Reader {
    /// Answers it, if it still waits.
    pub(crate) fn answer(self, confirmed: Confirmed) {
        drop(self.0.send(confirmed));
    }
}

/// The queue of readers.
pub(crate) struct Readers {
    queue: mpsc::UnboundedSender<Reader>,
    fresh_since: Mutex<Option<Instant>>,
}

impl Readers {
    /// With the end that [`crate::read_index::run`] serves.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Reader>) {
        let (queue, waiting) = mpsc::unbounded_channel();
        (Self { queue, fresh_since: Mutex::new(None) }, waiting)
    }

    /// Waits for a read index. `None`: the node is ending.
    pub(crate) async fn wait(&self) -> Option<Confirmed> {
        let (answer, confirmed) = oneshot::channel();
        self.queue.send(Reader(answer)).ok()?;
        confirmed.await.ok()
    }

    /// Notes that what was confirmed at a request of `asked_at` is applied here.
    pub(crate) fn note_applied(&self, asked_at: Instant) {
        let mut fresh = self.fresh_since.lock();
        *fresh = (*fresh).max(Some(asked_at));
    }

    /// When the newest read index was asked for that is confirmed and applied here: rows read
    /// from now on are at least as new.
    pub(crate) fn fresh_since(&self) -> Option<Instant> {
        *self.fresh_since.lock()
    }
}
