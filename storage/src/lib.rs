//! What is on disk, and how it survives a crash.
//!
//! Two files: `log.redb` holds what Raft must not forget (entries, vote, marks) and syncs before
//! it reports anything; `state.redb` holds the rows and is brought up to date by checkpoints that
//! never run ahead of the log. Nothing in here awaits, and nothing in here decides.

pub mod codec;
pub mod dir;
pub mod log;
pub mod query;
pub mod snapshot;
pub mod state;

pub use dir::{DataDir, Identity};
pub use log::{Log, LogOptions};
pub use state::{State, StateOptions};

use std::path::PathBuf;

/// Why storage cannot go on. Every variant stops the node; none becomes an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused (exit code 74).
    #[error("cannot access {path}")]
    Io {
        /// What was accessed.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file is damaged, empty where it must not be, or its content contradicts itself (65).
    #[error("{path} is damaged: {detail}")]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The directory belongs to another cluster, node or format version (76).
    #[error("{path} does not belong here: {detail}")]
    Foreign {
        /// Which file or directory.
        path: PathBuf,
        /// What differs.
        detail: String,
    },
    /// Another process has the directory open (75).
    #[error("{path} is in use by another process")]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// There is no node in this directory (76).
    #[error("{path} holds no node")]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// A decision contradicts the rows: a bug (70).
    #[error("broken invariant: {0}")]
    Invariant(String),
}
