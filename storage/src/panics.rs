//! Panics that become errors: redb's on a damaged file, a rule's on a broken invariant.
//!
//! A program whose panic hook ends the process asks [`is_caught`] first, so that a damaged file
//! is reported as one.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread, now, becomes an error of this crate.
pub fn is_caught() -> bool {
    CAUGHT.get()
}

/// Runs `work`; a panic in it is an `Err`. What `work` touched must not be used after one.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
    let before = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(before);
    result
}
