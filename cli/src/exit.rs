//! Exit codes: what a script or a supervisor can conclude from how a command ended.

use std::process::ExitCode;

use firstcome_raft::StartError;
use firstcome_storage::Error as StorageError;

use crate::client::SessionEnded;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Success, or stopped on request.
    Done = 0,
    /// Refused, nothing was changed. For `demo` and `bench`: a check failed.
    Refused = 1,
    /// The outcome is unknown: check, then retry.
    Unknown = 2,
    /// The command line is wrong.
    Usage = 64,
    /// Data on disk is corrupt.
    Corrupt = 65,
    /// A bug.
    Bug = 70,
    /// Reading or writing failed.
    Io = 74,
    /// Temporary failure: a port or directory is in use.
    Temporary = 75,
    /// The directory belongs to another cluster, node or version.
    Identity = 76,
    /// The node was removed from its cluster.
    Removed = 77,
    /// The settings are wrong.
    Config = 78,
}

impl Exit {
    /// The exit code of an error: that of the first cause in its chain that has one.
    pub fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Bug)
    }

    /// The code as the shell sees it.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What the operator should do next, if the error message alone does not say it. See
    /// docs/operations.md.
    pub fn advice(self) -> Option<&'static str> {
        (self == Self::Corrupt).then_some(
            "do not restart this node: keep the data directory as evidence and replace the node",
        )
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(stop) = cause.downcast_ref::<Stop>() {
            return Some(stop.exit);
        }
        if cause.downcast_ref::<SessionEnded>().is_some() {
            return Some(Self::Refused);
        }
        if let Some(start) = cause.downcast_ref::<StartError>() {
            return Some(Self::of_start(start));
        }
        if let Some(storage) = cause.downcast_ref::<StorageError>() {
            return Some(Self::of_storage(storage));
        }
        cause.downcast_ref::<std::io::Error>().map(|_| Self::Io)
    }

    fn of_start(error: &StartError) -> Self {
        match error {
            StartError::Storage(storage) => Self::of_storage(storage),
            StartError::Listen { .. } => Self::Temporary,
            StartError::Bootstrap(_) => Self::Identity,
            StartError::Settings(_) => Self::Config,
            StartError::Removed => Self::Removed,
            StartError::Failed { code, .. } => Self::of_code(*code),
            StartError::Raft(_) => Self::Bug,
        }
    }

    /// Maps the code with which a running node failed.
    pub fn of_code(code: i32) -> Self {
        let named = [Self::Corrupt, Self::Io, Self::Temporary, Self::Identity, Self::Removed];
        named.into_iter().find(|exit| i32::from(exit.code()) == code).unwrap_or(Self::Bug)
    }

    fn of_storage(error: &StorageError) -> Self {
        match error {
            StorageError::Io { .. } => Self::Io,
            StorageError::Corrupt { .. } => Self::Corrupt,
            StorageError::Foreign { .. } | StorageError::Empty { .. } => Self::Identity,
            StorageError::InUse { .. } => Self::Temporary,
            StorageError::Invariant(_) => Self::Bug,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error with an exit code and a message for the person at the terminal.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Stop {
    /// How the process ends.
    pub exit: Exit,
    /// What happened and what to do about it.
    pub message: String,
}

impl Stop {
    /// Wraps a message with its exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Wraps a message about settings.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Exit::Config, message)
    }
}

/// Exits at once, without unwinding.
#[expect(clippy::exit, reason = "fail-stop: other threads must not keep running")]
pub(crate) fn leave(exit: Exit) -> ! {
    std::process::exit(i32::from(exit.code()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_start_error_has_its_exit_code() {
        let path = || PathBuf::from("x");
        let detail = || "y".to_owned();
        let io = || std::io::Error::other("z");
        let cases: Vec<(anyhow::Error, u8)> = vec![
            (StorageError::Io { path: path(), source: io() }.into(), 74),
            (StorageError::Corrupt { path: path(), detail: detail() }.into(), 65),
            (StorageError::Foreign { path: path(), detail: detail() }.into(), 76),
            (StorageError::InUse { path: path() }.into(), 75),
            (StorageError::Empty { path: path() }.into(), 76),
            (StorageError::Invariant(detail()).into(), 70),
            (StartError::Storage(StorageError::InUse { path: path() }).into(), 75),
            (StartError::Listen { address: detail(), source: io() }.into(), 75),
            (StartError::Bootstrap(detail()).into(), 76),
            (StartError::Settings(detail()).into(), 78),
            (StartError::Removed.into(), 77),
            (StartError::Raft(detail()).into(), 70),
            (StartError::Failed { code: 74, reason: detail() }.into(), 74),
            (StartError::Failed { code: 65, reason: detail() }.into(), 65),
            (Stop::config("x").into(), 78),
            (io().into(), 74),
            (anyhow::anyhow!("nobody knows"), 70),
        ];
        for (error, code) in cases {
            assert_eq!(Exit::of(&error).code(), code, "{error:?}");
            assert_eq!(Exit::of(&error.context("while starting")).code(), code);
        }
    }
}
