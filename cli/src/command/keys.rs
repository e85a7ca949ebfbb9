//! `firstcome keys ...`: the master key that all nodes of a cluster share, and its versions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Value, json};

use crate::client::{Remote, Request, show};
use crate::exit::Exit;
use crate::output::{field, table};
use crate::{credentials, output};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome keys init master.key
  export FIRSTCOME_MASTER_KEY_FILE=master.key
  firstcome keys add master.key        then copy it to every node, and restart them one by one
  firstcome keys status
  firstcome keys activate 2            once every node has version 2
  firstcome keys retire 1              once nothing needs version 1

Copy the file to every node of the cluster and keep it secret: anyone with the master key can
sign tokens for any user.")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
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
    /// Append a new version to FILE. It does nothing until it is activated.
    Add {
        /// Path of the key file.
        file: PathBuf,
    },
    /// Show the versions of the master key, and which nodes have them.
    Status,
    /// Sign and seal with this version from now on; every node must have it.
    Activate {
        /// Number of the version.
        number: u32,
    },
    /// Stop accepting this version; refused while anything needs it.
    Retire {
        /// Number of the version.
        number: u32,
    },
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let change = |version: u32, what: &str| format!("/v1/admin/keys/{version}/{what}");
    match &args.verb {
        Verb::Init { file } => init(file, json),
        Verb::Add { file } => add(file, json),
        Verb::Status => {
            let client = args.remote.client(Role::Admin)?;
            let cluster = client.send(Request::get("/v1/cluster?consistency=local")).await?;
            let names = names(&cluster.body);
            let human = |keyring: &Value| versions(keyring, &names);
            show(&client, Request::get("/v1/admin/keys"), json, human).await
        }
        Verb::Activate { number } => {
            let client = args.remote.client(Role::Admin)?;
            let path = change(*number, "activations");
            let human = |_: &Value| format!("version {number} is active\n");
            show(&client, Request::post(&path, &json!({})), json, human).await
        }
        Verb::Retire { number } => {
            let client = args.remote.client(Role::Admin)?;
            let path = change(*number, "retirements");
            let human = |_: &Value| {
                format!("version {number} is retired: remove its line from every key file\n")
            };
            show(&client, Request::post(&path, &json!({})), json, human).await
        }
    }
}

fn init(file: &Path, json: bool) -> anyhow::Result<Exit> {
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

fn add(file: &Path, json: bool) -> anyhow::Result<Exit> {
    let version = credentials::add_version(file)?;
    if json {
        output::json(&json!({"object": "master_key_file", "path": file, "version": version}));
    } else {
        output::line(&format!(
            "added version {version} to {}: copy the file to every node, restart them one by one, \
             then run: firstcome keys activate {version}",
            file.display()
        ));
    }
    Ok(Exit::Done)
}

fn names(cluster: &Value) -> BTreeMap<u64, String> {
    let members = cluster.get("members").and_then(Value::as_array);
    let named = |member: &Value| Some((member.get("id")?.as_u64()?, field(member, "name")));
    members.into_iter().flatten().filter_map(named).collect()
}

fn versions(keyring: &Value, names: &BTreeMap<u64, String>) -> String {
    let versions = keyring.get("versions").and_then(Value::as_array);
    let nodes = |version: &Value| {
        let ids = version.get("node_ids").and_then(Value::as_array);
        let ids = ids.into_iter().flatten().filter_map(Value::as_u64);
        // A removed member keeps its id, and has no name.
        ids.filter_map(|id| names.get(&id).map(String::as_str)).collect::<Vec<_>>().join(",")
    };
    let row = |version: &Value| {
        let mut row =
            ["version", "state", "check", "wrapped_keys"].map(|name| field(version, name)).to_vec();
        row.push(nodes(version));
        row
    };
    let rows: Vec<_> = versions.into_iter().flatten().map(row).collect();
    table(&["VERSION", "STATE", "CHECK", "WRAPPED KEYS", "NODES"], &rows)
}
