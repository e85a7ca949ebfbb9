//! A panic anywhere in a node fails the seed, whoever catches it.

use std::sync::{Arc, OnceLock};

use crate::trace::Trace;

static TRACE: OnceLock<Arc<Trace>> = OnceLock::new();

/// Reports every panic to this trace; but for those that storage expects of damaged files.
pub fn report_to(trace: &Arc<Trace>) {
    if TRACE.set(Arc::clone(trace)).is_err() {
        return;
    }
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if firstcome_storage::panic_is_caught() {
            return;
        }
        if let Some(trace) = TRACE.get() {
            trace.violated("panic", panic.to_string());
        }
        default(panic);
    }));
}
