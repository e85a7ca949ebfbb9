//! What a node has counted since it started, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number per event; nothing reads them but `metrics`.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) proposed: AtomicU64,
    pub(crate) forwarded: AtomicU64,
    pub(crate) early: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) overloaded: AtomicU64,
    pub(crate) no_quorum: AtomicU64,
    pub(crate) read_index_rounds: AtomicU64,
    pub(crate) commands_encoded: AtomicU64,
    pub(crate) commands_decoded: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
