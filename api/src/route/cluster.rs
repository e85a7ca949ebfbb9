//! The cluster: status for operators, changes for admins. No secrets are shown.

use firstcome_domain::value::Revision;
use firstcome_raft::ClusterStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::routes::Routes;
use crate::access::Permission;
use crate::body::EmptyBody;
use crate::budget::Budget;
use crate::call::{Answer, Call};
use crate::fields::Fields;
use crate::options::Consistency;
use crate::problem::{Code, Problem};
use crate::resource::cluster::{ClusterBody, HashBody, MemberBody};
use crate::spec::{KeyRule, Reads, Spec, Success, Verb, parameter, schema_of};

const READ: Spec = Spec {
    tag: "cluster",
    permission: Permission::ClusterRead,
    budget: Budget::ClusterStatus,
    ..Spec::GET
};
const STATUS: Spec = Spec {
    path: "/v1/cluster",
    operation: "get_cluster",
    summary: "Returns the status of the cluster. `?consistency=local` works without a leader.",
    success: Success::One(schema_of::<ClusterBody>()),
    ..READ
};
const MEMBERS: Spec = Spec {
    path: "/v1/cluster/members",
    operation: "list_members",
    summary: "Lists all members by ID, on one page.",
    success: Success::List(schema_of::<MemberBody>()),
    ..READ
};
const HASH: Spec = Spec {
    path: "/v1/cluster/hash",
    operation: "get_hash",
    summary: "Returns the state hash of every member at one revision.",
    query: &[parameter("revision", "The revision; default: the last one this node has applied.")],
    budget: Budget::StateHash,
    reads: Reads::None,
    success: Success::One(schema_of::<HashBody>()),
    ..READ
};
const CHANGE: Spec = Spec {
    tag: "cluster",
    permission: Permission::ClusterAdmin,
    budget: Budget::Unbounded,
    // Membership and leadership are not rows, and repeating a change is harmless without a key.
    key: KeyRule::Unused,
    body_optional: true,
    codes: &[Code::ClusterChangeRejected, Code::NoQuorum, Code::NodeDraining],
    ..Spec::POST
};
const ADD: Spec = Spec {
    path: "/v1/cluster/members",
    operation: "add_member",
    summary: "Adds a node that is waiting to join, as a learner.",
    body: Some(schema_of::<NewMember>()),
    body_optional: false,
    success: Success::One(schema_of::<MemberChangeBody>()),
    ..CHANGE
};
const REMOVE: Spec = Spec {
    verb: Verb::Delete,
    path: "/v1/cluster/members/{id}",
    operation: "remove_member",
    summary: "Removes a member. Its ID is never used again.",
    status: 204,
    ..CHANGE
};
const PROMOTE: Spec = Spec {
    path: "/v1/cluster/members/{id}/promotions",
    operation: "promote_member",
    summary: "Makes a learner that is in sync a voter.",
    body: Some(schema_of::<EmptyBody>()),
    success: Success::One(schema_of::<MemberChangeBody>()),
    ..CHANGE
};
const TRANSFER: Spec = Spec {
    path: "/v1/cluster/leader-transfers",
    operation: "transfer_leader",
    summary: "Transfers leadership and waits until the new leader is known.",
    body: Some(schema_of::<Transfer>()),
    success: Success::One(schema_of::<LeaderTransferBody>()),
    ..CHANGE
};
const SNAPSHOT: Spec = Spec {
    path: "/v1/cluster/snapshots",
    operation: "take_snapshot",
    summary: "Takes a snapshot of this node now and compacts its log as far as retention allows.",
    body: Some(schema_of::<EmptyBody>()),
    success: Success::One(schema_of::<SnapshotBody>()),
    ..CHANGE
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&STATUS, status)
        .with(&MEMBERS, members)
        .with(&HASH, hash)
        .with(&ADD, add)
        .with(&REMOVE, remove)
        .with(&PROMOTE, promote)
        .with(&TRANSFER, transfer)
        .with(&SNAPSHOT, snapshot)
}

async fn cluster(call: &Call) -> Result<ClusterStatus, Problem> {
    let node = &call.app.node;
    if call.consistency()? == Consistency::Local {
        return Ok(node.cluster(true).await?);
    }
    Ok(call.app.cluster_status.run(node.cluster(false)).await?)
}

