//! `firstcome inspect ...`: a look into the directory of a stopped node; changes nothing.

use std::path::PathBuf;

use clap::Subcommand;

use crate::exit::{Exit, Stop};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome inspect check --data-dir data/n1     every checksum and every invariant
  firstcome inspect hash --data-dir data/n1
  firstcome inspect log --data-dir data/n1 --json | head")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// The node's files; the node must not run.
    #[arg(long, value_name = "DIR", default_value = "data", global = true)]
    data_dir: PathBuf,
}

#[derive(Subcommand)]
enum Verb {
    /// The state hash and where it was taken.
    Hash,
    /// The entries of the log.
    Log,
    /// Rows of each table.
    Tables,
    /// Both files, the recomputed hash, and the invariants of every row.
    Check,
}

pub(crate) fn run(args: &Args, _json: bool) -> anyhow::Result<Exit> {
    let what = match args.verb {
        Verb::Hash => "hash",
        Verb::Log => "log",
        Verb::Tables => "tables",
        Verb::Check => "check",
    };
    let directory = args.data_dir.display();
    Err(Stop::config(format!("inspect {what} of {directory} is not part of this build")).into())
}
