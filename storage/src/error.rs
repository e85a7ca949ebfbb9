//! Why storage cannot go on.

use std::io;
use std::path::{Path, PathBuf};

use crate::codec;

/// Called once, with the error that poisoned a file, by whichever thread met it. It may run under
/// storage's own locks: it signals, and does not call back.
pub type FailureHook = Box<dyn Fn(&Error) + Send + Sync>;

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
        source: io::Error,
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

impl Error {
    /// A file that must be there: its absence is damage, not novelty.
    pub(crate) fn missing(path: &Path, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::corrupt(path, "it is missing; a node never starts without it")
        } else {
            Self::io(path, error)
        }
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// What it means that bytes of a file cannot be decoded: damage, or a later release.
    pub fn undecodable(path: &Path, error: codec::DecodeError) -> Self {
        match error {
            codec::DecodeError::Malformed(detail) => Self::corrupt(path, detail),
            newer @ codec::DecodeError::Newer { .. } => {
                Self::Foreign { path: path.to_owned(), detail: newer.to_string() }
            }
        }
    }

    pub(crate) fn corrupt(path: &Path, detail: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), detail: detail.into() }
    }

    /// The same error once more: a poisoned store answers every later call with it.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Io { path, source } => {
                Self::Io { path: path.clone(), source: same_io_error(source) }
            }
            Self::Corrupt { path, detail } => {
                Self::Corrupt { path: path.clone(), detail: detail.clone() }
            }
            Self::Foreign { path, detail } => {
                Self::Foreign { path: path.clone(), detail: detail.clone() }
            }
            Self::InUse { path } => Self::InUse { path: path.clone() },
            Self::Empty { path } => Self::Empty { path: path.clone() },
            Self::Invariant(detail) => Self::Invariant(detail.clone()),
        }
    }

    /// The form in which callbacks take it.
    pub(crate) fn to_io(&self) -> io::Error {
        match self {
            Self::Io { source, .. } => same_io_error(source),
            other => io::Error::other(other.to_string()),
        }
    }
}

pub(crate) fn same_io_error(source: &io::Error) -> io::Error {
    source.raw_os_error().map_or_else(
        || io::Error::new(source.kind(), source.to_string()),
        io::Error::from_raw_os_error,
    )
}
