//! `firstcome keys init FILE`: creates the master key that all nodes of a cluster share.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use crate::exit::Exit;
use crate::{credentials, output};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome keys init master.key
  export FIRSTCOME_MASTER_KEY_FILE=master.key

Copy the file to every node of the cluster and keep it secret: anyone with the master key can
sign tokens for any user.")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Generate a master key and write it to FILE, readable only by its owner.
    Init {
        /// Path of the new key file; must not exist yet.
        file: PathBuf,
    },
}

pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<Exit> {
    let Verb::Init { file } = &args.verb;
    credentials::create_key_file(file, &credentials::generate()?)?;
    if json {
        output::json(&json!({"object": "master_key_file", "path": file, "mode": "0600"}));
    } else {
        output::line(&format!(
            "wrote {} (mode 0600); start every node with FIRSTCOME_MASTER_KEY_FILE={}",
            file.display(),
            file.display()
        ));
    }
    Ok(Exit::Done)
}
