//! The commands of `firstcome`, the settings of `cluster.toml`, and the text people read.
//!
//! [`main`] parses the command line, runs one command, and maps its result to one of the exit
//! codes in [`exit::Exit`]. Each command is one file under `command/`: its arguments and one
//! action. The CLI never enforces a rule that the API does not also enforce.
//!
//! - [`config`]: defaults, file, environment and `--set`; each value remembers its origin
//! - `client`: JSON over HTTP for the commands that talk to a node
//! - `node`: the process behind `serve`, with its two runtimes
//! - `load`: `demo` and `bench`, which start real nodes on loopback and send them traffic

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

mod client;
mod command;
mod crash;
mod credentials;
mod load;
mod logging;
mod node;
mod output;
mod password;
mod rfc3339;
mod session;
mod version;

use std::process::ExitCode;

use clap::Parser as _;

pub use crate::version::VERSION;

use crate::command::Cli;
use crate::exit::{Exit, Stop};

/// Runs the command that the command line names.
pub fn main() -> ExitCode {
    crash::exit_on_panic();
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

/// Prints clap's message. `--help` and `--version` succeed; everything else is a usage error.
fn usage(error: &clap::Error) -> Exit {
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
    // If the terminal is gone, there is nobody to tell.
    error.print().map_or(Exit::Io, |()| exit)
}
