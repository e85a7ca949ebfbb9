//! `firstcome keys init FILE`: the key that all nodes of a cluster share.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use firstcome_api::MasterKey;
use serde_json::json;

use crate::exit::{Exit, Stop};
use crate::{credentials, output};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome keys init master.key
  export FIRSTCOME_MASTER_KEY_FILE=master.key

Copy the file to every node of the cluster, and to nobody else: whoever has it can sign tokens.")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Draw a new master key and write it to FILE, readable by its owner only.
    Init {
        /// Must not exist yet.
        file: PathBuf,
    },
}

pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<Exit> {
    let Verb::Init { file } = &args.verb;
    create(file, &credentials::generate()?)?;
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

/// Writes a key file that only its owner may read, synced, never over an existing one: an
/// overwritten key makes every token and every sealed field unreadable.
pub(crate) fn create(file: &Path, key: &MasterKey) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut opened = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let message = format!(
                "{} exists and is not overwritten; name another file, or keep using this one",
                file.display()
            );
            return Err(Stop::new(Exit::Refused, message).into());
        }
        other => other.with_context(|| format!("cannot create {}", file.display()))?,
    };
    opened
        .write_all(key.to_file_text().as_bytes())
        .and_then(|()| opened.sync_all())
        .with_context(|| format!("cannot write {}", file.display()))
}