async fn status(call: Call) -> Result<Answer, Problem> {
    let cluster = cluster(&call).await?;
    call.shown(&ClusterBody::of(&cluster), Revision::new(cluster.revision))
}

/// All members on one page: clusters are small.
#[derive(Serialize)]
struct MembersBody {
    object: &'static str,
    data: Vec<MemberBody>,
    next_cursor: Option<String>,
}

async fn members(call: Call) -> Result<Answer, Problem> {
    let _limit = call.query.limit()?;
    if call.query.get("cursor").is_some() {
        return Err(Problem::new(Code::CursorInvalid)); // There is only one page.
    }
    let cluster = cluster(&call).await?;
    let data = cluster.members.iter().map(MemberBody::of).collect();
    let body = MembersBody { object: "list", data, next_cursor: None };
    call.shown(&body, Revision::new(cluster.revision))
}

async fn hash(call: Call) -> Result<Answer, Problem> {
    let revision: Option<u64> = call.query.typed("revision", "a revision")?;
    let (revision, nodes) = call.app.node.hashes(revision.map(Revision::new)).await?;
    call.shown(&HashBody::of(revision, nodes), revision)
}

/// A node that is waiting to join.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMember {
    /// Unique in the cluster.
    #[schema(max_length = 64)]
    name: String,
    /// Address of its REST API, `host:port`.
    api: String,
    /// Address of its peer protocol, `host:port`.
    peer: String,
}

/// A member that was added or promoted.
#[derive(Serialize, ToSchema)]
#[schema(as = MemberChange)]
struct MemberChangeBody {
    /// Always `member`.
    #[schema(example = "member")]
    object: &'static str,
    id: u64,
    /// `learner` after it was added, `voter` after its promotion.
    role: &'static str,
}

async fn add(call: Call) -> Result<Answer, Problem> {
    let body: NewMember = call.json()?;
    let mut fields = Fields::default();
    let name = fields.text("/name", &body.name, 64, false);
    let api = fields.text("/api", &body.api, 255, false);
    let peer = fields.text("/peer", &body.peer, 255, false);
    fields.finish()?;
    let id = call.app.node.add_member(name, api, peer).await?;
    let answer =
        Answer::json(call.route, &MemberChangeBody { object: "member", id, role: "learner" })?;
    Ok(answer.located("/v1/cluster/members".to_owned()))
}

async fn remove(call: Call) -> Result<Answer, Problem> {
    call.app.node.remove_member(call.id()?).await?;
    Answer::json(call.route, &())
}

async fn promote(call: Call) -> Result<Answer, Problem> {
    let id: u64 = call.id()?;
    let EmptyBody {} = call.json()?;
    call.app.node.promote(id).await?;
    let answer =
        Answer::json(call.route, &MemberChangeBody { object: "member", id, role: "voter" })?;
    Ok(answer.located("/v1/cluster/members".to_owned()))
}

/// The next leader.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Transfer {
    /// ID of a voter that is in sync; default: the most advanced one.
    #[serde(default)]
    to: Option<u64>,
}

/// The current leader.
#[derive(Serialize, ToSchema)]
#[schema(as = LeaderTransfer)]
struct LeaderTransferBody {
    /// Always `leader_transfer`.
    #[schema(example = "leader_transfer")]
    object: &'static str,
    leader_id: u64,
}

async fn transfer(call: Call) -> Result<Answer, Problem> {
    let Transfer { to } = call.json()?;
    let leader_id = call.app.node.transfer_leader(to).await?;
    let body = LeaderTransferBody { object: "leader_transfer", leader_id };
    Ok(Answer::json(call.route, &body)?.located("/v1/cluster".to_owned()))
}

/// The snapshot.
#[derive(Serialize, ToSchema)]
#[schema(as = Snapshot)]
struct SnapshotBody {
    /// Always `snapshot`.
    #[schema(example = "snapshot")]
    object: &'static str,
    revision: u64,
}

async fn snapshot(call: Call) -> Result<Answer, Problem> {
    let EmptyBody {} = call.json()?;
    let revision = call.app.node.snapshot().await?;
    let body = SnapshotBody { object: "snapshot", revision: revision.get() };
    Ok(Answer::json(call.route, &body)?.located("/v1/cluster".to_owned()))
}
