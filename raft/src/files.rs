//! The log and the state of a node, and where their blocking work runs.
//!
//! The product writes on threads of its own. Under simulation there is one thread for the whole
//! cluster, so everything runs inline, when the simulated machine says that the disk is ready.

use firstcome_storage::{DataDir, Error, Log, LogOptions, State, StateOptions};
use tokio::task::JoinError;

use crate::options::Options;

/// Opens log and state, each with the thread or task that does its writing.
pub(crate) fn open(dir: &DataDir, options: &Options) -> Result<(Log, State), Error> {
    let log_options = LogOptions {
        cache_bytes: options.log_cache_bytes,
        segment_bytes: options.log_segment_bytes,
    };
    let state_options = StateOptions {
        cache_bytes: options.state_cache_bytes,
        checkpoint_interval: options.checkpoint_interval,
        checkpoint_bytes: options.checkpoint_bytes,
    };
    #[cfg(not(simulation))]
    {
        let log = Log::open(dir, log_options)?;
        let state = State::open(dir, state_options, log.clone())?;
        Ok((log, state))
    }
    #[cfg(simulation)]
    {
        let log = Log::open_on_demand(dir, log_options)?;
        let state = State::open_inline(dir, state_options, log.clone())?;
        crate::simulation::work_files(&log, &state, options.checkpoint_interval);
        Ok((log, state))
    }
}

/// Runs work that may block for long, beside the tasks of the runtime.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    #[cfg(not(simulation))]
    {
        tokio::task::spawn_blocking(work).await
    }
    #[cfg(simulation)]
    {
        Ok(work())
    }
}
