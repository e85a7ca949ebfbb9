//! The nodes under load.

use std::sync::Arc;
use std::time::Duration;

use firstcome_api::Keys;
use firstcome_domain::Role;
use serde_json::Value;

use super::plan::{Plan, Through};
use crate::client::{Client, Request};
use crate::credentials;
use crate::exit::{Exit, Stop};
use crate::load::local_cluster::LocalCluster;

/// Timeout of an administrative request.
pub(super) const ADMIN_LIMIT: Duration = Duration::from_secs(10);

/// The nodes under load: a cluster of its own, or a running one.
pub(super) struct Target {
    /// `host:port` of each node.
    pub(super) addresses: Vec<String>,
    /// Sign tokens that the nodes accept.
    pub(super) keys: Arc<Keys>,
    /// The cluster that was started for the benchmark; stopped with it.
    pub(super) own: Option<LocalCluster>,
}

impl Target {
    /// Starts a cluster, or finds the keys of a running one.
    pub(super) async fn prepare(plan: &Plan) -> anyhow::Result<Self> {
        if plan.urls.is_empty() {
            let extra: &[&str] = if plan.ceiling { &["--bench-routes"] } else { &[] };
            let cluster = LocalCluster::start(plan.nodes, extra).await?;
            let addresses = cluster.addresses();
            let keys = Arc::clone(&cluster.keys);
            return Ok(Self { addresses, keys, own: Some(cluster) });
        }
        let Some(keys) = credentials::find(plan.key_file.as_ref())? else {
            let message =
                "no master key to generate tokens with: pass the cluster's with --key-file FILE";
            return Err(Stop::config(message).into());
        };
        let address = |url: &String| {
            let bare = url.trim_end_matches('/').strip_prefix("http://");
            bare.map(ToOwned::to_owned).ok_or_else(|| {
                Stop::new(
                    Exit::Usage,
                    format!("--url {url}: only http:// is supported in this version"),
                )
            })
        };
        let addresses = plan.urls.iter().map(address).collect::<Result<_, _>>()?;
        Ok(Self { addresses, keys: Arc::new(keys), own: None })
    }

    /// An admin client of node `at`.
    pub(super) fn admin(&self, at: usize) -> anyhow::Result<Client> {
        let address = self.addresses.get(at).map_or("", String::as_str);
        Client::as_new_user(&format!("http://{address}"), &self.keys, Role::Admin, ADMIN_LIMIT)
    }

    /// The highest Raft term that a node knows. Each election begins a new one.
    pub(super) async fn term(&self) -> anyhow::Result<u64> {
        let mut highest = 0;
        for at in 0..self.addresses.len() {
            let path = Request::get("/v1/cluster?consistency=local");
            let cluster = self.admin(at)?.send_ok(path).await?.body;
            highest = highest.max(cluster.get("term").and_then(Value::as_u64).unwrap_or(0));
        }
        Ok(highest)
    }

    /// The addresses of the nodes that receive the requests.
    pub(super) async fn through(&self, through: Through) -> anyhow::Result<Vec<String>> {
        if through == Through::All {
            return Ok(self.addresses.clone());
        }
        let cluster = self.admin(0)?.send_ok(Request::get("/v1/cluster")).await?.body;
        let leader = cluster.get("leader").cloned().unwrap_or_default();
        let members = cluster.get("members").and_then(Value::as_array);
        let leads = |member: &&Value| member.get("name") == Some(&leader);
        let api = members.into_iter().flatten().find(leads).and_then(|m| m.get("api"));
        let api = api.and_then(Value::as_str).unwrap_or_default();
        let wanted = |address: &&String| (address.as_str() == api) == (through == Through::Leader);
        let chosen: Vec<String> = self.addresses.iter().filter(wanted).cloned().collect();
        if chosen.is_empty() {
            let message = format!("no node matches --through; the leader is {leader}");
            return Err(Stop::new(Exit::Refused, message).into());
        }
        Ok(chosen)
    }
}
