//! The commands of `firstcome`, the settings of `cluster.toml`, and the words people read.
//!
//! [`main`] parses the command line, runs one command, and turns whatever happened into one of
//! the exit codes of [`exit::Exit`]. Each command is one file under `command/`; none of them
//! holds a rule that the API does not also keep.
//!
//! - [`config`]: defaults, file, environment and `--set`, each value with its origin
//! - `client`: JSON over HTTP for the verbs; `load`: raw connections for `demo` and `bench`
//! - `cluster_process`: real nodes on loopback, ended with the command that started them

#![expect(
    clippy::format_push_string,
    reason = "text for people: one more allocation reads better than a write that cannot fail"
)]
#![expect(
    clippy::doc_markdown,
    reason = "comments on arguments are help texts, printed as they are"
)]

pub mod config;
pub mod exit;

mod bench;
mod client;
mod cluster_process;
mod command;
mod credentials;
mod demo;
mod instant;
mod load;
mod logging;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::command::Cli;
use crate::exit::{Exit, Stop};

/// Which release, from which commit, built how.
pub const VERSION: &str = if firstcome_fault::IS_FAULT_BUILD {
    concat!(
        env!("CARGO_PKG_VERSION"),
        "+fault (",
        env!("FIRSTCOME_COMMIT"),
        ", ",
        env!("FIRSTCOME_PROFILE"),
        ")"
    )
} else {
    concat!(
        env!("CARGO_PKG_VERSION"),
        " (",
        env!("FIRSTCOME_COMMIT"),
        ", ",
        env!("FIRSTCOME_PROFILE"),
        ")"
    )
};

/// Runs the command that the command line names.
pub fn main() -> ExitCode {
    exit::on_panic();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    let json = cli.json;
    let ended = firstcome_fault::start()
        .map_err(|wrong| Stop::new(Exit::Usage, wrong).into())
        .and_then(|()| cli.run());
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = Exit::of(&error);
            output::error(json, exit, &error);
            exit.into()
        }
    }
}

/// Prints what clap has to say: help and version are wishes, the rest is wrong usage.
fn usage(error: &clap::Error) -> Exit {
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
    // Nobody is left to tell when the terminal is gone.
    error.print().map_or(Exit::Io, |()| exit)
}
