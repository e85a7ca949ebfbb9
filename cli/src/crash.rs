//! Panics: one log line, then the process ends with exit code 70.

use crate::exit::{Exit, leave};
use crate::output;

/// Makes a panic on any thread end the process. A node that lost one of its tasks must not keep
/// running.
pub(crate) fn exit_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        if firstcome_storage::panic_is_caught() {
            return; // Storage turns it into an error: a corrupt file or a broken invariant.
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let cause = panic
            .payload_as_str()
            .map_or_else(|| "unknown cause".to_owned(), |text| text.replace('\n', " "));
        if tracing::enabled!(tracing::Level::ERROR) {
            tracing::error!(code = Exit::Bug.code(), place, "bug: {cause}");
        } else {
            output::note(&format!("bug: {cause} (at {place})"));
        }
        leave(Exit::Bug);
    }));
}
