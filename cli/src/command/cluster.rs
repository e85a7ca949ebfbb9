//! `firstcome cluster ...`: status and membership of a cluster.

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Value, json};

use crate::client::{Remote, Request, show};
use crate::exit::Exit;
use crate::output::{field, object, table};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome cluster status --url http://127.0.0.1:8081
  firstcome cluster status --local            works even without a leader
  firstcome cluster add --name n4 --api 127.0.0.1:8084 --peer 127.0.0.1:9094
  firstcome cluster promote 4
  firstcome cluster transfer-leader --to 2
  firstcome cluster hash")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// Show what this node knows, even without a leader.
    #[arg(long, global = true)]
    local: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show leader, term, revision, and how many node failures the cluster still tolerates.
    Status,
    /// List members with their role and replication progress.
    Members,
    /// Add a node that was started with an empty directory; it joins as a learner.
    Add {
        /// The node's name (node.name).
        #[arg(long)]
        name: String,
        /// Address of its REST API.
        #[arg(long, value_name = "HOST:PORT")]
        api: String,
        /// Address for its peers.
        #[arg(long, value_name = "HOST:PORT")]
        peer: String,
    },
    /// Promote a learner that is in sync to a voter.
    Promote {
        /// Member id, as shown by `cluster members`.
        id: u64,
    },
    /// Remove a member for good; its id is never reused.
    Remove {
        /// Member id, as shown by `cluster members`.
        id: u64,
    },
    /// Transfer leadership to another voter.
    TransferLeader {
        /// Member id of the new leader [default: the most up-to-date voter].
        #[arg(long)]
        to: Option<u64>,
    },
    /// Take a snapshot now, so that older log entries can be deleted.
    Snapshot,
    /// Show the state hash of every node at one revision.
    Hash {
        /// Revision to compare at [default: the latest].
        #[arg(long)]
        revision: Option<u64>,
    },
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.remote.client(Role::Admin)?;
    let local = if args.local { "?consistency=local" } else { "" };
    match args.verb {
        Verb::Status => {
            show(&client, Request::get(&format!("/v1/cluster{local}")), json, status).await
        }
        Verb::Members => {
            show(&client, Request::get(&format!("/v1/cluster{local}")), json, members).await
        }
        Verb::Add { name, api, peer } => {
            let body = json!({"name": name, "api": api, "peer": peer});
            show(&client, Request::post("/v1/cluster/members", &body), json, object).await
        }
        Verb::Promote { id } => {
            let path = format!("/v1/cluster/members/{id}/promotions");
            show(&client, Request::post(&path, &json!({})), json, done("is now a voter", id)).await
        }
        Verb::Remove { id } => {
            let path = format!("/v1/cluster/members/{id}");
            show(&client, Request::delete(&path, None), json, done("was removed", id)).await
        }
        Verb::TransferLeader { to } => {
            let body = to.map_or_else(|| json!({}), |id| json!({"to": id}));
            show(&client, Request::post("/v1/cluster/leader-transfers", &body), json, object).await
        }
        Verb::Snapshot => {
            show(&client, Request::post("/v1/cluster/snapshots", &json!({})), json, object).await
        }
        Verb::Hash { revision } => {
            let revision = revision.map(|r| format!("?revision={r}")).unwrap_or_default();
            show(&client, Request::get(&format!("/v1/cluster/hash{revision}")), json, hash).await
        }
    }
}

fn done(what: &str, id: u64) -> impl FnOnce(&Value) -> String {
    move |_| format!("member {id} {what}\n")
}

fn status(cluster: &Value) -> String {
    let get = |name| field(cluster, name);
    let can_lose = cluster.get("can_lose").and_then(Value::as_u64).unwrap_or(0);
    let nodes = if can_lose == 1 { "1 node failure" } else { &format!("{can_lose} node failures") };
    format!(
        "cluster {} ({})\nleader {}, term {}, revision {}\ntolerates {nodes}\n\n{}",
        get("name"),
        get("id"),
        get("leader"),
        get("term"),
        get("revision"),
        members(cluster)
    )
}

fn members(cluster: &Value) -> String {
    let names = ["id", "name", "api", "role", "applied", "lag", "reachable"];
    let members = cluster.get("members").and_then(Value::as_array);
    let rows: Vec<_> = members
        .into_iter()
        .flatten()
        .map(|member| names.map(|name| field(member, name)).to_vec())
        .collect();
    table(&["ID", "NAME", "API", "ROLE", "APPLIED", "LAG", "REACHABLE"], &rows)
}

fn hash(answer: &Value) -> String {
    let nodes = answer.get("nodes").and_then(Value::as_array);
    let row = |node: &Value| vec![field(node, "name"), field(node, "hash")];
    let rows: Vec<_> = nodes.into_iter().flatten().map(row).collect();
    format!("revision {}\n{}", field(answer, "revision"), table(&["NODE", "HASH"], &rows))
}
